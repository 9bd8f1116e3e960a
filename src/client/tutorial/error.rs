//! Why a session on the tutorial's contract ends.

use std::io;
use std::time::Duration;

use humantime::format_duration;
use thiserror::Error;

use super::outbox::doubt;

use crate::client::connect_error::ConnectError;
use crate::client::events::FINISH_TIMEOUT;
use crate::client::outbox::lines;
use crate::client::stream::StreamError;

/// Why a session failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SessionError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error("{error}{}", doubt(*.doubtful))]
    Lost { error: StreamError, doubtful: u64 },
    #[error("the last messages may not have arrived: {0}")]
    Unconfirmed(String),
    #[error("not sent: {}, because there was no connection for {} s", lines(*.0), FINISH_TIMEOUT.as_secs())]
    Unsent(u64),
    #[error("may not have arrived: {}, because the connection was lost soon after", lines(*.0))]
    Doubtful(u64),
    #[error("no connection for {} ({reason}){}", format_duration(*.outage), not_sent(*.unsent))]
    Outage { outage: Duration, reason: String, unsent: u64 },
    #[error("the session has ended")]
    Ended,
    #[error("can't start a thread ({0}): raise the process limit, see ulimit -u")]
    Thread(#[from] io::Error),
}

/// The end of a message about an outage: the number of waiting lines, if any.
fn not_sent(count: u64) -> String {
    if count == 0 { String::new() } else { format!("; not sent: {}", lines(count)) }
}
