//! Lists the rooms of a log with their sizes, also while a server uses it.
//!
//! Each room is read in a transaction of its own, so a long list delays no restart of the write-ahead log, and memory
//! does not depend on the number of rooms. Messages that are posted meanwhile may be counted or not.

use std::path::Path;

use rusqlite::Connection;

use super::columns::number;
use super::errors::OpenError;
use super::key;
use super::offline::{BackupError, check_log, hold_unused, open_to_read};
use super::rows::unless_damaged;
use super::schema;
use crate::limits::LISTED_ROOMS_MAX;
use crate::names::{RoomId, Seq};

/// A room of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedRoom {
    pub name: String,
    /// `None` if they can't be read.
    pub contents: Option<Contents>,
}

/// The kept messages of a room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    pub messages: u64,
    /// The size of the stored messages, without the table of ids and SQLite's own data.
    pub bytes: u64,
    /// When the newest message was stored, in milliseconds since 1970; `None` if no message is kept.
    pub newest_ms: Option<u64>,
}

/// Calls `take` with each room of the log in a folder, in the order of the names' bytes, until it fails.
pub fn list_rooms<E: From<BackupError>>(
    folder: &Path,
    mut take: impl FnMut(ListedRoom) -> Result<(), E>,
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
        for (id, name, trimmed, trimmed_changes) in rooms {
            let contents = unless_damaged(contents(&connection, id, trimmed, trimmed_changes)).map_err(fault)?;
            take(ListedRoom { name, contents })?;
        }
    }
}

/// The next rooms: number, name, the last deleted seq, and how many events up to it were not messages.
pub(super) fn page(connection: &Connection, after: &str) -> rusqlite::Result<Vec<(u64, String, u64, u64)>> {
    let mut statement = connection.prepare_cached(schema::NUMBERS_AFTER)?;
    let rooms = statement.query_map((after, number(LISTED_ROOMS_MAX as u64)), |row| {
        let number = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
        Ok((number(0)?, row.get(1)?, number(2)?, number(3)?))
    })?;
    rooms.collect()
}

fn contents(connection: &Connection, room: u64, trimmed: u64, trimmed_changes: u64) -> rusqlite::Result<Contents> {
    let keys = key::from(RoomId(room), Seq(trimmed.saturating_add(1)));
    connection.prepare_cached(schema::CONTENTS)?.query_row(keys, |row| {
        let (last, newest): (Option<i64>, Option<i64>) = (row.get(0)?, row.get(2)?);
        let changes = row.get::<_, i64>(3)?.unsigned_abs().saturating_sub(trimmed_changes);
        Ok(Contents {
            messages: last.map_or(0, |last| last.unsigned_abs().saturating_sub(trimmed).saturating_sub(changes)),
            bytes: row.get::<_, i64>(1)?.unsigned_abs(),
            newest_ms: newest.map(i64::unsigned_abs),
        })
    })
}
