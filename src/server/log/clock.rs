//! The log's time: the machine's clock, while that can be trusted.
//!
//! Retention by age permanently deletes messages that are old by the clock, and a message keeps the time at which it
//! was stored. So a clock that jumps is not trusted at once. The log stores the last time that it saw. From there, time
//! continues with the machine's monotonic clock, which can't be set. The clock is trusted while it agrees with that, or
//! after it has been stable for some time, or with `--trust-clock`.
//!
//! Times of messages and ages are decided separately. A server that was off for months has the right time at once, but
//! does not delete most of its log until the clock is confirmed.

mod times;
mod source;
mod trust;

use std::time::{Duration, SystemTime};

pub use self::source::{Machine, TimeSource};
pub use self::times::{at, date, millis};
use self::times::{length, ms};
use self::trust::{Doubt, Tolerance, TrustedTime};
use crate::limits::{
    CLOCK_CONFIRM_AGES, CLOCK_CONFIRM_TIMES, CLOCK_EARLIEST_MS, CLOCK_OFF_MAX, CLOCK_STEP_MAX, CLOCK_WARN_INTERVAL,
};

/// The state of a clock that is stored between two lives of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockState {
    /// The latest time that a message could get; 0 if none was stored.
    pub time_ms: u64,
    /// The latest time by which ages were determined; 0 if none was stored.
    pub age_ms: u64,
    /// While ages are not determined by the clock: the last reading of the clock, and how long it has been stable. 0
    /// otherwise.
    pub doubted_ms: u64,
    pub held_ms: u64,
    /// Not stored by any life: the time of the newest message.
    pub by_messages: bool,
}

/// The log's time.
pub struct Clock {
    source: Box<dyn TimeSource>,
    times: TrustedTime,
    /// `None` if nothing is deleted by age; then the times of messages are used.
    ages: Option<TrustedTime>,
    warned: Option<u64>,
}

impl Clock {
    /// The clock of a log that kept this state, and deletes messages of this age. `trusts` trusts the clock as it is.
    pub fn new(source: Box<dyn TimeSource>, state: ClockState, age_max: Option<Duration>, trusts: bool) -> Self {
        let state = if state.by_messages { state.without_dates_ahead(source.read().wall_ms) } else { state };
        let seen = |seen_ms: u64| Some(seen_ms).filter(|&seen_ms| seen_ms > 0 && !trusts);
        let times = Tolerance {
            start_ms: ms(CLOCK_OFF_MAX),
            step_ms: ms(CLOCK_STEP_MAX),
            confirm_ms: ms(CLOCK_CONFIRM_TIMES),
            earliest_ms: CLOCK_EARLIEST_MS,
        };
        let ages = age_max.map(|age_max| {
            // A jump by a quarter of the age deletes at most about a quarter of the log.
            let step_ms = ms(age_max / 4);
            let confirm_ms = ms(CLOCK_CONFIRM_AGES.min(age_max / 2));
            // No exception for a log that has only seen the time of a clock that was never set: messages stored
            // meanwhile are not deleted at once when the clock is set.
            let tolerance = Tolerance { start_ms: step_ms, step_ms, confirm_ms, earliest_ms: 0 };
            let mut ages = TrustedTime::new(tolerance, seen(state.age_ms));
            ages.doubt = (state.doubted_ms > 0 && !trusts)
                .then_some(Doubt { wall_ms: state.doubted_ms, held_ms: state.held_ms });
            ages
        });
        Self { source, times: TrustedTime::new(times, seen(state.time_ms)), ages, warned: None }
    }

    /// The time of a message that is stored now.
    pub fn time(&mut self) -> SystemTime {
        let reading = self.source.read();
        at(self.times.read(reading))
    }

    /// The time for determining ages now.
    pub fn age_time(&mut self) -> SystemTime {
        let reading = self.source.read();
        let time_ms = self.times.read(reading);
        at(self.ages.as_mut().map_or(time_ms, |ages| ages.read(reading)))
    }

