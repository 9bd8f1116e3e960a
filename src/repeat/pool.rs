//! A run from its first connection to its report.
//!
//! The calling thread supervises it; each client has a session with its two threads, each sender also a thread
//! `post-<n>`. Phases: join; send, while the supervisor waits until every client has every message; wait for late
//! messages, so that messages stored twice are counted; finish and report.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, unbounded};
use thiserror::Error;

use super::interrupt::Interrupt;
use super::listener::{Listener, Received};
use super::pace::pace;
use super::plan::Plan;
use super::progress::Progress;
use super::protocol::Protocol;
use super::report::{Report, latencies};
use super::run::Run;
use crate::client::SessionError;
use crate::limits::LIBRARY_THREADS;
use crate::threads::{self, spawn};

/// How long the clients may take to join; longer if an outage is allowed.
const JOIN_TIMEOUT: Duration = Duration::from_secs(30);

/// The interval of [`Protocol::help_to_join`].
const JOIN_INTERVAL: Duration = Duration::from_millis(200);

/// How many threads of the gRPC library serve all connections.
const POLLERS_MAX: usize = 4;

/// Why a run could not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("--size {given} is too small for the numbering with the name of the login: give at least {min}")]
    Size { given: usize, min: usize },
    #[error("can't start a thread ({0}): raise the process limit (ulimit -u), or use fewer --clients")]
    Thread(#[from] io::Error),
    #[error("{clients} clients did not join within {} s: check the server's log", .timeout.as_secs())]
    NotJoined { clients: usize, timeout: Duration },
}

/// The threads and sessions of a run.
struct Pool<P: Protocol> {
    run: Arc<Run<P>>,
    sessions: Vec<P::Session>,
    inlets: Vec<P::Inlet>,
    results: Receiver<Received<P>>,
    sending: Vec<JoinHandle<()>>,
}

/// Runs the plan. The calling thread supervises the run.
pub fn run<P: Protocol>(mut plan: Plan, progress: &Progress, interrupt: &Interrupt) -> Result<Report, RunError> {
    // The library panics without its threads.
    threads::check_available(POLLERS_MAX + LIBRARY_THREADS)?;
    plan.take_name()?;
    if plan.body_bytes < plan.bytes_min() {
        return Err(RunError::Size { given: plan.body_bytes, min: plan.bytes_min() });
    }
    let run: Arc<Run<P>> = Arc::new(Run::new(plan));
    let mut pool = Pool::start(&run)?;
    pool.join()?;
    progress.start((0..run.clients()).map(|client| run.expected(client)).sum());
    let stopped = Arc::clone(&run);
    interrupt.on_first(move || stopped.stop_sending());
    pool.send()?;
    let watched = run.watch(&run.undone, progress);
    if watched && run.gone.load(Ordering::SeqCst) == 0 {
        P::reach_end(&run, progress);
    }
    progress.stop();
    Ok(Report { interrupted: interrupt.is_raised(), ..pool.finish(watched) })
}

