//! Rooms in which clients post at a pace and all members receive, step by step.

use anyhow::{Context, Result, bail};

use crate::args::{Pace, Run};
use crate::clock::Clock;
use crate::contract::Contract;
use crate::meter::Meter;
use crate::pool::Pool;

/// A server that delivers nothing for this long although a message is due has lost it.
pub const STALL_NS: u64 = 10_000_000_000;
/// How long the messages may take to arrive after the last one is sent.
const DRAIN_NS: u64 = 60_000_000_000;
/// How long the run continues when all messages have arrived, to detect repeated deliveries.
const SETTLE_NS: u64 = 100_000_000;
/// At a steady pace, more than this in flight means that the server does not keep up: memory would only grow.
const BACKLOG_MAX: u64 = 100_000;
const SECOND_NS: u64 = 1_000_000_000;

/// The rooms, and their senders' pace.
pub struct Live<C> {
    pub pool: Pool,
    pub contract: C,
    /// This many of the clients send, from the first on.
    senders: usize,
    pace: Pace,
    /// The next sender.
    turn: usize,
    /// The senders that have posted and not flushed, possibly several times each.
    posters: Vec<usize>,
    /// Messages posted since the start.
    pub posted: u64,
    /// At a steady pace: when the first message is due.
    first_due_ns: u64,
    /// When a message was last delivered, or none was due.
    progress_ns: u64,
    pub entry: Entry,
}

/// The cost of joining all connected clients to their rooms.
#[derive(Clone, Copy)]
pub struct Entry {
    pub seconds: f64,
    pub server_cpu_ns: u64,
}

/// Makes the clients of the pool join their rooms.
pub fn enter<C: Contract>(contract: &mut C, pool: &mut Pool, meter: &Meter) -> Result<Entry> {
    let (start_ns, cpu_ns) = (pool.clock.now_ns(), meter.server_cpu_ns()?);
    contract.join(pool)?;
    let seconds = (pool.clock.now_ns() - start_ns) as f64 / 1e9;
    Ok(Entry { seconds, server_cpu_ns: meter.server_cpu_ns()? - cpu_ns })
}

impl<C: Contract> Live<C> {
    /// Makes the run's clients join their rooms; the pace begins now.
    pub fn open(run: &Run, meter: &Meter, clock: Clock) -> Result<Live<C>> {
        let mut contract = C::new(run, &clock);
        let mut pool = contract.connect(run, clock)?;
        let entry = enter(&mut contract, &mut pool, meter)?;
        let now_ns = clock.now_ns();
        Ok(Live {
            pool,
            contract,
            senders: run.senders,
            pace: run.pace,
            turn: 0,
            posters: Vec::new(),
            posted: 0,
            first_due_ns: now_ns,
            progress_ns: now_ns,
            entry,
        })
    }

    pub fn now_ns(&self) -> u64 {
        self.pool.clock.now_ns()
    }

    /// Posts the due messages, up to `most` in all, and handles received data.
    pub fn step(&mut self, meter: &mut Meter, most: u64) -> Result<()> {
        let start_ns = self.now_ns();
        if self.posted < most {
            self.send(start_ns, most)?;
        }
        let (contract, progress_ns) = (&mut self.contract, &mut self.progress_ns);
        let before = *progress_ns;
        self.pool.serve(|receiver, now_ns, bytes| {
            contract.take(receiver, bytes, |sent_ns, count| {
                meter.delivered(sent_ns, now_ns, count);
                *progress_ns = now_ns;
            })
        })?;
        let waits = self.contract.in_flight() > 0 || (matches!(self.pace, Pace::InFlight(_)) && self.posted < most);
        if !waits {
            self.progress_ns = start_ns;
        } else if self.progress_ns == before && start_ns > before + STALL_NS {
            self.contract.finish()?;
            bail!("the server takes no more messages: for 10 s it has closed its windows, or has not answered calls");
        }
        Ok(())
    }

    /// Continues until a time.
    pub fn run_until(&mut self, meter: &mut Meter, until_ns: u64) -> Result<()> {
        while self.now_ns() < until_ns {
            self.step(meter, u64::MAX)?;
        }
        Ok(())
    }

    /// Stops posting, and waits until all members have all messages, once.
    pub fn drain(&mut self, meter: &mut Meter) -> Result<()> {
        let deadline_ns = self.now_ns() + DRAIN_NS;
        while self.contract.in_flight() > 0 && self.now_ns() < deadline_ns {
            self.step(meter, 0)?;
        }
        let settled_ns = self.now_ns() + SETTLE_NS;
        while self.now_ns() < settled_ns {
            self.step(meter, 0)?;
        }
        Ok(self.contract.finish()?)
    }

    /// Sends the messages that are due, as far as the server's windows allow.
    fn send(&mut self, now_ns: u64, most: u64) -> Result<()> {
        match self.pace {
            Pace::InFlight(window) => {
                while self.posted < most && self.contract.in_flight() < window && self.send_one(now_ns) {}
            }
            Pace::PerSecond(rate) => {
                // The latency counts from the due time, so a late send is included.
                while self.posted < most && self.due_ns(rate) <= now_ns && self.send_one(self.due_ns(rate)) {}
                if self.contract.in_flight() > BACKLOG_MAX {
                    bail!("the server does not keep up: {BACKLOG_MAX} messages are in flight; choose a lower --rate");
                }
                self.pool.wake_at(self.due_ns(rate))?;
            }
        }
        for sender in self.posters.drain(..) {
            let index = self.contract.connection_of(sender);
            let connection = &mut self.pool.connections[index];
            self.contract.send(connection, sender);
            connection.flush().with_context(|| format!("sender {sender}"))?;
        }
        Ok(())
    }

    /// The next sender that may post posts a message. False: none may.
    fn send_one(&mut self, sent_ns: u64) -> bool {
        let Some(sender) = self.contract.next_sender(&self.pool, self.senders, self.turn) else { return false };
        self.turn = (sender + 1) % self.senders;
        let index = self.contract.connection_of(sender);
        self.contract.post(&mut self.pool.connections[index], sender, sent_ns);
        self.posters.push(sender);
        self.posted += 1;
        true
    }

    fn due_ns(&self, rate: u32) -> u64 {
        let elapsed = u128::from(self.posted) * u128::from(SECOND_NS) / u128::from(rate);
        self.first_due_ns + elapsed as u64
    }
}
