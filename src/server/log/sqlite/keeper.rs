//! The log keeper: copies the write-ahead log into the database, so that it does not grow for ever.
//!
//! Copying beside the writer holds up nobody, but as long as there is always more to copy, the write-ahead log never
//! begins anew. When it is larger than [`WAL_BYTES_MAX`], the keeper therefore takes the writer's turn and copies the rest:
//! what was written during the copy before, and one fsync of the database. Measured, a few milliseconds.
//!
//! The turn is a lock of our own. SQLite's own lock is free for microseconds only between two commits of a busy writer, and who
//! wants it looks again every few milliseconds: that took seconds, in which the write-ahead log grew to 500 MB.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags};

use super::errors::{OpenError, log_error};
use super::{schema, write_ahead};
use crate::limits::WAL_BYTES_MAX;
use crate::threads;

/// How many pages of 4 KiB may be left to copy while the writer is held, and how many passes to make for that.
const PAGES_LEFT: i64 = 256;
const PASSES_MAX: usize = 8;

/// Whoever has it may write: the writer for a transaction, or the keeper for the rest of a copy. Held during both, which no
/// other lock is; only these two take it, and no other lock under it.
pub type Turn = Arc<Mutex<()>>;

/// How long the keeper waits for readers while it has the turn.
const READERS_WAIT: Duration = Duration::from_millis(100);

pub struct Keeper {
    // Bound 1: a call while one waits says nothing new. `None` at the end.
    calls: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    pub fn start(database: &Path, turn: Turn) -> Result<Self, OpenError> {
        let connect = || {
            let connection = schema::open_beside(database, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            connection.busy_timeout(READERS_WAIT).map(|()| connection)
        };
        let connection = connect().map_err(|error| OpenError::of(database.to_owned(), &error))?;
        let write_ahead = write_ahead::path(database);
        let (calls, waiting) = bounded(1);
        let thread = threads::spawn("log-keeper", move || run(&connection, &write_ahead, &turn, &waiting));
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

fn run(connection: &Connection, write_ahead: &Path, turn: &Turn, calls: &Receiver<()>) {
    while calls.recv().is_ok() {
        let is_large = || fs::metadata(write_ahead).is_ok_and(|metadata| metadata.len() > WAL_BYTES_MAX);
        let mut outcome = checkpoint(connection, schema::CHECKPOINT);
        if is_large() {
            // What is written during a pass is less than what the pass copied: a few of them leave little to hold up the
            // writer for.
            for _ in 0..PASSES_MAX {
                match outcome {
                    Ok(left) if left > PAGES_LEFT => outcome = checkpoint(connection, schema::CHECKPOINT),
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

/// Returns how many pages of the write-ahead log are left to copy.
fn checkpoint(connection: &Connection, statement: &str) -> rusqlite::Result<i64> {
    connection.query_row(statement, (), |row| Ok(row.get::<_, i64>(1)? - row.get::<_, i64>(2)?))
}
