//! The contracts, and their operations.

mod follow;
mod tutorial;
mod v1;

use anyhow::Result;

use crate::args::Run;
use crate::check::Fault;
use crate::clock::Clock;
use crate::connection::Connection;
use crate::pool::Pool;
use crate::seating::Seating;

pub use follow::Follow;
pub use tutorial::Tutorial;
pub use v1::{V1, enter_room};

/// Rooms with their clients, over one contract: joins, posts, and the check of deliveries.
pub trait Contract: Sized {
    fn new(run: &Run, clock: &Clock) -> Self;

    /// Opens the connections of all clients, as far as that is possible without joining.
    fn connect(&self, run: &Run, clock: Clock) -> Result<Pool>;

    /// How many clients get each message, on average.
    fn receivers(seating: &Seating) -> f64;

    /// Makes every client join its rooms, and waits until all have joined.
    fn join(&mut self, pool: &mut Pool) -> Result<()>;

    /// The index of the connection over which `sender` posts.
    fn connection_of(&self, sender: usize) -> usize {
        sender
    }

    /// Whether `sender` may post one more message.
    fn has_room(&self, connection: &Connection, sender: usize) -> bool;

    /// The next of `senders` that may post one more message, beginning with the one whose turn it is.
    fn next_sender(&mut self, pool: &Pool, senders: usize, turn: usize) -> Option<usize> {
        (turn..senders).chain(0..turn).find(|sender| self.has_room(&pool.connections[*sender], *sender))
    }

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
