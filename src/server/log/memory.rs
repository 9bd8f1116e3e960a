//! The log in memory: bounded in bytes, gone with the process.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Event, Log, Page, Post, Segment};
use crate::names::{RoomName, Seq};

/// A log that keeps the newest `bytes_max` bytes of all rooms together, and drops the oldest segments beyond.
pub struct MemoryLog {
    bytes_max: usize,
    // lock order: 3 (a leaf: nothing is locked under it)
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    rooms: HashMap<RoomName, RoomLog>,
    /// The room of each kept segment, oldest first: where to trim next.
    ages: VecDeque<RoomName>,
    bytes: usize,
}

#[derive(Default)]
struct RoomLog {
    // Invariant: each segment's first seq follows its predecessor's last; the newest segment's last seq is `head`.
    segments: VecDeque<Arc<Segment>>,
    head: u64,
}

impl MemoryLog {
    /// An empty log that keeps `bytes_max` bytes of events, and never less than the newest segment.
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, kept: Mutex::default() }
    }
}

impl Log for MemoryLog {
    fn append(&self, posts: Vec<Post>) -> Vec<Arc<Segment>> {
        let mut runs: Vec<(RoomName, Vec<Event>)> = Vec::new();
        for Post { room, event } in posts {
            match runs.iter_mut().find(|(name, _)| *name == room) {
                Some((_, events)) => events.push(event),
                None => runs.push((room, vec![event])),
            }
        }
        let mut kept = self.kept.lock();
        let segments = runs.into_iter().map(|(room, events)| kept.append(room, events)).collect();
        let trimmed = kept.trim(self.bytes_max);
        // Freeing what was trimmed may take a while, so it happens after the lock is released.
        drop(kept);
        drop(trimmed);
        segments
    }

    fn read(&self, room: &RoomName, from: Seq, bytes_max: usize) -> Page {
        let kept = self.kept.lock();
        let Some(log) = kept.rooms.get(room) else { return Page::Segments(Vec::new()) };
        let start = log.segments.partition_point(|segment| segment.last() < from);
        let mut page = Vec::new();
        let mut bytes = 0;
        for segment in log.segments.range(start..) {
            if page.is_empty() && segment.first() > from {
                return Page::Trimmed { oldest: segment.first() };
            }
            if bytes >= bytes_max {
                break;
            }
            bytes += segment.bytes();
            page.push(Arc::clone(segment));
        }
        if page.is_empty() && from.0 <= log.head {
            return Page::Trimmed { oldest: Seq(log.head).next() };
        }
        Page::Segments(page)
    }

    fn head(&self, room: &RoomName) -> Seq {
        self.kept.lock().rooms.get(room).map_or(Seq::ZERO, |log| Seq(log.head))
    }
}

impl Kept {
    fn append(&mut self, room: RoomName, events: Vec<Event>) -> Arc<Segment> {
        let log = self.rooms.entry(room.clone()).or_default();
        let segment = Arc::new(Segment::new(room.clone(), Seq(log.head).next(), events));
        log.head = segment.last().0;
        log.segments.push_back(Arc::clone(&segment));
        self.ages.push_back(room);
        self.bytes += segment.bytes();
        segment
    }

    /// Takes out the oldest segments until the rest fits, but never the newest one of all.
    fn trim(&mut self, bytes_max: usize) -> Vec<Arc<Segment>> {
        let mut trimmed = Vec::new();
        while self.bytes > bytes_max && self.ages.len() > 1 {
            let oldest = self.ages.pop_front().and_then(|room| self.rooms.get_mut(&room)?.segments.pop_front());
            // Invariant: `ages` names a room once for each segment it keeps.
            let segment = oldest.expect("every age has its segment");
            self.bytes -= segment.bytes();
            trimmed.push(segment);
        }
        trimmed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::ClientId;
    use crate::wire::Frame;

    fn post(room: &RoomName) -> Post {
        Post { room: room.clone(), event: Event { sender: ClientId(1), frame: Frame::new(b"x".to_vec()) } }
    }

    #[test]
    fn a_batch_becomes_one_segment_a_room() {
        let (lobby, other) = (RoomName::lobby(), RoomName::new("other"));
        let log = MemoryLog::new(usize::MAX);
        let segments = log.append(vec![post(&lobby), post(&other), post(&lobby)]);
        let places: Vec<_> = segments.iter().map(|s| (s.room().as_str(), s.first().0, s.last().0)).collect();
        assert_eq!(places, [("lobby", 1, 2), ("other", 1, 1)]);
        assert_eq!((log.head(&lobby), log.head(&other)), (Seq(2), Seq(1)));
    }

    /// A room whose every event was dropped in favour of another room's once read as "nothing there yet", which
    /// would have had a send thread ask again and again.
    #[test]
    fn a_room_that_lost_everything_says_so() {
        let (lobby, other) = (RoomName::lobby(), RoomName::new("other"));
        let log = MemoryLog::new(0);
        log.append(vec![post(&lobby)]);
        log.append(vec![post(&other)]);
        assert!(matches!(log.read(&lobby, Seq(1), 1), Page::Trimmed { oldest: Seq(2) }));
        assert!(matches!(log.read(&lobby, Seq(2), 1), Page::Segments(page) if page.is_empty()));
        assert!(matches!(log.read(&other, Seq(1), 1), Page::Segments(page) if page.len() == 1));
    }
}
