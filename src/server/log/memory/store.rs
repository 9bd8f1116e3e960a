//! The contents of the log in memory: the segments of each room, and the ids of trimmed messages.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::reactions::Reactions;
use crate::limits::{IDS_KEPT_MAX, IDS_KEPT_SHARE};
use crate::names::{Epoch, Generation, MessageId, RoomId, RoomName, Seq, UserName};
use crate::server::log::fold;
use crate::server::log::lookalikes::Lookalikes;
use crate::server::log::retention::{Expiry, RoomEnd, Schedule, SegmentEnd};
use crate::server::log::rewriting::{Rewriting, Rewritten};
use crate::server::log::stored::Head;
use crate::server::log::{Changed, Page, Part, Piece, Profile, RoomState, Segment};
use crate::wire::{change, event};

/// The approximate memory for a chosen id, in bytes.
pub const ID_BYTES: usize = 128;

pub struct Store {
    pub generation: Generation,
    pub by_name: BTreeMap<RoomName, RoomId>,
    pub rooms: FxHashMap<RoomId, RoomLog>,
    pub lookalikes: Lookalikes,
    /// Each kept segment, oldest first, and possibly some that were trimmed.
    pub ages: VecDeque<(RoomId, Seq)>,
    /// The ids of trimmed messages, one entry for each segment.
    pub expiring: BTreeMap<Expiry, Vec<(MessageId, UserName)>>,
    /// How many ids these are.
    pub expiring_ids: usize,
    /// The bytes that the segments and all ids take.
    pub bytes: usize,
    /// How many segments were trimmed.
    pub trims: u64,
}

pub struct RoomLog {
    pub name: RoomName,
    pub epoch: Epoch,
    // Invariant: each segment's first seq follows its predecessor's last; the newest segment's last seq is `head`.
    pub segments: VecDeque<KeptSegment>,
    pub head: Seq,
    pub time_ms: u64,
    /// How many events up to the head are no messages.
    pub changes: u64,
    pub profile: Arc<Profile>,
    pub reactions: Reactions,
    /// The chosen ids of the messages that are kept, or were trimmed recently.
    pub ids: HashMap<(MessageId, UserName), Seq>,
}

pub struct KeptSegment {
    pub segment: Arc<Segment>,
    pub time_ms: u64,
}

impl KeptSegment {
    pub fn end(&self) -> SegmentEnd {
        SegmentEnd { time_ms: self.time_ms, ..self.segment.end() }
    }
}

/// A segment that was trimmed, and what that changed in the rest of its room.
pub struct Trimmed {
    pub segment: Arc<Segment>,
    pub changed: Changed,
}

impl Store {
    pub fn new(generation: Generation) -> Self {
        Self {
            generation,
            by_name: BTreeMap::new(),
            rooms: FxHashMap::default(),
            lookalikes: Lookalikes::default(),
            ages: VecDeque::new(),
            expiring: BTreeMap::new(),
            expiring_ids: 0,
            bytes: 0,
            trims: 0,
        }
    }

    /// The number of the next room. Rooms are never removed.
    pub fn next_room(&self) -> RoomId {
        RoomId(self.rooms.len() as u64 + 1)
    }

    /// A room that is stored.
    pub fn room(&mut self, id: RoomId) -> &mut RoomLog {
        // Invariant: such ids come from this log, and rooms are never removed.
        self.rooms.get_mut(&id).expect("a stored room is there")
    }

    pub fn push(&mut self, segment: Arc<Segment>, time_ms: u64) {
        self.bytes += segment.bytes();
        self.ages.push_back((segment.room(), segment.first()));
        let room = self.room(segment.room());
        assert_eq!(segment.first(), room.head.next(), "a segment follows its predecessor");
        room.head = segment.last();
        room.time_ms = time_ms;
        room.changes += segment.changes().within;
        room.segments.push_back(KeptSegment { segment, time_ms });
    }

