//! The connections that stay for a whole run, and the event loop that serves them all on one thread.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::check::{Fault, unexpected};
use crate::clock::{Alarm, Clock};
use crate::connection::Connection;
use crate::message::{ChatMessage, Mark, Purpose, Template};

/// Connections that may be opening at a time, so that no server's accept queue runs over.
const OPENING_MAX: usize = 64;
const OPEN_TIMEOUT_NS: u64 = 60_000_000_000;
const JOIN_TIMEOUT_NS: u64 = 30_000_000_000;
/// How long probes get to come through before the next ones are sent.
const PROBE_PAUSE_NS: u64 = 20_000_000;
/// One read takes as much as this; larger ones fall out of the processor's cache.
const READ_BYTES: usize = 128 << 10;
const EVENTS_MAX: usize = 1_024;
/// How long the loop sleeps if nothing happens.
const PATIENCE: Duration = Duration::from_millis(20);
const ALARM: Token = Token(usize::MAX);

/// The connections of a run, each with its index as its token.
pub struct Pool {
    pub connections: Vec<Connection>,
    pub clock: Clock,
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    alarm: Alarm,
}

impl Pool {
    /// Opens `count` connections and waits until the server has greeted each.
    pub fn open(server: SocketAddr, count: usize) -> Result<Pool> {
        let poll = Poll::new()?;
        let alarm = Alarm::new()?;
        poll.registry().register(&mut SourceFd(&alarm.fd()), ALARM, Interest::READABLE)?;
        let mut pool = Pool {
            connections: Vec::with_capacity(count),
            clock: Clock::start(),
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            buffer: vec![0; READ_BYTES],
            alarm,
        };
        loop {
            let greeted = pool.connections.iter().filter(|connection| connection.greeted()).count();
            if greeted == count {
                return Ok(pool);
            }
            while pool.connections.len() < count.min(greeted + OPENING_MAX) {
                pool.add(server)?;
            }
            if pool.clock.now_ns() > OPEN_TIMEOUT_NS {
                bail!("the server has greeted only {greeted} of {count} connections");
            }
            pool.serve(|receiver, _, message| Err(unexpected(receiver, message)))?;
        }
    }

    /// Waits until every connection is in the room: until it has received what somebody else sent.
    ///
    /// In this contract a server says nothing when it lets a client in, so the first two clients send probes until
    /// all have seen one. The last probes may still be on their way when this returns.
    pub fn join(&mut self, templates: &[Template]) -> Result<()> {
        let mut joined = vec![false; self.connections.len()];
        let mut probes_sent = 0;
        let mut next_probe_ns = 0;
        let deadline_ns = self.clock.now_ns() + JOIN_TIMEOUT_NS;
        while let Some(absent) = joined.iter().position(|joined| !joined) {
            let now_ns = self.clock.now_ns();
            if now_ns > deadline_ns {
                bail!("client {absent} has received nothing in 30 s: probes do not come through");
            }
            if now_ns >= next_probe_ns {
                next_probe_ns = now_ns + PROBE_PAUSE_NS;
                for (connection, template) in self.connections.iter_mut().zip(templates).take(2) {
                    if connection.has_room(template) {
                        connection.send(template, Purpose::Probe, probes_sent, now_ns);
                        connection.flush()?;
                    }
                }
                probes_sent += 1;
            }
            self.serve(|receiver, _, message| {
                let mark = ChatMessage::read(message).and_then(|message| Mark::read(message.body));
                match mark {
                    Some(mark) if mark.purpose == Purpose::Probe && mark.sender as usize != receiver => {
                        joined[receiver] = true;
                        Ok(())
                    }
                    _ => Err(unexpected(receiver, message)),
                }
            })?;
        }
        Ok(())
    }

    /// Has the loop wake at a time, in place of the one set before.
    pub fn wake_at(&self, at_ns: u64) -> io::Result<()> {
        self.alarm.set(at_ns.saturating_sub(self.clock.now_ns()))
    }

    /// Waits for something to happen, for a short time, and does it: `on_message` is called with the receiver, the time
    /// and the message.
    pub fn serve(&mut self, mut on_message: impl FnMut(usize, u64, &[u8]) -> Result<(), Fault>) -> Result<()> {
        if let Err(error) = self.poll.poll(&mut self.events, Some(PATIENCE)) {
            if error.kind() == io::ErrorKind::Interrupted {
                return Ok(());
            }
            return Err(error.into());
        }
        for event in &self.events {
            let Token(index) = event.token();
            // The alarm only wakes.
            let Some(connection) = self.connections.get_mut(index) else { continue };
            let served = if event.is_readable() || event.is_error() {
                connection.receive(&mut self.buffer, &self.clock, |now_ns, message| on_message(index, now_ns, message))
            } else {
                connection.flush().map_err(Into::into)
            };
            served.with_context(|| format!("client {index}"))?;
        }
        Ok(())
    }

    fn add(&mut self, server: SocketAddr) -> Result<()> {
        let token = Token(self.connections.len());
        let refused = || format!("no connection to {server}: does a server listen there?");
        let mut connection = Connection::open(server).with_context(refused)?;
        register(&self.poll, &mut connection, token)?;
        // On the loopback a refusal shows here.
        connection.flush().with_context(refused)?;
        self.connections.push(connection);
        Ok(())
    }
}

/// Has the loop report, under `token`, when the connection can be read and when it can be written again.
pub fn register(poll: &Poll, connection: &mut Connection, token: Token) -> io::Result<()> {
    poll.registry().register(&mut connection.socket, token, Interest::READABLE | Interest::WRITABLE)
}

/// A template for each of the first `count` clients, and at least for those who probe.
pub fn templates(count: usize, body_bytes: usize) -> Vec<Template> {
    (0..count.max(2) as u32).map(|sender| Template::new(sender, body_bytes)).collect()
}