    /// The state to store for the next life.
    pub fn state(&self) -> ClockState {
        let ages = self.ages.as_ref().unwrap_or(&self.times);
        let doubt = ages.doubt.filter(|_| self.ages.is_some()).unwrap_or(Doubt { wall_ms: 0, held_ms: 0 });
        ClockState {
            time_ms: self.times.seen_ms.unwrap_or(0),
            age_ms: ages.seen_ms.unwrap_or(0),
            doubted_ms: doubt.wall_ms,
            held_ms: doubt.held_ms,
            by_messages: false,
        }
    }

    /// Whether the clock is certain enough to decide that a message's date lies in the future.
    pub fn is_trusted(&self) -> bool {
        let is_trusted = |clock: &TrustedTime| clock.is_settled && clock.doubt.is_none();
        let is_set = self.times.last.is_some_and(|reading| reading.wall_ms >= CLOCK_EARLIEST_MS);
        is_set && is_trusted(&self.times) && self.ages.as_ref().is_none_or(is_trusted)
    }

    /// Whether the log continues its own time because the clock disagrees with it, or the clock can't be right.
    pub fn is_doubted(&self) -> bool {
        let is_unset = self.times.last.is_some_and(|reading| reading.wall_ms < CLOCK_EARLIEST_MS);
        is_unset || self.times.doubt.is_some() || self.ages.as_ref().is_some_and(|ages| ages.doubt.is_some())
    }

    /// The warning about a clock that is not trusted, or can't be right: when that begins, and then at intervals.
    pub fn warning(&mut self) -> Option<String> {
        let reading = self.times.last?;
        let ages = self.ages.as_ref().filter(|ages| ages.doubt.is_some());
        let doubted = if self.times.doubt.is_some() { Some(&self.times) } else { ages };
        let is_due = self.warned.is_none_or(|at| reading.passed_ms.saturating_sub(at) >= ms(CLOCK_WARN_INTERVAL));
        let Some(doubted) = doubted else {
            let is_unset = reading.wall_ms < CLOCK_EARLIEST_MS;
            let warns = is_unset && is_due;
            self.warned = if warns { Some(reading.passed_ms) } else { self.warned.filter(|_| is_unset) };
            return warns.then(|| {
                let date = date(reading.wall_ms);
                format!("the clock shows {date}, which can't be right: messages get that date until the clock is set")
            });
        };
        // A difference that is over soon needs no warning.
        if !is_due || doubted.tolerance.confirm_ms < 60_000 {
            return None;
        }
        self.warned = Some(reading.passed_ms);
        let seen_ms = doubted.seen_ms.unwrap_or(0);
        let (off_ms, direction) = match reading.wall_ms.checked_sub(seen_ms) {
            Some(off_ms) => (off_ms, "ahead of"),
            None => (seen_ms - reading.wall_ms, "behind"),
        };
        let mut until = Vec::new();
        if let Some(left) = self.times.left_ms() {
            until.push(format!("messages are dated with the log's own time for another {}", length(left)));
        }
        if let Some(left) = ages.and_then(TrustedTime::left_ms) {
            until.push(format!("deletion by age is suspended for another {}", length(left)));
        }
        Some(format!(
            "the clock shows {}, which is {} {direction} the log's own time ({}): {}, unless the clock is set \
             right; if the clock is right, start once with --trust-clock",
            date(reading.wall_ms),
            length(off_ms),
            date(seen_ms),
            until.join(", and "),
        ))
    }
}

