//! The log keeper: copies the write-ahead log into the database, so that it does not grow without bound.
//!
//! Copying in parallel with the writer blocks no thread, but while there is always more to copy, the write-ahead log
//! never restarts. When it is larger than [`WAL_BYTES_MAX`], the keeper therefore takes the writer's turn and copies
//! the rest: the frames written during the previous copy, and one fsync of the database. In measurements this took a
//! few milliseconds.
//!
//! The first I/O error of a copy ends the log's life (`life.rs`). A program that keeps a read transaction open prevents
//! the write-ahead log from restarting. The writer then waits for it once, and not again until that program is done; a
//! write-ahead log that has grown until then is truncated.
//!
//! **Messages that retention deleted are erased.** Old frames of the write-ahead log stay in its file until they are
//! overwritten, so some time after a deletion ([`Retention::erase_after`](crate::server::log::Retention)) the keeper
//! restarts the log and overwrites everything after the first frame. That frame is a commit of the keeper's own: it
//! makes the log restart, and makes the writer drop its cache, which may have copies of deleted rows in unused bytes of
//! pages. (The database file never has: `vfs.rs`.) The file keeps its length, so erasing needs no space and later
//! commits still overwrite.
//!
//! The turn is a lock of our own. SQLite's own lock is free for only microseconds between two commits of a busy writer,
//! and a waiting thread checks it every few milliseconds: that took seconds, during which the write-ahead log grew to
//! 500 MB.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::connection::open_beside;
use super::deletions::Deletions;
use super::errors::{OpenError, log_error};
use super::life::SharedLife;
use super::{schema, write_ahead};
use crate::limits::{
    COPY_PAGES_LEFT_MAX, COPY_PASSES_MAX, KEEPER_BLOCKED_WARN_COUNT, KEEPER_READERS_RETRY, KEEPER_READERS_WAIT,
    WAL_BYTES_MAX,
};
use crate::threads;

/// The right to write: held by the writer for a transaction, or by the keeper for the rest of a copy. Unlike other
/// locks it is held during I/O; only these two take it, and no other lock under it.
pub type WriterTurn = Arc<Mutex<()>>;

pub struct Keeper {
    // Bound 2: one call of each kind; a second one of the same kind is redundant. `None` at the end.
    calls: Option<Sender<Call>>,
    /// Whether something was deleted that is not erased yet.
    deleted: Arc<AtomicBool>,
    renew: Arc<AtomicBool>,
    /// How often readers delayed the writer; for tests.
    #[cfg_attr(not(test), expect(dead_code))]
    waits: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

/// How deleted messages are erased.
pub struct Erasing {
    /// How long after their deletion.
    pub after: Duration,
    /// Made durable with it.
    pub deletions: Arc<Deletions>,
}

enum Call {
    Copy,
    Erase,
}

impl Keeper {
    /// Starts the keeper of an open database.
    pub fn start(database: &Path, turn: WriterTurn, life: SharedLife, erasing: Erasing) -> Result<Self, OpenError> {
        let connection = connect(database).map_err(|error| OpenError::of(database.to_owned(), &error))?;
        let log = write_ahead::open(database);
        let log = log.map_err(|fault| OpenError::Folder { path: database.to_owned(), fault })?;
        let (calls, waiting) = bounded(2);
        let (deleted, renew) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let waits = Arc::<AtomicU64>::default();
        let copier = Copier {
            connection,
            log,
            database: database.to_owned(),
            turn,
            life,
            renew: Arc::clone(&renew),
            deleted: Arc::clone(&deleted),
            erasing,
            erase_at: None,
            held_up: 0,
            waits: Arc::clone(&waits),
            failing: false,
        };
        let thread = threads::spawn("log-keeper", move || copier.run(&waiting));
        Ok(Self { calls: Some(calls), deleted, renew, waits, thread: Some(thread.map_err(OpenError::Thread)?) })
    }

    /// Signals that much was written. Does not block.
    pub fn call(&self) {
        self.send(Call::Copy);
    }

    /// Signals a deletion. Does not block.
    pub fn deleted(&self) {
        if !self.deleted.swap(true, Ordering::AcqRel) {
            self.send(Call::Erase);
        }
    }

