//! The chat's commands that concern messages which were sent already.
//!
//! A command without a number means the user's own last message (or, for a reaction, the newest one of somebody else)
//! at the time of its turn, when the lines before it are stored. What the event of a change shows needs no other notice;
//! a change that was made already is reported.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use super::change_format::listed;
use super::changer::{Changer, Job, OpenCaller};
use super::format::start_of;
use super::input::{Destination, Input};
use super::people::People;
use super::rooms::{NO_ROOM, SharedRooms};
use super::screen::{Screen, can_edit};
use super::timelines::Timelines;
use crate::client::{CallError, Caller, MessagePlace, NewText, PagePlace, SearchQuery, StoredMessage, mentioned};
use crate::editing::change_commands::ChangeCommand;
use crate::names::{Body, Emoji, Kind, RoomName, Topic, UserName};

/// How many messages `/numbers` lists, and how many `/search` finds.
const NUMBERS_MAX: usize = 20;
const FOUND_MAX: u32 = 10;

/// How many pages `/search` reads at most.
const SEARCH_PAGES_MAX: usize = 10;

/// What a job needs.
#[derive(Clone)]
struct Context {
    screen: Arc<Screen>,
    timelines: Timelines,
    rooms: SharedRooms,
    people: People,
    room: RoomName,
    by: UserName,
    marks_claims: bool,
}

/// The message of a command, as far as it is known here.
struct Target {
    seq: u64,
    held: Option<StoredMessage>,
    /// The last event of the room before the call.
    last_seq: u64,
}

impl Input {
    /// Executes a command. Breaks when the session has ended.
    pub(super) fn change(&self, command: ChangeCommand) -> ControlFlow<()> {
        let Destination::V1 { rooms, server, timelines, people, changer, .. } = &self.destination else {
            self.screen
                .notice("messages can't be changed or found over the tutorial's contract: it has no calls for that");
            return ControlFlow::Continue(());
        };
        let Some(room) = rooms.lock().current().cloned() else { return self.skip(NO_ROOM) };
        let context = Context {
            screen: Arc::clone(&self.screen),
            timelines: timelines.clone(),
            rooms: Arc::clone(rooms),
            people: people.clone(),
            room,
            by: timelines.own_name(),
            marks_claims: server.has_login,
        };
        match command {
            ChangeCommand::Reply { seq, text } => return self.reply(&context, seq, &text),
            ChangeCommand::Numbers(None) => context.list_numbers(),
            ChangeCommand::Numbers(Some(show)) => {
                timelines.show_numbers(show);
                let state =
                    if show { "messages are shown with their numbers" } else { "numbers are not shown any more" };
                self.screen.notice(state);
            }
            ChangeCommand::ShowTopic => context.show_topic(),
            ChangeCommand::Edit { seq, text: None } => {
                self.call(changer, move |_, deadline| context.recall(seq, deadline))
            }
            ChangeCommand::Edit { seq, text: Some(text) } => {
                self.call(changer, move |open, deadline| context.edit(open, seq, &text, deadline));
            }
            ChangeCommand::Delete { seq } => {
                self.call(changer, move |open, deadline| context.delete(open, seq, deadline));
            }
            ChangeCommand::React { seq, emoji, removed } => {
                self.call(changer, move |open, _| context.react(open, seq, &emoji, removed));
            }
            ChangeCommand::Pin { seq } => self.call(changer, move |open, _| context.pin(open, Some(seq), false)),
            ChangeCommand::Unpin { seq } => self.call(changer, move |open, _| context.pin(open, seq, true)),
            ChangeCommand::Pins => self.call(changer, move |open, _| context.list_pins(open)),
            ChangeCommand::SetTopic(topic) => self.call(changer, move |open, _| context.set_topic(open, &topic)),
            ChangeCommand::Search(text) => self.call(changer, move |open, _| context.search(open, text)),
        }
        ControlFlow::Continue(())
    }

    fn call(
        &self,
        changer: &Changer,
        job: impl FnOnce(&mut OpenCaller<'_>, Instant) -> Result<(), String> + Send + 'static,
    ) {
        let job: Job = Box::new(job);
        match changer.call(job) {
            // A script's input would end before the answer.
            Some(done) if !can_edit() => drop(done.recv()),
            Some(_) => {}
            None => self.screen.notice("not done: the server has not answered the commands before"),
        }
    }

    fn reply(&self, context: &Context, seq: u64, text: &str) -> ControlFlow<()> {
        let (held, last_seq) =
            context.timelines.of(&context.room, |room| (room.timeline.get(seq).cloned(), room.last_seq));
        if seq > last_seq {
            return self.skip(&format!("there is no message #{seq} in {} yet", context.room));
        }
        match &held {
            Some(message) if message.extras.is_deleted() => return self.skip(&format!("message #{seq} was deleted")),
            Some(message) => self.screen.notice(&format!("in reply to {}", listed(message, context.marks_claims))),
            None => self.screen.notice(&format!("in reply to #{seq}, which is not shown here")),
        }
        self.destination.send(text, Kind::Text, Some(seq)).unwrap_or_else(|fault| self.skip(&fault))
    }
}

impl Context {
    /// Shows a notice, with the room if there are several.
    fn notice(&self, text: &str) {
        let prefix = self.rooms.lock().prefix(&self.room);
        self.screen.notice(&format!("{prefix}{text}"));
    }

