//! Scenarios catchup and slow: a reader that is far behind in a room, and its effect on the other clients.

use std::io;

use anyhow::{Context, Result, bail, ensure};

use crate::args::{Pace, Run};
use crate::chat::From;
use crate::clock::Clock;
use crate::connection::Connection;
use crate::contract::{V1, enter_room};
use crate::fanout::WARM_UP_NS;
use crate::live::{Live, STALL_NS};
use crate::member::Reader;
use crate::meter::{Measured, Meter};
use crate::pool::READ_BYTES;
use crate::process::Footprint;
use crate::report::Report;
use crate::seating::Seating;

/// The maximum in flight while the room is filled.
const FILL_IN_FLIGHT: u64 = 8_192;

/// The work of a window's readers.
#[derive(Default)]
pub struct Reading {
    /// Readers that read the whole history that existed at their join.
    pub readers: u64,
    pub messages: u64,
    pub seconds: f64,
}

/// Sizes of the server: without clients, before a client stopped reading, at the end of its pause, and when it had read
/// all messages.
pub struct Sizes {
    pub nobody: Footprint,
    pub before: Footprint,
    pub stalled: Footprint,
    pub after: Footprint,
}

/// A client beside those of the room.
struct Guest {
    connection: Connection,
    reader: Reader,
    /// Its place after those of the room, for messages about it.
    index: usize,
    buffer: Vec<u8>,
    progress_ns: u64,
}

pub fn catch_up(run: &Run) -> Result<Report> {
    let mut meter = Meter::new(run.pid)?;
    let clock = Clock::start();
    fill(run, &mut meter, clock)?;
    let before = meter.footprint()?;
    let mut live = Live::open(run, &meter, clock)?;
    let without = measure_without(run, &mut live, &mut meter)?;

    let mut reading = Reading::default();
    meter.open(&clock)?;
    let until_ns = clock.now_ns() + run.window_ns();
    // The last reader reads to its end.
    while clock.now_ns() < until_ns {
        let start_ns = clock.now_ns();
        let mut guest = Guest::enter(run, &mut live, Connection::open(&run.server, V1::PATH), From::Start)?;
        while !guest.reader.member.caught_up() {
            live.step(&mut meter, u64::MAX)?;
            guest.read(&mut live)?;
        }
        reading.seconds += (clock.now_ns() - start_ns) as f64 / 1e9;
        reading.messages += guest.reader.next_seq - 1;
        reading.readers += 1;
        let head_seq = guest.reader.member.head_seq;
        let read_seq = guest.reader.next_seq - 1;
        ensure!(
            read_seq >= head_seq,
            "the server reported to a reader that history ends at seq {read_seq}, before {head_seq}"
        );
        live.pool.dismiss_guest(&mut guest.connection)?;
        guest.connection.leave()?;
    }
    let with = meter.close(&clock)?;
    live.drain(&mut meter)?;
    Ok(Report::of_catch_up(run, before, &without, &with, &reading))
}

pub fn slow(run: &Run) -> Result<Report> {
    let mut meter = Meter::new(run.pid)?;
    let clock = Clock::start();
    let nobody = meter.footprint()?;
    let mut live = Live::open(run, &meter, clock)?;
    let without = measure_without(run, &mut live, &mut meter)?;

    let connection = Connection::open_held(&run.server, V1::PATH);
    let mut guest = Guest::enter(run, &mut live, connection, From::Head)?;
    while !guest.reader.member.caught_up() {
        live.step(&mut meter, u64::MAX)?;
        guest.read(&mut live)?;
    }
    let before = meter.footprint()?;
    meter.open(&clock)?;
    let most = live.posted + run.messages;
    while live.posted < most {
        live.step(&mut meter, most)?;
        guest.read(&mut live)?;
    }
    let with = meter.close(&clock)?;
    let stalled = with.footprint;
    live.drain(&mut meter)?;

    let start_ns = clock.now_ns();
    let first_seq = guest.reader.next_seq;
    let last_seq = live.contract.head_seq();
    guest.progress_ns = start_ns;
    guest.connection.let_go()?;
    while guest.reader.next_seq <= last_seq {
        live.step(&mut meter, 0)?;
        guest.read(&mut live)?;
    }
    let seconds = (clock.now_ns() - start_ns) as f64 / 1e9;
    let reading = Reading { readers: 1, messages: guest.reader.next_seq - first_seq, seconds };
    let sizes = Sizes { nobody, before, stalled, after: meter.footprint()? };
    // A message might arrive twice.
    live.drain(&mut meter)?;
    guest.read(&mut live)?;
    Ok(Report::of_slow(run, &without, &with, &reading, &sizes))
}

/// Fills the room with the messages that the run requires.
fn fill(run: &Run, meter: &mut Meter, clock: Clock) -> Result<()> {
    let pace = Pace::InFlight(FILL_IN_FLIGHT);
    let alone = Run { seating: Seating::together(1), senders: 1, pace, ..run.clone() };
    let mut filler = Live::<V1>::open(&alone, meter, clock)?;
    while filler.posted < run.messages {
        filler.step(meter, run.messages)?;
    }
    filler.drain(meter).context("while the room was filled")
}

/// A window in which no client is behind.
fn measure_without(run: &Run, live: &mut Live<V1>, meter: &mut Meter) -> Result<Measured> {
    let start_ns = live.now_ns() + WARM_UP_NS;
    live.run_until(meter, start_ns)?;
    meter.open(&live.pool.clock)?;
    live.run_until(meter, start_ns + run.window_ns())?;
    meter.close(&live.pool.clock)
}

impl Guest {
    fn enter(run: &Run, live: &mut Live<V1>, connection: io::Result<Connection>, from: From) -> Result<Guest> {
        let server = &run.server;
        let mut connection = connection.with_context(|| format!("no connection to {server}"))?;
        enter_room(&mut connection, run.seating.clients as u32, from);
        live.pool.admit_guest(&mut connection)?;
        connection.flush().with_context(|| format!("no connection to {server}"))?;
        Ok(Guest {
            connection,
            reader: Reader::new(from == From::Start, live.pool.clock.start_unix_ms, run.body_bytes),
            index: run.seating.clients,
            buffer: vec![0; READ_BYTES],
            progress_ns: live.now_ns(),
        })
    }

    /// Reads once, if there may be something, so that the room's clients are not kept waiting.
    fn read(&mut self, live: &mut Live<V1>) -> Result<()> {
        let Guest { connection, reader, index, buffer, progress_ns } = self;
        if live.pool.guest_ready {
            let read = connection.read_once(buffer, &live.pool.clock, |now_ns, bytes| {
                *progress_ns = now_ns;
                reader.take(*index, bytes, |_| Ok(()))
            });
            live.pool.guest_ready = read.context("the client that is behind")?;
        } else if !connection.is_held() && live.now_ns() > *progress_ns + STALL_NS {
            bail!("the client that is behind has received nothing for 10 s; it waits for seq {}", reader.next_seq);
        }
        Ok(())
    }
}
