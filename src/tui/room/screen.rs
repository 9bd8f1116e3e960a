//! Which rows of a room are shown.
//!
//! The screen is anchored to a row of an entry, its last one, unless it is at the end: what arrives below does not move
//! it, nor does what leaves the window above, nor another width.

use std::sync::Arc;

use super::super::color::Role;
use super::super::entry::{Content, Key};
use super::super::message::{RowStyle, Shown, gap_rows, line_row, notice_rows, pending_rows, presence_rows};
use super::super::rows::Rows;
use super::super::view::ShownRow;
use super::super::wrap::Styled;
use super::Room;
use super::pane::{Anchor, Screenful, Scroll};
use super::requests::Wanted;
use super::scroll::{Place, Slots, bottom_for_top, down, last, scrolled_up, up};
use crate::terminal::local_time::LocalTime;

impl Room {
    /// The rows to show in that height, from top to bottom.
    pub fn shown(&mut self, style: &RowStyle, height: usize) -> Screenful {
        let style = &style.narrowed(self.widest_name);
        let is_resized = self.pane.style.as_ref() != Some(style) || self.pane.height != height;
        self.pane.style = Some(style.clone());
        self.pane.height = height;
        if let Some(chosen) = self.selected.filter(|_| is_resized) {
            self.reveal(self.window.position(chosen));
        }
        let cleared = self.pane.cleared.filter(|_| self.pane.anchor.is_none());
        let first = cleared.map(|key| self.window.position(Key { after: key.after.saturating_add(1), ..key }));
        let mut slots = self.slots();
        let Some(bottom) = slots.bottom() else {
            self.pane.slots = (0, 0);
            return Screenful { rows: self.empty_rows(style), below: self.unloaded(), at_end: self.window.is_live() };
        };
        let (top, above) = up(&mut slots, bottom, height.saturating_sub(1));
        // Near the start, the screen is filled from above.
        let bottom = if above + 1 < height { bottom_for_top(&mut slots, top, height) } else { bottom };
        let first = first.map_or(top, |slot| top.max(Place { slot, row: 0 }));
        let rows = if height == 0 || first > bottom { Vec::new() } else { slots.between(first, bottom) };
        let len = slots.len();
        let is_last_row = Some(bottom) == last(&mut slots);
        self.pane.slots = (top.slot, bottom.slot);
        let below = (len - 1 - bottom.slot) as u64 + self.unloaded();
        Screenful { rows, below, at_end: is_last_row && self.window.is_live() }
    }

    /// What is shown if there is nothing. No rows: nothing is known yet.
    fn empty_rows(&self, style: &RowStyle) -> Vec<ShownRow> {
        let text = match (self.has_caught_up, self.head_seq) {
            (true, 0) => "no messages yet",
            (true, _) if self.is_at_start() => "no messages",
            (true, _) => "…",
            (false, _) => return Vec::new(),
        };
        vec![ShownRow { row: Arc::new(line_row(text, Role::Faint, style)), seq: None, is_selected: false }]
    }

    /// The user scrolled everything away.
    pub fn is_cleared(&self) -> bool {
        self.pane.cleared.is_some() && self.pane.anchor.is_none()
    }

    /// How many events after the window have not been read from the server.
    fn unloaded(&self) -> u64 {
        match self.window.known() {
            Some((_, last)) if !self.window.is_live() => self.head_seq.saturating_sub(last),
            _ => 0,
        }
    }

    pub fn scroll(&mut self, scroll: Scroll) {
        self.requests.resume();
        // What was cleared stays away until the user scrolls up to it.
        if scroll != Scroll::End || self.pane.anchor.is_some() {
            self.pane.cleared = None;
        }
        let height = self.pane.height;
        let page = |pages: isize, rows: usize| pages.saturating_mul(isize::try_from(rows.max(1)).unwrap_or(isize::MAX));
        match scroll {
            Scroll::Rows(rows) => self.scroll_rows(rows),
            Scroll::HalfPages(pages) => self.scroll_rows(page(pages, height / 2)),
            Scroll::Pages(pages) => self.scroll_rows(page(pages, height.saturating_sub(2))),
            Scroll::Start => {
                let mut slots = self.slots();
                let bottom = (slots.len() > 0).then(|| bottom_for_top(&mut slots, Place { slot: 0, row: 0 }, height));
                self.anchor_at(bottom);
            }
            Scroll::End => {
                self.pane.go_to_end();
                self.requests.target = (!self.window.is_live()).then_some(Wanted::Newest);
            }
            Scroll::Clear => {
                self.scroll(Scroll::End);
                self.pane.cleared = self.window.iter().next_back().map(|entry| entry.key);
            }
            Scroll::Unread => {
                if let Some(line) = self.reading.line().or(self.reading.mark()) {
                    self.jump(line.saturating_add(1));
                }
            }
            Scroll::MentionAbove | Scroll::MentionBelow => self.go_to_mention(scroll == Scroll::MentionAbove),
        }
    }

