//! Clients that are refused: because a resource has run out, or because they exceed a limit.
//!
//! For each resource, the log gets one line when clients begin to be refused, and one when that is over. For the limits,
//! it gets one line a minute at most: how many times each was exceeded, and the address that did it most.
//!
//! Clients are refused on pollers, which MUST NOT log. They count refusals here, and a separate thread logs them. It
//! sleeps while no client is refused.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::descriptors;
use crate::limits::{REFUSALS_CHECK_INTERVAL, REFUSALS_LOG_INTERVAL, REFUSALS_QUIET, REFUSED_SOURCES_MAX};
use crate::server::network::Source;
use crate::threads;

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
const KINDS: usize = 4;

/// A limit that a client has exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Too many streams of a connection came to nothing.
    Resets,
    /// A connection sent too many control frames.
    ControlFrames,
    /// All connections of the server are taken.
    Connections,
    /// Too many connections were opened recently.
    ConnectionRate,
    /// All connections of the client's address are taken.
    AddressConnections,
    /// The client's address opened too many connections recently.
    AddressConnectionRate,
    /// All places for clients of its address are taken.
    AddressClients,
    /// Its address posts too fast.
    Posts,
    /// Its address has stored too much today.
    Stored,
    /// Its address has created too many rooms.
    RoomsCreated,
    /// The log has the maximum number of rooms.
    Rooms,
    /// Too many unary calls of its connection are in progress.
    Calls,
}

/// Each limit, with what happens to those who exceed it.
const LIMITS: [(Limit, &str); 12] = [
    (Limit::Resets, "connections closed because too many of their streams were reset"),
    (Limit::ControlFrames, "connections closed because of too many control frames"),
    (Limit::Connections, "connections refused because all are taken (--connections-max)"),
    (Limit::ConnectionRate, "connections refused because too many are opened at once"),
    (Limit::AddressConnections, "connections refused because their address has too many (--connections-per-address)"),
    (Limit::AddressConnectionRate, "connections refused because their address opens too many"),
    (Limit::AddressClients, "clients refused because their address has too many (--clients-per-address)"),
    (Limit::Posts, "posts refused because their address posts too fast (--post-rate, --post-bytes-rate)"),
    (Limit::Stored, "posts refused because their address has stored too much (--stored-per-day)"),
    (Limit::RoomsCreated, "posts refused because their address has created too many rooms (--room-rate)"),
    (
        Limit::Rooms,
        "posts refused because the log has too many rooms (--rooms-max; hubbub-server room delete makes space)",
    ),
    (Limit::Calls, "calls refused because too many of their connection are in progress"),
];

/// Counts refusals.
#[derive(Debug, Default)]
pub struct Refusals {
    // lock order: 3 (a leaf)
    state: Mutex<RefusalsState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct RefusalsState {
    counts: [u64; KINDS],
    exceeded: Exceeded,
    /// The last error of accept(2).
    error: i32,
    /// The thread sleeps until a client is refused.
    asleep: bool,
    closed: bool,
}

impl Refusals {
    /// Counts one refusal. Called on pollers: does not block.
    pub fn count(&self, shortage: Shortage) {
        self.change(|state| {
            state.counts[shortage.kind()] += 1;
            if let Shortage::System(error) = shortage {
                state.error = error;
            }
        });
    }

    /// Counts a client that exceeded a limit; a client of a Unix socket has no address. Called on pollers: does not
    /// block.
    pub fn exceeded(&self, limit: Limit, source: Option<Source>) {
        self.change(|state| state.exceeded.count(limit, source));
    }

    fn change(&self, change: impl FnOnce(&mut RefusalsState)) {
        let mut state = self.state.lock();
        change(&mut state);
        let wake = std::mem::take(&mut state.asleep);
        drop(state);
        if wake {
            self.changed.notify_one();
        }
    }

