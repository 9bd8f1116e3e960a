//! A run from its first connection to its report.
//!
//! The calling thread supervises it; each client has a receive thread `recv-<n>`, each sender also a send thread
//! `send-<n>`. Phases: connect; probe, since the contract doesn't confirm joins; send, while the supervisor waits until
//! every client has every message; half-close, so that late messages still count; join and report.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use thiserror::Error;

use super::client::{Received, body, receive, send};
use super::shared::Run;
use crate::client::tutorial::{Receiver, Sender};
use crate::client::{Canceller, ConnectError, Connector, StreamError};
use crate::repeat::interrupt::Interrupt;
use crate::repeat::numbers::Counts;
use crate::repeat::payload::Kind;
use crate::repeat::plan::Plan;
use crate::repeat::progress::Progress;
use crate::repeat::report::{Report, latencies};
use crate::threads::spawn;

/// How long the clients may take to join.
const JOIN_TIMEOUT: Duration = Duration::from_secs(30);

/// How often the probes are repeated.
const PROBE_INTERVAL: Duration = Duration::from_millis(200);

/// How long the server may take to end the streams. A server that does not support that is not at fault.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// How many threads of the gRPC library serve all connections.
const POLLERS_MAX: usize = 4;

/// Why a run could not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error("can't start a thread ({0}): raise the process limit (ulimit -u), or use fewer --clients")]
    Thread(#[from] io::Error),
    #[error("{0} clients got no message within {seconds} s: check the server's log", seconds = JOIN_TIMEOUT.as_secs())]
    NotJoined(usize),
}

/// Runs the plan. Call it on the thread that shall watch over the run.
pub fn run(plan: Plan, progress: &Progress, interrupt: &Interrupt) -> Result<Report, RunError> {
    let run = Arc::new(Run::new(plan));
    if run.has_observer() {
        log::info!("all clients send: one more client that only listens would verify the order too");
    }
    let mut pool = Pool::start(&run)?;
    pool.probe()?;
    let deliveries = (0..run.clients()).map(|client| run.expected(client)).sum();
    progress.start(deliveries);
    let stopped = Arc::clone(&run);
    interrupt.on_first(move || stopped.stop_sending());
    pool.send()?;
    let complete = run.watch(progress);
    progress.stop();
    Ok(Report { interrupted: interrupt.is_raised(), ..pool.finish(complete) })
}

/// The threads and conversations of a run.
struct Pool {
    run: Arc<Run>,
    /// Each client's sender, while its send thread doesn't have it.
    senders: Vec<Option<Sender>>,
    cancellers: Vec<Canceller>,
    receiving: Vec<JoinHandle<Received>>,
    sending: Vec<(usize, JoinHandle<Sender>)>,
}

