//! The receive thread of a session: reads the current stream, reports events to the owner, and reconnects when the
//! connection is lost.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::connection::Connector;
use super::error::SessionError;
use super::incoming::{Change, End, Incoming, Outage, Step};
use super::limits::STABLE_AFTER;
use super::outgoing::Outgoing as _;
use super::patience::Policy;
use super::shared::{Paused, Shared};
use super::stream::{Receiver, Sender, StreamError};
use crate::address::Address;

/// The state of the receive thread.
pub struct Receive<I: Incoming> {
    pub shared: Arc<Shared<I::Outgoing>>,
    pub connector: Connector,
    pub address: Address,
    pub policy: Policy,
    /// How long there may be no connection; `None` means no limit.
    pub outage_max: Option<Duration>,
    pub incoming: I,
    pub outage: Outage,
}

impl<I: Incoming> Receive<I> {
    /// The receive thread. Ends with the session, which it ends itself if it can't continue.
    pub fn run(mut self, mut receiver: Receiver) {
        let mut backoff = Backoff::new();
        let outcome = loop {
            let since = Instant::now();
            let error = match self.follow(&mut receiver, &mut backoff, since) {
                End::Over(outcome) => break outcome,
                End::Broken(error) => error,
            };
            drop(receiver);
            if let Some(outcome) = self.final_outcome(&error) {
                break outcome;
            }
            // A stream that the owner has ended looks like one that was cancelled for good.
            let error = match self.shared.lock().is_hurried() {
                true => StreamError::Lost("connecting again, as requested".to_owned()),
                false => error,
            };
            let lines = self.shared.disconnect();
            self.incoming.disconnected();
            if !matches!(error, StreamError::Lost(_) | StreamError::Fault(_)) || self.policy == Policy::Fail {
                let unsure = self.shared.lock().outgoing.unsure(lines);
                break Err(SessionError::Lost { error, unsure });
            }
            if since.elapsed() >= STABLE_AFTER {
                backoff.reset();
            }
            self.outage.since.get_or_insert_with(Instant::now);
            if self.report(Change::Lost { error: &error, lines }).is_break() || self.report_local_events().is_break() {
                break Ok(());
            }
            match self.reconnect(&mut backoff, error) {
                Ok(Some(next)) => receiver = next,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.shared.end(outcome);
    }

    /// Whether the error ends a session that has ended or half-closed its stream, and how.
    fn final_outcome(&self, error: &StreamError) -> Option<Result<(), SessionError>> {
        let state = self.shared.lock();
        if state.has_ended() {
            return Some(Ok(()));
        }
        state.is_half_closed().then(|| Err(SessionError::Unconfirmed(error.to_string())))
    }

    /// Starts using a stream. Returns how many lines wait for it; `None` means that the session has ended.
    pub fn connect(&self, sender: Sender, receiver: &Receiver) -> Option<usize> {
        self.shared.connect(sender, receiver.canceller(), |outgoing| self.incoming.greet(outgoing))
    }

    /// Tries until there is a connection again. `None` means that the session has ended.
    fn reconnect(&mut self, backoff: &mut Backoff, mut error: StreamError) -> Result<Option<Receiver>, SessionError> {
        loop {
            let mut pause = backoff.pause();
            if let Some(requested) = self.outage.reconnect_after.take() {
                // With jitter, so that not all clients of a restarted server reconnect at the same moment.
                pause = requested + pause;
            }
            if let Some(outage) = self.outage_max {
                let left = outage.saturating_sub(self.outage.since.map_or(Duration::ZERO, |since| since.elapsed()));
                if left.is_zero() {
                    let unsure = self.shared.lock().outgoing.unsent();
                    return Err(SessionError::Outage { outage, reason: error.to_string(), unsure });
                }
                pause = pause.min(left);
            }
            let retrying = Change::Retrying { reason: &error.to_string(), pause };
            if self.report(retrying).is_break() || !self.pause(pause) {
                return Ok(None);
            }
            let opened = self.connector.open(&self.address).map_err(|e| StreamError::Lost(e.to_string()));
            let (sender, receiver) = match opened.and_then(|connection| I::open(&connection)) {
                Ok(conversation) => conversation,
                Err(e) => {
                    error = e;
                    continue;
                }
            };
            let made = self.connect(sender, &receiver).map(|lines| self.report(Change::Made { lines }));
            return Ok(made.is_some_and(|flow| flow.is_continue()).then_some(receiver));
        }
    }

    /// Waits, and reports local events meanwhile. False means that the session has ended.
    fn pause(&mut self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        loop {
            match self.shared.pause(until) {
                Paused::Elapsed => return true,
                Paused::LocalEvent if self.report_local_events().is_continue() => {}
                Paused::LocalEvent | Paused::Over => return false,
            }
        }
    }

    /// Reads until the stream ends, and reports the events.
    fn follow(&mut self, receiver: &mut Receiver, backoff: &mut Backoff, since: Instant) -> End {
        loop {
            let response = match self.incoming.receive(receiver, since) {
                Ok(Some(response)) => response,
                Ok(None) if self.shared.lock().is_half_closed() => return End::Over(Ok(())),
                Ok(None) => return End::Broken(StreamError::Lost("the server ended the conversation".to_owned())),
                Err(error) => return End::Broken(error),
            };
            self.shared.begin_handling();
            let (step, progress) = self.incoming.take(&response, &self.shared, &mut self.outage);
            if progress.caught_up {
                backoff.reset();
            }
            self.shared.end_handling(progress.any);
            if let Step::Break(end) = step {
                return end;
            }
        }
    }

    /// Reports a change of the connection to the owner.
    fn report(&mut self, change: Change<'_>) -> ControlFlow<()> {
        self.shared.begin_handling();
        let flow = self.incoming.report(change, &mut self.outage);
        self.shared.end_handling(false);
        flow
    }

    /// Reports the local events to the owner.
    fn report_local_events(&mut self) -> ControlFlow<()> {
        self.shared.begin_handling();
        let flow = self.incoming.report_local_events(&self.shared);
        self.shared.end_handling(false);
        flow
    }
}
