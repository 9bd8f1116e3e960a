//! Sending: own lines from Enter to their acknowledgement. None is ever lost: until it is stored, it is shown as pending
//! and kept on the disk; if it is rejected, it comes back into the input.

use std::time::Instant;

use super::super::entry::Pending;
use super::super::inlet::{KeptLine, Outgoing};
use super::super::network::{BYTES_MAX, LINES_MAX};
use super::super::pace::Urgency;
use super::super::room::Scroll;
use super::open_room::Membership;
use super::parts::Sent;
use super::rooms::NO_ROOM;
use super::{Link, Model};
use crate::client::{Line, mentioned, new_message_id};
use crate::names::{Body, Kind, MessageId, RoomName};
use crate::terminal::clock::local_ms;

impl Model {
    /// Sends a text to the current room, perhaps as a reply. Fails with the reason, and then nothing has changed.
    pub(super) fn send(&mut self, body: Body, kind: Kind, reply_to: Option<u64>) -> Result<(), String> {
        let Some(open) = self.current() else { return Err(NO_ROOM.to_owned()) };
        match &open.membership {
            Membership::Refused(reason) => return Err(format!("{} is not joined: {reason}", open.name())),
            Membership::Leaving => return Err(format!("you are leaving {}: /join joins it again", open.name())),
            Membership::Apart | Membership::Joined => {}
        }
        let names = open.presence.names();
        let mentions = mentioned(body.as_str(), names.iter().map(String::as_str));
        let room = open.name().clone();
        let line = Line { reply_to, mentions, ..Line::new(new_message_id(), body, kind) };
        let body = line.body.as_str().to_owned();
        self.post(KeptLine { room, line, since_ms: local_ms() })?;
        self.with_room(|room| {
            room.sent_again(&body);
            room.read();
            room.scroll(Scroll::End);
        });
        Ok(())
    }

    /// Posts a line, and shows it as pending. Fails if too many wait.
    pub(super) fn post(&mut self, kept: KeptLine) -> Result<(), String> {
        let KeptLine { room, line, since_ms } = kept;
        let bytes: usize = self.sent.iter().map(|sent| sent.line.body.as_str().len()).sum();
        if self.sent.len() >= LINES_MAX || bytes + line.body.as_str().len() > BYTES_MAX {
            return Err(format!("{} messages wait for the server already: send this later", self.sent.len()));
        }
        let Some(open) = self.find(&room) else { return Err(format!("you are not in {room}: /join it first")) };
        if let Membership::Refused(reason) = &open.membership {
            return Err(format!("{room} is not joined: {reason}"));
        }
        open.room.post(Pending {
            id: line.id,
            body: line.body.as_str().to_owned(),
            kind: line.kind,
            reply_to: line.reply_to,
            failed: None,
        });
        let is_requested = open.membership == Membership::Joined;
        if self.has_session && is_requested {
            self.requests.push_back(Outgoing::Post { room: room.clone(), line: line.clone() });
        }
        self.sent.push(Sent { room, line, since: Instant::now(), since_ms, is_earlier: false });
        match self.link {
            Link::Online => self.keeping.changed(),
            // It may wait for long.
            _ => self.keeping.at_once(),
        }
        self.wants(Urgency::Asked);
        Ok(())
    }

    /// The server has the line. Its message has arrived, or arrives later and replaces what is pending; only that of a
    /// line which an earlier client had posted may be in the history that is not read.
    pub(super) fn stored(&mut self, room: &RoomName, id: &MessageId, seq: u64) {
        self.settled(room, id);
        if let Some(open) = self.find(room).filter(|open| open.has_passed(seq)) {
            open.room.settled(id);
        }
    }

    /// The room's history up to its end has arrived: a message that is stored and has not come with it is further up.
    pub(super) fn settle_earlier(&mut self, room: &RoomName) {
        let Self { rooms, sent, .. } = self;
        let Some(open) = rooms.iter_mut().find(|open| open.name() == room) else { return };
        open.room.keep_pending(|id| sent.iter().any(|sent| sent.line.id == *id));
    }

    /// A line is stored, or was given up.
    pub(super) fn settled(&mut self, room: &RoomName, id: &MessageId) {
        let before = self.sent.len();
        self.sent.retain(|sent| !(sent.room == *room && sent.line.id == *id));
        if self.sent.len() < before {
            self.keeping.changed();
        }
    }

    /// A line will never be stored: its text goes back into the input, with the reason.
    pub(super) fn rejected(&mut self, id: &MessageId, reason: &str) {
        let Some(at) = self.sent.iter().position(|sent| sent.line.id == *id) else { return };
        let Sent { room, line, .. } = self.sent.remove(at);
        let text = typed_again(line.body.as_str(), line.kind, line.reply_to);
        let is_back = self.editor.give_back(Some(&room), &text);
        if let Some(open) = self.find(&room) {
            match is_back {
                true => drop(open.room.settled(id)),
                false => open.room.failed(id, reason),
            }
        }
        let place = if self.current_name().as_ref() == Some(&room) { String::new() } else { format!(" in {room}") };
        match is_back {
            true => self.fail_whole(&format!("not sent{place}: {reason}; its text is in the input again")),
            // The failed message has the reason.
            false => self.fail(&format!("not sent{place}: {reason}; Up recalls its text")),
        }
        self.keeping.changed();
    }

    /// How long the oldest line has waited for its acknowledgement.
    pub(super) fn oldest_wait(&self) -> Option<std::time::Duration> {
        self.sent.first().map(|sent| sent.since.elapsed())
    }
}

/// The text that sends a line again.
pub fn typed_again(text: &str, kind: Kind, reply_to: Option<u64>) -> String {
    match (kind, reply_to) {
        (Kind::Action, _) => format!("/me {text}"),
        (Kind::Text, Some(seq)) => format!("/reply #{seq} {text}"),
        (Kind::Text, None) if text.starts_with('/') => format!("/say {text}"),
        (Kind::Text, None) => text.to_owned(),
    }
}
