//! The side of the log that reads: a few connections, which many threads share.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row};

use super::errors::{OpenError, log_error};
use super::life::SharedLife;
use super::{Folder, schema};
use crate::limits::{LOG_WAIT, READ_CONNECTIONS};
use crate::names::{Epoch, RoomId, RoomName, Seq};
use crate::server::log::retention::Oldest;
use crate::server::log::{History, Log, LogError, Page, Part, RoomState, Segment};

pub struct SqliteLog {
    database: PathBuf,
    // lock order: 3 (a leaf, held to take a connection or give it back)
    idle: Mutex<Vec<Connection>>,
    returned: Condvar,
    /// How often the appender has trimmed.
    trims: Arc<AtomicU64>,
    life: SharedLife,
    /// Whether the last read failed, so that it is logged once when that begins.
    failing: AtomicBool,
    _folder: Arc<Folder>,
}

/// A room as the database has it.
pub struct StoredRoom {
    pub state: RoomState,
    /// When the newest message was stored.
    pub time_ms: u64,
    pub oldest: Option<Oldest>,
}

impl SqliteLog {
    pub(super) fn open(
        folder: Arc<Folder>,
        database: &Path,
        trims: Arc<AtomicU64>,
        life: SharedLife,
    ) -> Result<Self, OpenError> {
        let open = || schema::open_beside(database, OpenFlags::SQLITE_OPEN_READ_ONLY);
        let idle: rusqlite::Result<Vec<_>> = (0..READ_CONNECTIONS).map(|_| open()).collect();
        let idle = idle.map_err(|error| OpenError::of(database.to_owned(), &error))?;
        let (database, idle, returned) = (database.to_owned(), Mutex::new(idle), Condvar::new());
        Ok(Self { database, idle, returned, trims, life, failing: AtomicBool::new(false), _folder: folder })
    }

    /// The life of the log.
    pub fn life(&self) -> &SharedLife {
        &self.life
    }

    fn note(&self, error: Option<&LogError>) {
        // Whoever changes it logs; a read that works while none failed writes nothing.
        let failed = matches!(error, Some(LogError::Unavailable(_)));
        if (failed || self.failing.load(Ordering::Relaxed)) && self.failing.swap(failed, Ordering::Relaxed) != failed {
            match error {
                Some(error) => log::error!("stored messages can't be read: {error}"),
                None => log::info!("stored messages can be read again"),
            }
        }
    }

