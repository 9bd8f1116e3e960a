//! A room's rows in the table `segments`, read around damage.
//!
//! A row is sound if its checksum matches its entries, which themselves carry their room and their seqs; a row of an
//! earlier version, without a checksum, if its entries can be decoded and end at the row's `last`. Rows follow each
//! other without a gap. So the messages of an unsound row end before the next row, regardless of its own columns, and a
//! missing row is detected from its neighbours.
//!
//! If a page of the table can't be read, no row on it is found, and a walk over it fails. A lookup of a seq beyond it
//! succeeds. Such a seq is found by doubling the distance, and then the first one by bisection.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Row};

use super::columns::{number, seq};
use super::errors::is_damage;
use super::key::{self, SEQ_MAX, key};
use super::schema;
use crate::names::{RoomId, Seq};
use crate::server::log::retention::SegmentEnd;
use crate::server::log::segment::Changes;
use crate::server::log::{Page, Segment};

/// The minimum size of an event of the log, in bytes. Bounds the number of events in a row.
const EVENT_BYTES_MIN: u64 = 8;

/// The rows of one room.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    pub connection: &'a Connection,
    pub room: RoomId,
}

/// The result of a lookup of a seq.
pub enum Place {
    Segment(Segment),
    /// Messages that can't be read, from the first of them. `next` is the next row's first message.
    Damaged {
        from: Seq,
        next: Option<Seq>,
    },
    Trimmed {
        oldest: Seq,
    },
    /// Nothing was stored there.
    Nothing,
}

/// A row without its entries.
#[derive(Clone, Copy)]
pub struct Span {
    pub first: Seq,
    /// `None` if the row is impossible.
    pub last: Option<Seq>,
    pub time_ms: u64,
    pub changes: Changes,
    /// The size of the entries.
    pub bytes: usize,
}

/// A row whose checksum matches.
struct SoundRow<'a> {
    first: Seq,
    last: Seq,
    changes_before: u64,
    entries: &'a [u8],
}

/// Rows that follow each other.
struct Joined {
    first: Seq,
    last: Seq,
    changes_before: u64,
    entries: Vec<u8>,
}

/// A row with its entries.
pub enum Loaded {
    Sound(Segment),
    Damaged { last: Option<Seq> },
}

