//! The log: the events of each room, in order, each once. An event is a message, or a change of one or of the room.
//!
//! The log assigns every event its `seq` in its room, encodes it once, and returns the events of one commit and room as
//! one [`Segment`], whose bytes are both stored and sent. In the same commit it rewrites the entry of a message that an
//! event changes, so that a message is always read as it is now. A room gets segments only from the writer's publish
//! callback, never from the thread that posted.
//!
//! A log has two sides. The [`Appender`] belongs to the log writer's thread alone. The [`Log`] is shared by all
//! readers, and never waits for the appender.

pub mod segment;
pub mod command;
pub mod profile;
pub mod rewriting;
pub mod stored;
pub mod draft;
pub mod batch;
pub mod fold;
pub mod repeats;
pub mod lookalikes;
pub mod clock;
pub mod faults;
pub mod retention;
pub mod memory;
pub mod sqlite;
#[cfg(test)]
pub(crate) mod conformance;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::SystemTime;

use thiserror::Error;

pub use self::clock::ClockState;
pub use self::command::{Act, Change, Post, What};
pub use self::profile::{Pin, Profile};
pub use self::retention::{Due, Retention, Trim};
pub use self::segment::Segment;
use crate::limits::{EMOJIS_MAX, PINS_MAX};
use crate::names::{Emoji, Epoch, RoomId, RoomName, Sender, Seq};

/// A change of the log. The log is a fold of its commands: what it stores depends on them and their order alone. Neither
/// the server's options nor its clock have a part in it: each command has the times that it needs.
#[derive(Clone, Copy, Debug)]
pub enum Command<'a> {
    Append(Batch<'a>),
    /// Deletes what retention no longer keeps.
    Trim(&'a Trim),
    /// Sets how many rooms the log may have; [`crate::limits::ROOMS_MAX`] before the first. More that it has already
    /// stay usable.
    SetRoomsMax(usize),
}

/// Posts that are appended at one time.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    pub posts: &'a [Post],
    pub now: SystemTime,
}

/// The state of a room in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomState {
    pub id: RoomId,
    pub name: RoomName,
    pub epoch: Epoch,
    /// The first seq that was assigned in this epoch, or in an earlier one except the first: the first epoch's messages
    /// from there on are lost.
    pub epoch_first: Seq,
    /// The newest event; [`Seq::ZERO`] before the first.
    pub head: Seq,
    /// The oldest event that is kept; one above the head if none is.
    pub oldest: Seq,
    /// How many events up to the head are no messages, whether they are kept or not.
    pub changes: u64,
    pub profile: Arc<Profile>,
}

impl RoomState {
    /// A room without messages.
    pub fn empty(id: RoomId, name: RoomName, epoch: Epoch) -> Self {
        let (head, oldest, profile) = (Seq::ZERO, Seq(1), Arc::default());
        Self { id, name, epoch, epoch_first: Seq(1), head, oldest, changes: 0, profile }
    }
}

/// The outcome of a post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is stored, with this seq.
    New(RoomId, Seq),
    /// It had been stored before, with this seq. Of a change: nothing had to be done, since this event.
    Before(RoomId, Seq),
}

/// The outcome of a post, or the reason why it was refused. A post to a room that can't be used is refused alone.
pub type Outcome = Result<Appended, LogError>;

/// A part of a commit.
#[derive(Clone, Debug)]
pub enum Published {
    /// A room was created, and still is as it was before its first message.
    Room(RoomState),
    Segment(Arc<Segment>),
    Changed(Changed),
}

/// What a commit changed in a room besides new messages. All of it is to become visible at once.
#[derive(Clone, Debug)]
pub struct Changed {
    pub room: RoomId,
    /// The oldest event that is kept, if some were deleted.
    pub oldest: Option<Seq>,
    /// They take the places of segments with the same seqs, in runs that each begin where such a segment begins and end
    /// where one ends.
    pub replaced: Vec<Arc<Segment>>,
    /// The new segments.
    pub segments: Vec<Arc<Segment>>,
    /// The room's profile, if it changed.
    pub profile: Option<Arc<Profile>>,
}

