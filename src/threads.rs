//! Threads: every one has a name, an owner that joins it, and a reason to end.
//!
//! The threads of streams start and end all the time, and none can join itself. A [`Joiner`] owns them, and joins each
//! as soon as it has ended. A thread whose stream has ended is kept for a second, for the next stream.

pub mod park;
pub mod baton;

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use parking_lot::{Condvar, Mutex};

use crate::limits::{JOIN_TIMEOUT, SPARE_THREAD_TIME, SPARE_THREADS_MAX, STACK_BYTES};

/// How much of a thread's name the system shows.
const NAME_BYTES_MAX: usize = 15;

/// The name of a thread that waits for a job.
const SPARE: &str = "spare";

/// Starts a thread. The name shows in `top -H`, debuggers and logs; Linux shows 15 bytes of it.
pub fn spawn<T: Send + 'static>(name: &str, body: impl FnOnce() -> T + Send + 'static) -> io::Result<JoinHandle<T>> {
    debug_assert!(name.len() <= NAME_BYTES_MAX, "thread name {name} is cut by the system");
    Builder::new().name(name.to_owned()).stack_size(STACK_BYTES).spawn(body)
}

/// Waits for a thread until the deadline. `false` means that the deadline passed, and the thread is no longer waited
/// for.
pub fn join_until<T>(thread: JoinHandle<T>, deadline: Instant) -> bool {
    let mut pause = Duration::from_micros(100);
    while !thread.is_finished() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::park_timeout(pause);
        pause = (pause * 2).min(Duration::from_millis(5));
    }
    // A panic has been reported already.
    let _ = thread.join();
    true
}

/// Releases the memory of the calling thread's stack beyond its current depth. Otherwise the pages that a deep call has
/// touched, such as one into the database, would stay allocated while the thread waits.
///
/// The thread MUST have a stack of [`STACK_BYTES`] at least, and be less than half of that deep in it.
#[inline(never)]
pub fn release_stack() {
    const PAGE_BYTES: usize = 4096;
    /// The stack that the call itself may need below this frame.
    const MARGIN_BYTES: usize = 512;
    let here = 0_u8;
    let end = (std::hint::black_box(&raw const here).addr() - MARGIN_BYTES) / PAGE_BYTES * PAGE_BYTES;
    let start = (end - STACK_BYTES / 2) as *mut libc::c_void;
    // SAFETY: the pages are the calling thread's stack, below all frames that are in use: this frame is smaller than
    // the margin, and as the function is never inlined it is the last one. The pages are not read before they are
    // written again, and then they are zeros. If the system refuses, they are unchanged.
    unsafe {
        libc::madvise(start, STACK_BYTES / 2, libc::MADV_DONTNEED);
    }
}

/// A thread that is running and waits for its job.
///
/// A system may refuse a thread at any time. A caller that must still report that to a peer prepares the thread first,
/// and gives away the resources for the answer (a stream's two ends) only once the thread exists.
pub struct Prepared {
    // Invariant: `Some` until the thread gets a job.
    slot: Option<Arc<JobSlot>>,
    name: String,
    spares: Arc<Spares>,
}

impl Prepared {
    /// Runs the job on the thread, under the job's name.
    pub fn run(mut self, job: impl FnOnce() + Send + 'static) {
        let name = std::mem::take(&mut self.name);
        let job = Box::new(move || {
            show_name(&name);
            job();
        });
        if let Some(slot) = self.slot.take() {
            slot.put(Assignment::Job(job));
        }
    }
}

impl Drop for Prepared {
    /// A thread that got no job waits for another.
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.spares.offer(slot);
        }
    }
}

/// Where a thread finds its next job.
#[derive(Default)]
struct JobSlot {
    // lock order: 3 (a leaf)
    assignment: Mutex<Option<Assignment>>,
    put: Condvar,
}

enum Assignment {
    Job(Box<dyn FnOnce() + Send>),
    Dismissal,
}

impl JobSlot {
    fn put(&self, assignment: Assignment) {
        *self.assignment.lock() = Some(assignment);
        self.put.notify_one();
    }

    /// Waits for what is put.
    fn take(&self) -> Assignment {
        let mut assignment = self.assignment.lock();
        loop {
            match assignment.take() {
                Some(assignment) => return assignment,
                None => self.put.wait(&mut assignment),
            }
        }
    }
}

/// Threads that wait for another job: starting and ending one costs as much as the rest of a short visit of a client.
struct Spares {
    // lock order: 3 (a leaf)
    idle: Mutex<Idle>,
    /// For the joiner, which ends the threads that have waited for [`SPARE_THREAD_TIME`].
    events: Sender<JoinerEvent>,
}

#[derive(Default)]
struct Idle {
    /// Oldest first, each with the time at which it ends. Bound: `SPARE_THREADS_MAX`.
    slots: VecDeque<(Arc<JobSlot>, Instant)>,
    closed: bool,
}