impl Rows<'_> {
    /// Reads from a seq on until the rows have `bytes_max` bytes, and joins them.
    pub fn read(&self, from: Seq, bytes_max: usize) -> rusqlite::Result<Page> {
        if let Some(segment) = self.read_sound(from, bytes_max)? {
            return Ok(Page::Segments(vec![Arc::new(segment)]));
        }
        Ok(match self.place(from)? {
            Place::Segment(segment) => Page::Segments(vec![Arc::new(segment)]),
            Place::Damaged { next, .. } => Page::Damaged { next },
            Place::Trimmed { oldest } => Page::Trimmed { oldest },
            Place::Nothing => Page::Segments(Vec::new()),
        })
    }

    /// Joins sound rows, starting with the one that contains a seq. `None` if there is no such row.
    fn read_sound(&self, from: Seq, bytes_max: usize) -> rusqlite::Result<Option<Segment>> {
        let mut statement = self.connection.prepare_cached(schema::SEGMENTS_FROM)?;
        let mut rows = statement.query((key(self.room, Seq::ZERO), key(self.room, from), key(self.room, SEQ_MAX)))?;
        let mut joined: Option<Joined> = None;
        // Later damage is reported when it is requested.
        while let Some(row) = unless_damaged(rows.next())?.flatten() {
            let Some(row) = unless_damaged(sound_columns(row))?.flatten() else { break };
            let SoundRow { first, last, changes_before, entries } = row;
            match &mut joined {
                None if first <= from && from <= last => {
                    joined = Some(Joined { first, last, changes_before, entries: entries.to_vec() });
                }
                // The row before ends before `from`.
                None if last < from => {}
                None => break,
                Some(joined) if first != joined.last.next() => break,
                Some(joined) if joined.entries.len() + entries.len() > bytes_max => break,
                Some(joined) => {
                    joined.entries.extend_from_slice(entries);
                    joined.last = last;
                }
            }
        }
        let Some(Joined { first, last, changes_before, mut entries }) = joined else { return Ok(None) };
        entries.shrink_to_fit();
        let segment = Segment::read(self.room, first, changes_before, entries);
        Ok(segment.ok().filter(|segment| segment.last() == last))
    }

    /// Looks up a seq, in one state of the log.
    pub fn place(&self, at: Seq) -> rusqlite::Result<Place> {
        let _state = match self.connection.is_autocommit() {
            true => Some(self.connection.unchecked_transaction()?),
            false => None,
        };
        let trimmed = unless_damaged(self.trimmed())?.unwrap_or(Seq::ZERO);
        if at <= trimmed {
            return Ok(Place::Trimmed { oldest: trimmed.next() });
        }
        // Where the damage begins, if any, and whether a message was certainly stored at the seq.
        let (from, is_stored) = match unless_damaged(self.row_at(at))? {
            Some(Some(first)) => match self.load(first)? {
                Loaded::Sound(segment) if segment.holds(at) => return Ok(Place::Segment(segment)),
                Loaded::Sound(segment) => (segment.last().next(), false),
                Loaded::Damaged { last } => (first, last.is_none_or(|last| at <= last)),
            },
            Some(None) => (trimmed.next(), false),
            None => (self.readable_before(at, trimmed)?.next(), true),
        };
        // A remaining row of deleted messages is not served.
        let from = from.max(trimmed.next());
        match self.first_from(Seq(at.0.saturating_add(1)))? {
            None if !is_stored => Ok(Place::Nothing),
            next => Ok(Place::Damaged { from, next }),
        }
    }

    /// The row of that first seq, which was found before.
    pub fn load(&self, first: Seq) -> rusqlite::Result<Loaded> {
        let key = [key(self.room, first)];
        let load = || {
            let mut statement = self.connection.prepare_cached(schema::SEGMENT)?;
            statement.query_row(key, |row| {
                let checksum: Option<u32> = row.get(3)?;
                let entries: Vec<u8> = row.get(2)?;
                Ok((checksum, row.get::<_, i64>(0)?, seq(row, 1)?.0, entries))
            })
        };
        if let Some((checksum, last, changes_before, entries)) = unless_damaged(load())?
            && checksum.is_none_or(|checksum| checksum == crc32fast::hash(&entries))
            && let Ok(segment) = Segment::read(self.room, first, changes_before, entries)
            && (checksum.is_some() || number(segment.last().0) == last)
        {
            return Ok(Loaded::Sound(segment));
        }
        let mut statement = self.connection.prepare_cached(schema::SPAN)?;
        let span = unless_damaged(statement.query_row(key, Span::read))?;
        Ok(Loaded::Damaged { last: span.and_then(|span| span.last) })
    }

    /// The seq of the message with this number, counted from 1, in a room with these ends; the oldest, if the message is
    /// not kept. Around damage it is an estimate.
    pub fn message(&self, message: u64, oldest: Seq, head: Seq) -> rusqlite::Result<Seq> {
        // The message is not before the seq with its number. The last row with fewer messages before it has the message.
        let (mut from, mut beyond) = (Seq(message).max(oldest), head.next());
        let mut found = unless_damaged(self.span_at(from))?.flatten();
        while beyond.0.saturating_sub(from.0) > 1 {
            let at = Seq(from.0 + (beyond.0 - from.0) / 2);
            match unless_damaged(self.span_at(at))?.flatten() {
                Some(span) if span.messages_before() < message => (from, found) = (at, Some(span)),
                Some(span) => beyond = at.min(span.first),
                None => beyond = at,
            }
        }
        let Some(span) = found else { return Ok(head.next().min(from)) };
        if span.messages_before() >= message {
            return Ok(oldest);
        }
        match self.load(span.first)? {
            Loaded::Sound(segment) => {
                let within = message.saturating_sub(segment.messages_before());
                Ok(segment.message(within).unwrap_or(segment.last().next()))
            }
            Loaded::Damaged { .. } => Ok(span.first),
        }
    }

    /// The row that contains a seq, or the last one before it.
    pub fn span_at(&self, at: Seq) -> rusqlite::Result<Option<Span>> {
        self.connection.prepare_cached(schema::NEWEST_SPAN)?.query_row(key::up_to(self.room, at), Span::read).optional()
    }

    /// The newest row. Fails if its page can't be read.
    pub fn newest(&self) -> rusqlite::Result<Option<Span>> {
        self.connection
            .prepare_cached(schema::NEWEST_SPAN)?
            .query_row(key::from(self.room, Seq::ZERO), Span::read)
            .optional()
    }

    /// The oldest row that can be found from a seq on.
    pub fn oldest(&self, from: Seq) -> rusqlite::Result<Option<Span>> {
        let Some(first) = self.first_from(from)? else { return Ok(None) };
        let mut statement = self.connection.prepare_cached(schema::SPAN)?;
        let span = unless_damaged(statement.query_row([key(self.room, first)], Span::read))?;
        Ok(span.or(Some(Span { first, last: None, time_ms: 0, changes: Changes::default(), bytes: 0 })))
    }

    /// The readable end: the last message of the newest row that is found.
    pub fn readable_end(&self, trimmed: Seq) -> rusqlite::Result<Seq> {
        self.readable_before(SEQ_MAX, trimmed)
    }

    /// The last seq that retention has deleted.
    pub fn trimmed(&self) -> rusqlite::Result<Seq> {
        let mut statement = self.connection.prepare_cached(schema::TRIMMED)?;
        Ok(statement.query_row([number(self.room.0)], |row| seq(row, 0)).optional()?.unwrap_or(Seq::ZERO))
    }

    /// The first seq of the first row that can be found from a seq on.
    pub fn first_from(&self, from: Seq) -> rusqlite::Result<Option<Seq>> {
        first_beyond(from, |from| self.next_row(from))
    }

    /// The last message before a seq beyond the readable rows, but not below `floor`.
    fn readable_before(&self, unreadable: Seq, floor: Seq) -> rusqlite::Result<Seq> {
        let (mut readable, mut unreadable) = (floor.0, unreadable.0);
        let mut found = unless_damaged(self.row_at(floor))?.flatten();
        while unreadable.saturating_sub(readable) > 1 {
            let at = readable + (unreadable - readable) / 2;
            match unless_damaged(self.row_at(Seq(at)))? {
                Some(first) => (readable, found) = (at, first),
                None => unreadable = at,
            }
        }
        let last = match found {
            None => floor,
            Some(first) => match self.load(first)? {
                Loaded::Sound(segment) => segment.last(),
                // Its messages count as damaged, like the following ones.
                Loaded::Damaged { .. } => Seq(first.0.saturating_sub(1)),
            },
        };
        Ok(last.max(floor))
    }

    /// The first seq of the row that contains a seq, or of the last one before it.
    fn row_at(&self, at: Seq) -> rusqlite::Result<Option<Seq>> {
        self.lookup(schema::NEWEST_FIRST, key::up_to(self.room, at))
    }

    /// The first seq of the first row from a seq on.
    fn next_row(&self, from: Seq) -> rusqlite::Result<Option<Seq>> {
        self.lookup(schema::OLDEST_FIRST, key::from(self.room, from))
    }

    fn lookup(&self, statement: &str, keys: (i64, i64)) -> rusqlite::Result<Option<Seq>> {
        self.connection.prepare_cached(statement)?.query_row(keys, |row| seq(row, 0)).optional()
    }
}

