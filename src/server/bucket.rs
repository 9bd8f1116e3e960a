//! A token bucket: a rate with bursts.

use std::time::{Duration, Instant};

/// How much may be taken: `burst` at once, and `per_second` in the long run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    pub burst: f64,
    pub per_second: f64,
}

/// The bucket of one client, or of all.
#[derive(Debug)]
pub struct Bucket {
    /// Negative after more was taken than there was.
    tokens: f64,
    filled: Instant,
}

/// The longest time that a bucket says to wait: a rate of 0 refills none.
const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

impl Rate {
    pub const fn new(burst: u32, per_second: u32) -> Self {
        Self { burst: burst as f64, per_second: per_second as f64 }
    }

    /// This much a second, and at once what comes in `seconds`.
    pub const fn over(per_second: f64, seconds: f64) -> Self {
        Self { burst: per_second * seconds, per_second }
    }
}

impl Bucket {
    /// A full bucket.
    pub fn new(rate: Rate, now: Instant) -> Self {
        Self { tokens: rate.burst, filled: now }
    }

    /// Takes one token, if there is one. An attempt without a token costs nothing, so it does not delay the next token.
    pub fn take(&mut self, rate: Rate, now: Instant) -> bool {
        self.take_many(rate, 1.0, now).is_ok()
    }

    /// The same for any number, or the time until there are enough. More than the burst is taken from a full bucket.
    pub fn take_many(&mut self, rate: Rate, count: f64, now: Instant) -> Result<(), Duration> {
        self.fill(rate, now);
        let needed = count.min(rate.burst);
        if self.tokens < needed {
            return Err(self.time_until(rate, needed));
        }
        self.tokens -= count;
        Ok(())
    }

    /// Takes any number, also tokens that are not there yet. Returns the time until they are.
    pub fn spend(&mut self, rate: Rate, count: f64, now: Instant) -> Duration {
        self.fill(rate, now);
        self.tokens -= count;
        self.time_until(rate, 0.0)
    }

    /// The time until there are that many.
    pub fn wait(&mut self, rate: Rate, count: f64, now: Instant) -> Duration {
        self.fill(rate, now);
        self.time_until(rate, count)
    }

    /// Whether nothing is missing, so that a new bucket would be the same.
    pub fn is_full(&mut self, rate: Rate, now: Instant) -> bool {
        self.fill(rate, now);
        self.tokens >= rate.burst
    }

    fn fill(&mut self, rate: Rate, now: Instant) {
        let time = now.saturating_duration_since(self.filled);
        self.tokens = (self.tokens + time.as_secs_f64() * rate.per_second).min(rate.burst);
        self.filled = self.filled.max(now);
    }

    fn time_until(&self, rate: Rate, tokens: f64) -> Duration {
        let missing = (tokens - self.tokens).max(0.0);
        Duration::try_from_secs_f64(missing / rate.per_second).map_or(WAIT_MAX, |time| time.min(WAIT_MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: Rate = Rate::new(10, 4);

    #[test]
    fn a_burst_is_followed_by_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(RATE, start);
        assert_eq!((0..100).filter(|_| bucket.take(RATE, start)).count(), 10);
        let second_later = start + Duration::from_secs(1);
        assert!(!bucket.is_full(RATE, second_later));
        assert_eq!((0..100).filter(|_| bucket.take(RATE, second_later)).count(), 4);
        assert!(bucket.is_full(RATE, start + Duration::from_secs(60)));
    }

    #[test]
    fn what_is_spent_beyond_the_burst_is_waited_for() {
        let (rate, start) = (Rate::over(10.0, 2.0), Instant::now());
        let mut bucket = Bucket::new(rate, start);
        assert_eq!(bucket.spend(rate, 20.0, start), Duration::ZERO);
        assert_eq!(bucket.take_many(rate, 5.0, start), Err(Duration::from_millis(500)));
        let later = start + Duration::from_millis(500);
        assert_eq!(bucket.take_many(rate, 5.0, later), Ok(()));
        assert_eq!(bucket.spend(rate, 100.0, later), Duration::from_secs(10));
        let much_later = later + Duration::from_secs(3600);
        assert_eq!(bucket.spend(rate, 21.0, much_later), Duration::from_millis(100));
    }

    #[test]
    fn more_than_the_burst_is_taken_from_a_full_bucket_only() {
        let (rate, start) = (Rate::new(10, 1), Instant::now());
        let mut bucket = Bucket::new(rate, start);
        assert_eq!(bucket.take_many(rate, 30.0, start), Ok(()));
        assert_eq!(bucket.take_many(rate, 30.0, start), Err(Duration::from_secs(30)));
        // A rate of 0 is not divided by, and an infinite one always has enough.
        let (none, all) = (Rate::new(0, 0), Rate::over(f64::INFINITY, 1.0));
        assert_eq!(Bucket::new(Rate::new(1, 0), start).spend(none, 1.0, start), WAIT_MAX);
        let mut bucket = Bucket::new(all, start);
        assert_eq!((bucket.spend(all, 1e9, start), bucket.take_many(all, 1e9, later(start))), (Duration::ZERO, Ok(())));
    }

    fn later(start: Instant) -> Instant {
        start + Duration::from_secs(1)
    }

    proptest! {
        #[test]
        fn no_more_than_the_burst_and_the_rate_get_through(steps in prop::collection::vec(0_u64..400, 1..300)) {
            let start = Instant::now();
            let (mut bucket, mut at, mut taken) = (Bucket::new(RATE, start), start, 0.0);
            for milliseconds in steps {
                at += Duration::from_millis(milliseconds);
                taken += f64::from(u8::from(bucket.take(RATE, at)));
                let most = 10.0 + at.duration_since(start).as_secs_f64() * 4.0;
                prop_assert!(taken <= most + 1e-6, "{taken} of {most}");
            }
        }
    }
}
