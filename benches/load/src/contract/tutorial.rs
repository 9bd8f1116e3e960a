//! The tutorial's contract: no rooms, no answer to a join, one message at a time, and no own messages.

use anyhow::{Result, bail};

use super::Contract;
use crate::args::Run;
use crate::check::{Checker, Fault, unexpected};
use crate::clock::Clock;
use crate::connection::Connection;
use crate::grpc::Deframer;
use crate::message::{ChatMessage, Mark, Purpose, Template};
use crate::pool::{JOIN_TIMEOUT_NS, Pool};
use crate::seating::Seating;

/// How long probes may take before the next ones are sent.
const PROBE_PAUSE_NS: u64 = 20_000_000;
/// The number of clients that send probes: two, so that each gets the other's.
const PROBERS: usize = 2;

pub struct Tutorial {
    templates: Vec<Template>,
    messages: Vec<Deframer>,
    checker: Checker,
}

impl Tutorial {
    /// Of the chat's method.
    pub const PATH: &'static str = "/chatserver.Services/ChatService";

    /// There is one room, with all clients.
    pub fn of(clients: usize, body_bytes: usize) -> Tutorial {
        Tutorial {
            templates: (0..clients as u32).map(|sender| Template::new(sender, body_bytes)).collect(),
            messages: (0..clients).map(|_| Deframer::default()).collect(),
            checker: Checker::new(clients, body_bytes),
        }
    }
}

impl Contract for Tutorial {
    fn new(run: &Run, _: &Clock) -> Tutorial {
        Tutorial::of(run.seating.clients, run.body_bytes)
    }

    fn connect(&self, run: &Run, clock: Clock) -> Result<Pool> {
        Pool::open(&run.server, Tutorial::PATH, run.seating.clients, clock)
    }

    fn receivers(seating: &Seating) -> f64 {
        (seating.clients - 1) as f64
    }

    /// Waits until every connection has received a probe: in this contract a server does not answer a join. The last
    /// probes may still be in flight when this returns.
    fn join(&mut self, pool: &mut Pool) -> Result<()> {
        let mut joined = vec![false; pool.connections.len()];
        let mut probes_sent = 0;
        let mut next_probe_ns = 0;
        let deadline_ns = pool.clock.now_ns() + JOIN_TIMEOUT_NS;
        while let Some(absent) = joined.iter().position(|joined| !joined) {
            let now_ns = pool.clock.now_ns();
            if now_ns > deadline_ns {
                bail!("client {absent} has received nothing in 30 s: probes do not come through");
            }
            if now_ns >= next_probe_ns {
                next_probe_ns = now_ns + PROBE_PAUSE_NS;
                for (connection, template) in pool.connections.iter_mut().zip(&mut self.templates).take(PROBERS) {
                    if connection.has_room(template.len()) {
                        connection.send(template.fill(Purpose::Probe, probes_sent, now_ns));
                        connection.flush()?;
                    }
                }
                probes_sent += 1;
            }
            let messages = &mut self.messages;
            pool.serve(|receiver, _, mut bytes| {
                while let Some(message) = messages[receiver].next(&mut bytes)? {
                    let mark = ChatMessage::read(message).and_then(|message| Mark::read(message.body));
                    match mark {
                        Some(mark) if mark.purpose == Purpose::Probe && mark.sender as usize != receiver => {
                            joined[receiver] = true;
                        }
                        _ => return Err(unexpected(receiver, message)),
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn has_room(&self, connection: &Connection, sender: usize) -> bool {
        connection.has_room(self.templates[sender].len())
    }

    fn post(&mut self, connection: &mut Connection, sender: usize, sent_ns: u64) {
        let seq = self.checker.send(sender);
        connection.send(self.templates[sender].fill(Purpose::Load, seq, sent_ns));
    }

    /// Requests are not collected: each message is sent at once.
    fn send(&mut self, _: &mut Connection, _: usize) {}

    #[inline]
    fn take(&mut self, receiver: usize, mut bytes: &[u8], mut on_delivery: impl FnMut(u64, u64)) -> Result<(), Fault> {
        while let Some(message) = self.messages[receiver].next(&mut bytes)? {
            if let Some(sent_ns) = self.checker.deliver(receiver, message)? {
                on_delivery(sent_ns, 1);
            }
        }
        Ok(())
    }

    fn in_flight(&self) -> u64 {
        self.checker.in_flight()
    }

    fn finish(&self) -> Result<(), Fault> {
        self.checker.finish()
    }
}
