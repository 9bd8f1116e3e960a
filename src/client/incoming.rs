//! The contract's part of a session's receive side.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::connection::Connection;
use super::error::SessionError;
use super::outgoing::Outgoing;
use super::shared::Shared;
use super::stream::{Receiver, Sender, StreamError};

/// Handles responses on the receive thread, and passes events to the owner's handler.
pub trait Incoming: Send + 'static {
    type Outgoing: Outgoing;

    /// Opens a stream. Sends nothing yet.
    fn open(connection: &Connection) -> Result<(Sender, Receiver), StreamError>;

    /// Queues the first requests of a new stream.
    fn greet(&self, outgoing: &mut Self::Outgoing);

    /// Waits for the next response of a stream that was opened at `since`.
    fn receive(&self, receiver: &mut Receiver, _since: Instant) -> Result<Option<Vec<u8>>, StreamError> {
        receiver.receive(None)
    }

    /// Processes a response, and reports its events to the owner.
    fn take(&mut self, response: &[u8], session: &Shared<Self::Outgoing>, outage: &mut Outage) -> (Step, Progress);

    /// The connection is lost: discards the state that belonged to it.
    fn disconnected(&mut self) {}

    /// Reports a change of the connection to the owner.
    fn report(&mut self, change: Change<'_>, outage: &mut Outage) -> ControlFlow<()>;

    /// Reports the local events to the owner: those that did not come from the stream.
    fn report_local_events(&mut self, _session: &Shared<Self::Outgoing>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// A change of the connection.
pub enum Change<'a> {
    /// It is lost, which affects this many lines.
    Lost { error: &'a StreamError, lines: usize },
    /// The next attempt is made after the pause.
    Retrying { reason: &'a str, pause: Duration },
    /// There is a connection again; this many lines wait.
    Made { lines: usize },
}

/// How long there has been no connection, and when to try again.
#[derive(Default)]
pub struct Outage {
    /// Since when there is no connection.
    pub since: Option<Instant>,
    /// How long the server asks the client to wait before it reconnects.
    pub reconnect_after: Option<Duration>,
}

/// Why the reading of a stream ended.
pub enum End {
    /// The session is over.
    Over(Result<(), SessionError>),
    Broken(StreamError),
}

/// The progress made by a response.
#[derive(Clone, Copy, Default)]
pub struct Progress {
    /// Something that a finishing session waits for.
    pub any: bool,
    /// A room caught up.
    pub caught_up: bool,
}

pub type Step = ControlFlow<End>;

/// Converts the owner's answer to an event.
pub fn over(flow: ControlFlow<()>) -> Step {
    match flow {
        ControlFlow::Continue(()) => Step::Continue(()),
        ControlFlow::Break(()) => Step::Break(End::Over(Ok(()))),
    }
}
