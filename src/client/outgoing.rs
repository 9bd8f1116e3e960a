//! The contract's part of a session's send side.

use std::time::{Duration, Instant};

use grpcio::GrpcSlice;

use super::error::{SessionError, Unsure};

/// The requests that a session still has to send. Used under the session's lock.
pub trait Outgoing: Send + 'static {
    /// Whether the contract acknowledges stored lines. Without acknowledgements, the only progress is a completed
    /// write, and a session that is finishing half-closes the stream and waits for its end.
    const IS_ACKNOWLEDGED: bool;

    /// The next request, which may be built in `buffer`.
    fn next(&mut self, buffer: &mut Vec<u8>, now: Instant) -> Option<GrpcSlice>;

    /// When a request that is held back may be written.
    fn next_at(&self) -> Option<Instant> {
        None
    }

    /// Records whether the last request was written, by a clock that stops while the owner handles an event.
    fn written(&mut self, success: bool, now: Instant);

    /// How many lines wait.
    fn len(&self) -> usize;

    /// Whether there is space for a line of this many bytes.
    fn has_room_for(&self, bytes: usize) -> bool;

    /// Whether a session that is finishing has nothing left to wait for.
    fn is_done(&self) -> bool;

    /// Whether there are local events for the owner: events that did not come from the stream.
    fn has_local_events(&self) -> bool {
        false
    }

    /// The server has sent something that a finishing session waits for.
    fn progressed(&mut self) {}

    /// The connection is lost. Returns how many lines are affected: they will be sent again, or may be lost.
    fn disconnect(&mut self, now: Instant) -> usize;

    /// The lines in doubt when the session ends because the connection is lost, which affected this many lines.
    fn unsure(&self, lines: usize) -> Unsure;

    /// The lines in doubt when the session ends because there was no connection for too long.
    fn unsent(&self) -> Unsure;

    /// Why a session that is finishing gives up, after this long without progress.
    fn overdue(&self, is_down: bool, timeout: Duration) -> SessionError;

    /// The outcome of a session that ended cleanly.
    fn outcome(&self) -> Result<(), SessionError> {
        Ok(())
    }
}
