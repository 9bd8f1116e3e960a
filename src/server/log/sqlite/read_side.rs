//! The read side of the log: a few connections, which many threads share.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::columns::seq;
use super::connection::open_beside;
use super::damage::Damage;
use super::errors::{OpenError, log_error};
use super::folder::Folder;
use super::life::SharedLife;
use super::rooms::{find_room, name_of, rooms_after};
use super::rows::{Place, Rows, unless_damaged};
use super::schema;
use super::{key, reactions};
use crate::limits::{CHUNK_EVENTS_MIN, LOG_WAIT, READ_CONNECTIONS, READ_RETRIES};
use crate::names::{Emoji, RoomId, RoomName, Sender, Seq};
use crate::server::log::faults::LogFaults;
use crate::server::log::{History, Log, LogError, Page, Part, Piece, RoomState};

pub struct SqliteLog {
    // lock order: 3 (a leaf, held to take a connection or give it back)
    idle: Mutex<Vec<Connection>>,
    returned: Condvar,
    /// How often the appender has trimmed.
    trims: Arc<AtomicU64>,
    life: SharedLife,
    damage: Arc<Damage>,
    /// Whether the last read failed, so that it is logged once when that begins.
    failing: AtomicBool,
    _folder: Arc<Folder>,
}

impl SqliteLog {
    pub(super) fn open(
        folder: Arc<Folder>,
        database: &Path,
        trims: Arc<AtomicU64>,
        life: SharedLife,
        damage: Arc<Damage>,
    ) -> Result<Self, OpenError> {
        let open = || open_beside(database, OpenFlags::SQLITE_OPEN_READ_ONLY);
        let idle: rusqlite::Result<Vec<_>> = (0..READ_CONNECTIONS).map(|_| open()).collect();
        let idle = idle.map_err(|error| OpenError::of(database.to_owned(), &error))?;
        let (idle, returned) = (Mutex::new(idle), Condvar::new());
        Ok(Self { idle, returned, trims, life, damage, failing: AtomicBool::new(false), _folder: folder })
    }

    /// The life of the log.
    pub fn life(&self) -> &SharedLife {
        &self.life
    }

    /// What was found wrong with the log.
    pub fn faults(&self) -> Arc<LogFaults> {
        Arc::clone(self.damage.faults())
    }

    fn log_change(&self, error: Option<&LogError>) {
        // A change of it is logged; successful reads without an earlier failure write nothing.
        let failed = matches!(error, Some(LogError::Unavailable(_)));
        if failed {
            self.damage.faults().failed_reads.add(1);
        }
        if (failed || self.failing.load(Ordering::Relaxed)) && self.failing.swap(failed, Ordering::Relaxed) != failed {
            match error {
                Some(error) => log::error!("stored messages can't be read: {error}"),
                None => log::info!("stored messages can be read again"),
            }
        }
    }

    /// Reads with a connection, and waits for one if all are busy. A failed read of the disk is retried.
    fn with<T>(&self, read: impl Fn(&Connection) -> rusqlite::Result<T>) -> Result<T, LogError> {
        let connection = self.take()?;
        let mut result = read(&connection);
        for pause in READ_RETRIES {
            match &result {
                Err(error) if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) => {
                    if !self.failing.load(Ordering::Relaxed) {
                        log::warn!("a read of stored messages is retried: {}", log_error(error));
                    }
                    thread::sleep(pause);
                    result = read(&connection);
                }
                _ => break,
            }
        }
        self.idle.lock().push(connection);
        self.returned.notify_one();
        let result = result.map_err(|error| log_error(&error));
        self.log_change(result.as_ref().err());
        result
    }

    fn take(&self) -> Result<Connection, LogError> {
        let deadline = Instant::now() + LOG_WAIT;
        let mut idle = self.idle.lock();
        loop {
            if let Some(connection) = idle.pop() {
                return Ok(connection);
            }
            if self.returned.wait_until(&mut idle, deadline).timed_out() && idle.is_empty() {
                return Err(LogError::Unavailable("too many clients read old messages at once".to_owned()));
            }
        }
    }

    /// Reads, and logs damage that was not found before.
    fn read_rows(&self, rows: &Rows<'_>, from: Seq, bytes_max: usize) -> rusqlite::Result<Page> {
        let page = rows.read(from, bytes_max)?;
        if let Page::Damaged { next } = page {
            let begin = match rows.place(from)? {
                Place::Damaged { from, .. } => from,
                _ => from,
            };
            let name = name_of(rows.connection, rows.room);
            // If no later row can be read, the room's head is the end of the damage.
            let room = unless_damaged(find_room(rows.connection, &RoomName::stored(&name)))?.flatten();
            let head = room.map_or(from, |room| room.state.head).max(begin);
            self.damage.messages(&name, begin, next.map_or(head, |next| Seq(next.0 - 1)));
        }
        Ok(page)
    }
}