    /// Waits for refusals, or for the next check during a shortage. `None` means that the server has ended.
    fn wait(&self, goes_on: bool) -> Option<([u64; KINDS], i32, Exceeded)> {
        let next = Instant::now() + REFUSALS_CHECK_INTERVAL;
        let mut state = self.state.lock();
        while !state.closed {
            if goes_on {
                if self.changed.wait_until(&mut state, next).timed_out() {
                    break;
                }
            } else if state.is_empty() {
                state.asleep = true;
                self.changed.wait(&mut state);
            } else {
                break;
            }
        }
        let is_last = state.closed && state.is_empty();
        (!is_last).then(|| (std::mem::take(&mut state.counts), state.error, std::mem::take(&mut state.exceeded)))
    }
}

impl RefusalsState {
    fn is_empty(&self) -> bool {
        self.counts == [0; KINDS] && self.exceeded.is_empty()
    }
}

/// How many times each limit was exceeded, and by whom.
#[derive(Debug, Default)]
struct Exceeded {
    counts: [u64; LIMITS.len()],
    /// At most [`REFUSED_SOURCES_MAX`]: further addresses are counted only in all.
    sources: HashMap<Source, u64>,
}

impl Exceeded {
    fn count(&mut self, limit: Limit, source: Option<Source>) {
        // Invariant: every limit is in the list.
        let kind = LIMITS.iter().position(|(other, _)| *other == limit).expect("the limit is listed");
        self.counts[kind] += 1;
        if let Some(source) = source {
            self.add(source, 1);
        }
    }

    fn add(&mut self, source: Source, count: u64) {
        if self.sources.len() < REFUSED_SOURCES_MAX || self.sources.contains_key(&source) {
            *self.sources.entry(source).or_default() += count;
        }
    }

    fn is_empty(&self) -> bool {
        self.counts == [0; LIMITS.len()]
    }

    fn merge(&mut self, more: Self) {
        self.counts.iter_mut().zip(more.counts).for_each(|(count, more)| *count += more);
        more.sources.into_iter().for_each(|(source, count)| self.add(source, count));
    }

    fn line(&self) -> String {
        let counted = self.counts.iter().zip(LIMITS).filter(|(count, _)| **count > 0);
        let list: Vec<_> = counted.map(|(count, (_, what))| format!("{count} {what}")).collect();
        let most = self.sources.iter().max_by_key(|(_, count)| **count);
        let most = most.map(|(source, count)| format!("; most often by {source} ({count} times)"));
        format!("clients exceeded limits: {}{}", list.join(", "), most.unwrap_or_default())
    }
}

impl Shortage {
    fn kind(self) -> usize {
        match self {
            Self::Clients => 0,
            Self::Threads => 1,
            Self::Descriptors => 2,
            Self::System(_) => 3,
        }
    }

    fn of_kind(kind: usize, error: i32) -> Self {
        [Self::Clients, Self::Threads, Self::Descriptors, Self::System(error)][kind]
    }

