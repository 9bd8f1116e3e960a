//! What the feature `core-patches` changes in the C core: docs/core-patches.md.
//!
//! The C++ files call this library through a table of functions, so that programs without a server, which contain those
//! files as well, need nothing of it.

#![cfg_attr(not(feature = "core-patches"), allow(dead_code, reason = "only the C core calls it"))]

pub mod servers;
pub mod accept;
pub mod transport;
pub mod calls;
pub mod channel_stack;
pub mod inherited;
