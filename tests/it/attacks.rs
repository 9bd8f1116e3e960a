//! Attacks on the transport, bounded in time and bytes: floods of frames, and connections that do nothing. The server's
//! memory, threads and descriptors stay within bounds, two clients that behave lose nothing, and newcomers are served.
//!
//! `HUBBUB_ATTACK_SECONDS` makes the floods longer; `make hostile` does that, and shows the measurements.
//! The soak mixes the attacks for minutes.

mod calls;
mod commands;
mod connections;
mod flood;
mod frames;
mod scene;
mod soak;
