//! Listens for connections of the admin face, and answers one request on each.
//!
//! The threads are started with the server, and each serves one connection at a time, for a bounded time. A connection
//! ends with its response: a collector that keeps its connection between two requests would keep a thread, too. While
//! others wait, a connection whose request does not arrive soon is ended, so that those that say nothing keep no probe
//! from its answer.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use parking_lot::Mutex;

use super::routes::Routes;
use super::sources::Sources;
use super::spares::Spares;
use crate::address::Address;
use crate::limits::{
    ADMIN_ANSWER_TIME, ADMIN_CROWD_CHECK, ADMIN_CROWD_TIME, ADMIN_IDLE_MAX, ADMIN_LINGER, ADMIN_LINGER_BYTES_MAX,
    ADMIN_THREADS, ADMIN_WAITING_MAX, HTTP_ACCEPT_PAUSE,
};
use crate::server::config::{AdminConfig, StartError};
use crate::server::health::HealthState;
use crate::server::http::answer::{self, Answer};
use crate::server::http::head::Method;
use crate::server::http::input::{Input, NoRequest};
use crate::server::http::refuse::refuse;
use crate::server::http::server::{Listener, bind};
use crate::server::http::socket::Socket;
use crate::threads;

/// The admin face of a server. Dropping it ends its threads.
pub struct AdminServer {
    desk: Arc<Desk>,
    addresses: Vec<Address>,
    /// Wakes the thread that accepts.
    wake: Arc<Waker>,
    /// The one that accepts, and those that answer.
    threads: Vec<JoinHandle<()>>,
}

/// What the threads share.
struct Desk {
    routes: Routes,
    /// One for each thread that answers.
    // lock order: 3 (a leaf, held for one lookup or change)
    waiting: Mutex<[Option<Waiting>; ADMIN_THREADS]>,
    spares: Spares,
    is_ending: AtomicBool,
}

/// A connection whose request has not arrived, and since when.
type Waiting = (Instant, Arc<Socket>);

struct Connection {
    socket: Arc<Socket>,
    /// As gRPC would name it.
    name: String,
}

/// Accepts connections.
struct Acceptor {
    desk: Arc<Desk>,
    // Bound: ADMIN_WAITING_MAX. Beyond it, connections are refused.
    connections: Sender<Connection>,
}

/// The waker of the thread that accepts, and its listeners: it looks at all of them.
const WAKER: Token = Token(0);
const LISTENER: Token = Token(1);

impl AdminServer {
    pub fn start(config: &AdminConfig, socket_mode: Option<u32>, health: Arc<HealthState>) -> Result<Self, StartError> {
        let (listeners, addresses): (Vec<_>, _) = bind(&config.address, socket_mode)?.into_iter().unzip();
        let desk = Arc::new(Desk {
            routes: Routes::new(health, config.hosts.clone()),
            waiting: Mutex::default(),
            spares: Spares::new()?,
            is_ending: AtomicBool::new(false),
        });
        let poll = Poll::new()?;
        let wake = Arc::new(Waker::new(poll.registry(), WAKER)?);
        for listener in &listeners {
            poll.registry().register(&mut SourceFd(&listener.descriptor()), LISTENER, Interest::READABLE)?;
        }
        let (connections, accepted) = bounded(ADMIN_WAITING_MAX);
        let acceptor = Acceptor { desk: Arc::clone(&desk), connections };
        let mut server = Self { desk, addresses, wake, threads: Vec::new() };
        // After an error, dropping the server ends those that were started.
        server.threads.push(threads::spawn("admin-accept", move || acceptor.run(&listeners, poll))?);
        for number in 0..ADMIN_THREADS {
            let (desk, accepted) = (Arc::clone(&server.desk), accepted.clone());
            server.threads.push(threads::spawn(&format!("admin-{number}"), move || desk.work(number, &accepted))?);
        }
        Ok(server)
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// From now on it shows these, too. The first call counts.
    pub fn show(&self, sources: Sources) {
        let _ = self.desk.routes.sources.set(sources);
    }
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        self.desk.is_ending.store(true, Ordering::Release);
        // It can fail only if there are too many wake-ups that the thread has not seen: then it wakes up.
        let _ = self.wake.wake();
        self.desk.end_waiting(|_| true);
        // The one that accepts is the first. With its end, the others get no more connections.
        for thread in self.threads.drain(..) {
            // A panic has been reported already.
            let _ = thread.join();
        }
    }
}

