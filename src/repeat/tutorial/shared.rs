//! The shared state of a run's threads.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use humantime::format_duration;
use parking_lot::Mutex;

use super::verify::{Reference, Verifier};
use crate::repeat::payload::RunId;
use crate::repeat::plan::Plan;
use crate::repeat::progress::Progress;
use crate::repeat::window::Window;

/// How often the bar is updated, which is also the resolution of the idle timeout.
pub const TICK: Duration = Duration::from_millis(100);

/// The shared state of a run's threads.
pub struct Run {
    pub plan: Plan,
    pub id: RunId,
    pub(super) start: Instant,
    pub(super) sending_since: OnceLock<Instant>,
    pub window: Window,
    pub reference: Reference,
    /// One for each client, and for the observer.
    pub tallies: Vec<Tally>,
    /// For each sender, the number of the last message sent.
    pub sent: Vec<AtomicU32>,
    /// How many clients have not joined yet, as far as known.
    pub unprobed: AtomicUsize,
    /// How many clients still wait for messages.
    pub undone: AtomicUsize,
    pub(super) over: AtomicBool,
    /// The conversations are being ended: from here on an end is no failure.
    pub(super) finished: AtomicBool,
    /// The send threads that have not ended, and the handles to wake them.
    pub(super) sending: AtomicUsize,
    pub(super) senders: Mutex<Vec<Thread>>,
    pub watcher: Thread,
}

impl Run {
    pub(super) fn new(plan: Plan) -> Self {
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

    pub(super) fn has_observer(&self) -> bool {
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

    /// When the senders started: at the first call.
    pub fn sending_since(&self) -> Instant {
        *self.sending_since.get_or_init(Instant::now)
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    pub fn is_finished(&self) -> bool {
        self.finished.load(Ordering::SeqCst)
    }

    /// Stops the senders.
    pub(super) fn stop_sending(&self) {
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
    pub(super) fn has_all_sent(&self) -> bool {
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

    /// Waits until every client has all messages or is gone. False means that it gave up, because no more messages
    /// arrived.
    pub(super) fn watch(&self, progress: &Progress) -> bool {
        // With a rate, silence up to the next message is normal.
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
                progress.notice(&format!("no message arrived for {}: giving up", format_duration(patience)));
                return false;
            }
            thread::park_timeout(TICK);
        }
        true
    }
}

/// The progress of a client, for the supervising thread.
#[derive(Default)]
pub struct Tally {
    pub delivered: AtomicU64,
    /// When the last message that counts arrived, in nanoseconds since the run's start.
    pub last_ns: AtomicU64,
    /// A probe of another client has arrived.
    pub(super) probed: AtomicBool,
    /// All messages have arrived, or no more will.
    pub(super) done: AtomicBool,
}

impl Tally {
    pub fn is_done(&self) -> bool {
        self.done.load(Ordering::SeqCst)
    }

    /// For a client without another sender: it is neither probed nor waited for.
    pub fn expect_nothing(&self) {
        self.probed.store(true, Ordering::SeqCst);
        self.done.store(true, Ordering::SeqCst);
    }
}
