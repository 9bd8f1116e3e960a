//! Why a stream ends: a closed list.

use std::sync::OnceLock;
use std::time::Instant;

use thiserror::Error;

use crate::limits::{CLOSE_TIMEOUT, COMMANDS_MAX, FINISH_CLOSE_TIMEOUT, HELLO_TIMEOUT, ROOMS_PER_STREAM_MAX};
use crate::names::InvalidText;
use crate::server::auth::access::Denied;
use crate::server::auth::login::LoginError;
use crate::server::log::LogError;
use crate::server::quotas::OverQuota;
use crate::server::room::cursor::Trimmed;

/// Why a session ends. `calls::error` has the code of each, which the transport turns into a status.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CloseReason {
    #[error("the client left")]
    ClientLeft,
    /// The client requested the end after its half-close, and its `posted` posts are committed.
    #[error("the client has finished sending")]
    Finished { posted: u64 },
    #[error("the message can't be decoded: send the contract's messages in protobuf encoding ({0})")]
    Undecodable(String),
    #[error("the first command must be Hello: send it once, before any other command")]
    HelloExpected,
    #[error("no Hello arrived within {} s: send it when the stream begins", HELLO_TIMEOUT.as_secs())]
    HelloLate,
    #[error("a second Hello arrived: open another stream to use another name")]
    HelloRepeated,
    #[error("the request has {0} commands: send at most {COMMANDS_MAX} in one")]
    TooManyCommands(usize),
    #[error("the request names {0} rooms: name 1 to {ROOMS_PER_STREAM_MAX}")]
    RoomsToFollow(usize),
    #[error("the time that the client gave has passed")]
    TimeOver,
    #[error("{0}")]
    Invalid(#[from] InvalidText),
    #[error(
        "this reader fell too far behind: event {} was next, but the log starts at {}; connect again to continue at the head",
        .0.wanted, .0.oldest
    )]
    BehindRetention(Trimmed),
    /// A drain has started, which gives the session time until then.
    #[error("the server is shutting down: connect again in a moment")]
    Draining { until: Instant },
    #[error("the server's log has stopped, so no message can be stored: contact the server's operator")]
    LogStopped,
    #[error("the message could not be stored ({0}): try again later")]
    NotStored(LogError),
    #[error("the message was not stored: {0}")]
    OverQuota(OverQuota),
    #[error("the server can't read its log: contact the server's operator")]
    LogUnreadable(LogError),
    #[error("the server is full: it serves {clients_max} clients at once; try again later")]
    Full { clients_max: usize },
    #[error("the server is full, and another client took your place because you were silent: connect again later")]
    Displaced,
    #[error("your address has {clients_max} clients connected, the maximum: close one first")]
    AddressFull { clients_max: usize },
    #[error("{0}")]
    Login(LoginError),
    #[error("{0}")]
    Denied(Denied),
    #[error("your login was revoked, or changed: log in again, or ask the server's operator")]
    LoginRevoked,
    #[error("your login has expired: connect again with a new token")]
    LoginExpired,
    #[error(
        "this server needs a login, which this contract can't express: use hubbub.v1 (or ask the server's operator for --allow-tutorial-clients)"
    )]
    NoGuests,
    #[error("the server could not start a thread for this stream ({0}): try again later")]
    NoThread(String),
    #[error("the server could not watch the connection of this stream ({0}): try again later")]
    NotWatched(String),
}

/// The name of the end of a stream in whose threads something failed, which is a bug.
pub const THREAD_FAILED: &str = "thread_failed";

/// The names of the reasons in metrics.
pub const CLOSE_WORDS: &[&str] = &[
    "client_left",
    "finished",
    "undecodable",
    "hello_expected",
    "hello_late",
    "hello_repeated",
    "too_many_commands",
    "rooms_to_follow",
    "time_over",
    "invalid",
    "behind_retention",
    "draining",
    "log_stopped",
    "not_stored",
    "over_quota",
    "log_unreadable",
    "full",
    "displaced",
    "address_full",
    "login",
    "denied",
    "login_revoked",
    "login_expired",
    "no_guests",
    "no_thread",
    "not_watched",
    THREAD_FAILED,
];

impl CloseReason {
    /// Whether the cause is on the server's side, so that the log warns.
    pub fn is_surprising(&self) -> bool {
        matches!(self, Self::BehindRetention(_) | Self::NoThread(_) | Self::NotWatched(_) | Self::LogStopped)
    }

