//! The repeat client: loads a server with numbered messages, and verifies what everybody gets.
//!
//! It judges a server by its contract alone: what it reports as lost, duplicated or out of order is so, whoever wrote
//! the server. Its own costs are a client's on the same library with a thread each, so on one machine it loads the
//! cores as much as the server does; what the server alone costs, `make bench` tells.

mod payload;
mod verify;
mod window;
mod plan;
mod progress;
mod client;
mod run;
mod report;

pub use plan::{InvalidPlan, Options, Plan, messages};
pub use progress::Progress;
pub use report::Report;
pub use run::{RunError, run};
