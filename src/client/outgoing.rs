//! What a contract adds to a session's send side.

use std::time::{Duration, Instant};

use grpcio::GrpcSlice;

use super::error::{SessionError, Unsure};

/// What a session is still to send, under the session's lock.
pub trait Outgoing: Send + 'static {
    /// Whether the contract acknowledges what was stored. Without that, the only progress is that something was written, and a session
    /// that is finishing half-closes the stream and waits for its end.
    const IS_ACKNOWLEDGED: bool;

    /// What to write next, built in `buffer` as far as that helps.
    fn next(&mut self, buffer: &mut Vec<u8>, now: Instant) -> Option<GrpcSlice>;

    /// When something that has to wait may be written.
    fn next_at(&self) -> Option<Instant> {
        None
    }

    /// Notes whether the last request was written, by a clock that stops while the owner handles an event.
    fn written(&mut self, success: bool, now: Instant);

    /// How many lines wait.
    fn len(&self) -> usize;

    /// Whether there is space for a line of so many bytes.
    fn has_room_for(&self, bytes: usize) -> bool;

    /// Whether nothing is left of what a session that is finishing waits for.
    fn is_done(&self) -> bool;

    /// Whether something is there to tell the owner that did not come from the stream.
    fn has_news(&self) -> bool {
        false
    }

    /// Something came from the server that a session that is finishing waits for.
    fn progressed(&mut self) {}

    /// The connection is lost. Returns how many lines that concerns: they are sent again, or may be lost.
    fn disconnect(&mut self, now: Instant) -> usize;

    /// What is not sure when the session ends because the connection is lost, which concerned so many lines.
    fn unsure(&self, lines: usize) -> Unsure;

    /// What is not sure when the session ends because there was no connection for too long.
    fn unsent(&self) -> Unsure;

    /// Why a session that is finishing gives up, after so long without progress.
    fn overdue(&self, is_down: bool, timeout: Duration) -> SessionError;

    /// The outcome of a session that ended in good order.
    fn outcome(&self) -> Result<(), SessionError> {
        Ok(())
    }
}