    /// Puts other segments in the place of one.
    pub fn replace(&mut self, id: RoomId, replaced: &Rewritten, schedule: &mut Schedule) {
        let room = self.room(id);
        // Invariant: it was found there.
        let at = room.find(replaced.first()).expect("a segment that is replaced is kept");
        let time_ms = room.segments[at].time_ms;
        let before = room.segments[at].segment.bytes();
        let pieces: Vec<_> = replaced.pieces.iter().map(Arc::clone).collect();
        let after: usize = pieces.iter().map(|piece| piece.bytes()).sum();
        room.segments.remove(at);
        for (n, segment) in pieces.into_iter().enumerate() {
            room.segments.insert(at + n, KeptSegment { segment, time_ms });
        }
        self.bytes = self.bytes + after - before;
        let ends: Vec<_> = replaced.pieces.iter().map(|piece| SegmentEnd { time_ms, ..piece.end() }).collect();
        schedule.replaced(id, &ends);
    }

    /// Drops the ages of segments that are gone, once they are as many as the others.
    pub fn forget_ages(&mut self) {
        let segments: usize = self.rooms.values().map(|room| room.segments.len()).sum();
        if self.ages.len() > 2 * segments + self.rooms.len() {
            let rooms = &self.rooms;
            self.ages.retain(|(room, first)| rooms[room].oldest() <= *first);
        }
    }

    /// Removes a room's oldest segment. The ids of its messages are kept until the given time.
    pub fn trim(&mut self, id: RoomId, schedule: &mut Schedule, ids_due_ms: u64) -> Option<Trimmed> {
        let room = self.room(id);
        let KeptSegment { segment, .. } = room.segments.pop_front()?;
        let bytes = segment.bytes();
        let mut ids = Vec::new();
        for entry in event::entries(segment.frame().as_slice()) {
            let entry = entry.expect("a segment's entries are valid").0;
            let Some(content) = entry.message() else { continue };
            // Invariant: a sender's name was checked when it was stored.
            if content.id.is_chosen()
                && let Ok(sender) = UserName::new(content.sender)
            {
                ids.push((content.id, sender));
            }
        }
        let oldest = room.segments.front().map(KeptSegment::end);
        let reactions = room.reactions.forget_to(segment.last());
        let end = RoomEnd { head: room.head, messages: room.head.0 - room.changes };
        schedule.set(id, oldest, end);
        self.bytes -= bytes + reactions * ID_BYTES;
        self.trims += 1;
        if !ids.is_empty() {
            self.expiring_ids += ids.len();
            self.expiring.insert(Expiry { due_ms: ids_due_ms, room: id, first: segment.first() }, ids);
        }
        let changed = self.after_trimming(id, &segment, schedule);
        Some(Trimmed { segment, changed })
    }

    /// Removes what a room's other events say of a trimmed segment.
    fn after_trimming(&mut self, id: RoomId, segment: &Segment, schedule: &mut Schedule) -> Changed {
        let mut rewriting = Rewriting::default();
        for (edit, message) in fold::later_edits(segment) {
            let room = self.room(id);
            let Some(at) = room.find(edit) else { continue };
            if rewriting.find(edit).is_none() {
                rewriting.add(Arc::clone(&room.segments[at].segment), true);
            }
            rewriting.replace(edit, &change::edited_before(message));
        }
        let mut replaced = Vec::new();
        for rewritten in rewriting.done() {
            self.replace(id, &rewritten, schedule);
            replaced.extend(rewritten.pieces);
        }
        let room = self.room(id);
        let mut profile = Profile::clone(&room.profile);
        let profile = profile.unpin(|pinned| pinned <= segment.last()).then(|| Arc::new(profile));
        if let Some(profile) = &profile {
            room.profile = Arc::clone(profile);
        }
        Changed { oldest: Some(room.oldest()), replaced, profile, ..Changed::of(id) }
    }

    /// The last ids of trimmed messages that must be forgotten now, at most about so many.
    pub fn ids_due(&self, now_ms: u64, at_once: u64) -> Option<Expiry> {
        let mut count = 0;
        let due = self.expiring.iter().take_while(|(expiry, ids)| {
            let is_due = expiry.due_ms <= now_ms && count < at_once;
            count += ids.len() as u64;
            is_due
        });
        due.last().map(|(expiry, _)| *expiry)
    }

    /// Deletes the ids of the trimmed segment that is due first.
    pub fn forget_ids(&mut self) {
        let Some((Expiry { room, .. }, ids)) = self.expiring.pop_first() else { return };
        let known = &mut self.room(room).ids;
        for id in &ids {
            known.remove(id);
        }
        self.expiring_ids -= ids.len();
        self.bytes -= ids.len() * ID_BYTES;
    }

