//! Over HTTP/1.1 a client follows the room, and posts with a call over a second connection when it has joined. It leaves
//! when it has its own message and the response to its call.

use std::io;

use anyhow::{Context, Result};

use super::Visits;
use super::listeners::Listeners;
use crate::args::Run;
use crate::chat::From;
use crate::check::{Fault, shown};
use crate::clock::Clock;
use crate::connection::Connection;
use crate::follow::{PostCall, Posted, follow};
use crate::pool::Pool;

pub struct Follow {
    slots: Vec<Slot>,
    listeners: Listeners,
}

/// The state of a client.
struct Slot {
    call: PostCall,
    /// The number and the time of its message.
    number: u64,
    sent_ns: u64,
    called: bool,
    /// It has its own message, and the response.
    delivered: bool,
    answered: bool,
}

impl Visits for Follow {
    fn begin(run: &Run, clock: Clock) -> Result<(Follow, Connection)> {
        let mut pool = Pool::new(clock)?;
        let server = &run.server;
        let request = || follow(server, run.seating.clients as u32, 0..1, From::Head);
        // The stream may go on behind its head.
        let mut early = Vec::new();
        pool.add(
            server,
            1,
            |_| Connection::open_stream(server, request()),
            |_, _, bytes| {
                early.extend_from_slice(bytes);
                Ok(())
            },
        )?;
        let listeners = Listeners::begin(run, clock, &mut pool, &early)?;
        let connection = pool.connections.pop().context("the pool has a connection")?;
        let slot = |sender| Slot {
            call: PostCall::new(server, sender, run.body_bytes, clock.start_unix_ms),
            number: 0,
            sent_ns: 0,
            called: false,
            delivered: false,
            answered: false,
        };
        Ok((Follow { slots: (0..run.seating.clients as u32).map(slot).collect(), listeners }, connection))
    }

    fn enter(&mut self, run: &Run, slot: usize, seq: u64, sent_ns: u64) -> io::Result<Connection> {
        self.listeners.renew(slot);
        let client = &mut self.slots[slot];
        (client.number, client.sent_ns) = (seq, sent_ns);
        (client.called, client.delivered, client.answered) = (false, false, false);
        Connection::open_stream(&run.server, follow(&run.server, slot as u32, 0..1, From::Head))
    }

    fn call(&mut self, run: &Run, slot: usize) -> io::Result<Option<Connection>> {
        let client = &mut self.slots[slot];
        if client.called || !self.listeners.has_joined(slot) {
            return Ok(None);
        }
        client.called = true;
        let mut connection = Connection::open_calls(&run.server)?;
        connection.send(client.call.fill(client.number, client.sent_ns));
        Ok(Some(connection))
    }

    fn hear(&mut self, receiver: usize, seqs: &[u64], bytes: &[u8], heard: &mut Vec<usize>) -> Result<(), Fault> {
        let before = heard.len();
        self.listeners.hear(receiver, seqs, bytes, heard)?;
        if let Some(client) = self.slots.get_mut(receiver)
            && heard.len() > before
        {
            if std::mem::replace(&mut client.delivered, true) {
                return Err(Fault::Unwelcome { receiver, text: "its own message twice".to_owned() });
            }
            if !client.answered {
                heard.truncate(before);
            }
        }
        Ok(())
    }

    fn answered(&mut self, slot: usize, bytes: &[u8], heard: &mut Vec<usize>) -> Result<(), Fault> {
        let unfit = || Fault::Unfit { sender: slot, text: shown(bytes) };
        let client = &mut self.slots[slot];
        let posted = Posted::read(bytes).ok_or_else(unfit)?;
        let id = client.call.id(client.number, client.sent_ns);
        if client.answered || posted.id != id || posted.was_stored {
            return Err(unfit());
        }
        client.answered = true;
        if client.delivered {
            heard.push(slot);
        }
        Ok(())
    }
}