impl Acceptor {
    fn run(&self, listeners: &[Listener], mut poll: Poll) {
        let mut events = Events::with_capacity(listeners.len() + 1);
        while !self.desk.is_ending() {
            let is_crowd = !self.connections.is_empty();
            if is_crowd {
                self.desk.end_waiting(|since| since.elapsed() >= ADMIN_CROWD_TIME);
            }
            match poll.poll(&mut events, is_crowd.then_some(ADMIN_CROWD_CHECK)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    panic!("new connections of the admin address can't be awaited: {error}")
                }
                _ => {}
            }
            // A listener reports connections once, so all of them are accepted: one of each listener in turn.
            let mut waiting: Vec<_> = listeners.iter().collect();
            while !waiting.is_empty() && !self.desk.is_ending() {
                waiting.retain(|listener| self.accept(listener));
            }
        }
    }

    /// Accepts a connection. Returns whether another one may wait.
    fn accept(&self, listener: &Listener) -> bool {
        match self.desk.spares.accept(listener.descriptor()).and_then(|socket| listener.prepare(socket)) {
            Ok((socket, name)) => {
                let connection = Connection { socket: Arc::new(Socket::new(socket)), name };
                if let Err(TrySendError::Full(refused)) = self.connections.try_send(connection) {
                    let answer = Answer::text(503, "too many connections wait here: try again in a second");
                    let bytes = encoded(&answer.with("retry-after", "1"), true);
                    // A response this short fits into the empty buffer of a new socket.
                    let _ = refused.socket.send_all(&bytes, Instant::now());
                    self.desk.close(refused);
                }
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => return false,
                io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted | io::ErrorKind::NotConnected => {}
                // Descriptors have run out, for example: the connection waits.
                _ => std::thread::park_timeout(HTTP_ACCEPT_PAUSE),
            },
        }
        true
    }
}

impl Desk {
    fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Acquire)
    }

    /// Answers one connection after the other, until none is accepted any more.
    fn work(&self, number: usize, accepted: &Receiver<Connection>) {
        threads::owned();
        for connection in accepted {
            if self.is_ending() {
                continue;
            }
            // A panic has been reported. It ends this connection; the next one is served.
            if catch_unwind(AssertUnwindSafe(|| self.serve(number, &connection))).is_err() {
                log::error!("a request at the admin address has failed: this is a bug, please report it");
            }
            self.waiting.lock()[number] = None;
            self.close(connection);
        }
    }

    fn close(&self, connection: Connection) {
        // Whoever is just ending its input closes it otherwise.
        if let Some(socket) = Arc::into_inner(connection.socket) {
            self.spares.close(socket.into_descriptor());
        }
    }

    fn serve(&self, number: usize, Connection { socket, name }: &Connection) {
        self.waiting.lock()[number] = Some((Instant::now(), Arc::clone(socket)));
        if self.is_ending() {
            return;
        }
        let head = Input::alone(Arc::clone(socket)).head(Instant::now() + ADMIN_IDLE_MAX);
        self.waiting.lock()[number] = None;
        let (answer, has_body) = match head {
            Ok(head) => (self.routes.answer(&head, name), head.method != Method::Head),
            Err(NoRequest::Idle) => return,
            Err(fault) => (refuse(fault), true),
        };
        let bytes = encoded(&answer, has_body);
        if socket.send_all(&bytes, Instant::now() + ADMIN_ANSWER_TIME).is_ok() {
            socket.linger(Instant::now() + ADMIN_LINGER, ADMIN_LINGER_BYTES_MAX);
        }
    }

    /// Ends the input of the connections that have waited for their request since then: their threads continue.
    fn end_waiting(&self, is_ended: impl Fn(Instant) -> bool) {
        let ended: Vec<_> = {
            let waiting = self.waiting.lock();
            let ended = waiting.iter().flatten().filter(|(since, _)| is_ended(*since));
            ended.map(|(_, socket)| Arc::clone(socket)).collect()
        };
        ended.iter().for_each(|socket| socket.end_input());
    }
}

/// The bytes of an answer, after which the connection ends.
fn encoded(answer: &Answer, has_body: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    answer.encode(&mut bytes, has_body, true, &answer::date(SystemTime::now()));
    bytes
}
