//! The full-screen client.

pub mod keys;
pub mod commands;
pub mod line_editor;
pub mod paste;
pub mod complete;
pub mod config;
#[cfg(fuzzing)]
pub mod fuzz;
