//! The shared state of a run's threads.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant, SystemTime};

use humantime::format_duration;
use parking_lot::Mutex;

use super::verify::Ledger;
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
    /// The same by the clock, in milliseconds since 1970.
    pub start_ms: u64,
    pub(super) sending_since: OnceLock<Instant>,
    pub window: Window,
    pub ledger: Ledger,
    pub tallies: Vec<Tally>,
    /// For each sender, the number of the last posted message.
    pub sent: Vec<AtomicU32>,
    /// How many clients have not joined, not received all, and not reached the room's end.
    pub unjoined: AtomicUsize,
    pub undone: AtomicUsize,
    pub incomplete: AtomicUsize,
    /// The last seq of the room, once all is sent and the server has reported it; before that, the maximum value.
    pub end_seq: AtomicU64,
    /// How many clients' sessions have ended.
    pub gone: AtomicUsize,
    pub(super) over: AtomicBool,
    /// The send threads that have not ended, and the handles to wake them.
    pub(super) sending: AtomicUsize,
    pub(super) senders: Mutex<Vec<Thread>>,
    pub(super) watcher: Thread,
}

impl Run {
    pub(super) fn new(plan: Plan) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let clients = plan.clients;
        Self {
            id: RunId(fastrand::u64(..)),
            start: Instant::now(),
            start_ms: now.as_millis() as u64,
            sending_since: OnceLock::new(),
            window: Window::new(clients, plan.in_flight.into()),
            ledger: Ledger::default(),
            tallies: (0..clients).map(|_| Tally::default()).collect(),
            sent: (0..plan.senders).map(|_| AtomicU32::new(0)).collect(),
            unjoined: AtomicUsize::new(clients),
            undone: AtomicUsize::new(clients),
            incomplete: AtomicUsize::new(clients),
            end_seq: AtomicU64::new(u64::MAX),
            gone: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            sending: AtomicUsize::new(0),
            senders: Mutex::default(),
            watcher: thread::current(),
            plan,
        }
    }

    /// The sender that the client is, if it sends: the first clients do.
    pub fn sender(&self, client: usize) -> Option<u16> {
        u16::try_from(client).ok().filter(|&sender| sender < self.plan.senders)
    }

    /// How many messages each client gets if all goes well.
    pub fn expected(&self) -> u64 {
        u64::from(self.plan.senders) * u64::from(self.plan.messages)
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

    /// The room ends with this seq: notes which clients are there already.
    pub(super) fn end_at(&self, seq: u64) {
        self.end_seq.store(seq, Ordering::SeqCst);
        for tally in &self.tallies {
            if tally.last_seq.load(Ordering::SeqCst) >= seq {
                self.note(&tally.complete, &self.incomplete);
            }
        }
    }

    /// Records that a client reached a stage, once.
    pub fn note(&self, done: &AtomicBool, left: &AtomicUsize) {
        if !done.load(Ordering::Relaxed)
            && !done.swap(true, Ordering::SeqCst)
            && left.fetch_sub(1, Ordering::SeqCst) == 1
        {
            self.watcher.unpark();
        }
    }

    /// Whether the run was interrupted and every client has what was sent until then.
    pub(super) fn has_all_sent(&self) -> bool {
        if !self.is_over() || self.sending.load(Ordering::SeqCst) > 0 {
            return false;
        }
        let sent: u64 = self.sent.iter().map(|sent| u64::from(sent.load(Ordering::SeqCst))).sum();
        self.tallies
            .iter()
            .all(|tally| tally.delivered.load(Ordering::SeqCst) >= sent || tally.done.load(Ordering::SeqCst))
    }

    /// Waits until no client is left, or gone. False means that it gave up, because no more messages arrived although
    /// every client had a connection; a session without one gives up itself.
    pub(super) fn watch(&self, left: &AtomicUsize, progress: &Progress) -> bool {
        // With a rate, silence up to the next message is normal.
        let interval = self.plan.rate.map_or(Duration::ZERO, |rate| Duration::from_secs(1) / rate);
        let patience = self.plan.idle_timeout + interval;
        let mut seen = (0, 0);
        let mut changed_at = Instant::now();
        while left.load(Ordering::SeqCst) > 0 && !(std::ptr::eq(left, &self.undone) && self.has_all_sent()) {
            let delivered = self.tallies.iter().map(|tally| tally.delivered.load(Ordering::Relaxed)).sum();
            let sent: u64 = self.sent.iter().map(|sent| u64::from(sent.load(Ordering::Relaxed))).sum();
            progress.set(delivered);
            let down = self.tallies.iter().any(|tally| tally.down.load(Ordering::Relaxed));
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

/// The progress of a client, for the supervising thread. Written once for each response.
#[derive(Default)]
pub struct Tally {
    pub delivered: AtomicU64,
    /// When the last message that counts arrived, in nanoseconds since the run's start.
    pub last_ns: AtomicU64,
    /// It is in the room, and has caught up.
    pub joined: AtomicBool,
    /// All messages have arrived, or no more will.
    pub done: AtomicBool,
    /// The seq of the last received message.
    pub last_seq: AtomicU64,
    /// All messages that the room had at the end of the run have arrived, or no more will.
    pub complete: AtomicBool,
    /// There is no connection at the moment.
    pub down: AtomicBool,
}

impl Tally {
    /// Records the position of the client in the room.
    pub(super) fn reached(&self, seq: u64, run: &Run) {
        // The pair of this store and load with those in `Run::end_at` must be ordered the same for both: hence SeqCst.
        self.last_seq.store(seq, Ordering::SeqCst);
        if seq >= run.end_seq.load(Ordering::SeqCst) {
            run.note(&self.complete, &run.incomplete);
        }
    }
}
