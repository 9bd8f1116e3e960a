//! A session over the tutorial's contract: one room, no history, and no acknowledgements.
//!
//! Lines lost with a connection are never sent again, because the contract can't distinguish a repeat from a new line;
//! the session counts the lines in doubt and reports them.

mod outgoing;

use std::ops::ControlFlow;

use protobuf::Message as _;

use self::outgoing::{Line, Outgoing};
use super::connection::{Connection, Connector};
use super::contract::Contract;
use super::error::SessionError;
use super::incoming::{self, Change, End, Outage, Progress, Step, over};
use super::patience::Patience;
use super::session;
use super::shared::Shared;
use super::stream::{self, Receiver, Sender, StreamError};
use crate::address::Address;
use crate::names::{Body, UserName};
use crate::wire::tutorial::FromServer;
use crate::wire::{END_AFTER_HALF_CLOSE, TUTORIAL_CHAT_CLIENT};

/// The events of a session, in order.
#[derive(Debug)]
pub enum Event<'a> {
    /// A message of another client. Its texts are not checked: they must be escaped before they are shown on a
    /// terminal.
    Message { name: &'a str, body: &'a str },
    /// The connection is lost; `doubtful` lines that were sent may not have arrived.
    Disconnected { reason: String, doubtful: u64 },
    /// There is no connection, for this reason; the next attempt is made after the pause.
    Retrying { reason: &'a str, pause: std::time::Duration },
    /// There is a connection again; the lines kept meanwhile are being sent.
    Reconnected { kept: usize },
}

/// A running session. Its owner waits for its end.
pub type Session = session::Session<Outgoing>;

/// The input of a session: sends lines.
pub type Inlet = session::Inlet<Outgoing>;

impl Session {
    /// Connects and starts. Events are reported on the session's receive thread, which is blocked while one is handled;
    /// a handler that breaks ends the session cleanly. At most `lines_max` lines wait to be sent.
    pub fn start(
        connector: Connector,
        address: Address,
        patience: Patience,
        lines_max: usize,
        on_event: impl FnMut(Event<'_>) -> ControlFlow<()> + Send + 'static,
    ) -> Result<Self, SessionError> {
        Self::open(connector, address, patience, Outgoing::new(lines_max), Incoming { on_event }, |_, _| {})
    }
}

impl Inlet {
    /// Sends a line. Blocks while the maximum number of lines waits.
    pub fn send(&self, name: UserName, body: Body) -> Result<(), SessionError> {
        self.shared.push(body.as_str().len(), |outgoing| {
            outgoing.push(Line { name, body });
            Ok(())
        })
    }

    /// The bodies that were not sent yet.
    pub fn unsent(&self) -> Vec<String> {
        self.shared.lock().outgoing.bodies()
    }
}

/// The owner's handler.
struct Incoming<F> {
    on_event: F,
}

impl<F: FnMut(Event<'_>) -> ControlFlow<()> + Send + 'static> incoming::Incoming for Incoming<F> {
    type Outgoing = Outgoing;

    /// Requests that the server end the stream with `OK` after this side's half-close, once all sent lines are
    /// committed.
    fn open(connection: &Connection) -> Result<(Sender, Receiver), StreamError> {
        stream::open(connection, Contract::Tutorial, TUTORIAL_CHAT_CLIENT.name, Some((END_AFTER_HALF_CLOSE, "1")))
    }

    fn greet(&self, _outgoing: &mut Outgoing) {}

    fn take(&mut self, response: &[u8], _session: &Shared<Outgoing>, _outage: &mut Outage) -> (Step, Progress) {
        let step = match FromServer::parse_from_bytes(response) {
            Ok(message) => over((self.on_event)(Event::Message { name: &message.name, body: &message.body })),
            Err(error) => Step::Break(End::Broken(StreamError::Unreadable(error.to_string()))),
        };
        (step, Progress::default())
    }

    fn report(&mut self, change: Change<'_>, outage: &mut Outage) -> ControlFlow<()> {
        (self.on_event)(match change {
            Change::Lost { error, lines } => Event::Disconnected { reason: error.to_string(), doubtful: lines as u64 },
            Change::Retrying { reason, pause } => Event::Retrying { reason, pause },
            Change::Made { lines } => {
                outage.since = None;
                Event::Reconnected { kept: lines }
            }
        })
    }
}
