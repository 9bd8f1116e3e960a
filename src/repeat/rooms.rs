//! A run over `hubbub.v1`: it also verifies across lost connections, and that no acknowledged message is lost.

mod verify;
mod shared;
mod client;
mod run;

pub use run::{RunError, run};
pub use verify::RoomCounts;