impl Pool {
    fn start(run: &Arc<Run>) -> Result<Self, RunError> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let connector = Connector::new(cores.min(POLLERS_MAX));
        let mut pool =
            Self { run: Arc::clone(run), senders: vec![], cancellers: vec![], receiving: vec![], sending: vec![] };
        for client in 0..run.clients() {
            let (sender, receiver) = connector.open(&run.plan.server)?.converse()?;
            pool.senders.push(Some(sender));
            pool.cancellers.push(receiver.canceller());
            pool.receive(client, receiver)?;
        }
        Ok(pool)
    }

    fn receive(&mut self, client: usize, receiver: Receiver) -> io::Result<()> {
        let run = Arc::clone(&self.run);
        self.receiving.push(spawn(&format!("recv-{}", client + 1), move || receive(&run, client, receiver))?);
        Ok(())
    }

    /// Sends probes until every client has received one from another client, and so has joined.
    ///
    /// The contract offers no other way. A server sends nothing when a client joins: the C core even holds back the headers
    /// of a response until the first message. Without probes, a message sent to a client that has not joined yet would
    /// count as lost, or a lost one would have to be excused. Probes are not counted, neither as sent nor as delivered.
    fn probe(&mut self) -> Result<(), RunError> {
        let run = Arc::clone(&self.run);
        let deadline = Instant::now() + JOIN_TIMEOUT;
        // One client's probe reaches all others; the first one needs another's, unless it gets nothing anyway.
        let probing = if run.expected(0) > 0 { 2 } else { 1 };
        while run.unprobed.load(Ordering::SeqCst) > 0 {
            for index in 0..probing {
                let body = body(&run, Kind::Probe, index, 1);
                if let Some(sender) = &mut self.senders[usize::from(index)] {
                    sender.send_on(&run.plan.names[usize::from(index)], &body)?;
                }
            }
            let next = Instant::now() + PROBE_INTERVAL;
            while run.unprobed.load(Ordering::SeqCst) > 0 && Instant::now() < next {
                thread::park_timeout(next.saturating_duration_since(Instant::now()));
            }
            if Instant::now() >= deadline {
                return Err(RunError::NotJoined(run.unprobed.load(Ordering::SeqCst)));
            }
        }
        Ok(())
    }

    fn send(&mut self) -> Result<(), RunError> {
        self.run.sending_since();
        for index in 0..self.run.plan.senders {
            let client = usize::from(index);
            let Some(sender) = self.senders[client].take() else { continue };
            let run = Arc::clone(&self.run);
            self.run.sending.fetch_add(1, Ordering::SeqCst);
            let thread = spawn(&format!("send-{}", client + 1), move || {
                let sender = send(&run, client, index, sender);
                run.sent_all();
                sender
            })?;
            self.run.senders.lock().push(thread.thread().clone());
            self.sending.push((client, thread));
        }
        Ok(())
    }

    /// Ends all conversations, and adds up. A complete run ends them with a half-close, so that late duplicates still
    /// arrive; after one that gave up, there is nothing to wait for.
    fn finish(mut self, complete: bool) -> Report {
        self.end_sending(!complete);
        if complete {
            let deadline = Instant::now() + END_TIMEOUT;
            for sender in self.senders.iter_mut().flatten() {
                // A conversation that has failed is known to its receiver.
                let _ = sender.finish(deadline);
            }
            while Instant::now() < deadline && !self.receiving.iter().all(JoinHandle::is_finished) {
                thread::park_timeout(Duration::from_millis(5));
            }
        }
        self.cancel();
        let received = self.receiving.drain(..).filter_map(|thread| thread.join().ok()).collect();
        report(&self.run, received)
    }

    /// Ends the send threads.
    fn end_sending(&mut self, cancel: bool) {
        self.run.finished.store(true, Ordering::SeqCst);
        self.run.stop_sending();
        for (client, thread) in self.sending.drain(..) {
            if cancel {
                self.cancellers[client].cancel();
            }
            self.senders[client] = thread.join().ok();
        }
    }

    fn cancel(&mut self) {
        self.cancellers.iter().for_each(Canceller::cancel);
    }
}

impl Drop for Pool {
    /// Ends and joins the threads that an error left behind.
    fn drop(&mut self) {
        self.end_sending(true);
        self.cancel();
        for thread in self.receiving.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Adds up what the clients received.
fn report(run: &Run, received: Vec<Received>) -> Report {
    let sent: Vec<u32> = run.sent.iter().map(|sent| sent.load(Ordering::SeqCst)).collect();
    let last_ns = run.tallies.iter().map(|tally| tally.last_ns.load(Ordering::SeqCst)).max().unwrap_or(0);
    let last = run.start + Duration::from_nanos(last_ns);
    let mut report = Report {
        clients: run.plan.clients,
        observer: run.has_observer(),
        interrupted: false,
        senders: run.plan.senders.into(),
        body_bytes: run.plan.body_bytes,
        planned: u64::from(run.plan.senders) * u64::from(run.plan.messages),
        sent: sent.iter().copied().map(u64::from).sum(),
        counts: Counts::default(),
        lost: 0,
        foreign: 0,
        failed: run.clients() - received.len(),
        took: last.saturating_duration_since(run.sending_since()),
        latencies: latencies(),
        rooms: None,
    };
    for client in received {
        let (counts, lost) = client.verifier.finish(&sent, &run.reference);
        report.counts.add(&counts);
        report.lost += lost;
        report.foreign += client.foreign;
        report.failed += usize::from(client.failure.is_some());
        // Invariant: all histograms have the same bounds.
        report.latencies.add(&client.latencies).expect("histograms of equal bounds add up");
    }
    report
}
