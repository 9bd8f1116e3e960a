//! The log keeper: copies the write-ahead log into the database, so that it does not grow for ever.
//!
//! Copying beside the writer holds up nobody, but as long as there is always more to copy, the write-ahead log never
//! begins anew. When it is larger than [`WAL_BYTES_MAX`], the keeper therefore takes the writer's turn and copies the rest:
//! what was written during the copy before, and one fsync of the database. Measured, a few milliseconds.
//!
//! The turn is a lock of our own. SQLite's own lock is free for microseconds only between two commits of a busy writer, and who
//! wants it looks again every few milliseconds: that took seconds, in which the write-ahead log grew to 500 MB.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags};

use super::errors::{OpenError, log_error};
use super::schema;
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

pub struct Keeper {
    // Bound 1: a call while one waits says nothing new. `None` at the end.
    calls: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    pub fn start(database: &Path, turn: WriterTurn) -> Result<Self, OpenError> {
        let connect = || {
            let connection = schema::open_beside(database, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            connection.busy_timeout(READERS_WAIT).map(|()| connection)
        };
        let connection = connect().map_err(|error| OpenError::of(database.to_owned(), &error))?;
        let (calls, waiting) = bounded(1);
        let thread = threads::spawn("log-keeper", move || run(&connection, &turn, &waiting));
        Ok(Self { calls: Some(calls), thread: Some(thread.map_err(OpenError::Thread)?) })
    }

    /// Says that much was written. Does not block.
    pub fn call(&self) {
        if let Some(calls) = &self.calls {
            let _ = calls.try_send(());
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.calls = None;
        if let Some(thread) = self.thread.take() {
            // One that panicked has said so.
            let _ = thread.join();
        }
    }
}

fn run(connection: &Connection, turn: &WriterTurn, calls: &Receiver<()>) {
    while calls.recv().is_ok() {
        let mut outcome = checkpoint(connection, schema::CHECKPOINT);
        if outcome.as_ref().is_ok_and(|pages| pages.in_log * PAGE_BYTES > WAL_BYTES_MAX) {
            // What is written during a pass is less than what the pass copied: a few of them leave little to hold up the
            // writer for, unless it is the faster one.
            for _ in 0..PASSES_MAX {
                match outcome {
                    Ok(pages) if pages.left > PAGES_LEFT && pages.in_log * PAGE_BYTES < WAL_BYTES_MAX / 4 * 5 => {
                        outcome = checkpoint(connection, schema::CHECKPOINT);
                    }
                    _ => break,
                }
            }
            let _turn = turn.lock();
            outcome = outcome.and_then(|_| checkpoint(connection, schema::CHECKPOINT_ALL));
        }
        if let Err(error) = outcome {
            // The log goes on without; the next call tries again.
            log::warn!("the write-ahead log can't be copied: {}", log_error(&error));
        }
    }
}

/// What a copy finds, in pages.
#[derive(Clone, Copy)]
struct Pages {
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
        Ok(Pages { in_log, left: in_log.saturating_sub(copied) })
    })
}
