//! The timeouts of a session, and whether it reconnects.

use std::time::Duration;

use super::limits::FINISH_TIMEOUT;

/// What a session does when the connection is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    Reconnect,
    Fail,
}

/// The timeouts of a session, and whether it reconnects.
#[derive(Clone, Debug)]
pub struct Patience {
    pub policy: Policy,
    /// How long the first connection is tried; by default, one attempt.
    pub connect_within: Duration,
    /// How long there may be no connection before the session fails; `None` means no limit.
    pub outage_max: Option<Duration>,
    /// How long a session that is finishing waits without progress.
    pub finish_timeout: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            policy: Policy::Reconnect,
            connect_within: Duration::ZERO,
            outage_max: None,
            finish_timeout: FINISH_TIMEOUT,
        }
    }
}
