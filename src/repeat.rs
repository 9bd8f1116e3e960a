//! The repeat client: loads a server with numbered messages, and verifies what every client receives.
//!
//! It judges a server only by its contract, so its verdicts (lost, duplicated, out of order) are valid for any server.
//! Its clients use the same library, with two threads each, so on one machine it loads the cores as much as the server
//! does; `make bench` measures the server alone.

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

/// Runs the plan. The calling thread supervises the run.
pub fn run(plan: Plan, progress: &Progress, interrupt: &Interrupt) -> Result<Report, RunError> {
    match plan.contract {
        Contract::V1 => pool::run::<rooms::Rooms>(plan, progress, interrupt),
        Contract::Tutorial => pool::run::<tutorial::Tutorial>(plan, progress, interrupt),
    }
}
