//! Posts, rooms and subscribers for tests.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossbeam_channel::Receiver;
use parking_lot::Mutex;

use crate::names::{Body, Epoch, Kind, MessageId, Origin, RoomId, RoomName, Sender, UserName};
use crate::server::log::{Appender, OpenRooms, Post, RoomState, Segment};
use crate::wire::event::{self, EntryKind};

pub fn room(name: &str) -> RoomName {
    RoomName::new(name).unwrap()
}

/// A post with a chosen id, derived from a number.
pub fn post(room: &RoomName, sender: &str, id: u64, body: &str) -> Post {
    let mut bytes = [7; 16];
    bytes[8..].copy_from_slice(&id.to_be_bytes());
    make_post(room, sender, MessageId::chosen(&bytes).unwrap(), true, body)
}

/// A post whose id the server generates.
pub fn post_without_id(room: &RoomName, sender: &str, body: &str) -> Post {
    make_post(room, sender, Origin::random().id(1), false, body)
}

fn make_post(room: &RoomName, sender: &str, id: MessageId, id_chosen: bool, body: &str) -> Post {
    let sender = UserName::new(sender).unwrap();
    let content = event::content(&id, &Sender::claim(sender.clone()), None, &Body::new(body).unwrap(), Kind::Text);
    Post { room: room.clone(), sender, id, id_chosen, kind: EntryKind::MESSAGE, content }
}

/// Receives the segments that are published from now on.
pub fn published(appender: &mut dyn Appender) -> Receiver<Arc<Segment>> {
    let (sender, receiver) = crossbeam_channel::unbounded();
    appender.subscribe(Box::new(move |segment| drop(sender.send(segment))));
    receiver
}

pub fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// The rooms that have members.
#[derive(Default)]
pub struct OpenRoomSet(Mutex<HashMap<RoomName, (RoomId, Epoch)>>);

impl OpenRoomSet {
    /// Creates an empty set that the appender uses.
    pub fn of(appender: &mut dyn Appender) -> Arc<Self> {
        let open_rooms = Arc::new(Self::default());
        appender.set_open_rooms(Arc::clone(&open_rooms) as _);
        open_rooms
    }

    /// Opens a room, and keeps it open.
    pub fn open(&self, appender: &mut dyn Appender, name: &RoomName) -> RoomState {
        let state = appender.open(name).unwrap();
        self.0.lock().entry(name.clone()).or_insert((state.id, state.epoch));
        state
    }

    pub fn close(&self, name: &RoomName) {
        self.0.lock().remove(name);
    }
}

impl OpenRooms for OpenRoomSet {
    fn opened(&self, name: &RoomName) -> Option<(RoomId, Epoch)> {
        self.0.lock().get(name).copied()
    }
}
