//! A session on the tutorial's contract, which survives lost connections.
//!
//! Two threads serve it. `send` takes lines from the outbox and writes them to the current stream. `receive` reads that
//! stream, reports events, and reconnects when the connection is lost; so only one thread opens connections. Both end
//! with the session, and [`Session::wait`] joins them.
//!
//! Lines lost with a connection are never sent again, because the contract can't distinguish a repeat from a new line;
//! the session counts the lines in doubt and reports them.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::error::SessionError;
use super::outbox::Line;
use super::state::{Shared, Work};
use super::stream::{Incoming, Receiver};
use crate::address::Address;
use crate::client::backoff::Backoff;
use crate::client::connection::Connector;
use crate::client::events::{FINISH_TIMEOUT, Policy};
use crate::client::stream::StreamError;
use crate::names::{Body, UserName};
use crate::threads::spawn;

/// After a connection that lasted this long, the pauses start small again.
const STABLE: Duration = Duration::from_secs(5);

/// The events of a session, in order.
#[derive(Debug)]
pub enum Event {
    /// A message of another client.
    Message(Incoming),
    /// The connection is lost; `doubtful` lines that were sent may not have arrived.
    Disconnected { reason: String, doubtful: u64 },
    /// There is no connection, for this reason; the next attempt is made after the pause.
    Retrying { reason: String, pause: Duration },
    /// There is a connection again; the lines kept meanwhile are being sent.
    Reconnected { kept: usize },
}

/// A running session. Its owner waits for its end.
pub struct Session {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// The input of a session: accepts lines from any thread.
#[derive(Clone)]
pub struct Inlet {
    shared: Arc<Shared>,
}

impl Session {
    /// Connects and starts. Events are reported on the session's receive thread, which is blocked while one is handled;
    /// a handler that breaks ends the session cleanly. `timeout` is how long the first connection is tried, and how
    /// long there may be none later; `None` means one attempt at first, and no limit later.
    pub fn start(
        connector: Connector,
        address: Address,
        policy: Policy,
        timeout: Option<Duration>,
        on_event: impl FnMut(Event) -> ControlFlow<()> + Send + 'static,
    ) -> Result<Self, SessionError> {
        let connection = connector.open_within(&address, timeout.unwrap_or_default(), |_| {})?;
        let (sender, receiver) = connection.converse()?;
        let shared = Arc::new(Shared::new(sender, receiver.canceller()));
        let mut session = Self { shared: shared.clone(), threads: Vec::with_capacity(2) };
        let reader = Reader { shared: shared.clone(), connector, address, policy, outage_max: timeout, on_event };
        let spawned = spawn("send", move || send_lines(&shared))
            .map(|thread| session.threads.push(thread))
            .and_then(|()| spawn("receive", move || reader.run(receiver)))
            .map(|thread| session.threads.push(thread));
        match spawned {
            Ok(()) => Ok(session),
            Err(e) => {
                session.shared.end(Ok(()));
                session.join();
                Err(SessionError::Thread(e))
            }
        }
    }

    pub fn inlet(&self) -> Inlet {
        Inlet { shared: self.shared.clone() }
    }

    /// Waits until the session has ended: finished, failed, or ended by its event handler.
    pub fn wait(mut self) -> Result<(), SessionError> {
        let mut state = self.shared.lock();
        while state.ended.is_none() {
            match state.deadline() {
                None => self.shared.changed.wait(&mut state),
                Some(deadline) if deadline > Instant::now() => {
                    self.shared.changed.wait_until(&mut state, deadline);
                }
                Some(_) => {
                    let error = state.overdue();
                    state.end(Err(error));
                    self.shared.changed.notify_all();
                }
            }
        }
        // `Ended` stays set, so that the threads see it; they do not use its value.
        let outcome = state.ended.replace(Ok(())).unwrap_or(Ok(()));
        let doubtful = state.doubtful;
        drop(state);
        self.join();
        match outcome {
            Ok(()) if doubtful > 0 => Err(SessionError::Doubtful(doubtful)),
            outcome => outcome,
        }
    }

    fn join(&mut self) {
        for thread in self.threads.drain(..) {
            // A panic has been reported already; the session's outcome is kept.
            let _ = thread.join();
        }
    }
}

impl Inlet {
    /// Sends a line. Blocks while 1,024 lines wait.
    pub fn send(&self, name: UserName, body: Body) -> Result<(), SessionError> {
        let mut state = self.shared.lock();
        while state.outbox.is_full() && state.ended.is_none() {
            self.shared.changed.wait(&mut state);
        }
        if state.ended.is_some() || state.finishing {
            return Err(SessionError::Ended);
        }
        state.outbox.push(Line { name, body });
        self.shared.changed.notify_all();
        Ok(())
    }

    /// The bodies that were not sent yet.
    pub fn unsent(&self) -> Vec<String> {
        self.shared.lock().outbox.bodies()
    }