impl Spares {
    fn take(&self) -> Option<Arc<JobSlot>> {
        self.idle.lock().slots.pop_back().map(|(slot, _)| slot)
    }

    /// Takes an idle thread, or ends it if there are enough.
    fn offer(&self, slot: Arc<JobSlot>) {
        let mut idle = self.idle.lock();
        if idle.closed || idle.slots.len() >= SPARE_THREADS_MAX {
            drop(idle);
            return slot.put(Assignment::Dismissal);
        }
        let is_first = idle.slots.is_empty();
        idle.slots.push_back((slot, Instant::now() + SPARE_THREAD_TIME));
        drop(idle);
        if is_first {
            let _ = self.events.send(JoinerEvent::Spare);
        }
    }

    /// Ends the threads whose time is over. Returns the time of the next one.
    fn dismiss(&self, now: Instant) -> Option<Instant> {
        loop {
            let slot = {
                let mut idle = self.idle.lock();
                match idle.slots.front() {
                    Some((_, over)) if *over <= now => idle.slots.pop_front(),
                    next => return next.map(|(_, over)| *over),
                }
            };
            if let Some((slot, _)) = slot {
                slot.put(Assignment::Dismissal);
            }
        }
    }

    fn close(&self) {
        let slots = {
            let mut idle = self.idle.lock();
            idle.closed = true;
            std::mem::take(&mut idle.slots)
        };
        for (slot, _) in slots {
            slot.put(Assignment::Dismissal);
        }
    }
}

/// The main loop of a thread: jobs, until it is ended.
fn work(slot: &Arc<JobSlot>, spares: &Spares) {
    while let Assignment::Job(job) = slot.take() {
        job();
        show_name(SPARE);
        spares.offer(Arc::clone(slot));
    }
}

/// Sets the name of the calling thread, as `top -H` and debuggers show it.
fn show_name(name: &str) {
    let shown: Vec<u8> = name.bytes().take(NAME_BYTES_MAX).chain([0]).collect();
    // The bytes end with a zero, so they are a C string. A thread whose name is not shown works as well.
    #[cfg(target_os = "linux")]
    if let Ok(shown) = std::ffi::CStr::from_bytes_until_nul(&shown) {
        let _ = rustix::thread::set_name(shown);
    }
}

/// Owns the threads of streams, and joins each when it has ended.
pub struct Joiner {
    events: Sender<JoinerEvent>,
    spares: Arc<Spares>,
    started: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
    /// Disconnected when all threads are joined.
    joined: Receiver<()>,
}

/// Runs jobs on threads that a [`Joiner`] owns.
#[derive(Clone)]
pub struct Spawner {
    // Bound: two events for each thread that is running or not joined yet, and those that there is a spare one, each of which
    // the joiner reads at once.
    events: Sender<JoinerEvent>,
    spares: Arc<Spares>,
    /// How many threads were started, which gives each its key.
    started: Arc<AtomicU64>,
}

enum JoinerEvent {
    Started {
        key: u64,
        thread: JoinHandle<()>,
    },
    Ended {
        key: u64,
    },
    /// There is a spare thread again.
    Spare,
    /// No more threads will be started: end when all are joined.
    Close,
}

impl Joiner {
    pub fn start() -> io::Result<Self> {
        let (events, inbox) = unbounded();
        let spares = Arc::new(Spares { idle: Mutex::default(), events: events.clone() });
        let (done, joined) = bounded(0);
        let kept = Arc::clone(&spares);
        let join = move || {
            join_all(&inbox, &kept);
            drop::<Sender<()>>(done);
        };
        let thread = spawn("joiner", join)?;
        Ok(Self { events, spares, started: Arc::default(), thread: Some(thread), joined })
    }

    pub fn spawner(&self) -> Spawner {
        Spawner { events: self.events.clone(), spares: Arc::clone(&self.spares), started: Arc::clone(&self.started) }
    }
}

impl Drop for Joiner {
    /// Waits until every thread has ended and is joined, but not forever, since a thread that does not end must not
    /// keep the process running. Only a bug can leave one behind.
    fn drop(&mut self) {
        self.spares.close();
        // The joiner's thread ends only here, so the message reaches it.
        let _ = self.events.send(JoinerEvent::Close);
        match self.joined.recv_timeout(JOIN_TIMEOUT) {
            Err(RecvTimeoutError::Timeout) => log::error!("threads were left behind: they did not end in time"),
            // Nothing is ever sent: the sending end is dropped with the thread.
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                if let Some(thread) = self.thread.take() {
                    let _ = thread.join();
                }
            }
        }
    }
}

impl Spawner {
    /// A thread that waits for its job: a spare one, or a new one.
    pub fn prepare(&self, name: String) -> io::Result<Prepared> {
        debug_assert!(name.len() <= NAME_BYTES_MAX, "thread name {name} is cut by the system");
        let slot = match self.spares.take() {
            Some(slot) => slot,
            None => self.start()?,
        };
        Ok(Prepared { slot: Some(slot), name, spares: Arc::clone(&self.spares) })
    }

