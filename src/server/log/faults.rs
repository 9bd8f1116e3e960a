//! What is wrong with a log on a disk, for those who watch the server: what was found since the log was opened.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::server::counter::Counter;

/// Shared by all who use one open log, and by the server.
#[derive(Debug, Default)]
pub struct LogFaults {
    /// Reads that failed, also when they were tried again: the disk can't be read.
    pub failed_reads: Counter,
    /// Runs of messages that can't be read because of damage, and rooms whose posts are refused because of it. Each counts
    /// once; beyond [`DAMAGE_FINDINGS_MAX`](crate::limits::DAMAGE_FINDINGS_MAX), none does.
    pub damaged_places: Counter,
    was_open: AtomicBool,
}

impl LogFaults {
    /// Records that whoever used the log before did not close it.
    pub fn set_was_open(&self) {
        self.was_open.store(true, Ordering::Relaxed);
    }

    /// Whether the log was not closed before it was opened.
    pub fn was_open(&self) -> bool {
        self.was_open.load(Ordering::Relaxed)
    }
}
