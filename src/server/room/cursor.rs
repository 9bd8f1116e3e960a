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

#[cfg(test)]
mod tests {
    //! The log, the tail and the cursor against a naive model: a vector of everything ever said.

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::names::RoomName;
    use crate::server::log::memory::MemoryLog;
    use crate::server::log::{Log, Post};
    use crate::wire::Frame;

    #[derive(Clone, Debug)]
    enum Step {
        /// Commits events of these senders together.
        Append { senders: Vec<u64> },
        /// A reader joins at the head.
        Join { own: u64 },
        /// A reader reads up to so many events.
        Read { reader: usize, events: usize },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => vec(1..4u64, 1..6).prop_map(|senders| Step::Append { senders }),
            1 => (0..4u64).prop_map(|own| Step::Join { own }),
            4 => (0..6usize, 1..12usize).prop_map(|(reader, events)| Step::Read { reader, events }),
        ];
        vec(step, 1..120)
    }

    struct Reader {
        cursor: Cursor,
        own: u64,
        /// Where the model is: the index of the event to read next.
        next: usize,
        /// Whether the log has dropped what it wanted.
        cut_off: bool,
    }

    struct World {
        room: Arc<Room>,
        log: Arc<MemoryLog>,
        /// The sender of every event ever committed.
        said: Vec<u64>,
        readers: Vec<Reader>,
    }

    impl World {
        fn new(log_bytes_max: usize, tail_bytes_max: usize) -> Self {
            let log = Arc::new(MemoryLog::new(log_bytes_max));
            let room = Arc::new(Room::new(RoomName::lobby(), Arc::clone(&log) as _, tail_bytes_max, 1));
            Self { room, log, said: Vec::new(), readers: Vec::new() }
        }

        fn append(&mut self, senders: &[u64]) {
            let mut posts = Vec::new();
            for &sender in senders {
                let frame = Frame::new(self.said.len().to_string().into_bytes());
                posts.push(Post { room: RoomName::lobby(), event: Event { sender: ClientId(sender), frame } });
                self.said.push(sender);
            }
            for segment in self.log.append(posts) {
                self.room.push(segment);
            }
        }

        fn join(&mut self, own: u64) {
            let cursor = self.room.cursor_at_head(ClientId(own));
            self.readers.push(Reader { cursor, own, next: self.said.len(), cut_off: false });
        }

        fn read(&mut self, reader: usize, events: usize) {
            let Some(reader) = self.readers.get_mut(reader) else { return };
            for _ in 0..events {
                if reader.cut_off {
                    return;
                }
                while self.said.get(reader.next) == Some(&reader.own) {
                    reader.next += 1;
                }
                reader.step(&self.said);
            }
        }
    }

    impl Reader {
        /// Reads one event, and compares it with the model's.
        fn step(&mut self, said: &[u64]) {
            match self.cursor.look() {
                Look::Event => {
                    let event = self.cursor.event().unwrap();
                    assert_eq!(event.frame.as_slice(), self.next.to_string().as_bytes());
                    assert_eq!(event.sender.0, said[self.next]);
                    self.cursor.advance();
                    self.next += 1;
                }
                Look::AtHead => assert_eq!(self.next, said.len(), "the cursor rests where there is something to read"),
                Look::BehindTail => match self.cursor.fetch() {
                    Ok(()) => {
                        assert_ne!(self.cursor.look(), Look::BehindTail, "a page brings the cursor on");
                        self.step(said);
                    }
                    Err(trimmed) => {
                        assert!(trimmed.oldest > trimmed.wanted, "{trimmed:?} is not trimmed");
                        self.cut_off = true;
                    }
                },
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        /// Whatever the sizes of log and tail: each reader gets each event of others once, in order, or learns that
        /// the log has dropped it. With a log that keeps everything, nobody is cut off.
        #[test]
        fn every_reader_reads_what_the_model_reads(
            steps in steps(),
            log_bytes_max in prop_oneof![Just(usize::MAX), 200..4000usize],
            tail_bytes_max in 0..2000usize,
        ) {
            let mut world = World::new(log_bytes_max, tail_bytes_max);
            for step in steps {
                match step {
                    Step::Append { senders } => world.append(&senders),
                    Step::Join { own } => world.join(own),
                    Step::Read { reader, events } => world.read(reader, events),
                }
            }
            for reader in 0..world.readers.len() {
                world.read(reader, usize::from(u16::MAX).min(world.said.len() + 1));
            }
            for reader in &world.readers {
                prop_assert!(reader.cut_off || reader.next == world.said.len());
                prop_assert!(!(reader.cut_off && log_bytes_max == usize::MAX));
            }
        }
    }
}