/// The bounds for reading a part of a room's history.
#[derive(Clone, Copy)]
struct Bounds {
    messages_max: u64,
    bytes_max: usize,
}

impl SqliteLog {
    /// Reads a part of a room's history, within a transaction.
    fn read_part(&self, rows: &Rows<'_>, room: &RoomState, part: Part, bounds: Bounds) -> rusqlite::Result<Vec<Piece>> {
        match part {
            Part::From(from) => self.read_from(rows, room, from.max(room.oldest), bounds),
            Part::Before(before) => self.read_before(rows, room, before.min(room.head.next()), bounds),
        }
    }

    /// Reads chunks from a seq on until there are enough messages.
    fn read_from(&self, rows: &Rows<'_>, room: &RoomState, from: Seq, bounds: Bounds) -> rusqlite::Result<Vec<Piece>> {
        let (mut pieces, mut count, mut next) = (Vec::new(), Count::default(), from);
        while !count.is_enough(bounds) && next <= room.head {
            // The events of a room without changes are messages, so no more of them are read than are requested.
            let is_plain = room.changes == 0;
            let until = if is_plain { Seq(from.0.saturating_add(bounds.messages_max)) } else { Seq(u64::MAX) };
            if next >= until {
                break;
            }
            let chunk =
                self.read_chunk(rows, room, next, until, bounds.bytes_max.saturating_sub(count.bytes).max(1))?;
            next = chunk.last().map_or(room.head.next(), |piece| piece.last().next());
            for piece in chunk {
                if count.add(&piece, from..=room.head) {
                    pieces.push(piece);
                }
            }
        }
        Ok(pieces)
    }

    /// Reads chunks that end before a seq until there are enough messages.
    fn read_before(
        &self,
        rows: &Rows<'_>,
        room: &RoomState,
        before: Seq,
        bounds: Bounds,
    ) -> rusqlite::Result<Vec<Piece>> {
        let (mut pieces, mut count, mut end) = (VecDeque::new(), Count::default(), before);
        while !count.is_enough(bounds) && end > room.oldest {
            let oldest = match room.changes {
                0 => Seq(before.0.saturating_sub(bounds.messages_max)).max(room.oldest),
                _ => room.oldest,
            };
            if end <= oldest {
                break;
            }
            // In a room with changes, a chunk has about as many events as there are messages left to find.
            let missing = bounds.messages_max.saturating_sub(count.messages);
            let oldest_here = Seq(end.0.saturating_sub(missing.max(CHUNK_EVENTS_MIN))).max(oldest);
            let bytes_max = bounds.bytes_max.saturating_sub(count.bytes).max(1);
            let (first, bytes) = first_before(rows, end, oldest_here, bytes_max)?;
            let chunk = self.read_chunk(rows, room, first, end, bytes)?;
            end = first.min(chunk.first().map_or(first, Piece::first));
            for piece in chunk.into_iter().rev() {
                if count.add(&piece, room.oldest..=Seq(before.0 - 1)) {
                    pieces.push_front(piece);
                }
            }
        }
        Ok(pieces.into())
    }

    /// Reads a run of events, whole segments, until they have `bytes_max` bytes.
    fn read_chunk(
        &self,
        rows: &Rows<'_>,
        room: &RoomState,
        mut from: Seq,
        end: Seq,
        bytes_max: usize,
    ) -> rusqlite::Result<Vec<Piece>> {
        let (mut pieces, mut bytes) = (Vec::new(), 0);
        while from < end && from <= room.head && bytes < bytes_max {
            let missing_until = match self.read_rows(rows, from, bytes_max - bytes)? {
                Page::Trimmed { oldest } => {
                    from = oldest;
                    continue;
                }
                Page::Segments(page) if !page.is_empty() => {
                    bytes += page.iter().map(|segment| segment.frame().len()).sum::<usize>();
                    from = page.last().map_or(from, |segment| segment.last().next());
                    pieces.extend(page.into_iter().map(Piece::Segment));
                    continue;
                }
                Page::Segments(_) | Page::Damaged { next: None } => room.head.next(),
                Page::Damaged { next: Some(next) } => next.min(room.head.next()),
            };
            pieces.push(Piece::Damaged { from, to: Seq(missing_until.0 - 1) });
            from = missing_until;
        }
        Ok(pieces)
    }
}

/// The messages of a part that were read.
#[derive(Default)]
struct Count {
    messages: u64,
    bytes: usize,
}

