//! A run from its first connection to its report.
//!
//! The calling thread supervises it; each client has a session with its two threads, each sender also a thread
//! `post-<n>`. Phases: join, which the contract confirms; send, while the supervisor waits until every client has every
//! message; query the end of the room and wait until every client is there, so that messages stored twice are counted;
//! finish and report.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use thiserror::Error;

use super::client::{Listener, Received, send};
use super::shared::Run;
use super::verify::{Acknowledged, Verdict, Verifier, judge};
use crate::client::{
    BYTES_MAX, CALL_TIMEOUT, Caller, Connector, Inlet, LINES_MAX, PagePlace, Session, SessionError, Settings, StartAt,
};
use crate::repeat::interrupt::Interrupt;
use crate::repeat::plan::Plan;
use crate::repeat::progress::Progress;
use crate::repeat::report::{Report, RoomsReport, latencies};
use crate::threads::spawn;

/// How long the clients may take to join; longer if an outage is allowed.
const JOIN_TIMEOUT: Duration = Duration::from_secs(30);

/// How many threads of the gRPC library serve all connections.
const POLLERS_MAX: usize = 4;

/// Why a run could not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("can't start a thread ({0}): raise the process limit (ulimit -u), or use fewer --clients")]
    Thread(#[from] io::Error),
    #[error("{clients} clients did not join within {} s: check the server's log", .timeout.as_secs())]
    NotJoined { clients: usize, timeout: Duration },
}

/// Runs the plan. Call it on the thread that shall watch over the run.
pub fn run(plan: Plan, progress: &Progress, interrupt: &Interrupt) -> Result<Report, RunError> {
    let run = Arc::new(Run::new(plan));
    let mut pool = Pool::start(&run)?;
    pool.join_room()?;
    progress.start(run.expected() * run.plan.clients as u64);
    let stopped = Arc::clone(&run);
    interrupt.on_first(move || stopped.stop_sending());
    pool.send()?;
    let complete = run.watch(&run.undone, progress);
    if complete && run.gone.load(Ordering::SeqCst) == 0 {
        pool.reach_end(progress);
    }
    progress.stop();
    Ok(Report { interrupted: interrupt.is_raised(), ..pool.finish() })
}

/// The threads and sessions of a run.
struct Pool {
    run: Arc<Run>,
    sessions: Vec<Session>,
    inlets: Vec<Inlet>,
    results: Receiver<Received>,
    sending: Vec<JoinHandle<()>>,
}

impl Pool {
    fn start(run: &Arc<Run>) -> Result<Self, RunError> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let connector = Connector::new(cores.min(POLLERS_MAX));
        let (results, received) = unbounded();
        let mut pool =
            Self { run: Arc::clone(run), sessions: vec![], inlets: vec![], results: received, sending: vec![] };
        for client in 0..run.plan.clients {
            let session = connect(run, client, &connector, &results)?;
            pool.inlets.push(session.inlet());
            pool.sessions.push(session);
        }
        Ok(pool)
    }

    /// Waits until every client is in the room.
    fn join_room(&mut self) -> Result<(), RunError> {
        let timeout = JOIN_TIMEOUT.max(self.run.plan.reconnect_timeout);
        let deadline = Instant::now() + timeout;
        while self.run.unjoined.load(Ordering::SeqCst) > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(RunError::NotJoined { clients: self.run.unjoined.load(Ordering::SeqCst), timeout });
            }
            thread::park_timeout(left);
        }
        if self.run.gone.load(Ordering::SeqCst) == 0 {
            return Ok(());
        }
        // One has failed: its error is the reason. The others have none.
        self.inlets.iter().for_each(Inlet::stop);
        for session in self.sessions.drain(..) {
            session.wait()?;
        }
        Err(RunError::Session(SessionError::Ended))
    }

    fn send(&mut self) -> Result<(), RunError> {
        self.run.sending_since();
        for index in 0..self.run.plan.senders {
            let (run, inlet) = (Arc::clone(&self.run), self.inlets[usize::from(index)].clone());
            let name = format!("post-{}", u32::from(index) + 1);
            self.run.sending.fetch_add(1, Ordering::SeqCst);
            let thread = spawn(&name, move || {
                send(&run, index, &inlet);
                run.sent_all();
            })?;
            self.run.senders.lock().push(thread.thread().clone());
            self.sending.push(thread);
        }
        Ok(())
    }

    /// Waits until every client has received the whole room. Posts nothing: the server reports the end of the room.
    fn reach_end(&mut self, progress: &Progress) {
        let run = &self.run;
        let asked = Caller::connect(Connector::new(1), run.plan.server.clone(), CALL_TIMEOUT)
            .and_then(|mut caller| caller.messages(&run.plan.room, PagePlace::Newest, 1));
        match asked {
            Ok(page) => {
                run.end_at(page.head_seq);
                run.watch(&run.incomplete, progress);
            }
            Err(error) => log::error!("can't read the end of the room: {error}"),
        }
    }

    /// Ends the send threads.
    fn end_sending(&mut self) {
        self.run.stop_sending();
    }

    /// Ends all sessions, and adds up.
    fn finish(mut self) -> Report {
        self.end_sending();
        let complete = self.run.incomplete.load(Ordering::SeqCst) == 0;
        for inlet in &self.inlets {
            // After a run that gave up there is nothing to wait for, and a thread may be blocked in a post.
            if complete { inlet.finish() } else { inlet.stop() }
        }
        let mut failed = 0;
        for (client, session) in self.sessions.drain(..).enumerate() {
            if let Err(failure) = session.wait() {
                failed += 1;
                log::error!("client {} failed: {failure}", client + 1);
            }
        }
        for thread in self.sending.drain(..) {
            let _ = thread.join();
        }
        report(&self.run, failed, self.results.try_iter().collect())
    }
}

