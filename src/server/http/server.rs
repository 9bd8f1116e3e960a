//! Listens for connections, and starts a thread for each.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};

use super::answer::{self, Answer};
use super::connection::Connection;
use super::fence::Fence;
use super::held::Held;
use super::idle::Idle;
use super::methods::Methods;
use super::open::OpenConnections;
use super::page::Page;
use super::shared::Shared;
use super::socket::Socket;
use super::watch::Watch;
use crate::address::Address;
use crate::limits::{HTTP_ACCEPT_PAUSE, HTTP_BACKLOG, HTTP_CONNECTIONS_MAX, HTTP_LINGER_BYTES_MAX};
use crate::server::calls::dispatch::Dispatcher;
use crate::server::calls::error::Code;
use crate::server::config::StartError;
use crate::server::connections::Connections;
use crate::server::peer;
use crate::server::places;
use crate::server::refusals::{Refusals, Shortage};
use crate::supervisor::sockets::ListeningSocket;
use crate::threads::{self, Spawner};

/// A server for HTTP. Dropping it ends its threads.
pub struct HttpServer {
    shared: Arc<Shared>,
    addresses: Vec<Address>,
    /// Wakes the thread that accepts.
    wake: Arc<Waker>,
    accept: Option<JoinHandle<()>>,
}

/// Where it listens.
pub struct Places<'a> {
    pub address: Option<&'a Address>,
    pub inherited: &'a [ListeningSocket],
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

/// The waker of the thread that accepts, and its listeners: it looks at all of them.
const WAKER: Token = Token(0);
const LISTENER: Token = Token(1);

/// A listening socket.
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl HttpServer {
    pub fn start(
        places: Places<'_>,
        socket_mode: Option<u32>,
        fence: Fence,
        dispatcher: Dispatcher,
        spawner: Spawner,
        doors: Doors,
        watch: Arc<Watch>,
    ) -> Result<Self, StartError> {
        let mut listeners = Vec::new();
        if let Some(address) = places.address {
            listeners.extend(bind(address, socket_mode)?);
        }
        for socket in places.inherited {
            listeners.push((adopt(socket)?, socket.address().clone()));
        }
        let addresses = listeners.iter().map(|(_, address)| address.clone()).collect();
        let shared = Arc::new(Shared {
            dispatcher,
            methods: Methods::new(),
            page: Page::new(),
            fence,
            watch,
            open: Arc::<OpenConnections>::default(),
        });
        let poll = Poll::new()?;
        let wake = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let listeners: Vec<_> = listeners.into_iter().map(|(listener, _)| listener).collect();
        for listener in &listeners {
            poll.registry().register(&mut SourceFd(&listener.descriptor()), LISTENER, Interest::READABLE)?;
        }
        let acceptor = Acceptor { shared: Arc::clone(&shared), spawner, doors, count: AtomicU64::new(0) };
        let accept = threads::spawn("http-accept", move || acceptor.run(&listeners, poll))?;
        Ok(Self { shared, addresses, wake, accept: Some(accept) })
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Counts the connections that are not streams.
    pub fn connection_counter(&self) -> impl Fn() -> usize + Send + Sync + 'static + use<> {
        let open = Arc::clone(&self.shared.open);
        move || open.count()
    }

    /// Accepts nothing more, and lets idle connections end. Requests that have come are answered.
    pub fn stop_accepting(&mut self) {
        self.shared.open.begin_drain();
        // It can fail only if there are too many wake-ups that the thread has not seen: then it wakes up.
        let _ = self.wake.wake();
        if let Some(accept) = self.accept.take() {
            // A panic has been reported already.
            let _ = accept.join();
        }
        self.shared.open.end_input();
    }

    /// Ends all streams at once.
    pub fn cancel_streams(&self) {
        self.shared.watch.cancel_all();
    }

    /// Waits until all connections have ended but those that are streams, until then.
    pub fn wait_until_idle(&self, until: Instant) {
        self.shared.open.wait_until_empty(until);
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.stop_accepting();
    }
}

