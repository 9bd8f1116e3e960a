//! The transactions of the appender, on the only connection that changes the database.
//!
//! A failed transaction is rolled back. On a full disk the write-ahead log can restart in its existing space.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use rusqlite::Connection;

use super::connection::connect;
use super::errors::{OpenError, log_error};
use super::files::Files;
use super::folder::{Folder, SyncMode};
use super::keeper::{Erasing, Keeper, WriterTurn};
use super::life::SharedLife;
use super::page::PAGE_BYTES;
use super::schema;
use crate::limits::{
    CHECKPOINT_BYTES, DISK_FULL_COPY_RETRY, DISK_FULL_COPY_WAIT, FILES_CHECK_INTERVAL, KEEPER_READERS_WAIT, LOG_WAIT,
};
use crate::server::log::LogError;

pub struct Transactions {
    // Dropped before the connection that it works in parallel with.
    pub keeper: Keeper,
    turn: WriterTurn,
    pub life: SharedLife,
    files: Files,
    /// When the files were last found in their folder.
    files_checked: Instant,
    pub connection: Connection,
    database: PathBuf,
    sync: SyncMode,
    /// The bytes that were written since the keeper was last called.
    written: usize,
    folder: Arc<Folder>,
}

impl Transactions {
    /// Starts the keeper, which erases deleted messages.
    pub fn new(
        connection: Connection,
        folder: Arc<Folder>,
        database: PathBuf,
        sync: SyncMode,
        erasing: Erasing,
    ) -> Result<Self, OpenError> {
        let turn = WriterTurn::default();
        let life = SharedLife::default();
        let keeper = Keeper::start(&database, Arc::clone(&turn), Arc::clone(&life), erasing)?;
        let files = Files::of(&database).map_err(|fault| OpenError::Folder { path: database.clone(), fault })?;
        let files_checked = Instant::now();
        Ok(Self { keeper, turn, life, files, files_checked, connection, database, sync, written: 0, folder })
    }

    /// Makes commits durable as the operator requested.
    pub fn set_up(&self) -> rusqlite::Result<()> {
        let synchronous = match self.sync {
            SyncMode::Full => "FULL",
            SyncMode::Os => "NORMAL",
        };
        self.connection.pragma_update(None, "synchronous", synchronous)
    }

    /// Runs `act` in a transaction, which is rolled back on failure. `spare` is how many pages must be left for
    /// deletions after it.
    pub fn transact<T>(
        &mut self,
        spare: u64,
        act: impl FnOnce(&Connection) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        self.check()?;
        let turn = Arc::clone(&self.turn);
        let _turn = turn.lock();
        self.execute(schema::BEGIN)?;
        let result = act(&self.connection).and_then(|done| {
            self.reserve(spare)?;
            self.execute(schema::COMMIT).map(|()| done)
        });
        if result.is_err() {
            self.keeper.renew();
            self.undo();
        }
        result
    }

    /// The size of the log, in bytes, without the space that deletions left in it.
    pub fn used_bytes(&self) -> Result<u64, LogError> {
        Ok(self.bytes_of(schema::PAGE_COUNT)?.saturating_sub(self.free_bytes()?))
    }

    /// The space that deletions left in the database, in bytes.
    pub fn free_bytes(&self) -> Result<u64, LogError> {
        self.bytes_of(schema::FREE_PAGE_COUNT)
    }

    fn bytes_of(&self, pages: &str) -> Result<u64, LogError> {
        let count = || self.connection.prepare_cached(pages)?.query_row((), |row| row.get::<_, i64>(0));
        Ok(count().map_err(|error| log_error(&error))?.unsigned_abs() * PAGE_BYTES as u64)
    }

    /// Copies the whole write-ahead log into the database, and leaves it empty. Returns whether that was possible: a
    /// reader may prevent it. The keeper MUST NOT be needed any more.
    pub fn empty_log(&mut self) -> bool {
        self.keeper.stop();
        if self.life.ended().is_some() {
            return false;
        }
        let is_busy = self.connection.query_row(schema::CHECKPOINT_END, (), |row| row.get(0));
        is_busy.inspect_err(|error| self.life.copy_failed(&self.database, error)).is_ok_and(|is_busy: bool| !is_busy)
    }