impl Changed {
    /// Nothing yet.
    pub fn of(room: RoomId) -> Self {
        Self { room, oldest: None, replaced: Vec::new(), segments: Vec::new(), profile: None }
    }

    /// Adds what a later part of the commit changed in the same room.
    pub fn add(&mut self, later: Self) {
        self.oldest = later.oldest.or(self.oldest);
        self.replaced.extend(later.replaced);
        self.segments.extend(later.segments);
        self.profile = later.profile.or(self.profile.take());
    }
}

/// Gets each created room before its first segment, and each segment, in the order of commits, once they are committed.
/// MUST NOT block, nor call the log.
pub type Subscriber = Box<dyn FnMut(Published) + Send>;

/// The result of a read of the log.
#[derive(Debug)]
pub enum Page {
    /// Segments in order, the first of which contains the requested message. Empty if the log does not have it yet.
    Segments(Vec<Arc<Segment>>),
    /// Retention deleted the requested message: the oldest that is kept is this one, or will be.
    Trimmed { oldest: Seq },
    /// The requested message can't be read: it is damaged, or missing although retention did not delete it. The same
    /// applies to the following messages before `next`, which can be read; `None` if the log finds no such message.
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
    /// The messages from this seq on, oldest first. Messages that retention deleted are skipped.
    From(Seq),
    /// The newest messages before this seq.
    Before(Seq),
}

/// A part of a room's history, and the room as it was at the moment of the read.
#[derive(Debug)]
pub struct History {
    pub room: RoomState,
    /// In order; between them are only events that are no messages. The outermost may go beyond the part. Empty only if
    /// the part has no message.
    pub pieces: Vec<Piece>,
}

/// Why an operation of the log failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LogError {
    /// There is no space for it. Operations that need none may still work.
    #[error("the disk is full")]
    Full,
    /// The rest of the disk is reserved.
    #[error("the disk is almost full, and the rest of it is reserved: contact the server's operator")]
    Reserve,
    /// It may work again later: the disk is failing.
    #[error("{0}")]
    Unavailable(String),
    /// Stored data can't be read.
    #[error("{0}")]
    Damaged(String),
    #[error("the id belongs to another message, number {0} of the room: post with another id")]
    IdTaken(Seq),
    #[error(
        "the server has {0} rooms, the maximum: use one of those; its operator makes space with hubbub-server room delete, or \
         allows more with --rooms-max"
    )]
    TooManyRooms(usize),
    #[error("no message {0} in this room: it never had one with this number, or retention has deleted it")]
    NoMessage(Seq),
    #[error("room {0} has no message yet: a room is created by its first message")]
    NoRoom(RoomName),
    #[error("message {0} was deleted")]
    WasDeleted(Seq),
    #[error("message {0} is another sender's")]
    NotOwn(Seq),
    #[error("message {message} has another text since event {edited}: read it again")]
    Edited { message: Seq, edited: Seq },
    #[error("the room has another epoch, so {0} may be the number of another message: join the room again")]
    OtherEpoch(Seq),
    #[error("message {0} has {EMOJIS_MAX} different emojis, the maximum: use one of those")]
    TooManyEmojis(Seq),
    #[error("{PINS_MAX} messages are pinned, the maximum: unpin one first")]
    TooManyPins,
    #[error("the name looks like that of the existing room \"{0}\": use that room, or choose a name that differs more")]
    LooksLike(RoomName),
}

/// The names of the errors in metrics.
pub const LOG_ERROR_WORDS: &[&str] = &[
    "full",
    "reserve",
    "unavailable",
    "damaged",
    "id_taken",
    "too_many_rooms",
    "no_message",
    "no_room",
    "was_deleted",
    "not_own",
    "edited",
    "other_epoch",
    "too_many_emojis",
    "too_many_pins",
    "looks_like",
];

impl LogError {
    /// Its name in metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Reserve => "reserve",
            Self::Unavailable(_) => "unavailable",
            Self::Damaged(_) => "damaged",
            Self::IdTaken(_) => "id_taken",
            Self::TooManyRooms(_) => "too_many_rooms",
            Self::NoMessage(_) => "no_message",
            Self::NoRoom(_) => "no_room",
            Self::WasDeleted(_) => "was_deleted",
            Self::NotOwn(_) => "not_own",
            Self::Edited { .. } => "edited",
            Self::OtherEpoch(_) => "other_epoch",
            Self::TooManyEmojis(_) => "too_many_emojis",
            Self::TooManyPins => "too_many_pins",
            Self::LooksLike(_) => "looks_like",
        }
    }
}

