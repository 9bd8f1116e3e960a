//! The threads that poll connections: one for each completion queue of the library. All calls of a connection are
//! served by one of them.

use std::sync::Arc;
use std::thread::{self, ThreadId};

use grpcio::{Channel, Client, EnvBuilder, Environment};

/// The pollers of a server. They end when the last clone is dropped.
#[derive(Clone)]
pub struct Pollers {
    environment: Arc<Environment>,
    threads: Arc<[ThreadId]>,
    /// For each poller, a client of nothing, which can have it run a future.
    runners: Arc<[Client]>,
}

impl Pollers {
    pub fn start(count: usize) -> Self {
        // The library would write to standard error itself, on a poller, whenever a peer breaks a rule of gRPC's.
        crate::startup::redirect_core_log();
        let environment = Arc::new(EnvBuilder::new().cq_count(count).name_prefix("poll").build());
        let threads = environment.completion_queues().iter().map(|queue| queue.worker_id()).collect();
        // A new environment gives its queues to channels in turn, so the first channels have one each, in order.
        let runner = |_| Client::new(Channel::lame(Arc::clone(&environment), "runner"));
        let runners = (0..count).map(runner).collect();
        Self { environment, threads, runners }
    }

    pub fn environment(&self) -> &Arc<Environment> {
        &self.environment
    }

    /// Has a poller run a future, which MUST NOT block it. Its first step runs here and now.
    pub fn run(&self, poller: usize, future: impl Future<Output = ()> + Send + 'static) {
        self.runners[poller].spawn(future);
    }

    /// Which poller the calling thread is.
    pub fn current(&self) -> usize {
        let current = thread::current().id();
        // Invariant: only pollers ask, from within the handlers that they call.
        self.threads.iter().position(|thread| *thread == current).expect("a handler runs on a poller")
    }
}
