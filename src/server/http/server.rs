//! Listens for connections, and starts a thread for each.

use std::collections::HashMap;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd};

use super::answer::Answer;
use super::connection::Connection;
use super::fence::Fence;
use super::methods::Methods;
use super::socket::{Socket, wait_for};
use crate::address::Address;
use crate::limits::{HTTP_ACCEPT_PAUSE, HTTP_CONNECTIONS_MAX, HTTP_LINGER};
use crate::server::calls::dispatch::Dispatcher;
use crate::server::calls::error::Code;
use crate::server::config::StartError;
use crate::server::connections::{Connections, Place};
use crate::server::peer;
use crate::server::places;
use crate::server::refusals::{Refusals, Shortage};
use crate::threads::{self, Spawner};

/// What the connections of a server share.
pub struct Shared {
    pub dispatcher: Dispatcher,
    pub methods: Methods,
    pub fence: Fence,
    draining: AtomicBool,
    // lock order: 3 (a leaf). Those that have a thread.
    open: Mutex<HashMap<u64, Arc<Socket>>>,
    closed: Condvar,
}

/// A server for HTTP. Dropping it ends its threads.
pub struct HttpServer {
    shared: Arc<Shared>,
    addresses: Vec<Address>,
    /// Wakes the thread that accepts.
    wake: Arc<OwnedFd>,
    accept: Option<JoinHandle<()>>,
}

/// Where connections are counted, and refusals.
#[derive(Clone)]
pub struct Doors {
    pub connections: Arc<Connections>,
    pub refusals: Arc<Refusals>,
}

/// Accepts connections.
struct Acceptor {
    shared: Arc<Shared>,
    spawner: Spawner,
    doors: Doors,
    count: AtomicU64,
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Shared {
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}

impl HttpServer {
    pub fn start(
        address: &Address,
        socket_mode: Option<u32>,
        fence: Fence,
        dispatcher: Dispatcher,
        spawner: Spawner,
        doors: Doors,
    ) -> Result<Self, StartError> {
        let listeners = bind(address, socket_mode)?;
        let addresses = listeners.iter().map(|(_, address)| address.clone()).collect();
        let shared = Arc::new(Shared {
            dispatcher,
            methods: Methods::new(),
            fence,
            draining: AtomicBool::new(false),
            open: Mutex::default(),
            closed: Condvar::new(),
        });
        let wake = eventfd(0, EventfdFlags::CLOEXEC).map_err(io::Error::from)?;
        let wake = Arc::new(wake);
        let acceptor = Acceptor { shared: Arc::clone(&shared), spawner, doors, count: AtomicU64::new(0) };
        let woken = Arc::clone(&wake);
        let accept =
            move || acceptor.run(&listeners.into_iter().map(|(listener, _)| listener).collect::<Vec<_>>(), &woken);
        let accept = threads::spawn("http-accept", accept)?;
        Ok(Self { shared, addresses, wake, accept: Some(accept) })
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Accepts nothing more, and lets idle connections end. Requests that have come are answered.
    pub fn stop_accepting(&mut self) {
        self.shared.draining.store(true, Ordering::Release);
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
        if let Some(accept) = self.accept.take() {
            // A panic has been reported already.
            let _ = accept.join();
        }
        for socket in self.shared.open.lock().values() {
            socket.end_input();
        }
    }

    /// Waits until all connections have ended, until then.
    pub fn wait_until_idle(&self, until: Instant) {
        let mut open = self.shared.open.lock();
        while !open.is_empty() && !self.shared.closed.wait_until(&mut open, until).timed_out() {}
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.stop_accepting();
    }
}

impl Acceptor {
    fn run(&self, listeners: &[Listener], wake: &OwnedFd) {
        loop {
            let mut descriptors: Vec<_> = listeners.iter().map(|listener| listener.watch()).collect();
            descriptors.push(PollFd::new(wake, PollFlags::IN));
            if wait_for(&mut descriptors, None).is_err() || self.shared.is_draining() {
                return;
            }
            let ready: Vec<_> = descriptors.iter().map(|descriptor| !descriptor.revents().is_empty()).collect();
            drop(descriptors);
            for (listener, _) in listeners.iter().zip(ready).filter(|(_, is_ready)| *is_ready) {
                match listener.accept() {
                    Ok(Some((socket, name))) => self.begin(socket, name),
                    Ok(None) => {}
                    Err(error) => {
                        // Descriptors have run out, for example: the connection waits.
                        self.doors.refusals.count(Shortage::System(error.raw_os_error().unwrap_or(0)));
                        std::thread::park_timeout(HTTP_ACCEPT_PAUSE);
                    }
                }
            }
        }
    }

