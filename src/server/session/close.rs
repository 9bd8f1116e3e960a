//! Why a stream ends: a closed list.

use std::sync::OnceLock;

use thiserror::Error;

use crate::names::InvalidText;
use crate::server::room::cursor::Trimmed;

/// Why a session ends. `rpc::status` turns each into the status that the client gets.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CloseReason {
    #[error("the client left")]
    ClientLeft,
    /// The client asked for the end after its half-close, and its `posted` posts are committed.
    #[error("the client has sent all it wanted to")]
    Finished { posted: u64 },
    #[error("the message can't be decoded: send chatserver.FromClient in protobuf's encoding ({0})")]
    Undecodable(String),
    #[error("{0}")]
    Invalid(#[from] InvalidText),
    #[error(
        "this reader fell too far behind: event {} was next, and the log keeps only what is from {} on; connect again to go on from now",
        .0.wanted, .0.oldest
    )]
    BehindRetention(Trimmed),
    #[error("the server is shutting down: connect again in a moment")]
    Draining,
    #[error("the server is full: it serves {clients_max} clients at once; try again later")]
    Full { clients_max: usize },
    #[error("the server could not start a thread for this stream ({0}): try again later")]
    NoThread(String),
}

impl CloseReason {
    /// Whether it is our side's business: worth a warning in the log.
    pub fn is_surprising(&self) -> bool {
        matches!(self, Self::BehindRetention(_) | Self::NoThread(_) | Self::Full { .. })
    }

    /// Whether the end has to wait: for the room's head to be reached, with this many own posts passed.
    fn waits_for(&self) -> Option<u64> {
        match self {
            Self::Finished { posted } => Some(*posted),
            Self::Draining => Some(0),
            _ => None,
        }
    }
}

/// Whether and why a session is to end.
#[derive(Default)]
pub struct Closing {
    reason: OnceLock<CloseReason>,
    /// Overrides a reason that waits.
    at_once: OnceLock<CloseReason>,
}

impl Closing {
    /// Sets the reason. The first one stands, except that one which waits gives way to one which does not.
    pub fn set(&self, reason: CloseReason) {
        let slot = if reason.waits_for().is_some() { &self.reason } else { &self.at_once };
        let _ = slot.set(reason);
    }

    /// The reason, if the session is to end now, whatever there is to read.
    pub fn now(&self) -> Option<&CloseReason> {
        self.at_once.get()
    }

    /// The reason, if the session is to end now that its cursor is at the head and has passed this many own posts.
    pub fn at_head(&self, own_passed: u64) -> Option<&CloseReason> {
        let waiting = || self.reason.get().filter(|reason| reason.waits_for().is_some_and(|posts| own_passed >= posts));
        self.now().or_else(waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_that_waits_gives_way() {
        let closing = Closing::default();
        assert_eq!(closing.at_head(0), None);
        closing.set(CloseReason::Finished { posted: 2 });
        assert_eq!((closing.now(), closing.at_head(1)), (None, None));
        assert_eq!(closing.at_head(2), Some(&CloseReason::Finished { posted: 2 }));
        closing.set(CloseReason::ClientLeft);
        assert_eq!(closing.now(), Some(&CloseReason::ClientLeft));
        assert_eq!(closing.at_head(2), Some(&CloseReason::ClientLeft));
    }
}