impl Count {
    fn is_enough(&self, bounds: Bounds) -> bool {
        self.messages > 0 && (self.messages >= bounds.messages_max || self.bytes >= bounds.bytes_max)
    }

    /// Counts the messages with these seqs. Returns whether there are any, or some that can't be read.
    fn add(&mut self, piece: &Piece, seqs: RangeInclusive<Seq>) -> bool {
        let (messages, bytes) = match piece {
            Piece::Segment(segment) => (segment.messages_in(seqs), segment.frame().len()),
            Piece::Damaged { from, to } => (to.0.saturating_sub(from.0) + 1, 0),
        };
        self.messages += messages;
        self.bytes += if messages > 0 { bytes } else { 0 };
        messages > 0
    }
}

/// Where to start reading to get the messages before a seq, and how many bytes the segments from there to the seq have,
/// plus one, since missing messages have none: at least `bytes_max`, unless they reach back to `oldest`. The seq itself
/// if nothing is before it.
pub(super) fn first_before(
    rows: &Rows<'_>,
    before: Seq,
    oldest: Seq,
    bytes_max: usize,
) -> rusqlite::Result<(Seq, usize)> {
    let (mut first, mut bytes) = (before, 0);
    while first > oldest && bytes < bytes_max {
        if unless_damaged(walk_back(rows, &mut first, &mut bytes, oldest, bytes_max))?.is_none() {
            // The walk can't continue over an unreadable page.
            first = match rows.place(Seq(first.0 - 1))? {
                Place::Damaged { from, .. } => from,
                Place::Segment(segment) => segment.first(),
                Place::Trimmed { .. } | Place::Nothing => oldest,
            };
        } else if bytes < bytes_max {
            // Missing messages before the oldest segment found are damage.
            first = first.min(oldest);
        }
    }
    Ok((first, bytes.saturating_add(1)))
}

/// Goes back from `first` over the segments before it, until they have `bytes_max` bytes or reach back to `oldest`.
fn walk_back(
    rows: &Rows<'_>,
    first: &mut Seq,
    bytes: &mut usize,
    oldest: Seq,
    bytes_max: usize,
) -> rusqlite::Result<()> {
    let mut statement = rows.connection.prepare_cached(schema::SEGMENTS_BACKWARDS)?;
    let mut segments = statement.query(key::up_to(rows.room, Seq(first.0 - 1)))?;
    while *first > oldest
        && *bytes < bytes_max
        && let Some(segment) = segments.next()?
    {
        *first = seq(segment, 0)?;
        *bytes += segment.get::<_, i64>(1)? as usize;
    }
    Ok(())
}

impl Log for SqliteLog {
    fn history(
        &self,
        name: &RoomName,
        part: Part,
        messages_max: u64,
        bytes_max: usize,
    ) -> Result<Option<History>, LogError> {
        self.with(|connection| {
            // Both reads see one state of the log, regardless of appends and trimming meanwhile.
            let _state = connection.unchecked_transaction()?;
            let Some(room) = find_room(connection, name)?.map(|room| room.state) else { return Ok(None) };
            let rows = Rows { connection, room: room.id };
            let pieces = self.read_part(&rows, &room, part, Bounds { messages_max, bytes_max })?;
            Ok(Some(History { room, pieces }))
        })
    }

    fn read(&self, room: RoomId, from: Seq, bytes_max: usize) -> Result<Page, LogError> {
        self.with(|connection| self.read_rows(&Rows { connection, room }, from, bytes_max))
    }

    fn find(&self, name: &RoomName) -> Result<Option<RoomState>, LogError> {
        self.with(|connection| Ok(find_room(connection, name)?.map(|room| room.state)))
    }

    fn message(&self, room: RoomId, number: u64) -> Result<Seq, LogError> {
        self.with(|connection| {
            let rows = Rows { connection, room };
            let oldest = unless_damaged(rows.trimmed())?.unwrap_or(Seq::ZERO).next();
            let head = rows.newest()?.and_then(|span| span.last).unwrap_or(Seq(oldest.0 - 1));
            rows.message(number, oldest, head)
        })
    }

    fn reactors(
        &self,
        room: RoomId,
        message: Seq,
        emoji: &Emoji,
        after: Seq,
        max: usize,
    ) -> Result<Vec<(Seq, Sender)>, LogError> {
        self.with(|connection| reactions::after(connection, room, message, emoji, after, max))
    }

    fn trims(&self) -> u64 {
        self.trims.load(Ordering::Acquire)
    }

    fn rooms(&self, after: Option<&RoomName>, max: usize) -> Result<Vec<RoomState>, LogError> {
        self.with(|connection| rooms_after(connection, after.map_or("", RoomName::as_str), max))
    }
}
