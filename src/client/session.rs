//! A session, over either contract: a conversation that survives lost connections.
//!
//! Two threads serve it. `send` takes waiting requests, and writes them to the current stream. `receive` reads that
//! stream, reports events to the owner, and reconnects when the connection is lost; so only one thread opens
//! connections. Both end with the session, and [`Session::wait`] joins them. The parts that depend on the contract are
//! in its [`Outgoing`] and [`Incoming`].

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::connect_error::ConnectError;
use super::connection::Connector;
use super::error::SessionError;
use super::incoming::{Incoming, Outage};
use super::limits::FINISH_TIMEOUT;
use super::outgoing::Outgoing;
use super::patience::Patience;
use super::receive::Receive;
use super::shared::{Shared, Work};
use crate::address::Address;
use crate::threads::{self, spawn};

/// The names of the threads.
const SEND: &str = "send";
const RECEIVE: &str = "receive";

/// A running session. Its owner waits for its end.
pub struct Session<O: Outgoing> {
    shared: Arc<Shared<O>>,
    finish_timeout: Duration,
    threads: Vec<JoinHandle<()>>,
}

/// The input of a session, from any thread.
pub struct Inlet<O> {
    pub(super) shared: Arc<Shared<O>>,
}

impl<O: Outgoing> Session<O> {
    /// Connects and starts. `waiting` is called once if the first connection fails and is retried.
    pub(super) fn open<I: Incoming<Outgoing = O>>(
        connector: Connector,
        address: Address,
        patience: Patience,
        outgoing: O,
        mut incoming: I,
        mut waiting: impl FnMut(&mut I, &ConnectError),
    ) -> Result<Self, SessionError> {
        let within = patience.connect_within;
        let connection = connector.open_within(&address, within, |error| waiting(&mut incoming, error))?;
        let (sender, receiver) = I::open(&connection)?;
        let shared = Arc::new(Shared::new(outgoing));
        let mut session =
            Self { shared: Arc::clone(&shared), finish_timeout: patience.finish_timeout, threads: vec![] };
        let Patience { policy, outage_max, .. } = patience;
        let outage = Outage::default();
        let receive = Receive { shared: Arc::clone(&shared), connector, address, policy, outage_max, incoming, outage };
        receive.connect(sender, &receiver);
        let (sending, receiving) = (Guard::new(&shared, SEND), Guard::new(&shared, RECEIVE));
        let spawned = spawn(SEND, move || sending.guard(|| send_requests(&shared)))
            .map(|thread| session.threads.push(thread))
            .and_then(|()| spawn(RECEIVE, move || receiving.guard(|| receive.run(receiver))))
            .map(|thread| session.threads.push(thread));
        // If one was refused, dropping the session ends the other.
        spawned.map(|()| session).map_err(SessionError::Thread)
    }

    pub fn inlet(&self) -> Inlet<O> {
        Inlet { shared: Arc::clone(&self.shared) }
    }

    /// Waits until the session has ended: finished, failed, stopped, or ended by its event handler.
    pub fn wait(mut self) -> Result<(), SessionError> {
        let outcome = self.shared.wait(self.finish_timeout);
        self.join();
        outcome
    }

    fn join(&mut self) {
        for thread in self.threads.drain(..) {
            // A panic has been reported already; the session's outcome is kept.
            let _ = thread.join();
        }
    }
}

impl<O: Outgoing> Drop for Session<O> {
    fn drop(&mut self) {
        self.shared.end(Ok(()));
        self.join();
    }
}

impl<O: Outgoing> Inlet<O> {
    /// Ends the input. The session ends once the server has everything.
    pub fn finish(&self) {
        self.shared.finish();
    }

    /// Ends the session at once. Lines that the server has not confirmed may or may not have arrived.
    pub fn stop(&self) {
        self.shared.end(Ok(()));
    }

    /// Connects again at once: ends the connection, if any, and the pause before the next attempt.
    pub fn reconnect(&self) {
        self.shared.hurry();
    }
}

impl<O> Clone for Inlet<O> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

/// Ends the session if one of its threads panics: its owner waits for both.
struct Guard<O: Outgoing> {
    shared: Arc<Shared<O>>,
    thread: &'static str,
}

impl<O: Outgoing> Guard<O> {
    fn new(shared: &Arc<Shared<O>>, thread: &'static str) -> Self {
        Self { shared: Arc::clone(shared), thread }
    }

    /// Runs the thread. What it owns is dropped before the session is ended.
    fn guard(self, body: impl FnOnce()) {
        threads::owned();
        threads::panic_point(&format!("session-{}", self.thread));
        body();
    }
}

impl<O: Outgoing> Drop for Guard<O> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.shared.panicked(self.thread, self.thread == SEND);
        }
    }
}

/// The send thread. Ends with the session.
fn send_requests<O: Outgoing>(shared: &Shared<O>) {
    let mut buffer = Vec::new();
    while let Some(work) = shared.next_work(&mut buffer) {
        match work {
            // It waits for the previous request, so that while one is in flight, the next one is collected. The
            // receiver also gets a failure, with its reason.
            Work::Send(mut sender, request) => {
                let success = sender.send_on(request).is_ok();
                shared.give_back(sender, success);
            }
            Work::HalfClose(mut sender) => {
                let _ = sender.finish(Instant::now() + FINISH_TIMEOUT);
                shared.give_back_spent(sender);
            }
        }
    }
}
