//! The servers of this process as the C core sees them: by a number, which is a channel argument, and by their
//! listening sockets.
//!
//! What the C core calls has no server that could be passed to it, so this is global.

use std::collections::HashMap;
use std::ffi::c_int;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use crate::server::connections::Connections;
use crate::server::gauges::Gauges;
use crate::server::refusals::Refusals;

/// What the C core's side needs of a server.
#[derive(Debug)]
pub struct Guard {
    pub connections: Arc<Connections>,
    /// How long a connection may carry no call.
    pub idle_max: Duration,
    pub refusals: Arc<Refusals>,
    pub gauges: Arc<Gauges>,
}

/// A server that the C core's side knows, until this is dropped.
#[derive(Debug)]
pub struct Registration {
    number: c_int,
}

struct Registry {
    last: c_int,
    servers: Vec<(c_int, Weak<Guard>)>,
    /// The server of each listening socket.
    listeners: Option<HashMap<c_int, c_int>>,
}

// lock order: 2 (held for one lookup or change)
static REGISTRY: Mutex<Registry> = Mutex::new(Registry { last: 0, servers: Vec::new(), listeners: None });

pub fn register(guard: &Arc<Guard>) -> Registration {
    let mut registry = REGISTRY.lock();
    registry.last += 1;
    let number = registry.last;
    registry.servers.push((number, Arc::downgrade(guard)));
    Registration { number }
}

/// A server by its number; `None` if it is gone.
pub fn by_number(number: c_int) -> Option<Arc<Guard>> {
    REGISTRY.lock().by_number(number)
}

/// A server by one of its listening sockets.
pub fn by_listener(listener: c_int) -> Option<Arc<Guard>> {
    let registry = REGISTRY.lock();
    let number = registry.listeners.as_ref()?.get(&listener)?;
    registry.by_number(*number)
}

/// A server has opened a listening socket. An earlier one with the same descriptor is closed.
pub fn listens(number: c_int, listener: c_int) {
    REGISTRY.lock().listeners.get_or_insert_default().insert(listener, number);
}

pub fn all() -> Vec<Arc<Guard>> {
    REGISTRY.lock().servers.iter().filter_map(|(_, guard)| guard.upgrade()).collect()
}

impl Registration {
    pub fn number(&self) -> c_int {
        self.number
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut registry = REGISTRY.lock();
        registry.servers.retain(|(number, _)| *number != self.number);
        if let Some(listeners) = &mut registry.listeners {
            listeners.retain(|_, number| *number != self.number);
        }
    }
}

impl Registry {
    fn by_number(&self, number: c_int) -> Option<Arc<Guard>> {
        let server = self.servers.iter().find(|(other, _)| *other == number);
        server.and_then(|(_, guard)| guard.upgrade())
    }
}
