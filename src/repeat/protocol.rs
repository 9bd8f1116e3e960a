//! The operations of a run that depend on the contract.

use super::listener::Listener;
use super::numbers::Counts;
use super::progress::Progress;
use super::report::V1Report;
use super::run::{Checks, Run};
use crate::client::{Connector, SessionError};

/// A contract: its checks, and its operations.
pub trait Protocol: Checks {
    type Session: Send;
    type Inlet: Clone + Send + 'static;

    /// Connects a client.
    fn connect(listener: Listener<Self>, connector: Connector) -> Result<Self::Session, SessionError>;

    fn inlet(session: &Self::Session) -> Self::Inlet;

    /// Called repeatedly until every client has joined.
    fn help_to_join(_run: &Run<Self>, _inlets: &[Self::Inlet]) {}

    /// Posts a sender's message with this number.
    fn post(run: &Run<Self>, inlet: &Self::Inlet, sender: u16, number: u32) -> Result<(), SessionError>;

    /// Waits until messages that the server stored more than once have arrived too.
    fn reach_end(_run: &Run<Self>, _progress: &Progress) {}

    /// Whether every client has received all messages that can arrive.
    fn is_complete(run: &Run<Self>, watched: bool) -> bool;

    /// No more messages will be posted.
    fn finish(inlet: &Self::Inlet);

    /// Ends a session at once.
    fn stop(inlet: &Self::Inlet);

    /// Waits for the end of a session. An error is a failure of the client.
    fn wait(session: Self::Session) -> Result<(), SessionError>;

    /// Adds up the clients' findings, each with the client's index, in order.
    fn judge(run: &Run<Self>, findings: Vec<(usize, Self::Findings)>) -> (Counts, Option<V1Report>);
}
