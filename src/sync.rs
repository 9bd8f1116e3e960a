//! The atomics of the code that is model-checked. `tests/schedules.rs` compiles that code again with the model
//! checker's atomics instead.

pub use std::sync::atomic::{AtomicU8, Ordering};
