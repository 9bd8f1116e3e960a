//! How long a session waits for what, and whether it comes back.

use std::time::Duration;

use super::limits::FINISH_TIMEOUT;

/// What a session does when the connection is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    Reconnect,
    Fail,
}

/// How long a session waits for what, and whether it comes back.
#[derive(Clone, Debug)]
pub struct Patience {
    pub policy: Policy,
    /// How long the first connection may be tried for; by default the first attempt decides.
    pub connect_within: Duration,
    /// How long there may be no connection before the session fails; `None` is for ever.
    pub outage_max: Option<Duration>,
    /// How long it may take until something goes forward when all has been said.
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
