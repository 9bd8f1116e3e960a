//! The threads that poll connections: one for each completion queue of the library. All calls of a connection are
//! served by one of them.

use std::io;
use std::mem;
use std::sync::Arc;
use std::thread::{ThreadId, current};

use grpcio::{Channel, Client, EnvBuilder, Environment};

use crate::limits::LIBRARY_THREADS;
use crate::threads;

/// The pollers of a server. They end when the last clone is dropped.
#[derive(Clone)]
pub struct Pollers {
    environment: Arc<Environment>,
    threads: Arc<[ThreadId]>,
    /// For each poller, an unconnected client, which can run a future on it.
    runners: Arc<[Client]>,
}

impl Pollers {
    /// Fails if the system has not enough threads left for the pollers and the library's own.
    pub fn start(count: usize) -> io::Result<Self> {
        threads::check_available(count + LIBRARY_THREADS)?;
        // Otherwise the library writes to standard error, on a poller, each time that a peer violates gRPC's rules.
        crate::startup::redirect_core_log();
        let environment = Arc::new(EnvBuilder::new().cq_count(count).name_prefix("poll").build());
        let threads = environment.completion_queues().iter().map(|queue| queue.worker_id()).collect();
        // A new environment assigns its queues to channels in sequence, so the first channels have one each, in order.
        let runner = |_| Client::new(Channel::lame(Arc::clone(&environment), "runner"));
        let runners = (0..count).map(runner).collect();
        Ok(Self { environment, threads, runners })
    }

    pub fn environment(&self) -> &Arc<Environment> {
        &self.environment
    }

    /// Runs a future on a poller, which it MUST NOT block. Its first step runs on the calling thread.
    pub fn run(&self, poller: usize, future: impl Future<Output = ()> + Send + 'static) {
        self.runners[poller].spawn(future);
    }

    /// Keeps the library's threads until the process ends.
    ///
    /// The library waits for its threads when the last channel is dropped. It also counts those that the system refused,
    /// so after one refusal it waits forever.
    pub fn keep_until_exit(&self) {
        mem::forget(self.clone());
    }

    /// The number of the calling poller.
    pub fn current(&self) -> usize {
        let current = current().id();
        // Invariant: only pollers call this, from within handlers.
        self.threads.iter().position(|thread| *thread == current).expect("a handler runs on a poller")
    }
}
