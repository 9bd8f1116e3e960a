//! The full-screen terminal client.

pub mod width;
pub mod color;
pub mod wrap;
pub mod view;
