//! Reading history from the server while the user scrolls: what is needed next, and what arrived.

use super::super::entry::{Content, Entry, HeldMessage, Key};
use super::Room;
use super::requests::{PAGE_MESSAGES, Wanted};
use crate::client::{HistoryPage, Outdated};

/// A page is requested when fewer entries than this are left above or below the screen.
const AHEAD: usize = 100;

impl Room {
    /// What to read from the server next, once: the answer must be passed to [`page`](Self::page) or
    /// [`page_failed`](Self::page_failed). Ask after [`shown`](Self::shown).
    pub fn wanted(&mut self) -> Option<Wanted> {
        if self.requests.pending.is_some() || self.requests.has_failed || !self.has_caught_up {
            return None;
        }
        let wanted = self.requests.target.or_else(|| self.missing_around_screen())?;
        self.requests.pending = Some(wanted);
        Some(wanted)
    }

    fn missing_around_screen(&self) -> Option<Wanted> {
        let Some((first, last)) = self.window.known() else {
            // Joined at the head of a room with history.
            return (self.head_seq > 0 && !self.is_at_start()).then_some(Wanted::Newest);
        };
        let (top, bottom) = self.pane.shown_slots();
        if !self.window.is_live() && bottom + AHEAD >= self.window.len() {
            return Some(Wanted::After(last));
        }
        (top < AHEAD && !self.is_at_start()).then_some(Wanted::Before(first))
    }

    /// Whether the window has the oldest message that the server keeps.
    pub fn is_at_start(&self) -> bool {
        let first = self.window.known().map_or(self.head_seq.saturating_add(1), |(first, _)| first);
        first <= self.oldest_seq || self.requests.start_seq.is_some_and(|start| first <= start)
    }

    /// A page arrived. If it can't be used, it is requested again when the user moves.
    pub fn page(&mut self, wanted: Wanted, page: &HistoryPage) -> Result<(), Outdated> {
        if self.requests.pending != Some(wanted) {
            return Ok(());
        }
        self.requests.pending = None;
        if !self.changes.reach(page.head_seq) || (self.epoch.is_some() && page.epoch != self.epoch) {
            self.requests.has_failed = true;
            return Err(Outdated);
        }
        self.oldest_seq = self.oldest_seq.max(page.oldest_seq);
        let entries = self.entries(page);
        let screen = self.pane.anchor_key();
        let first = entries.first().map(|entry| entry.key.seq);
        match (wanted, self.window.known()) {
            (Wanted::Before(before), Some((known, _))) if before == known => {
                // A gap that the stream reported is in the window already.
                let is_shown = |entry: &Entry| self.window.get(0).is_some_and(|first| first.content == entry.content);
                let entries = entries.into_iter().filter(|entry| entry.key.seq < before && !is_shown(entry));
                let entries: Vec<_> = entries.collect();
                let first = entries.first().map(|entry| entry.key.seq);
                if first.is_none() {
                    self.requests.start_seq = Some(before);
                }
                let first = first.unwrap_or(before);
                self.reading.older(first, entries.iter().filter_map(Entry::message));
                self.window.older(first, entries, screen);
            }
            (Wanted::After(after), Some((_, known))) if after == known => {
                let entries: Vec<_> = entries.into_iter().filter(|entry| entry.key.seq > after).collect();
                // The newest events may be no messages.
                let last = page.last_seq.unwrap_or(page.head_seq).max(after);
                self.window.newer(last, entries, self.head_seq, screen);
            }
            (Wanted::Newest, _) => {
                self.head_seq = self.head_seq.max(page.head_seq);
                let first = first.unwrap_or(page.head_seq.saturating_add(1));
                self.replace(first, page.head_seq, entries);
                self.pane.go_to_end();
            }
            (Wanted::Around(seq), _) => {
                let is_end = seq.saturating_add(u64::from(PAGE_MESSAGES / 2)) > page.head_seq;
                let last = if is_end { page.head_seq } else { page.last_seq.unwrap_or(page.head_seq) };
                self.replace(first.unwrap_or(seq).min(last.saturating_add(1)), last, entries);
                self.requests.target = None;
                self.show(seq);
                self.select_again(seq);
            }
            // The window has moved meanwhile.
            _ => {}
        }
        if self.requests.target == Some(wanted) {
            self.requests.target = None;
        }
        // Replies may quote what arrived.
        self.cache.clear();
        Ok(())
    }

    /// The request failed.
    pub fn page_failed(&mut self, wanted: Wanted) {
        if self.requests.pending == Some(wanted) {
            (self.requests.pending, self.requests.has_failed) = (None, true);
            self.requests.target = self.requests.target.filter(|target| *target != wanted);
        }
    }

    /// A page is being read.
    pub fn is_loading(&self) -> bool {
        self.requests.is_loading()
    }

    fn replace(&mut self, first_seq: u64, last_seq: u64, entries: Vec<Entry>) {
        self.window.replace(first_seq, last_seq, entries, self.head_seq);
        self.requests.start_seq = None;
    }

    /// The messages and gaps of a page, as they are now.
    fn entries(&mut self, page: &HistoryPage) -> Vec<Entry> {
        let mut entries = Vec::new();
        for message in &page.messages {
            let mut message = message.clone();
            self.changes.apply_above(page.head_seq, &mut message);
            let held: HeldMessage = self.hold(message, false);
            entries.push(Entry { key: Key::event(held.message.seq), content: Content::Message(Box::new(held)) });
        }
        let gaps = page.gaps.iter().map(|gap| Entry { key: Key::event(gap.from_seq), content: Content::Gap(*gap) });
        entries.extend(gaps);
        entries.retain(|entry| entry.key.seq >= self.oldest_seq);
        entries.sort_by_key(|entry| entry.key);
        entries.dedup_by_key(|entry| entry.key);
        entries
    }
}
