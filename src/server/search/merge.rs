//! Reads many rooms' logs as one, in the order of time.
//!
//! The ids define the order of the index, newest last. Messages that are indexed as they arrive are in the order of
//! their times anyway. An index that is rebuilt reads all rooms at once: the room whose next event is the oldest comes
//! first.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;

use super::backlog::Missing;
use crate::limits::{INDEX_READ_AHEAD_BYTES_MAX, READ_BYTES_MAX};
use crate::names::{RoomId, Seq};
use crate::server::log::{Log, LogError, Page, Segment};
use crate::wire::event::{self, Entry};

/// Rooms that are read in the order of time.
#[derive(Default)]
pub struct Merge {
    rooms: HashMap<RoomId, Source>,
    /// The time of the next event of each room that has one.
    order: BinaryHeap<Reverse<(u64, RoomId)>>,
    /// How many bytes of segments are in memory.
    bytes: usize,
}

/// The read state of a room.
struct Source {
    /// The next event to return.
    next: Seq,
    head: Seq,
    /// The read segments, and where the next event is in the first of them.
    segments: VecDeque<Arc<Segment>>,
    offset: usize,
}

impl Merge {
    /// Adds a room, or more events of one. Returns whether it has any that can be read.
    pub fn add(&mut self, log: &dyn Log, room: RoomId, missing: Missing) -> Result<bool, LogError> {
        if let Some(source) = self.rooms.get_mut(&room) {
            source.head = source.head.max(missing.head);
            return Ok(true);
        }
        let source = Source { next: missing.next, head: missing.head, segments: VecDeque::new(), offset: 0 };
        self.rooms.insert(room, source);
        let has_events = self.enqueue(log, room)?;
        if !has_events {
            self.remove(room);
        }
        Ok(has_events)
    }

    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Passes events in the order of time to `take`, until it returns `false`. Returns how far each touched room was
    /// read. After an error, this MUST NOT be used any more.
    pub fn read<E: From<LogError>>(
        &mut self,
        log: &dyn Log,
        mut take: impl FnMut(&Entry<'_>) -> Result<bool, E>,
    ) -> Result<HashMap<RoomId, Seq>, E> {
        let mut read = HashMap::new();
        let mut wants_more = true;
        while wants_more && let Some(Reverse((_, room))) = self.order.pop() {
            let until = self.order.peek().map_or(u64::MAX, |Reverse((time_ms, _))| *time_ms);
            let chunk = chunk(self.order.len());
            // Invariant: a room in the order has a source.
            let source = self.rooms.get_mut(&room).expect("an ordered room is known");
            if source.segments.is_empty() {
                self.bytes += source.load(log, room, chunk)?;
            }
            while wants_more && source.time_ms().is_some_and(|time_ms| time_ms <= until) {
                let (more, freed) = source.pass(&mut take)?;
                wants_more = more;
                self.bytes -= freed;
            }
            let has_more = self.enqueue(log, room)?;
            read.insert(room, Seq(self.rooms[&room].next.0 - 1));
            if !has_more {
                self.remove(room);
            }
        }
        Ok(read)
    }

    fn remove(&mut self, room: RoomId) {
        if let Some(mut source) = self.rooms.remove(&room) {
            self.bytes -= source.forget();
        }
    }

    /// Puts a room in the order, if it has a next event. Returns whether it has.
    fn enqueue(&mut self, log: &dyn Log, room: RoomId) -> Result<bool, LogError> {
        let chunk = chunk(self.order.len());
        let Some(source) = self.rooms.get_mut(&room) else { return Ok(false) };
        if source.segments.is_empty() {
            self.bytes += source.load(log, room, chunk)?;
        }
        let Some(time_ms) = source.time_ms() else { return Ok(false) };
        self.order.push(Reverse((time_ms, room)));
        if self.bytes > INDEX_READ_AHEAD_BYTES_MAX {
            self.bytes -= source.forget();
        }
        Ok(true)
    }
}

/// How many bytes of a room are read at once, if there are this many others.
fn chunk(others: usize) -> usize {
    (INDEX_READ_AHEAD_BYTES_MAX / (others + 1)).min(READ_BYTES_MAX)
}

impl Source {
    /// Reads the next segments, and skips events that can't be read. Returns the bytes that they take in memory.
    fn load(&mut self, log: &dyn Log, room: RoomId, bytes: usize) -> Result<usize, LogError> {
        while self.next <= self.head {
            match log.read(room, self.next, bytes)? {
                Page::Segments(segments) => {
                    let Some(first) = segments.first() else { break };
                    self.offset = first.offset(self.next);
                    let taken = segments.iter().map(|segment| segment.bytes()).sum();
                    self.segments.extend(segments);
                    return Ok(taken);
                }
                Page::Trimmed { oldest } => self.next = oldest.max(self.next.next()),
                Page::Damaged { next: Some(next) } => self.next = next.max(self.next.next()),
                Page::Damaged { next: None } => break,
            }
        }
        // Nothing that was stored can be read any more.
        self.next = self.next.max(self.head.next());
        Ok(0)
    }

    /// The time of the next event, if it is in memory. Events above the head are not returned yet, although they were read:
    /// another room may have an older one that is not known here.
    fn time_ms(&self) -> Option<u64> {
        if self.next > self.head {
            return None;
        }
        let segment = self.segments.front()?;
        let entry = event::entries(&segment.frame().as_slice()[self.offset..]).next()?;
        // Segments were checked when they were read.
        Some(entry.ok()?.0.time_ms)
    }

    /// Passes the next event to `take`. Returns its result, and how many bytes of memory were freed.
    fn pass<E>(&mut self, take: &mut impl FnMut(&Entry<'_>) -> Result<bool, E>) -> Result<(bool, usize), E> {
        let Some(segment) = self.segments.front().map(Arc::clone) else { return Ok((true, 0)) };
        let frame = segment.frame().as_slice();
        let Some(Ok((entry, length))) = event::entries(&frame[self.offset..]).next() else { return Ok((true, 0)) };
        let wants_more = take(&entry)?;
        self.offset += length;
        self.next = entry.seq.next();
        if self.offset < frame.len() {
            return Ok((wants_more, 0));
        }
        self.segments.pop_front();
        self.offset = 0;
        Ok((wants_more, segment.bytes()))
    }

    /// Frees the segments, to read them again later. Returns the bytes that they took.
    fn forget(&mut self) -> usize {
        self.segments.drain(..).map(|segment| segment.bytes()).sum()
    }
}
