//! The transport: accepts calls, translates between wire and core, and turns reasons into status codes.
//!
//! The handlers run on the library's poller threads, which serve all connections: they copy the data that they need,
//! hand over to threads, and return. Nothing here blocks a poller or panics on one.

pub mod pollers;
pub mod guard;
pub mod patches;
pub mod tls;
pub mod listen;
pub mod settings;
pub mod status;
pub mod credentials;
pub mod inflow;
pub mod stream;
pub mod tutorial;
pub mod chat;
pub mod unary;
pub mod side_calls;
pub mod health;
pub mod reflection;
pub mod server;
#[cfg(fuzzing)]
pub mod fuzz;
