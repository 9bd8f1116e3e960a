//! The receive side of a client of a run, over either contract: counts messages, measures latencies, and publishes the
//! client's progress.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::Sender;

use super::payload::Payload;
use super::report::{Latencies, latencies};
use super::run::{Checks, Run};

/// The results of a client's session.
pub struct Received<C: Checks> {
    pub client: usize,
    pub findings: C::Findings,
    pub latencies: Latencies,
    pub foreign: u64,
}

/// The state of a session's event handler. When it is dropped, with the session's receive thread, the client is done.
pub struct Listener<C: Checks> {
    pub run: Arc<Run<C>>,
    pub client: usize,
    /// `Some` until the end.
    received: Option<Received<C>>,
    results: Sender<Received<C>>,
    /// When the current response arrived; read once for each response.
    now_ns: Option<u64>,
    /// By how many messages this response advanced the client.
    further: u32,
}

impl<C: Checks> Listener<C> {
    pub fn new(run: Arc<Run<C>>, client: usize, results: Sender<Received<C>>) -> Self {
        let findings = C::findings(&run, client);
        let received = Received { client, findings, latencies: latencies(), foreign: 0 };
        Self { run, client, received: Some(received), results, now_ns: None, further: 0 }
    }

    fn received(&mut self) -> &mut Received<C> {
        // Invariant: it is taken only when the listener is dropped.
        self.received.as_mut().expect("a listener listens until it is dropped")
    }

    pub fn findings(&mut self) -> &mut C::Findings {
        &mut self.received().findings
    }

    /// Decodes a message of this run. Any other message is counted as foreign.
    pub fn decode<'a>(&mut self, body: &'a str) -> Option<Payload<'a>> {
        let payload = Payload::decode(body).filter(|payload| payload.run == self.run.id);
        self.received().foreign += u64::from(payload.is_none());
        payload
    }

    /// Records a message that was sent at `sent_ns`. `new`: it arrived for the first time. `further`: by how many
    /// messages it advanced the client.
    pub fn record(&mut self, sent_ns: u64, new: bool, further: u32) {
        if new {
            let now_ns = *self.now_ns.get_or_insert_with(|| self.run.now_ns());
            self.received().latencies.saturating_record(now_ns.saturating_sub(sent_ns) / 1000);
        }
        self.further += further;
    }

    /// Publishes the progress of the response.
    pub fn settle(&mut self) {
        let further = std::mem::take(&mut self.further);
        if further > 0 {
            self.run.window.add(self.client, further);
        }
        let Some(now_ns) = self.now_ns.take() else { return };
        let delivered = C::delivered(self.findings());
        let state = &self.run.states[self.client];
        state.last_ns.store(now_ns, Ordering::Relaxed);
        state.delivered.store(delivered, Ordering::Relaxed);
        if delivered >= self.run.expected(self.client) {
            self.run.mark(&state.done, &self.run.undone);
        }
    }

    /// The client receives all messages that are sent from now on.
    pub fn joined(&self) {
        self.run.mark(&self.run.states[self.client].joined, &self.run.unjoined);
    }
}

impl<C: Checks> Drop for Listener<C> {
    fn drop(&mut self) {
        self.settle();
        let run = &self.run;
        let state = &run.states[self.client];
        state.down.store(false, Ordering::SeqCst);
        run.window.leave(self.client);
        if let Some(received) = self.received.take() {
            // The receiver of the result may be gone.
            let _ = self.results.send(received);
        }
        // A client that is gone is not waited for.
        run.gone.fetch_add(1, Ordering::SeqCst);
        run.mark(&state.joined, &run.unjoined);
        run.mark(&state.done, &run.undone);
        C::is_gone(run, self.client);
    }
}
