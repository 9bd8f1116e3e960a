//! A cursor: the position of a client in a room's log.
//!
//! Live, catching up and resuming are the same walk. While the cursor is within the tail, [`Cursor::look`] finds the
//! next message without blocking; behind the tail, the send thread fetches pages of the log for it ([`Cursor::fetch`]).

use std::collections::VecDeque;
use std::sync::Arc;

use super::Room;
use super::position::Position;
use super::tail::Find;
use crate::limits::READ_BYTES_MAX;
use crate::names::Seq;
use crate::server::log::{LogError, Page, Segment};
use crate::wire::Frame;

pub struct Cursor {
    room: Arc<Room>,
    /// The message to read next.
    next: Seq,
    /// The same for other threads.
    position: Arc<Position>,
    /// The segment that `next` was last found in.
    segment: Option<Arc<Segment>>,
    /// Segments that were fetched from the log and not read yet.
    fetched: VecDeque<Arc<Segment>>,
    /// How many replacements of segments the room had before these segments were read.
    replacements: u64,
}

/// The state of a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// There is a message to read.
    Ready,
    /// Nothing yet: the cursor has read everything.
    AtHead,
    /// The next message is only in the log.
    BehindTail,
}

/// The result of a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// The cursor's next messages.
    Page,
    /// The log no longer has the cursor's next message.
    Trimmed(Trimmed),
    /// The cursor's next messages can't be read, up to this one.
    Damaged { to: Seq },
}

/// The log no longer has a cursor's next message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trimmed {
    pub wanted: Seq,
    pub oldest: Seq,
}

/// Messages that a cursor has passed: a part of a segment.
pub struct SegmentPart {
    segment: Arc<Segment>,
    from: Seq,
    to: Seq,
}

impl Cursor {
    /// A cursor that reads the room from `next` on.
    pub fn new(room: Arc<Room>, next: Seq) -> Self {
        let replacements = room.replacements();
        let position = Arc::new(Position::new(next));
        Self { room, next, position, segment: None, fetched: VecDeque::new(), replacements }
    }

    /// Shows other threads where the cursor is.
    pub fn position(&self) -> &Arc<Position> {
        &self.position
    }

    pub fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// The message to read next.
    pub fn next(&self) -> Seq {
        self.next
    }

    /// Looks for the next message. Never blocks.
    pub fn look(&mut self) -> Look {
        self.release_replaced();
        if self.hold_segment() {
            return Look::Ready;
        }
        match self.room.find(self.next) {
            Find::Found(segment) => {
                self.segment = Some(segment);
                Look::Ready
            }
            Find::BeyondHead => Look::AtHead,
            Find::BehindTail => Look::BehindTail,
        }
    }

    /// The segment with the next message, if [`Cursor::look`] has found one.
    pub fn segment(&self) -> Option<&Arc<Segment>> {
        self.segment.as_ref().filter(|segment| segment.holds(self.next))
    }

    /// Advances past the next message.
    pub fn advance(&mut self) {
        self.move_to(self.next.next());
    }

    /// Takes the rest of the segment with the next message, but nothing beyond `until`, and advances past it.
    pub fn take(&mut self, until: Seq) -> Option<SegmentPart> {
        let segment = Arc::clone(self.segment()?);
        let (from, to) = (self.next, segment.last().min(until));
        if to < from {
            return None;
        }
        self.move_to(to.next());
        if to == segment.last() {
            // A segment that was read is released, so that an idle cursor keeps no memory.
            self.segment = None;
        }
        Some(SegmentPart { segment, from, to })
    }

    /// Fetches a page of the log, if [`Cursor::look`] returned that the cursor is behind the tail. May block.
    pub fn fetch(&mut self) -> Result<Fetched, LogError> {
        // Before the read: the page may contain segments that are replaced during the read.
        self.replacements = self.room.replacements();
        match self.room.read_log(self.next, READ_BYTES_MAX)? {
            // Messages behind the tail were stored, so it is damage if the log has nothing there.
            Page::Segments(segments) if segments.is_empty() => Ok(self.damaged(None)),
            Page::Segments(segments) => {
                self.fetched = segments.into();
                Ok(Fetched::Page)
            }
            Page::Trimmed { oldest } => Ok(Fetched::Trimmed(Trimmed { wanted: self.next, oldest })),
            Page::Damaged { next } => Ok(self.damaged(next)),
        }
    }

