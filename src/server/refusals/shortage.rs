//! Resources that have run out, and what the log says of them.

use std::io;
use std::time::{Duration, Instant};

use crate::descriptors;
use crate::limits::{REFUSALS_LOG_INTERVAL, REFUSALS_QUIET};

/// The resource that has run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// The maximum number of clients is connected.
    Clients,
    /// The process can't start more threads.
    Threads,
    /// The process may open no more file descriptors for connections.
    Descriptors,
    /// The system can't accept connections: an error number of accept(2).
    System(i32),
}

/// How many kinds of shortages there are.
pub const KINDS: usize = 4;

/// Their names in metrics.
pub const SHORTAGES: [&str; KINDS] = ["clients", "threads", "descriptors", "system"];

impl Shortage {
    pub fn kind(self) -> usize {
        match self {
            Self::Clients => 0,
            Self::Threads => 1,
            Self::Descriptors => 2,
            Self::System(_) => 3,
        }
    }

    pub fn of_kind(kind: usize, error: i32) -> Self {
        [Self::Clients, Self::Threads, Self::Descriptors, Self::System(error)][kind]
    }

    /// The line for when it begins.
    pub fn begins(self, clients_max: usize) -> String {
        match self {
            Self::Clients => format!(
                "the server is full: {clients_max} clients are connected, and others are refused; allow more with \
                 --clients-max"
            ),
            Self::Threads => "no thread can be started for another client, so clients are refused; raise ulimit -u or the \
                              limit of tasks (systemd's TasksMax, a container's pids limit)"
                .to_owned(),
            Self::Descriptors => format!(
                "file descriptors have run out ({} in all), so connections are refused; raise ulimit -n (systemd's \
                 LimitNOFILE), or find the client that opens so many connections",
                descriptors::limit()
            ),
            Self::System(libc::ENFILE) => {
                "the system's file table is full, and no connection can be accepted; raise fs.file-max, or end what has \
                 so many files open"
                    .to_owned()
            }
            Self::System(error) => {
                format!("no connection can be accepted: {}; check the system's memory", io::Error::from_raw_os_error(error))
            }
        }
    }

    /// The line for when it is over.
    pub fn is_over(self, refused: u64, time: Duration) -> String {
        let time = humantime::format_duration(Duration::from_secs(time.as_secs().max(1)));
        match self {
            Self::Clients => {
                format!("the server has capacity again: clients were refused {refused} times within {time}")
            }
            Self::Threads => {
                format!("threads can be started again: clients were refused {refused} times within {time}")
            }
            Self::Descriptors | Self::System(_) => {
                format!("connections are accepted again: {refused} attempts failed within {time}")
            }
        }
    }
}

/// The refusals to log.
#[derive(Debug, PartialEq, Eq)]
pub enum EpisodeChange {
    Begins,
    IsOver { refused: u64, time: Duration },
}

/// A shortage of one kind. It is over when no client was refused for [`REFUSALS_QUIET`].
pub struct Episode {
    since: Option<Instant>,
    last: Option<Instant>,
    refused: u64,
    /// When a beginning was last logged. The next one is logged only after [`REFUSALS_LOG_INTERVAL`].
    logged: Option<Instant>,
    is_logged: bool,
}

impl Episode {
    pub const fn new() -> Self {
        Self { since: None, last: None, refused: 0, logged: None, is_logged: false }
    }

    /// Takes note of the refusals since the last step.
    pub fn step(&mut self, now: Instant, refused: u64) -> Option<EpisodeChange> {
        if refused > 0 {
            self.since = self.since.or(Some(now));
            self.last = Some(now);
            self.refused += refused;
        }
        let (since, last) = (self.since?, self.last?);
        let is_over = now.saturating_duration_since(last) >= REFUSALS_QUIET;
        if is_over {
            self.since = None;
        }
        if self.is_logged {
            return is_over.then(|| {
                self.is_logged = false;
                let time = last.saturating_duration_since(since);
                EpisodeChange::IsOver { refused: std::mem::take(&mut self.refused), time }
            });
        }
        let may_log = self.logged.is_none_or(|at| now.saturating_duration_since(at) >= REFUSALS_LOG_INTERVAL);
        // A shortage that was too short to be logged counts with the next one.
        (may_log && !is_over).then(|| {
            self.logged = Some(now);
            self.is_logged = true;
            EpisodeChange::Begins
        })
    }

    pub fn goes_on(&self) -> bool {
        self.since.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_shortage_is_logged_when_it_begins_and_when_it_is_over() {
        let (mut episode, start) = (Episode::new(), Instant::now());
        assert_eq!(episode.step(start, 0), None);
        assert_eq!(episode.step(start, 2), Some(EpisodeChange::Begins));
        assert_eq!(episode.step(at(start, 3), 40), None);
        assert_eq!(episode.step(at(start, 7), 0), None);
        let time = Duration::from_secs(3);
        assert_eq!(episode.step(at(start, 8), 0), Some(EpisodeChange::IsOver { refused: 42, time }));
        assert_eq!(episode.step(at(start, 9), 0), None);
    }

    /// A full server whose clients come and go logs one line a minute, not two for each client.
    #[test]
    fn a_shortage_that_comes_and_goes_is_logged_once_a_minute() {
        let (mut episode, start) = (Episode::new(), Instant::now());
        let mut turns = Vec::new();
        for second in 0..120 {
            let refused = u64::from(second % 10 == 0);
            turns.extend(episode.step(at(start, second), refused).map(|turn| (second, turn)));
        }
        let begun: Vec<_> =
            turns.iter().filter(|(_, turn)| *turn == EpisodeChange::Begins).map(|(second, _)| *second).collect();
        assert_eq!(begun, [0, 60]);
        let counts: Vec<_> = turns
            .iter()
            .filter_map(|(_, turn)| match turn {
                EpisodeChange::IsOver { refused, .. } => Some(*refused),
                EpisodeChange::Begins => None,
            })
            .collect();
        // Refusals between the two are counted too.
        assert_eq!(counts, [1, 6]);
    }
}
