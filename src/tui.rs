//! The full-screen terminal client.

pub mod width;
pub mod color;
pub mod wrap;
pub mod view;
pub mod layout;
pub mod entry;
pub mod marks;
pub mod message;
pub mod rows;
pub mod room;
pub mod paint;
pub mod diff;
