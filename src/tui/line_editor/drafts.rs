//! The drafts of the rooms, and texts that come back.

use super::{LineEditor, Search};
use crate::names::RoomName;

impl LineEditor {
    /// Adds a line of an earlier chat to the histories.
    pub fn remember(&mut self, room: Option<&RoomName>, text: &str) {
        self.lines.entry(room.cloned()).or_default().history.push(text);
        self.all.push(text);
    }

    /// A text of a room that could not be sent becomes its draft again. If another text was typed meanwhile, it is the
    /// newest of the room's history instead, and the result is false.
    pub fn give_back(&mut self, room: Option<&RoomName>, text: &str) -> bool {
        let is_searching = self.search.is_some() && self.room.as_ref() == room;
        let line = self.lines.entry(room.cloned()).or_default();
        let is_free = line.text.is_empty() && line.recall.draft().is_none() && !is_searching;
        match is_free {
            true => line.text.set_at_end(text.to_owned()),
            false => line.history.push(text),
        }
        is_free
    }

    /// The drafts, to be kept: text that was typed and not sent.
    pub fn drafts(&self) -> impl Iterator<Item = (Option<&RoomName>, &str)> {
        let drafts = self.lines.iter().map(|(room, line)| {
            let is_shown = *room == self.room;
            let replaced = self.search.as_ref().filter(|_| is_shown).map(Search::replaced);
            let recalled = || line.recall.draft().filter(|draft| !draft.is_empty());
            (room.as_ref(), replaced.or_else(recalled).unwrap_or_else(|| line.text.text()))
        });
        drafts.filter(|(_, text)| !text.trim().is_empty())
    }

    /// Forgets a room that was left. Returns its draft.
    pub fn forget(&mut self, room: &RoomName) -> Option<String> {
        if self.room.as_ref() == Some(room) {
            self.switch_to(None);
        }
        let mut line = self.lines.remove(&Some(room.clone()))?;
        Some(line.recall.end().unwrap_or_else(|| line.text.take())).filter(|draft| !draft.is_empty())
    }
}
