//! Choosing a message, for the commands that concern one.

use super::Room;
use super::pane::Step;
use crate::client::StoredMessage;
use crate::tui::entry::{Entry, Key};

impl Room {
    /// Chooses the next message in that direction: the last one on the screen if none is chosen. True: there is one.
    pub fn select(&mut self, step: Step) -> bool {
        let (_, bottom) = self.pane.shown_slots();
        let is_message = |at: &usize| self.window.get(*at).and_then(Entry::message).is_some();
        let chosen = self.selected.map(|seq| self.window.position(Key::event(seq)));
        let found = match (chosen, step) {
            (None, _) => (0..self.window.len().min(bottom + 1)).rev().find(is_message),
            (Some(at), Step::Older) => (0..at).rev().find(is_message),
            (Some(at), Step::Newer) => (at + 1..self.window.len()).find(is_message),
        };
        let Some(slot) = found else { return self.selected.is_some() };
        self.selected = self.window.get(slot).map(|entry| entry.key.seq);
        self.requests.resume();
        self.reveal(slot);
        true
    }

    /// Chooses the message with that seq, if it is in memory.
    pub fn select_seq(&mut self, seq: u64) -> bool {
        let is_held = self.get(seq).is_some();
        if is_held {
            self.selected = Some(seq);
            self.reveal(self.window.position(Key::event(seq)));
        }
        is_held
    }

    pub fn unselect(&mut self) {
        self.selected = None;
    }

    pub fn selected(&self) -> Option<&StoredMessage> {
        self.selected.and_then(|seq| self.get(seq))
    }
}
