//! Scenario e: what clients cost that are there and say nothing.

use anyhow::Result;

use crate::args::Run;
use crate::check::Checker;
use crate::fanout::WARM_UP_NS;
use crate::meter::{Measured, Meter};
use crate::pool::{Pool, templates};
use crate::report::Report;

pub fn run(run: &Run) -> Result<Report> {
    let mut meter = Meter::new(run.pid)?;
    let before = meter.footprint()?;
    let mut pool = Pool::open(run.server, run.clients)?;
    pool.join(&templates(0, run.body_bytes))?;
    let measured = watch(&mut pool, &mut meter, run)?;
    Ok(Report::of_idle(run, before, &measured))
}

/// Lets the last probes come through, then watches while nobody speaks.
fn watch(pool: &mut Pool, meter: &mut Meter, run: &Run) -> Result<Measured> {
    let mut checker = Checker::new(run.clients, run.body_bytes);
    let mut serve_until = |pool: &mut Pool, until_ns: u64| -> Result<()> {
        while pool.clock.now_ns() < until_ns {
            // Nobody has sent anything: the checker lets pass nothing but probes.
            pool.serve(|receiver, _, message| checker.deliver(receiver, message).map(|_| ()))?;
        }
        Ok(())
    };
    let start_ns = pool.clock.now_ns() + WARM_UP_NS;
    serve_until(pool, start_ns)?;
    meter.open(&pool.clock)?;
    serve_until(pool, start_ns + run.window.as_nanos() as u64)?;
    meter.close(&pool.clock)
}
