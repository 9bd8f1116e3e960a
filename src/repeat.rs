//! The repeat client: loads a server with numbered messages, and verifies what every client receives.
//!
//! It judges a server only by its contract, so its verdicts (lost, duplicated, out of order) are valid for any server.
//! Its clients use the same library, with two threads each, so on one machine it loads the cores as much as the server
//! does; `make bench` measures the server alone.

mod payload;
mod numbers;
mod window;
mod contract;
mod options;
mod plan;
mod console;
mod pace;
mod progress;
mod interrupt;
mod run;
mod protocol;
mod listener;
mod pool;
mod http;
mod v1;
mod tutorial;
mod report;
#[cfg(fuzzing)]
pub mod fuzz;

pub use console::messages;
pub use interrupt::Interrupt;
pub use options::Options;
pub use plan::{InvalidPlan, Plan};
pub use pool::RunError;
pub use progress::Progress;
pub use report::Report;

use self::contract::RunContract;

/// Runs the plan. The calling thread supervises the run.
pub fn run(plan: Plan, progress: &Progress, interrupt: &Interrupt) -> Result<Report, RunError> {
    match plan.contract {
        RunContract::V1 | RunContract::Http => pool::run::<v1::V1>(plan, progress, interrupt),
        RunContract::Tutorial => pool::run::<tutorial::Tutorial>(plan, progress, interrupt),
    }
}
