//! The state that the threads that search share with the thread that writes the index.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

use super::backlog::{Announcement, Backlog};
use super::fault::Fault;
use super::index::KEY_BYTES;
use super::place::{Identity, Place};
use crate::limits::{INDEX_QUEUE_MAX, QUERY_THREADS, SEARCH_OPEN_WAIT};
use crate::server::log::Published;

pub struct Shared {
    pub place: Place,
    // Bound: INDEX_QUEUE_MAX. Beyond it, `overflowed` is set, and the heads of all rooms are compared.
    announced: Sender<Announcement>,
    announcements: Receiver<Announcement>,
    pub overflowed: AtomicBool,
    // lock order: 2 (held while announcements are moved, or for a few lookups)
    pub backlog: Mutex<Backlog>,
    // lock order: 3 (a leaf)
    readers: Mutex<Readers>,
    opened: Condvar,
    /// The index is damaged, deleted or replaced, and must be made again.
    pub is_lost: AtomicBool,
    pub is_stopped: AtomicBool,
    /// Whether the index thread sleeps until something is announced.
    is_idle: AtomicBool,
    thread: OnceLock<Thread>,
}

/// The connections of the threads that search.
struct Readers {
    state: State,
    /// Counts the index files: a connection to an earlier file is dropped.
    generation: u64,
    idle: Vec<Connection>,
}

enum State {
    /// Not opened yet, or to be rebuilt.
    Opening,
    Open {
        key: [u8; KEY_BYTES],
        identity: Option<Identity>,
    },
    /// It could not be opened.
    Failed(Fault),
}

/// A connection for one search. Given back when dropped.
pub struct Reader<'a> {
    shared: &'a Shared,
    generation: u64,
    pub key: [u8; KEY_BYTES],
    // Invariant: `Some` until the drop.
    connection: Option<Connection>,
}

impl Shared {
    pub fn new(place: Place) -> Arc<Self> {
        let (announced, announcements) = bounded(INDEX_QUEUE_MAX);
        Arc::new(Self {
            place,
            announced,
            announcements,
            overflowed: AtomicBool::new(false),
            backlog: Mutex::default(),
            readers: Mutex::new(Readers { state: State::Opening, generation: 0, idle: Vec::new() }),
            opened: Condvar::new(),
            is_lost: AtomicBool::new(false),
            is_stopped: AtomicBool::new(false),
            is_idle: AtomicBool::new(false),
            thread: OnceLock::new(),
        })
    }

    /// Registers the calling thread as the one that writes the index.
    pub fn register(&self) {
        let _ = self.thread.set(std::thread::current());
    }

    /// Called by the log writer. Never blocks.
    pub fn published(&self, published: &Published) {
        let Some(announcement) = Announcement::of(published) else { return };
        if let Err(TrySendError::Full(_)) = self.announced.try_send(announcement) {
            self.overflowed.store(true, Ordering::Release);
        }
        if self.is_idle.load(Ordering::SeqCst) && self.is_idle.swap(false, Ordering::SeqCst) {
            self.wake();
        }
    }

    /// Wakes the index thread.
    pub fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Sleeps until something is announced, the index thread is woken, or this time has come.
    pub fn sleep_until(&self, until: Option<Instant>) {
        self.is_idle.store(true, Ordering::SeqCst);
        let is_due = || {
            !self.announcements.is_empty()
                || self.overflowed.load(Ordering::Acquire)
                || self.is_lost.load(Ordering::Acquire)
                || self.is_stopped.load(Ordering::Acquire)
                || until.is_some_and(|until| until <= Instant::now())
        };
        while !is_due() && self.is_idle.load(Ordering::SeqCst) {
            match until {
                Some(until) => std::thread::park_timeout(until.saturating_duration_since(Instant::now())),
                None => std::thread::park(),
            }
        }
        self.is_idle.store(false, Ordering::SeqCst);
    }

    /// Sleeps until a time, or until the server stops.
    pub fn pause_until(&self, until: Instant) {
        while !self.is_stopped.load(Ordering::Acquire) && Instant::now() < until {
            std::thread::park_timeout(until.saturating_duration_since(Instant::now()));
        }
    }

    /// Moves the announcements to the backlog.
    pub fn collect(&self, backlog: &mut Backlog) {
        self.announcements.try_iter().for_each(|announcement| backlog.take(announcement));
    }

    /// Marks the index as open, with these connections for threads that search.
    pub fn open(&self, key: [u8; KEY_BYTES], connections: Vec<Connection>) {
        let mut readers = self.readers.lock();
        readers.state = State::Open { key, identity: self.place.identity() };
        readers.generation += 1;
        let earlier = std::mem::replace(&mut readers.idle, connections);
        drop(readers);
        drop(earlier);
        self.opened.notify_all();
    }

    /// Marks the index as unusable: it is being reopened, or that failed. Closes its connections.
    pub fn close(&self, fault: Option<Fault>) {
        let mut readers = self.readers.lock();
        readers.state = fault.map_or(State::Opening, State::Failed);
        readers.generation += 1;
        let connections = std::mem::take(&mut readers.idle);
        drop(readers);
        drop(connections);
        self.opened.notify_all();
    }

    /// Requests that the index is rebuilt.
    pub fn lose(&self) {
        if !self.is_lost.swap(true, Ordering::AcqRel) {
            self.wake();
        }
    }

    /// A connection to the index. Waits a moment while it is being opened.
    pub fn reader(&self) -> Result<Reader<'_>, Fault> {
        let deadline = Instant::now() + SEARCH_OPEN_WAIT;
        let mut readers = self.readers.lock();
        loop {
            match &readers.state {
                State::Failed(fault) => return Err(fault.clone()),
                State::Open { key, identity } => {
                    let (key, identity, generation) = (*key, *identity, readers.generation);
                    if let Some(connection) = readers.idle.pop() {
                        drop(readers);
                        // The open files still have all messages, so this search is answered from them.
                        if self.place.identity() != identity {
                            self.lose();
                        }
                        return Ok(Reader { shared: self, generation, key, connection: Some(connection) });
                    }
                }
                State::Opening => {}
            }
            if self.opened.wait_until(&mut readers, deadline).timed_out() {
                return Err(Fault::Unavailable("the index is being opened".to_owned()));
            }
        }
    }

    /// How many threads may search at once.
    pub const fn readers_max() -> usize {
        QUERY_THREADS
    }
}

impl Reader<'_> {
    pub fn connection(&self) -> &Connection {
        self.connection.as_ref().expect("it is given back when this is dropped")
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let connection = self.connection.take();
        let mut readers = self.shared.readers.lock();
        let outdated = if readers.generation == self.generation {
            readers.idle.extend(connection);
            None
        } else {
            connection
        };
        drop(readers);
        drop(outdated);
        self.shared.opened.notify_one();
    }
}