    fn send(&self, call: Call) {
        if let Some(calls) = &self.calls {
            let _ = calls.try_send(call);
        }
    }

    /// Signals that a commit failed. The kernel reports a failed write once for each open file; the writer has handled
    /// it, and the keeper must not mistake it for one of its own later. So it reopens the files.
    pub fn renew(&self) {
        self.renew.store(true, Ordering::Release);
    }

    /// How often readers delayed the writer.
    #[cfg(test)]
    pub fn waits(&self) -> u64 {
        self.waits.load(Ordering::Relaxed)
    }

    /// Waits for the running copy, and starts no other.
    pub fn stop(&mut self) {
        self.calls = None;
        if let Some(thread) = self.thread.take() {
            // A panic has been reported already.
            let _ = thread.join();
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop();
    }
}

fn connect(database: &Path) -> rusqlite::Result<Connection> {
    open_beside(database, OpenFlags::SQLITE_OPEN_READ_WRITE)
}

struct Copier {
    connection: Connection,
    /// The write-ahead log's file. By its descriptor, since another file may get its name.
    log: File,
    database: PathBuf,
    turn: WriterTurn,
    life: SharedLife,
    renew: Arc<AtomicBool>,
    deleted: Arc<AtomicBool>,
    erasing: Erasing,
    /// When to erase deleted messages.
    erase_at: Option<Instant>,
    /// How often in succession a reader has prevented the restart of the write-ahead log.
    held_up: u32,
    waits: Arc<AtomicU64>,
    /// Whether the last pass failed, so that it is logged once when that begins, and once when it ends.
    failing: bool,
}

impl Copier {
    fn run(mut self, calls: &Receiver<Call>) {
        loop {
            // The keeper of an idle log is not woken, unless it is blocked or must erase.
            let retry = (self.held_up > 0).then(|| Instant::now() + KEEPER_READERS_RETRY);
            let call = match retry.into_iter().chain(self.erase_at).min() {
                None => calls.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => calls.recv_deadline(at),
            };
            if let Err(RecvTimeoutError::Disconnected) = call {
                return;
            }
            if self.life.ended().is_some() {
                (self.held_up, self.erase_at) = (0, None);
                continue;
            }
            if self.erase_at.is_none() && self.deleted.load(Ordering::Acquire) {
                self.erase_at = Some(Instant::now() + self.erasing.after);
            }
            let erase = self.erase_at.is_some_and(|at| at <= Instant::now());
            if erase || self.held_up > 0 || matches!(call, Ok(Call::Copy)) {
                self.act(erase);
            }
        }
    }

    fn act(&mut self, erase: bool) {
        let result = self.renew().and_then(|()| self.copy(erase));
        if let Err(error) = &result {
            self.life.copy_failed(&self.database, error);
        }
        if self.life.ended().is_some() {
            return;
        }
        match &result {
            // The log continues without it; the next call tries again.
            Err(error) if !self.failing => log::warn!("the write-ahead log can't be copied: {}", log_error(error)),
            Ok(()) if self.failing => log::info!("copying the write-ahead log works again"),
            _ => {}
        }
        self.failing = result.is_err();
        if erase && self.erase_at.is_some_and(|at| at <= Instant::now()) {
            self.erase_at = Some(Instant::now() + KEEPER_READERS_RETRY);
        }
    }

    fn renew(&mut self) -> rusqlite::Result<()> {
        if self.renew.load(Ordering::Acquire) {
            self.connection = connect(&self.database)?;
            self.renew.store(false, Ordering::Release);
        }
        Ok(())
    }

