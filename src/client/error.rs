//! Why a session failed.

use std::fmt;
use std::io;
use std::time::Duration;

use humantime::format_duration;
use thiserror::Error;

use super::connect_error::ConnectError;
use super::stream::StreamError;
use crate::names::RoomName;

/// Why a session failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SessionError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error("{error}{unsure}")]
    Lost { error: StreamError, unsure: Unsure },
    #[error("no connection for {} ({reason}){unsure}", format_duration(*.outage))]
    Outage { outage: Duration, reason: String, unsure: Unsure },
    #[error("perhaps not stored: {}, because {reason}", self::lines(*.lines))]
    Unacknowledged { lines: u64, reason: String },
    #[error("the last messages may not have arrived: {0}")]
    Unconfirmed(String),
    #[error("not sent: {}, because there was no connection for {} s", self::lines(*.lines), .timeout.as_secs())]
    Unsent { lines: u64, timeout: Duration },
    #[error("may not have arrived: {}, because the connection was lost soon after", lines(*.0))]
    Doubtful(u64),
    #[error("can't join {room}: {reason}")]
    Room { room: RoomName, reason: String },
    #[error("{room} is not joined: join it first")]
    NotJoined { room: RoomName },
    #[error("the session has ended")]
    Ended,
    #[error("the session's thread {thread:?} has failed: this is a bug, please report it")]
    Panicked { thread: &'static str },
    #[error("can't start a thread ({0}): raise the process limit, see ulimit -u")]
    Thread(#[from] io::Error),
}

/// How many lines a failure leaves in doubt. As text, it is the end of an error message; empty if there are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsure {
    /// Lines that were not acknowledged.
    Stored(u64),
    /// Lines that were sent shortly before, with a contract without acknowledgements.
    Arrived(u64),
    NotSent(u64),
}

impl fmt::Display for Unsure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Stored(0) | Self::Arrived(0) | Self::NotSent(0) => Ok(()),
            Self::Stored(count) => write!(f, "; perhaps not stored: the last {} you sent", lines(count)),
            Self::Arrived(count) => write!(f, "; may not have arrived: the last {} you sent", lines(count)),
            Self::NotSent(count) => write!(f, "; not sent: {}", lines(count)),
        }
    }
}

/// A number of lines, in words.
pub fn lines(count: u64) -> String {
    if count == 1 { "1 line".to_owned() } else { format!("{count} lines") }
}
