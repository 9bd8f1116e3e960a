//! A cursor: where a client stands in a room's log.
//!
//! Live, catching up and resuming are the same walk. While the cursor is within the tail, [`Cursor::look`] finds the
//! next event without blocking; behind the tail, the send thread fetches pages of the log for it ([`Cursor::fetch`]).

use std::collections::VecDeque;
use std::sync::Arc;

use super::Room;
use super::tail::Find;
use crate::limits::READ_BYTES_MAX;
use crate::names::{ClientId, Seq};
use crate::server::log::{Event, Page, Segment};

pub struct Cursor {
    room: Arc<Room>,
    own: ClientId,
    /// The event to read next.
    next: Seq,
    /// How many events of its own client the cursor has passed.
    own_passed: u64,
    /// The segment that `next` was last found in.
    segment: Option<Arc<Segment>>,
    /// What was fetched from the log and not read yet.
    fetched: VecDeque<Arc<Segment>>,
}

/// What a cursor sees next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// An event of somebody else: [`Cursor::event`] has it.
    Event,
    /// Nothing yet: the cursor has read all there is.
    AtHead,
    /// Something that only the log has.
    BehindTail,
}

/// The log no longer has what the cursor wanted next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trimmed {
    pub wanted: Seq,
    pub oldest: Seq,
}

impl Cursor {
    /// A cursor that reads the room from `next` on, without what `own` posts.
    pub fn new(room: Arc<Room>, own: ClientId, next: Seq) -> Self {
        Self { room, own, next, own_passed: 0, segment: None, fetched: VecDeque::new() }
    }

    /// Finds what is next, passing over the client's own events. Never blocks.
    pub fn look(&mut self) -> Look {
        loop {
            if !self.hold_segment() {
                match self.room.tail.read().find(self.next) {
                    Find::Found(segment) => self.segment = Some(segment),
                    Find::BeyondHead => return Look::AtHead,
                    Find::BehindTail => return Look::BehindTail,
                }
            }
            match self.event() {
                Some(event) if event.sender == self.own => {
                    self.own_passed += 1;
                    self.advance();
                }
                _ => return Look::Event,
            }
        }
    }

    /// The event that [`Cursor::look`] has found.
    pub fn event(&self) -> Option<&Event> {
        self.segment.as_ref()?.event(self.next)
    }

    /// Goes past that event.
    pub fn advance(&mut self) {
        self.next = self.next.next();
    }

    /// Fetches a page of the log, where [`Cursor::look`] said that the cursor is behind the tail. May block.
    pub fn fetch(&mut self) -> Result<(), Trimmed> {
        match self.room.read_log(self.next, READ_BYTES_MAX) {
            Page::Segments(segments) => {
                self.fetched = segments.into();
                Ok(())
            }
            Page::Trimmed { oldest } => Err(Trimmed { wanted: self.next, oldest }),
        }
    }

    /// How many events of its own client the cursor has passed.
    pub fn own_passed(&self) -> u64 {
        self.own_passed
    }

    /// Whether the cursor holds the segment of `next`, or could take it from what was fetched.
    fn hold_segment(&mut self) -> bool {
        loop {
            if self.event().is_some() {
                return true;
            }
            // A segment that was read is let go of here, so that a lagging cursor keeps nothing alive.
            self.segment = self.fetched.pop_front();
            if self.segment.is_none() {
                return false;
            }
        }
    }
}
