//! A run over `hubbub.v1`: it verifies through lost connections, and holds the server to what it acknowledged.

mod verify;
mod shared;
mod client;
mod run;

pub use run::{RunError, run};
pub use verify::RoomCounts;
