//! What the log writer counts, and how long its commits take.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::counter::{Counter, Histogram, SIZE_BOUNDS, TIME_BOUNDS, WordCounters};
use super::log::{Appended, LOG_ERROR_WORDS, Outcome, Post};

/// What the log writer counts since the start of the server. Only its thread writes it.
#[derive(Debug)]
pub struct Commits {
    /// Messages and changes that were stored.
    pub messages: Counter,
    pub changes: Counter,
    /// The bytes that they added to the log, without their envelopes.
    pub bytes: Counter,
    /// Posts that had been stored before, and changes that changed nothing.
    pub repeated: Counter,
    /// Posts that were not stored, by the reason.
    pub rejected: WordCounters,
    /// How long each batch took, in nanoseconds, from its begin until it was durable and published.
    pub times: Histogram,
    /// How many posts each batch had.
    pub sizes: Histogram,
    /// Messages that retention has deleted.
    pub deleted: Counter,
    is_clock_doubted: AtomicBool,
}

impl Default for Commits {
    fn default() -> Self {
        Self {
            messages: Counter::default(),
            changes: Counter::default(),
            bytes: Counter::default(),
            repeated: Counter::default(),
            rejected: WordCounters::new(LOG_ERROR_WORDS),
            times: Histogram::new(TIME_BOUNDS),
            sizes: Histogram::new(SIZE_BOUNDS),
            deleted: Counter::default(),
            is_clock_doubted: AtomicBool::new(false),
        }
    }
}

impl Commits {
    /// A batch was committed within this time.
    pub fn committed(&self, time: Duration, posts: usize) {
        self.times.observe_time(time);
        self.sizes.observe(posts as u64);
    }

    /// Counts posts with their outcomes.
    pub fn count(&self, posts: &[Post], outcomes: &[Outcome]) {
        let (mut messages, mut changes, mut bytes, mut repeated) = (0, 0, 0, 0);
        for (post, outcome) in posts.iter().zip(outcomes) {
            match outcome {
                Ok(Appended::New(..)) => {
                    *if post.message().is_some() { &mut messages } else { &mut changes } += 1;
                    bytes += post.bytes() as u64;
                }
                Ok(Appended::Before(..)) => repeated += 1,
                Err(error) => self.rejected.count(error.word()),
            }
        }
        self.messages.add(messages);
        self.changes.add(changes);
        self.bytes.add(bytes);
        self.repeated.add(repeated);
    }

    /// Records whether the log trusts the machine's clock.
    pub fn set_clock_doubted(&self, is_doubted: bool) {
        self.is_clock_doubted.store(is_doubted, Ordering::Relaxed);
    }

    pub fn is_clock_doubted(&self) -> bool {
        self.is_clock_doubted.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{RoomId, Seq};
    use crate::server::log::LogError;
    use crate::server::log::conformance::{post_without_id, room};

    #[test]
    fn posts_are_counted_by_their_outcomes() {
        let commits = Commits::default();
        let posts: Vec<_> = ["one", "two", "three"].map(|body| post_without_id(&room("attic"), "ann", body)).into();
        let outcomes =
            [Ok(Appended::New(RoomId(1), Seq(1))), Ok(Appended::Before(RoomId(1), Seq(1))), Err(LogError::Full)];
        commits.count(&posts, &outcomes);
        let rejected: Vec<_> = commits.rejected.get().filter(|(_, count)| *count > 0).collect();
        assert_eq!((commits.messages.get(), commits.changes.get(), commits.repeated.get()), (1, 0, 1));
        assert_eq!((commits.bytes.get(), rejected), (posts[0].bytes() as u64, vec![("full", 1)]));
    }
}
