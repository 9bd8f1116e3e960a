//! Values of options: numbers, sizes, durations, switches and names, each rejected with the accepted forms.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::names::{InvalidText, RoomName};

/// The longest duration: above it, sums with a time could overflow.
const DURATION_MAX: Duration = Duration::from_secs(1000 * 365 * 24 * 60 * 60);

/// The units of sizes. The single letters are left out, because programs disagree about them.
const UNITS: [(&str, u64); 9] = [
    ("", 1),
    ("B", 1),
    ("KB", 1000),
    ("MB", 1000 * 1000),
    ("GB", 1000 * 1000 * 1000),
    ("TB", 1000 * 1000 * 1000 * 1000),
    ("KIB", 1 << 10),
    ("MIB", 1 << 20),
    ("GIB", 1 << 30),
];

/// Reads a flag's variable: `1` or `true` sets the flag; `0`, `false` or an empty value does not.
pub fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "" | "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("expected 1 or 0".to_owned()),
    }
}

/// Reads a whole number within bounds.
pub fn number<T>(text: &str, range: RangeInclusive<T>) -> Result<T, String>
where
    T: TryFrom<u64> + Into<u64> + Copy,
{
    let (first, last): (u64, u64) = ((*range.start()).into(), (*range.end()).into());
    let number = text.trim().parse::<u64>().ok().filter(|number| (first..=last).contains(number));
    number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| match last {
        u64::MAX => format!("expected a whole number from {first} upwards"),
        last => format!("expected a whole number from {first} to {last}"),
    })
}

/// Reads a size in bytes: a number alone, or with a unit such as `64MiB` or `1GB`.
pub fn size(text: &str, range: RangeInclusive<u64>) -> Result<u64, String> {
    const FORMS: &str = "expected bytes, or a number with a unit such as 64MiB or 1GB";
    let text = text.trim();
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let unit = unit.trim_start().to_ascii_uppercase();
    let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
    let (Ok(number), Some(factor)) = (digits.parse::<u64>(), factor) else { return Err(FORMS.to_owned()) };
    let bytes = number.checked_mul(factor).filter(|bytes| range.contains(bytes));
    let (first, last) = (range.start(), range.end());
    bytes.ok_or_else(|| match *last {
        u64::MAX => format!("expected at least {first} bytes, for example 64MiB"),
        last => format!("expected {first} to {last} bytes"),
    })
}

/// Reads a duration above 0 with its unit, such as `90d`, `12h` or `1h 30m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("missing unit (expected for example {text}s, {text}m, {text}h or {text}d)"));
    }
    let forms = || "expected a number with a unit, for example 30s, 12h or 90d".to_owned();
    let duration = humantime::parse_duration(text).map_err(|_| forms())?;
    match duration {
        Duration::ZERO => Err("expected more than 0".to_owned()),
        duration if duration > DURATION_MAX => Err("expected at most 1000 years".to_owned()),
        duration => Ok(duration),
    }
}

/// Reads how long to wait: a duration such as `30s` or `5m`, or a number of seconds.
pub fn timeout(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let wait = if is_number { duration(&format!("{text}s")) } else { duration(text) };
    wait.map_err(|fault| match fault.as_str() {
        "expected more than 0" => fault,
        _ => "expected seconds, or a number with a unit such as 500ms, 30s or 5m".to_owned(),
    })
}

/// Reads a room's name.
pub fn room(text: &str) -> Result<RoomName, InvalidText> {
    RoomName::new(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_on_or_off_or_a_fault() {
        for (text, on) in [("1", true), ("true", true), ("Yes", true), ("0", false), ("FALSE", false), ("", false)] {
            assert_eq!(switch(text), Ok(on));
        }
        assert!(switch("2").is_err() && switch(" ").is_err());
    }

    #[test]
    fn numbers_are_within_their_bounds() {
        assert_eq!(number::<u16>("7", 1..=9), Ok(7));
        assert_eq!(number::<u32>(" 4294967295 ", 1..=u32::MAX), Ok(u32::MAX));
        for bad in ["", "0", "10", "-1", "1.5", "1e3", "many", "99999999999999999999"] {
            assert_eq!(number::<u16>(bad, 1..=9), Err("expected a whole number from 1 to 9".to_owned()), "{bad}");
        }
        assert!(number::<u64>("x", 1..=u64::MAX).unwrap_err().ends_with("from 1 upwards"));
    }

    /// The story: `--log-bytes-max 64MiB` was an "invalid digit", and 67108864 had to be worked out by hand.
    #[test]
    fn sizes_have_units_and_plain_numbers_are_bytes() {
        for (text, bytes) in [
            ("4096", 4096),
            ("64MiB", 64 << 20),
            ("1GB", 1_000_000_000),
            ("16 kib", 16 << 10),
            ("3kB", 3000),
            ("7B", 7),
            ("2TB", 2_000_000_000_000),
        ] {
            assert_eq!(size(text, 1..=u64::MAX), Ok(bytes), "{text}");
        }
        for bad in ["", "MiB", "64M", "1.5GB", "-1", "1 GB 2", "99999999999999999999", "1PB"] {
            assert!(size(bad, 1..=u64::MAX).unwrap_err().contains("such as 64MiB or 1GB"), "{bad}");
        }
        assert_eq!(size("99999999999TB", 1..=u64::MAX).unwrap_err(), "expected at least 1 bytes, for example 64MiB");
        assert_eq!(size("17KiB", 80..=16384).unwrap_err(), "expected 80 to 16384 bytes");
    }

    #[test]
    fn durations_have_units_and_timeouts_may_be_seconds() {
        assert_eq!(duration("1h 30m"), Ok(Duration::from_secs(5400)));
        assert!(duration("90").unwrap_err().contains("90d"));
        for bad in ["", "0s", "-1s", "soon", "90 days ago", "100000y", "99999999999999999999s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert_eq!(timeout("30"), Ok(Duration::from_secs(30)));
        assert_eq!(timeout("500ms"), Ok(Duration::from_millis(500)));
        for bad in ["", "0", "-5", "soon", "99999999999999999999"] {
            assert!(timeout(bad).is_err(), "{bad}");
        }
    }
}