    /// Shows the message with that seq, or where it would be; it is read from the server if necessary.
    pub fn jump(&mut self, seq: u64) {
        self.requests.resume();
        let is_held = self.window.known().is_some_and(|(first, last)| (first..=last).contains(&seq));
        // Beyond the newest message is the end.
        if seq > self.head_seq {
            return self.scroll(Scroll::End);
        }
        match is_held || seq < self.oldest_seq && self.is_at_start() {
            true => self.show(seq),
            false => self.requests.target = Some(Wanted::Around(seq)),
        }
    }

    /// Shows an entry in memory in the upper third of the screen.
    pub(super) fn show(&mut self, seq: u64) {
        let slot = self.window.position(Key::event(seq));
        let height = self.pane.height;
        let mut slots = self.slots();
        let Some(last) = slots.len().checked_sub(1) else { return };
        let (top, _) = up(&mut slots, Place { slot: slot.min(last), row: 0 }, height / 3);
        let bottom = bottom_for_top(&mut slots, top, height);
        self.anchor_at(Some(bottom));
    }

    /// Moves the screen as little as possible so that the whole slot is on it, or its first rows.
    pub(super) fn reveal(&mut self, slot: usize) {
        let height = self.pane.height.max(1);
        let mut slots = self.slots();
        let Some(bottom) = slots.bottom() else { return };
        let (top, _) = up(&mut slots, bottom, height - 1);
        let first = Place { slot, row: 0 };
        let end = Place { slot, row: slots.rows(slot) - 1 };
        let moved = if first < top {
            bottom_for_top(&mut slots, first, height)
        } else if end > bottom {
            let (top_of_end, _) = up(&mut slots, end, height - 1);
            if top_of_end > first { bottom_for_top(&mut slots, first, height) } else { end }
        } else {
            return;
        };
        self.anchor_at(Some(moved));
    }

    fn scroll_rows(&mut self, rows: isize) {
        let height = self.pane.height;
        let mut slots = self.slots();
        let Some(bottom) = slots.bottom() else { return };
        let moved = match rows < 0 {
            true => scrolled_up(&mut slots, bottom, rows.unsigned_abs(), height),
            false => down(&mut slots, bottom, rows.unsigned_abs()).0,
        };
        self.anchor_at(Some(moved));
    }

    /// The mention of the user above the screen, or below it, that is nearest in memory.
    pub fn mention(&self, above: bool) -> Option<u64> {
        let (top, bottom) = self.pane.slots;
        let is_mention =
            |at: &usize| self.window.get(*at).and_then(|entry| entry.message()).is_some_and(|held| held.mentions_me);
        let found = match above {
            true => (0..top.min(self.window.len())).rev().find(is_mention),
            false => (bottom + 1..self.window.len()).find(is_mention),
        };
        found.and_then(|at| self.window.get(at)).map(|entry| entry.key.seq)
    }

    fn go_to_mention(&mut self, above: bool) {
        match self.mention(above) {
            Some(seq) => self.show(seq),
            // Past the last one: back to the newest message.
            None if !above => self.scroll(Scroll::End),
            None => {}
        }
    }

    fn anchor_at(&mut self, bottom: Option<Place>) {
        let is_live = self.window.is_live();
        let mut slots = self.slots();
        let end = last(&mut slots);
        let anchor = bottom.filter(|bottom| !(is_live && Some(*bottom) == end));
        self.pane.anchor = anchor.map(|Place { slot, row }| Anchor { key: self.key(slot), row });
    }

    /// The key of a slot. Messages that are not stored come after all others.
    fn key(&self, slot: usize) -> Key {
        match self.window.get(slot) {
            Some(entry) => entry.key,
            None => Key { seq: u64::MAX, after: u32::try_from(slot - self.window.len()).unwrap_or(u32::MAX) },
        }
    }

