//! The full-screen client.

mod inlet;