    /// The line for when it begins.
    fn begins(self, clients_max: usize) -> String {
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
    fn is_over(self, refused: u64, time: Duration) -> String {
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

/// Owns the thread that logs, and ends it.
pub struct Logger {
    refusals: Arc<Refusals>,
    thread: Option<JoinHandle<()>>,
}

impl Logger {
    pub fn start(clients_max: usize) -> io::Result<Self> {
        let refusals = Arc::new(Refusals::default());
        let counted = Arc::clone(&refusals);
        let log = move || {
            let mut episodes = [const { Episode::new() }; KINDS];
            let mut summary = Summary::default();
            let goes_on = |episodes: &[Episode], summary: &Summary| {
                summary.is_due_later() || episodes.iter().any(|episode| episode.since.is_some())
            };
            while let Some((counts, error, exceeded)) = counted.wait(goes_on(&episodes, &summary)) {
                if let Some(line) = summary.step(Instant::now(), exceeded) {
                    log::warn!("{line}");
                }
                for (kind, episode) in episodes.iter_mut().enumerate() {
                    let shortage = Shortage::of_kind(kind, error);
                    match episode.step(Instant::now(), counts[kind]) {
                        None => {}
                        Some(EpisodeChange::Begins) => log::warn!("{}", shortage.begins(clients_max)),
                        Some(EpisodeChange::IsOver { refused, time }) => {
                            log::info!("{}", shortage.is_over(refused, time))
                        }
                    }
                }
            }
            if summary.is_due_later() {
                log::warn!("{}", summary.exceeded.line());
            }
        };
        let thread = threads::spawn("refusals", log)?;
        Ok(Self { refusals, thread: Some(thread) })
    }

    pub fn refusals(&self) -> &Arc<Refusals> {
        &self.refusals
    }
}

impl Drop for Logger {
    fn drop(&mut self) {
        self.refusals.state.lock().closed = true;
        self.refusals.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic has been reported already.
            let _ = thread.join();
        }
    }
}

/// The exceeded limits that are not logged yet. The first ones are logged at once, later ones once a minute.
#[derive(Default)]
struct Summary {
    exceeded: Exceeded,
    logged: Option<Instant>,
}

impl Summary {
    fn is_due_later(&self) -> bool {
        !self.exceeded.is_empty()
    }

    /// Takes note of what was counted since the last step, and returns a line if one is due.
    fn step(&mut self, now: Instant, exceeded: Exceeded) -> Option<String> {
        self.exceeded.merge(exceeded);
        let may_log = self.logged.is_none_or(|at| now.saturating_duration_since(at) >= REFUSALS_LOG_INTERVAL);
        (may_log && !self.exceeded.is_empty()).then(|| {
            self.logged = Some(now);
            std::mem::take(&mut self.exceeded).line()
        })
    }
}

/// The refusals to log.
#[derive(Debug, PartialEq, Eq)]
enum EpisodeChange {
    Begins,
    IsOver { refused: u64, time: Duration },
}

/// A shortage of one kind. It is over when no client was refused for [`REFUSALS_QUIET`].
struct Episode {
    since: Option<Instant>,
    last: Option<Instant>,
    refused: u64,
    /// When a beginning was last logged. The next one is logged only after [`REFUSALS_LOG_INTERVAL`].
    logged: Option<Instant>,
    is_logged: bool,
}

impl Episode {
    const fn new() -> Self {
        Self { since: None, last: None, refused: 0, logged: None, is_logged: false }
    }

    /// Takes note of the refusals since the last step.
    fn step(&mut self, now: Instant, refused: u64) -> Option<EpisodeChange> {
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

    fn exceeded(limit: Limit, address: [u8; 4], count: usize) -> Exceeded {
        let mut exceeded = Exceeded::default();
        (0..count).for_each(|_| exceeded.count(limit, Some(Source::V4(address.into()))));
        exceeded
    }

    #[test]
    fn exceeded_limits_are_logged_once_a_minute_with_the_address_that_did_it_most() {
        let (mut summary, start) = (Summary::default(), Instant::now());
        let first = summary.step(start, exceeded(Limit::Resets, [192, 0, 2, 1], 1)).unwrap();
        assert!(first.contains("1 connections closed") && first.contains("192.0.2.1 (1 times)"), "{first}");
        assert_eq!(summary.step(at(start, 10), exceeded(Limit::Resets, [192, 0, 2, 1], 5)), None);
        assert_eq!(summary.step(at(start, 20), exceeded(Limit::Connections, [192, 0, 2, 2], 7)), None);
        assert!(summary.is_due_later());
        let second = summary.step(at(start, 60), Exceeded::default()).unwrap();
        assert!(second.contains("5 connections closed") && second.contains("7 connections refused"), "{second}");
        assert!(second.ends_with("192.0.2.2 (7 times)"), "{second}");
        assert!(!summary.is_due_later());
    }

    #[test]
    fn the_number_of_counted_addresses_is_bounded() {
        let mut counted = Exceeded::default();
        for number in 0..2 * REFUSED_SOURCES_MAX as u32 {
            counted.count(Limit::ConnectionRate, Some(Source::V4(number.into())));
        }
        assert_eq!(counted.sources.len(), REFUSED_SOURCES_MAX);
        assert!(counted.line().contains(&format!("{} connections", 2 * REFUSED_SOURCES_MAX)));
    }
}
