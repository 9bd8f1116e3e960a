//! The forms of log lines, and which one standard error gets.

use std::fmt;
use std::io::{self, IsTerminal as _};
use std::str::FromStr;

use rustix::fs::fstat;
use rustix::stdio::stderr;

/// The form of log lines, as the operator chooses it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: one object a line.
    Json,
}

/// The form of log lines, down to the details.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// With time and level, as `env_logger` writes them.
    Text {
        in_color: bool,
    },
    /// For systemd's journal, which has the time: the level is a prefix that it understands (sd-daemon(3)).
    Journal,
    Json,
}

impl Style {
    /// The form for standard error as it is.
    pub fn of_program(format: LogFormat) -> Self {
        match format {
            LogFormat::Json => Self::Json,
            LogFormat::Text if is_journal() => Self::Journal,
            LogFormat::Text => Self::Text { in_color: is_in_color() },
        }
    }
}

/// Whether standard error goes to the journal. A service may have redirected it, and a shell that a service has started
/// has the variable too: so the variable names the file.
fn is_journal() -> bool {
    let Ok(variable) = std::env::var("JOURNAL_STREAM") else { return false };
    fstat(stderr()).is_ok_and(|file| names_file(&variable, file.st_dev, file.st_ino))
}

fn names_file(variable: &str, device: u64, inode: u64) -> bool {
    variable.split_once(':').is_some_and(|(dev, ino)| dev.parse() == Ok(device) && ino.parse() == Ok(inode))
}

/// `RUST_LOG_STYLE` decides, as with `env_logger`.
fn is_in_color() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    match std::env::var("RUST_LOG_STYLE").as_deref() {
        Ok("always") => true,
        Ok("never") => false,
        _ => io::stderr().is_terminal() && !is_set("NO_COLOR") && std::env::var("TERM").as_deref() != Ok("dumb"),
    }
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("expected text or json".to_owned()),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_is_recognized_by_its_file() {
        assert!(names_file("8:12345", 8, 12345));
        for other in ["", "8", "8:", ":12345", "9:12345", "8:12346", "8:12345:1", "12345:8"] {
            assert!(!names_file(other, 8, 12345), "{other}");
        }
    }

    #[test]
    fn a_format_has_a_word() {
        for format in [LogFormat::Text, LogFormat::Json] {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        assert!("xml".parse::<LogFormat>().is_err() && "JSON".parse::<LogFormat>().is_err());
    }
}
