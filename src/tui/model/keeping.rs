//! What is kept on the disk, and when.
//!
//! A line is kept when it has waited a second, and at once without a connection, so in normal operation none is written; a
//! draft and the marks are kept a second after they have changed.

use std::sync::Arc;
use std::time::Instant;

use super::super::inlet::{EnteredLine, Kept, KeptLine, KeptRoom, Look};
use super::super::input_history::{self, LINES_MAX};
use super::Model;
use super::open_room::Membership;
use super::sending::typed_again;
use crate::names::RoomName;

impl Model {
    pub(super) fn kept_if_due(&mut self, now: Instant) -> Option<Arc<Kept>> {
        self.keeping.due.is_some_and(|due| due <= now).then(|| self.kept())
    }

    /// Everything that outlives the client.
    pub fn kept(&mut self) -> Arc<Kept> {
        self.keeping.due = None;
        let rooms =
            self.rooms.iter().filter(|open| !matches!(open.membership, Membership::Refused(_) | Membership::Leaving));
        let always_muted = &self.config.notifications.muted;
        let room = |open: &super::OpenRoom| KeptRoom {
            name: open.name().clone(),
            read: open.read(),
            is_muted: open.is_muted && !always_muted.contains(open.name()),
        };
        let rooms = rooms.map(room).collect();
        let sent = self.sent.iter().map(|sent| KeptLine {
            room: sent.room.clone(),
            line: sent.line.clone(),
            since_ms: sent.since_ms,
        });
        let unsent = self.offered.iter().cloned().chain(sent).collect();
        let look = Look { rooms: self.shows.rooms, people: self.shows.people, numbers: self.shows.numbers };
        let (current, drafts, history) = (self.current_name(), self.kept_drafts(), Arc::clone(&self.history));
        Arc::new(Kept { rooms, current, unsent, drafts, look, has_connected: self.has_connected, history })
    }

    /// The drafts, and after them the texts of messages that could not be stored, and of edits that are under way.
    fn kept_drafts(&self) -> Vec<(RoomName, String)> {
        let home = self.current_name().unwrap_or_else(RoomName::lobby);
        let draft = |(room, text): (Option<&RoomName>, &str)| (room.unwrap_or(&home).clone(), text.to_owned());
        let mut drafts: Vec<_> = self.editor.drafts().map(draft).collect();
        // That of the current room with what only the screen has.
        let purpose = self.purpose.as_ref().and_then(|(_, purpose)| purpose.command(self.editor.text()));
        if let Some(text) = self.draft_with_paste().or(purpose) {
            drafts.retain(|(room, _)| *room != home);
            drafts.push((home, text));
        }
        // The same state is the same file.
        drafts.sort_by(|one, other| (one.0.as_str(), &one.1).cmp(&(other.0.as_str(), &other.1)));
        for open in &self.rooms {
            let failed = open.room.pending().iter().filter(|pending| pending.failed.is_some());
            let texts = failed.map(|pending| typed_again(&pending.body, pending.kind, pending.reply_to));
            drafts.extend(texts.map(|text| (open.name().clone(), text)));
        }
        let mut edits: Vec<_> = self.calls.edits().collect();
        edits.sort_unstable();
        drafts.extend(edits.into_iter().map(|(room, seq, text)| (room.clone(), format!("/edit #{seq} {text}"))));
        drafts
    }

    /// Records a line that was entered.
    pub(super) fn record_line(&mut self, text: &str) {
        if !self.config.input.history || !input_history::is_kept(text) {
            return;
        }
        let line = EnteredLine { room: self.current_name(), time_ms: self.clock.now(), text: text.to_owned() };
        let history = Arc::make_mut(&mut self.history);
        if history.last().is_none_or(|last| (&last.room, &last.text) != (&line.room, &line.text)) {
            history.push(line);
        }
        history.drain(..history.len().saturating_sub(LINES_MAX));
    }
}
