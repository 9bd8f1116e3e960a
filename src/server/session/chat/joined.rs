//! The rooms that a session has joined.

use std::collections::HashMap;
use std::sync::Arc;

use crate::limits::PRESENCE_MEMBERS_MAX;
use crate::names::RoomName;
use crate::server::delivery::fanout::Fanout;
use crate::server::room::followers::{Follower, Member, Presence};
use crate::server::room::{Room, RoomHandle, RoomKey, Rooms};
use crate::server::session::receive::Following;
use crate::wire::answer::Change;

/// The rooms that a session has joined, each with its place among the room's followers.
pub struct JoinedRooms {
    rooms: Arc<Rooms>,
    fanout: Arc<Fanout>,
    /// The poller that drives the stream, which is also its shard among its rooms' followers.
    shard: usize,
    joined: HashMap<RoomName, Following>,
}

impl JoinedRooms {
    pub fn new(rooms: Arc<Rooms>, fanout: Arc<Fanout>, shard: usize) -> Self {
        Self { rooms, fanout, shard, joined: HashMap::new() }
    }

    /// All open rooms.
    pub fn open_rooms(&self) -> &Arc<Rooms> {
        &self.rooms
    }

    /// The joined rooms.
    pub fn names(&self) -> impl Iterator<Item = &RoomName> {
        self.joined.keys()
    }

    pub fn count(&self) -> usize {
        self.joined.len()
    }

    /// The room, if it is joined.
    pub fn find(&self, room: &str) -> Option<&Arc<Room>> {
        self.joined.get(room).map(Following::room)
    }

    /// Follows a room, and sends the member's presence, if the client has one, to the others.
    pub fn add(&mut self, room: RoomHandle, follower: Arc<dyn Follower>, member: Option<&Member>) {
        let following = Following::new(room, self.shard, follower);
        self.announce(&following, member, Change::Joined);
        self.joined.insert(following.room().name().clone(), following);
    }

    /// Sends the member's presence to the others, and ends the following. `None` if the room is not joined.
    pub fn remove(&mut self, room: &str, member: Option<&Member>) -> Option<(RoomKey, RoomName)> {
        let (name, following) = self.joined.remove_entry(room)?;
        self.announce(&following, member, Change::Left);
        Some((following.room().key(), name))
    }

    /// Leaves all rooms.
    pub fn clear(&mut self, member: Option<&Member>) {
        for following in self.joined.values() {
            self.announce(following, member, Change::Left);
        }
        self.joined.clear();
    }

    /// Sends the presence of a member to the others in a room, unless there are too many of them.
    fn announce(&self, following: &Following, member: Option<&Member>, change: Change) {
        let (room, Some(member)) = (following.room(), member) else { return };
        if room.follower_count() > PRESENCE_MEMBERS_MAX {
            return;
        }
        let presence = Arc::new(Presence { member: member.clone(), change });
        let is_other =
            |follower: &Arc<dyn Follower>| follower.member().is_none_or(|other| other.client != member.client);
        let others: Vec<_> = room.followers().filter(is_other).collect();
        if !others.is_empty() {
            others.into_iter().for_each(|follower| follower.presence(&presence));
            self.fanout.announce_soon(room);
        }
    }
}
