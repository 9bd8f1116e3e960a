//! Since when a connection has been idle: it has no request in progress.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Since when a connection has been idle. Written by its thread, and read by the one that accepts connections.
#[derive(Debug, Default)]
pub struct Idle {
    /// In milliseconds since the first use of any, from 1; 0 while a request is in progress.
    since: AtomicU64,
}

fn now() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_millis() as u64 + 1
}

impl Idle {
    pub fn begin(&self) {
        self.since.store(now(), Ordering::Relaxed);
    }

    /// A request has begun to arrive.
    pub fn end(&self) {
        self.since.store(0, Ordering::Relaxed);
    }

    pub fn is_longer_than(&self, time: Duration) -> bool {
        let since = self.since.load(Ordering::Relaxed);
        since > 0 && u128::from(now().saturating_sub(since)) >= time.as_millis()
    }
}
