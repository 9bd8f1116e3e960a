//! The log: what was said in each room, in order, each message once.
//!
//! The log gives every message its place in its room (`seq`), encodes it once, and hands the messages that were committed
//! together out as one [`Segment`], whose bytes are what is stored and what is sent. A room gets segments only from the
//! writer's publish callback, never from the one who posted.
//!
//! A log has two sides. The [`Appender`] belongs to the log writer's thread alone. The [`Log`] is shared by all who read,
//! and never waits for the appender.

pub mod segment;
pub mod batch;
pub mod clock;
pub mod retention;
pub mod memory;
pub mod sqlite;
#[cfg(test)]
pub(crate) mod conformance;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use thiserror::Error;

pub use self::clock::ClockState;
pub use self::segment::Segment;
use crate::limits::{ERASE_AFTER, IDS_KEPT, ROOMS_MAX};
use crate::names::{Epoch, MessageId, RoomId, RoomName, Seq, UserName};

/// What somebody wants said in a room.
#[derive(Clone, Debug)]
pub struct Post {
    pub room: RoomName,
    pub sender: UserName,
    pub id: MessageId,
    /// Whether the sender has chosen the id, and so may post the message again. Those that the server makes are unique.
    pub id_chosen: bool,
    /// The encoded content, made by [`crate::wire::event::content`]. It holds the id and the sender too.
    pub content: Vec<u8>,
}

/// What the log knows of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomState {
    pub id: RoomId,
    pub name: RoomName,
    pub epoch: Epoch,
    /// The first seq that was given in this epoch, or in an earlier one but the first: what the first one had given from
    /// there on is lost.
    pub epoch_first: Seq,
    /// The newest message; [`Seq::ZERO`] before the first.
    pub head: Seq,
    /// The oldest message that is kept; one above the head if none is.
    pub oldest: Seq,
}

impl RoomState {
    /// A room of which nothing is stored.
    pub fn pending(id: RoomId, name: RoomName, epoch: Epoch) -> Self {
        Self { id, name, epoch, epoch_first: Seq(1), head: Seq::ZERO, oldest: Seq(1) }
    }
}

/// What became of a post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is stored, in this place.
    New(RoomId, Seq),
    /// It had been stored before, in this place.
    Before(RoomId, Seq),
}

/// What an append has done.
#[derive(Debug)]
pub struct Batch {
    /// One for each room that got anything.
    pub segments: Vec<Arc<Segment>>,
    /// What became of each post, in the order of the posts. A post whose own room can't be had is refused by itself.
    pub outcomes: Vec<Result<Appended, LogError>>,
    /// The rooms whose time was far ahead and is right again, with the time before, in milliseconds since 1970.
    pub corrected: Vec<(RoomId, u64)>,
}

/// What a read of the log found.
#[derive(Debug)]
pub enum Page {
    /// Segments in order, the first of which holds the message asked for. Empty where the log has none yet.
    Segments(Vec<Arc<Segment>>),
    /// Retention deleted the message asked for: the oldest that is kept is this one, or will be.
    Trimmed { oldest: Seq },
    /// The message asked for can't be read: what is stored of it is damaged, or missing though retention did not delete it.
    /// The same holds for those that follow, up to this one, which can be read; `None` if the log finds no such message.
    Damaged { next: Option<Seq> },
}

/// A piece of a room's history.
#[derive(Clone, Debug)]
pub enum Piece {
    Segment(Arc<Segment>),
    /// Messages that can't be read: the first and the last of them.
    Damaged {
        from: Seq,
        to: Seq,
    },
}

impl Piece {
    pub fn first(&self) -> Seq {
        match self {
            Self::Segment(segment) => segment.first(),
            Self::Damaged { from, .. } => *from,
        }
    }

    pub fn last(&self) -> Seq {
        match self {
            Self::Segment(segment) => segment.last(),
            Self::Damaged { to, .. } => *to,
        }
    }
}

/// Which part of a room's history to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The messages from this one on, the oldest of them first. Those that retention took are passed over.
    From(Seq),
    /// The newest messages before this one.
    Before(Seq),
}

/// A part of a room's history, and the room as it was at the moment of the read.
#[derive(Debug)]
pub struct History {
    pub room: RoomState,
    /// In order, each beginning where the one before ends. The outermost may go beyond the part. Empty only if the part
    /// holds no message.
    pub pieces: Vec<Piece>,
}

/// Why the log can't do what it should.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LogError {
    /// There is no space for it. What needs none may still work.
    #[error("the disk is full")]
    Full,
    /// It may work again later: the disk is failing.
    #[error("{0}")]
    Unavailable(String),
    /// What is stored can't be read.
    #[error("{0}")]
    Damaged(String),
    #[error("the server has {0} rooms, the maximum: use one of those, or contact its operator")]
    TooManyRooms(usize),
}

/// How much of each room's history is kept. What is older is trimmed, a whole segment at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Messages older than this may be trimmed. `None` keeps them however old they are.
    pub time: Option<Duration>,
    /// Messages beyond the newest so many of their room may be trimmed. `None` keeps them however many there are.
    pub messages: Option<u64>,
    /// How long the id of a deleted message is remembered, so that a repeat of the message is recognized.
    pub ids: Duration,
    /// How long after its deletion a message may still be in the log's files. Erasing is a commit and a few more writes.
    pub erase_after: Duration,
}

