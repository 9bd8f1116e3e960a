//! The common part of receive threads, for both contracts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::server::append_queue::Lane;
use crate::server::delivery::close::CloseReason;
use crate::server::room::followers::{Follower, Membership};
use crate::server::room::{Room, RoomHandle};

/// The transport's end of a stream, for reading.
pub trait Source<T>: Send {
    /// Waits for the next request, at most until the deadline. Called again only after an item, or `Late`.
    fn receive(&mut self, deadline: Option<Instant>) -> Received<T>;

    /// Receives nothing until then, so that flow control slows the client. Returns at once when the call is over, or a
    /// drain starts.
    fn pause(&mut self, until: Instant);

    /// Whether the call is over: its client gets no more answers.
    fn is_over(&self) -> bool;

    /// Ends it permanently, from another thread.
    fn stopper(&self) -> Stopper;
}

/// Stops a receive thread.
pub type Stopper = Arc<dyn Fn(Stop) + Send + Sync>;

/// When a receive thread must stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// After the requests that have arrived: the call is over, and messages sent before its end are stored.
    AfterWhatCame,
    /// A drain has started: nothing more is accepted.
    AtOnce,
}

/// The result of a receive from a stream.
pub enum Received<T> {
    /// A checked request.
    Item(T),
    /// The deadline has passed.
    Late,
    /// The client has ended its sending side; with `end_when_posted` it requests the end of the stream once its
    /// messages are committed.
    HalfClosed { end_when_posted: bool },
    /// The stream is over, or its source was stopped.
    Over,
    /// The client violated a rule: the stream must end.
    Broken(CloseReason),
}

/// The receiving side of a session. Dropping it ends the call and leaves the rooms: it must outlive the status.
pub trait Conversation: Send {
    /// Within what time the client's first message must arrive, and the reason for which the stream ends without it.
    fn first_due(&self) -> Option<(Duration, CloseReason)> {
        None
    }

    /// Receives until the stream ends, and hands posts to the log writer. Runs on the receive thread, which is started
    /// for the client's first message or its half-close.
    fn run(&mut self, lane: &Lane);

    /// Whether dropping it may take long.
    fn is_heavy(&self) -> bool {
        false
    }
}

/// A place among the followers of a room. Dropping it ends the following.
pub struct Following {
    hold: RoomHandle,
    shard: usize,
    // Invariant: `Some` until the drop.
    membership: Option<Membership>,
}

impl Following {
    /// Follows the room, in the shard of the poller that drives the stream. The follower MUST check its cursor once
    /// after this.
    pub fn new(hold: RoomHandle, shard: usize, follower: Arc<dyn Follower>) -> Self {
        let membership = Some(hold.follow(shard, follower));
        hold.count_join();
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