    /// Copies the write-ahead log, so that it restarts in its existing space, for an operation that failed because the
    /// disk is full. Returns whether it does.
    pub fn restart_log(&mut self) -> bool {
        let turn = Arc::clone(&self.turn);
        let _turn = turn.lock();
        let deadline = Instant::now() + DISK_FULL_COPY_WAIT;
        let mut is_held_up = self.connection.busy_timeout(KEEPER_READERS_WAIT).is_err();
        loop {
            match self.connection.query_row(schema::CHECKPOINT_ALL, (), |row| row.get(0)) {
                // The keeper is copying, or a reader is active.
                Ok(true) if Instant::now() < deadline => thread::park_timeout(DISK_FULL_COPY_RETRY),
                Ok(is_busy) => {
                    is_held_up |= is_busy;
                    break;
                }
                Err(error) => {
                    self.life.copy_failed(&self.database, &error);
                    is_held_up = true;
                    break;
                }
            }
        }
        self.connection.busy_timeout(LOG_WAIT).is_ok() && !is_held_up
    }

    /// Records a commit that wrote these bytes in this many places, each of which writes a whole page, and calls the
    /// keeper in time.
    pub fn count_written(&mut self, bytes: usize, places: usize) {
        self.written += bytes + places * PAGE_BYTES;
        if self.written >= CHECKPOINT_BYTES {
            self.written = 0;
            self.keeper.call();
        }
    }

    /// Whether the log may be written: its life has not ended, and its files are in their folder.
    pub fn check(&mut self) -> Result<(), LogError> {
        self.life.check()?;
        if self.files_checked.elapsed() >= FILES_CHECK_INTERVAL {
            self.files.check().map_err(LogError::Unavailable)?;
            self.files_checked = Instant::now();
        }
        Ok(())
    }

    /// Extends the database's file to the length of the database after the transaction, plus some pages.
    fn reserve(&self, spare: u64) -> Result<(), LogError> {
        let count = || self.connection.prepare_cached(schema::PAGE_COUNT)?.query_row((), |row| row.get::<_, i64>(0));
        let pages = count().map_err(|error| log_error(&error))? as u64;
        self.folder.reserve(pages + spare).map_err(|fault| match fault.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG) => LogError::Full,
            _ => LogError::Unavailable(format!("{} can't grow: {fault}", self.database.display())),
        })
    }

    fn execute(&self, statement: &str) -> Result<(), LogError> {
        let run = || self.connection.prepare_cached(statement)?.execute(());
        run().map(drop).map_err(|error| {
            self.life.commit_failed(&self.database, &error);
            log_error(&error)
        })
    }

    /// Ends a failed transaction. SQLite may have done so itself; if it can't, only a new connection can.
    fn undo(&mut self) {
        if !self.connection.is_autocommit() && self.execute(schema::ROLLBACK).is_err() {
            match connect(&self.database) {
                Ok(connection) => self.connection = connection,
                Err(error) => log::error!("can't reopen the log: {error}"),
            }
            if let Err(error) = self.set_up() {
                log::error!("can't set up the log again: {}", log_error(&error));
            }
        }
    }
}

impl Drop for Transactions {
    /// Records that the log was closed cleanly. If that fails, it was not.
    fn drop(&mut self) {
        // No copy is running any more, and none starts.
        self.keeper.stop();
        if self.life.ended().is_some() {
            return;
        }
        if let Err(fate) = self.files.check() {
            return self.life.not_closed(fate);
        }
        let end = || {
            self.connection.pragma_update(None, "synchronous", "FULL")?;
            self.connection.execute(schema::END_LIFE, ())?;
            // Copies everything into the database: readers, which may still be open, could not do it.
            self.connection.query_row(schema::CHECKPOINT_END, (), |_| Ok(()))
        };
        if let Err(error) = end() {
            self.life.copy_failed(&self.database, &error);
            self.life.not_closed(log_error(&error).to_string());
        }
    }
}
