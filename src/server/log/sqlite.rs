//! The durable log: one SQLite database in a folder, in write-ahead mode.
//!
//! A row is a segment, not a message: what was committed together is stored as the bytes that go out. So an append of
//! hundreds of messages is one insertion and one fsync, and reading history is copying bytes. Ids that clients have chosen
//! stand in a table of their own, in the order of the ids, which for ids of one time is one place.
//!
//! Three kinds of threads use the database, each with connections of its own: the log writer (`appender`) alone
//! changes it; readers (`reader`) see what was committed and wait for nobody but each other; the log keeper
//! (`keeper`) copies the write-ahead log into the database beside them.
//!
//! Damage stays with its room. `rows` reads a room's segments around what can't be read, `rooms` finds as much of a room's
//! state as is left, and `damage` logs each finding once.

mod folder;
mod appender;
mod claims;
mod trimming;
mod rooms;
mod rows;
mod key;
mod damage;
mod disk;
mod errors;
mod expiring;
mod files;
mod identity;
mod recovery;
mod offline;
mod backup;
mod verify;
mod keeper;
mod life;
mod reader;
mod schema;
mod database;
mod connection;
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
pub use self::errors::OpenError;
pub use self::folder::SyncMode;
use self::folder::{DATABASE, Folder};
pub use self::life::{Life, SharedLife};
pub use self::offline::BackupError;
pub use self::reader::SqliteLog;
pub use self::verify::{Report, verify};
use super::Retention;

/// Opens the log in a folder. Both are created if missing. `restored` says that the folder is an older
/// copy of itself, and messages that were seen may be lost.
pub fn open(
    path: &Path,
    sync: SyncMode,
    restored: bool,
    retention: Retention,
) -> Result<(SqliteAppender, Arc<SqliteLog>), OpenError> {
    let folder = Arc::new(Folder::open(path)?);
    backup::remove_unfinished(&folder.path).map_err(|fault| OpenError::Folder { path: path.to_owned(), fault })?;
    let database = folder.path.join(DATABASE);
    life::forget_copied(&database).map_err(|fault| OpenError::Folder { path: path.to_owned(), fault })?;
    let appender = SqliteAppender::open(Arc::clone(&folder), database.clone(), sync, restored, retention)?;
    let log = Arc::new(SqliteLog::open(folder, &database, appender.trims(), appender.life(), appender.damage())?);
    Ok((appender, log))
}
