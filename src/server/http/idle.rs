//! Since when a connection has been idle: it has no request in progress.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Since when a connection has been idle. Written by its thread, and read by the one that accepts connections.
#[derive(Debug)]
pub struct Idle {
    began: Instant,
    /// In milliseconds since the connection began, from 1; 0 while a request is in progress.
    since: AtomicU64,
}

impl Default for Idle {
    fn default() -> Self {
        Self { began: Instant::now(), since: AtomicU64::new(0) }
    }
}

impl Idle {
    pub fn begin(&self) {
        self.since.store(self.now(), Ordering::Relaxed);
    }

    /// A request has begun to arrive.
    pub fn end(&self) {
        self.since.store(0, Ordering::Relaxed);
    }

    pub fn is_longer_than(&self, time: Duration) -> bool {
        let since = self.since.load(Ordering::Relaxed);
        since > 0 && u128::from(self.now().saturating_sub(since)) >= time.as_millis()
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_millis() as u64 + 1
    }
}
