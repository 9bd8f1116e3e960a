//! The commands that concern messages which were sent already, and the topic.

use super::super::inlet::Call;
use super::Model;
use super::open_room::OpenRoom;
use super::parts::Asked;
use super::rooms::NO_ROOM;
use crate::client::{SearchQuery, StoredMessage, mentioned};
use crate::editing::change_commands::ChangeCommand;
use crate::names::{Body, Kind, RoomName};

/// How many messages a search finds.
const FOUND_MAX: u32 = 50;

impl Model {
    pub(super) fn change(&mut self, change: ChangeCommand) -> Result<(), String> {
        let open = self.current().ok_or(NO_ROOM)?;
        let (room, epoch) = (open.name().clone(), open.epoch());
        match change {
            ChangeCommand::Edit { seq, text: None } => {
                let message = own(open, seq, "edit")?.clone();
                // The command is taken out of the input first.
                return self.recall(&message);
            }
            ChangeCommand::Edit { seq, text: Some(text) } => {
                let body = Body::new(text).map_err(|fault| fault.to_string())?;
                let (seq, seen) = match seq {
                    Some(seq) => (seq, open.room.get(seq).map(|message| message.extras.edited_seq)),
                    None => own(open, None, "edit").map(|message| (message.seq, Some(message.extras.edited_seq)))?,
                };
                return self.edit_message(seq, body, seen);
            }
            ChangeCommand::Delete { seq } => {
                let seq = seq.map_or_else(|| own(open, None, "delete").map(|message| message.seq), Ok)?;
                let asked = Asked::Change { failed: "not deleted", done: None };
                self.call_for_user(Call::Delete { room, seq, epoch }, asked);
            }
            ChangeCommand::Reply { seq, text } => {
                if open.room.get(seq).is_some_and(|message| message.extras.is_deleted()) {
                    return Err(format!("message #{seq} was deleted"));
                }
                let body = Body::new(text).map_err(|fault| fault.to_string())?;
                return self.send(body, Kind::Text, Some(seq));
            }
            ChangeCommand::React { seq, emoji, removed } => {
                let newest = || open.room.last_of(false).map(|message| message.seq);
                let seq = seq.or_else(newest).ok_or("nobody else has a message here")?;
                let asked = Asked::Change { failed: "no reaction", done: None };
                self.call_for_user(Call::React { room, seq, epoch, emoji, removed }, asked);
            }
            ChangeCommand::Pin { seq } => {
                let asked = Asked::Change { failed: "not pinned", done: None };
                self.call_for_user(Call::Pin { room, seq, epoch, removed: false }, asked);
            }
            ChangeCommand::Unpin { seq } => {
                let last = || open.room.pinned_seqs().last().copied();
                let seq = seq.or_else(last).ok_or_else(|| format!("nothing is pinned in {room}"))?;
                let asked = Asked::Change { failed: "not unpinned", done: None };
                self.call_for_user(Call::Pin { room, seq, epoch, removed: true }, asked);
            }
            ChangeCommand::Pins => return self.list_pins(),
            ChangeCommand::ShowTopic => {
                let topic = open.room.topic().to_owned();
                match topic.is_empty() {
                    true => self.tell(&format!("{room} has no topic")),
                    false => self.tell(&format!("topic of {room}: {topic}")),
                }
            }
            ChangeCommand::SetTopic(topic) => {
                let asked = Asked::Change { failed: "the topic was not changed", done: None };
                self.call_for_user(Call::SetTopic { room, topic }, asked);
            }
            ChangeCommand::Search(text) => {
                let query = SearchQuery { text: text.clone(), ..SearchQuery::default() };
                let call = Call::Search { query, max: FOUND_MAX, page_token: String::new() };
                self.call_for_user(call, Asked::Search { text });
            }
            ChangeCommand::Numbers(None) => self.list_numbers(),
            ChangeCommand::Numbers(Some(shows)) => {
                self.shows.numbers = shows;
                self.keeping.changed();
                self.tell(if shows { "messages are shown with their numbers" } else { "numbers are not shown" });
            }
        }
        Ok(())
    }

    /// Replaces the text of a message.
    pub(super) fn edit_message(&mut self, seq: u64, body: Body, seen: Option<u64>) -> Result<(), String> {
        let open = self.current().ok_or(NO_ROOM)?;
        let names = open.presence.names();
        let mentions = mentioned(body.as_str(), names.iter().map(String::as_str));
        let room = open.name().clone();
        let asked = Asked::Edit { room: room.clone(), seq, text: body.as_str().to_owned() };
        let call = Call::Edit { room, seq, epoch: open.epoch(), body, mentions, seen };
        match self.call(call, asked) {
            true => Ok(()),
            false => Err("not edited: there is no connection now".to_owned()),
        }
    }

    /// The server did not change the message: the text comes back as a command, with the reason.
    pub(super) fn not_edited(&mut self, room: &RoomName, seq: u64, text: &str, fault: &str) {
        let is_back = self.editor.give_back(Some(room), &format!("/edit #{seq} {text}"));
        let where_it_is = if is_back { "its text is in the input again" } else { "Up recalls its text" };
        self.fail(&format!("not edited: {fault}; {where_it_is}"));
        self.keeping.changed();
    }
}

/// The user's message with that number, or the last one.
fn own<'a>(open: &'a OpenRoom, seq: Option<u64>, what: &str) -> Result<&'a StoredMessage, String> {
    if !open.room.pending().is_empty() && seq.is_none() {
        return Err(format!("can't {what}: your last message is not stored yet"));
    }
    let found = match seq {
        Some(seq) => open.room.get(seq).ok_or_else(|| format!("message #{seq} is not here: /go #{seq} reads it first")),
        None => open.room.last_of(true).ok_or_else(|| "you have no message here".to_owned()),
    };
    found.map_err(|fault| format!("can't {what}: {fault}"))
}