impl Span {
    /// Reads a row of [`schema::SPAN`] and its like.
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let first = seq(row, 0)?;
        let (last, bytes): (i64, i64) = (row.get(1)?, row.get(5)?);
        let last = u64::try_from(last).ok().map(Seq).filter(|last| is_possible(first, *last, bytes));
        let number = |column| Ok::<_, rusqlite::Error>(unless_damaged(seq(row, column))?.unwrap_or(Seq::ZERO).0);
        let changes = Changes { before: number(3)?, within: number(4)? };
        Ok(Self { first, last, time_ms: number(2)?, changes, bytes: usize::try_from(bytes).unwrap_or(0) })
    }

    /// How many messages the room had before it.
    fn messages_before(&self) -> u64 {
        (self.first.0.saturating_sub(1)).saturating_sub(self.changes.before)
    }

    /// The data that retention needs. `next` is the first message of the next row, or one above the head.
    pub fn oldest(&self, next: Seq) -> SegmentEnd {
        let before = Seq(next.0.saturating_sub(1)).max(self.first);
        let last = self.last.filter(|last| *last < next).unwrap_or(before);
        let messages = last.0.saturating_sub(self.changes.before + self.changes.within);
        SegmentEnd { last, time_ms: self.time_ms, messages }
    }
}

/// Whether a row may contain these messages, by the size of its entries.
pub fn is_possible(first: Seq, last: Seq, bytes: i64) -> bool {
    let messages_max = u64::try_from(bytes).unwrap_or(0) / EVENT_BYTES_MIN;
    last.0.checked_sub(first.0).is_some_and(|more| more < messages_max)
}

/// The columns of [`schema::SEGMENTS_FROM`], unless the checksum differs.
fn sound_columns<'a>(row: &'a Row<'_>) -> rusqlite::Result<Option<SoundRow<'a>>> {
    let entries = row.get_ref(3)?.as_blob()?;
    let checksum: Option<u32> = row.get(4)?;
    let is_sound = checksum.is_none_or(|checksum| checksum == crc32fast::hash(entries));
    let (first, last, changes_before) = (seq(row, 0)?, seq(row, 1)?, seq(row, 2)?.0);
    Ok(is_sound.then_some(SoundRow { first, last, changes_before, entries }))
}

/// The result of a search for the first row from a seq on, or of a search that starts beyond unreadable rows.
pub fn first_beyond(from: Seq, search: impl Fn(Seq) -> rusqlite::Result<Option<Seq>>) -> rusqlite::Result<Option<Seq>> {
    if let Some(found) = unless_damaged(search(from))? {
        return Ok(found);
    }
    let (mut unreadable, mut distance) = (from.0, 1);
    let (mut readable, mut found) = loop {
        let at = from.0.saturating_add(distance);
        if at > SEQ_MAX.0 {
            return Ok(None);
        }
        match unless_damaged(search(Seq(at)))? {
            Some(found) => break (at, found),
            None => unreadable = at,
        }
        distance = distance.saturating_mul(2);
    };
    while readable - unreadable > 1 {
        let at = unreadable + (readable - unreadable) / 2;
        match unless_damaged(search(Seq(at)))? {
            Some(first) => (readable, found) = (at, first),
            None => unreadable = at,
        }
    }
    Ok(found)
}

/// Turns damage into `None`; other errors, such as those of the disk, stay errors.
pub fn unless_damaged<T>(result: rusqlite::Result<T>) -> rusqlite::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_damage(&error) => Ok(None),
        Err(error) => Err(error),
    }
}
