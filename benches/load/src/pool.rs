//! The connections that stay for a whole run, and the event loop that serves them all on one thread.

use std::io;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::check::{Fault, unexpected};
use crate::clock::{Alarm, Clock};
use crate::connection::Connection;
use crate::endpoint::Endpoint;

/// The maximum number of connections that are being opened, so that no server's accept queue overflows.
const OPENING_MAX: usize = 64;
const OPEN_TIMEOUT_NS: u64 = 60_000_000_000;
pub const JOIN_TIMEOUT_NS: u64 = 30_000_000_000;
/// The size of a read; larger ones exceed the processor's cache.
pub const READ_BYTES: usize = 128 << 10;
const EVENTS_MAX: usize = 1_024;
/// How long the loop sleeps if nothing happens.
const PATIENCE: Duration = Duration::from_millis(20);
const ALARM: Token = Token(usize::MAX);
const GUEST: Token = Token(usize::MAX - 1);

/// The connections of a run, each with its index as its token.
pub struct Pool {
    pub connections: Vec<Connection>,
    /// The first connections are those of clients; the others only post.
    pub clients: usize,
    pub clock: Clock,
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    alarm: Alarm,
    /// The guest may be readable: a connection outside of the pool, which its owner serves.
    pub guest_ready: bool,
}

impl Pool {
    /// A pool without connections.
    pub fn new(clock: Clock) -> Result<Pool> {
        let poll = Poll::new()?;
        let alarm = Alarm::new()?;
        poll.registry().register(&mut SourceFd(&alarm.fd()), ALARM, Interest::READABLE)?;
        Ok(Pool {
            connections: Vec::new(),
            clients: usize::MAX,
            clock,
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            buffer: vec![0; READ_BYTES],
            alarm,
            guest_ready: false,
        })
    }

    /// Opens `count` connections, which call gRPC's method at `path`, and waits until the server has greeted each.
    pub fn open(server: &Endpoint, path: &str, count: usize, clock: Clock) -> Result<Pool> {
        let mut pool = Pool::new(clock)?;
        let open = |_| Connection::open(server, path);
        pool.add(server, count, open, |receiver, _, bytes| Err(unexpected(receiver, bytes)))?;
        Ok(pool)
    }

    /// Opens `count` further connections, which `open` does by their indices among them, and waits until the server has
    /// greeted each. `on_data` gets what arrives meanwhile.
    pub fn add(
        &mut self,
        server: &Endpoint,
        count: usize,
        mut open: impl FnMut(usize) -> io::Result<Connection>,
        mut on_data: impl FnMut(usize, u64, &[u8]) -> Result<(), Fault>,
    ) -> Result<()> {
        let refused = || format!("no connection to {server}: does a server listen there?");
        let first = self.connections.len();
        // All before this one are greeted.
        let mut greeted = first;
        let deadline_ns = self.clock.now_ns() + OPEN_TIMEOUT_NS;
        loop {
            let following = self.connections[greeted..].iter();
            greeted += following.take_while(|connection| connection.greeted()).count();
            if greeted == first + count {
                return Ok(());
            }
            while self.connections.len() < (first + count).min(greeted + OPENING_MAX) {
                let mut connection = open(self.connections.len() - first).with_context(refused)?;
                register(&self.poll, &mut connection, Token(self.connections.len()))?;
                // On loopback a refused connection is reported here.
                connection.flush().with_context(refused)?;
                self.connections.push(connection);
            }
            if self.clock.now_ns() > deadline_ns {
                bail!("the server has greeted only {} of {count} connections", greeted - first);
            }
            self.serve(&mut on_data)?;
        }
    }

    /// Sets the time at which the loop wakes up; replaces an earlier one.
    pub fn wake_at(&self, at_ns: u64) -> io::Result<()> {
        self.alarm.set(at_ns.saturating_sub(self.clock.now_ns()))
    }

    /// Makes the loop wake up for the guest, which sets `guest_ready`.
    pub fn admit_guest(&mut self, guest: &mut Connection) -> io::Result<()> {
        // Data that arrived before is reported as an event too.
        register(&self.poll, guest, GUEST)
    }

    /// Ignores the guest until it is admitted again.
    pub fn dismiss_guest(&mut self, guest: &mut Connection) -> io::Result<()> {
        self.guest_ready = false;
        self.poll.registry().deregister(&mut guest.socket)
    }

    /// Waits for events for a short time, and handles them: `on_data` gets the receiver, the time and a piece of the
    /// data. Does not wait while the guest is readable.
    pub fn serve(&mut self, mut on_data: impl FnMut(usize, u64, &[u8]) -> Result<(), Fault>) -> Result<()> {
        let patience = if self.guest_ready { Duration::ZERO } else { PATIENCE };
        if let Err(error) = self.poll.poll(&mut self.events, Some(patience)) {
            if error.kind() == io::ErrorKind::Interrupted {
                return Ok(());
            }
            return Err(error.into());
        }
        for event in &self.events {
            let Token(index) = event.token();
            self.guest_ready |= event.token() == GUEST;
            // The alarm only wakes.
            let Some(connection) = self.connections.get_mut(index) else { continue };
            let served = if event.is_readable() || event.is_error() {
                connection.receive(&mut self.buffer, &self.clock, |now_ns, bytes| on_data(index, now_ns, bytes))
            } else {
                connection.flush().map_err(Into::into)
            };
            served.with_context(|| self.name(index))?;
        }
        Ok(())
    }

    /// The name of a connection, for messages about it.
    pub fn name(&self, index: usize) -> String {
        match index.checked_sub(self.clients) {
            Some(sender) => format!("sender {sender}"),
            None => format!("client {index}"),
        }
    }
}

/// Registers the connection under `token`, for reading and for writing.
pub fn register(poll: &Poll, connection: &mut Connection, token: Token) -> io::Result<()> {
    poll.registry().register(&mut connection.socket, token, Interest::READABLE | Interest::WRITABLE)
}
