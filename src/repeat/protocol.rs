//! How a contract is spoken in a run.

use super::listener::Listener;
use super::numbers::Counts;
use super::progress::Progress;
use super::report::RoomsReport;
use super::run::{Checks, Run};
use crate::client::{Connector, SessionError};

/// A contract, by what its clients check.
pub trait Protocol: Checks {
    type Session: Send;
    type Inlet: Clone + Send + 'static;

    /// Connects a client.
    fn connect(listener: Listener<Self>, connector: Connector) -> Result<Self::Session, SessionError>;

    fn inlet(session: &Self::Session) -> Self::Inlet;

    /// Does what must be done again and again until every client has joined.
    fn help_to_join(_run: &Run<Self>, _inlets: &[Self::Inlet]) {}

    /// Posts a sender's message of that number.
    fn post(run: &Run<Self>, inlet: &Self::Inlet, sender: u16, number: u32) -> Result<(), SessionError>;

    /// Waits until whatever the server has stored too often has come as well.
    fn reach_end(_run: &Run<Self>, _progress: &Progress) {}

    /// Whether every client has all that can come.
    fn is_complete(run: &Run<Self>, watched: bool) -> bool;

    /// No more messages will be posted.
    fn finish(inlet: &Self::Inlet);

    /// Ends a session at once.
    fn stop(inlet: &Self::Inlet);

    /// Waits for the end of a session. An error is a failure of the client.
    fn wait(session: Self::Session) -> Result<(), SessionError>;

    /// Adds up what the clients found, each with its number, in order; and how many deliveries did not take place.
    fn judge(run: &Run<Self>, findings: Vec<(usize, Self::Findings)>) -> (Counts, u64, Option<RoomsReport>);
}
