//! Choosing a message or a gap, for the commands that concern one.

use super::Room;
use super::pane::Step;
use super::requests::Wanted;
use crate::client::{Gap, GapReason, StoredMessage};
use crate::tui::entry::{Content, Entry, Key};

impl Room {
    /// Chooses the next message or gap in that direction: the last one on the screen if none is chosen. True: there is
    /// one.
    pub fn select(&mut self, step: Step) -> bool {
        let (_, bottom) = self.pane.shown_slots();
        let is_event = |at: &usize| self.window.get(*at).is_some_and(Entry::is_event);
        let chosen = self.selected.map(|key| self.window.position(key));
        let found = match (chosen, step) {
            (None, _) => (0..self.window.len().min(bottom + 1)).rev().find(is_event),
            (Some(at), Step::Older) => (0..at).rev().find(is_event),
            (Some(at), Step::Newer) => (at + 1..self.window.len()).find(is_event),
        };
        let Some(slot) = found else { return self.selected.is_some() };
        self.selected = self.window.get(slot).map(|entry| entry.key);
        self.requests.resume();
        self.reveal(slot);
        true
    }

    /// Chooses the message with that seq, if it is in memory.
    pub fn select_seq(&mut self, seq: u64) -> bool {
        let is_held = self.get(seq).is_some();
        if is_held {
            self.selected = Some(Key::event(seq));
            self.reveal(self.window.position(Key::event(seq)));
        }
        is_held
    }

    pub fn unselect(&mut self) {
        self.selected = None;
    }

    /// The chosen message.
    pub fn selected(&self) -> Option<&StoredMessage> {
        self.selected_entry()?.message().map(|held| &held.message)
    }

    /// The chosen gap.
    pub fn selected_gap(&self) -> Option<Gap> {
        match self.selected_entry()?.content {
            Content::Gap(gap) => Some(gap),
            _ => None,
        }
    }

    /// The place of what is chosen.
    pub fn selected_key(&self) -> Option<Key> {
        self.selected_entry().map(|entry| entry.key)
    }

    fn selected_entry(&self) -> Option<&Entry> {
        let key = self.selected?;
        self.window.get(self.window.position(key)).filter(|entry| entry.key == key)
    }

    /// Reads a gap from the server again: damage may have been repaired. False: what is missing is gone for good.
    pub fn open_gap(&mut self, gap: &Gap) -> bool {
        let may_be_read = matches!(gap.reason, GapReason::Damaged | GapReason::Other);
        if may_be_read {
            self.requests.resume();
            self.requests.target = Some(Wanted::Around(gap.from_seq));
        }
        may_be_read
    }

    /// A part of the log was read again: what has the place of the chosen entry is chosen.
    pub(super) fn select_again(&mut self, seq: u64) {
        if self.selected.is_some() && self.selected_key().is_none() {
            let entry = self.window.get(self.window.position(Key::event(seq)));
            self.selected = entry.filter(|entry| entry.is_event()).map(|entry| entry.key);
        }
    }

    /// Whether this event is in a gap.
    pub fn is_in_gap(&self, seq: u64) -> bool {
        self.window.iter().any(|entry| match entry.content {
            Content::Gap(gap) => (gap.from_seq..=gap.to_seq).contains(&seq),
            _ => false,
        })
    }
}

impl Entry {
    /// Whether it is a part of the room's log: a message, or events that are missing.
    fn is_event(&self) -> bool {
        matches!(self.content, Content::Message(_) | Content::Gap(_))
    }
}
