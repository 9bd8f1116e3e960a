//! The open connections that have a thread: those that are no stream.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::idle::Idle;
use super::socket::Socket;
use crate::limits::{HTTP_CONNECTIONS_CROWD, HTTP_CROWD_IDLE_MAX};

/// The open connections that have a thread.
#[derive(Default)]
pub struct OpenConnections {
    draining: AtomicBool,
    // lock order: 3 (a leaf, held for one lookup or change, or to look at all)
    open: Mutex<HashMap<u64, OpenConnection>>,
    closed: Condvar,
}

struct OpenConnection {
    socket: Arc<Socket>,
    idle: Arc<Idle>,
}

/// An entry of an open connection, which is removed on drop.
pub struct Entry {
    connections: Arc<OpenConnections>,
    number: u64,
}

impl OpenConnections {
    /// Adds a connection with a number that no other has.
    pub fn add(self: &Arc<Self>, number: u64, socket: Arc<Socket>, idle: Arc<Idle>) -> Entry {
        self.open.lock().insert(number, OpenConnection { socket, idle });
        Entry { connections: Arc::clone(self), number }
    }

    pub fn count(&self) -> usize {
        self.open.lock().len()
    }

    /// Whether there are too many to keep any after its response.
    pub fn is_crowd(&self) -> bool {
        self.count() >= HTTP_CONNECTIONS_CROWD
    }

    /// Ends those that were idle for a while, if there are many.
    pub fn make_room(&self) {
        if self.is_crowd() {
            self.sockets(|connection| connection.idle.is_longer_than(HTTP_CROWD_IDLE_MAX))
                .iter()
                .for_each(|socket| socket.end_input());
        }
    }

    /// From now on, each connection ends after its current request.
    pub fn begin_drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Ends the input of all: those that wait for a request end at once.
    pub fn end_input(&self) {
        self.sockets(|_| true).iter().for_each(|socket| socket.end_input());
    }

    /// The sockets of these connections, which are used after the lock is released.
    fn sockets(&self, of: impl Fn(&OpenConnection) -> bool) -> Vec<Arc<Socket>> {
        let open = self.open.lock();
        open.values().filter(|connection| of(connection)).map(|connection| Arc::clone(&connection.socket)).collect()
    }

    /// Waits until all have ended, until then.
    pub fn wait_until_empty(&self, until: Instant) {
        let mut open = self.open.lock();
        while !open.is_empty() && !self.closed.wait_until(&mut open, until).timed_out() {}
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock();
        let removed = open.remove(&self.number);
        if open.is_empty() {
            self.connections.closed.notify_all();
        }
        drop(open);
        drop(removed);
    }
}
