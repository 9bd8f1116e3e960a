//! The full-screen client.
//!
//! [`chat`] runs it: it resolves who the user is, takes over what an earlier client has left, starts the threads
//! (`inlet.rs` has the two channels between them), and runs the model.

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
pub mod keys;
pub mod commands;
pub mod line_editor;
pub mod paste;
pub mod complete;
pub mod config;
pub mod inlet;
mod decode;
mod guard;
mod pace;
mod notify;
mod painter;
mod input_thread;
mod signals;
mod remembered;
mod input_history;
mod store;
mod network;
mod outside;
pub mod model;
mod run;
mod start;
#[cfg(fuzzing)]
pub mod fuzz;
#[cfg(test)]
mod limits_tests;

pub use start::{chat, face, with_profile};
