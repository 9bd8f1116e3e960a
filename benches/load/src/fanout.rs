//! Scenarios a to d: some clients send, all receive, and every delivery is checked.

use anyhow::{Context, Result, bail};

use crate::args::{Pace, Run};
use crate::check::Checker;
use crate::message::{Purpose, Template};
use crate::meter::{Measured, Meter};
use crate::pool::{Pool, templates};
use crate::report::Report;

pub const WARM_UP_NS: u64 = 1_000_000_000;
/// A server that delivers nothing for so long while something is due has lost it.
pub const STALL_NS: u64 = 10_000_000_000;
/// How long the run goes on when all have everything, in case something comes twice.
const SETTLE_NS: u64 = 100_000_000;
/// How long everything may take to arrive once nothing more is sent.
const DRAIN_NS: u64 = 60_000_000_000;
/// At a steady pace, more than this in flight means that the server does not keep up: memory would only grow.
const BACKLOG_MAX: u64 = 100_000;
const SECOND_NS: u64 = 1_000_000_000;

/// A run of one of these scenarios.
struct Fanout {
    pool: Pool,
    checker: Checker,
    templates: Vec<Template>,
    senders: usize,
    pace: Pace,
    /// Who sends next.
    turn: usize,
    /// At a steady pace: when the first message was due, and how many have been sent since.
    first_due_ns: u64,
    paced: u64,
}

/// Where a run is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    WarmUp,
    Window,
    Drain,
    Settle,
}

pub fn run(run: &Run) -> Result<Report> {
    let mut meter = Meter::new(run.pid)?;
    let templates = templates(run.senders, run.body_bytes);
    let mut pool = Pool::open(run.server, run.clients)?;
    pool.join(&templates)?;
    let first_due_ns = pool.clock.now_ns();
    let mut fanout = Fanout {
        pool,
        checker: Checker::new(run.clients, run.body_bytes),
        templates,
        senders: run.senders,
        pace: run.pace,
        turn: 0,
        first_due_ns,
        paced: 0,
    };
    let measured = fanout.measure(&mut meter, run.window.as_nanos() as u64)?;
    Ok(Report::of_fanout(run, &measured))
}

impl Fanout {
    fn measure(&mut self, meter: &mut Meter, window_ns: u64) -> Result<Measured> {
        let mut phase = Phase::WarmUp;
        let mut until_ns = self.pool.clock.now_ns() + WARM_UP_NS;
        let mut measured = None;
        let mut progress_ns = self.pool.clock.now_ns();
        loop {
            let now_ns = self.pool.clock.now_ns();
            match phase {
                Phase::WarmUp if now_ns >= until_ns => {
                    meter.open(&self.pool.clock)?;
                    (phase, until_ns) = (Phase::Window, now_ns + window_ns);
                }
                Phase::Window if now_ns >= until_ns => {
                    measured = Some(meter.close(&self.pool.clock)?);
                    (phase, until_ns) = (Phase::Drain, now_ns + DRAIN_NS);
                }
                Phase::Drain if self.checker.in_flight() == 0 => {
                    (phase, until_ns) = (Phase::Settle, now_ns + SETTLE_NS)
                }
                Phase::Settle if now_ns >= until_ns => {
                    self.checker.finish()?;
                    return measured.context("the window is measured before the drain");
                }
                Phase::Drain if now_ns >= until_ns => self.stalled()?,
                _ => {}
            }
            if matches!(phase, Phase::WarmUp | Phase::Window) {
                self.send(now_ns)?;
            }
            let checker = &mut self.checker;
            let before = progress_ns;
            self.pool.serve(|receiver, now_ns, message| {
                if let Some(sent_ns) = checker.deliver(receiver, message)? {
                    meter.delivered(sent_ns, now_ns);
                    progress_ns = now_ns;
                }
                Ok(())
            })?;
            let waits = self.checker.in_flight() > 0 || matches!(self.pace, Pace::InFlight(_));
            if !waits {
                progress_ns = now_ns;
            } else if progress_ns == before && now_ns > before + STALL_NS {
                self.stalled()?;
            }
        }
    }

    /// Sends what the pace asks for, as far as the server's windows allow.
    fn send(&mut self, now_ns: u64) -> Result<()> {
        match self.pace {
            Pace::InFlight(most) => while self.checker.in_flight() < most && self.send_one(now_ns) {},
            Pace::PerSecond(rate) => {
                // A message is timed from when it is due: if it leaves late, that shows.
                while self.due_ns(rate) <= now_ns && self.send_one(self.due_ns(rate)) {
                    self.paced += 1;
                }
                if self.checker.in_flight() > BACKLOG_MAX {
                    bail!("the server does not keep up: {BACKLOG_MAX} messages are in flight; choose a lower --rate");
                }
                self.pool.wake_at(self.due_ns(rate))?;
            }
        }
        for (index, connection) in self.pool.connections.iter_mut().take(self.senders).enumerate() {
            connection.flush().with_context(|| format!("client {index}"))?;
        }
        Ok(())
    }

    /// The next sender that has room sends a message. `false` if none has.
    fn send_one(&mut self, sent_ns: u64) -> bool {
        for _ in 0..self.senders {
            let sender = self.turn;
            self.turn = (sender + 1) % self.senders;
            let (connection, template) = (&mut self.pool.connections[sender], &self.templates[sender]);
            if connection.has_room(template) {
                let seq = self.checker.send(sender);
                connection.send(template, Purpose::Load, seq, sent_ns);
                return true;
            }
        }
        false
    }

    fn due_ns(&self, rate: u32) -> u64 {
        let elapsed = u128::from(self.paced) * u128::from(SECOND_NS) / u128::from(rate);
        self.first_due_ns + elapsed as u64
    }

    fn stalled(&self) -> Result<()> {
        self.checker.finish()?;
        bail!("the server takes no more messages: it has closed its windows for 10 s");
    }
}
