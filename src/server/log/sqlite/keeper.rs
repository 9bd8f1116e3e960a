//! The log keeper: copies the write-ahead log into the database, so that it does not grow for ever.
//!
//! Copying beside the writer holds up nobody, but as long as there is always more to copy, the write-ahead log never
//! begins anew. When it is larger than [`WAL_BYTES_MAX`], the keeper therefore holds the writer while it copies the rest:
//! what was written during the copy before, and one fsync of the database. Measured, a few milliseconds.

use std::fs;
use std::path::Path;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use rusqlite::{Connection, OpenFlags};

use super::errors::{OpenError, log_error};
use super::{schema, write_ahead};
use crate::limits::WAL_BYTES_MAX;
use crate::threads;

/// How many pages of 4 KiB may be left to copy while the writer is held, and how many passes to make for that.
const PAGES_LEFT: i64 = 256;
const PASSES_MAX: usize = 8;

pub struct Keeper {
    // Bound 1: a call while one waits says nothing new. `None` at the end.
    calls: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    pub fn start(database: &Path) -> Result<Self, OpenError> {
        let connection = schema::open_beside(database, OpenFlags::SQLITE_OPEN_READ_WRITE)
            .map_err(|error| OpenError::of(database.to_owned(), &error))?;
        let write_ahead = write_ahead::path(database);
        let (calls, waiting) = bounded(1);
        let thread = threads::spawn("log-keeper", move || run(&connection, &write_ahead, &waiting));
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

fn run(connection: &Connection, write_ahead: &Path, calls: &Receiver<()>) {
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
