//! Follows a room on behalf of a session: notifies its reader of new messages and of presence.

use std::sync::Arc;

use super::updates::{PublishedFlag, Update, Updates};
use crate::server::delivery::stream_writer::StreamWriter;
use crate::server::room::RoomKey;
use crate::server::room::followers::{Follower, Member, Presence};

/// Follows a room on behalf of a session.
pub struct Listener {
    pub writer: Arc<StreamWriter>,
    pub updates: Arc<Updates>,
    pub room: RoomKey,
    pub published: Arc<PublishedFlag>,
    /// `None` for a client without a presence.
    pub member: Option<Member>,
}

impl Listener {
    /// Notifies the reader of new messages, unless it has not read the last notification yet.
    pub fn wake_reader(&self) {
        if self.published.set() {
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

    fn presence(self: Arc<Self>, presence: &Arc<Presence>) {
        if self.updates.push_presence(self.room, Arc::clone(presence)) {
            self.writer.look_again();
        }
    }
}