    fn start(&self) -> io::Result<Arc<JobSlot>> {
        let key = self.started.fetch_add(1, Ordering::Relaxed);
        let slot = Arc::new(JobSlot::default());
        let (events, spares, own) = (self.events.clone(), Arc::clone(&self.spares), Arc::clone(&slot));
        let thread = spawn(SPARE, move || {
            // Also sent when a job panics, so that the thread is joined and its owner is notified.
            let _ended = SendOnDrop { events, key };
            work(&own, &spares);
        })?;
        let _ = self.events.send(JoinerEvent::Started { key, thread });
        Ok(slot)
    }
}

struct SendOnDrop {
    events: Sender<JoinerEvent>,
    key: u64,
}

impl Drop for SendOnDrop {
    fn drop(&mut self) {
        let _ = self.events.send(JoinerEvent::Ended { key: self.key });
    }
}

fn join_all(inbox: &Receiver<JoinerEvent>, spares: &Spares) {
    let mut running = HashMap::new();
    // A short-lived thread may report its end before its starter reports its start.
    let mut ended_early = HashSet::new();
    let mut closing = false;
    while !(closing && running.is_empty() && ended_early.is_empty()) {
        let note = match spares.dismiss(Instant::now()) {
            None => inbox.recv().map_err(RecvTimeoutError::from),
            Some(next) => inbox.recv_deadline(next),
        };
        match note {
            Ok(JoinerEvent::Started { key, thread }) if ended_early.remove(&key) => join(thread),
            Ok(JoinerEvent::Started { key, thread }) => drop(running.insert(key, thread)),
            Ok(JoinerEvent::Ended { key }) => match running.remove(&key) {
                Some(thread) => join(thread),
                None => drop(ended_early.insert(key)),
            },
            Ok(JoinerEvent::Spare) | Err(RecvTimeoutError::Timeout) => {}
            Ok(JoinerEvent::Close) => closing = true,
            // Not while there are `spares`, which hold a sender.
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        // Only a bug can get here; the panic's message is already on standard error.
        log::error!("the thread of a stream panicked");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    use super::*;

    fn prepare(joiner: &Joiner) -> Prepared {
        joiner.spawner().prepare("test".to_owned()).unwrap()
    }

    #[test]
    fn dropping_the_joiner_waits_for_every_thread() {
        let ended = Arc::new(AtomicUsize::new(0));
        let joiner = Joiner::start().unwrap();
        let (go, wait) = unbounded::<()>();
        let spawner = joiner.spawner();
        for _ in 0..50 {
            let (ended, wait) = (Arc::clone(&ended), wait.clone());
            let body = move || {
                let _ = wait.recv();
                ended.fetch_add(1, Ordering::SeqCst);
            };
            spawner.prepare("test".to_owned()).unwrap().run(body);
        }
        assert_eq!(ended.load(Ordering::SeqCst), 0);
        drop((go, spawner));
        drop(joiner);
        assert_eq!(ended.load(Ordering::SeqCst), 50);
    }

    #[test]
    fn a_thread_that_is_done_takes_another_job_until_its_time_has_passed() {
        let joiner = Joiner::start().unwrap();
        let spawner = joiner.spawner();
        let idle = || joiner.spares.idle.lock().slots.len();
        let job = || {
            let (tell, told) = bounded(1);
            spawner.prepare("test".to_owned()).unwrap().run(move || tell.send(thread::current().id()).unwrap());
            told.recv().unwrap()
        };
        let wait_for_idle = |count| {
            let deadline = Instant::now() + Duration::from_secs(20);
            while idle() != count {
                assert!(Instant::now() < deadline, "{} threads are idle, not {count}", idle());
                thread::park_timeout(Duration::from_millis(1));
            }
        };
        let first = job();
        wait_for_idle(1);
        assert_eq!(job(), first);
        wait_for_idle(1);
        wait_for_idle(0);
        assert_ne!(job(), first);
    }

    #[test]
    fn a_prepared_thread_without_a_job_is_spare() {
        let joiner = Joiner::start().unwrap();
        drop(prepare(&joiner));
        assert_eq!(joiner.spares.idle.lock().slots.len(), 1);
        drop(joiner);
    }

    #[test]
    fn a_thread_that_is_one_too_many_ends() {
        let joiner = Joiner::start().unwrap();
        drop((0..=SPARE_THREADS_MAX).map(|_| prepare(&joiner)).collect::<Vec<_>>());
        assert_eq!(joiner.spares.idle.lock().slots.len(), SPARE_THREADS_MAX);
        drop(joiner);
    }

    #[test]
    fn a_panicking_thread_is_joined_too() {
        let joiner = Joiner::start().unwrap();
        prepare(&joiner).run(|| panic!("on purpose"));
        drop(joiner);
    }
}
