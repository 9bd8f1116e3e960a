//! Deletes rooms with all their messages, while no server uses the log.
//!
//! The command is a life of the log of its own, with all checks of a start. If the log has lost messages, its epochs
//! change first. A room is deleted in small transactions: deleted pages are overwritten, so one transaction would write
//! the whole room to the write-ahead log, which a full disk has no space for. Each transaction leaves a sound log. The
//! messages are deleted first, from the oldest on, as retention does; then their ids; then the room's own row. After a
//! kill, a room is complete, has lost its oldest messages, or is gone, and the command can be repeated.
//!
//! A room that is created again has another number and another epoch, whose upper bits differ too ([`Epoch`]). So its
//! clients learn that all messages that they have seen are gone, and get none of the new ones under their seqs.
//!
//! [`Epoch`]: crate::names::Epoch

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _};
use thiserror::Error;

use super::appender::SqliteAppender;
use super::backup::make_ready;
use super::columns::number;
use super::errors::{OpenError, log_error};
use super::folder::{DATABASE, Folder, SyncMode};
use super::key::{self, key};
use super::offline::{BackupError, check_log, open_to_read, record_losses};
use super::rows::{Rows, Span, unless_damaged};
use super::schema;
use super::transactions::Transactions;
use crate::escape::escape_name;
use crate::limits::{DELETED_BYTES_MAX, DELETED_ROWS_MAX, NAMED_ROOMS_MAX};
use crate::names::{RoomId, RoomName, Seq};
use crate::server::log::{LogError, Retention};

/// What was deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deletion {
    pub rooms: u64,
    pub messages: u64,
    /// The space that new messages can use, in bytes: of these rooms, and what was free before.
    pub free_bytes: u64,
    /// The deleted rooms of which damaged messages are still in the file, where no client can read them.
    pub with_remains: Vec<String>,
}

/// Why rooms could not be deleted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DeleteError {
    #[error("no room named {}, so nothing was deleted; hubbub-server room list prints the names", quoted(.0))]
    Unknown(Vec<String>),
    #[error("room \"{}\" can't be deleted: {fault}; {done}; run the command again to continue", escape_name(.name))]
    Failed { name: String, fault: LogError, done: String },
    #[error("the search index has the text of the rooms and can't be deleted, so nothing was deleted: {0}")]
    Index(io::Error),
    #[error("the rooms are deleted, but the log was not closed cleanly, so their text may still be in its files: {0}")]
    NotClosed(String),
    #[error(
        "the rooms are deleted, but another program keeps reading {path}, so their text is still in {path}-wal: end that \
         program (fuser lists the programs that have the file open), and start hubbub-server once"
    )]
    NotErased { path: String },
    #[error(transparent)]
    Log(#[from] BackupError),
}

/// The names, as many as fit a message.
fn quoted(names: &[String]) -> String {
    let mut list: Vec<_> =
        names.iter().take(NAMED_ROOMS_MAX).map(|name| format!("\"{}\"", escape_name(name))).collect();
    if names.len() > list.len() {
        list.push(format!("and {} others", names.len() - list.len()));
    }
    list.join(", ")
}

/// Deletes these rooms from the log in a folder, which no server may use. If one of them does not exist, none is
/// deleted. `forget` removes data that is derived from the rooms, such as the search index. It is called first, so that
/// a kill leaves no such data of a deleted room.
pub fn delete_rooms(
    folder: &Path,
    names: &[String],
    forget: impl FnOnce(&Path) -> io::Result<()>,
) -> Result<Deletion, DeleteError> {
    check_log(folder)?;
    let folder = Arc::new(Folder::open(folder).map_err(BackupError::from)?);
    let database = folder.path.join(DATABASE);
    record_losses(&folder).map_err(BackupError::from)?;
    let fault = |error: rusqlite::Error| BackupError::from(OpenError::of(database.clone(), &error));
    let connection = open_to_read(&database)?;
    let rooms = find(&connection, names, fault)?;
    connection.close().map_err(|(_, error)| fault(error))?;
    forget(&folder.path).map_err(DeleteError::Index)?;

    make_ready(&folder).map_err(BackupError::from)?;
    let appender = SqliteAppender::open(folder, database.clone(), SyncMode::Full, false, Retention::default());
    let mut appender = appender.map_err(BackupError::from)?;
    let life = appender.life();
    let mut deleting = Deleting { transactions: &mut appender.transactions, deletion: Deletion::default() };
    let outcome = deleting.all(&rooms);
    let mut deletion = deleting.deletion;
    deletion.free_bytes = appender.transactions.free_bytes().unwrap_or(0);
    let is_erased = appender.transactions.empty_log();
    drop(appender);
    outcome?;
    match life.fault() {
        Some(fault) => Err(DeleteError::NotClosed(fault.to_owned())),
        None if !is_erased => Err(DeleteError::NotErased { path: database.display().to_string() }),
        None => Ok(deletion),
    }
}

