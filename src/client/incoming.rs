//! What a contract adds to a session's receive side.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::connection::Connection;
use super::error::SessionError;
use super::outgoing::Outgoing;
use super::shared::Shared;
use super::stream::{Receiver, Sender, StreamError};

/// What comes in on the receive thread, and the owner's handler of events.
pub trait Incoming: Send + 'static {
    type Outgoing: Outgoing;

    /// Starts a conversation. Nothing is said yet.
    fn open(connection: &Connection) -> Result<(Sender, Receiver), StreamError>;

    /// Says what comes first on a new stream.
    fn greet(&self, outgoing: &mut Self::Outgoing);

    /// Waits for the next response on a stream that is there since then.
    fn receive(&self, receiver: &mut Receiver, _since: Instant) -> Result<Option<Vec<u8>>, StreamError> {
        receiver.receive()
    }

    /// Takes a response in, and tells the owner what it says.
    fn take(&mut self, response: &[u8], session: &Shared<Self::Outgoing>, outage: &mut Outage) -> (Step, Progress);

    /// The connection is lost: what held on it only is forgotten.
    fn disconnected(&mut self) {}

    /// Tells the owner what happens to the connection.
    fn tell(&mut self, change: Change<'_>, outage: &mut Outage) -> ControlFlow<()>;

    /// Tells the owner what did not come from the stream.
    fn tell_news(&mut self, _session: &Shared<Self::Outgoing>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// What happens to the connection.
pub enum Change<'a> {
    /// It is lost, which concerns so many lines.
    Lost { error: &'a StreamError, lines: usize },
    /// The next attempt comes after the pause.
    Retrying { reason: &'a str, pause: Duration },
    /// There is one again; so many lines wait.
    Made { lines: usize },
}

/// How long there has been no connection, and when to try again.
#[derive(Default)]
pub struct Outage {
    /// Since when there is no connection.
    pub since: Option<Instant>,
    /// When the server asks the client to come back.
    pub reconnect_after: Option<Duration>,
}

/// Why the reading of a stream ended.
pub enum End {
    /// The session is over.
    Over(Result<(), SessionError>),
    Broken(StreamError),
}

/// What reading a response brought forward.
#[derive(Clone, Copy, Default)]
pub struct Progress {
    /// Something that a finishing session waits for.
    pub any: bool,
    /// The client has all that it missed.
    pub caught_up: bool,
}

pub type Step = ControlFlow<End>;

/// What the owner's answer to an event means.
pub fn over(flow: ControlFlow<()>) -> Step {
    match flow {
        ControlFlow::Continue(()) => Step::Continue(()),
        ControlFlow::Break(()) => Step::Break(End::Over(Ok(()))),
    }
}
