//! The log's time: the machine's clock, while that can be trusted.
//!
//! Retention by age permanently deletes messages that are old by the clock, and a message keeps the time at which it
//! was stored. So a clock that jumps is not trusted at once. The log stores the last time that it saw. From there, time
//! continues with the machine's monotonic clock, which can't be set. The clock is trusted while it agrees with that, or
//! after it has been stable for some time, or with `--trust-clock`.
//!
//! Times of messages and ages are decided separately. A server that was off for months has the right time at once, but
//! does not delete most of its log until the clock is confirmed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::limits::{
    CLOCK_CONFIRM_AGES, CLOCK_CONFIRM_TIMES, CLOCK_EARLIEST_MS, CLOCK_OFF_MAX, CLOCK_STEP_MAX, CLOCK_WARN_INTERVAL,
};

/// A reading of a machine's clocks, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The clock: since 1970.
    pub wall_ms: u64,
    /// Since a fixed moment while the machine runs; it also counts while the machine sleeps.
    pub passed_ms: u64,
}

/// Milliseconds since 1970. An earlier time counts as 0.
pub fn millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The source of readings.
pub trait TimeSource: Send {
    fn read(&self) -> Reading;
}

/// The machine's own clocks.
#[derive(Debug, Default)]
pub struct Machine;

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

/// How far a clock may be off, and how long it must be stable to be trusted after that; in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Tolerance {
    /// How far ahead of the last seen time it may be at a start.
    start_ms: u64,
    /// How far off it may be otherwise, ahead or behind.
    step_ms: u64,
    confirm_ms: u64,
    /// If a log has seen only earlier times than this, all of them were wrong.
    earliest_ms: u64,
}

/// A clock, trusted or not.
#[derive(Debug)]
struct Believed {
    tolerance: Tolerance,
    /// The trusted time; `None` before the first reading of a log that has seen none.
    seen_ms: Option<u64>,
    /// The last reading.
    last: Option<Reading>,
    /// Whether the clock was trusted in this life.
    is_settled: bool,
    doubt: Option<Doubt>,
}

#[derive(Clone, Copy, Debug)]
struct Doubt {
    wall_ms: u64,
    held_ms: u64,
}

/// The log's time.
pub struct Clock {
    source: Box<dyn TimeSource>,
    times: Believed,
    /// `None` if nothing is deleted by age; then the times of messages are used.
    ages: Option<Believed>,
    warned: Option<u64>,
}

impl TimeSource for Machine {
    fn read(&self) -> Reading {
        Reading { wall_ms: millis(SystemTime::now()), passed_ms: passed_ms() }
    }
}

#[cfg(target_os = "linux")]
fn passed_ms() -> u64 {
    // The clock is there since Linux 2.6.39.
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000
}

