//! Gives memory back to the system after a peak.
//!
//! The allocator keeps freed memory between pieces that are still in use, for later requests: after a thousand streams
//! that had much to say, 140 MB of it. It gives that back when it is asked to.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::Mutex;

use super::deadlines::{Deadline, Deadlines};
use crate::limits::{TRIM_DELAY, TRIM_STREAMS_MIN};
use crate::memory;
use crate::threads::Spawner;

/// Counts streams that end, and asks the allocator some time after many did.
pub struct Trimmer {
    this: Weak<Self>,
    ended: AtomicUsize,
    deadlines: Deadlines,
    spawner: Spawner,
    // lock order: 1 (held to set the deadline). `Some` while one is set.
    due: Mutex<Option<Deadline>>,
}

impl Trimmer {
    pub fn new(deadlines: Deadlines, spawner: Spawner) -> Arc<Self> {
        let ended = AtomicUsize::new(0);
        Arc::new_cyclic(|this| Self { this: this.clone(), ended, deadlines, spawner, due: Mutex::default() })
    }

    /// A stream has ended. Does not block.
    pub fn stream_ended(&self) {
        if self.ended.fetch_add(1, Ordering::Relaxed) + 1 < TRIM_STREAMS_MIN {
            return;
        }
        let mut due = self.due.lock();
        if due.is_none() {
            let this = self.this.clone();
            let late = move || this.upgrade().iter().for_each(|this| this.start());
            *due = Some(self.deadlines.set(Instant::now() + TRIM_DELAY, late));
        }
    }

    /// On a thread of its own: it takes a millisecond for each ten megabytes.
    fn start(&self) {
        let passed = self.due.lock().take();
        drop(passed);
        self.ended.store(0, Ordering::Relaxed);
        // Without a thread, it is done after the next peak.
        if let Ok(thread) = self.spawner.prepare("trim".to_owned()) {
            thread.run(memory::give_back);
        }
    }
}