    fn slots(&mut self) -> RoomSlots<'_> {
        let style = self.pane.style.clone().unwrap_or_else(|| RowStyle::new(80, &self.me.name));
        let line_slot = self.line_slot();
        RoomSlots { room: self, style, line_slot }
    }

    /// The slot that the line of unread messages precedes.
    fn line_slot(&self) -> Option<usize> {
        let after = self.reading.line()?;
        let start = self.window.position(Key::event(after.saturating_add(1)));
        let is_unread =
            |at: &usize| self.window.get(*at).and_then(|entry| entry.message()).is_some_and(|held| !held.is_own);
        // If the line is above the window, it is not shown.
        let is_inside = self.window.known().is_some_and(|(first, _)| first <= after.saturating_add(1));
        (start..self.window.len()).find(is_unread).filter(|slot| *slot > 0 || is_inside)
    }

    /// The rows above an entry: the start of the history, a new day, the line of unread messages.
    fn rows_above(&self, slot: usize, style: &RowStyle, line_slot: Option<usize>) -> Vec<Styled> {
        let mut rows = Vec::new();
        if slot == 0 && !style.bare {
            rows.extend(self.start_row(style));
        }
        let day = |slot: usize| {
            self.window.get(slot).and_then(|entry| entry.time_ms()).and_then(|time_ms| style.zone.time(time_ms))
        };
        if let Some(time) = day(slot) {
            // Lines without a time are passed over.
            let before = (0..slot).rev().take(DAY_ENTRIES).find_map(day);
            if before.as_ref().map(LocalTime::day) != Some(time.day()) {
                rows.push(line_row(&time.day_in_words(), Role::DayLine, style));
            }
        }
        if line_slot == Some(slot) {
            rows.push(line_row("unread", Role::ReadLine, style));
        }
        rows
    }

    fn start_row(&self, style: &RowStyle) -> Option<Styled> {
        let text = match (self.is_at_start(), self.is_loading()) {
            (true, _) if self.oldest_seq > 1 => "older messages are not kept by the server",
            (true, _) => "the beginning of the room",
            (false, true) => "reading older messages …",
            (false, false) if self.requests.has_failed => "older messages could not be read: PageUp tries again",
            (false, false) => "older messages are on the server",
        };
        (self.window.known().is_some()).then(|| line_row(text, Role::Faint, style))
    }

    fn entry_rows(&mut self, slot: usize, style: &RowStyle) -> Rows {
        let Self { window, pending, cache, unfolded, .. } = self;
        let Some(entry) = window.get(slot) else {
            let rows = pending.get(slot - window.len()).map(|pending| pending_rows(pending, style)).unwrap_or_default();
            return rows.into_iter().map(Arc::new).collect();
        };
        cache.get(entry.key, style, || match &entry.content {
            Content::Message(held) => {
                let target = held.message.extras.reply_to.and_then(|seq| window.message(seq));
                let reply_target = target.map(|held| &held.message);
                let is_unfolded = unfolded.contains(&held.message.seq);
                Shown { held, reply_target, is_unfolded }.rows(style)
            }
            Content::Gap(gap) => gap_rows(gap, style),
            Content::Presence(presence) => presence_rows(presence, style),
            Content::Notice(notice) => notice_rows(notice, style),
        })
    }
}

/// How far back the last line with a time is looked for.
const DAY_ENTRIES: usize = 20;

/// The room as slots, in a style.
struct RoomSlots<'a> {
    room: &'a mut Room,
    style: RowStyle,
    line_slot: Option<usize>,
}

impl RoomSlots<'_> {
    /// The last row of the screen.
    fn bottom(&mut self) -> Option<Place> {
        let end = last(self)?;
        let Some(anchor) = self.room.pane.anchor else { return Some(end) };
        let slot = match anchor.key.seq {
            u64::MAX => self.room.window.len() + anchor.key.after as usize,
            _ => self.room.window.position(anchor.key),
        };
        let slot = slot.min(end.slot);
        Some(Place { slot, row: anchor.row.min(self.rows(slot) - 1) })
    }

    fn all_rows(&mut self, slot: usize) -> (Vec<Styled>, Rows) {
        let above = self.room.rows_above(slot, &self.style, self.line_slot);
        (above, self.room.entry_rows(slot, &self.style))
    }

    /// The rows from one place to another.
    fn between(&mut self, top: Place, bottom: Place) -> Vec<ShownRow> {
        let mut shown = Vec::new();
        for slot in top.slot..=bottom.slot {
            let (above, rows) = self.all_rows(slot);
            let entry = self.room.window.get(slot);
            let seq = entry.and_then(|entry| entry.message()).map(|held| held.message.seq);
            let is_selected = entry.is_some_and(|entry| Some(entry.key) == self.room.selected);
            let above = above.into_iter().map(|row| ShownRow { row: Arc::new(row), seq: None, is_selected: false });
            let rows = rows.iter().map(|row| ShownRow { row: Arc::clone(row), seq, is_selected });
            let start = if slot == top.slot { top.row } else { 0 };
            let end = if slot == bottom.slot { bottom.row + 1 } else { usize::MAX };
            shown.extend(above.chain(rows).take(end).skip(start));
        }
        shown
    }
}

impl Slots for RoomSlots<'_> {
    fn len(&self) -> usize {
        self.room.window.len() + self.room.pending.len()
    }

    fn rows(&mut self, slot: usize) -> usize {
        let (above, rows) = self.all_rows(slot);
        (above.len() + rows.len()).max(1)
    }
}

impl super::super::entry::Entry {
    /// When it happened.
    fn time_ms(&self) -> Option<u64> {
        match &self.content {
            Content::Message(held) => Some(held.message.time_ms),
            Content::Presence(presence) => Some(presence.time_ms),
            Content::Notice(notice) => Some(notice.time_ms),
            Content::Gap(_) => None,
        }
    }
}
