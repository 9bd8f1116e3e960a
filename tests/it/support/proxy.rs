//! A bad network: a TCP proxy that drops, resets and stalls its connections on a test's command.

use std::fmt;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The maximum number of connections at once; others are closed when they are accepted.
const CONNECTIONS_MAX: usize = 256;

/// The longest stall: short enough for many in a run, long enough for windows and queues to fill.
const STALL_MAX: Duration = Duration::from_millis(400);

/// How soon a thread that can't write, or is stalled, detects that its connection was cut.
const CHECK_INTERVAL: Duration = Duration::from_millis(10);

/// The proxy. Its connections are cut when it is dropped.
pub struct Proxy {
    target: String,
    network: Arc<Network>,
    acceptor: Option<JoinHandle<()>>,
}

/// A fault of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection is closed (FIN). Data that the proxy still holds is lost.
    Drop,
    /// The connection is reset (RST). Data in flight is lost.
    Reset,
    /// No data arrives for a while: at the server, at the client, or at both.
    Stall(Direction),
    /// No data arrives for a while, and then the connection is reset.
    StallAndReset(Direction),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Up,
    Down,
    Both,
}

struct Network {
    server: String,
    ended: AtomicBool,
    /// Only the pumps own a connection: its sockets are closed when both have ended.
    connections: Mutex<Vec<Weak<Connection>>>,
    accepted: AtomicUsize,
}

struct Connection {
    client: TcpStream,
    server: TcpStream,
    is_cut: AtomicBool,
    stalls: Mutex<Stalls>,
}

/// Until when a direction is stalled, and whether the connection is reset after that.
#[derive(Clone, Copy, Default)]
struct Stalls {
    up_until: Option<Instant>,
    down_until: Option<Instant>,
    then_reset: bool,
}

impl Proxy {
    /// A proxy to that server.
    pub fn start(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let target = listener.local_addr().expect("it is bound").to_string();
        let network = Network {
            server: server.to_owned(),
            ended: AtomicBool::new(false),
            connections: Mutex::default(),
            accepted: AtomicUsize::new(0),
        };
        let network = Arc::new(network);
        let accepting = Arc::clone(&network);
        let acceptor = thread::spawn(move || accepting.accept(&listener));
        Self { target, network, acceptor: Some(acceptor) }
    }

    pub fn target(&self) -> &str {
        &self.target
    }

    /// How many connections were accepted so far.
    pub fn accepted(&self) -> usize {
        self.network.accepted.load(Ordering::Relaxed)
    }

    /// Applies a fault to some of the connections, at least to one. `None` if there are none.
    pub fn strike(&self, random: &mut fastrand::Rng) -> Option<Fault> {
        let connections: Vec<_> = self.network.connections().iter().filter_map(Weak::upgrade).collect();
        let fault = Fault::random(random);
        let sure = random.usize(..connections.len().max(1));
        let share = random.f64();
        for (place, connection) in connections.iter().enumerate() {
            if place == sure || random.f64() < share {
                connection.apply(fault, STALL_MAX.mul_f64(random.f64()));
            }
        }
        (!connections.is_empty()).then_some(fault)
    }
}

