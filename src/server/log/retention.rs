//! Retention: what is to be deleted, and the schedule that finds it without a scan of all rooms.
//!
//! A room's segments are trimmed from the oldest on, so only the oldest segment of a room matters. A room is due when
//! that segment is too old, or when the room would have enough messages without it.
//!
//! The schedule depends on the server's options and on its clock, so it only proposes. What is deleted is a command of
//! the log: a [`Trim`], which says it in seqs.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use super::segment::SegmentEnd;
use crate::limits::{ERASE_AFTER, IDS_KEPT, TRIM_BYTES_MAX, TRIM_MESSAGES_MAX};
use crate::names::{RoomId, Seq};

/// How much of each room's history is kept. Older messages are trimmed, a whole segment at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Messages older than this may be trimmed. `None` keeps messages of any age.
    pub time: Option<Duration>,
    /// Messages beyond this number of the newest in their room may be trimmed. `None` keeps any number.
    pub messages: Option<u64>,
    /// The oldest messages of all rooms may be trimmed while the log on the disk is larger than this, in bytes: without
    /// the space that deletions left in it, and without the write-ahead log. `None` keeps any amount.
    pub bytes: Option<u64>,
    /// How long the id of a deleted message is kept, so that a repeated post is recognized.
    pub ids: Duration,
    /// How long after its deletion a message may still be in the log's files. Erasing is a commit and a few more
    /// writes.
    pub erase_after: Duration,
}

impl Default for Retention {
    /// Keeps every message.
    fn default() -> Self {
        Self { time: None, messages: None, bytes: None, ids: IDS_KEPT, erase_after: ERASE_AFTER }
    }
}

/// What retention deletes at one time. It may be applied again: what is gone stays gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trim {
    /// Of each of these rooms, the segments that begin below this seq.
    pub rooms: Vec<(RoomId, Seq)>,
    /// Until when the ids of their messages are kept, in milliseconds since 1970.
    pub ids_until_ms: u64,
    /// The ids of messages that were deleted earlier are forgotten up to these, in the order of their expiry.
    pub forget: Option<Expiry>,
}

/// The ids of the messages of a deleted segment, in the order in which they are forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiry {
    /// Until when they are kept, in milliseconds since 1970.
    pub due_ms: u64,
    pub room: RoomId,
    /// The segment's first seq.
    pub first: Seq,
}

/// When retention has something to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// Now: a few milliseconds of work. There may be more after it.
    Now(Trim),
    /// Not before this time, or the next append.
    Later(SystemTime),
    /// Not before the next append.
    Never,
}

impl Due {
    /// What a log has to delete, given when the next of its rooms or ids are due.
    pub fn of(trim: Trim, next_ms: Option<u64>) -> Self {
        match next_ms {
            _ if !trim.rooms.is_empty() || trim.forget.is_some() => Self::Now(trim),
            Some(next_ms) => Self::Later(UNIX_EPOCH + Duration::from_millis(next_ms)),
            None => Self::Never,
        }
    }
}

/// A segment that is due.
#[derive(Clone, Copy, Debug)]
pub struct DueSegment {
    pub events: u64,
    pub bytes: usize,
    /// The segment after it, if it can be found.
    pub next: Option<SegmentEnd>,
}

/// The end of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomEnd {
    pub head: Seq,
    /// How many messages the room had up to there.
    pub messages: u64,
}

/// The order in which rooms are trimmed.
pub struct Schedule {
    retention: Retention,
    /// The rooms that have stored segments.
    rooms: HashMap<RoomId, ScheduledRoom>,
    // Invariant: with retention by age or by bytes, it contains each room of `rooms` once, with the time of its oldest
    // segment.
    by_time: BTreeSet<(u64, RoomId)>,
    // Invariant: it contains the rooms that are marked as `queued`, each once.
    over: VecDeque<RoomId>,
    /// The rooms whose oldest segments are dated in the future, and so get another time.
    ahead: HashMap<RoomId, Ahead>,
    /// The log has too many bytes, so the oldest segment of all is due, however old it is.
    is_over_bytes: bool,
}

