//! The joiner: owns the threads of streams, and joins each as soon as it has ended.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};

use super::panics::owned;
use super::spares::{Assignment, JobSlot, SPARE, Spares, work};
use super::start::{NAME_BYTES_MAX, show_name, spawn};
use crate::limits::JOIN_TIMEOUT;

/// Owns the threads of streams, and joins each when it has ended.
pub struct Joiner {
    events: Sender<JoinerEvent>,
    spares: Arc<Spares>,
    started: Arc<AtomicU64>,
    running: Arc<Running>,
    thread: Option<JoinHandle<()>>,
    /// Disconnected when all threads are joined.
    joined: Receiver<()>,
}

/// Runs jobs on threads that a [`Joiner`] owns.
#[derive(Clone)]
pub struct Spawner {
    // Bound: two events for each thread that is running or not joined yet, and `Spare` events, each of which the joiner
    // reads at once.
    events: Sender<JoinerEvent>,
    spares: Arc<Spares>,
    /// How many threads were started, which gives each its key.
    started: Arc<AtomicU64>,
    running: Arc<Running>,
}

/// How many threads run, and may.
struct Running {
    count: AtomicUsize,
    max: usize,
}

/// One of the threads that run.
struct Place(Arc<Running>);

enum JoinerEvent {
    Started {
        key: u64,
        thread: JoinHandle<()>,
    },
    Ended {
        key: u64,
    },
    /// A thread is spare, and none was before.
    Spare,
    /// No more threads will be started: end when all are joined.
    Close,
}

impl Joiner {
    /// A joiner of at most `max` threads at once.
    pub fn start(max: usize) -> io::Result<Self> {
        let (events, inbox) = unbounded();
        let own = events.clone();
        let spares = Arc::new(Spares::new(move || drop(own.send(JoinerEvent::Spare))));
        let (done, joined) = bounded(0);
        let kept = Arc::clone(&spares);
        let join = move || {
            join_all(&inbox, &kept);
            drop::<Sender<()>>(done);
        };
        let thread = spawn("joiner", join)?;
        let running = Arc::new(Running { count: AtomicUsize::new(0), max });
        Ok(Self { events, spares, started: Arc::default(), running, thread: Some(thread), joined })
    }

    pub fn spawner(&self) -> Spawner {
        let (events, spares, started) = (self.events.clone(), Arc::clone(&self.spares), Arc::clone(&self.started));
        Spawner { events, spares, started, running: Arc::clone(&self.running) }
    }
}

impl Drop for Joiner {
    /// Waits until every thread has ended and is joined, but not forever: a thread that does not end must not keep the
    /// process running. Only a bug can leave one behind.
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
        let place = Running::enter(&self.running)?;
        let key = self.started.fetch_add(1, Ordering::Relaxed);
        let slot = Arc::new(JobSlot::default());
        let (events, spares, own) = (self.events.clone(), Arc::clone(&self.spares), Arc::clone(&slot));
        let thread = spawn(SPARE, move || {
            // Also sent when a job panics, so that the thread is joined and its owner is notified. The job's stream
            // ends when the unwinding drops the stream's parts.
            let _ended = (place, SendOnDrop { events, key });
            owned();
            work(&own, &spares);
        })?;
        let _ = self.events.send(JoinerEvent::Started { key, thread });
        Ok(slot)
    }
}

impl Running {
    fn enter(running: &Arc<Self>) -> io::Result<Place> {
        let place = Place(Arc::clone(running));
        if running.count.fetch_add(1, Ordering::Relaxed) >= running.max {
            return Err(io::Error::other(format!("{} threads run, the maximum", running.max)));
        }
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A thread that is running and waits for its job. A system may refuse a thread at any time, so a caller has the thread
/// before it gives away what the job needs.
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
        let event = match spares.dismiss(Instant::now()) {
            None => inbox.recv().map_err(RecvTimeoutError::from),
            Some(next) => inbox.recv_deadline(next),
        };
        match event {
            Ok(JoinerEvent::Started { key, thread }) if ended_early.remove(&key) => join(thread),
            Ok(JoinerEvent::Started { key, thread }) => drop(running.insert(key, thread)),
            Ok(JoinerEvent::Ended { key }) => match running.remove(&key) {
                Some(thread) => join(thread),
                None => drop(ended_early.insert(key)),
            },
            Ok(JoinerEvent::Spare) | Err(RecvTimeoutError::Timeout) => {}
            Ok(JoinerEvent::Close) => closing = true,
            // Never while `spares` exist, because they hold a sender.
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
    use std::time::Duration;

    use super::*;
    use crate::limits::SPARE_THREADS_MAX;

    fn prepare(joiner: &Joiner) -> Prepared {
        joiner.spawner().prepare("test".to_owned()).unwrap()
    }

    #[test]
    fn dropping_the_joiner_waits_for_every_thread() {
        let ended = Arc::new(AtomicUsize::new(0));
        let joiner = Joiner::start(usize::MAX).unwrap();
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
    fn a_thread_whose_job_is_done_takes_another_until_its_time_has_passed() {
        let joiner = Joiner::start(usize::MAX).unwrap();
        let spawner = joiner.spawner();
        let idle = || joiner.spares.count();
        let job = || {
            let (sender, receiver) = bounded(1);
            spawner.prepare("test".to_owned()).unwrap().run(move || sender.send(thread::current().id()).unwrap());
            receiver.recv().unwrap()
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
        let joiner = Joiner::start(usize::MAX).unwrap();
        drop(prepare(&joiner));
        assert_eq!(joiner.spares.count(), 1);
        drop(joiner);
    }

    #[test]
    fn a_spare_thread_beyond_the_maximum_ends() {
        let joiner = Joiner::start(usize::MAX).unwrap();
        drop((0..=SPARE_THREADS_MAX).map(|_| prepare(&joiner)).collect::<Vec<_>>());
        assert_eq!(joiner.spares.count(), SPARE_THREADS_MAX);
        drop(joiner);
    }

    #[test]
    fn a_panicking_thread_is_joined_too() {
        let joiner = Joiner::start(usize::MAX).unwrap();
        prepare(&joiner).run(|| panic!("on purpose"));
        drop(joiner);
    }

    #[test]
    fn no_more_threads_run_than_may() {
        let joiner = Joiner::start(2).unwrap();
        let spawner = joiner.spawner();
        let prepared = [(); 2].map(|()| spawner.prepare("one".to_owned()).unwrap());
        let refused = spawner.prepare("two".to_owned()).err().unwrap().to_string();
        assert_eq!(refused, "2 threads run, the maximum");
        for prepared in prepared {
            prepared.run(|| {});
        }
        // They are spare soon, or have ended.
        let until = Instant::now() + std::time::Duration::from_secs(30);
        while spawner.prepare("three".to_owned()).is_err() {
            assert!(Instant::now() < until);
            std::thread::yield_now();
        }
    }
}
