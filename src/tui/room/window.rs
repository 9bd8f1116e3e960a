//! A part of a room's log that is in memory, with the lines of the client between. Pure data.
//!
//! The window is contiguous: all messages from its first to its last event are in it, or shown as a gap. It grows at
//! both ends, and what is farthest from the screen leaves it when it has too much. While the window reaches the newest
//! event it is *live*, and messages that arrive are appended; otherwise they stay on the server until they are read.

use std::collections::VecDeque;
use std::collections::vec_deque::Iter;

use super::super::entry::{Content, Entry, HeldMessage, Key};
use crate::client::StoredMessage;

/// How much a window may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub entries: usize,
    /// Of text.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 5_000, bytes: 8 * 1024 * 1024 }
    }
}

/// How many entries around the screen never leave the window: more than any screen has rows.
const MARGIN: usize = 512;

/// What an entry takes besides its text, roughly.
const ENTRY_BYTES: usize = 256;

/// A part of a room's log.
#[derive(Clone, Debug)]
pub struct Window {
    entries: VecDeque<Entry>,
    bytes: usize,
    limits: Limits,
    /// The first and the last event that the window knows.
    known: Option<(u64, u64)>,
    is_live: bool,
}

impl Window {
    pub fn new(limits: Limits) -> Self {
        // The screen must keep what it shows.
        let limits = Limits { entries: limits.entries.max(4 * MARGIN), ..limits };
        Self { entries: VecDeque::new(), bytes: 0, limits, known: None, is_live: true }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn get(&self, at: usize) -> Option<&Entry> {
        self.entries.get(at)
    }

    pub fn iter(&self) -> Iter<'_, Entry> {
        self.entries.iter()
    }

    pub fn known(&self) -> Option<(u64, u64)> {
        self.known
    }

    pub fn is_live(&self) -> bool {
        self.is_live
    }

    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The position of the first entry at this key or after it.
    pub fn position(&self, key: Key) -> usize {
        self.entries.partition_point(|entry| entry.key < key)
    }

    pub fn message(&self, seq: u64) -> Option<&HeldMessage> {
        let entry = self.entries.get(self.position(Key::event(seq))).filter(|entry| entry.key == Key::event(seq))?;
        entry.message()
    }

    /// Changes a message, if it is held.
    pub fn change(&mut self, seq: u64, change: impl FnOnce(&mut HeldMessage)) -> bool {
        let at = self.position(Key::event(seq));
        let Some(entry) = self.entries.get_mut(at).filter(|entry| entry.key == Key::event(seq)) else { return false };
        let before = bytes(entry);
        let Content::Message(held) = &mut entry.content else { return false };
        change(held);
        self.bytes = self.bytes - before + bytes(entry);
        true
    }

    /// An event of the log arrived. `content`: if it is shown. `screen`: what the user looks at, unless that is the end.
    pub fn event(&mut self, seq: u64, content: Option<Content>, screen: Option<Key>) {
        if !self.is_live {
            return;
        }
        let (first, last) = self.known.unwrap_or((seq, seq.saturating_sub(1)));
        self.known = Some((first, last.max(seq)));
        // A new session may report again what is here.
        if let Some(content) = content.filter(|_| seq > last) {
            self.push_back(Entry { key: Key::event(seq), content });
            self.evict_for_live(screen);
        }
    }

    /// Appends something that is no event of the log, or is one of the last.
    pub fn append(&mut self, content: Content, screen: Option<Key>) {
        if !self.is_live {
            return;
        }
        let last = self.entries.back().map_or(Key { seq: 0, after: 0 }, |entry| entry.key);
        let seq = self.known.map_or(0, |(_, last)| last).max(last.seq);
        let after = if last.seq == seq { last.after + 1 } else { 1 };
        self.push_back(Entry { key: Key { seq, after }, content });
        self.evict_for_live(screen);
    }

    /// The last entry, if it may still be changed.
    pub fn change_last<T>(&mut self, change: impl FnOnce(&mut Content) -> Option<T>) -> Option<(Key, T)> {
        let entry = self.entries.back_mut().filter(|_| self.is_live)?;
        let before = bytes(entry);
        let changed = change(&mut entry.content);
        self.bytes = self.bytes - before + bytes(entry);
        changed.map(|changed| (entry.key, changed))
    }

    /// Older entries arrived, from that event on: those before the window. Newer ones leave it if there are too many.
    pub fn older(&mut self, first_seq: u64, entries: Vec<Entry>, screen: Option<Key>) {
        let Some((first, last)) = self.known else { return };
        self.known = Some((first.min(first_seq), last));
        for entry in entries.into_iter().rev() {
            self.bytes += bytes(&entry);
            self.entries.push_front(entry);
        }
        let Some(screen) = screen else {
            // The end is shown.
            return self.evict_for_live(None);
        };
        let shown = self.position(screen);
        while self.is_full() && self.entries.len() > shown + MARGIN {
            self.pop_back();
        }
    }

