//! Threads that answer unary calls that read the log: pollers must not wait for a disk.
//!
//! Queries are taken from their peers [in turn](crate::server::fair_queue), so that a peer with many queries waits for
//! its own. Their number is bounded by the [slots](crate::server::calls::slots) of the calls.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

use crate::limits::QUERY_THREADS;
use crate::server::fair_queue::FairQueue;
use crate::server::peer::Peer;
use crate::threads;

type Query = Box<dyn FnOnce() + Send>;

/// Owns the threads, and joins them on drop.
pub struct QueryThreads {
    queries: Queries,
    threads: Vec<JoinHandle<()>>,
}

/// The queue of queries.
#[derive(Clone)]
pub struct Queries {
    queue: Arc<Queue>,
}

struct Queue {
    // lock order: 3 (a leaf, held to add or take a query)
    state: Mutex<QueueState>,
    changed: Condvar,
}

struct QueueState {
    waiting: FairQueue<Peer, Query>,
    /// No more are accepted.
    closed: bool,
}

impl QueryThreads {
    pub fn start() -> io::Result<Self> {
        let state = QueueState { waiting: FairQueue::default(), closed: false };
        let queue = Arc::new(Queue { state: Mutex::new(state), changed: Condvar::new() });
        let mut started = Self { queries: Queries { queue: Arc::clone(&queue) }, threads: Vec::new() };
        for n in 0..QUERY_THREADS {
            let queue = Arc::clone(&queue);
            let answer = move || {
                while let Some(query) = queue.next() {
                    query();
                }
            };
            started.threads.push(threads::spawn(&format!("query-{n}"), answer)?);
        }
        Ok(started)
    }

    pub fn queries(&self) -> Queries {
        self.queries.clone()
    }
}

impl Drop for QueryThreads {
    /// Accepts no more, and waits for the accepted ones.
    fn drop(&mut self) {
        self.queries.queue.state.lock().closed = true;
        self.queries.queue.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A panic has been reported already.
            let _ = thread.join();
        }
    }
}

impl Queue {
    /// Waits for a query; `None` if there will be no more.
    fn next(&self) -> Option<Query> {
        let mut state = self.state.lock();
        loop {
            if let Some((_, query)) = state.waiting.pop() {
                return Some(query);
            }
            if state.closed {
                return None;
            }
            self.changed.wait(&mut state);
        }
    }
}

impl Queries {
    /// How many queries wait for a thread.
    pub fn waiting(&self) -> usize {
        self.queue.state.lock().waiting.len()
    }

    /// Runs this on a thread, in the peer's turn. If the server is shutting down, it is dropped.
    pub fn ask(&self, peer: Peer, query: impl FnOnce() + Send + 'static) {
        let mut state = self.queue.state.lock();
        if state.closed {
            return;
        }
        let lane = state.waiting.open_lane(Some(peer));
        state.waiting.push(lane, Box::new(query), 1);
        state.waiting.close_lane(lane);
        drop(state);
        self.queue.changed.notify_one();
    }
}
