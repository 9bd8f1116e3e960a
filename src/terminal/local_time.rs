//! Times of messages in local time. `TZ`, or else the system's setting, chooses the time zone.

use std::sync::Once;

/// The last time that RFC 3339 can express, except for time zones: the end of the year 9999.
const TIME_MS_MAX: u64 = 253_402_300_799_999;

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A day of local time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day {
    year: i32,
    day: i32,
}

/// A moment in local time.
pub struct LocalTime(libc::tm);

unsafe extern "C" {
    /// Reads `TZ`. POSIX has it; the crate `libc` does not declare it for Linux.
    fn tzset();
}

impl LocalTime {
    /// The moment, in milliseconds since 1970. `None` if it is impossible.
    pub fn new(time_ms: u64) -> Option<Self> {
        if time_ms > TIME_MS_MAX {
            return None;
        }
        static READ_TIME_ZONE: Once = Once::new();
        // SAFETY: the function takes nothing. It reads the environment, which nothing changes once threads run.
        READ_TIME_ZONE.call_once(|| unsafe { tzset() });
        let seconds = libc::time_t::try_from(time_ms / 1000).ok()?;
        // SAFETY: all zeros are a valid `tm`, to which and to `seconds` the pointers are for the length of the call.
        let time = unsafe {
            let mut time: libc::tm = std::mem::zeroed();
            (!libc::localtime_r(&raw const seconds, &raw mut time).is_null()).then_some(time)
        };
        time.map(Self)
    }

    /// The same in UTC, for tests whose results must not depend on the time zone.
    #[cfg(test)]
    pub fn in_utc(time_ms: u64) -> Option<Self> {
        let seconds = libc::time_t::try_from(time_ms / 1000).ok()?;
        // SAFETY: as above.
        let time = unsafe {
            let mut time: libc::tm = std::mem::zeroed();
            (!libc::gmtime_r(&raw const seconds, &raw mut time).is_null()).then_some(time)
        };
        time.map(Self)
    }

    /// For people who know the day: `21:00`.
    pub fn minute(&self) -> String {
        format!("{:02}:{:02}", self.0.tm_hour, self.0.tm_min)
    }

    pub fn day(&self) -> Day {
        Day { year: self.0.tm_year, day: self.0.tm_yday }
    }

    /// For people: `Thursday, 26 November 2026`.
    pub fn day_in_words(&self) -> String {
        let libc::tm { tm_mon, tm_mday, tm_wday, .. } = self.0;
        let name = |names: &[&'static str], at: i32| usize::try_from(at).ok().and_then(|at| names.get(at).copied());
        let (day, month) = (name(&DAYS, tm_wday).unwrap_or("?"), name(&MONTHS, tm_mon).unwrap_or("?"));
        format!("{day}, {tm_mday} {month} {}", self.year())
    }

    /// For people who know the year: `26 Nov`.
    pub fn day_in_short(&self) -> String {
        let month = usize::try_from(self.0.tm_mon).ok().and_then(|at| MONTHS.get(at)?.get(..3)).unwrap_or("?");
        format!("{} {month}", self.0.tm_mday)
    }

    pub fn year(&self) -> i64 {
        i64::from(self.0.tm_year) + 1900
    }

    /// For people: `2026-11-26 21:00:42`.
    pub fn readable(&self) -> String {
        format!("{} {}", self.date(), self.clock())
    }

    /// For programs, in the format of RFC 3339: `2026-11-26T21:00:42+01:00`.
    pub fn rfc3339(&self) -> String {
        let minutes = self.0.tm_gmtoff / 60;
        let sign = if minutes < 0 { '-' } else { '+' };
        let minutes = minutes.unsigned_abs();
        format!("{}T{}{sign}{:02}:{:02}", self.date(), self.clock(), minutes / 60, minutes % 60)
    }

    fn date(&self) -> String {
        let libc::tm { tm_year, tm_mon, tm_mday, .. } = self.0;
        format!("{:04}-{:02}-{tm_mday:02}", i64::from(tm_year) + 1900, tm_mon + 1)
    }

    fn clock(&self) -> String {
        let libc::tm { tm_hour, tm_min, tm_sec, .. } = self.0;
        format!("{tm_hour:02}:{tm_min:02}:{tm_sec:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The time zone of this test is not set; the tests of the programs set it.
    #[test]
    fn times_have_all_parts() {
        let time = LocalTime::new(1_700_000_000_999).unwrap();
        assert_eq!(time.readable().len(), "2023-11-14 22:13:20".len());
        assert_eq!(time.rfc3339().len(), "2023-11-14T22:13:20+00:00".len());
        assert_eq!(time.rfc3339()[..19].replace('T', " "), time.readable());
        assert!(LocalTime::new(u64::MAX).is_none());
        assert_eq!(time.minute(), time.readable()[11..16]);
        assert!(["Tuesday, 14 November 2023", "Wednesday, 15 November 2023"].contains(&time.day_in_words().as_str()));
    }
}
