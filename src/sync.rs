//! The atomics of the code that is model-checked. `tests/schedules.rs` compiles that code again with the model
//! checker's atomics in their place.

pub use std::sync::atomic::{AtomicU8, Ordering};
