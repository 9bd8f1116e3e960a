//! The life of an open log: whether it may still be written, and why not.
//!
//! The kernel reports a failed write to the disk once, and then takes the pages for written. SQLite copies most of the
//! write-ahead log without syncing, and counts that as copied. So after one failed sync of the database, the write-ahead log
//! may hold the only good copy of pages that SQLite takes for safe; the next pass that succeeds would begin it anew, and lose
//! them. Therefore the first I/O error of a copy ends the log's life: nothing copies, commits or closes in good order any
//! more, and the next server copies everything again.
//!
//! So does the first failed sync of the write-ahead log. The next commit would write the same places again, and its sync would
//! succeed; but ext4 then leaves the blocks of the failed write marked as never written, and they read as zeros once the
//! machine has restarted. The next server begins the write-ahead log anew, in other blocks.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rusqlite::{ErrorCode, ffi};

use super::errors::log_error;
use crate::server::log::LogError;

/// Where the wal-index (the file `-shm`) says how many frames of the write-ahead log are copied: `nBackfill` in SQLite's
/// description of the format, four bytes.
const COPIED_AT: u64 = 96;
const COPIED_BYTES: usize = 4;

/// Shared by all who use one open database, and by the server.
#[derive(Default)]
pub struct Life {
    ended: OnceLock<String>,
    not_closed: OnceLock<String>,
    on_end: OnceLock<Box<dyn Fn() + Send + Sync>>,
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

    /// Why what was acknowledged may not be safe, or is not where it is expected: it ended, or could not be closed.
    pub fn fault(&self) -> Option<&str> {
        self.ended().or(self.not_closed.get().map(String::as_str))
    }

    /// Notes that the log could not be closed in good order.
    pub fn not_closed(&self, reason: String) {
        log::error!("the log can't be closed cleanly: {reason}");
        let _ = self.not_closed.set(reason);
    }

    /// Has something done when it ends; at once if it has. Only one thing can be.
    pub fn on_end(&self, act: Box<dyn Fn() + Send + Sync>) {
        let _ = self.on_end.set(act);
        if let (Some(_), Some(act)) = (self.ended(), self.on_end.get()) {
            act();
        }
    }

    /// Ends it if this error of a copy leaves unknown what the disk has.
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

    /// Ends it if this error of a commit leaves unknown what the disk has and will have of the write-ahead log.
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
            if let Some(act) = self.on_end.get() {
                act();
            }
        }
    }
}

/// Makes sure that all of a write-ahead log that a server left behind is copied again, whatever that server had copied: what
/// it copied may not have reached the disk. SQLite does the same where nobody else has the database open.
pub fn forget_copied(database: &Path) -> io::Result<()> {
    let mut path = database.as_os_str().to_owned();
    path.push("-shm");
    match File::options().write(true).open(PathBuf::from(path)) {
        Ok(index) if index.metadata()?.len() >= COPIED_AT + COPIED_BYTES as u64 => {
            index.write_all_at(&[0; COPIED_BYTES], COPIED_AT)
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// A life, for all who share it.
pub type SharedLife = Arc<Life>;