    fn message(&self, seq: u64) -> MessagePlace<'_> {
        let epoch = self.timelines.of(&self.room, |room| room.timeline.epoch());
        MessagePlace { room: &self.room, by: &self.by, seq, epoch }
    }

    /// The message with that number, or the user's last one.
    fn own(&self, seq: Option<u64>, deadline: Instant) -> Result<Target, String> {
        match seq {
            Some(seq) => Ok(self.known(seq)),
            None => {
                let held = self.timelines.last_own(&self.room, deadline)?;
                let last_seq = self.timelines.of(&self.room, |room| room.last_seq);
                Ok(Target { seq: held.seq, held: Some(held), last_seq })
            }
        }
    }

    fn known(&self, seq: u64) -> Target {
        self.timelines.of(&self.room, |room| {
            let held = room.timeline.get(seq).cloned();
            Target { seq, held, last_seq: room.last_seq }
        })
    }

    /// Checks what is known of a message that only its sender may change.
    fn check_own(&self, target: &Target) -> Result<(), String> {
        let seq = target.seq;
        match &target.held {
            Some(message) if message.extras.is_deleted() => Err(format!("message #{seq} was deleted")),
            Some(message) if !self.timelines.is_own(message) => {
                Err(format!("message #{seq} is not yours: {}", listed(message, self.marks_claims)))
            }
            _ => Ok(()),
        }
    }

    /// Reports a change that had been made before: no event shows it.
    fn report_unless_new(&self, changed_seq: u64, target: &Target, text: &str) {
        if changed_seq <= target.last_seq {
            self.notice(&format!("#{}: {text}", target.seq));
        }
    }

    /// Puts the message's text into the draft, to be edited.
    fn recall(&self, seq: Option<u64>, deadline: Instant) -> Result<(), String> {
        let target = self.own(seq, deadline).map_err(|fault| format!("can't edit: {fault}"))?;
        self.check_own(&target).map_err(|fault| format!("can't edit: {fault}"))?;
        let Some(message) = target.held else {
            return Err(format!(
                "can't edit: message #{} is not shown here; write its text after the number",
                target.seq
            ));
        };
        if !can_edit() {
            return Err("can't edit: /edit needs a text, as in: /edit hello".to_owned());
        }
        if !self.screen.restore(&format!("/edit #{} {}", message.seq, message.body), true) {
            return Err("can't edit: another text is being written".to_owned());
        }
        Ok(())
    }

    fn edit(&self, open: &mut OpenCaller<'_>, seq: Option<u64>, text: &str, deadline: Instant) -> Result<(), String> {
        let fail = |fault: String| format!("not edited: {fault}");
        let target = self.own(seq, deadline).map_err(fail)?;
        self.check_own(&target).map_err(fail)?;
        let body = Body::new(text).map_err(|fault| fail(fault.to_string()))?;
        let names = self.people.of(&self.room, |people| people.presence.names());
        let mentions = mentioned(text, names.iter().map(String::as_str));
        let seen = target.held.as_ref().map(|message| message.extras.edited_seq);
        let text = NewText { body: &body, mentions: &mentions, seen };
        let edited =
            open.call(|caller| caller.edit(self.message(target.seq), text)).map_err(|e| fail(e.to_string()))?;
        self.report_unless_new(edited, &target, "it has that text already");
        Ok(())
    }

    fn delete(&self, open: &mut OpenCaller<'_>, seq: Option<u64>, deadline: Instant) -> Result<(), String> {
        let fail = |fault: String| format!("not deleted: {fault}");
        let target = self.own(seq, deadline).map_err(fail)?;
        let deleted = open.call(|caller| caller.delete(self.message(target.seq))).map_err(|e| fail(e.to_string()))?;
        self.report_unless_new(deleted, &target, "it was deleted before");
        Ok(())
    }