    /// Newer entries arrived, up to that event: those after the window. Older ones leave it.
    pub fn newer(&mut self, last_seq: u64, entries: Vec<Entry>, head_seq: u64, screen: Option<Key>) {
        let Some((first, last)) = self.known else { return };
        self.known = Some((first, last.max(last_seq)));
        self.is_live = last.max(last_seq) >= head_seq;
        entries.into_iter().for_each(|entry| self.push_back(entry));
        let mut shown = screen.map_or(self.entries.len(), |screen| self.position(screen));
        while self.is_full() && shown > MARGIN {
            self.pop_front();
            shown -= 1;
        }
    }

    /// The window has another part of the log now: the events from `first_seq` to `last_seq`.
    pub fn replace(&mut self, first_seq: u64, last_seq: u64, entries: Vec<Entry>, head_seq: u64) {
        self.clear();
        self.known = Some((first_seq, last_seq));
        self.is_live = last_seq >= head_seq;
        entries.into_iter().for_each(|entry| self.push_back(entry));
    }

    /// Messages below this seq were deleted at the server.
    pub fn forget_below(&mut self, seq: u64) {
        // Lines before the first event are no messages, and stay unless that was deleted.
        while seq > 1 && self.entries.front().is_some_and(|entry| entry.key.seq < seq) {
            self.pop_front();
        }
        self.known = self.known.filter(|(_, last)| *last >= seq).map(|(first, last)| (first.max(seq), last));
    }

    /// Everything could have changed: it must be read again. The window is live, and the next event is `next_seq`.
    pub fn restart(&mut self, next_seq: u64) {
        self.clear();
        self.known = Some((next_seq, next_seq.saturating_sub(1)));
        self.is_live = true;
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }

    /// What is farthest from the screen leaves the window. If the screen is at the start of it, the end leaves, and the
    /// window is not live any more.
    fn evict_for_live(&mut self, screen: Option<Key>) {
        if !self.is_full() {
            return;
        }
        let mut shown = screen.map_or(self.entries.len(), |screen| self.position(screen));
        while self.is_full() && shown > MARGIN {
            self.pop_front();
            shown -= 1;
        }
        while self.is_full() && self.entries.len() > shown + MARGIN {
            self.pop_back();
        }
    }

    fn is_full(&self) -> bool {
        self.entries.len() > self.limits.entries || self.bytes > self.limits.bytes
    }

    fn push_back(&mut self, entry: Entry) {
        debug_assert!(self.entries.back().is_none_or(|last| last.key < entry.key), "{entry:?}");
        self.bytes += bytes(&entry);
        self.entries.push_back(entry);
    }

    fn pop_front(&mut self) {
        let Some(entry) = self.entries.pop_front() else { return };
        self.bytes -= bytes(&entry);
        // The events up to the next entry are known, but there is nothing to show of them.
        if let Some((_, last)) = self.known {
            self.known = Some((entry.last_seq().saturating_add(1), last.max(entry.last_seq())));
        }
    }

    fn pop_back(&mut self) {
        let Some(entry) = self.entries.pop_back() else { return };
        self.bytes -= bytes(&entry);
        self.is_live = false;
        // The lines after an event are lost with it.
        if let Some((first, last)) = self.known {
            let end = if entry.key.after == 0 { entry.key.seq.saturating_sub(1) } else { entry.key.seq };
            self.known = Some((first, last.min(end)));
        }
    }
}

impl Entry {
    pub fn message(&self) -> Option<&HeldMessage> {
        match &self.content {
            Content::Message(held) => Some(held),
            _ => None,
        }
    }

    /// The last event that it covers.
    fn last_seq(&self) -> u64 {
        match &self.content {
            Content::Gap(gap) if self.key.after == 0 => gap.to_seq.max(self.key.seq),
            _ => self.key.seq,
        }
    }
}

/// What an entry takes, roughly.
fn bytes(entry: &Entry) -> usize {
    let text = match &entry.content {
        Content::Message(held) => {
            let StoredMessage { sender, body, extras, .. } = &held.message;
            let reactions = extras.reactions.iter().map(|reaction| 64 + 64 * reaction.people.len());
            sender.len() + body.len() + 48 * extras.mentions.len() + reactions.sum::<usize>()
        }
        Content::Notice(notice) => notice.text.len(),
        Content::Presence(presence) => presence.changes.iter().map(|change| 48 + change.name.len()).sum(),
        Content::Gap(_) => 0,
    };
    ENTRY_BYTES + text
}

#[cfg(test)]
mod tests;