impl Fault {
    fn random(random: &mut fastrand::Rng) -> Self {
        let direction = [Direction::Up, Direction::Down, Direction::Both][random.usize(..3)];
        [Self::Drop, Self::Reset, Self::Reset, Self::Stall(direction), Self::StallAndReset(direction)]
            [random.usize(..5)]
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.network.ended.store(true, Ordering::Release);
        // The acceptor checks the flag at each connection.
        let _ = TcpStream::connect(&self.target);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

impl Network {
    fn connections(&self) -> MutexGuard<'_, Vec<Weak<Connection>>> {
        self.connections.lock().expect("no holder panics")
    }

    fn accept(&self, listener: &TcpListener) {
        let mut pumps: Vec<JoinHandle<()>> = Vec::new();
        for client in listener.incoming() {
            if self.ended.load(Ordering::Acquire) {
                break;
            }
            pumps.retain(|pump| !pump.is_finished());
            let mut connections = self.connections();
            connections.retain(|connection| connection.strong_count() > 0);
            let Ok(client) = client else { continue };
            if connections.len() >= CONNECTIONS_MAX {
                continue;
            }
            self.accepted.fetch_add(1, Ordering::Relaxed);
            // Without a server there is no connection.
            let Ok(server) = TcpStream::connect(&self.server) else { continue };
            let connection = Arc::new(Connection::new(client, server));
            connections.push(Arc::downgrade(&connection));
            for is_up in [true, false] {
                let connection = Arc::clone(&connection);
                pumps.push(thread::spawn(move || connection.pump(is_up)));
            }
        }
        self.connections().iter().filter_map(Weak::upgrade).for_each(|connection| connection.cut());
        for pump in pumps {
            pump.join().expect("a pump does not panic");
        }
    }
}

impl Connection {
    fn new(client: TcpStream, server: TcpStream) -> Self {
        for socket in [&client, &server] {
            socket.set_write_timeout(Some(CHECK_INTERVAL)).expect("a timeout can be set");
            socket.set_nodelay(true).expect("an option can be set");
        }
        Self { client, server, is_cut: AtomicBool::new(false), stalls: Mutex::default() }
    }

    fn apply(&self, fault: Fault, time: Duration) {
        match fault {
            Fault::Drop => self.cut(),
            Fault::Reset => self.reset(),
            Fault::Stall(direction) => self.stall(direction, time, false),
            Fault::StallAndReset(direction) => self.stall(direction, time, true),
        }
    }

    fn stall(&self, direction: Direction, time: Duration, then_reset: bool) {
        let until = Some(Instant::now() + time);
        let mut stalls = self.stalls.lock().expect("no holder panics");
        if direction != Direction::Down {
            stalls.up_until = until;
        }
        if direction != Direction::Up {
            stalls.down_until = until;
        }
        stalls.then_reset |= then_reset;
    }

    /// Ends both pumps. The sockets are closed with the last of them.
    fn cut(&self) {
        self.is_cut.store(true, Ordering::Release);
        // Wakes the pumps that read; no data is sent before the sockets are closed.
        let _ = self.client.shutdown(Shutdown::Read);
        let _ = self.server.shutdown(Shutdown::Read);
    }

    fn reset(&self) {
        let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
        for socket in [&self.client, &self.server] {
            // SAFETY: the socket is open as long as `self`, and the option is a `linger` of that size.
            let result = unsafe {
                libc::setsockopt(
                    socket.as_raw_fd(),
                    libc::SOL_SOCKET,
                    libc::SO_LINGER,
                    (&raw const at_once).cast(),
                    size_of::<libc::linger>() as libc::socklen_t,
                )
            };
            assert_eq!(result, 0, "a socket's closing can be made a reset");
        }
        self.cut();
    }

    /// Forwards bytes in one direction until the connection is cut, or ends at either side.
    fn pump(&self, is_up: bool) {
        let (from, to) = if is_up { (&self.client, &self.server) } else { (&self.server, &self.client) };
        let mut buffer = [0; 4096];
        while let Ok(count) = (&mut { from }).read(&mut buffer)
            && count > 0
            && self.wait_out_stall(is_up)
            && self.write(to, &buffer[..count])
        {}
        self.cut();
    }

    /// False means that the connection was cut.
    fn wait_out_stall(&self, is_up: bool) -> bool {
        loop {
            if self.is_cut.load(Ordering::Acquire) {
                return false;
            }
            let stalls = *self.stalls.lock().expect("no holder panics");
            let Some(until) = (if is_up { stalls.up_until } else { stalls.down_until }) else { return true };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                if stalls.then_reset {
                    self.reset();
                }
                return !stalls.then_reset;
            }
            thread::park_timeout(left.min(CHECK_INTERVAL));
        }
    }

    fn write(&self, to: &TcpStream, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            if self.is_cut.load(Ordering::Acquire) {
                return false;
            }
            match (&mut { to }).write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return false,
            }
        }
        true
    }
}