/// The numbers of the rooms, with their names as stored.
fn find(
    connection: &Connection,
    names: &[String],
    fault: impl Fn(rusqlite::Error) -> BackupError,
) -> Result<BTreeMap<RoomId, String>, DeleteError> {
    let (mut rooms, mut unknown) = (BTreeMap::new(), Vec::new());
    for name in names {
        // A name that an earlier version stored may be invalid today.
        let normalized = RoomName::new(name).ok();
        let mut found = None;
        for name in std::iter::once(name.as_str()).chain(normalized.as_ref().map(RoomName::as_str)) {
            let mut statement = connection.prepare_cached(schema::ROOM_ID).map_err(&fault)?;
            let id = statement.query_row([name], |row| row.get::<_, i64>(0)).optional().map_err(&fault)?;
            found = found.or(id.map(|id| (RoomId(id.unsigned_abs()), name.to_owned())));
        }
        match found {
            Some((id, name)) => drop(rooms.insert(id, name)),
            None => unknown.push(name.clone()),
        }
    }
    if unknown.is_empty() { Ok(rooms) } else { Err(DeleteError::Unknown(unknown)) }
}

struct Deleting<'a> {
    transactions: &'a mut Transactions,
    deletion: Deletion,
}

/// How much one transaction may still delete.
struct Budget {
    rows: usize,
    bytes: usize,
    /// How many of these it has deleted.
    messages: u64,
    rooms: u64,
}

