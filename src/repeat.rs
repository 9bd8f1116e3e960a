//! The repeat client: loads a server with numbered messages, and verifies what everybody gets.
//!
//! It judges a server by its contract alone: what it reports as lost, duplicated or out of order is so, whoever wrote
//! the server. Its own costs are a client's on the same library with two threads each, so on one machine it loads the
//! cores as much as the server does; what the server alone costs, `make bench` tells.

mod payload;
mod numbers;
mod window;
mod plan;
mod pace;
mod progress;
mod interrupt;
mod run;
mod protocol;
mod listener;
mod pool;
mod rooms;
mod tutorial;
mod report;

pub use interrupt::Interrupt;
pub use plan::{InvalidPlan, Options, Plan, messages};
pub use pool::RunError;
pub use progress::Progress;
pub use report::Report;

use crate::client::Contract;

/// Runs the plan. Call it on the thread that shall watch over the run.
pub fn run(plan: Plan, progress: &Progress, interrupt: &Interrupt) -> Result<Report, RunError> {
    match plan.contract {
        Contract::V1 => pool::run::<rooms::Rooms>(plan, progress, interrupt),
        Contract::Tutorial => pool::run::<tutorial::Tutorial>(plan, progress, interrupt),
    }
}
