//! What a batch does in one room, while it is made: new events, and the stored segments that they change.

use std::sync::Arc;

use super::command::NewMessage;
use super::rewriting::{Rewriting, Rewritten};
use super::segment::Changes;
use super::stored::{Found, Head, Stored};
use super::{Appended, Changed, LogError, Outcome, Profile, Published, Segment};
use crate::limits::CLOCK_STEP_MAX;
use crate::names::{Epoch, MessageId, RoomId, RoomName, Sender, Seq};
use crate::wire::event::{self, Entry, EntryKind};

/// What a batch does in one room.
#[derive(Debug)]
pub struct RoomPlan {
    pub room: RoomId,
    pub name: RoomName,
    pub epoch: Epoch,
    /// When the new events were stored, all of them.
    pub time_ms: u64,
    /// The earlier time of the room, if it was too far ahead to be right.
    pub corrected: Option<u64>,
    /// How many new messages have a chosen id.
    pub claims: usize,
    /// The new segments, in order: one, unless the batch also changes what it stores.
    pub segments: Vec<Arc<Segment>>,
    /// What takes the places of stored segments.
    pub replaced: Vec<Rewritten>,
    pub profile: Option<Arc<Profile>>,
    /// Whether a text was removed, and must be erased from the disk.
    pub erases: bool,
    /// The messages that were deleted.
    pub deletions: Vec<Deletion>,
    /// The room's end after it.
    pub head: Head,
}

/// A message that was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    pub seq: Seq,
    pub id: MessageId,
    pub by: Sender,
}

impl RoomPlan {
    pub fn published(self) -> Vec<Published> {
        if self.replaced.is_empty() && self.profile.is_none() {
            return self.segments.into_iter().map(Published::Segment).collect();
        }
        let replaced = self.replaced.into_iter().flat_map(|replaced| replaced.pieces).collect();
        let Self { room, segments, profile, .. } = self;
        vec![Published::Changed(Changed { replaced, segments, profile, ..Changed::of(room) })]
    }
}

/// The part of a plan for one room, while it is made.
pub struct Draft {
    pub room: RoomId,
    name: RoomName,
    pub epoch: Epoch,
    pub time_ms: u64,
    corrected: Option<u64>,
    /// The newest event so far.
    pub last: Seq,
    claims: usize,
    /// The segment that the next event belongs to: its first event, its entries, and their changes.
    first: Seq,
    entries: Vec<u8>,
    changes: Changes,
    /// Segments that are stored, or are complete.
    rewriting: Rewriting,
    pub profile: Option<Profile>,
    pub profile_changed: bool,
    pub erases: bool,
    pub deletions: Vec<Deletion>,
}

impl Draft {
    pub fn after(head: Head, name: RoomName, now_ms: u64) -> Self {
        let is_ahead = head.time_ms > now_ms.saturating_add(CLOCK_STEP_MAX.as_millis() as u64);
        let time_ms = if is_ahead { now_ms } else { now_ms.max(head.time_ms) };
        Self {
            room: head.room,
            name,
            epoch: head.epoch,
            time_ms,
            corrected: is_ahead.then_some(head.time_ms),
            last: head.seq,
            claims: 0,
            first: head.seq.next(),
            entries: Vec::new(),
            changes: Changes { before: head.changes, within: 0 },
            rewriting: Rewriting::default(),
            profile: None,
            profile_changed: false,
            erases: false,
            deletions: Vec::new(),
        }
    }

    /// Makes space for the entries of messages.
    pub fn reserve(&mut self, bytes: usize) {
        self.entries.reserve_exact(bytes);
    }

    /// Stores a message.
    pub fn say(
        &mut self,
        message: &NewMessage,
        sender: &Sender,
        stored: &mut impl Stored,
    ) -> Result<Outcome, LogError> {
        let seq = self.last.next();
        if message.reply_to >= seq {
            return Ok(Err(LogError::NoMessage(message.reply_to)));
        }
        if message.id_chosen
            && let Some(before) = stored.claim(self.room, message, sender, seq)?
        {
            return Ok(Ok(Appended::Before(self.room, before)));
        }
        self.push(EntryKind::MESSAGE, &message.content);
        self.claims += usize::from(message.id_chosen);
        Ok(Ok(Appended::New(self.room, seq)))
    }

    /// Adds an event. Returns its seq.
    pub fn push(&mut self, kind: EntryKind, content: &[u8]) -> Seq {
        let seq = self.last.next();
        event::push(&mut self.entries, &Entry { room: self.room, seq, time_ms: self.time_ms, kind, content });
        self.changes.within += u64::from(kind != EntryKind::MESSAGE);
        self.last = seq;
        seq
    }

    /// Completes the current segment: the next event begins another one.
    fn complete(&mut self) {
        if self.entries.is_empty() {
            return;
        }
        let entries = std::mem::take(&mut self.entries);
        let segment = Segment::new(self.room, self.first, self.last, self.changes, entries);
        self.first = self.last.next();
        self.changes = Changes { before: self.changes.before + self.changes.within, within: 0 };
        self.rewriting.add(Arc::new(segment), false);
    }

    /// The segment with an event, which is not above [`Draft::last`].
    pub fn segment(&mut self, seq: Seq, stored: &mut impl Stored) -> Result<Found, LogError> {
        if seq >= self.first {
            self.complete();
        }
        if let Some(segment) = self.rewriting.find(seq) {
            return Ok(Found::Segment(Arc::clone(segment)));
        }
        let found = stored.segment(self.room, seq)?;
        if let Found::Segment(segment) = &found {
            self.rewriting.add(Arc::clone(segment), true);
        }
        Ok(found)
    }

    /// Gives an event, whose segment was found, another content.
    pub fn replace(&mut self, seq: Seq, content: &[u8]) {
        self.rewriting.replace(seq, content);
    }

    /// The part of the plan; `None` if nothing changes.
    pub fn done(mut self) -> Option<RoomPlan> {
        let (first, changes) = (self.first, self.changes);
        let rest = match std::mem::take(&mut self.entries) {
            entries if entries.is_empty() => None,
            entries => Some(Arc::new(Segment::new(self.room, first, self.last, changes, entries))),
        };
        let (mut segments, mut replaced) = (Vec::new(), Vec::new());
        for rewritten in self.rewriting.done() {
            match rewritten.is_stored {
                true if rewritten.is_changed => replaced.push(rewritten),
                true => {}
                false => segments.extend(rewritten.pieces),
            }
        }
        segments.extend(rest);
        if segments.is_empty() {
            return None;
        }
        let profile = self.profile.filter(|_| self.profile_changed).map(Arc::new);
        let head = Head {
            room: self.room,
            epoch: self.epoch,
            seq: self.last,
            time_ms: self.time_ms,
            changes: changes.before + changes.within,
        };
        Some(RoomPlan {
            room: self.room,
            name: self.name,
            epoch: self.epoch,
            time_ms: self.time_ms,
            corrected: self.corrected,
            claims: self.claims,
            segments,
            replaced,
            profile,
            erases: self.erases,
            deletions: self.deletions,
            head,
        })
    }
}