    /// Deletes the ids of trimmed messages beyond their share of the bytes.
    pub fn forget_ids_beyond(&mut self, bytes_max: usize) {
        let ids_max = (bytes_max / IDS_KEPT_SHARE / ID_BYTES).min(IDS_KEPT_MAX as usize);
        while self.expiring_ids > ids_max {
            self.forget_ids();
        }
    }
}

impl RoomLog {
    pub fn new(name: RoomName, epoch: Epoch) -> Self {
        let (segments, profile, reactions, ids) = Default::default();
        Self { name, epoch, segments, head: Seq::ZERO, time_ms: 0, changes: 0, profile, reactions, ids }
    }

    pub fn end(&self, room: RoomId) -> Head {
        Head { room, epoch: self.epoch, seq: self.head, time_ms: self.time_ms, changes: self.changes }
    }

    /// Where the segment with this event is.
    pub fn find(&self, seq: Seq) -> Option<usize> {
        let at = self.segments.partition_point(|kept| kept.segment.last() < seq);
        self.segments.get(at).filter(|kept| kept.segment.holds(seq)).map(|_| at)
    }

    /// The seq of the message with this number.
    pub fn message(&self, number: u64) -> Seq {
        let at = self.segments.partition_point(|kept| kept.segment.end().messages < number);
        let segment = self.segments.get(at).map(|kept| &kept.segment);
        let found = segment.and_then(|segment| segment.message(number.saturating_sub(segment.messages_before())));
        found.unwrap_or_else(|| if segment.is_some() { self.oldest() } else { self.head.next() })
    }

    /// The oldest message that is kept; one above the head if none is.
    pub fn oldest(&self) -> Seq {
        self.segments.front().map_or(self.head.next(), |kept| kept.segment.first())
    }

    /// Segments from a seq on, until they have `bytes_max` bytes, but at least one.
    pub fn read(&self, from: Seq, bytes_max: usize) -> Page {
        if from < self.oldest() {
            return Page::Trimmed { oldest: self.oldest() };
        }
        let start = self.segments.partition_point(|kept| kept.segment.last() < from);
        let mut page = Vec::new();
        let mut bytes = 0;
        for KeptSegment { segment, .. } in self.segments.range(start..) {
            if bytes >= bytes_max && !page.is_empty() {
                break;
            }
            bytes += segment.bytes();
            page.push(Arc::clone(segment));
        }
        Page::Segments(page)
    }

    /// A part of the room's history, until it has `messages_max` messages or `bytes_max` bytes.
    pub fn pieces(&self, part: Part, messages_max: u64, bytes_max: usize) -> Vec<Piece> {
        let (mut pieces, mut messages, mut bytes) = (VecDeque::new(), 0, 0);
        match part {
            Part::From(from) => {
                let start = self.segments.partition_point(|kept| kept.segment.last() < from);
                for KeptSegment { segment, .. } in self.segments.range(start..) {
                    if messages >= messages_max || bytes >= bytes_max {
                        break;
                    }
                    let count = segment.messages_in(from..=segment.last());
                    if count == 0 {
                        continue;
                    }
                    messages += count;
                    bytes += segment.frame().len();
                    pieces.push_back(Piece::Segment(Arc::clone(segment)));
                }
            }
            Part::Before(before) => {
                let end = self.segments.partition_point(|kept| kept.segment.first() < before);
                for KeptSegment { segment, .. } in self.segments.range(..end).rev() {
                    if messages >= messages_max || bytes >= bytes_max {
                        break;
                    }
                    let count = segment.messages_in(segment.first()..=Seq(before.0 - 1));
                    if count == 0 {
                        continue;
                    }
                    messages += count;
                    bytes += segment.frame().len();
                    pieces.push_front(Piece::Segment(Arc::clone(segment)));
                }
            }
        }
        pieces.into()
    }

    pub fn state(&self, id: RoomId) -> RoomState {
        let (name, epoch, epoch_first) = (self.name.clone(), self.epoch, Seq(1));
        let (head, oldest, changes, profile) = (self.head, self.oldest(), self.changes, Arc::clone(&self.profile));
        RoomState { id, name, epoch, epoch_first, head, oldest, changes, profile }
    }
}