    /// Ends the input. The session ends once the server has everything.
    pub fn finish(&self) {
        let mut state = self.shared.lock();
        state.finishing = true;
        state.progress_at = Instant::now();
        self.shared.changed.notify_all();
    }
}

/// The send thread. Ends with the session.
fn send_lines(shared: &Shared) {
    loop {
        match shared.next_work() {
            Work::Send(mut sender, line) => {
                let success = sender.send(&line.name, &line.body).is_ok();
                shared.give_back(sender, Some(success));
            }
            Work::Finish(mut sender) => {
                // The receiver also gets a failure, with its reason.
                let _ = sender.finish(Instant::now() + FINISH_TIMEOUT);
                shared.give_back(sender, None);
            }
            Work::Stop => return,
        }
    }
}

/// The state of the receive thread.
struct Reader<F> {
    shared: Arc<Shared>,
    connector: Connector,
    address: Address,
    policy: Policy,
    outage_max: Option<Duration>,
    on_event: F,
}

impl<F: FnMut(Event) -> ControlFlow<()>> Reader<F> {
    /// The receive thread. Ends with the session, which it ends itself if it can't continue.
    fn run(mut self, mut receiver: Receiver) {
        let mut backoff = Backoff::new();
        let outcome = loop {
            let since = Instant::now();
            let error = match self.follow(&mut receiver) {
                Ok(()) => break Ok(()),
                Err(error) => error,
            };
            drop(receiver);
            if let Some(end) = self.judge(&error) {
                break end;
            }
            let doubtful = self.shared.disconnect();
            if !matches!(error, StreamError::Lost(_)) || self.policy == Policy::Fail {
                // Waiting lines have certainly not arrived.
                let doubtful = doubtful + self.shared.lock().outbox.len() as u64;
                break Err(SessionError::Lost { error, doubtful });
            }
            if since.elapsed() >= STABLE {
                backoff.reset();
            }
            if self.tell(Event::Disconnected { reason: error.to_string(), doubtful }).is_break() {
                break Ok(());
            }
            match self.reconnect(&mut backoff, error.to_string()) {
                ControlFlow::Continue(next) => receiver = next,
                ControlFlow::Break(outcome) => break outcome,
            }
        };
        self.shared.end(outcome);
    }

    /// Reports messages until the stream ends, with OK or an error.
    fn follow(&mut self, receiver: &mut Receiver) -> Result<(), StreamError> {
        while let Some(message) = receiver.receive()? {
            if self.tell(Event::Message(message)).is_break() {
                return Ok(());
            }
        }
        if self.shared.lock().half_closed {
            return Ok(());
        }
        Err(StreamError::Lost("the server ended the conversation".to_owned()))
    }

    /// Whether the error ends a session that is finishing, and how.
    fn judge(&self, error: &StreamError) -> Option<Result<(), SessionError>> {
        let state = self.shared.lock();
        if state.ended.is_some() {
            return Some(Ok(()));
        }
        state.half_closed.then(|| Err(SessionError::Unconfirmed(error.to_string())))
    }

    /// Tries until there is a connection again. Breaks with the session's end.
    fn reconnect(
        &mut self,
        backoff: &mut Backoff,
        mut reason: String,
    ) -> ControlFlow<Result<(), SessionError>, Receiver> {
        let since = Instant::now();
        loop {
            let mut pause = backoff.pause();
            if let Some(outage) = self.outage_max {
                let left = outage.saturating_sub(since.elapsed());
                if left.is_zero() {
                    let unsent = self.shared.lock().outbox.len() as u64;
                    return ControlFlow::Break(Err(SessionError::Outage { outage, reason, unsent }));
                }
                pause = pause.min(left);
            }
            let retrying = Event::Retrying { reason: reason.clone(), pause };
            if self.tell(retrying).is_break() || !self.shared.pause(pause) {
                return ControlFlow::Break(Ok(()));
            }
            let opened = self.connector.open(&self.address).map_err(|e| StreamError::Lost(e.to_string()));
            let (sender, receiver) = match opened.and_then(|connection| connection.converse()) {
                Ok(conversation) => conversation,
                Err(error) => {
                    reason = error.to_string();
                    continue;
                }
            };
            return match self.shared.connect(sender, receiver.canceller()) {
                Ok(kept) if self.tell(Event::Reconnected { kept }).is_continue() => ControlFlow::Continue(receiver),
                _ => ControlFlow::Break(Ok(())),
            };
        }
    }

    /// Reports an event to the owner, whose time does not count as the server's.
    fn tell(&mut self, event: Event) -> ControlFlow<()> {
        self.shared.lock().handling.begin(Instant::now());
        let flow = (self.on_event)(event);
        let mut state = self.shared.lock();
        let took = state.handling.end(Instant::now());
        state.progress_at += took;
        // The owner may wait for a deadline that was out of force meanwhile.
        if state.finishing {
            self.shared.changed.notify_all();
        }
        flow
    }
}
