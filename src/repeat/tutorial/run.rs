//! A run from its first connection to its report.
//!
//! The calling thread watches over it; each client has a receive thread `recv-<n>`, each sender a send thread
//! `send-<n>` too. Phases: connect; probe, since the contract doesn't say when a client has joined; send, while the
//! watcher waits for everything to be everywhere; half-close, so that what comes late still counts; join and report.

use std::io;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use humantime::format_duration;
use parking_lot::Mutex;
use thiserror::Error;

use super::client::{Received, Tally, body, receive, send};
use super::verify::{Reference, Verifier};
use crate::client::tutorial::{Receiver, Sender};
use crate::client::{Canceller, ConnectError, Connector, StreamError};
use crate::repeat::interrupt::Interrupt;
use crate::repeat::numbers::Counts;
use crate::repeat::payload::{Kind, RunId};
use crate::repeat::plan::Plan;
use crate::repeat::progress::Progress;
use crate::repeat::report::{Report, latencies};
use crate::repeat::window::Window;
use crate::threads::spawn;

/// How long the clients may take to join.
const JOIN_TIMEOUT: Duration = Duration::from_secs(30);

/// How often the probes are repeated.
const PROBE_INTERVAL: Duration = Duration::from_millis(200);

/// How often the bar moves, and how exactly silence is measured.
const TICK: Duration = Duration::from_millis(100);

/// How long the server may take to end the conversations. One that doesn't know how to is not at fault.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// How many threads of the gRPC library serve all connections.
const POLLERS_MAX: usize = 4;

/// Why a run could not take place.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error("no thread can be started ({0}): raise the limit of processes (ulimit -u), or use fewer --clients")]
    Thread(#[from] io::Error),
    #[error("{0} clients got no message within {seconds} s: see the server's log", seconds = JOIN_TIMEOUT.as_secs())]
    NotJoined(usize),
}

/// What all threads of a run share.
pub struct Run {
    pub plan: Plan,
    pub id: RunId,
    start: Instant,
    sending_since: OnceLock<Instant>,
    pub window: Window,
    pub reference: Reference,
    /// One for each client, and for the observer.
    pub tallies: Vec<Tally>,
    /// For each sender, the number of the last message sent.
    pub sent: Vec<AtomicU32>,
    /// How many clients have not joined yet, as far as anybody knows.
    pub unprobed: AtomicUsize,
    /// How many clients still wait for messages.
    pub undone: AtomicUsize,
    over: AtomicBool,
    /// The conversations are being ended: from here on an end is no failure.
    finished: AtomicBool,
    /// The send threads that have not ended, and the handles to wake them.
    sending: AtomicUsize,
    senders: Mutex<Vec<Thread>>,
    pub watcher: Thread,
}