impl Default for Retention {
    /// Keeps every message.
    fn default() -> Self {
        Self { time: None, messages: None, ids: IDS_KEPT, erase_after: ERASE_AFTER }
    }
}

/// What was deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    pub messages: u64,
    pub rooms: HashSet<RoomId>,
}

/// Both sides of a log.
pub type Sides = (Box<dyn Appender>, Arc<dyn Log>);

/// Which rooms are open. A room that is open and has no message is *pending*: the log has no record of it, and so does not know
/// with which number and epoch its members follow it.
pub trait OpenRooms: Send + Sync {
    /// The number and the epoch of the room of that name, if it is open. MUST NOT block.
    fn opened(&self, name: &RoomName) -> Option<(RoomId, Epoch)>;
}

/// The side of a log that appends. It belongs to one thread.
///
/// 1. `append` MUST give each new message the next seq of its room: dense, from 1; and a time that never falls within a
///    room, even if all of it was trimmed; unless the room's time is more than [`crate::limits::CLOCK_STEP_MAX`] ahead of
///    `now`, and so was wrong.
/// 2. `append` MUST NOT store a message whose id was chosen, and is stored already with the same room and sender: it
///    returns that one's place. That holds within a batch too, as long as the message is kept, and for [`Retention::ids`]
///    after it was trimmed (unless more than [`crate::limits::IDS_KEPT_MAX`] ids were trimmed since).
/// 3. What `append` and `open` have returned MUST be durable, and MUST be found by every later call of [`Log`], until it is
///    trimmed from the old end.
/// 4. After an error nothing of the call MUST be found, and the next call MUST be tried afresh.
/// 5. What is wrong with one room MUST NOT keep posts from others.
/// 6. `open` MUST NOT store anything, nor remember anything. To a room of which nothing is stored it gives an epoch and a number
///    that no room had before in this life of the log. When the first message of a room is appended, the room MUST be created
///    with the number and epoch under which it is open, in the same commit.
pub trait Appender: Send {
    /// Sets whom to ask which rooms are open. Until then, none is.
    fn set_open_rooms(&mut self, rooms: Arc<dyn OpenRooms>);

    /// The room of that name, whether it is stored or not.
    fn open(&mut self, name: &RoomName) -> Result<RoomState, LogError>;

    /// Appends the posts in their order. A room is created by its first message.
    fn append(&mut self, posts: &[Post], now: SystemTime) -> Result<Batch, LogError>;

    /// Does a step of what retention asks for: at most a few milliseconds of work. Returns when there may be more to do:
    /// now, or later, or not until something was appended (`None`).
    fn trim(&mut self, now: SystemTime) -> Result<Option<SystemTime>, LogError>;

    /// Finds the rooms whose oldest messages are dated more than [`crate::limits::CLOCK_STEP_MAX`] after `now`, which MUST be
    /// certain to be right: an earlier version dated them by a clock that was ahead. They would hold up deletion by age until
    /// that time, since a room is trimmed from its oldest message on. From here on they count as stored when the next message
    /// that is not dated ahead was, or now. That lasts until the log is closed. Returns how many rooms there were.
    fn date_back(&mut self, now: SystemTime) -> Result<usize, LogError>;

    /// What trimming has deleted since this was last asked.
    fn deleted(&mut self) -> Deleted;

    /// What the log knows of the time, from its last life or by its newest message.
    fn clock(&self) -> ClockState;

    /// Keeps what is known of the time for the next life.
    fn keep_clock(&mut self, state: ClockState) -> Result<(), LogError>;
}

/// The side of a log that reads. Any number of threads may; how many do at once is the log's to bound.
///
/// No call MUST wait for an append. Those that say so read a disk, and MUST NOT be called on a poller.
pub trait Log: Send + Sync {
    /// Reads a room from a seq on: whole segments, until they make up `bytes_max`, but at least one. Small neighbours may
    /// come as one segment. May read a disk.
    fn read(&self, room: RoomId, from: Seq, bytes_max: usize) -> Result<Page, LogError>;

    /// Reads the room of that name, if there is one, and a part of its history, both from one state of the log: until the
    /// part's end, or until the segments hold `messages_max` messages or `bytes_max` bytes of it. May read a disk.
    fn history(
        &self,
        name: &RoomName,
        part: Part,
        messages_max: u64,
        bytes_max: usize,
    ) -> Result<Option<History>, LogError>;

    /// The room of that name, if there is one. May read a disk.
    fn find(&self, name: &RoomName) -> Result<Option<RoomState>, LogError>;

    /// How often something was trimmed. As long as that stays the same, so does a room's oldest message. Reads no disk.
    fn trims(&self) -> u64;

    /// Rooms in the order of their names' bytes, from the one that follows this name; at most so many. May read a disk.
    fn rooms(&self, after: Option<&RoomName>, max: usize) -> Result<Vec<RoomState>, LogError>;
}

/// Whether a log with so many rooms may create this one. The lobby is never refused, because the tutorial's contract has no other
/// room.
fn check_room_count(name: &RoomName, count: usize) -> Result<(), LogError> {
    if count < ROOMS_MAX || *name == RoomName::lobby() { Ok(()) } else { Err(LogError::TooManyRooms(ROOMS_MAX)) }
}
