//! What receive threads have in common, whatever contract their stream speaks.

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::Sender;

use crate::server::delivery::close::CloseReason;
use crate::server::room::followers::{Follower, Membership};
use crate::server::room::{Room, RoomHandle};
use crate::server::writer::Order;

/// The transport's end of a stream, for reading.
pub trait Source<T>: Send {
    /// Waits for what comes next, at most until the deadline. It is called again only after an item, or `Late`.
    fn receive(&mut self, deadline: Option<Instant>) -> Received<T>;

    /// A way to end it from another thread, for good.
    fn stopper(&self) -> Stopper;
}

/// Has a receive thread stop.
pub type Stopper = Arc<dyn Fn(Stop) + Send + Sync>;

/// When a receive thread is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// After what has come so far: the call is over, and what was said before its end stands.
    AfterWhatCame,
    /// A drain has begun: nothing more is accepted.
    AtOnce,
}

/// What a receive thread gets from its stream.
pub enum Received<T> {
    /// Something that was checked.
    Item(T),
    /// The deadline has passed.
    Late,
    /// The client has ended its sending side; with `end_when_posted` it wants the stream ended once what it sent is
    /// committed.
    HalfClosed { end_when_posted: bool },
    /// The stream is over, or its source was stopped.
    Over,
    /// The client broke a rule: the stream must end.
    Broken(CloseReason),
}

/// The receiving side of a session. Dropping it ends the call and leaves the rooms: it must outlive the status.
pub trait Conversation: Send {
    /// Receives until the stream gives no more, and has posts appended. Runs on the receive thread.
    fn run(&mut self, orders: &Sender<Order>);
}

/// A place among the followers of a room, which ends with it.
pub struct Following {
    hold: RoomHandle,
    shard: usize,
    // Invariant: there until the drop.
    membership: Option<Membership>,
}

impl Following {
    /// Follows the room, in the shard of the poller that drives the stream. The follower MUST look at its cursor once after this.
    pub fn new(hold: RoomHandle, shard: usize, follower: Arc<dyn Follower>) -> Self {
        let membership = Some(hold.follow(shard, follower));
        Self { hold, shard, membership }
    }

    pub fn room(&self) -> &Arc<Room> {
        &self.hold
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        if let Some(membership) = self.membership.take() {
            self.hold.unfollow(self.shard, membership);
        }
    }
}
