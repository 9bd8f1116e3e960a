//! A conversation that outlives its connections.
//!
//! Two threads serve it. `send` takes lines from the outbox and writes them to the stream of the moment. `receive`
//! reads that stream, reports what happens, and when the connection is lost, makes the next one; so there is exactly
//! one place where connections come from. Both end with the session, and [`Session::wait`] joins them.
//!
//! What a broken connection took along is never sent again, because the contract could not tell a repeat from a new
//! line; the session counts what is in doubt and says so.

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

/// A connection that lasted this long was a good one: after it, the pauses start small again.
const STABLE: Duration = Duration::from_secs(5);

/// What happens in a session, in order.
#[derive(Debug)]
pub enum Event {
    /// Somebody else said something.
    Message(Incoming),
    /// The connection is lost; `doubtful` lines that were sent may not have arrived.
    Disconnected { reason: String, doubtful: u64 },
    /// There is no connection, for this reason; the next attempt comes after the pause.
    Retrying { reason: String, pause: Duration },
    /// There is a connection again; the lines kept meanwhile are on their way.
    Reconnected { kept: usize },
}

/// A running session. Its owner waits for its end.
pub struct Session {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// Where lines go into a session, from any thread.
#[derive(Clone)]
pub struct Inlet {
    shared: Arc<Shared>,
}

impl Session {
    /// Connects and starts. Events come on the session's receive thread, which is held up while one is handled; a
    /// handler that breaks ends the session in good order. `timeout` is how long the first connection is tried for, and how
    /// long there may be none later; `None` stands for one attempt at first, and for ever later.
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

    /// Waits until the session has ended: finished, failed, or broken off by its event handler.
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
        // Ended stays set, so that the threads see it; they never look into it.
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
            // A thread that panicked has said so; the session's outcome stands.
            let _ = thread.join();
        }
    }
}

impl Inlet {
    /// Hands a line over. Blocks while 1,024 lines wait.
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

    /// Says that no more lines come. The session ends once the server has everything.
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
                // A failure shows at the receiver as well, with its reason.
                let _ = sender.finish(Instant::now() + FINISH_TIMEOUT);
                shared.give_back(sender, None);
            }
            Work::Stop => return,
        }
    }
}

/// The receive thread's belongings.
struct Reader<F> {
    shared: Arc<Shared>,
    connector: Connector,
    address: Address,
    policy: Policy,
    outage_max: Option<Duration>,
    on_event: F,
}

impl<F: FnMut(Event) -> ControlFlow<()>> Reader<F> {
    /// The receive thread. Ends with the session, which it ends itself where it can't go on.
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
                // What waits to be sent has surely not arrived.
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

    /// Reports what comes until the stream ends: in good order, or with an error.
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

    /// Whether the error ends a session that had an end coming, and how.
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

    /// Hands an event to the owner, whose time does not count as the server's.
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
