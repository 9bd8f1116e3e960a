//! Messages that change, through the real server program: edits, deletions, reactions, pins and topics, by clients of
//! both contracts.
//!
//! [`schedules`] compares random schedules with a naive model, [`rules`] and [`limits`] compare the responses to single
//! calls with the contract; [`faults`] has a full and a damaged disk; [`erasure`] searches all files for removed texts;
//! and [`crash`] kills the server amid changes.

mod calls;
mod naive;
mod follower;
mod world;
mod schedules;
mod rules;
mod limits;
mod faults;
mod erasure;
mod crash;
