//! Scenario f: clients join, post one message, and leave when it is delivered: over the tutorial's contract to an
//! observer, which stays; over `hubbub.v1` to themselves, by gRPC or HTTP/1.1.
//!
//! The observer must get each message once and in order. Only the server knows how long the other clients are in the
//! room, so the messages that they must get depend on the contract.

mod follow;
mod listeners;
mod tutorial;
mod v1;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use mio::{Events, Poll, Token};

use crate::args::Run;
use crate::check::{Fault, MessageId, shown};
use crate::clock::Clock;
use crate::connection::Connection;
use crate::fanout::WARM_UP_NS;
use crate::live::STALL_NS;
use crate::message::Mark;
use crate::meter::{Measured, Meter};
use crate::pool::register;
use crate::report::Report;

pub use follow::Follow;
pub use tutorial::Tutorial;
pub use v1::V1;

const PATIENCE: Duration = Duration::from_millis(20);
const READ_BYTES: usize = 64 << 10;

/// The messages of the clients over one contract. Slots have the indices 0 to n - 1, the observer n.
pub trait Visits: Sized {
    /// Makes the observer join the room.
    fn begin(run: &Run, clock: Clock) -> Result<(Self, Connection)>;

    /// A client connects, and posts its message as soon as possible, or over another connection.
    fn enter(&mut self, run: &Run, slot: usize, seq: u64, sent_ns: u64) -> std::io::Result<Connection>;

    /// Checks the bytes that a client or the observer got; `heard` gets the slots whose messages were delivered.
    fn hear(&mut self, receiver: usize, seqs: &[u64], bytes: &[u8], heard: &mut Vec<usize>) -> Result<(), Fault>;

    /// A second connection of a client, with the call that posts its message, as soon as it may be made. Once for each
    /// client.
    fn call(&mut self, _: &Run, _slot: usize) -> std::io::Result<Option<Connection>> {
        Ok(None)
    }

    /// Checks the response to that call, which may make the client leave as a delivery does.
    fn answered(&mut self, slot: usize, bytes: &[u8], _: &mut Vec<usize>) -> Result<(), Fault> {
        Err(Fault::Unfit { sender: slot, text: shown(bytes) })
    }
}

/// Each slot has one client after another, independently of the other slots.
struct Churn<V> {
    run: Run,
    poll: Poll,
    clock: Clock,
    visits: V,
    slots: Vec<Slot>,
    /// By slot: the number of its client's message.
    seqs: Vec<u64>,
    observer: Connection,
    buffer: Vec<u8>,
}

/// One client at a time.
struct Slot {
    connection: Connection,
    /// The connection over which it posts, if that is another one.
    caller: Option<Connection>,
    sent_ns: u64,
}

pub fn run<V: Visits>(run: &Run) -> Result<Report> {
    let mut meter = Meter::new(run.pid)?;
    let mut churn = Churn::<V>::begin(run)?;
    let measured = churn.measure(&mut meter)?;
    Ok(Report::of_churn(run, &measured))
}

impl<V: Visits> Churn<V> {
    fn begin(run: &Run) -> Result<Churn<V>> {
        let clock = Clock::start();
        let (visits, mut observer) = V::begin(run, clock)?;
        let poll = Poll::new()?;
        register(&poll, &mut observer, Token(run.seating.clients))?;
        let mut churn = Churn {
            run: run.clone(),
            poll,
            clock,
            visits,
            slots: Vec::new(),
            seqs: vec![0; run.seating.clients],
            observer,
            buffer: vec![0; READ_BYTES],
        };
        for index in 0..run.seating.clients {
            let slot = churn.enter(index)?;
            churn.slots.push(slot);
        }
        Ok(churn)
    }

    fn measure(&mut self, meter: &mut Meter) -> Result<Measured> {
        let warm_ns = self.clock.now_ns() + WARM_UP_NS;
        let end_ns = warm_ns + self.run.window.as_nanos() as u64;
        let mut opened = false;
        let mut progress_ns = self.clock.now_ns();
        let mut events = Events::with_capacity(2 * self.run.seating.clients + 1);
        let mut heard = Vec::new();
        loop {
            let now_ns = self.clock.now_ns();
            if !opened && now_ns >= warm_ns {
                meter.open(&self.clock)?;
                opened = true;
            }
            if now_ns >= end_ns {
                return meter.close(&self.clock);
            }
            if now_ns > progress_ns + STALL_NS {
                let due = |(slot, seq): (usize, &u64)| MessageId { sender: slot as u32, seq: *seq }.to_string();
                let waiting: Vec<String> = self.seqs.iter().enumerate().map(due).collect();
                bail!("nobody was heard for 10 s; lost: {}", waiting.join(", "));
            }
            match self.poll.poll(&mut events, Some(PATIENCE)) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            for event in &events {
                let Token(index) = event.token();
                self.hear(index, &mut heard).with_context(|| format!("client {index}"))?;
            }
            for index in heard.drain(..) {
                progress_ns = self.clock.now_ns();
                meter.delivered(self.slots[index].sent_ns, progress_ns, 1);
                self.replace(index)?;
            }
        }
    }

    /// A client connects, with its message.
    fn enter(&mut self, index: usize) -> Result<Slot> {
        let server = &self.run.server;
        let refused = || format!("no connection to {server}");
        let sent_ns = self.clock.now_ns();
        let entered = self.visits.enter(&self.run, index, self.seqs[index], sent_ns);
        let mut connection = entered.with_context(refused)?;
        register(&self.poll, &mut connection, Token(index))?;
        connection.flush().with_context(refused)?;
        Ok(Slot { connection, caller: None, sent_ns })
    }

    /// A client leaves and another takes its slot.
    fn replace(&mut self, index: usize) -> Result<()> {
        self.seqs[index] += 1;
        let next = self.enter(index)?;
        let left = std::mem::replace(&mut self.slots[index], next);
        left.connection.leave().context("a client could not leave in peace")
    }

    /// The token of the connection over which a slot's client posts.
    fn caller_token(&self, index: usize) -> Token {
        Token(self.slots.len() + 1 + index)
    }

    fn hear(&mut self, index: usize, heard: &mut Vec<usize>) -> Result<()> {
        let (visits, seqs) = (&mut self.visits, &self.seqs);
        let clients = self.slots.len();
        if let Some(slot) = index.checked_sub(clients + 1) {
            let Some(caller) = &mut self.slots[slot].caller else { return Ok(()) };
            caller.receive(&mut self.buffer, &self.clock, |_, bytes| visits.answered(slot, bytes, heard))?;
            return Ok(());
        }
        let connection = self.slots.get_mut(index).map_or(&mut self.observer, |slot| &mut slot.connection);
        connection.receive(&mut self.buffer, &self.clock, |_, bytes| visits.hear(index, seqs, bytes, heard))?;
        if index < clients
            && let Some(mut caller) = self.visits.call(&self.run, index)?
        {
            register(&self.poll, &mut caller, self.caller_token(index))?;
            caller.flush()?;
            self.slots[index].caller = Some(caller);
        }
        Ok(())
    }
}

/// Fails unless the message is the current one of a client.
fn check_due(receiver: usize, mark: Mark, seqs: &[u64]) -> Result<(), Fault> {
    let got = MessageId { sender: mark.sender, seq: mark.seq };
    match seqs.get(mark.sender as usize) {
        Some(due) if mark.seq == *due => Ok(()),
        Some(due) if mark.seq < *due => Err(Fault::Duplicate { receiver, got }),
        _ => Err(Fault::NeverSent { receiver, got }),
    }
}