    /// The cursor can continue with that message of the log, or else with the tail.
    fn damaged(&self, next: Option<Seq>) -> Fetched {
        let tail = self.room.tail_begin();
        let next = next.map_or(tail, |next| next.min(tail)).max(self.next.next());
        Fetched::Damaged { to: Seq(next.0 - 1) }
    }

    /// Continues from there: the messages in between are gone.
    pub fn skip_to(&mut self, next: Seq) {
        self.move_to(next);
    }

    fn move_to(&mut self, next: Seq) {
        self.next = next;
        self.position.move_to(next);
    }

    /// Releases the segments that it holds, which it finds again.
    pub fn release(&mut self) {
        self.segment = None;
        self.fetched.clear();
    }

    /// Releases the segments that it holds if one was replaced since it was read: they might contain removed text.
    fn release_replaced(&mut self) {
        let replacements = self.room.replacements();
        if replacements == self.replacements {
            return;
        }
        let last = self.segment.iter().chain(&self.fetched).map(|segment| segment.last()).max();
        if last.is_some_and(|last| self.room.was_replaced(self.replacements, &(self.next..=last))) {
            self.release();
        }
        self.replacements = replacements;
    }

    /// Whether the cursor holds the segment of `next`, or could take it from the fetched ones.
    fn hold_segment(&mut self) -> bool {
        loop {
            if self.segment().is_some() {
                return true;
            }
            // A segment that was read is released here, so that a lagging cursor keeps no memory.
            self.segment = self.fetched.pop_front();
            if self.segment.is_none() {
                return false;
            }
        }
    }
}

impl SegmentPart {
    /// How many events it has.
    pub fn events(&self) -> u64 {
        // Invariant: it is not empty.
        self.to.0 - self.from.0 + 1
    }

    /// Its last message.
    pub fn last(&self) -> Seq {
        self.to
    }

    /// The number of its bytes, or an upper bound if it is not a whole segment.
    pub fn bytes_max(&self) -> usize {
        self.segment.frame().len()
    }

    /// The segment's own frame, if this is the whole segment.
    pub fn whole(&self) -> Option<&Frame> {
        (self.from == self.segment.first() && self.to == self.segment.last()).then(|| self.segment.frame())
    }

    /// The entries of its messages.
    pub fn entries(&self) -> &[u8] {
        let bytes = self.segment.frame().as_slice();
        if self.whole().is_some() {
            return bytes;
        }
        &bytes[self.segment.offset(self.from)..self.segment.offset(self.to.next())]
    }
}

#[cfg(test)]
mod tests {
    //! The log, the tail and the cursor against a naive model: the number of messages ever posted, each of which
    //! contains its seq.

    use std::collections::HashSet;

    use crossbeam_channel::Receiver;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::names::{Epoch, RoomId};
    use crate::server::log::conformance::{DamagedLog, at, post_without_id, published, room};
    use crate::server::log::memory::MemoryAppender;
    use crate::server::log::{Appender as _, Retention, RoomState, memory};
    use crate::server::room::RoomKey;
    use crate::server::room::tail::Tails;
    use crate::wire::event;

