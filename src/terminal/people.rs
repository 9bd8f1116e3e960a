//! The members of each of the chat's rooms.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use super::presence::Presence;
use crate::names::{RoomName, UserName};

/// The people of the rooms.
#[derive(Clone)]
pub struct People {
    own_name: UserName,
    /// Lock order: 2, below the screen's.
    rooms: Arc<Mutex<HashMap<RoomName, RoomPeople>>>,
}

/// The people of one room.
pub struct RoomPeople {
    pub presence: Presence,
    /// Whether messages are live; history does not show who is present.
    pub live: bool,
}

impl People {
    pub fn new(own_name: &UserName) -> Self {
        Self { own_name: own_name.clone(), rooms: Arc::default() }
    }

    /// Reads or changes a room, under the lock: without output meanwhile.
    pub fn of<T>(&self, room: &RoomName, look: impl FnOnce(&mut RoomPeople) -> T) -> T {
        let mut rooms = self.rooms.lock();
        let new = || RoomPeople { presence: Presence::new(self.own_name.as_str()), live: false };
        look(rooms.entry(room.clone()).or_insert_with(new))
    }

    /// The room is left.
    pub fn forget(&self, room: &RoomName) {
        self.rooms.lock().remove(room);
    }

    /// The connection is lost: joins and leaves are no longer reported.
    pub fn disconnected(&self) {
        let now = Instant::now();
        for people in self.rooms.lock().values_mut() {
            people.presence.disconnected(now);
            people.live = false;
        }
    }
}