    /// Reads with a connection, for which it waits where all are busy.
    fn with<T>(&self, read: impl FnOnce(&Connection) -> Result<T, LogError>) -> Result<T, LogError> {
        let connection = self.take()?;
        let result = read(&connection);
        self.idle.lock().push(connection);
        self.returned.notify_one();
        self.note(result.as_ref().err());
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
                return Err(LogError::Unavailable("too many read old messages at once".to_owned()));
            }
        }
    }

    fn damaged(&self, room: RoomId, seq: Seq) -> LogError {
        log::error!("{} is damaged at message {seq} of room number {}", self.database.display(), room.0);
        LogError::Damaged(format!("message {seq} of room number {} can't be read: the log is damaged", room.0))
    }

    /// Reads rows until they make up `bytes_max`, and joins them.
    fn read_rows(&self, connection: &Connection, room: RoomId, from: Seq, bytes_max: usize) -> Result<Page, LogError> {
        let fault = |error| log_error(&error);
        let mut statement = connection.prepare_cached(schema::SEGMENTS_FROM).map_err(fault)?;
        let mut rows = statement.query((number(room.0), number(from.0))).map_err(fault)?;
        let mut joined: Option<(Seq, Seq, Vec<u8>)> = None;
        while let Some(row) = rows.next().map_err(fault)? {
            let (first, last) = (seq(row, 0).map_err(fault)?, seq(row, 1).map_err(fault)?);
            let entries = row.get_ref(2).map_err(fault)?.as_blob().map_err(|_| self.damaged(room, first))?;
            let checksum: Option<u32> = row.get(3).map_err(fault)?;
            let is_sound = checksum.is_none_or(|checksum| checksum == crc32fast::hash(entries));
            match &mut joined {
                // It holds what was asked for, or is what follows that.
                None if last < from => {}
                None if first > from => return Ok(Page::Trimmed { oldest: first }),
                None if !is_sound => return Err(self.damaged(room, first)),
                // It is told when it is asked for.
                Some(_) if !is_sound => break,
                None => joined = Some((first, last, entries.to_vec())),
                Some((_, end, _)) if first != end.next() => return Err(self.damaged(room, end.next())),
                Some((_, _, bytes)) if bytes.len() + entries.len() > bytes_max => break,
                Some((_, end, bytes)) => {
                    bytes.extend_from_slice(entries);
                    *end = last;
                }
            }
        }
        match joined {
            Some((first, last, mut entries)) => {
                entries.shrink_to_fit();
                let segment = Segment::read(room, first, entries).map_err(|_| self.damaged(room, first))?;
                if segment.last() == last {
                    Ok(Page::Segments(vec![Arc::new(segment)]))
                } else {
                    Err(self.damaged(room, last))
                }
            }
            None => self.read_nothing(connection, room, from),
        }
    }

    /// Why there is nothing to read: it was trimmed, or was not appended yet.
    fn read_nothing(&self, connection: &Connection, room: RoomId, from: Seq) -> Result<Page, LogError> {
        let trimmed = connection
            .prepare_cached(schema::TRIMMED)
            .and_then(|mut statement| statement.query_row([number(room.0)], |row| seq(row, 0)).optional())
            .map_err(|error| log_error(&error))?;
        Ok(match trimmed {
            Some(trimmed) if from <= trimmed => Page::Trimmed { oldest: trimmed.next() },
            _ => Page::Segments(Vec::new()),
        })
    }
}

/// How far a part of a room's history is read.
#[derive(Clone, Copy)]
struct Bounds {
    messages_max: u64,
    bytes_max: usize,
}

impl SqliteLog {
    /// Reads a part of a room's history, within a transaction.
    fn read_part(
        &self,
        connection: &Connection,
        room: &RoomState,
        part: Part,
        bounds: Bounds,
    ) -> Result<Vec<Arc<Segment>>, LogError> {
        let (mut from, end, bytes_max) = match part {
            Part::From(from) => {
                let from = from.max(room.oldest);
                (from, Seq(from.0.saturating_add(bounds.messages_max)), bounds.bytes_max)
            }
            Part::Before(before) => {
                let before = before.min(room.head.next());
                let oldest = Seq(before.0.saturating_sub(bounds.messages_max)).max(room.oldest);
                let start = first_before(connection, room.id, before, oldest, bounds.bytes_max);
                let (first, bytes) = start.map_err(|error| log_error(&error))?;
                (first, before, bytes)
            }
        };
        let (mut segments, mut bytes) = (Vec::new(), 0);
        while from < end && from <= room.head && bytes < bytes_max {
            let page = self.read_rows(connection, room.id, from, bytes_max - bytes)?;
            let Page::Segments(page) = page else { return Err(self.damaged(room.id, from)) };
            let Some(last) = page.last() else { return Err(self.damaged(room.id, from)) };
            from = last.last().next();
            bytes += page.iter().map(|segment| segment.frame().len()).sum::<usize>();
            segments.extend(page);
        }
        Ok(segments)
    }
}