/// The deleted messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    pub messages: u64,
    pub rooms: HashSet<RoomId>,
}

/// Both sides of a log.
pub type Sides = (Box<dyn Appender>, Arc<dyn Log>);

/// The side of a log that appends. It belongs to one thread.
///
/// 1. Appending MUST give each new message the next seq of its room: dense, from 1; and a time that never decreases
///    within a room, even if the whole room was trimmed; unless the room's time is more than
///    [`crate::limits::CLOCK_STEP_MAX`] ahead of `now`, and so was wrong.
/// 2. It MUST NOT store a message whose id was chosen, and is stored already with the same room and sender: it
///    returns that one's seq, or [`LogError::IdTaken`] if that one is kept and says something else. That holds within a
///    batch too, as long as the message is kept, and for [`Retention::ids`] after it was trimmed (unless more than
///    [`crate::limits::IDS_KEPT_MAX`] ids were trimmed since).
/// 3. The results of `apply` MUST be durable, and every later call of [`Log`] MUST find them, until they
///    are trimmed from the old end.
/// 4. After an error, no effect of the command that failed, or of a later one, MUST be visible, and the next call MUST be
///    tried independently. (A part of a trim may be done: it is proposed again.)
/// 5. A fault of one room MUST NOT affect posts to others.
/// 6. A change MUST be judged, and applied, as [`fold`] does. All effects of a post MUST be in one commit: the event, the
///    entry that it rewrites, and the reactions or the profile that it changes.
/// 7. A room MUST be created in the commit of its first message. Its number MUST be the next after the greatest that a
///    room of the log ever had, and its first epoch [`Epoch::first`]: so they depend on the appended posts alone.
/// 8. A post that would create one room more than the maximum MUST be refused with [`LogError::TooManyRooms`], unless
///    the room is the lobby.
/// 9. A new room whose name looks like that of a stored one MUST be refused with [`LogError::LooksLike`]. The lobby is
///    never refused, and no other room may look like it.
pub trait Appender: Send {
    /// The room with this name, if it is stored.
    fn find(&mut self, name: &RoomName) -> Result<Option<RoomState>, LogError>;

    /// Sets the subscriber to everything that is committed from now on. Before the first call, there is none.
    fn subscribe(&mut self, subscriber: Subscriber);

