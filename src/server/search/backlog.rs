//! The backlog: the events that are stored but not indexed yet, and the rooms of the log with their names.
//!
//! The log writer only adds the position of each new segment to a queue. The index thread and each search move the
//! entries of the queue to the backlog.

use std::collections::{HashMap, HashSet};
use std::slice;

use crate::names::{Epoch, RoomId, RoomName, Seq};
use crate::server::log::{Published, RoomState};

/// A publication of the log, reduced to what search needs.
#[derive(Clone, Debug)]
pub enum Announcement {
    Room { id: RoomId, name: RoomName, epoch: Epoch },
    Segment { room: RoomId, first: Seq, last: Seq },
}

impl Announcement {
    /// `None` if it has no new events.
    pub fn of(published: &Published) -> Option<Self> {
        let (room, segments) = match published {
            Published::Room(state) => {
                return Some(Self::Room { id: state.id, name: state.name.clone(), epoch: state.epoch });
            }
            Published::Segment(segment) => (segment.room(), slice::from_ref(segment)),
            Published::Changed(changed) => (changed.room, &changed.segments[..]),
        };
        Some(Self::Segment { room, first: segments.first()?.first(), last: segments.last()?.last() })
    }
}

/// Events of a room that are stored and not indexed: the first and the last of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    pub next: Seq,
    pub head: Seq,
}

/// A room of the log.
#[derive(Clone, Debug)]
pub struct KnownRoom {
    pub name: RoomName,
    pub epoch: Epoch,
}

#[derive(Debug, Default)]
pub struct Backlog {
    rooms: HashMap<RoomId, KnownRoom>,
    ids: HashMap<RoomName, RoomId>,
    /// The rooms that are behind.
    missing: HashMap<RoomId, Missing>,
    /// The rooms among them that the index thread has not taken yet.
    changed: HashSet<RoomId>,
}

impl Backlog {
    pub fn take(&mut self, announcement: Announcement) {
        match announcement {
            Announcement::Room { id, name, epoch } => self.know(id, KnownRoom { name, epoch }),
            Announcement::Segment { room, first, last } => self.stored(room, first, last),
        }
    }

    /// Records a room's state in the log, and its first event that is not indexed.
    pub fn compare(&mut self, state: &RoomState, next: Seq) {
        self.know(state.id, KnownRoom { name: state.name.clone(), epoch: state.epoch });
        if next <= state.head {
            self.stored(state.id, next, state.head);
        }
    }

    fn know(&mut self, id: RoomId, room: KnownRoom) {
        self.ids.insert(room.name.clone(), id);
        self.rooms.insert(id, room);
    }

    fn stored(&mut self, room: RoomId, first: Seq, last: Seq) {
        let missing = self.missing.entry(room).or_insert(Missing { next: first, head: last });
        missing.next = missing.next.min(first);
        missing.head = missing.head.max(last);
        self.changed.insert(room);
    }

    /// Records that the room is indexed up to this seq.
    pub fn indexed(&mut self, room: RoomId, seq: Seq) {
        if let Some(missing) = self.missing.get_mut(&room) {
            missing.next = missing.next.max(seq.next());
            if missing.next > missing.head {
                self.missing.remove(&room);
            }
        }
    }

    /// Forgets everything: the index is empty, and the rooms must be compared again.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes the rooms that are behind and have not been taken since they were announced.
    pub fn take_up(&mut self) -> Vec<(RoomId, Missing)> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().filter_map(|room| Some((room, *self.missing.get(&room)?))).collect()
    }

    /// Makes all rooms that are behind available to be taken again.
    pub fn put_back(&mut self) {
        self.changed = self.missing.keys().copied().collect();
    }

    pub fn room(&self, id: RoomId) -> Option<&KnownRoom> {
        self.rooms.get(&id)
    }

    pub fn id(&self, name: &RoomName) -> Option<RoomId> {
        self.ids.get(name).copied()
    }

    /// How many events are not indexed, in the rooms whose names satisfy `passes`.
    pub fn count(&self, passes: impl Fn(&RoomName) -> bool) -> u64 {
        let readable = self.missing.iter().filter(|(id, _)| self.rooms.get(id).is_some_and(|room| passes(&room.name)));
        readable.map(|(_, missing)| missing.head.0 + 1 - missing.next.0).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(id: u64, head: u64) -> RoomState {
        let mut state = RoomState::empty(RoomId(id), RoomName::stored(&format!("r{id}")), Epoch::random());
        state.head = Seq(head);
        state
    }

    #[test]
    fn events_are_missing_until_they_are_indexed() {
        let mut backlog = Backlog::default();
        let count = |backlog: &Backlog| backlog.count(|_| true);
        backlog.compare(&room(1, 7), Seq(8));
        backlog.compare(&room(2, 7), Seq(5));
        assert_eq!(count(&backlog), 3);
        for (first, last) in [(8, 9), (10, 10)] {
            backlog.take(Announcement::Segment { room: RoomId(1), first: Seq(first), last: Seq(last) });
        }
        assert_eq!(count(&backlog), 6);
        assert_eq!(backlog.count(|name| name.as_str() == "r2"), 3);
        backlog.indexed(RoomId(1), Seq(8));
        backlog.indexed(RoomId(2), Seq(7));
        let expected = [(RoomId(1), Missing { next: Seq(9), head: Seq(10) })];
        assert_eq!(backlog.take_up(), expected);
        assert_eq!(backlog.take_up(), []);
        backlog.put_back();
        assert_eq!(backlog.take_up(), expected);
        // What was announced before the comparison is not counted twice.
        backlog.compare(&room(1, 10), Seq(9));
        assert_eq!(count(&backlog), 2);
        backlog.indexed(RoomId(1), Seq(10));
        assert_eq!(count(&backlog), 0);
        assert_eq!(backlog.id(&RoomName::stored("r2")), Some(RoomId(2)));
    }
}