/// Segments dated from this time on get another time.
#[derive(Clone, Copy, Debug)]
struct Ahead {
    from_ms: u64,
    counts_as_ms: u64,
}

struct ScheduledRoom {
    oldest: SegmentEnd,
    end: RoomEnd,
    queued: bool,
}

impl Schedule {
    pub fn new(retention: Retention) -> Self {
        Self {
            retention,
            rooms: HashMap::new(),
            by_time: BTreeSet::new(),
            over: VecDeque::new(),
            ahead: HashMap::new(),
            is_over_bytes: false,
        }
    }

    /// Whether nothing is ever trimmed. Then the schedule stays empty.
    pub fn keeps_all(&self) -> bool {
        self.retention.messages.is_none() && !self.is_by_time()
    }

    /// Whether the oldest segments of all rooms are trimmed first.
    fn is_by_time(&self) -> bool {
        self.retention.time.is_some() || self.retention.bytes.is_some()
    }

    /// Says whether the log has more bytes than its retention allows.
    pub fn set_over_bytes(&mut self, is_over: bool) {
        self.is_over_bytes = is_over;
    }

    /// Records that a segment was appended to a room. It is the room's oldest if the room has no other: so a room with
    /// stored segments must be recorded ([`Schedule::set`]) before.
    pub fn appended(&mut self, room: RoomId, segment: SegmentEnd) {
        let end = RoomEnd { head: segment.last, messages: segment.messages };
        let oldest = self.rooms.get(&room).map_or(segment, |kept| kept.oldest);
        self.set(room, Some(oldest), end);
    }

    /// Records that other segments took the place of some: these, in order, of which the first begins where one did.
    pub fn replaced(&mut self, room: RoomId, segments: &[SegmentEnd]) {
        let (Some(kept), Some(first), Some(last)) = (self.rooms.get(&room), segments.first(), segments.last()) else {
            return;
        };
        // The oldest segment ends within them only if it is the one that the first of them begins with.
        if (first.last..=last.last).contains(&kept.oldest.last) {
            let end = kept.end;
            self.set(room, Some(*first), end);
        }
    }

    /// Records the state of a room: its oldest segment, if any, and its end.
    pub fn set(&mut self, room: RoomId, oldest: Option<SegmentEnd>, end: RoomEnd) {
        if self.keeps_all() {
            return;
        }
        let oldest = oldest.map(|oldest| SegmentEnd { time_ms: self.time_of(room, oldest), ..oldest });
        let before = self.rooms.remove(&room);
        let queued = before.as_ref().is_some_and(|kept| kept.queued);
        let (time_before, time_now) = (before.map(|kept| kept.oldest.time_ms), oldest.map(|oldest| oldest.time_ms));
        if self.is_by_time() && time_before != time_now {
            time_before.map(|time_ms| self.by_time.remove(&(time_ms, room)));
            time_now.map(|time_ms| self.by_time.insert((time_ms, room)));
        }
        // A queued room without segments stays in the queue, and is skipped at its turn.
        let Some(oldest) = oldest else {
            if queued {
                self.over.retain(|other| *other != room);
            }
            return;
        };
        let is_over = self.is_over(oldest, end);
        if is_over && !queued {
            self.over.push_back(room);
        }
        self.rooms.insert(room, ScheduledRoom { oldest, end, queued: queued || is_over });
    }

    /// A room whose oldest segment is dated after this time. None without retention by age.
    pub fn dated_after(&self, time_ms: u64) -> Option<RoomId> {
        self.by_time.last().filter(|(last_ms, _)| *last_ms > time_ms).map(|(_, room)| *room)
    }

    /// Sets the time of the oldest segment of a room, and of those after it that are not dated earlier.
    pub fn count_as(&mut self, room: RoomId, time_ms: u64) {
        if let Some(ScheduledRoom { oldest, end, .. }) = self.rooms.get(&room) {
            let (oldest, end) = (*oldest, *end);
            self.ahead.insert(room, Ahead { from_ms: oldest.time_ms, counts_as_ms: time_ms });
            self.set(room, Some(oldest), end);
        }
    }

