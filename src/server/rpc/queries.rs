//! Threads that answer unary calls that read the log: pollers must not wait for a disk.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

use crate::limits::{QUERIES_MAX, QUERY_THREADS};
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
    // lock order: 1. `None` once no more are accepted. Bound: [`QUERIES_MAX`]; a query is refused if it is full.
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
    /// Accepts no more, and waits for the accepted ones.
    fn drop(&mut self) {
        let queue = self.queries.queue.lock().take();
        drop(queue);
        for thread in self.threads.drain(..) {
            // A panic has been reported already.
            let _ = thread.join();
        }
    }
}

impl Queries {
    /// Runs this on a thread. `false` means that too many wait, or that the server is shutting down.
    pub fn ask(&self, query: impl FnOnce() + Send + 'static) -> bool {
        self.queue.lock().as_ref().is_some_and(|queue| queue.try_send(Box::new(query)).is_ok())
    }
}
