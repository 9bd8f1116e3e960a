//! Measures the rooms of a log: sizes, ages and growth, also while a server uses it.
//!
//! Each room is read in a transaction of its own, so this delays no restart of the write-ahead log, and memory does not
//! depend on the number of rooms. Messages that are posted meanwhile may be counted or not. No text is read.

use std::ops::AddAssign;
use std::path::Path;

use rusqlite::Connection;

use super::columns::number;
use super::errors::OpenError;
use super::key;
use super::list::page;
use super::offline::{BackupError, check_log, hold_unused, open_to_read};
use super::rows::unless_damaged;
use super::schema;
use crate::names::{RoomId, Seq};

/// In milliseconds.
const DAY: u64 = 24 * 60 * 60 * 1_000;
const WEEK: u64 = 7 * DAY;

/// A room, and what it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomStatistics {
    pub name: String,
    /// `None` if it can't be read.
    pub statistics: Option<Statistics>,
}

/// The kept messages of a room, or of several rooms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    pub messages: u64,
    /// The size of the stored messages and changes, without ids, reactions and SQLite's own data.
    pub bytes: u64,
    /// How many message ids are kept, for finding repeats.
    pub ids: u64,
    /// The times of the oldest and the newest event, in milliseconds since 1970; `None` if none is kept.
    pub oldest_ms: Option<u64>,
    pub newest_ms: Option<u64>,
    /// What the last 24 hours and the last 7 days have added, of what is still kept.
    pub day: Growth,
    pub week: Growth,
}

/// What was added in some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Growth {
    pub messages: u64,
    pub bytes: u64,
}

impl AddAssign for Growth {
    fn add_assign(&mut self, other: Self) {
        self.messages = self.messages.saturating_add(other.messages);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

impl AddAssign for Statistics {
    fn add_assign(&mut self, other: Self) {
        self.messages = self.messages.saturating_add(other.messages);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.ids = self.ids.saturating_add(other.ids);
        self.oldest_ms = [self.oldest_ms, other.oldest_ms].into_iter().flatten().min();
        self.newest_ms = self.newest_ms.max(other.newest_ms);
        self.day += other.day;
        self.week += other.week;
    }
}

/// Calls `take` with each room of the log in a folder, in the order of the names' bytes, until it fails. `now_ms` is the
/// time up to which growth is measured.
pub fn statistics<E: From<BackupError>>(
    folder: &Path,
    now_ms: u64,
    mut take: impl FnMut(RoomStatistics) -> Result<(), E>,
) -> Result<(), E> {
    let database = check_log(folder)?;
    let _lock = hold_unused(folder).map_err(BackupError::from)?;
    let connection = open_to_read(&database)?;
    let fault = |error: rusqlite::Error| BackupError::from(OpenError::of(database.clone(), &error));
    let mut after = String::new();
    loop {
        let rooms = page(&connection, &after).map_err(fault)?;
        let Some((_, last, ..)) = rooms.last() else { return Ok(()) };
        after.clone_from(last);
        for (id, name, trimmed, _) in rooms {
            let statistics = unless_damaged(measure(&connection, id, trimmed, now_ms)).map_err(fault)?;
            take(RoomStatistics { name, statistics })?;
        }
    }
}

fn measure(connection: &Connection, room: u64, trimmed: u64, now_ms: u64) -> rusqlite::Result<Statistics> {
    let (first, last) = key::from(RoomId(room), Seq(trimmed.saturating_add(1)));
    let [day, week] = [DAY, WEEK].map(|length| number(now_ms.saturating_sub(length)));
    let mut statistics = connection.prepare_cached(schema::STATISTICS)?.query_row((first, last, day, week), |row| {
        let sum = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
        let time = |column| row.get::<_, Option<i64>>(column).map(|time| time.map(i64::unsigned_abs));
        Ok(Statistics {
            messages: sum(0)?,
            bytes: sum(1)?,
            ids: 0,
            oldest_ms: time(2)?,
            newest_ms: time(3)?,
            day: Growth { messages: sum(4)?, bytes: sum(5)? },
            week: Growth { messages: sum(6)?, bytes: sum(7)? },
        })
    })?;
    let ids = connection.prepare_cached(schema::COUNT_IDS)?.query_row([number(room)], |row| row.get::<_, i64>(0))?;
    statistics.ids = ids.unsigned_abs();
    Ok(statistics)
}
