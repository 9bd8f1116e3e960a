//! Values of options: numbers, sizes, durations and switches, each rejected with the accepted forms.

use std::fmt::Display;
use std::ops::Bound::Included;
use std::ops::RangeBounds;
use std::str::FromStr;
use std::time::Duration;

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

/// Reads a flag's variable: `1` or `true` sets the flag; `0`, `false` or an empty value does not. clap's own parser
/// rejects other values without naming the accepted ones.
pub fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "" | "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("expected 1 or 0".to_owned()),
    }
}

/// A parser for whole numbers within bounds. clap's own parser names the bounds only for numbers outside of them, not
/// for other text.
pub fn number<T>(range: impl RangeBounds<T> + Clone) -> impl Fn(&str) -> Result<T, String> + Clone
where
    T: FromStr + PartialOrd + Display,
{
    move |text| {
        let number = text.trim().parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| match (range.start_bound(), range.end_bound()) {
            (Included(first), Included(last)) => format!("expected a whole number from {first} to {last}"),
            (Included(first), _) => format!("expected a whole number from {first} upwards"),
            _ => "expected a whole number".to_owned(),
        })
    }
}

/// A parser for sizes in bytes: a number alone, or with a unit such as `64MiB` or `1GB`.
pub fn size(range: impl RangeBounds<usize> + Clone) -> impl Fn(&str) -> Result<usize, String> + Clone {
    const FORMS: &str = "expected bytes, or a number with a unit such as 64MiB or 1GB";
    move |text| {
        let text = text.trim();
        let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let unit = unit.trim_start().to_ascii_uppercase();
        let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
        let (Ok(number), Some(factor)) = (digits.parse::<u64>(), factor) else { return Err(FORMS.to_owned()) };
        let bytes = number.checked_mul(factor).and_then(|bytes| usize::try_from(bytes).ok());
        bytes.filter(|bytes| range.contains(bytes)).ok_or_else(|| match (range.start_bound(), range.end_bound()) {
            (Included(first), Included(last)) => format!("expected {first} to {last} bytes"),
            (Included(first), _) => format!("expected at least {first} bytes, for example 64MiB"),
            _ => FORMS.to_owned(),
        })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_on_off_or_invalid() {
        for (text, on) in [("1", true), ("true", true), ("Yes", true), ("0", false), ("FALSE", false), ("", false)] {
            assert_eq!(switch(text), Ok(on));
        }
        assert!(switch("2").is_err() && switch(" ").is_err());
    }

    #[test]
    fn numbers_are_within_their_bounds() {
        let digit = number(1_u16..=9);
        assert_eq!(digit("7"), Ok(7));
        assert_eq!(number(1..=u32::MAX)(" 4294967295 "), Ok(u32::MAX));
        for bad in ["", "0", "10", "-1", "1.5", "1e3", "many", "99999999999999999999"] {
            assert_eq!(digit(bad), Err("expected a whole number from 1 to 9".to_owned()), "{bad}");
        }
        assert!(number(1_u64..)("x").unwrap_err().ends_with("from 1 upwards"));
    }

    /// A regression: `--log-bytes-max 64MiB` was an "invalid digit", so 67108864 had to be calculated by hand.
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
            assert_eq!(size(1..)(text), Ok(bytes), "{text}");
        }
        for bad in ["", "MiB", "64M", "1.5GB", "-1", "1 GB 2", "99999999999999999999", "1PB"] {
            assert!(size(1..)(bad).unwrap_err().contains("such as 64MiB or 1GB"), "{bad}");
        }
        assert_eq!(size(1..)("99999999999TB").unwrap_err(), "expected at least 1 bytes, for example 64MiB");
        assert_eq!(size(80..=16384)("17KiB").unwrap_err(), "expected 80 to 16384 bytes");
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