#[cfg(not(target_os = "linux"))]
fn passed_ms() -> u64 {
    use std::sync::OnceLock;
    use std::time::Instant;
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_millis() as u64
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
            let mut ages = Believed::new(tolerance, seen(state.age_ms));
            ages.doubt = (state.doubted_ms > 0 && !trusts)
                .then_some(Doubt { wall_ms: state.doubted_ms, held_ms: state.held_ms });
            ages
        });
        Self { source, times: Believed::new(times, seen(state.time_ms)), ages, warned: None }
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
    pub fn is_believed(&self) -> bool {
        let believed = |clock: &Believed| clock.is_settled && clock.doubt.is_none();
        let is_set = self.times.last.is_some_and(|reading| reading.wall_ms >= CLOCK_EARLIEST_MS);
        is_set && believed(&self.times) && self.ages.as_ref().is_none_or(believed)
    }

    /// The warning about a clock that is not trusted, or can't be right: when that begins, and then at intervals.
    pub fn warning(&mut self) -> Option<String> {
        let reading = self.times.last?;
        let ages = self.ages.as_ref().filter(|ages| ages.doubt.is_some());
        let doubted = if self.times.doubt.is_some() { Some(&self.times) } else { ages };
        let is_due = self.warned.is_none_or(|at| reading.passed_ms.saturating_sub(at) >= ms(CLOCK_WARN_INTERVAL));
        let Some(doubted) = doubted else {
            let is_unset = reading.wall_ms < CLOCK_EARLIEST_MS;
            let is_told = is_unset && is_due;
            self.warned = if is_told { Some(reading.passed_ms) } else { self.warned.filter(|_| is_unset) };
            return is_told.then(|| {
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
        if let Some(left) = ages.and_then(Believed::left_ms) {
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

impl Believed {
    fn new(tolerance: Tolerance, seen_ms: Option<u64>) -> Self {
        Self { tolerance, seen_ms, last: None, is_settled: false, doubt: None }
    }

    /// How long the clock must still be stable to be trusted, if it is not.
    fn left_ms(&self) -> Option<u64> {
        self.doubt.map(|doubt| self.tolerance.confirm_ms.saturating_sub(doubt.held_ms))
    }

    /// Takes a reading, and returns the trusted time.
    fn read(&mut self, reading: Reading) -> u64 {
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
            ::log::info!("the clock has been stable, and is trusted: {}", date(wall_ms));
        }
        let now_ms = if self.doubt.is_some() { expected_ms } else { wall_ms };
        self.is_settled |= self.doubt.is_none();
        self.seen_ms = Some(now_ms);
        now_ms
    }
}

fn at(time_ms: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(time_ms)).unwrap_or(UNIX_EPOCH)
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn date(time_ms: u64) -> String {
    // Dates after the year 9999 can't be shown.
    humantime::format_rfc3339_seconds(at(time_ms.min(253_402_300_799_000))).to_string()
}

/// A duration, in at most its two largest units.
fn length(length_ms: u64) -> String {
    let seconds = length_ms / 1000;
    let rounded = if seconds >= 86_400 {
        seconds / 3600 * 3600
    } else if seconds >= 3600 {
        seconds / 60 * 60
    } else {
        seconds
    };
    humantime::format_duration(Duration::from_secs(rounded)).to_string()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

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

        /// The time of messages and that of ages, after so much has passed in steps of a minute.
        fn after(&mut self, passed_ms: u64) -> (u64, u64) {
            for _ in 0..passed_ms / MINUTE {
                self.fake.pass(MINUTE);
                self.clock.age_time();
            }
            (millis(self.clock.time()), millis(self.clock.age_time()))
        }
    }

    /// One start with the clock ten years ahead emptied a log, without a line.
    #[test]
    fn a_clock_years_ahead_is_not_believed_at_once() {
        let mut world = World::start(NOW + 10 * YEAR);
        assert_eq!(world.after(0), (NOW, NOW));
        let warning = world.clock.warning().expect("the operator is told");
        assert!(warning.contains("--trust-clock") && warning.contains("ahead of"), "{warning}");
        assert_eq!(world.clock.warning(), None, "once");
        assert_eq!(world.after(59 * MINUTE), (NOW + 59 * MINUTE, NOW + 59 * MINUTE));
        // Set right, all is well.
        world.fake.set(NOW + HOUR);
        assert_eq!(world.after(0), (NOW + HOUR, NOW + HOUR));
        assert_eq!(world.clock.warning(), None);
    }

    #[test]
    fn a_clock_that_keeps_to_its_time_is_believed() {
        let mut world = World::start(NOW + 10 * YEAR);
        world.after(0);
        assert_eq!(world.after(HOUR), (NOW + 10 * YEAR + HOUR, NOW + HOUR), "the times of messages first");
        assert!(world.clock.warning().is_some());
        // A restart does not begin anew.
        let state = world.clock.state();
        let mut world = World::resume(NOW + 10 * YEAR + 10 * HOUR, state, false);
        world.after(0);
        assert_eq!(world.after(22 * HOUR).1, NOW + 23 * HOUR);
        let believed = NOW + 10 * YEAR + 33 * HOUR;
        assert_eq!(world.after(HOUR), (believed, believed));
        assert_eq!(world.clock.warning(), None);
    }

    #[test]
    fn a_clock_that_jumps_again_begins_anew() {
        let mut world = World::start(NOW + 10 * YEAR);
        world.after(0);
        world.after(23 * HOUR);
        world.fake.set(NOW + 20 * YEAR);
        assert_eq!(world.after(2 * HOUR).1, NOW + 25 * HOUR);
        // The operator knows better.
        let mut world = World::resume(NOW + 20 * YEAR, world.clock.state(), true);
        assert_eq!(world.after(0), (NOW + 20 * YEAR, NOW + 20 * YEAR));
        assert_eq!(world.clock.warning(), None);
    }

    #[test]
    fn a_server_that_was_off_for_weeks_has_the_right_time_at_once() {
        let mut world = World::start(NOW + 20 * DAY);
        assert_eq!(world.after(0), (NOW + 20 * DAY, NOW + 20 * DAY));
        // Months are believed for messages, and not for taking most of the log.
        let mut world = World::start(NOW + 80 * DAY);
        assert_eq!(world.after(0), (NOW + 80 * DAY, NOW));
        // Nothing was seen before: there is nothing to compare with.
        let mut world = World::resume(NOW, ClockState::default(), false);
        assert_eq!(world.after(0), (NOW, NOW));
    }

    /// A log of an earlier version held one message that was dated ten years ahead. The next start took that for the time: it
    /// dated messages by it for an hour, and by that time all others were old.
    #[test]
    fn the_newest_message_is_not_believed_against_the_clock() {
        let state = ClockState {
            time_ms: NOW + 10 * YEAR,
            age_ms: NOW + 10 * YEAR,
            by_messages: true,
            ..ClockState::default()
        };
        let mut world = World::resume(NOW, state, false);
        assert_eq!(world.after(0), (NOW, NOW));
        assert_eq!((world.clock.warning(), world.clock.is_believed()), (None, true));
        // If it's the clock that is wrong, nothing is deleted either.
        let state = ClockState { time_ms: NOW, age_ms: NOW, by_messages: true, ..ClockState::default() };
        let mut world = World::resume(DAY, state, false);
        assert_eq!(world.after(0), (NOW, DAY));
        assert!(world.clock.warning().is_some() && !world.clock.is_believed());
        let mut world = World::resume(NOW + 10 * YEAR, state, false);
        assert_eq!(world.after(0), (NOW, NOW));
    }

    /// A machine without a battery starts in 1970. A log that began there dated messages in 1970 for an hour more after the
    /// network had set the clock.
    #[test]
    fn a_clock_that_is_set_at_last_gives_the_right_time_at_once() {
        let mut world = World::resume(MINUTE, ClockState::default(), false);
        assert_eq!(world.after(0), (MINUTE, MINUTE));
        assert!(world.clock.warning().is_some_and(|warning| warning.contains("1970-01-01")));
        assert_eq!((world.clock.warning(), world.clock.is_believed()), (None, false));
        world.fake.set(NOW);
        // What was stored meanwhile is not deleted for that.
        assert_eq!(world.after(0), (NOW, MINUTE));
    }

    #[test]
    fn a_clock_far_behind_is_told_and_times_go_on() {
        let mut world = World::start(NOW - 6 * YEAR);
        assert_eq!(world.after(0), (NOW, NOW));
        let warning = world.clock.warning().expect("the operator is told");
        assert!(warning.contains("behind"), "{warning}");
        // The network has set it, after weeks in which the server was off.
        world.fake.set(NOW + 20 * DAY);
        assert_eq!(world.after(0), (NOW + 20 * DAY, NOW + 20 * DAY));
        // A step of years while it runs.
        world.fake.set(NOW + 3 * YEAR);
        assert_eq!(world.after(0), (NOW + 20 * DAY, NOW + 20 * DAY));
    }
}
