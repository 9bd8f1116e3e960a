//! The times before the messages of the chat, and the lines between days.
//!
//! All times are the server's, shown in local time. A line that was just typed has none yet, so it gets the server's
//! current time, estimated from received events: with two clocks, the times would jump back and forth if one of them is
//! wrong.

use std::time::{SystemTime, UNIX_EPOCH};

use super::local_time::{Day, LocalTime};

/// Shown in place of an impossible time.
const NO_TIME: &str = "--:--";

/// The server's clock, and the day of the last line that was shown.
pub struct Clock {
    /// How far the server's clock is ahead of this one, in milliseconds.
    ahead_ms: i64,
    day: Option<Day>,
}

/// The prefix of a message.
#[derive(Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The day, if it differs from the previous one.
    pub day: Option<String>,
    /// `22:13`
    pub time: String,
}

impl Clock {
    /// A clock for a chat that begins now. Its first day is not shown.
    pub fn new() -> Self {
        Self { ahead_ms: 0, day: LocalTime::new(local_ms()).map(|time| time.day()) }
    }

    /// Updates the server's clock from an event that was sent just now.
    pub fn learn(&mut self, server_ms: u64) {
        self.ahead_ms = i64::try_from(server_ms).unwrap_or_default().saturating_sub_unsigned(local_ms());
    }

    /// The server's time now.
    pub fn now(&self) -> u64 {
        local_ms().saturating_add_signed(self.ahead_ms)
    }

    /// The prefix of a message with that time.
    pub fn stamp(&mut self, time_ms: u64) -> Stamp {
        let Some(time) = LocalTime::new(time_ms) else { return Stamp { day: None, time: NO_TIME.to_owned() } };
        let day = time.day();
        let is_new = self.day.replace(day) != Some(day);
        Stamp { day: is_new.then(|| time.day_in_words()), time: time.minute() }
    }
}

/// A time for people: `21:03` today, and with its day otherwise.
pub fn moment_in_words(time_ms: u64) -> String {
    let today = LocalTime::new(local_ms()).map(|now| now.day());
    match LocalTime::new(time_ms) {
        Some(time) if Some(time.day()) == today => time.minute(),
        Some(time) => format!("{}, {}", time.day_in_words(), time.minute()),
        None => NO_TIME.to_owned(),
    }
}

/// The same in a few columns: `21:03` today, `4 Mar 21:03` this year, and `4 Mar 2025` before.
pub fn moment_in_short(time_ms: u64) -> String {
    let Some(time) = LocalTime::new(time_ms) else { return NO_TIME.to_owned() };
    let now = LocalTime::new(local_ms());
    let (today, this_year) = (now.as_ref().map(LocalTime::day), now.map(|now| now.year()));
    match (today == Some(time.day()), this_year == Some(time.year())) {
        (true, _) => time.minute(),
        (false, true) => format!("{} {}", time.day_in_short(), time.minute()),
        (false, false) => format!("{} {}", time.day_in_short(), time.year()),
    }
}

/// This machine's time, in milliseconds since 1970.
pub fn local_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: u64 = 24 * 60 * 60 * 1000;

    #[test]
    fn a_moment_in_short_has_what_is_needed() {
        let now = local_ms();
        assert!(moment_in_short(now).len() == "21:03".len() || moment_in_short(now).contains(' '), "or it is midnight");
        let past = moment_in_short(1_700_000_000_000);
        assert!(["14 Nov 2023", "15 Nov 2023"].contains(&past.as_str()), "{past}");
        assert_eq!(moment_in_short(u64::MAX), NO_TIME);
    }

    #[test]
    fn a_day_is_shown_once() {
        let mut clock = Clock::new();
        let now = local_ms();
        assert_eq!(clock.stamp(now).day, None);
        let earlier = clock.stamp(1_700_000_000_000);
        assert!(earlier.day.is_some_and(|day| day.ends_with("November 2023")) && earlier.time.len() == 5);
        assert_eq!(clock.stamp(1_700_000_001_000).day, None);
        assert!(clock.stamp(now).day.is_some());
        assert_eq!(clock.stamp(u64::MAX), Stamp { day: None, time: NO_TIME.to_owned() });
    }

    /// If a server's clock is days behind, the user's own lines have the server's times, so the days don't alternate.
    #[test]
    fn own_lines_have_the_servers_time() {
        let mut clock = Clock::new();
        let server = local_ms() - 3 * DAY_MS;
        clock.learn(server);
        assert!(clock.stamp(server).day.is_some());
        let own = clock.now();
        assert!(own.abs_diff(server) < DAY_MS, "{own} and {server}");
        clock.learn(u64::MAX);
        clock.learn(0);
        assert!(clock.now() < DAY_MS);
    }
}
