//! The admin face: metrics for Prometheus, probes for supervisors, and a page about the state of the server for people.
//!
//! It has an address of its own, a few threads of its own, and takes nothing that clients can use up: no place among the
//! connections, no thread that is started for a request, no descriptor that it has not kept (`admin/spares.rs`). So it answers while
//! the server starts, is full, drains, or can't write its log. What it shows is read at the time of a request from where it is counted ([`sources`]); there is no other
//! copy of it.
//!
//! Whoever can reach the address can read it: it has no login. It changes nothing, and answers GET and HEAD only. The names
//! of rooms and users are shown to this machine only.

pub mod sources;
mod exposition;
mod process;
pub mod storage;
mod readers;
mod families;
mod page;
mod routes;
mod spares;
pub mod server;
