//! Where a reader of a room is, and whether it knows that there is more, for other threads.
//!
//! Both are in one place in memory, because the fan-out and the reader touch them one after the other for each delivery.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::names::Seq;

/// The position of a reader. Its thread moves it; other threads may see an older one.
#[derive(Debug)]
pub struct Position {
    next: AtomicU64,
    is_told: AtomicBool,
}

impl Position {
    pub fn new(next: Seq) -> Self {
        Self { next: AtomicU64::new(next.0), is_told: AtomicBool::new(false) }
    }

    /// The event that is read next.
    pub fn next(&self) -> Seq {
        Seq(self.next.load(Ordering::Relaxed))
    }

    pub fn move_to(&self, next: Seq) {
        self.next.store(next.0, Ordering::Relaxed);
    }

    /// There are new messages. `true` means that the caller must tell the reader, which has not been told since it last
    /// looked. Call it after the messages were made visible.
    pub fn must_tell(&self) -> bool {
        !self.is_told.swap(true, Ordering::AcqRel)
    }

    /// The reader is about to look for messages.
    pub fn looks(&self) {
        self.is_told.swap(false, Ordering::AcqRel);
    }
}