    /// Applies commands in their order. A room is created by its first message. Returns the outcome of each post, after
    /// the subscriber has got what is new.
    ///
    /// What is stored MUST be the same as if each command had been applied alone: a segment MUST NOT span two batches, and
    /// each has the time of its own batch. So a log that gets the same commands later, several at once, is the same log.
    fn apply(&mut self, commands: &[Command<'_>]) -> Result<Vec<Outcome>, LogError>;

    /// Appends the posts of one batch.
    fn append(&mut self, posts: &[Post], now: SystemTime) -> Result<Vec<Outcome>, LogError> {
        self.apply(&[Command::Append(Batch { posts, now })])
    }

    /// What retention has to delete now, or when it will. May read a disk. Deletes nothing.
    fn due(&mut self, now: SystemTime) -> Result<Due, LogError>;

    /// Does one step of retention: at most a few milliseconds of work. Returns when to do the next: now, or later, or not
    /// until an append (`None`).
    fn trim(&mut self, now: SystemTime) -> Result<Option<SystemTime>, LogError> {
        match self.due(now)? {
            Due::Now(trim) => self.apply(&[Command::Trim(&trim)]).map(|_| Some(now)),
            Due::Later(at) => Ok(Some(at)),
            Due::Never => Ok(None),
        }
    }

    /// Whether so much was appended since retention was last asked that it must not wait: a bound in bytes would be
    /// exceeded by what arrives meanwhile. Does not read a disk.
    fn is_trim_due(&self) -> bool;

    /// Finds the rooms whose oldest messages are dated more than [`crate::limits::CLOCK_STEP_MAX`] after `now`, which
    /// MUST be certain to be right: an earlier version dated them by a clock that was ahead. They would delay deletion
    /// by age until that time, since a room is trimmed from its oldest message on. From now on they have the date of
    /// the next message that is not dated ahead, or now. That lasts until the log is closed. Returns how many rooms
    /// there were.
    fn date_back(&mut self, now: SystemTime) -> Result<usize, LogError>;

    /// The messages that trimming has deleted since the last call.
    fn deleted(&mut self) -> Deleted;

    /// How many bytes on the disk deletions have left for new messages. May read a disk.
    fn free_bytes(&self) -> u64;

    /// How many rooms are stored.
    fn room_count(&self) -> usize;

    /// How many messages the log had when it was opened.
    fn messages_at_open(&self) -> u64 {
        0
    }

    /// How many rooms there may be.
    fn rooms_max(&self) -> usize;

    /// The log's time, from its last life or from its newest message.
    fn clock(&self) -> ClockState;

    /// Stores the log's time for the next life.
    fn keep_clock(&mut self, state: ClockState) -> Result<(), LogError>;

    /// Looks whether the log's files are still where they were, although nothing is stored.
    fn check_files(&mut self) -> Result<(), LogError> {
        Ok(())
    }

    /// Tries whether a message could be stored now, after one could not: stores the log's time where a message would
    /// be.
    fn probe(&mut self, state: ClockState) -> Result<(), LogError> {
        self.keep_clock(state)
    }
}

/// The side of a log that reads. Any number of threads may call it; the log bounds how many read at once.
///
/// No call MUST wait for an append. Calls documented to read a disk MUST NOT be made on a poller.
pub trait Log: Send + Sync {
    /// Reads a room from a seq on: whole segments, until they have `bytes_max` bytes, but at least one. Small
    /// neighbours may be joined into one segment. May read a disk.
    fn read(&self, room: RoomId, from: Seq, bytes_max: usize) -> Result<Page, LogError>;

    /// Reads the room with this name, if it is stored, and the messages of a part of its history, both from one state of
    /// the log: until the part's end, or until the segments hold `messages_max` messages, or `bytes_max` bytes and a
    /// message. May read a disk.
    fn history(
        &self,
        name: &RoomName,
        part: Part,
        messages_max: u64,
        bytes_max: usize,
    ) -> Result<Option<History>, LogError>;

    /// The room with this name, if it is stored. May read a disk.
    fn find(&self, name: &RoomName) -> Result<Option<RoomState>, LogError>;

    /// The seq of a room's message with this number, counted from 1 for the first that it ever had. The oldest event that
    /// is kept, if retention has deleted it; one above the head, if there is none. May read a disk.
    fn message(&self, room: RoomId, number: u64) -> Result<Seq, LogError>;

    /// Who reacted to a message with this emoji, in the order in which they did: those after the event `after`, at most
    /// `max`, each with the event of the reaction. May read a disk.
    fn reactors(
        &self,
        room: RoomId,
        message: Seq,
        emoji: &Emoji,
        after: Seq,
        max: usize,
    ) -> Result<Vec<(Seq, Sender)>, LogError>;

    /// How often the log was trimmed. While this is unchanged, so is a room's oldest message. Does not read a disk.
    fn trims(&self) -> u64;

    /// Rooms in the order of their names' bytes, from the one after this name; at most `max`. May read a disk.
    fn rooms(&self, after: Option<&RoomName>, max: usize) -> Result<Vec<RoomState>, LogError>;
}

/// Whether a log with `count` rooms, of at most `max`, may create this one. The lobby is never refused, because the
/// tutorial's contract has no other room.
fn check_room_count(name: &RoomName, count: usize, max: usize) -> Result<(), LogError> {
    if count < max || *name == RoomName::lobby() { Ok(()) } else { Err(LogError::TooManyRooms(max)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_its_place_in_the_list_of_words() {
        let source = include_str!("log.rs");
        let words = source.split("fn word").nth(1).and_then(|rest| rest.split("\n    }\n").next()).unwrap();
        let words: Vec<_> = words.lines().filter_map(|line| line.split('"').nth(1)).collect();
        assert_eq!(words, LOG_ERROR_WORDS);
    }
}