    /// The reason in one word, for metrics and for programs that read the log.
    pub fn word(&self) -> &'static str {
        match self {
            Self::ClientLeft => "client_left",
            Self::Finished { .. } => "finished",
            Self::Undecodable(_) => "undecodable",
            Self::HelloExpected => "hello_expected",
            Self::HelloLate => "hello_late",
            Self::HelloRepeated => "hello_repeated",
            Self::TooManyCommands(_) => "too_many_commands",
            Self::RoomsToFollow(_) => "rooms_to_follow",
            Self::TimeOver => "time_over",
            Self::Invalid(_) => "invalid",
            Self::BehindRetention(_) => "behind_retention",
            Self::Draining { .. } => "draining",
            Self::LogStopped => "log_stopped",
            Self::NotStored(_) => "not_stored",
            Self::OverQuota(_) => "over_quota",
            Self::LogUnreadable(_) => "log_unreadable",
            Self::Full { .. } => "full",
            Self::Displaced => "displaced",
            Self::AddressFull { .. } => "address_full",
            Self::Login(_) => "login",
            Self::Denied(_) => "denied",
            Self::LoginRevoked => "login_revoked",
            Self::LoginExpired => "login_expired",
            Self::NoGuests => "no_guests",
            Self::NoThread(_) => "no_thread",
            Self::NotWatched(_) => "not_watched",
        }
    }

    /// What the word leaves open, for the log: it may say more than the client learns.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::LogUnreadable(error) => Some(error.to_string()),
            Self::Undecodable(_)
            | Self::TooManyCommands(_)
            | Self::RoomsToFollow(_)
            | Self::Invalid(_)
            | Self::BehindRetention(_)
            | Self::NotStored(_)
            | Self::OverQuota(_)
            | Self::Login(_)
            | Self::Denied(_)
            | Self::NoThread(_)
            | Self::NotWatched(_) => Some(self.to_string()),
            _ => None,
        }
    }

    /// The deadline for the status to reach the client, if the end starts now.
    pub fn deadline(&self) -> Instant {
        match self {
            Self::Finished { .. } => Instant::now() + FINISH_CLOSE_TIMEOUT,
            // A drain itself cancels the remaining streams at its end; this is for when it can't.
            Self::Draining { until } => *until + CLOSE_TIMEOUT,
            _ => Instant::now() + CLOSE_TIMEOUT,
        }
    }

    /// Whether the end has to wait for the cursor.
    fn waits(&self) -> bool {
        matches!(self, Self::Finished { .. } | Self::Draining { .. })
    }

    /// Whether the cursor is far enough, given the number of own posts that it has passed.
    fn is_due(&self, own_passed: u64, at_head: bool) -> bool {
        match self {
            Self::Finished { posted } => own_passed >= *posted,
            Self::Draining { .. } => at_head,
            _ => true,
        }
    }
}

/// Whether and why a session should end.
#[derive(Default)]
pub struct Closing {
    waiting: OnceLock<CloseReason>,
    /// Overrides `waiting`.
    at_once: OnceLock<CloseReason>,
}

impl Closing {
    /// Sets the reason. The first one is kept, except that a waiting reason is replaced by one that does not wait.
    pub fn set(&self, reason: CloseReason) {
        let slot = if reason.waits() { &self.waiting } else { &self.at_once };
        let _ = slot.set(reason);
    }

    /// The reason, if the session should end now, given the number of own posts that its cursor has passed and whether
    /// it is at the head.
    pub fn due(&self, own_passed: u64, at_head: bool) -> Option<&CloseReason> {
        let waiting = || self.waiting.get().filter(|reason| reason.is_due(own_passed, at_head));
        self.at_once.get().or_else(waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_that_waits_is_due_in_its_time_and_gives_way() {
        let finished = CloseReason::Finished { posted: 2 };
        let closing = Closing::default();
        assert_eq!(closing.due(0, true), None);
        closing.set(finished.clone());
        assert_eq!(closing.due(1, true), None);
        assert_eq!(closing.due(2, false), Some(&finished));
        closing.set(CloseReason::ClientLeft);
        assert_eq!(closing.due(0, false), Some(&CloseReason::ClientLeft));
    }

    #[test]
    fn every_reason_has_its_place_in_the_list_of_words() {
        let source = include_str!("close.rs");
        let words = source.split("fn word").nth(1).and_then(|rest| rest.split("\n    }\n").next()).unwrap();
        let mut words: Vec<_> = words.lines().filter_map(|line| line.split('"').nth(1)).collect();
        words.push(THREAD_FAILED);
        assert_eq!(words, CLOSE_WORDS);
    }

    #[test]
    fn a_drain_waits_for_the_head() {
        let draining = CloseReason::Draining { until: Instant::now() };
        let closing = Closing::default();
        closing.set(draining.clone());
        assert_eq!((closing.due(9, false), closing.due(0, true)), (None, Some(&draining)));
    }
}
