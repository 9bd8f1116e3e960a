//! Threads that answer what must be read from the log and is not part of a stream: pollers must not wait for a disk.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

use crate::limits::{QUERIES_MAX, QUERY_THREADS};
use crate::threads;

type Query = Box<dyn FnOnce() + Send>;

/// Owns the threads, which end when it is told to.
pub struct QueryThreads {
    queries: Queries,
    threads: Vec<JoinHandle<()>>,
}

/// Where queries go.
#[derive(Clone)]
pub struct Queries {
    // lock order: 1. `None` once no more are taken. Bound: [`QUERIES_MAX`]; who comes when it is full is refused.
    queue: Arc<Mutex<Option<Sender<Query>>>>,
}

impl QueryThreads {
    pub fn start() -> io::Result<Self> {
        let (queue, waiting) = bounded(QUERIES_MAX);
        let queries = Queries { queue: Arc::new(Mutex::new(Some(queue))) };
        let mut started = Self { queries, threads: Vec::new() };
        for n in 0..QUERY_THREADS {
            let waiting: Receiver<Query> = waiting.clone();
            let answer = move || waiting.iter().for_each(|query| query());
            started.threads.push(threads::spawn(&format!("query-{n}"), answer)?);
        }
        Ok(started)
    }

    pub fn queries(&self) -> Queries {
        self.queries.clone()
    }
}

impl Drop for QueryThreads {
    /// Takes no more, and waits for those that were taken.
    fn drop(&mut self) {
        let queue = self.queries.queue.lock().take();
        drop(queue);
        for thread in self.threads.drain(..) {
            // One that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Queries {
    /// Has a thread do this. `false` says that too many wait, or that the server shuts down.
    pub fn ask(&self, query: impl FnOnce() + Send + 'static) -> bool {
        self.queue.lock().as_ref().is_some_and(|queue| queue.try_send(Box::new(query)).is_ok())
    }
}
