//! The durable log: one SQLite database in a folder, in write-ahead mode.
//!
//! A row is a segment, not a message: the messages of one commit are stored as the bytes that are sent. So an append of
//! hundreds of messages is one insertion and one fsync, and reading history is copying bytes. Ids that clients have
//! chosen are in a separate table, in the order of the ids; ids of the same time are adjacent.
//!
//! Three kinds of threads use the database, each with its own connections: only the log writer (`appender`) changes it;
//! readers (`read_side`) see committed data and wait only for each other; the log keeper (`keeper`) copies the
//! write-ahead log into the database in parallel.
//!
//! Damage affects only its room. `rows` reads a room's segments around unreadable ones, `rooms` finds the readable part
//! of a room's state, and `damage` logs each finding once.

mod folder;
pub(crate) mod privacy;
mod appender;
mod known_rooms;
mod start;
mod transactions;
mod claims;
mod deletions;
mod planned;
mod profiles;
mod reactions;
mod trimmer;
mod trimming;
mod rooms;
mod rows;
mod key;
mod damage;
pub(crate) mod disk;
mod errors;
mod expiring;
mod files;
#[cfg(fuzzing)]
pub mod fuzz;
mod identity;
mod recovery;
mod offline;
mod progress;
mod backup;
mod verify;
mod list;
mod statistics;
mod delete;
mod keeper;
mod life;
mod read_side;
mod schema;
mod database;
pub(crate) mod connection;
mod migration;
mod columns;
mod page;
mod vfs;
mod clean;
mod space;
mod room_names;
mod salvage;
mod write_ahead;
#[cfg(test)]
mod fold_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod keeper_tests;
#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod salvage_tests;

use std::path::Path;
use std::sync::Arc;

pub use self::appender::SqliteAppender;
pub use self::backup::{backup, restore};
pub use self::delete::{DeleteError, Deletion, delete_rooms};
pub use self::errors::OpenError;
use self::folder::DATABASE;
pub use self::folder::{Folder, FolderState, SyncMode, inspect as inspect_folder};
pub use self::life::{Life, SharedLife};
pub use self::list::{ListedRoom, list_rooms};
pub use self::offline::BackupError;
pub use self::progress::Progress;
pub use self::read_side::SqliteLog;
pub use self::statistics::{Growth, RoomStatistics, Statistics, statistics};
pub use self::verify::{Report, verify};
use super::Retention;

/// The sizes of a folder's database and of its write-ahead log, in bytes; 0 if there is no such file.
pub fn file_bytes(folder: &Path) -> (u64, u64) {
    let database = folder.join(DATABASE);
    (database.metadata().map_or(0, |file| file.len()), write_ahead::bytes(&database))
}

/// Opens the log in a folder. Both are created if missing. `restored` means that the folder is an older copy of itself,
/// so messages that clients have seen may be lost.
pub fn open(
    path: &Path,
    sync: SyncMode,
    restored: bool,
    retention: Retention,
) -> Result<(SqliteAppender, Arc<SqliteLog>), OpenError> {
    let folder = Arc::new(Folder::open(path)?);
    let database = folder.path.join(DATABASE);
    backup::make_ready(&folder)?;
    let appender = SqliteAppender::open(Arc::clone(&folder), database.clone(), sync, restored, retention)?;
    let log = Arc::new(SqliteLog::open(folder, &database, appender.trims(), appender.life(), appender.damage())?);
    Ok((appender, log))
}
