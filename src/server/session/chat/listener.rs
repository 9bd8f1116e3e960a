//! Follows a room on behalf of a session: notifies its reader of new messages and of presence.

use std::sync::Arc;

use super::updates::{Update, Updates};
use crate::server::delivery::stream_writer::StreamWriter;
use crate::server::room::RoomKey;
use crate::server::room::followers::{Follower, Member, Presence};
use crate::server::room::position::Position;

/// Follows a room on behalf of a session.
pub struct Listener {
    pub writer: Arc<StreamWriter>,
    pub updates: Arc<Updates>,
    pub room: RoomKey,
    pub position: Arc<Position>,
    /// `None` for a client without a presence.
    pub member: Option<Member>,
}

impl Listener {
    /// Notifies the reader of new messages, unless it has not read the last notification yet.
    pub fn wake_reader(&self) {
        if self.position.must_tell() {
            self.updates.push(Update::Published(self.room));
        }
    }
}

impl Follower for Listener {
    fn published(self: Arc<Self>) {
        self.wake_reader();
        self.writer.look_again();
    }

    fn member(&self) -> Option<Member> {
        self.member.clone()
    }

    fn position(&self) -> Option<&Position> {
        Some(&self.position)
    }

    fn presence(self: Arc<Self>, presence: &Arc<Presence>) {
        if self.updates.push_presence(self.room, Arc::clone(presence)) {
            self.writer.look_again();
        }
    }
}
