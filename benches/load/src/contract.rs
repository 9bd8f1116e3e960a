//! The two contracts, and their operations.

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

/// Rooms with their clients, over one contract: joins, posts, and the check of deliveries.
pub trait Contract: Sized {
    /// Of the chat's method.
    const PATH: &'static str;

    fn new(seating: Seating, body_bytes: usize, clock: &Clock) -> Self;

    /// How many clients get each message, on average.
    fn receivers(seating: &Seating) -> f64;

    /// Makes every connection of the pool join its rooms, and waits until all have joined.
    fn join(&mut self, pool: &mut Pool) -> Result<()>;

    /// Whether `sender` may post one more message.
    fn has_room(&self, connection: &Connection, sender: usize) -> bool;

    /// Posts `sender`'s next message, to its rooms in turn. There must be space for it.
    fn post(&mut self, connection: &mut Connection, sender: usize, sent_ns: u64);

    /// Queues the posts of `sender`, for the next [`Connection::flush`].
    fn send(&mut self, connection: &mut Connection, sender: usize);

    /// Checks the bytes that `receiver` got. `on_delivery` gets the send times of the messages that it now has, and
    /// their numbers.
    fn take(&mut self, receiver: usize, bytes: &[u8], on_delivery: impl FnMut(u64, u64)) -> Result<(), Fault>;

    /// Posted messages that a receiver still waits for.
    fn in_flight(&self) -> u64;

    /// Fails if a receiver still waits for a message, and names some of them, or if one got a message too many.
    fn finish(&self) -> Result<(), Fault>;
}
