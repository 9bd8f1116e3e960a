//! `hubbub.v1` over HTTP/1.1: clients follow rooms, and senders post with calls, each over a connection of its own.
//!
//! A sender's calls are executed one after another, so it has one message on its way into the room at a time; further
//! ones wait in the connection. More at a time take more senders. Senders are no members of the room: a client that
//! follows and posts has two connections, of which the server does not know that they belong together.

use std::collections::VecDeque;

use anyhow::{Result, bail};

use super::Contract;
use crate::args::{Pace, Run};
use crate::chat::From;
use crate::check::{Fault, shown};
use crate::clock::Clock;
use crate::connection::Connection;
use crate::endpoint::Endpoint;
use crate::follow::{PostCall, Posted, follow};
use crate::pool::{JOIN_TIMEOUT_NS, Pool};
use crate::rooms::Rooms;
use crate::seating::Seating;

/// How many calls of a sender may wait at a steady pace.
const STEADY_CALLS_MAX: usize = 64;

pub struct Follow {
    server: Endpoint,
    seating: Seating,
    senders: Vec<Sender>,
    /// How many calls of a sender may wait for their responses.
    calls_max: usize,
    /// The senders that may make a call, the one that has waited longest first. A sender that may make several is here
    /// as often.
    free: VecDeque<usize>,
    /// Calls without a response.
    unanswered: u64,
    rooms: Rooms,
}

struct Sender {
    call: PostCall,
    /// The numbers and times of the messages whose calls were not answered yet.
    unanswered: VecDeque<(u64, u64)>,
}

impl Contract for Follow {
    fn new(run: &Run, clock: &Clock) -> Follow {
        let Run { seating, body_bytes, .. } = *run;
        let calls_max = match run.pace {
            Pace::InFlight(messages) => (messages as usize).div_ceil(run.senders.max(1)),
            Pace::PerSecond(_) => STEADY_CALLS_MAX,
        };
        let sender = |index| Sender {
            call: PostCall::new(&run.server, index as u32, body_bytes, clock.start_unix_ms),
            unanswered: VecDeque::new(),
        };
        Follow {
            server: run.server.clone(),
            seating,
            senders: (0..run.senders).map(sender).collect(),
            calls_max,
            free: (0..calls_max).flat_map(|_| 0..run.senders).collect(),
            unanswered: 0,
            rooms: Rooms::of_outsiders(seating, body_bytes, clock.start_unix_ms, run.senders),
        }
    }

    /// A server accepts only few connections without a stream, so clients connect when they join.
    fn connect(&self, _: &Run, clock: Clock) -> Result<Pool> {
        Pool::new(clock)
    }

    fn receivers(seating: &Seating) -> f64 {
        seating.members_mean()
    }

    fn join(&mut self, pool: &mut Pool) -> Result<()> {
        let Follow { server, seating, rooms, .. } = self;
        let clients = seating.clients;
        pool.clients = clients;
        let open = |client| {
            Connection::open_stream(server, follow(server, client as u32, seating.rooms_of(client), From::Head))
        };
        pool.add(server, clients, open, |receiver, _, bytes| rooms.take(receiver, bytes, |_, _| ()))?;
        let mut heard_ns = pool.clock.now_ns();
        while let Some((room, absent)) = rooms.absent() {
            if pool.clock.now_ns() > heard_ns + JOIN_TIMEOUT_NS {
                bail!("client {absent} has not joined room {room}, and no client has joined any, in 30 s");
            }
            pool.serve(|receiver, now_ns, bytes| {
                heard_ns = now_ns;
                rooms.take(receiver, bytes, |_, _| ())
            })?;
        }
        let open = |_| Connection::open_greeted_calls(server);
        pool.add(server, self.senders.len(), open, |receiver, _, bytes| match receiver.checked_sub(clients) {
            Some(sender) => Err(Fault::Unfit { sender, text: shown(bytes) }),
            None => rooms.take(receiver, bytes, |_, _| ()),
        })
    }

    fn connection_of(&self, sender: usize) -> usize {
        self.seating.clients + sender
    }

    fn has_room(&self, connection: &Connection, sender: usize) -> bool {
        let Sender { call, unanswered } = &self.senders[sender];
        unanswered.len() < self.calls_max && connection.has_room(call.len())
    }

    /// The sender that has waited longest: to look at all of them would take long.
    fn next_sender(&mut self, pool: &Pool, _: usize, _: usize) -> Option<usize> {
        let sender = *self.free.front()?;
        self.has_room(&pool.connections[self.connection_of(sender)], sender).then_some(sender)
    }

    fn post(&mut self, connection: &mut Connection, sender: usize, sent_ns: u64) {
        // Senders are chosen by `next_sender`.
        self.free.pop_front();
        let number = self.rooms.send(0, sender);
        let Sender { call, unanswered } = &mut self.senders[sender];
        connection.send(call.fill(number, sent_ns));
        unanswered.push_back((number, sent_ns));
        self.unanswered += 1;
    }

    /// Requests are not collected: each message has its own, and they are written together.
    fn send(&mut self, _: &mut Connection, _: usize) {}

    #[inline]
    fn take(&mut self, receiver: usize, bytes: &[u8], on_delivery: impl FnMut(u64, u64)) -> Result<(), Fault> {
        match receiver.checked_sub(self.seating.clients) {
            None => self.rooms.take(receiver, bytes, on_delivery),
            Some(sender) => self.answer(sender, bytes),
        }
    }

    /// A message also waits for the response to its call.
    fn in_flight(&self) -> u64 {
        self.rooms.in_flight().max(self.unanswered)
    }

    fn finish(&self) -> Result<(), Fault> {
        self.rooms.finish()?;
        match self.unanswered {
            0 => Ok(()),
            count => Err(Fault::Missing(format!("the responses to {count} calls"))),
        }
    }
}

impl Follow {
    /// Checks the response to the sender's oldest call.
    fn answer(&mut self, sender: usize, bytes: &[u8]) -> Result<(), Fault> {
        let unfit = || Fault::Unfit { sender, text: shown(bytes) };
        let Sender { call, unanswered } = &mut self.senders[sender];
        let (number, sent_ns) = unanswered.pop_front().ok_or_else(unfit)?;
        let posted = Posted::read(bytes).ok_or_else(unfit)?;
        if posted.id != call.id(number, sent_ns) || posted.was_stored {
            return Err(unfit());
        }
        self.unanswered -= 1;
        self.free.push_back(sender);
        self.rooms.answered(0, sender, posted.seq)
    }
}

#[cfg(test)]
#[path = "follow_tests.rs"]
mod tests;