impl Acceptor {
    fn run(&self, listeners: &[Listener], mut poll: Poll) {
        let mut events = Events::with_capacity(listeners.len() + 1);
        while !self.shared.open.is_draining() {
            match poll.poll(&mut events, None) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    panic!("new connections can't be awaited: {error}")
                }
                _ => {}
            }
            // A listener reports connections once, so all of them are accepted: one of each listener in turn.
            let mut waiting: Vec<_> = listeners.iter().collect();
            while !waiting.is_empty() && !self.shared.open.is_draining() {
                waiting.retain(|listener| self.accept(listener));
            }
        }
    }

    /// Accepts a connection. Returns whether another one may wait.
    fn accept(&self, listener: &Listener) -> bool {
        match listener.accept() {
            Ok((socket, name)) => self.begin(socket, name),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => return false,
                io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
                _ => {
                    // Descriptors have run out, for example: the connection waits.
                    self.doors.refusals.count(Shortage::System(error.raw_os_error().unwrap_or(0)));
                    std::thread::park_timeout(HTTP_ACCEPT_PAUSE);
                }
            },
        }
        true
    }

    fn begin(&self, socket: OwnedFd, name: String) {
        self.shared.open.make_room();
        let (socket, idle) = (Arc::new(Socket::new(socket)), Arc::new(Idle::default()));
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let Doors { connections, refusals } = &self.doors;
        let address = peer::address(&name);
        let held = match connections.admit(address) {
            Ok(place) => Held { connections: Arc::clone(connections), place },
            Err(limit) => {
                refusals.exceeded(limit, self.shared.dispatcher.hub().peer(name).source());
                return refuse(&socket, &connections.reason(limit));
            }
        };
        if self.shared.open.count() >= HTTP_CONNECTIONS_MAX {
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
        let entry = self.shared.open.add(number, Arc::clone(&socket), Arc::clone(&idle));
        let shared = Arc::clone(&self.shared);
        thread.run(move || {
            // Also removed when the thread panics.
            let _entry = entry;
            Connection::new(shared, socket, name, held).serve(idle);
        });
    }
}

/// Answers a connection that is not served. Does not wait for its client.
fn refuse(socket: &Socket, reason: &str) {
    let answer = Answer::error(503, Code::Unavailable, reason).with("retry-after", "1");
    let mut bytes = Vec::new();
    answer.encode(&mut bytes, true, true, &answer::date(SystemTime::now()));
    let now = Instant::now();
    // A response this short fits into the empty buffer of a new socket.
    let _ = socket.send_all(&bytes, now);
    socket.linger(now, HTTP_LINGER_BYTES_MAX);
}

impl Listener {
    pub fn descriptor(&self) -> RawFd {
        match self {
            Self::Tcp(listener) => listener.as_raw_fd(),
            Self::Unix(listener) => listener.as_raw_fd(),
        }
    }

    /// The next connection, and its name.
    pub fn accept(&self) -> io::Result<(OwnedFd, String)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept()?;
                stream.set_nonblocking(true)?;
                // Each response is one piece.
                stream.set_nodelay(true)?;
                let scheme = if address.is_ipv4() { "ipv4" } else { "ipv6" };
                Ok((stream.into(), format!("{scheme}:{address}")))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok((stream.into(), "unix:".to_owned()))
            }
        }
    }

    /// The same for a connection that was accepted otherwise, and does not block.
    pub fn prepare(&self, connection: OwnedFd) -> io::Result<(OwnedFd, String)> {
        if let Self::Unix(_) = self {
            return Ok((connection, "unix:".to_owned()));
        }
        let stream = TcpStream::from(connection);
        stream.set_nodelay(true)?;
        let address = stream.peer_addr()?;
        let scheme = if address.is_ipv4() { "ipv4" } else { "ipv6" };
        Ok((stream.into(), format!("{scheme}:{address}")))
    }
}

/// Listens on a socket that the service manager keeps open.
fn adopt(socket: &ListeningSocket) -> Result<Listener, StartError> {
    let fault = |error: io::Error| StartError::Bind { address: socket.address().clone(), fault: error.to_string() };
    let descriptor = socket.as_fd().try_clone_to_owned().map_err(fault)?;
    rustix::io::ioctl_fionbio(&descriptor, true).map_err(|error| fault(error.into()))?;
    Ok(match socket.address() {
        Address::Tcp { .. } => Listener::Tcp(descriptor.into()),
        Address::Unix(_) => Listener::Unix(descriptor.into()),
    })
}

/// Listens on an address: on all addresses of a name. Each listener has the address that it is bound to.
pub fn bind(address: &Address, socket_mode: Option<u32>) -> Result<Vec<(Listener, Address)>, StartError> {
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
            // The standard library's own bound is 128.
            rustix::net::listen(&listener, HTTP_BACKLOG).map_err(|error| fault(error.into()))?;
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