/// Runs the plan. Call it on the thread that shall watch over the run.
pub fn run(plan: Plan, progress: &Progress, interrupt: &Interrupt) -> Result<Report, RunError> {
    let run = Arc::new(Run::new(plan));
    if run.has_observer() {
        log::info!("all clients send: one more, that only listens, shows the order");
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

impl Run {
    fn new(plan: Plan) -> Self {
        let observer = usize::from(plan.clients == usize::from(plan.senders));
        let clients = plan.clients + observer;
        let run = Self {
            id: RunId(fastrand::u64(..)),
            start: Instant::now(),
            sending_since: OnceLock::new(),
            window: Window::new(clients, plan.in_flight.into()),
            reference: Reference::new(plan.senders, plan.messages),
            tallies: (0..clients).map(|_| Tally::default()).collect(),
            sent: (0..plan.senders).map(|_| AtomicU32::new(0)).collect(),
            unprobed: AtomicUsize::new(clients),
            undone: AtomicUsize::new(clients),
            over: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            sending: AtomicUsize::new(0),
            senders: Mutex::default(),
            watcher: thread::current(),
            plan,
        };
        // The only sender of a run gets nothing.
        for client in (0..clients).filter(|&client| run.expected(client) == 0) {
            run.tallies[client].expect_nothing();
            run.unprobed.fetch_sub(1, Ordering::SeqCst);
            run.undone.fetch_sub(1, Ordering::SeqCst);
        }
        run
    }

    /// How many connections the run has.
    pub fn clients(&self) -> usize {
        self.tallies.len()
    }

    fn has_observer(&self) -> bool {
        self.clients() > self.plan.clients
    }

    /// The sender that the client is, if it sends: the first clients do.
    pub fn sender(&self, client: usize) -> Option<u16> {
        u16::try_from(client).ok().filter(|&sender| sender < self.plan.senders)
    }

    /// How many messages the client gets if all goes well.
    pub fn expected(&self, client: usize) -> u64 {
        let others = u64::from(self.plan.senders) - u64::from(self.sender(client).is_some());
        others * u64::from(self.plan.messages)
    }

    /// The checks of a client. The first that doesn't send is the reference for the order.
    pub fn verifier(&self, client: usize) -> Verifier {
        let Plan { senders, messages, in_flight, .. } = self.plan;
        Verifier::new(self.sender(client), senders, messages, client == usize::from(senders), in_flight as usize)
    }

    pub fn now_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// When the senders were let go: when this was first asked.
    pub fn sending_since(&self) -> Instant {
        *self.sending_since.get_or_init(Instant::now)
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    pub fn is_finished(&self) -> bool {
        self.finished.load(Ordering::SeqCst)
    }

    /// Lets no further message be sent.
    fn stop_sending(&self) {
        self.over.store(true, Ordering::SeqCst);
        self.window.close();
        self.senders.lock().iter().for_each(Thread::unpark);
        self.watcher.unpark();
    }

    /// A send thread has ended.
    pub fn sent_all(&self) {
        self.sending.fetch_sub(1, Ordering::SeqCst);
        self.watcher.unpark();
    }

    /// Whether the run was interrupted and every client has what was sent until then.
    fn has_all_sent(&self) -> bool {
        if !self.is_over() || self.sending.load(Ordering::SeqCst) > 0 {
            return false;
        }
        let sent: Vec<u64> = self.sent.iter().map(|sent| sent.load(Ordering::SeqCst).into()).collect();
        let total: u64 = sent.iter().sum();
        self.tallies.iter().enumerate().all(|(client, tally)| {
            let own = self.sender(client).map_or(0, |sender| sent[usize::from(sender)]);
            tally.delivered.load(Ordering::SeqCst) >= total - own || tally.is_done()
        })
    }

    /// Waits until every client has all or is gone. False says that it gave up, because nothing more came.
    fn watch(&self, progress: &Progress) -> bool {
        // With a rate, silence up to the next message is as it should be.
        let interval = self.plan.rate.map_or(Duration::ZERO, |rate| Duration::from_secs(1) / rate);
        let patience = self.plan.idle_timeout + interval;
        let mut seen = (0, 0);
        let mut changed_at = Instant::now();
        while self.undone.load(Ordering::SeqCst) > 0 && !self.has_all_sent() {
            let delivered = self.tallies.iter().map(|tally| tally.delivered.load(Ordering::Relaxed)).sum();
            let sent: u64 = self.sent.iter().map(|sent| u64::from(sent.load(Ordering::Relaxed))).sum();
            progress.set(delivered);
            if (delivered, sent) != seen {
                seen = (delivered, sent);
                changed_at = Instant::now();
            } else if changed_at.elapsed() > patience {
                progress.notice(&format!("nothing came for {}: giving up", format_duration(patience)));
                return false;
            }
            thread::park_timeout(TICK);
        }
        true
    }
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

    /// Sends probes until every client has received one from somebody else, and so has joined.
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

    /// Ends all conversations, and adds up. A run that is complete ends them in good order, so that late duplicates
    /// still come in; after one that gave up, there is nothing to wait for.
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
    /// Ends and joins what an error left behind.
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
