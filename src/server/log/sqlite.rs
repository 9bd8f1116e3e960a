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
mod backup;
mod verify;
mod keeper;
mod life;
mod reader;
mod schema;
mod page;
mod vfs;
mod clean;
mod space;
mod room_names;
mod write_ahead;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod keeper_tests;
#[cfg(test)]
mod damage_tests;

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

pub use self::appender::SqliteAppender;
pub use self::backup::{BackupError, backup, restore};
pub use self::errors::OpenError;
pub use self::life::{Life, SharedLife};
pub use self::reader::SqliteLog;
use self::space::Space;
pub use self::verify::{Report, verify};
use super::Retention;

/// The database's name in its folder. SQLite puts files beside it whose names begin with this.
const DATABASE: &str = "hubbub.db";

/// The file that a running server holds locked.
const LOCK: &str = "lock";

/// When a message counts as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// When the disk has it: it outlives a power cut.
    Full,
    /// When the operating system has it: it outlives the server's end, however that comes.
    Os,
}

/// The folder of a log, locked against other servers for as long as this lives.
struct Folder {
    path: PathBuf,
    _lock: File,
    // The database's file. Closed with the folder, after all connections.
    space: OnceLock<Mutex<Space>>,
}

/// Opens the log in a folder. Both come into being where they are not there. `restored` says that the folder is an older
/// copy of itself, and messages that were seen may be lost.
pub fn open(
    path: &Path,
    sync: Sync,
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

impl Folder {
    /// Keeps the database's file open to allocate space in it. Once, when the database is there.
    fn open_space(&self) -> io::Result<()> {
        let file = File::options().read(true).write(true).open(self.path.join(DATABASE))?;
        // Invariant: a folder has one appender.
        let _ = self.space.set(Mutex::new(Space::new(file)?));
        Ok(())
    }

    /// Sees to it that the database's file has so many pages.
    fn reserve(&self, pages: u64) -> io::Result<()> {
        self.space.get().map_or(Ok(()), |space| space.lock().reserve(pages))
    }

    fn open(path: &Path) -> Result<Self, OpenError> {
        let fault = |fault| OpenError::Folder { path: path.to_owned(), fault };
        // What is said in rooms is nobody else's business.
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(fault)?;
        let lock = File::options().create(true).truncate(false).write(true).open(path.join(LOCK)).map_err(fault)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: fs::canonicalize(path).map_err(fault)?, _lock: lock, space: OnceLock::new() }),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => Err(fault(error)),
        }
    }
}