    #[derive(Clone, Debug)]
    enum Step {
        Append { count: usize },
        Join { back: u64 },
        Read { cursor: usize, parts: usize, until: u64 },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (1..6usize).prop_map(|count| Step::Append { count }),
            1 => (0..40u64).prop_map(|back| Step::Join { back }),
            4 => (0..8usize, 0..4usize, 0..30u64).prop_map(|(cursor, parts, until)| Step::Read { cursor, parts, until }),
        ];
        vec(step, 1..80)
    }

    struct World {
        appender: MemoryAppender,
        published: Receiver<Arc<Segment>>,
        room: Arc<Room>,
        head: u64,
        /// Segments that begin with a multiple of this number can't be read.
        damaged: u64,
        /// The messages of these segments.
        lost: HashSet<u64>,
        cursors: Vec<TrackedCursor>,
    }

    struct TrackedCursor {
        cursor: Cursor,
        /// The seq that it must read next.
        next: u64,
        trimmed: bool,
    }

    impl World {
        fn new(log_bytes_max: usize, tail_bytes_max: usize, damaged: u64) -> Self {
            let (mut appender, log) = memory::open(log_bytes_max, Retention::default());
            let log = Arc::new(DamagedLog(log, damaged));
            let state = RoomState::empty(RoomId(1), room("attic"), Epoch::random());
            let room = Arc::new(Room::new(RoomKey(1), state, log, tail_bytes_max, Arc::new(Tails::new(usize::MAX)), 0));
            let published = published(&mut appender);
            Self { appender, published, room, head: 0, damaged, lost: HashSet::new(), cursors: Vec::new() }
        }

        fn append(&mut self, count: usize) {
            let bodies = (1..=count as u64).map(|n| (self.head + n).to_string());
            let posts: Vec<_> = bodies.map(|body| post_without_id(self.room.name(), "ann", &body)).collect();
            self.appender.append(&posts, at(1)).unwrap();
            for segment in self.published.try_iter() {
                if segment.first().0.is_multiple_of(self.damaged) {
                    self.lost.extend(segment.first().0..=segment.last().0);
                }
                self.room.push(segment);
            }
            self.head += count as u64;
        }

        fn join(&mut self, back: u64) {
            let next = (self.head + 1).saturating_sub(back).max(1);
            let cursor = Cursor::new(Arc::clone(&self.room), Seq(next));
            self.cursors.push(TrackedCursor { cursor, next, trimmed: false });
        }

        fn read(&mut self, cursor: usize, parts: usize, until: u64) {
            let Some(cursor) = self.cursors.get_mut(cursor) else { return };
            for _ in 0..parts {
                cursor.step(self.head, until, &self.lost);
            }
        }
    }

    impl TrackedCursor {
        /// Reads a part of one segment, and compares it with the expected messages.
        fn step(&mut self, head: u64, until: u64, lost: &HashSet<u64>) {
            match self.cursor.look() {
                Look::Ready => {
                    let until = self.next + until;
                    let part = self.cursor.take(Seq(until)).expect("the cursor is ready");
                    for entry in event::entries(part.entries()) {
                        let entry = entry.unwrap().0;
                        let content = event::read_content(entry.content).unwrap();
                        assert_eq!((entry.seq.0, content.body), (self.next, self.next.to_string().as_str()));
                        self.next += 1;
                    }
                    assert!(self.next <= until + 1 && self.next <= head + 1);
                    assert_eq!(self.cursor.next(), Seq(self.next));
                }
                Look::AtHead => {
                    assert_eq!(self.next, head + 1, "the cursor is at the head although there is more to read")
                }
                Look::BehindTail => match self.cursor.fetch().unwrap() {
                    Fetched::Page => assert_eq!(self.cursor.look(), Look::Ready, "a cursor with a page is ready"),
                    Fetched::Damaged { to } => {
                        assert!(self.next <= to.0 && (self.next..=to.0).all(|seq| lost.contains(&seq)), "{to}");
                        self.cursor.skip_to(to.next());
                        self.next = to.0 + 1;
                    }
                    Fetched::Trimmed(trimmed) => {
                        assert!(trimmed.wanted == Seq(self.next) && trimmed.oldest > trimmed.wanted, "{trimmed:?}");
                        self.cursor.skip_to(trimmed.oldest);
                        self.next = trimmed.oldest.0;
                        self.trimmed = true;
                    }
                },
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        /// For all sizes of log and tail, each cursor returns each message once, in order, or reports that the log has
        /// deleted it or can't read it. With a log that keeps everything, no message is missed.
        #[test]
        fn every_cursor_returns_the_messages_of_the_model(
            steps in steps(),
            log_bytes_max in prop_oneof![Just(usize::MAX), 200..4000usize],
            tail_bytes_max in 0..2000usize,
            damaged in prop_oneof![Just(u64::MAX), 2..6u64],
        ) {
            let mut world = World::new(log_bytes_max, tail_bytes_max, damaged);
            for step in steps {
                match step {
                    Step::Append { count } => world.append(count),
                    Step::Join { back } => world.join(back),
                    Step::Read { cursor, parts, until } => world.read(cursor, parts, until),
                }
            }
            for cursor in 0..world.cursors.len() {
                world.read(cursor, 2 * world.head as usize + 2, 1_000);
            }
            for cursor in &world.cursors {
                prop_assert_eq!(cursor.next, world.head + 1);
                prop_assert!(!(cursor.trimmed && log_bytes_max == usize::MAX));
            }
        }
    }
}
