//! Scenario e: the cost of idle clients.

use anyhow::Result;

use crate::args::Run;
use crate::clock::Clock;
use crate::contract::Contract;
use crate::fanout::WARM_UP_NS;
use crate::live::enter;
use crate::meter::Meter;
use crate::report::Report;

pub fn run<C: Contract>(run: &Run) -> Result<Report> {
    let mut meter = Meter::new(run.pid)?;
    let before = meter.footprint()?;
    let clock = Clock::start();
    let mut contract = C::new(run, &clock);
    let mut pool = contract.connect(run, clock)?;
    let entry = enter(&mut contract, &mut pool, &meter)?;
    // No client has sent a message, so only probes in flight may arrive.
    let mut serve_until = |until_ns: u64| -> Result<()> {
        while clock.now_ns() < until_ns {
            pool.serve(|receiver, _, bytes| contract.take(receiver, bytes, |_, _| ()))?;
        }
        Ok(())
    };
    let start_ns = clock.now_ns() + WARM_UP_NS;
    serve_until(start_ns)?;
    meter.open(&clock)?;
    serve_until(start_ns + run.window_ns())?;
    let measured = meter.close(&clock)?;
    Ok(Report::of_idle(run, before, entry, &measured))
}
