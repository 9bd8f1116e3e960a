//! The newest messages of a room, as they are now. Pure logic: no connection, no thread.
//!
//! The owner of a session passes the events of the room to it, and the pages of its calls. Even if events were lost,
//! skipped or read late, each message that it holds has the text that the log has at the last event.
//!
//! - A change applies to a message if its seq is above the newest change that the message includes. Changes to messages
//!   that are not held are ignored.
//! - A page may be older than the stream: the changes above its head are applied to it again. They are kept for that.
//! - The topic and the pins of a join are those at its head: events up to it are history.
//! - Messages that retention has deleted at the server are forgotten here. If other events are missing, all messages
//!   are forgotten, because these events could have changed them.

use std::collections::BTreeMap;

use thiserror::Error;

use super::change::LoggedChange;
use super::events::RoomJoined;
use super::kept_changes::KeptChanges;
use super::place::{Gap, GapReason};
use super::room_state::RoomState;
use super::stored::{HistoryPage, StoredMessage};
use crate::names::Epoch;

/// How many messages are held, and how many bytes of text.
const MESSAGES_MAX: usize = 1_000;
const BYTES_MAX: usize = 2 * 1024 * 1024;

/// The newest messages of a room.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    messages: BTreeMap<u64, StoredMessage>,
    bytes: usize,
    changes: KeptChanges,
    /// `None` before the join, and if it may change: in a room without messages.
    epoch: Option<Epoch>,
    state: RoomState,
    oldest_seq: u64,
}

/// The effect of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It changed a message that is held, the pins, or the topic.
    Applied,
    /// It was included already.
    Included,
    /// The message that it concerns is not held.
    NotHeld,
}

/// The page can't be merged: read it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the page is too old: read it again")]
pub struct Outdated;

impl Timeline {
    /// The room was joined or joined again, or the server reported it again.
    pub fn joined(&mut self, joined: &RoomJoined<'_>) {
        self.state.joined(joined);
        if self.epoch.is_none() {
            // Changes before the first join are not known.
            self.changes.start(joined.head_seq);
        }
        self.epoch = Some(joined.epoch).filter(|_| joined.head_seq > 0);
        self.forget_below(joined.oldest_seq);
    }

    /// A message arrived.
    pub fn message(&mut self, message: StoredMessage) {
        self.insert(message);
    }

    /// A change arrived.
    pub fn change(&mut self, seq: u64, time_ms: u64, change: &LoggedChange) -> Effect {
        self.changes.keep(seq, time_ms, change);
        let is_state_new = self.state.change(seq, change);
        let state = |changed: bool| if changed { Effect::Applied } else { Effect::Included };
        match change {
            LoggedChange::Pinned { .. } | LoggedChange::Room { .. } => state(is_state_new),
            LoggedChange::Edited { message_seq, .. }
            | LoggedChange::Reacted { message_seq, .. }
            | LoggedChange::Deleted { message_seq, .. } => {
                let Some(message) = self.messages.get_mut(message_seq) else { return Effect::NotHeld };
                self.bytes -= message.body.len();
                let applied = change.apply(seq, time_ms, message);
                self.bytes += message.body.len();
                state(applied)
            }
        }
    }

    /// Events are missing.
    pub fn gap(&mut self, gap: &Gap) {
        match gap.reason {
            // The missing changes concerned even older messages.
            GapReason::Retention => self.forget_below(gap.to_seq.saturating_add(1)),
            GapReason::EpochChanged | GapReason::Damaged | GapReason::Other => {
                self.bytes = 0;
                self.messages.clear();
                // Another history goes on where it differs, and all of its events arrive; damaged ones never do.
                let is_replaced = gap.reason == GapReason::EpochChanged;
                self.changes.start(if is_replaced { gap.from_seq.saturating_sub(1) } else { gap.to_seq });
            }
        }
    }

    /// A page of the room's history arrived.
    pub fn page(&mut self, page: &HistoryPage) -> Result<(), Outdated> {
        if !self.changes.reach(page.head_seq) || (self.epoch.is_some() && page.epoch != self.epoch) {
            return Err(Outdated);
        }
        for message in &page.messages {
            let mut message = message.clone();
            self.changes.apply_above(page.head_seq, &mut message);
            self.insert(message);
        }
        Ok(())
    }

    /// The message with this seq.
    pub fn get(&self, seq: u64) -> Option<&StoredMessage> {
        self.messages.get(&seq)
    }

    /// The messages, the newest first.
    pub fn newest(&self) -> impl Iterator<Item = &StoredMessage> {
        self.messages.values().rev()
    }

    pub fn epoch(&self) -> Option<Epoch> {
        self.epoch
    }

    pub fn topic(&self) -> &str {
        self.state.topic()
    }

    /// The last one pinned last.
    pub fn pinned_seqs(&self) -> &[u64] {
        self.state.pinned_seqs()
    }

    fn insert(&mut self, message: StoredMessage) {
        let is_newer = |held: &StoredMessage| held.extras.changed_seq > message.extras.changed_seq;
        if message.seq < self.oldest_seq || self.messages.get(&message.seq).is_some_and(is_newer) {
            return;
        }
        self.bytes += message.body.len();
        if let Some(before) = self.messages.insert(message.seq, message) {
            self.bytes -= before.body.len();
        }
        while self.messages.len() > MESSAGES_MAX || self.bytes > BYTES_MAX {
            let Some((_, message)) = self.messages.pop_first() else { return };
            self.bytes -= message.body.len();
        }
    }

    fn forget_below(&mut self, oldest_seq: u64) {
        self.oldest_seq = self.oldest_seq.max(oldest_seq);
        while let Some(entry) = self.messages.first_entry().filter(|entry| *entry.key() < oldest_seq) {
            self.bytes -= entry.remove().body.len();
        }
    }
}

#[cfg(test)]
mod tests;
