//! The log: what was said in each room, in order, each event once.
//!
//! The log gives every event its place in its room (`seq`) and hands the events that were committed together out as one
//! [`Segment`]. A room gets segments only from the writer's publish callback, never from the one who posted.

pub mod memory;
pub mod writer;

use std::sync::Arc;

use crate::names::{ClientId, RoomName, Seq};
use crate::wire::Frame;

/// What a client wants appended to a room.
#[derive(Debug)]
pub struct Post {
    pub room: RoomName,
    pub event: Event,
}

/// One entry of a room's log, encoded once for all who will receive it.
#[derive(Clone, Debug)]
pub struct Event {
    /// The client that posted it.
    pub sender: ClientId,
    /// The encoded gRPC message that carries it.
    pub frame: Frame,
}

impl Event {
    /// What keeping the event costs in memory, in bytes: its frame, and about 128 bytes for what is around it.
    fn bytes(&self) -> usize {
        self.frame.len() + 128
    }
}

/// The run of events of one room that were committed together. Never empty, never changed.
#[derive(Debug)]
pub struct Segment {
    room: RoomName,
    first: Seq,
    // Invariant: not empty.
    events: Box<[Event]>,
    bytes: usize,
}

impl Segment {
    pub fn new(room: RoomName, first: Seq, events: Vec<Event>) -> Self {
        assert!(!events.is_empty(), "a segment has at least one event");
        let bytes = events.iter().map(Event::bytes).sum();
        Self { room, first, events: events.into_boxed_slice(), bytes }
    }

    pub fn room(&self) -> &RoomName {
        &self.room
    }

    pub fn first(&self) -> Seq {
        self.first
    }

    pub fn last(&self) -> Seq {
        Seq(self.first.0 + self.events.len() as u64 - 1)
    }

    /// What keeping the segment costs in memory, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The event at `seq`, where this segment has it.
    pub fn event(&self, seq: Seq) -> Option<&Event> {
        let index = seq.0.checked_sub(self.first.0)?;
        self.events.get(index as usize)
    }
}

/// What a read of the log found.
#[derive(Debug)]
pub enum Page {
    /// Segments in order, the first of which holds the event asked for. Empty where the log has none yet.
    Segments(Vec<Arc<Segment>>),
    /// The event asked for is gone: the oldest that is kept is this one.
    Trimmed { oldest: Seq },
}

/// Where events are kept. One thread appends; any number read.
///
/// 1. `append` MUST give each event the next seq of its room: dense, from 1.
/// 2. What `append` has returned MUST be found by every later `read`, until it is trimmed from the old end.
/// 3. `read` MUST NOT wait for an `append`'s disk writes.
pub trait Log: Send + Sync {
    /// Appends the posts in their order, and returns them as segments, one for each room that got any.
    fn append(&self, posts: Vec<Post>) -> Vec<Arc<Segment>>;

    /// Reads events of the room from `from` on: whole segments, until they make up `bytes_max`, but at least one.
    fn read(&self, room: &RoomName, from: Seq, bytes_max: usize) -> Page;

    /// The seq of the room's newest event; [`Seq::ZERO`] where it has none.
    fn head(&self, room: &RoomName) -> Seq;
}
