//! Threads: every one has a name, an owner that joins it, and a reason to end.
//!
//! The threads of streams start and end all the time, and none can join itself. A [`Joiner`] owns them, and joins each
//! as soon as it has ended. A thread whose stream has ended is kept for a second, for the next stream.
//!
//! A thread that panics ends the process, unless its owner notices: see [`end_process_on_panic`].

mod panics;
mod start;
mod stack;
mod spares;
mod joiner;
mod on_demand;
pub mod park;
pub mod baton;

pub use self::joiner::{Joiner, Spawner};
pub use self::on_demand::OnDemand;
pub use self::panics::{EXIT_PANIC, ask_for_panic, end_process_on_panic, owned, point as panic_point};
pub use self::stack::release_stack;
pub use self::start::{check_available, join_until, spawn};