impl ClockState {
    /// The time of an earlier version's log, at a start with this clock. Its newest message may have been dated by a
    /// clock that was years ahead; by that date, all others would be old.
    fn without_dates_ahead(self, wall_ms: u64) -> Self {
        let is_ahead = self.time_ms > wall_ms.saturating_add(ms(CLOCK_STEP_MAX));
        if !is_ahead {
            return self;
        }
        // A clock that can't be right does not help to judge the messages. Whichever is wrong, the earlier time deletes
        // less.
        let time_ms = if wall_ms >= CLOCK_EARLIEST_MS { wall_ms } else { self.time_ms };
        Self { time_ms, age_ms: wall_ms.max(1), ..self }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::source::Reading;
    use super::*;

    pub const MINUTE: u64 = 60_000;
    pub const HOUR: u64 = 60 * MINUTE;
    pub const DAY: u64 = 24 * HOUR;
    pub const YEAR: u64 = 365 * DAY;
    pub const NOW: u64 = 56 * YEAR;

    /// A machine whose clocks a test sets.
    #[derive(Clone, Default)]
    pub struct Fake(Arc<(AtomicU64, AtomicU64)>);

    impl Fake {
        pub fn set(&self, wall_ms: u64) {
            self.0.0.store(wall_ms, Ordering::SeqCst);
        }

        pub fn pass(&self, passed_ms: u64) {
            self.0.0.fetch_add(passed_ms, Ordering::SeqCst);
            self.0.1.fetch_add(passed_ms, Ordering::SeqCst);
        }
    }

    impl TimeSource for Fake {
        fn read(&self) -> Reading {
            Reading { wall_ms: self.0.0.load(Ordering::SeqCst), passed_ms: self.0.1.load(Ordering::SeqCst) }
        }
    }

    struct World {
        fake: Fake,
        clock: Clock,
    }

    impl World {
        /// A start with this clock, of a log that saw `NOW` last and keeps messages for 90 days.
        fn start(wall_ms: u64) -> Self {
            Self::resume(wall_ms, ClockState { time_ms: NOW, age_ms: NOW, ..ClockState::default() }, false)
        }

        fn resume(wall_ms: u64, state: ClockState, trusts: bool) -> Self {
            let fake = Fake::default();
            fake.set(wall_ms);
            let age_max = Some(Duration::from_millis(90 * DAY));
            let clock = Clock::new(Box::new(fake.clone()), state, age_max, trusts);
            Self { fake, clock }
        }

        /// The time of messages and that of ages after this duration, which passes in steps of a minute.
        fn after(&mut self, passed_ms: u64) -> (u64, u64) {
            for _ in 0..passed_ms / MINUTE {
                self.fake.pass(MINUTE);
                self.clock.age_time();
            }
            (millis(self.clock.time()), millis(self.clock.age_time()))
        }
    }

    /// A server that started with its clock ten years ahead deleted all messages, without a warning.
    #[test]
    fn a_clock_years_ahead_is_not_trusted_at_once() {
        let mut world = World::start(NOW + 10 * YEAR);
        assert_eq!(world.after(0), (NOW, NOW));
        let warning = world.clock.warning().expect("the operator is warned");
        assert!(warning.contains("--trust-clock") && warning.contains("ahead of"), "{warning}");
        assert_eq!(world.clock.warning(), None, "the warning comes once");
        assert_eq!(world.after(59 * MINUTE), (NOW + 59 * MINUTE, NOW + 59 * MINUTE));
        // The clock was set right.
        world.fake.set(NOW + HOUR);
        assert_eq!(world.after(0), (NOW + HOUR, NOW + HOUR));
        assert_eq!(world.clock.warning(), None);
    }

    #[test]
    fn a_clock_that_stays_stable_is_trusted() {
        let mut world = World::start(NOW + 10 * YEAR);
        world.after(0);
        assert_eq!(world.after(HOUR), (NOW + 10 * YEAR + HOUR, NOW + HOUR), "the times of messages first");
        assert!(world.clock.warning().is_some());
        // A restart does not restart the count.
        let state = world.clock.state();
        let mut world = World::resume(NOW + 10 * YEAR + 10 * HOUR, state, false);
        world.after(0);
        assert_eq!(world.after(22 * HOUR).1, NOW + 23 * HOUR);
        let trusted = NOW + 10 * YEAR + 33 * HOUR;
        assert_eq!(world.after(HOUR), (trusted, trusted));
        assert_eq!(world.clock.warning(), None);
    }

    #[test]
    fn another_jump_restarts_the_count() {
        let mut world = World::start(NOW + 10 * YEAR);
        world.after(0);
        world.after(23 * HOUR);
        world.fake.set(NOW + 20 * YEAR);
        assert_eq!(world.after(2 * HOUR).1, NOW + 25 * HOUR);
        // The operator confirms the clock.
        let mut world = World::resume(NOW + 20 * YEAR, world.clock.state(), true);
        assert_eq!(world.after(0), (NOW + 20 * YEAR, NOW + 20 * YEAR));
        assert_eq!(world.clock.warning(), None);
    }

    #[test]
    fn a_server_that_was_off_for_weeks_has_the_right_time_at_once() {
        let mut world = World::start(NOW + 20 * DAY);
        assert_eq!(world.after(0), (NOW + 20 * DAY, NOW + 20 * DAY));
        // After months, messages get the clock's time at once, but most of the log is not deleted.
        let mut world = World::start(NOW + 80 * DAY);
        assert_eq!(world.after(0), (NOW + 80 * DAY, NOW));
        // A log that has seen no time has nothing to compare the clock with.
        let mut world = World::resume(NOW, ClockState::default(), false);
        assert_eq!(world.after(0), (NOW, NOW));
    }

    /// A log of an earlier version had one message that was dated ten years ahead. The next start used that date as the
    /// current time: it dated messages by it for an hour, and all other messages were old by it.
    #[test]
    fn the_date_of_the_newest_message_does_not_overrule_the_clock() {
        let state = ClockState {
            time_ms: NOW + 10 * YEAR,
            age_ms: NOW + 10 * YEAR,
            by_messages: true,
            ..ClockState::default()
        };
        let mut world = World::resume(NOW, state, false);
        assert_eq!(world.after(0), (NOW, NOW));
        assert_eq!((world.clock.warning(), world.clock.is_trusted()), (None, true));
        // If the clock is the one that is wrong, nothing is deleted either.
        let state = ClockState { time_ms: NOW, age_ms: NOW, by_messages: true, ..ClockState::default() };
        let mut world = World::resume(DAY, state, false);
        assert_eq!(world.after(0), (NOW, DAY));
        assert!(world.clock.warning().is_some() && !world.clock.is_trusted());
        let mut world = World::resume(NOW + 10 * YEAR, state, false);
        assert_eq!(world.after(0), (NOW, NOW));
    }

    /// The clock of a machine without a battery starts in 1970. A log that was created then dated messages in 1970 for
    /// another hour after the network had set the clock.
    #[test]
    fn a_clock_that_is_set_for_the_first_time_is_trusted_at_once() {
        let mut world = World::resume(MINUTE, ClockState::default(), false);
        assert_eq!(world.after(0), (MINUTE, MINUTE));
        assert!(world.clock.warning().is_some_and(|warning| warning.contains("1970-01-01")));
        assert_eq!((world.clock.warning(), world.clock.is_trusted()), (None, false));
        world.fake.set(NOW);
        // Messages that were stored before are not deleted because of that.
        assert_eq!(world.after(0), (NOW, MINUTE));
    }

    #[test]
    fn the_operator_is_warned_of_a_clock_far_behind_and_times_continue() {
        let mut world = World::start(NOW - 6 * YEAR);
        assert_eq!(world.after(0), (NOW, NOW));
        let warning = world.clock.warning().expect("the operator is warned");
        assert!(warning.contains("behind"), "{warning}");
        // The network set the clock after the server was off for weeks.
        world.fake.set(NOW + 20 * DAY);
        assert_eq!(world.after(0), (NOW + 20 * DAY, NOW + 20 * DAY));
        // The clock jumps by years while the server runs.
        world.fake.set(NOW + 3 * YEAR);
        assert_eq!(world.after(0), (NOW + 20 * DAY, NOW + 20 * DAY));
    }
}
