//! A run over the tutorial's contract, which neither acknowledges nor resumes: a client that loses its connection fails.

mod verify;
mod shared;
mod client;
mod run;

pub use run::{RunError, run};
