//! The status row, which shows an outage while it lasts. Pure text, no terminal.
//!
//! The row is above the draft and is rewritten in place, so an outage of any length takes one row.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::client::lines;
use crate::escape::escape;

use super::wrap::{columns_of_text, cut};

/// The minimum space for the reason to be shown, in columns.
const REASON_COLUMNS_MIN: usize = 20;

/// Counts the lines that wait to be sent.
pub type Waiting = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The state that the row shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topic {
    /// There has never been a connection.
    Unreached,
    /// The connection was lost.
    Lost,
    /// The server can't store lines at the moment.
    Held,
    /// There is a connection again, and this many lines are being sent.
    Sending(u64),
}

/// The row. It changes with the time.
#[derive(Clone)]
pub struct Status {
    pub topic: Topic,
    pub server: String,
    pub since: Instant,
    pub reason: String,
    /// When the next attempt begins.
    pub next: Option<Instant>,
    pub waiting: Waiting,
}

impl Status {
    /// The row at this time, in fewer than `columns` columns.
    pub fn row(&self, now: Instant, columns: usize) -> String {
        let room = columns.saturating_sub(1);
        let [full, short, shortest] = match self.forms(now) {
            Ok(forms) => forms,
            Err(only) => return cut(&only, room),
        };
        if columns_of_text(&full) + REASON_COLUMNS_MIN <= room && !self.reason.is_empty() {
            return cut(&format!("{full}: {}", escape(&self.reason)), room);
        }
        let fitting = [full, short].into_iter().find(|form| columns_of_text(form) <= room);
        fitting.unwrap_or_else(|| cut(&shortest, room))
    }

    /// The row in full, shorter, and shorter still; or the only form there is.
    fn forms(&self, now: Instant) -> Result<[String; 3], String> {
        let server = escape(&self.server);
        let time = duration(now.saturating_duration_since(self.since));
        let next = match self.next.map(|next| next.saturating_duration_since(now)) {
            Some(left) if !left.is_zero() => format!("in {}", duration(left + Duration::from_millis(999))),
            _ => "now".to_owned(),
        };
        let waiting = (self.waiting)();
        let kept = match waiting {
            0 => String::new(),
            1 => "; 1 line waits".to_owned(),
            count => format!("; {} wait", lines(count)),
        };
        let (what, briefly) = match self.topic {
            Topic::Unreached => (format!("can't connect to {server} for {time}"), "can't connect for"),
            Topic::Lost => (format!("disconnected from {server} for {time}"), "offline"),
            Topic::Held => (format!("{server} can't store messages for {time}"), "can't store for"),
            Topic::Sending(count) => {
                return Err(format!("* connected again; sending {}", lines(count)));
            }
        };
        let full = format!("* {what}; trying again {next}{kept}");
        let short = |kept| format!("* {briefly} {time}, retry {next}{kept}: {server}");
        Ok([full, short(kept.as_str()), short("")])
    }
}

/// A duration for people: `12 s`, `3 min 20 s`, `2 h 5 min`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr;

    use super::*;

    fn status(topic: Topic, waiting: u64) -> (Status, Instant) {
        let since = Instant::now();
        let status = Status {
            topic,
            server: "chat.example.org:5000".to_owned(),
            since,
            reason: "no server answers".to_owned(),
            next: Some(since + Duration::from_secs(15)),
            waiting: Arc::new(move || waiting),
        };
        (status, since + Duration::from_millis(12_300))
    }

    #[test]
    fn the_row_has_the_duration_the_next_attempt_and_the_server() {
        let (status, now) = status(Topic::Lost, 2);
        let full = "* disconnected from chat.example.org:5000 for 12 s; trying again in 3 s; 2 lines wait";
        assert_eq!(status.row(now, 200), format!("{full}: no server answers"));
        assert_eq!(status.row(now, full.len() + 22), format!("{full}: no server answers"));
        assert_eq!(status.row(now, full.len() + 1), full);
        assert_eq!(status.row(now, 80), "* offline 12 s, retry in 3 s; 2 lines wait: chat.example.org:5000");
        assert_eq!(status.row(now, 40), "* offline 12 s, retry in 3 s: chat.exa…");
        let later = now + Duration::from_secs(3);
        assert!(status.row(later, 200).contains("for 15 s; trying again now"));
    }

    #[test]
    fn every_row_fits_and_has_no_control_characters() {
        for topic in [Topic::Unreached, Topic::Lost, Topic::Held, Topic::Sending(3)] {
            let (mut status, now) = status(topic, 1);
            status.reason = "世\x1b[2J\n世".to_owned();
            for columns in 1..200 {
                let row = status.row(now, columns);
                assert!(row.width() < columns.max(1) && !row.contains(['\x1b', '\n']), "{row:?} in {columns}");
            }
        }
    }

    #[test]
    fn durations_are_readable() {
        for (seconds, text) in [(0, "0 s"), (59, "59 s"), (60, "1 min"), (200, "3 min 20 s"), (7500, "2 h 5 min")] {
            assert_eq!(duration(Duration::from_secs(seconds)), text);
        }
    }
}