impl<P: Protocol> Pool<P> {
    fn start(run: &Arc<Run<P>>) -> Result<Self, RunError> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let connector = run.plan.connector(cores.min(POLLERS_MAX));
        let (results, received) = unbounded();
        let mut pool =
            Self { run: Arc::clone(run), sessions: vec![], inlets: vec![], results: received, sending: vec![] };
        for client in 0..run.clients() {
            let listener = Listener::new(Arc::clone(run), client, results.clone());
            let session = match P::connect(listener, connector.clone()) {
                Err(SessionError::Thread(e)) => return Err(RunError::Thread(e)),
                outcome => outcome?,
            };
            pool.inlets.push(P::inlet(&session));
            pool.sessions.push(session);
        }
        Ok(pool)
    }

    /// Waits until every client has joined.
    fn join(&mut self) -> Result<(), RunError> {
        let timeout = JOIN_TIMEOUT.max(self.run.plan.reconnect_timeout);
        let deadline = Instant::now() + timeout;
        let unjoined = || self.run.unjoined.load(Ordering::SeqCst);
        while unjoined() > 0 {
            if Instant::now() >= deadline {
                return Err(RunError::NotJoined { clients: unjoined(), timeout });
            }
            if self.run.gone.load(Ordering::SeqCst) == 0 {
                P::help_to_join(&self.run, &self.inlets);
            }
            let next = deadline.min(Instant::now() + JOIN_INTERVAL);
            while unjoined() > 0 && Instant::now() < next {
                thread::park_timeout(next.saturating_duration_since(Instant::now()));
            }
        }
        if self.run.gone.load(Ordering::SeqCst) == 0 {
            return Ok(());
        }
        // A client has failed: its error is the reason. The others have none, unless they failed too.
        self.inlets.iter().for_each(P::stop);
        let mut failures = self.wait();
        let first = if failures.is_empty() { SessionError::Ended } else { failures.remove(0).1 };
        failures.iter().for_each(log_failure);
        Err(RunError::Session(first))
    }

    /// Waits until all sessions have ended. Returns the failures, each with the client's index.
    fn wait(&mut self) -> Vec<(usize, SessionError)> {
        let sessions = self.sessions.drain(..).enumerate();
        sessions.filter_map(|(client, session)| Some((client, P::wait(session).err()?))).collect()
    }

    fn send(&mut self) -> Result<(), RunError> {
        self.run.sending_since();
        for index in 0..self.run.plan.senders {
            let (run, inlet) = (Arc::clone(&self.run), self.inlets[usize::from(index)].clone());
            let name = format!("post-{}", u32::from(index) + 1);
            self.run.sending.fetch_add(1, Ordering::SeqCst);
            let thread = spawn(&name, move || {
                post(&run, index, &inlet);
                run.sent_all();
            })?;
            self.run.senders.lock().push(thread.thread().clone());
            self.sending.push(thread);
        }
        Ok(())
    }

    /// Ends all sessions, and adds up.
    fn finish(mut self, watched: bool) -> Report {
        self.run.stop_sending();
        let complete = P::is_complete(&self.run, watched);
        for inlet in &self.inlets {
            // After a run that gave up there is nothing to wait for, and a thread may be blocked in a post.
            if complete { P::finish(inlet) } else { P::stop(inlet) }
        }
        let failures = self.wait();
        failures.iter().for_each(log_failure);
        for thread in self.sending.drain(..) {
            let _ = thread.join();
        }
        report(&self.run, failures.len(), self.results.try_iter().collect())
    }
}

impl<P: Protocol> Drop for Pool<P> {
    /// Ends and joins the threads that an error left behind.
    fn drop(&mut self) {
        self.run.stop_sending();
        self.inlets.iter().for_each(P::stop);
        for thread in self.sending.drain(..) {
            let _ = thread.join();
        }
        // Dropped sessions end and join their threads.
        self.sessions.clear();
    }
}

fn log_failure((client, failure): &(usize, SessionError)) {
    log::error!("client {} failed: {failure}", client + 1);
}

/// The post thread of a client. It ends when all messages are posted, with the session, or with the run.
fn post<P: Protocol>(run: &Run<P>, index: u16, inlet: &P::Inlet) {
    let name = &run.plan.names[usize::from(index)];
    for number in 1..=run.plan.messages {
        if !pace(&run.plan, run.sending_since(), index, number, || run.is_over()) || !run.window.enter() {
            break;
        }
        if let Err(e) = P::post(run, inlet, index, number) {
            run.window.give_back();
            if !run.is_over() {
                log::error!("{name} could not send #{number}: {e}");
            }
            break;
        }
        run.sent[usize::from(index)].store(number, Ordering::Relaxed);
        if !P::ECHOES {
            run.window.add(index.into(), 1);
        }
        log::info!("sent {name} #{number}");
    }
}

/// Adds up what the clients received.
fn report<P: Protocol>(run: &Run<P>, failed: usize, mut received: Vec<Received<P>>) -> Report {
    received.sort_by_key(|received| received.client);
    let last_ns = run.states.iter().map(|state| state.last_ns.load(Ordering::SeqCst)).max().unwrap_or(0);
    let last = run.start + Duration::from_nanos(last_ns);
    // A client whose thread has panicked has no results, and counts as having received nothing.
    let missing = run.clients() - received.len();
    let (mut all, mut foreign, mut findings) = (latencies(), 0, Vec::new());
    for client in received {
        // Invariant: all histograms have the same bounds.
        all.add(&client.latencies).expect("histograms of equal bounds add up");
        foreign += client.foreign;
        findings.push((client.client, client.findings));
    }
    let (counts, v1) = P::judge(run, findings);
    Report {
        clients: run.plan.clients,
        observer: run.clients() > run.plan.clients,
        senders: run.plan.senders.into(),
        body_bytes: run.plan.body_bytes,
        planned: u64::from(run.plan.senders) * u64::from(run.plan.messages),
        sent: run.sent.iter().map(|sent| u64::from(sent.load(Ordering::SeqCst))).sum(),
        v1,
        counts,
        foreign,
        failed: failed + missing,
        took: last.saturating_duration_since(run.sending_since()),
        latencies: all,
        interrupted: false,
    }
}