    /// The effective time of a room's oldest segment.
    fn time_of(&mut self, room: RoomId, oldest: SegmentEnd) -> u64 {
        match self.ahead.get(&room) {
            Some(ahead) if oldest.time_ms >= ahead.from_ms => ahead.counts_as_ms,
            Some(ahead) if oldest.time_ms != ahead.counts_as_ms => {
                // The room's segments in the future are gone.
                self.ahead.remove(&room);
                oldest.time_ms
            }
            _ => oldest.time_ms,
        }
    }

    /// The end of a room that has stored segments.
    pub fn end(&self, room: RoomId) -> Option<RoomEnd> {
        self.rooms.get(&room).map(|kept| kept.end)
    }

    /// Whether to trim a room's oldest segment, given the room's end.
    pub fn is_due(&self, segment: SegmentEnd, end: RoomEnd, now_ms: u64) -> bool {
        self.is_over(segment, end) || self.due_ms(segment.time_ms).is_some_and(|due_ms| due_ms <= now_ms)
    }

    /// The rooms that are due, and below which seq: as much as one step deletes. `find` reads the oldest segment of a room,
    /// given its end and the room's, or one after it. The schedule stays as it is.
    pub fn find_due<E>(
        &mut self,
        now_ms: u64,
        mut find: impl FnMut(RoomId, SegmentEnd, RoomEnd) -> Result<DueSegment, E>,
    ) -> Result<Vec<(RoomId, Seq)>, E> {
        let (mut events, mut bytes) = (0, 0);
        let (mut below, mut before) = (BTreeMap::new(), Vec::new());
        let mut outcome = Ok(());
        while events < TRIM_MESSAGES_MAX
            && bytes < TRIM_BYTES_MAX
            && let Some((room, end)) = self.due(now_ms)
        {
            // Invariant: a room that is due has a segment.
            let oldest = self.rooms[&room].oldest;
            match find(room, oldest, end) {
                Ok(segment) => {
                    events += segment.events;
                    bytes += segment.bytes;
                    before.push((room, oldest, end));
                    below.insert(room, oldest.last.next());
                    self.set(room, segment.next, end);
                }
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        before.into_iter().rev().for_each(|(room, oldest, end)| self.set(room, Some(oldest), end));
        outcome.map(|()| below.into_iter().collect())
    }

    /// A room that is due, and its end.
    fn due(&mut self, now_ms: u64) -> Option<(RoomId, RoomEnd)> {
        while let Some(&room) = self.over.front() {
            // Invariant: rooms leave the queue before they leave `rooms`.
            let kept = &self.rooms[&room];
            if self.is_over(kept.oldest, kept.end) {
                return Some((room, kept.end));
            }
            self.over.pop_front();
            self.rooms.entry(room).and_modify(|kept| kept.queued = false);
        }
        let &(time_ms, room) = self.by_time.first()?;
        let is_due = self.is_over_bytes || self.due_ms(time_ms).is_some_and(|due_ms| due_ms <= now_ms);
        is_due.then(|| (room, self.rooms[&room].end))
    }

    /// When the next room is due; in the past if one is due now. `None` if none will be due before the next append.
    pub fn next_ms(&self) -> Option<u64> {
        if !self.over.is_empty() {
            return Some(0);
        }
        let &(oldest_ms, _) = self.by_time.first()?;
        if self.is_over_bytes { Some(0) } else { self.due_ms(oldest_ms) }
    }

    fn is_over(&self, segment: SegmentEnd, end: RoomEnd) -> bool {
        self.retention.messages.is_some_and(|messages| end.messages.saturating_sub(segment.messages) >= messages)
    }

    fn due_ms(&self, time_ms: u64) -> Option<u64> {
        let kept_ms = u64::try_from(self.retention.time?.as_millis()).unwrap_or(u64::MAX);
        Some(time_ms.saturating_add(kept_ms))
    }
}
