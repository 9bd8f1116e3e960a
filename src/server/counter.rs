//! Counters and histograms: written at any time by many threads, and read when somebody asks for the metrics.
//!
//! They only grow while a server runs. No order is guaranteed between two of them, so the reader may find one event in one
//! counter and not in another yet; once nothing happens any more, all of them agree.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A counter.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A counter for each word of a closed list, such as the reasons for which streams end.
#[derive(Debug)]
pub struct WordCounters {
    words: &'static [&'static str],
    counts: Box<[Counter]>,
}

impl WordCounters {
    pub fn new(words: &'static [&'static str]) -> Self {
        Self { words, counts: words.iter().map(|_| Counter::default()).collect() }
    }

    /// Counts one. The list is short, and this is not called for each message.
    pub fn count(&self, word: &str) {
        let place = self.words.iter().position(|other| *other == word);
        // Invariant: every word that is counted is in the list; a test of each list checks it.
        debug_assert!(place.is_some(), "{word} is not in the list");
        if let Some(counter) = place.and_then(|place| self.counts.get(place)) {
            counter.add(1);
        }
    }

    /// All words with their counts, also those that were never counted.
    pub fn get(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.words.iter().copied().zip(self.counts.iter().map(Counter::get))
    }
}

/// How often values fell below each of some bounds, and their sum.
#[derive(Debug)]
pub struct Histogram {
    /// In ascending order: a value counts for the first bound that is not less.
    bounds: &'static [u64],
    /// One for each bound, and one for the values above all of them.
    counts: Box<[Counter]>,
    sum: Counter,
}

/// A histogram at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    pub bounds: &'static [u64],
    /// How many values were at most each bound, and then how many there were.
    pub cumulative: Vec<u64>,
    pub sum: u64,
}

impl Histogram {
    pub fn new(bounds: &'static [u64]) -> Self {
        debug_assert!(bounds.is_sorted(), "bounds are in ascending order");
        Self { bounds, counts: (0..=bounds.len()).map(|_| Counter::default()).collect(), sum: Counter::default() }
    }

    pub fn observe(&self, value: u64) {
        let place = self.bounds.partition_point(|bound| *bound < value);
        self.counts[place].add(1);
        self.sum.add(value);
    }

    /// Observes a time, in nanoseconds.
    pub fn observe_time(&self, time: Duration) {
        self.observe(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    pub fn get(&self) -> Distribution {
        let sum = self.sum.get();
        let mut total = 0;
        let cumulative = self.counts.iter().map(|count| {
            total += count.get();
            total
        });
        Distribution { bounds: self.bounds, cumulative: cumulative.collect(), sum }
    }
}

impl Distribution {
    /// Nothing.
    pub fn empty(bounds: &'static [u64]) -> Self {
        Self { bounds, cumulative: vec![0; bounds.len() + 1], sum: 0 }
    }

    /// Adds another one with the same bounds.
    pub fn add(&mut self, other: &Self) {
        debug_assert_eq!(self.bounds, other.bounds, "histograms of one kind are added");
        self.cumulative.iter_mut().zip(&other.cumulative).for_each(|(count, more)| *count += more);
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

/// Nanoseconds.
const MICRO: u64 = 1_000;
const MILLI: u64 = 1_000 * MICRO;
const SECOND: u64 = 1_000 * MILLI;

/// The bounds for times, in nanoseconds, from a commit without fsync to a disk that hangs.
pub const TIME_BOUNDS: &[u64] = &[
    100 * MICRO,
    250 * MICRO,
    500 * MICRO,
    MILLI,
    2_500 * MICRO,
    5 * MILLI,
    10 * MILLI,
    25 * MILLI,
    50 * MILLI,
    100 * MILLI,
    250 * MILLI,
    500 * MILLI,
    SECOND,
    2_500 * MILLI,
    5 * SECOND,
    10 * SECOND,
];

/// The bounds for sizes of batches.
pub const SIZE_BOUNDS: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_for_each_bound_that_it_does_not_exceed() {
        let histogram = Histogram::new(&[1, 10, 100]);
        [0, 1, 2, 10, 11, 100, 101, 5_000].into_iter().for_each(|value| histogram.observe(value));
        let mut found = histogram.get();
        assert_eq!((found.cumulative.as_slice(), found.sum), ([2, 4, 6, 8].as_slice(), 5_225));
        found.add(&histogram.get());
        assert_eq!((found.cumulative.as_slice(), found.sum), ([4, 8, 12, 16].as_slice(), 10_450));
        assert_eq!(Distribution::empty(&[1]).cumulative, [0, 0]);
    }

    #[test]
    fn words_that_were_not_counted_are_zero() {
        let counters = WordCounters::new(&["a", "b", "c"]);
        ["b", "c", "c"].into_iter().for_each(|word| counters.count(word));
        assert_eq!(counters.get().collect::<Vec<_>>(), [("a", 0), ("b", 1), ("c", 2)]);
    }

    #[test]
    fn times_are_counted_in_nanoseconds() {
        let histogram = Histogram::new(TIME_BOUNDS);
        histogram.observe_time(Duration::from_micros(100));
        histogram.observe_time(Duration::MAX);
        let found = histogram.get();
        assert_eq!((found.cumulative[0], found.cumulative[TIME_BOUNDS.len()]), (1, 2));
    }
}
