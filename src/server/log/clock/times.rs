//! Times and durations in milliseconds, and as text.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970. An earlier time counts as 0.
pub fn millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A number of milliseconds since 1970 as a time.
pub fn at(time_ms: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(time_ms)).unwrap_or(UNIX_EPOCH)
}

/// The milliseconds of a duration.
pub fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A number of milliseconds since 1970 as a date, as text.
pub fn date(time_ms: u64) -> String {
    // Dates after the year 9999 can't be shown.
    humantime::format_rfc3339_seconds(at(time_ms.min(253_402_300_799_000))).to_string()
}

/// A duration, in at most its two largest units.
pub fn length(length_ms: u64) -> String {
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