/// Where to begin to read so as to get what is before a place, and how many bytes the segments from there to the place
/// have: at least `bytes_max`, unless they reach back to `oldest`. The place itself, and 0, where nothing is before it.
fn first_before(
    connection: &Connection,
    room: RoomId,
    before: Seq,
    oldest: Seq,
    bytes_max: usize,
) -> rusqlite::Result<(Seq, usize)> {
    let mut statement = connection.prepare_cached(schema::SEGMENTS_BEFORE)?;
    let mut rows = statement.query((number(room.0), number(before.0)))?;
    let (mut first, mut bytes) = (before, 0);
    while first > oldest
        && bytes < bytes_max
        && let Some(row) = rows.next()?
    {
        first = seq(row, 0)?;
        bytes += row.get::<_, i64>(1)? as usize;
    }
    Ok((first, bytes))
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
            let fault = |error| log_error(&error);
            // Both reads are of one state of the log, whatever is appended or trimmed meanwhile.
            let _state = connection.unchecked_transaction().map_err(fault)?;
            let Some(StoredRoom { state: room, .. }) = find_room(connection, name).map_err(fault)? else {
                return Ok(None);
            };
            let segments = self.read_part(connection, &room, part, Bounds { messages_max, bytes_max })?;
            Ok(Some(History { room, segments }))
        })
    }

    fn read(&self, room: RoomId, from: Seq, bytes_max: usize) -> Result<Page, LogError> {
        self.with(|connection| self.read_rows(connection, room, from, bytes_max))
    }

    fn find(&self, name: &RoomName) -> Result<Option<RoomState>, LogError> {
        self.with(|connection| {
            Ok(find_room(connection, name).map_err(|error| log_error(&error))?.map(|room| room.state))
        })
    }

    fn trims(&self) -> u64 {
        self.trims.load(Ordering::Acquire)
    }

    fn rooms(&self, after: Option<&RoomName>, max: usize) -> Result<Vec<RoomState>, LogError> {
        let read = |connection: &Connection| {
            let mut statement = connection.prepare_cached(schema::ROOMS_AFTER)?;
            let after = after.map_or("", RoomName::as_str);
            let rooms = statement.query_map((after, number(max as u64)), |row| Ok(stored_room(row)?.state))?;
            rooms.collect::<rusqlite::Result<Vec<_>>>()
        };
        self.with(|connection| read(connection).map_err(|error| log_error(&error)))
    }
}

/// The room of that name, if there is one.
pub fn find_room(connection: &Connection, name: &RoomName) -> rusqlite::Result<Option<StoredRoom>> {
    connection.prepare_cached(schema::ROOM_BY_NAME)?.query_row([name.as_str()], stored_room).optional()
}

/// A room from a row of [`schema::ROOM_BY_NAME`] and its like.
pub fn stored_room(row: &Row<'_>) -> rusqlite::Result<StoredRoom> {
    let out_of_range = |column| rusqlite::Error::IntegralValueOutOfRange(column, 0);
    let name: String = row.get(1)?;
    let name = RoomName::stored(&name);
    let epoch = Epoch::new(row.get::<_, i64>(2)? as u64).ok_or_else(|| out_of_range(2))?;
    let epoch_first = seq(row, 3)?.max(Seq(1));
    let trimmed = seq(row, 4)?;
    let (mut head, mut oldest, mut oldest_segment, mut time_ms) = (trimmed, trimmed.next(), None, seq(row, 10)?.0);
    if row.get::<_, Option<i64>>(5)?.is_some() {
        head = seq(row, 5)?;
        time_ms = seq(row, 6)?.0;
        oldest = seq(row, 7)?;
        // Invariant of what is stored: a row that breaks it is damaged.
        if head < oldest || head.0 >= i64::MAX as u64 || seq(row, 8)? < oldest {
            return Err(out_of_range(5));
        }
        oldest_segment = Some(Oldest { last: seq(row, 8)?, time_ms: seq(row, 9)?.0 });
    }
    let state = RoomState { id: RoomId(seq(row, 0)?.0), name, epoch, epoch_first, head, oldest };
    Ok(StoredRoom { state, time_ms, oldest: oldest_segment })
}

/// A number as SQLite has it. Those that would not fit are asked for by peers only, and nothing is there.
pub fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub fn seq(row: &Row<'_>, column: usize) -> rusqlite::Result<Seq> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map(Seq).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}
