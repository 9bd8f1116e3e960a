//! Scenarios a to d, rooms, append and lone: some clients send, all receive, and every delivery is checked.

use anyhow::Result;

use crate::args::Run;
use crate::clock::Clock;
use crate::contract::Contract;
use crate::live::Live;
use crate::meter::Meter;
use crate::report::Report;

pub const WARM_UP_NS: u64 = 1_000_000_000;

pub fn run<C: Contract>(run: &Run) -> Result<Report> {
    let mut meter = Meter::new(run.pid)?;
    let before = meter.footprint()?;
    let mut live = Live::<C>::open(run, &meter, Clock::start())?;
    let start_ns = live.now_ns() + WARM_UP_NS;
    live.run_until(&mut meter, start_ns)?;
    meter.open(&live.pool.clock)?;
    live.run_until(&mut meter, start_ns + run.window_ns())?;
    let measured = meter.close(&live.pool.clock)?;
    live.drain(&mut meter)?;
    Ok(Report::of_fanout(run, C::receivers(&run.seating), before, live.entry, &measured))
}
