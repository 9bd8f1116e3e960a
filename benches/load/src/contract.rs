//! The two contracts, and what a room needs to know of either.

mod tutorial;
mod v1;

use anyhow::Result;

use crate::check::Fault;
use crate::clock::Clock;
use crate::connection::Connection;
use crate::pool::Pool;
use crate::seating::Seating;

pub use tutorial::Tutorial;
pub use v1::{V1, enter_room};

/// Rooms with their clients, over one contract: how they join and post, and the judge of what they get.
pub trait Contract: Sized {
    /// Of the chat's method.
    const PATH: &'static str;

    fn new(seating: Seating, body_bytes: usize, clock: &Clock) -> Self;

    /// How many clients get each message, on average.
    fn receivers(seating: &Seating) -> f64;

    /// Has every connection of the pool join its rooms, and waits until all have.
    fn join(&mut self, pool: &mut Pool) -> Result<()>;

    /// Whether `sender` may post one more message.
    fn has_room(&self, connection: &Connection, sender: usize) -> bool;

    /// Posts `sender`'s next message, to its rooms in turn. There must be room for it.
    fn post(&mut self, connection: &mut Connection, sender: usize, sent_ns: u64);

    /// Puts on its way what `sender` has posted; it leaves with the next [`Connection::flush`].
    fn send(&mut self, connection: &mut Connection, sender: usize);

    /// Checks what `receiver` got. `on_delivery` is told when messages that it now has were sent, and how many.
    fn take(&mut self, receiver: usize, bytes: &[u8], on_delivery: impl FnMut(u64, u64)) -> Result<(), Fault>;

    /// Messages posted that some receiver still waits for.
    fn in_flight(&self) -> u64;

    /// Fails if anybody still waits for a message, and names some who do; or got one too many.
    fn finish(&self) -> Result<(), Fault>;
}
