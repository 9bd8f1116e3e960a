//! The log keeper: copies the write-ahead log into the database, so that it does not grow for ever.
//!
//! Copying beside the writer holds up nobody, but as long as there is always more to copy, the write-ahead log never
//! begins anew. When it is larger than [`WAL_BYTES_MAX`], the keeper therefore takes the writer's turn and copies the rest:
//! what was written during the copy before, and one fsync of the database. Measured, a few milliseconds.
//!
//! The first I/O error of a copy ends the log's life (`life.rs`). A program that keeps a read transaction open prevents the
//! write-ahead log from beginning anew. The writer then waits for it once, and not again until that program is done; a
//! write-ahead log that has grown meanwhile is truncated.
//!
//! The turn is a lock of our own. SQLite's own lock is free for microseconds only between two commits of a busy writer, and who
//! wants it looks again every few milliseconds: that took seconds, in which the write-ahead log grew to 500 MB.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags};

use super::errors::{OpenError, log_error};
use super::life::SharedLife;
use super::{schema, write_ahead};
use crate::limits::WAL_BYTES_MAX;
use crate::threads;

/// The size of the write-ahead log's pages, with their headers.
const PAGE_BYTES: u64 = 4096 + 24;

/// How many pages may be left to copy while the writer is held, and how many passes to make for that, as long as it does not
/// outrun the keeper.
const PAGES_LEFT: u64 = 256;
const PASSES_MAX: usize = 8;

/// Whoever has it may write: the writer for a transaction, or the keeper for the rest of a copy. Held during both, which no
/// other lock is; only these two take it, and no other lock under it.
pub type WriterTurn = Arc<Mutex<()>>;

/// How long the keeper waits for readers while it has the turn.
const READERS_WAIT: Duration = Duration::from_millis(100);

/// How often the keeper looks whether a reader that held it up has gone, and how often in succession it is held up before
/// it warns: the server's own reads take milliseconds.
const READERS_RETRY: Duration = Duration::from_secs(1);
const HELD_UP_WARN: u32 = 3;

pub struct Keeper {
    // Bound 1: a call while one waits says nothing new. `None` at the end.
    calls: Option<Sender<()>>,
    renew: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    pub fn start(database: &Path, turn: WriterTurn, life: SharedLife) -> Result<Self, OpenError> {
        let connection = connect(database).map_err(|error| OpenError::of(database.to_owned(), &error))?;
        let (calls, waiting) = bounded(1);
        let renew = Arc::new(AtomicBool::new(false));
        let copier =
            Copier { connection, database: database.to_owned(), turn, life, renew: Arc::clone(&renew), held_up: 0 };
        let thread = threads::spawn("log-keeper", move || copier.run(&waiting));
        Ok(Self { calls: Some(calls), renew, thread: Some(thread.map_err(OpenError::Thread)?) })
    }

    /// Says that much was written. Does not block.
    pub fn call(&self) {
        if let Some(calls) = &self.calls {
            let _ = calls.try_send(());
        }
    }

    /// Says that a commit failed. The kernel reports a failed write once for each open file; the writer has dealt with it,
    /// and the keeper must not take it for one of its own later. So it opens the files anew.
    pub fn renew(&self) {
        self.renew.store(true, Ordering::Release);
    }
}

impl Keeper {
    /// Waits for the copy that is under way, and makes no other.
    pub fn stop(&mut self) {
        self.calls = None;
        if let Some(thread) = self.thread.take() {
            // One that panicked has said so.
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
    schema::open_beside(database, OpenFlags::SQLITE_OPEN_READ_WRITE)
}

struct Copier {
    connection: Connection,
    database: PathBuf,
    turn: WriterTurn,
    life: SharedLife,
    renew: Arc<AtomicBool>,
    /// How often in succession a reader has kept the write-ahead log from beginning anew.
    held_up: u32,
}

impl Copier {
    fn run(mut self, calls: &Receiver<()>) {
        loop {
            // Nothing wakes the keeper of a log that nobody writes to, unless it is held up.
            let call = match self.held_up {
                0 => calls.recv().map_err(|_| RecvTimeoutError::Disconnected),
                _ => calls.recv_timeout(READERS_RETRY),
            };
            match call {
                Err(RecvTimeoutError::Disconnected) => return,
                _ if self.life.ended().is_some() => self.held_up = 0,
                _ => self.act(),
            }
        }
    }

    fn act(&mut self) {
        if let Err(error) = self.renew().and_then(|()| self.copy()) {
            self.life.copy_failed(&self.database, &error);
            if self.life.ended().is_none() {
                // The log goes on without; the next call tries again.
                log::warn!("the write-ahead log can't be copied: {}", log_error(&error));
            }
        }
    }

    fn renew(&mut self) -> rusqlite::Result<()> {
        if self.renew.load(Ordering::Acquire) {
            self.connection = connect(&self.database)?;
            self.renew.store(false, Ordering::Release);
        }
        Ok(())
    }

    fn copy(&mut self) -> rusqlite::Result<()> {
        let mut pages = checkpoint(&self.connection, schema::CHECKPOINT)?;
        if pages.in_log * PAGE_BYTES <= WAL_BYTES_MAX {
            return Ok(());
        }
        // What is written during a pass is less than what the pass copied: a few of them leave little to hold up the
        // writer for, unless it is the faster one.
        for _ in 0..PASSES_MAX {
            if self.held_up > 0 || pages.left <= PAGES_LEFT || pages.in_log * PAGE_BYTES >= WAL_BYTES_MAX / 4 * 5 {
                break;
            }
            pages = checkpoint(&self.connection, schema::CHECKPOINT)?;
        }
        let wait = if self.held_up == 0 { READERS_WAIT } else { Duration::ZERO };
        self.connection.busy_timeout(wait)?;
        let bytes = write_ahead::bytes(&self.database);
        let statement = if bytes > 2 * WAL_BYTES_MAX { schema::CHECKPOINT_END } else { schema::CHECKPOINT_ALL };
        let turn = self.turn.lock();
        let outcome = checkpoint(&self.connection, statement);
        drop(turn);
        self.note(outcome?.busy, bytes);
        Ok(())
    }

    /// Notes whether a reader held it up.
    fn note(&mut self, held_up: bool, bytes: u64) {
        if !held_up {
            if self.held_up >= HELD_UP_WARN {
                log::info!("the write-ahead log is copied again, and its space is given back");
            }
            self.held_up = 0;
            return;
        }
        self.held_up = self.held_up.saturating_add(1);
        if self.held_up == HELD_UP_WARN {
            log::warn!(
                "another program keeps reading {}, so the write-ahead log grows ({} MB now): end that program (fuser lists \
                 the programs that have the file open)",
                self.database.display(),
                bytes / 1_000_000
            );
        }
    }
}

/// What a copy finds, in pages.
#[derive(Clone, Copy)]
struct Pages {
    /// Whether a reader kept it from its end.
    busy: bool,
    /// In the write-ahead log since it began anew. Its file may be longer than that.
    in_log: u64,
    /// Of these, left to copy.
    left: u64,
}

fn checkpoint(connection: &Connection, statement: &str) -> rusqlite::Result<Pages> {
    connection.query_row(statement, (), |row| {
        // Both are -1 where there is no write-ahead log.
        let number = |column| row.get::<_, i64>(column).map(|number| u64::try_from(number).unwrap_or(0));
        let (in_log, copied) = (number(1)?, number(2)?);
        Ok(Pages { busy: row.get(0)?, in_log, left: in_log.saturating_sub(copied) })
    })
}
