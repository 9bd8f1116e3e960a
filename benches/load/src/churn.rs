//! Scenario f: clients come, say one thing, and leave when an observer, who stays, has heard it.
//!
//! The observer must hear each of them once and in order. The others are in the room for a moment that only the server
//! knows, so they must not hear themselves, nor anybody's message twice or after a later one.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use mio::{Events, Poll, Token};

use crate::args::Run;
use crate::check::{Fault, MessageId, unexpected};
use crate::clock::Clock;
use crate::connection::Connection;
use crate::fanout::{STALL_NS, WARM_UP_NS};
use crate::message::{ChatMessage, Mark, Purpose, Template};
use crate::meter::{Measured, Meter};
use crate::pool::{Pool, register, templates};
use crate::report::Report;

const PATIENCE: Duration = Duration::from_millis(20);
const READ_BYTES: usize = 64 << 10;

/// The slots take turns of their own, from connecting to leaving.
struct Churn {
    run: Run,
    poll: Poll,
    clock: Clock,
    templates: Vec<Template>,
    slots: Vec<Slot>,
    observer: Connection,
    buffer: Vec<u8>,
}

/// One client at a time.
struct Slot {
    connection: Connection,
    /// The number of the message that this client says.
    seq: u64,
    sent_ns: u64,
    /// By sender: the least number that this client may still hear.
    next_heard: Vec<u64>,
}

pub fn run(run: &Run) -> Result<Report> {
    let mut meter = Meter::new(run.pid)?;
    let mut churn = Churn::begin(run)?;
    let measured = churn.measure(&mut meter)?;
    Ok(Report::of_churn(run, &measured))
}

impl Churn {
    fn begin(run: &Run) -> Result<Churn> {
        let templates = templates(run.clients, run.body_bytes);
        // The observer and one more, so that each hears the other's probes; then the observer alone stays.
        let mut pool = Pool::open(run.server, 2)?;
        pool.join(&templates)?;
        let prober = pool.connections.pop().context("the pool has two connections")?;
        prober.leave()?;
        let mut observer = pool.connections.pop().context("the pool has two connections")?;
        let poll = Poll::new()?;
        register(&poll, &mut observer, Token(run.clients))?;
        let mut churn = Churn {
            run: run.clone(),
            poll,
            clock: pool.clock,
            templates,
            slots: Vec::new(),
            observer,
            buffer: vec![0; READ_BYTES],
        };
        for index in 0..run.clients {
            let slot = churn.enter(index, 0)?;
            churn.slots.push(slot);
        }
        Ok(churn)
    }

    fn measure(&mut self, meter: &mut Meter) -> Result<Measured> {
        let warm_ns = self.clock.now_ns() + WARM_UP_NS;
        let end_ns = warm_ns + self.run.window.as_nanos() as u64;
        let mut opened = false;
        let mut progress_ns = self.clock.now_ns();
        let mut events = Events::with_capacity(self.run.clients + 1);
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
                let waiting: Vec<String> = (0..self.slots.len()).map(|slot| self.due(slot).to_string()).collect();
                bail!("the observer has heard nothing for 10 s; lost: {}", waiting.join(", "));
            }
            match self.poll.poll(&mut events, Some(PATIENCE)) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            for event in &events {
                let Token(index) = event.token();
                if index < self.slots.len() {
                    self.listen(index).with_context(|| format!("client {index}"))?;
                } else {
                    self.observe(&mut heard).context("observer")?;
                }
            }
            for index in heard.drain(..) {
                progress_ns = self.clock.now_ns();
                meter.delivered(self.slots[index].sent_ns, progress_ns);
                self.replace(index)?;
            }
        }
    }

    /// A client comes, with what it has to say.
    fn enter(&self, index: usize, seq: u64) -> Result<Slot> {
        let server = self.run.server;
        let sent_ns = self.clock.now_ns();
        let mut connection = Connection::open(server).with_context(|| format!("no connection to {server}"))?;
        connection.send(&self.templates[index], Purpose::Load, seq, sent_ns);
        register(&self.poll, &mut connection, Token(index))?;
        connection.flush().with_context(|| format!("no connection to {server}"))?;
        Ok(Slot { connection, seq, sent_ns, next_heard: vec![0; self.run.clients] })
    }

    /// A client leaves and another takes its slot.
    fn replace(&mut self, index: usize) -> Result<()> {
        let next = self.enter(index, self.slots[index].seq + 1)?;
        let left = std::mem::replace(&mut self.slots[index], next);
        left.connection.leave().context("a client could not leave in peace")
    }

    /// The observer hears those who speak; `heard` gets their slots.
    fn observe(&mut self, heard: &mut Vec<usize>) -> Result<()> {
        // The place of the observer, after those of the slots.
        let receiver = self.slots.len();
        let slots = &self.slots;
        self.observer.receive(&mut self.buffer, &self.clock, |_, message| {
            let Some(mark) = read(receiver, message)? else { return Ok(()) };
            let got = id(mark);
            let slot = mark.sender as usize;
            let Some(due) = slots.get(slot).map(|slot| slot.seq) else {
                return Err(Fault::NeverSent { receiver, got });
            };
            if mark.seq > due {
                return Err(Fault::NeverSent { receiver, got });
            }
            if mark.seq < due || heard.contains(&slot) {
                return Err(Fault::Duplicate { receiver, got });
            }
            heard.push(slot);
            Ok(())
        })?;
        Ok(())
    }

    /// A client hears others while it is there.
    fn listen(&mut self, index: usize) -> Result<()> {
        let Slot { connection, next_heard, .. } = &mut self.slots[index];
        connection.receive(&mut self.buffer, &self.clock, |_, message| {
            let Some(mark) = read(index, message)? else { return Ok(()) };
            if mark.sender as usize == index {
                return Err(Fault::Own { receiver: index, seq: mark.seq });
            }
            let Some(next) = next_heard.get_mut(mark.sender as usize) else {
                return Err(Fault::NeverSent { receiver: index, got: id(mark) });
            };
            if mark.seq < *next {
                return Err(Fault::Duplicate { receiver: index, got: id(mark) });
            }
            *next = mark.seq + 1;
            Ok(())
        })?;
        Ok(())
    }

    fn due(&self, index: usize) -> MessageId {
        MessageId { sender: index as u32, seq: self.slots[index].seq }
    }
}

/// Decodes a message. `None` is a probe that was still on its way.
fn read(receiver: usize, message: &[u8]) -> Result<Option<Mark>, Fault> {
    let mark = ChatMessage::read(message).and_then(|message| Mark::read(message.body));
    let mark = mark.ok_or_else(|| unexpected(receiver, message))?;
    Ok((mark.purpose == Purpose::Load).then_some(mark))
}

fn id(mark: Mark) -> MessageId {
    MessageId { sender: mark.sender, seq: mark.seq }
}