impl Deleting<'_> {
    fn all(&mut self, rooms: &BTreeMap<RoomId, String>) -> Result<(), DeleteError> {
        let mut left: Vec<_> = rooms.iter().rev().map(|(id, name)| (*id, name.as_str())).collect();
        let failed = |deleting: &Self, name: &str, fault| {
            let Deletion { rooms, messages, .. } = deleting.deletion;
            let done = format!("before that, {rooms} rooms and {messages} messages were deleted");
            DeleteError::Failed { name: name.to_owned(), fault, done }
        };
        if let Some((_, name)) = left.last()
            && let Err(fault) = self.forget_expiring(rooms)
        {
            return Err(failed(self, name, fault));
        }
        while let Some((id, name)) = left.last().copied() {
            let step = match self.step(&mut left, DELETED_ROWS_MAX) {
                // Fewer deletions at once need less space in the write-ahead log.
                Err(LogError::Full) if self.transactions.restart_log() => self.step(&mut left, 1),
                step => step,
            };
            match step {
                Ok(()) => {}
                Err(LogError::Damaged(_)) => {
                    self.around_damage(id, name).map_err(|fault| failed(self, name, fault))?;
                    left.pop();
                }
                Err(fault) => return Err(failed(self, name, fault)),
            }
        }
        Ok(())
    }

    /// Deletes as much as fits a transaction, of the last rooms of the list. Those that are deleted leave it.
    fn step(&mut self, left: &mut Vec<(RoomId, &str)>, rows_max: usize) -> Result<(), LogError> {
        let mut budget = Budget { rows: rows_max, bytes: DELETED_BYTES_MAX, messages: 0, rooms: 0 };
        let mut remaining = left.as_slice();
        let outcome = self.transactions.transact(0, |connection| {
            while let Some(((id, _), others)) = remaining.split_last()
                && budget.rows > 0
                && delete_part(connection, *id, &mut budget).map_err(|error| log_error(&error))?
            {
                budget.rooms += 1;
                remaining = others;
            }
            Ok(())
        });
        match outcome {
            // The rooms before the damaged one.
            Err(LogError::Damaged(_)) if budget.rooms > 0 => {
                let mut sound = left.split_off(remaining.len());
                let outcome = self.step(&mut sound, rows_max);
                left.append(&mut sound);
                return outcome;
            }
            outcome => outcome?,
        }
        left.truncate(remaining.len());
        self.deletion.rooms += budget.rooms;
        self.deletion.messages += budget.messages;
        self.transactions.count_written(DELETED_BYTES_MAX - budget.bytes, rows_max - budget.rows);
        Ok(())
    }

    /// Forgets the due times of the rooms' ids, which are deleted with the rooms.
    fn forget_expiring(&mut self, rooms: &BTreeMap<RoomId, String>) -> Result<(), LogError> {
        let rooms: HashSet<i64> = rooms.keys().map(|room| number(room.0)).collect();
        let find = |connection: &Connection| -> rusqlite::Result<Vec<(i64, i64, i64)>> {
            let mut statement = connection.prepare(schema::EXPIRING_ROOMS)?;
            let keys = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            keys.filter(|key| !key.as_ref().is_ok_and(|(_, room, _)| !rooms.contains(room))).collect()
        };
        // Rows that can't be found refer to ids that are gone, which is harmless.
        let keys = unless_damaged(find(&self.transactions.connection)).map_err(|error| log_error(&error))?;
        for keys in keys.unwrap_or_default().chunks(DELETED_ROWS_MAX) {
            let deleted = self.transactions.transact(0, |connection| {
                let mut delete =
                    connection.prepare_cached(schema::DELETE_EXPIRING).map_err(|error| log_error(&error))?;
                keys.iter().try_for_each(|key| delete.execute(*key).map(drop)).map_err(|error| log_error(&error))
            });
            match deleted {
                Err(LogError::Damaged(_)) => return Ok(()),
                deleted => deleted?,
            }
            self.transactions.count_written(0, keys.len());
        }
        Ok(())
    }

    /// Deletes a room that is damaged: one segment at a time, without those that can't be deleted.
    fn around_damage(&mut self, room: RoomId, name: &str) -> Result<(), LogError> {
        let mut has_remains = false;
        let mut from = Seq(1);
        loop {
            let rows = Rows { connection: &self.transactions.connection, room };
            let Some(Span { first, last, .. }) = rows.oldest(from).map_err(|error| log_error(&error))? else { break };
            let deleted = self.transactions.transact(0, |connection| {
                let delete = || connection.prepare_cached(schema::DELETE_SEGMENT)?.execute([key(room, first)]);
                delete().map(drop).map_err(|error| log_error(&error))
            });
            match deleted {
                Ok(()) => {
                    self.deletion.messages += last.map_or(1, |last| last.0 - first.0 + 1);
                    self.transactions.count_written(0, 1);
                }
                Err(LogError::Damaged(_)) => has_remains = true,
                Err(error) => return Err(error),
            }
            from = first.next();
        }
        loop {
            let deleted = self.transactions.transact(0, |connection| {
                delete_ids(connection, room, DELETED_ROWS_MAX).map_err(|error| log_error(&error))
            });
            match deleted {
                Ok(0) => break,
                Ok(count) => self.transactions.count_written(0, count),
                Err(LogError::Damaged(_)) => {
                    has_remains = true;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        // Rows on pages that can't be read were not found.
        let keys = key::from(room, Seq::ZERO);
        let last = self.transactions.connection.query_row(schema::CONTENTS, keys, |row| row.get::<_, Option<i64>>(0));
        has_remains |= !matches!(last, Ok(None));
        self.transactions.transact(0, |connection| {
            connection.execute(schema::DELETE_ROOM, [number(room.0)]).map(drop).map_err(|error| log_error(&error))
        })?;
        self.deletion.rooms += 1;
        if has_remains {
            self.deletion.with_remains.push(name.to_owned());
        }
        Ok(())
    }
}

/// Deletes a room, or a part of it, within the budget. Returns whether the room is gone.
fn delete_part(connection: &Connection, room: RoomId, budget: &mut Budget) -> rusqlite::Result<bool> {
    while budget.rows > 0 && budget.bytes > 0 {
        if !delete_oldest(connection, room, budget)? {
            let ids = delete_ids(connection, room, budget.rows)?;
            budget.rows -= ids;
            if budget.rows == 0 {
                break;
            }
            connection.prepare_cached(schema::DELETE_ROOM)?.execute([number(room.0)])?;
            budget.rows -= 1;
            return Ok(true);
        }
    }
    Ok(false)
}

/// Deletes a room's oldest segment, as retention does. Returns whether there was one.
fn delete_oldest(connection: &Connection, room: RoomId, budget: &mut Budget) -> rusqlite::Result<bool> {
    let mut oldest = connection.prepare_cached(schema::OLDEST_SPAN)?;
    let (begin, end) = key::from(room, Seq::ZERO);
    type Found = (i64, i64, i64, i64, i64, i64);
    let span =
        |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?));
    let found: Option<Found> = oldest.query_row((begin, end), span).optional()?;
    let Some((first, last, time_ms, changes_before, changes, bytes)) = found else { return Ok(false) };
    if last < first {
        return Err(rusqlite::Error::IntegralValueOutOfRange(1, last));
    }
    connection.prepare_cached(schema::DELETE_SEGMENT)?.execute([key(room, Seq(first.unsigned_abs()))])?;
    connection.prepare_cached(schema::SET_TRIMMED)?.execute((
        number(room.0),
        last,
        time_ms,
        changes_before.saturating_add(changes),
    ))?;
    budget.messages += ((last - first).unsigned_abs() + 1).saturating_sub(changes.unsigned_abs());
    budget.rows -= 1;
    budget.bytes = budget.bytes.saturating_sub(usize::try_from(bytes).unwrap_or(usize::MAX));
    Ok(true)
}

/// Deletes at most this many of a room's reactions and ids. Returns how many.
fn delete_ids(connection: &Connection, room: RoomId, max: usize) -> rusqlite::Result<usize> {
    let delete = |statement: &str, max: usize| {
        connection.prepare_cached(statement)?.execute((number(room.0), number(max as u64)))
    };
    let reactions = delete(schema::DELETE_SOME_REACTIONS, max)?;
    Ok(reactions + delete(schema::DELETE_SOME_IDS, max - reactions)?)
}