    fn react(&self, open: &mut OpenCaller<'_>, seq: Option<u64>, emoji: &Emoji, removed: bool) -> Result<(), String> {
        let fail = |fault: String| format!("no reaction: {fault}");
        let newest = || self.timelines.last_of_others(&self.room).map(|message| message.seq);
        let seq = seq.or_else(newest).ok_or_else(|| fail("nobody else has a message here".to_owned()))?;
        let target = self.known(seq);
        let call = |caller: &mut Caller| caller.react(self.message(seq), emoji, removed);
        let changed = open.call(call).map_err(|e| fail(e.to_string()))?;
        let state = if removed { "you have no such reaction to it" } else { "you have reacted with that already" };
        self.report_unless_new(changed, &target, state);
        Ok(())
    }

    fn pin(&self, open: &mut OpenCaller<'_>, seq: Option<u64>, removed: bool) -> Result<(), String> {
        let fail = |fault: String| format!("{}: {fault}", if removed { "not unpinned" } else { "not pinned" });
        let last = || self.timelines.of(&self.room, |room| room.timeline.pinned_seqs().last().copied());
        let seq = seq.or_else(last).ok_or_else(|| fail(format!("nothing is pinned in {}", self.room)))?;
        let target = self.known(seq);
        let pinned = open.call(|caller| caller.pin(self.message(seq), removed)).map_err(|e| fail(e.to_string()))?;
        self.report_unless_new(pinned, &target, if removed { "it is not pinned" } else { "it is pinned already" });
        Ok(())
    }

    fn set_topic(&self, open: &mut OpenCaller<'_>, topic: &Topic) -> Result<(), String> {
        let target = self.known(0);
        let call = |caller: &mut Caller| caller.set_topic(&self.room, &self.by, topic);
        let changed = open.call(call).map_err(|e| format!("the topic was not changed: {e}"))?;
        if changed <= target.last_seq {
            self.show_topic();
        }
        Ok(())
    }

    fn show_topic(&self) {
        let topic = self.timelines.of(&self.room, |room| room.timeline.topic().to_owned());
        match topic.is_empty() {
            true => self.notice(&format!("{} has no topic", self.room)),
            false => self.notice(&format!("topic of {}: {topic}", self.room)),
        }
    }

    /// `/numbers`.
    fn list_numbers(&self) {
        let mut newest = self.timelines.of(&self.room, |room| {
            room.timeline
                .newest()
                .take(NUMBERS_MAX)
                .map(|message| listed(message, self.marks_claims))
                .collect::<Vec<_>>()
        });
        if newest.is_empty() {
            self.notice("no messages are shown here");
        }
        newest.reverse();
        newest.iter().for_each(|line| self.notice(line));
    }

    /// `/pin`: reads what is not held.
    fn list_pins(&self, open: &mut OpenCaller<'_>) -> Result<(), String> {
        let pinned = self.timelines.of(&self.room, |room| room.timeline.pinned_seqs().to_vec());
        if pinned.is_empty() {
            self.notice(&format!("nothing is pinned in {}", self.room));
        }
        for seq in pinned {
            let message = match self.known(seq).held {
                Some(message) => Some(message),
                None => {
                    let read = |caller: &mut Caller| caller.messages(&self.room, PagePlace::After(seq - 1), 1);
                    let page = open.call(read).map_err(|e| format!("can't list the pinned messages: {e}"))?;
                    page.messages.into_iter().find(|message| message.seq == seq)
                }
            };
            match message {
                Some(message) => self.notice(&listed(&message, self.marks_claims)),
                None => self.notice(&format!("#{seq}, which is gone")),
            }
        }
        Ok(())
    }

    fn search(&self, open: &mut OpenCaller<'_>, text: String) -> Result<(), String> {
        let shown = start_of(&text);
        let query = SearchQuery { text, room: Some(self.room.clone()), ..SearchQuery::default() };
        let (mut found, mut token, mut behind_count) = (Vec::new(), String::new(), 0);
        // A page may be empty, and not the last one.
        for _ in 0..SEARCH_PAGES_MAX {
            let page = match open.call(|caller| caller.search(&query, FOUND_MAX - found.len() as u32, &token)) {
                Ok(page) => page,
                // The room has no messages.
                Err(CallError::NotFound(_)) => break,
                Err(error) => return Err(format!("can't search: {error}")),
            };
            found.extend(page.found.into_iter().take(FOUND_MAX as usize - found.len()));
            (token, behind_count) = (page.next_page_token, page.behind_count);
            if token.is_empty() || found.len() == FOUND_MAX as usize {
                break;
            }
        }
        if found.is_empty() {
            self.notice(&format!("nothing found for {shown} in {}", self.room));
        }
        // The newest stands last, as in the chat.
        found.iter().rev().for_each(|found| self.notice(&listed(&found.message, self.marks_claims)));
        if !token.is_empty() {
            self.notice(&format!("there may be more: hubbub search --room {} lists all", self.room));
        }
        if behind_count > 0 {
            self.notice(&format!("not searched yet: up to {behind_count} of the newest messages"));
        }
        Ok(())
    }
}
