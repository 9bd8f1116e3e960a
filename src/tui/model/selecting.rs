//! What is done with the selected message.

use super::super::inlet::{Call, Outgoing};
use super::super::keys::Selected;
use super::super::marks;
use super::super::room::{Scroll, Step, Wanted};
use super::parts::Asked;
use super::{Model, Purpose};
use crate::client::{Gap, GapReason, StoredMessage};
use crate::names::RoomName;

/// How many messages a page of the selection has.
const PAGE: usize = 10;

impl Model {
    pub(super) fn selected(&mut self, action: Selected) {
        match action {
            Selected::Up => self.step(Step::Older, 1),
            Selected::Down => self.step(Step::Newer, 1),
            Selected::PageUp => self.step(Step::Older, PAGE),
            Selected::PageDown => self.step(Step::Newer, PAGE),
            Selected::First => self.step(Step::Older, usize::MAX),
            Selected::Last => {
                self.with_room(|room| {
                    room.unselect();
                    room.scroll(Scroll::End);
                });
                self.step(Step::Older, 1);
            }
            Selected::Leave => self.stop_selecting(),
            action => self.with_selected(action),
        }
    }

    fn step(&mut self, step: Step, count: usize) {
        self.with_room(|room| {
            for _ in 0..count {
                let before = room.selected_key();
                room.select(step);
                if room.selected_key() == before {
                    break;
                }
            }
        });
    }

    pub(super) fn stop_selecting(&mut self) {
        self.is_selecting = false;
        self.with_room(super::super::room::Room::unselect);
    }

    fn with_selected(&mut self, action: Selected) {
        let Some(open) = self.current() else { return };
        if let Some(gap) = open.room.selected_gap() {
            return self.with_gap(action, gap);
        }
        let Some(message) = open.room.selected().cloned() else { return self.stop_selecting() };
        let (room, seq, epoch) = (open.name().clone(), message.seq, open.epoch());
        match action {
            Selected::Copy => self.copy(&message.body, "the text"),
            Selected::CopyWithName => self.copy(&self.with_name(&message), "the message"),
            Selected::CopyPlace => self.copy(&format!("#{room}/{seq}"), "its place"),
            Selected::OpenLink => return self.open_link(&message),
            Selected::Open => {
                self.with_room(|room| room.toggle_fold(seq));
                return;
            }
            Selected::MarkUnread => self.mark_unread(Some(seq)),
            Selected::Reply => self.purpose = Some((room, Purpose::Reply { seq })),
            Selected::Edit => {
                if let Err(fault) = self.recall(&message) {
                    self.fail(&fault);
                }
            }
            Selected::React => self.insert_command(&format!("/react #{seq} ")),
            Selected::Delete => {
                let call = Call::Delete { room, seq, epoch };
                self.call_for_user(call, Asked::Change { failed: "not deleted", done: None });
            }
            Selected::Pin => {
                let removed = open.room.pinned_seqs().contains(&seq);
                let failed = if removed { "not unpinned" } else { "not pinned" };
                self.call_for_user(Call::Pin { room, seq, epoch, removed }, Asked::Change { failed, done: None });
            }
            _ => return,
        }
        self.stop_selecting();
    }

    /// Enter on a gap reads it, if that can be.
    fn with_gap(&mut self, action: Selected, gap: Gap) {
        if action != Selected::Open {
            return self.tell("these messages are missing; Enter tells more, or tries to read them again");
        }
        let mut is_asked = false;
        self.with_room(|room| is_asked = room.open_gap(&gap));
        match gap.reason {
            _ if is_asked => {
                self.opening_gap = self.current_name().zip(Some(gap.from_seq));
                self.tell("reading the missing messages again …");
            }
            GapReason::EpochChanged => self.tell(
                "the server went back to an older state, perhaps from a backup: these messages can't be read again",
            ),
            _ => self
                .tell("the server keeps messages for a limited time, and has deleted these: they can't be read again"),
        }
    }

    /// A page arrived after the user wanted to read a gap.
    pub(super) fn gap_read(&mut self, room: &RoomName, wanted: Wanted) {
        let Some((_, seq)) = self.opening_gap.take_if(|(of, seq)| of == room && wanted == Wanted::Around(*seq)) else {
            return;
        };
        let is_missing = self.find(room).is_some_and(|open| open.room.is_in_gap(seq));
        self.tell(match is_missing {
            true => "the messages still can't be read: the operator of the server can restore a backup",
            false => "the messages could be read",
        });
    }

    /// Puts the text of an own message into the input, to be edited.
    pub(super) fn recall(&mut self, message: &StoredMessage) -> Result<(), String> {
        let seq = message.seq;
        if message.extras.is_deleted() {
            return Err(format!("message #{seq} was deleted"));
        }
        if message.sender != self.me.name || message.authenticated != self.me.authenticated {
            return Err(format!("message #{seq} is not yours"));
        }
        let Some(room) = self.current_name() else { return Err(super::rooms::NO_ROOM.to_owned()) };
        self.editor.replace(&message.body).map_err(|fault| fault.to_string())?;
        self.purpose = Some((room, Purpose::Edit { seq, seen: message.extras.edited_seq }));
        Ok(())
    }

    /// Begins a command, in place of what is typed, which undo restores.
    fn insert_command(&mut self, command: &str) {
        if let Err(fault) = self.editor.replace(command) {
            self.fail(&fault.to_string());
        }
    }

    fn with_name(&self, message: &StoredMessage) -> String {
        let time = crate::terminal::local_time::LocalTime::new(message.time_ms);
        let time = time.map_or_else(String::new, |time| format!("[{}] ", time.readable()));
        format!("{time}{}: {}", message.sender, message.body)
    }

    fn open_link(&mut self, message: &StoredMessage) {
        let links = marks::links(&message.body);
        match links.first().and_then(|link| message.body.get(link.clone())) {
            Some(link) => {
                let link = link.to_owned();
                self.tell(&format!("opening {link}"));
                self.requests.push_back(Outgoing::Browse(link));
            }
            None => self.tell("there is no link in this message"),
        }
    }
}
