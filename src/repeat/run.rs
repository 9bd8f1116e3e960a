//! The shared state of a run's threads.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant, SystemTime};

use humantime::format_duration;
use parking_lot::Mutex;

use super::payload::{self, Payload, RunId};
use super::plan::Plan;
use super::progress::Progress;
use super::window::Window;
use crate::names::Body;

/// How often the bar is updated, which is also the resolution of the idle timeout.
const TICK: Duration = Duration::from_millis(100);

/// The checks of a contract: the state that all clients share, and the findings of each.
pub trait Checks: Sized + Send + Sync + 'static {
    /// Whether a sender receives its own messages too.
    const ECHOES: bool;

    /// The results of one client.
    type Findings: Send + 'static;

    fn new(plan: &Plan) -> Self;

    /// The number of clients of a run: those of its plan, and those that the checks need.
    fn clients(plan: &Plan) -> usize;

    /// The initial findings of a client.
    fn findings(run: &Run<Self>, client: usize) -> Self::Findings;

    /// The number of different messages of the run that a client has received.
    fn delivered(findings: &Self::Findings) -> u64;

    /// A client will receive no more messages.
    fn is_gone(_run: &Run<Self>, _client: usize) {}
}

/// The shared state of a run's threads.
pub struct Run<C> {
    pub plan: Plan,
    pub id: RunId,
    pub start: Instant,
    /// The same by the clock, in milliseconds since 1970.
    pub start_ms: u64,
    sending_since: OnceLock<Instant>,
    pub window: Window,
    /// The checks' state that all clients share.
    pub checks: C,
    pub states: Vec<ClientState>,
    /// For each sender, the number of the last posted message.
    pub sent: Vec<AtomicU32>,
    /// How many clients have not joined, and not received all messages.
    pub unjoined: AtomicUsize,
    pub undone: AtomicUsize,
    /// How many clients' sessions have ended.
    pub gone: AtomicUsize,
    over: AtomicBool,
    /// The send threads that have not ended, and the handles to wake them.
    pub sending: AtomicUsize,
    pub senders: Mutex<Vec<Thread>>,
    watcher: Thread,
}

/// The progress of a client, for the supervising thread. Written once for each response.
#[derive(Default)]
pub struct ClientState {
    pub delivered: AtomicU64,
    /// When the last message that counts arrived, in nanoseconds since the run's start.
    pub last_ns: AtomicU64,
    /// It receives all messages that are sent from now on.
    pub joined: AtomicBool,
    /// All messages have arrived, or no more will.
    pub done: AtomicBool,
    /// There is no connection at the moment.
    pub down: AtomicBool,
}

impl<C: Checks> Run<C> {
    pub fn new(plan: Plan) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let clients = C::clients(&plan);
        let run = Self {
            id: RunId(fastrand::u64(..)),
            start: Instant::now(),
            start_ms: now.as_millis() as u64,
            sending_since: OnceLock::new(),
            window: Window::new(clients, plan.in_flight.into()),
            checks: C::new(&plan),
            states: (0..clients).map(|_| ClientState::default()).collect(),
            sent: (0..plan.senders).map(|_| AtomicU32::new(0)).collect(),
            unjoined: AtomicUsize::new(clients),
            undone: AtomicUsize::new(clients),
            gone: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            sending: AtomicUsize::new(0),
            senders: Mutex::default(),
            watcher: thread::current(),
            plan,
        };
        // The only sender of a run receives nothing, unless it receives its own messages.
        for client in (0..clients).filter(|&client| run.expected(client) == 0) {
            run.mark(&run.states[client].joined, &run.unjoined);
            run.mark(&run.states[client].done, &run.undone);
        }
        run
    }

    /// How many connections the run has.
    pub fn clients(&self) -> usize {
        self.states.len()
    }

    /// The sender that the client is, if it sends: the first clients do.
    pub fn sender(&self, client: usize) -> Option<u16> {
        u16::try_from(client).ok().filter(|&sender| sender < self.plan.senders)
    }

    /// The sender whose messages the client does not receive.
    fn unheard(&self, client: usize) -> Option<u16> {
        self.sender(client).filter(|_| !C::ECHOES)
    }

    /// The number of messages that the client receives if nothing fails.
    pub fn expected(&self, client: usize) -> u64 {
        let heard = u64::from(self.plan.senders) - u64::from(self.unheard(client).is_some());
        heard * u64::from(self.plan.messages)
    }

    pub fn now_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// When the senders started: at the first call.
    pub fn sending_since(&self) -> Instant {
        *self.sending_since.get_or_init(Instant::now)
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// The body of a message that is sent now.
    pub fn body(&self, kind: payload::Kind, sender: u16, number: u32) -> Body {
        let (name, of) = (self.plan.names[usize::from(sender)].as_str(), self.plan.messages);
        let payload = Payload { kind, name, of, run: self.id, sender, number, sent_ns: self.now_ns() };
        // Invariant: the plan's size is valid for a body.
        Body::new(payload.encode(self.plan.body_bytes)).expect("a payload is a valid body")
    }

    /// Stops the senders.
    pub fn stop_sending(&self) {
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

    /// Records that a client reached a stage, once.
    pub fn mark(&self, done: &AtomicBool, left: &AtomicUsize) {
        if !done.load(Ordering::Relaxed)
            && !done.swap(true, Ordering::SeqCst)
            && left.fetch_sub(1, Ordering::SeqCst) == 1
        {
            self.watcher.unpark();
        }
    }

    /// Whether the run was interrupted and every client has all messages sent until then.
    fn has_all_sent(&self) -> bool {
        if !self.is_over() || self.sending.load(Ordering::SeqCst) > 0 {
            return false;
        }
        let sent: Vec<u64> = self.sent.iter().map(|sent| sent.load(Ordering::SeqCst).into()).collect();
        let total: u64 = sent.iter().sum();
        self.states.iter().enumerate().all(|(client, state)| {
            let own = self.unheard(client).map_or(0, |sender| sent[usize::from(sender)]);
            state.delivered.load(Ordering::SeqCst) >= total - own || state.done.load(Ordering::SeqCst)
        })
    }

    /// Waits until no client is left, or gone. False means that it gave up, because no more messages arrived although
    /// every client had a connection; a session without one gives up itself.
    pub fn watch(&self, left: &AtomicUsize, progress: &Progress) -> bool {
        // With a rate, silence up to the next message is normal.
        let interval = self.plan.rate.map_or(Duration::ZERO, |rate| Duration::from_secs(1) / rate);
        let patience = self.plan.idle_timeout + interval;
        let mut seen = (0, 0);
        let mut changed_at = Instant::now();
        while left.load(Ordering::SeqCst) > 0 && !(std::ptr::eq(left, &self.undone) && self.has_all_sent()) {
            let delivered = self.states.iter().map(|state| state.delivered.load(Ordering::Relaxed)).sum();
            let sent: u64 = self.sent.iter().map(|sent| u64::from(sent.load(Ordering::Relaxed))).sum();
            progress.set(delivered);
            let down = self.states.iter().any(|state| state.down.load(Ordering::Relaxed));
            if down || (delivered, sent) != seen {
                seen = (delivered, sent);
                changed_at = Instant::now();
            } else if changed_at.elapsed() > patience {
                progress.notice(&format!("no message arrived for {}: giving up", format_duration(patience)));
                return false;
            }
            thread::park_timeout(TICK);
        }
        true
    }
}
