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
mod rooms;
mod tutorial;
mod report;

use thiserror::Error;

pub use interrupt::Interrupt;
pub use plan::{InvalidPlan, Options, Plan, messages};
pub use progress::Progress;
pub use report::Report;

use crate::client::Contract;

/// Why a run could not take place.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    #[error(transparent)]
    Rooms(#[from] rooms::RunError),
    #[error(transparent)]
    Tutorial(#[from] tutorial::RunError),
}

/// Runs the plan. The calling thread supervises the run.
pub fn run(plan: Plan, progress: &Progress, interrupt: &Interrupt) -> Result<Report, RunError> {
    match plan.contract {
        Contract::V1 => Ok(rooms::run(plan, progress, interrupt)?),
        Contract::Tutorial => Ok(tutorial::run(plan, progress, interrupt)?),
    }
}
