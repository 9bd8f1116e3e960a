//! Whether a clock is trusted, and the time while it is not.
//!
//! Time continues from the last trusted time with the machine's monotonic clock. A clock that disagrees with that is
//! trusted once it has been stable for some time.

use super::source::Reading;
use super::times::date;

/// How far a clock may be off, and how long it must be stable to be trusted after that; in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// How far ahead of the last seen time it may be at a start.
    pub start_ms: u64,
    /// How far off it may be otherwise, ahead or behind.
    pub step_ms: u64,
    /// How long it must be stable.
    pub confirm_ms: u64,
    /// If a log has seen only earlier times than this, all of them were wrong.
    pub earliest_ms: u64,
}

/// The time by a clock while that is trusted, and the log's own time otherwise.
#[derive(Debug)]
pub struct TrustedTime {
    pub tolerance: Tolerance,
    /// The trusted time; `None` before the first reading of a log that has seen none.
    pub seen_ms: Option<u64>,
    /// The last reading.
    pub last: Option<Reading>,
    /// Whether the clock was trusted in this life.
    pub is_settled: bool,
    /// `Some` while the clock is not trusted.
    pub doubt: Option<Doubt>,
}

/// A clock that is not trusted.
#[derive(Clone, Copy, Debug)]
pub struct Doubt {
    /// Its last reading.
    pub wall_ms: u64,
    /// How long it has been stable.
    pub held_ms: u64,
}

impl TrustedTime {
    pub fn new(tolerance: Tolerance, seen_ms: Option<u64>) -> Self {
        Self { tolerance, seen_ms, last: None, is_settled: false, doubt: None }
    }

    /// How long the clock must still be stable to be trusted, if it is not.
    pub fn left_ms(&self) -> Option<u64> {
        self.doubt.map(|doubt| self.tolerance.confirm_ms.saturating_sub(doubt.held_ms))
    }

    /// Takes a reading, and returns the trusted time.
    pub fn read(&mut self, reading: Reading) -> u64 {
        let Reading { wall_ms, passed_ms } = reading;
        let passed = self.last.map_or(0, |last| passed_ms.saturating_sub(last.passed_ms));
        self.last = Some(reading);
        let Some(seen_ms) = self.seen_ms else {
            (self.seen_ms, self.is_settled) = (Some(wall_ms), true);
            return wall_ms;
        };
        let expected_ms = seen_ms.saturating_add(passed);
        let Tolerance { start_ms, step_ms, confirm_ms, earliest_ms } = self.tolerance;
        let ahead_max = if self.is_settled { step_ms } else { start_ms };
        let is_ahead = wall_ms > expected_ms.saturating_add(ahead_max);
        let is_set_at_last = expected_ms < earliest_ms && wall_ms >= earliest_ms;
        let is_off = (is_ahead && !is_set_at_last) || wall_ms.saturating_add(step_ms) < expected_ms;
        self.doubt = is_off.then(|| {
            let doubt = self.doubt.unwrap_or(Doubt { wall_ms, held_ms: 0 });
            // Off by as much as before: it is stable. Another jump restarts the count.
            let kept = wall_ms.abs_diff(doubt.wall_ms.saturating_add(passed)) <= step_ms;
            Doubt { wall_ms, held_ms: if kept { doubt.held_ms.saturating_add(passed) } else { 0 } }
        });
        if self.doubt.is_some_and(|doubt| doubt.held_ms >= confirm_ms) {
            self.doubt = None;
            log::info!("the clock has been stable, and is trusted: {}", date(wall_ms));
        }
        let now_ms = if self.doubt.is_some() { expected_ms } else { wall_ms };
        self.is_settled |= self.doubt.is_none();
        self.seen_ms = Some(now_ms);
        now_ms
    }
}
