//! Hubbub: a self-hosted chat server with a gRPC API, a terminal client, and a repeat client that loads and verifies
//! a server.
//!
//! A room is an append-only log; a client is a cursor into it. ARCHITECTURE.md describes the design. The modules are
//! declared in reading order.

pub mod limits;
pub mod names;
pub mod escape;
pub mod address;
pub mod certificates;
pub mod wire;
pub mod threads;
pub mod descriptors;
mod memory;
pub mod startup;
pub mod supervisor;
mod config_text;
pub mod arguments;
pub mod logging;
mod sync;
pub mod server;
pub mod client;
pub mod editing;
pub mod terminal;
pub mod tui;
pub mod repeat;
#[cfg(fuzzing)]
pub mod fuzz;
