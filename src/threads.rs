//! Threads: every one has a name, an owner that joins it, and a reason to end.
//!
//! The threads of streams come and go all the time, and none of them can join itself. They are owned by a [`Joiner`],
//! which joins each as soon as it has ended.

use std::collections::{HashMap, HashSet};
use std::io;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};

use crate::limits::{JOIN_TIMEOUT, STACK_BYTES};

/// Starts a thread. The name shows in `top -H`, debuggers and logs; Linux shows 15 bytes of it.
pub fn spawn<T: Send + 'static>(name: &str, body: impl FnOnce() -> T + Send + 'static) -> io::Result<JoinHandle<T>> {
    debug_assert!(name.len() <= 15, "thread name {name} is cut by the system");
    Builder::new().name(name.to_owned()).stack_size(STACK_BYTES).spawn(body)
}

/// Waits for a thread until the deadline. `false` says that the deadline passed, and the thread was left to itself.
pub fn join_until<T>(thread: JoinHandle<T>, deadline: Instant) -> bool {
    let mut pause = Duration::from_micros(100);
    while !thread.is_finished() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::park_timeout(pause);
        pause = (pause * 2).min(Duration::from_millis(5));
    }
    // One that panicked has said so.
    let _ = thread.join();
    true
}

/// A thread that is running and waits for its job.
///
/// A system may refuse a thread at any time. Whoever must still be able to say so to a peer asks for the thread first,
/// and gives away what it would need for the answer (a stream's two ends) only once the thread is there.
pub struct Prepared<T, H> {
    job: Sender<Job<T>>,
    handle: H,
}

type Job<T> = Box<dyn FnOnce() -> T + Send>;

/// Starts a thread that waits for its job, and ends with the job's result; or with `None` when it gets no job.
pub fn prepare<T: Send + 'static>(name: &str) -> io::Result<Prepared<T, JoinHandle<Option<T>>>> {
    let (job, body) = waiting_thread();
    Ok(Prepared { job, handle: spawn(name, body)? })
}

impl<T, H> Prepared<T, H> {
    /// Has the thread do this, and end.
    pub fn run(self, job: impl FnOnce() -> T + Send + 'static) -> H {
        // The thread waits for this and nothing else, so it is there to take it.
        let _ = self.job.send(Box::new(job));
        self.handle
    }
}

fn waiting_thread<T>() -> (Sender<Job<T>>, impl FnOnce() -> Option<T> + Send) {
    let (sender, receiver) = bounded::<Job<T>>(1);
    (sender, move || receiver.recv().ok().map(|job| job()))
}

/// Owns threads that end by themselves, and joins each when it has.
pub struct Joiner {
    notes: Sender<Note>,
    thread: Option<JoinHandle<()>>,
    /// Disconnected when all threads are joined.
    joined: Receiver<()>,
}

/// A way to start threads that a [`Joiner`] owns. Its clones keep the joiner going.
#[derive(Clone)]
pub struct Spawner {
    // Bound: two notes for each thread that is running or not joined yet.
    notes: Sender<Note>,
}

enum Note {
    Started {
        key: u64,
        thread: JoinHandle<()>,
    },
    Ended {
        key: u64,
    },
    /// No more threads will be started: end when all are joined.
    Close,
}

impl Joiner {
    pub fn start() -> io::Result<Self> {
        let (notes, inbox) = unbounded();
        let (done, joined) = bounded(0);
        let join = move || {
            join_all(&inbox);
            drop::<Sender<()>>(done);
        };
        let thread = spawn("joiner", join)?;
        Ok(Self { notes, thread: Some(thread), joined })
    }

    pub fn spawner(&self) -> Spawner {
        Spawner { notes: self.notes.clone() }
    }
}

impl Drop for Joiner {
    /// Waits until every thread has ended and is joined; but not for ever, since one that does not end must not keep the
    /// process from ending. Only our own bug can leave one behind.
    fn drop(&mut self) {
        // The joiner's thread ends only here, so the note reaches it.
        let _ = self.notes.send(Note::Close);
        match self.joined.recv_timeout(JOIN_TIMEOUT) {
            Err(RecvTimeoutError::Timeout) => log::error!("threads were left behind: they did not end in time"),
            // Nothing is ever sent: the sending end goes with the thread.
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                if let Some(thread) = self.thread.take() {
                    let _ = thread.join();
                }
            }
        }
    }
}

impl Spawner {
    /// Starts a thread that waits for its job, under a key that no other running thread of this joiner has.
    pub fn prepare(&self, key: u64, name: &str) -> io::Result<Prepared<(), ()>> {
        let (job, body) = waiting_thread();
        let notes = self.notes.clone();
        let thread = spawn(name, move || {
            // Sent also when the body panics, so that the thread is joined and its owner learns of it.
            let _ended = SendOnDrop { notes, key };
            body();
        })?;
        let _ = self.notes.send(Note::Started { key, thread });
        Ok(Prepared { job, handle: () })
    }
}

struct SendOnDrop {
    notes: Sender<Note>,
    key: u64,
}

impl Drop for SendOnDrop {
    fn drop(&mut self) {
        let _ = self.notes.send(Note::Ended { key: self.key });
    }
}

fn join_all(inbox: &Receiver<Note>) {
    let mut running = HashMap::new();
    // A short-lived thread may say that it ended before its starter says that it started.
    let mut ended_early = HashSet::new();
    let mut closing = false;
    while !(closing && running.is_empty() && ended_early.is_empty()) {
        match inbox.recv() {
            Ok(Note::Started { key, thread }) if ended_early.remove(&key) => join(thread),
            Ok(Note::Started { key, thread }) => drop(running.insert(key, thread)),
            Ok(Note::Ended { key }) => match running.remove(&key) {
                Some(thread) => join(thread),
                None => drop(ended_early.insert(key)),
            },
            Ok(Note::Close) => closing = true,
            Err(_) => return,
        }
    }
}

fn join(thread: JoinHandle<()>) {
    let name = thread.thread().name().unwrap_or("?").to_owned();
    if thread.join().is_err() {
        // Only our own bug can get here; the panic's message stands on standard error already.
        log::error!("thread {name} panicked");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn dropping_the_joiner_waits_for_every_thread() {
        let ended = Arc::new(AtomicUsize::new(0));
        let joiner = Joiner::start().unwrap();
        let (go, wait) = unbounded::<()>();
        for key in 0..50 {
            let (ended, wait) = (Arc::clone(&ended), wait.clone());
            let body = move || {
                let _ = wait.recv();
                ended.fetch_add(1, Ordering::SeqCst);
            };
            joiner.spawner().prepare(key, "test").unwrap().run(body);
        }
        assert_eq!(ended.load(Ordering::SeqCst), 0);
        drop(go);
        drop(joiner);
        assert_eq!(ended.load(Ordering::SeqCst), 50);
    }

    #[test]
    fn a_prepared_thread_without_a_job_ends() {
        let joiner = Joiner::start().unwrap();
        drop(joiner.spawner().prepare(1, "test").unwrap());
        drop(joiner);
    }

    #[test]
    fn a_panicking_thread_is_joined_too() {
        let joiner = Joiner::start().unwrap();
        joiner.spawner().prepare(1, "test").unwrap().run(|| panic!("on purpose"));
        drop(joiner);
    }
}
