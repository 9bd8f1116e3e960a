//! A token bucket: a rate with bursts.

use std::time::Instant;

/// How often something may happen: `burst` times at once, and `rate` times a second in the long run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    pub burst: u32,
    pub rate: u32,
}

/// The bucket of one client, or of all.
#[derive(Debug)]
pub struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    /// A full bucket.
    pub fn new(rate: Rate, now: Instant) -> Self {
        Self { tokens: f64::from(rate.burst), filled: now }
    }

    /// Takes one token, if there is one. An attempt without a token costs nothing, so it does not delay the next token.
    pub fn take(&mut self, rate: Rate, now: Instant) -> bool {
        self.fill(rate, now);
        let has_token = self.tokens >= 1.0;
        if has_token {
            self.tokens -= 1.0;
        }
        has_token
    }

    /// Whether nothing is missing, so that a new bucket would be the same.
    pub fn is_full(&mut self, rate: Rate, now: Instant) -> bool {
        self.fill(rate, now);
        self.tokens >= f64::from(rate.burst)
    }

    fn fill(&mut self, rate: Rate, now: Instant) {
        let time = now.saturating_duration_since(self.filled);
        self.tokens = (self.tokens + time.as_secs_f64() * f64::from(rate.rate)).min(f64::from(rate.burst));
        self.filled = self.filled.max(now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const RATE: Rate = Rate { burst: 10, rate: 4 };

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