    fn copy(&mut self, erase: bool) -> rusqlite::Result<()> {
        let mut pages = checkpoint(&self.connection, schema::CHECKPOINT)?;
        if !erase && pages.in_log * write_ahead::FRAME_BYTES <= WAL_BYTES_MAX {
            return Ok(());
        }
        // Less is written during a pass than the pass copies: after a few passes little is left to block the writer
        // for, unless the writer is faster.
        for _ in 0..COPY_PASSES_MAX {
            let bytes = pages.in_log * write_ahead::FRAME_BYTES;
            if self.held_up > 0 || pages.left <= COPY_PAGES_LEFT_MAX || bytes >= WAL_BYTES_MAX / 4 * 5 {
                break;
            }
            pages = checkpoint(&self.connection, schema::CHECKPOINT)?;
        }
        let wait = if self.held_up == 0 { KEEPER_READERS_WAIT } else { Duration::ZERO };
        self.connection.busy_timeout(wait)?;
        let bytes = write_ahead::bytes(&self.database);
        let turn = Arc::clone(&self.turn);
        let turn = turn.lock();
        let pages = checkpoint(&self.connection, schema::CHECKPOINT_ALL)?;
        let is_erased = if !pages.busy && (erase || bytes > 2 * WAL_BYTES_MAX) {
            // Later deletions are erased the next time.
            self.deleted.store(false, Ordering::Release);
            self.erase(pages.in_log)?
        } else {
            false
        };
        drop(turn);
        if is_erased {
            self.erase_at = None;
            if let Err(error) = self.erasing.deletions.sync() {
                log::warn!("the file of deletions can't be synced: {error}");
            }
            // The writer's next commit syncs the same file, and gets an error itself.
            if let Err(error) = self.log.sync_data() {
                log::warn!("the write-ahead log can't be synced: {error}");
            }
        }
        self.log_blocked(pages.busy || (erase && !is_erased), bytes);
        Ok(())
    }

    /// Erases the contents of the write-ahead log, which are completely copied, while holding the writer's turn.
    /// `in_log` is the number of its frames. Returns whether that was possible now.
    fn erase(&mut self, in_log: u64) -> rusqlite::Result<bool> {
        if let Err(error) = self.connection.execute(schema::COUNT_ERASURE, ()) {
            log::debug!("the write-ahead log can't be restarted: {error}");
            self.renew.store(true, Ordering::Release);
            return Ok(false);
        }
        let version = data_version(&self.connection)?;
        let pages = checkpoint(&self.connection, schema::CHECKPOINT)?;
        let has_begun_anew = in_log == 0 || pages.in_log <= in_log;
        if !has_begun_anew || pages.in_log == 0 {
            return Ok(false);
        }
        // Another program must not write now, nor have written since the frames were counted.
        let Ok(transaction) = self.connection.transaction_with_behavior(TransactionBehavior::Immediate) else {
            return Ok(false);
        };
        if data_version(&transaction)? != version {
            return Ok(false);
        }
        let erased = write_ahead::erase_after(&self.log, pages.in_log);
        transaction.rollback()?;
        if let Err(error) = &erased {
            log::debug!("the write-ahead log can't be erased: {error}");
        }
        Ok(erased.is_ok())
    }

    /// Records whether a reader blocked it.
    fn log_blocked(&mut self, held_up: bool, bytes: u64) {
        if !held_up {
            if self.held_up >= KEEPER_BLOCKED_WARN_COUNT {
                log::info!("the write-ahead log is copied again, and its space is released");
            }
            self.held_up = 0;
            return;
        }
        if self.held_up == 0 {
            self.waits.fetch_add(1, Ordering::Relaxed);
        }
        self.held_up = self.held_up.saturating_add(1);
        if self.held_up == KEEPER_BLOCKED_WARN_COUNT {
            log::warn!(
                "another program keeps reading {}, so the write-ahead log grows ({} MB now): end that program (fuser lists \
                 the programs that have the file open)",
                self.database.display(),
                bytes / 1_000_000
            );
        }
    }
}

/// The result of a copy, in pages.
#[derive(Clone, Copy)]
struct Pages {
    /// Whether a reader prevented its completion.
    busy: bool,
    /// In the write-ahead log since its restart. Its file may be longer.
    in_log: u64,
    /// Of these, left to copy.
    left: u64,
}

/// A number that changes with each commit of another connection.
fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "data_version", |row| row.get(0))
}

fn checkpoint(connection: &Connection, statement: &str) -> rusqlite::Result<Pages> {
    connection.query_row(statement, (), |row| {
        // Both are -1 if there is no write-ahead log.
        let number = |column| row.get::<_, i64>(column).map(|number| u64::try_from(number).unwrap_or(0));
        let (in_log, copied) = (number(1)?, number(2)?);
        Ok(Pages { busy: row.get(0)?, in_log, left: in_log.saturating_sub(copied) })
    })
}
