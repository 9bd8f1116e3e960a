//! How long to wait before the next attempt to connect.

use std::time::Duration;

use super::limits::{BACKOFF_FIRST, BACKOFF_MAX};

/// Growing pauses, each with jitter so that the clients of a restarted server don't all reconnect at once.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
    random: fastrand::Rng,
}

impl Backoff {
    pub fn new() -> Self {
        Self::with_random(fastrand::Rng::new())
    }

    /// Takes the source of jitter, so that tests get the same pauses each time.
    pub fn with_random(random: fastrand::Rng) -> Self {
        Self { next: BACKOFF_FIRST, random }
    }

    /// The next pause: 0.2 s, doubled each time up to 10 s, and then anything from half to one and a half of that.
    pub fn pause(&mut self) -> Duration {
        let base = self.next;
        self.next = (base * 2).min(BACKOFF_MAX);
        base.mul_f64(0.5 + self.random.f64())
    }

    /// Starts over, after a connection that lasted.
    pub fn reset(&mut self) {
        self.next = BACKOFF_FIRST;
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_within_their_bounds_until_the_reset() {
        let mut backoff = Backoff::with_random(fastrand::Rng::with_seed(7));
        let mut base = BACKOFF_FIRST;
        for _ in 0..100 {
            let pause = backoff.pause();
            assert!(pause >= base / 2 && pause <= base * 3 / 2, "{pause:?} for {base:?}");
            base = (base * 2).min(BACKOFF_MAX);
        }
        backoff.reset();
        assert!(backoff.pause() <= BACKOFF_FIRST * 3 / 2);
    }
}
