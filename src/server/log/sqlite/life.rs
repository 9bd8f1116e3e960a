//! The life of an open log: whether it may still be written, and why not.
//!
//! The kernel reports a failed write to the disk once, and then treats the pages as written. SQLite copies most of the
//! write-ahead log without syncing, and counts that as copied. So after one failed sync of the database, the
//! write-ahead log may have the only good copy of pages that SQLite treats as safe; the next successful pass would
//! restart it, and lose them. Therefore the first I/O error of a copy ends the log's life: no copy, commit or clean
//! close happens any more, and the next server copies everything again.
//!
//! So does the first failed sync of the write-ahead log. The next commit would write the same places again, and its
//! sync would succeed; but ext4 then leaves the blocks of the failed write marked as unwritten, and they read as zeros
//! after a restart of the machine. The next server restarts the write-ahead log in other blocks.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use rusqlite::{ErrorCode, ffi};

use super::errors::log_error;
use super::privacy;
use crate::server::log::LogError;

/// The offset in the wal-index (the file `-shm`) of the number of copied frames of the write-ahead log: `nBackfill` in
/// SQLite's description of the format, four bytes.
const COPIED_AT: u64 = 96;
const COPIED_BYTES: usize = 4;

/// Shared by all who use one open database, and by the server.
#[derive(Default)]
pub struct Life {
    ended: OnceLock<String>,
    not_closed: OnceLock<String>,
    // lock order: 3 (a leaf; not held while they are called)
    on_end: Mutex<Vec<Box<dyn Fn() + Send + Sync>>>,
}

impl Life {
    /// Why it ended, if it did.
    pub fn ended(&self) -> Option<&str> {
        self.ended.get().map(String::as_str)
    }

    /// An error once it has ended.
    pub fn check(&self) -> Result<(), LogError> {
        match self.ended() {
            Some(reason) => Err(LogError::Unavailable(reason.to_owned())),
            None => Ok(()),
        }
    }

    /// Why acknowledged messages may not be safe, or not in their usual place: the life ended, or the log could not be
    /// closed.
    pub fn fault(&self) -> Option<&str> {
        self.ended().or(self.not_closed.get().map(String::as_str))
    }

    /// Records that the log could not be closed cleanly.
    pub fn not_closed(&self, reason: String) {
        log::error!("the log can't be closed cleanly: {reason}");
        let _ = self.not_closed.set(reason);
    }

    /// Adds a callback for its end, which runs once: at once if it has ended.
    pub fn on_end(&self, act: Box<dyn Fn() + Send + Sync>) {
        self.on_end.lock().push(act);
        if self.ended().is_some() {
            self.call_back();
        }
    }

    /// Ends it if the state of the disk is unknown after this error of a copy.
    pub fn copy_failed(&self, database: &Path, error: &rusqlite::Error) {
        if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) {
            self.end(format!(
                "copying the write-ahead log into {} failed: {}; nothing acknowledged is lost as long as hubbub.db-wal \
                 stays beside it: check the disk, then start the server again",
                database.display(),
                log_error(error)
            ));
        }
    }

    /// Ends it if the state of the write-ahead log on the disk is unknown after this error of a commit.
    pub fn commit_failed(&self, database: &Path, error: &rusqlite::Error) {
        let failed_sync = [ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_DIR_FSYNC];
        if error.sqlite_error().is_some_and(|error| failed_sync.contains(&error.extended_code)) {
            self.end(format!(
                "syncing the write-ahead log of {} failed: {}; nothing acknowledged is lost as long as hubbub.db-wal stays \
                 beside it: check the disk and its space, then start the server again",
                database.display(),
                log_error(error)
            ));
        }
    }

    pub(super) fn end(&self, reason: String) {
        if self.ended.set(reason).is_ok() {
            log::error!("the log has stopped: {}", self.ended().unwrap_or_default());
            self.call_back();
        }
    }

    fn call_back(&self) {
        let acts = std::mem::take(&mut *self.on_end.lock());
        acts.iter().for_each(|act| act());
    }
}

/// Makes sure that the whole write-ahead log of an earlier server is copied again, because the data that it copied may
/// not have reached the disk. SQLite does the same if no other program has the database open.
pub fn forget_copied(database: &Path) -> io::Result<()> {
    let mut path = database.as_os_str().to_owned();
    path.push("-shm");
    match privacy::options().write(true).open(PathBuf::from(path)) {
        Ok(index) if index.metadata()?.len() >= COPIED_AT + COPIED_BYTES as u64 => {
            index.write_all_at(&[0; COPIED_BYTES], COPIED_AT)
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// A shared life.
pub type SharedLife = Arc<Life>;