impl Drop for Pool {
    /// Ends and joins the threads that an error left behind.
    fn drop(&mut self) {
        self.end_sending();
        self.inlets.iter().for_each(Inlet::stop);
        for thread in self.sending.drain(..) {
            let _ = thread.join();
        }
        // Dropped sessions end and join their threads.
        self.sessions.clear();
    }
}

/// Starts a client's session. The first must find its server at once; the others know that there is one, which may be on
/// its way back.
fn connect(
    run: &Arc<Run>,
    client: usize,
    connector: &Connector,
    results: &Sender<Received>,
) -> Result<Session, RunError> {
    let Plan { server, room, names, reconnect_timeout, in_flight, body_bytes, .. } = &run.plan;
    let lines_max = (*in_flight as usize).max(LINES_MAX);
    let settings = Settings {
        connect_within: if client > 0 { *reconnect_timeout } else { Duration::ZERO },
        outage_max: Some(*reconnect_timeout),
        finish_timeout: run.plan.idle_timeout,
        lines_max,
        bytes_max: BYTES_MAX.max(lines_max.saturating_mul(*body_bytes)),
        ..Settings::new(names[client].clone(), room.clone(), StartAt::Head)
    };
    let mut listener = Listener::new(Arc::clone(run), client, results.clone());
    match Session::start(connector.clone(), server.clone(), settings, move |event| listener.handle(event)) {
        Err(SessionError::Thread(e)) => Err(RunError::Thread(e)),
        outcome => Ok(outcome?),
    }
}

/// Adds up what the clients received.
fn report(run: &Run, failed: usize, mut received: Vec<Received>) -> Report {
    received.sort_by_key(|received| received.client);
    let last_ns = run.tallies.iter().map(|tally| tally.last_ns.load(Ordering::SeqCst)).max().unwrap_or(0);
    let last = run.start + Duration::from_nanos(last_ns);
    let mut all = latencies();
    let (mut foreign, mut rooms) = (0, RoomsReport::default());
    let (mut verifiers, mut acknowledged): (Vec<Verifier>, Vec<Acknowledged>) = (vec![], vec![]);
    // A client whose thread has panicked has no results, and counts as having received nothing.
    let missing = run.plan.clients - received.len();
    for client in received {
        // Invariant: all histograms have the same bounds.
        all.add(&client.latencies).expect("histograms of equal bounds add up");
        foreign += client.foreign;
        rooms.reconnects += client.reconnects;
        rooms.faults += client.faults;
        rooms.rejected += client.rejected;
        verifiers.push(client.verifier);
        if client.client < usize::from(run.plan.senders) {
            acknowledged.resize_with(client.client, || Acknowledged::new(run.plan.messages));
            acknowledged.push(client.acknowledged);
        }
    }
    acknowledged.resize_with(run.plan.senders.into(), || Acknowledged::new(run.plan.messages));
    let Verdict { counts, room, acknowledged, lost, acknowledged_lost } = judge(&verifiers, &acknowledged);
    Report {
        clients: run.plan.clients,
        observer: false,
        interrupted: false,
        senders: run.plan.senders.into(),
        body_bytes: run.plan.body_bytes,
        planned: run.expected(),
        sent: run.sent.iter().map(|sent| u64::from(sent.load(Ordering::SeqCst))).sum(),
        counts,
        lost,
        foreign,
        failed: failed + missing,
        took: last.saturating_duration_since(run.sending_since()),
        latencies: all,
        rooms: Some(RoomsReport { acknowledged, acknowledged_lost, room, ..rooms }),
    }
}