    fn begin(&self, socket: OwnedFd, name: String) {
        let socket = Arc::new(Socket::new(socket));
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let Doors { connections, refusals } = &self.doors;
        let address = peer::address(&name);
        let place = match connections.admit(address) {
            Ok(place) => Admitted { connections: Arc::clone(connections), place },
            Err(limit) => {
                refusals.exceeded(limit, self.shared.dispatcher.hub().peer(name).source());
                return refuse(&socket, &connections.reason(limit));
            }
        };
        if self.shared.open.lock().len() >= HTTP_CONNECTIONS_MAX {
            let reason = format!("the server is full: {HTTP_CONNECTIONS_MAX} HTTP connections are open, the maximum");
            return refuse(&socket, &reason);
        }
        let thread = match self.spawner.prepare(format!("http-{}", number % 1_000_000)) {
            Ok(thread) => thread,
            Err(error) => {
                self.doors.refusals.count(Shortage::Threads);
                return refuse(&socket, &format!("the server could not start a thread: {error}"));
            }
        };
        self.shared.open.lock().insert(number, Arc::clone(&socket));
        let shared = Arc::clone(&self.shared);
        thread.run(move || {
            // Also removed when the thread panics.
            let _open = (Open { shared: Arc::clone(&shared), number }, place);
            Connection { shared, socket, name }.serve();
        });
    }
}

/// What a connection counts for.
struct Admitted {
    connections: Arc<Connections>,
    place: Place,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.connections.release(&self.place);
    }
}

/// An entry in the map of open connections. It is removed on drop.
struct Open {
    shared: Arc<Shared>,
    number: u64,
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut open = self.shared.open.lock();
        open.remove(&self.number);
        if open.is_empty() {
            self.shared.closed.notify_all();
        }
    }
}

/// Answers a connection that is not served. Does not wait for its client.
fn refuse(socket: &Socket, reason: &str) {
    let answer = Answer::error(503, Code::Unavailable, reason).with("retry-after", "1");
    let bytes = answer.encode(true, true, std::time::SystemTime::now());
    let now = Instant::now();
    // A response this short fits into the empty buffer of a new socket.
    let _ = socket.send_all(&bytes, now);
    socket.linger(now, HTTP_LINGER.as_millis() as usize);
}

impl Listener {
    fn watch(&self) -> PollFd<'_> {
        let descriptor = match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        };
        PollFd::from_borrowed_fd(descriptor, PollFlags::IN)
    }

    /// The next connection, and its name; `None` if none waits any more.
    fn accept(&self) -> io::Result<Option<(OwnedFd, String)>> {
        let accepted = match self {
            Self::Tcp(listener) => listener.accept().and_then(|(stream, address)| {
                stream.set_nonblocking(true)?;
                // Each response is one piece.
                stream.set_nodelay(true)?;
                let scheme = if address.is_ipv4() { "ipv4" } else { "ipv6" };
                Ok((stream.into(), format!("{scheme}:{address}")))
            }),
            Self::Unix(listener) => listener.accept().and_then(|(stream, _)| {
                stream.set_nonblocking(true)?;
                Ok((stream.into(), "unix:".to_owned()))
            }),
        };
        match accepted {
            Ok(accepted) => Ok(Some(accepted)),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => Ok(None),
                _ => Err(error),
            },
        }
    }
}

fn bind(address: &Address, socket_mode: Option<u32>) -> Result<Vec<(Listener, Address)>, StartError> {
    let fault = |error: io::Error| match error.kind() {
        io::ErrorKind::AddrInUse => StartError::Taken(address.clone()),
        _ => StartError::Bind { address: address.clone(), fault: error.to_string() },
    };
    places::check_free(address)?;
    let Address::Unix(path) = address else {
        let mut listeners = Vec::new();
        for place in places::of(address)? {
            let listener = TcpListener::bind(place).map_err(fault)?;
            listener.set_nonblocking(true).map_err(fault)?;
            let bound = listener.local_addr().map_err(fault)?;
            listeners.push((Listener::Tcp(listener), Address::from(bound)));
        }
        return Ok(listeners);
    };
    // One that is left over from a killed server: it was checked that nobody listens there.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fault(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(fault)?;
    listener.set_nonblocking(true).map_err(fault)?;
    let mode = std::fs::Permissions::from_mode(socket_mode.unwrap_or(0o600));
    std::fs::set_permissions(path, mode).map_err(fault)?;
    Ok(vec![(Listener::Unix(listener), address.clone())])
}
