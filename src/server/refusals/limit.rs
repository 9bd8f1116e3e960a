//! Limits that clients exceed, and the line that the log gets of them.

use std::collections::HashMap;
use std::time::Instant;

use crate::limits::{REFUSALS_LOG_INTERVAL, REFUSED_SOURCES_MAX};
use crate::server::network::Source;

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
    /// Too many logins from its address have failed.
    Logins,
}

/// Each limit, with what happens to those who exceed it.
const LIMITS: [(Limit, &str); 13] = [
    (Limit::Resets, "connections closed because too many of their streams were reset"),
    (Limit::ControlFrames, "connections closed because of too many control frames"),
    (Limit::Connections, "connections refused because all are taken (--connections-max)"),
    (Limit::ConnectionRate, "connections refused because too many are opened at once"),
    (Limit::AddressConnections, "connections refused because their address has too many (--connections-per-address)"),
    (Limit::AddressConnectionRate, "connections refused because their address opens too many"),
    (Limit::AddressClients, "clients refused because their address has too many (--clients-per-address)"),
    (Limit::Posts, "posts refused because their address posts too fast (--post-rate, --post-bytes-rate)"),
    (Limit::Stored, "posts refused because their address has stored too much (--stored-per-day)"),
    (
        Limit::RoomsCreated,
        "posts refused because their address has created too many rooms (--room-rate, --rooms-per-address)",
    ),
    (
        Limit::Rooms,
        "posts refused because the log has too many rooms (--rooms-max; hubbub-server room delete makes space)",
    ),
    (Limit::Calls, "calls refused because too many of their connection are in progress"),
    (Limit::Logins, "logins refused because too many from their address have failed"),
];

/// How many limits there are.
pub const LIMIT_COUNT: usize = LIMITS.len();

impl Limit {
    /// Its name in metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Resets => "resets",
            Self::ControlFrames => "control_frames",
            Self::Connections => "connections",
            Self::ConnectionRate => "connection_rate",
            Self::AddressConnections => "address_connections",
            Self::AddressConnectionRate => "address_connection_rate",
            Self::AddressClients => "address_clients",
            Self::Posts => "posts",
            Self::Stored => "stored",
            Self::RoomsCreated => "rooms_created",
            Self::Rooms => "rooms",
            Self::Calls => "calls",
            Self::Logins => "logins",
        }
    }

    /// Its place in the list of all limits.
    pub fn place(self) -> usize {
        // Invariant: every limit is in the list.
        LIMITS.iter().position(|(other, _)| *other == self).expect("the limit is listed")
    }

    pub fn all() -> impl Iterator<Item = Self> {
        LIMITS.into_iter().map(|(limit, _)| limit)
    }
}

/// How many times each limit was exceeded, and by whom.
#[derive(Debug, Default)]
pub struct Exceeded {
    counts: [u64; LIMITS.len()],
    /// At most [`REFUSED_SOURCES_MAX`]: further addresses are counted only in all.
    sources: HashMap<Source, u64>,
}

impl Exceeded {
    pub fn count(&mut self, limit: Limit, source: Option<Source>) {
        self.counts[limit.place()] += 1;
        if let Some(source) = source {
            self.add(source, 1);
        }
    }

    fn add(&mut self, source: Source, count: u64) {
        if self.sources.len() < REFUSED_SOURCES_MAX || self.sources.contains_key(&source) {
            *self.sources.entry(source).or_default() += count;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.counts == [0; LIMITS.len()]
    }

    fn merge(&mut self, more: Self) {
        self.counts.iter_mut().zip(more.counts).for_each(|(count, more)| *count += more);
        more.sources.into_iter().for_each(|(source, count)| self.add(source, count));
    }

    pub fn line(&self) -> String {
        let counted = self.counts.iter().zip(LIMITS).filter(|(count, _)| **count > 0);
        let list: Vec<_> = counted.map(|(count, (_, what))| format!("{count} {what}")).collect();
        let most = self.sources.iter().max_by_key(|(_, count)| **count);
        let most = most.map(|(source, count)| format!("; most often by {source} ({count} times)"));
        format!("clients exceeded limits: {}{}", list.join(", "), most.unwrap_or_default())
    }
}

/// The exceeded limits that are not logged yet. The first ones are logged at once, later ones once a minute.
#[derive(Default)]
pub struct Summary {
    exceeded: Exceeded,
    logged: Option<Instant>,
}

impl Summary {
    pub fn is_due_later(&self) -> bool {
        !self.exceeded.is_empty()
    }

    /// Takes note of what was counted since the last step, and returns a line if one is due.
    pub fn step(&mut self, now: Instant, exceeded: Exceeded) -> Option<String> {
        self.exceeded.merge(exceeded);
        let may_log = self.logged.is_none_or(|at| now.saturating_duration_since(at) >= REFUSALS_LOG_INTERVAL);
        (may_log && !self.exceeded.is_empty()).then(|| {
            self.logged = Some(now);
            std::mem::take(&mut self.exceeded).line()
        })
    }

    /// The line of what was not logged, for the end of the server.
    pub fn end(self) -> Option<String> {
        self.is_due_later().then(|| self.exceeded.line())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
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
