//! Posts, rooms and subscribers for tests.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossbeam_channel::Receiver;

use crate::names::{Body, Kind, MessageId, Origin, RoomName, Sender, UserName};
use crate::server::log::{Appender, Post, Published, RoomState, Segment};
use crate::wire::event::{self, EntryKind, NewMessage};

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
    let content = event::content(&NewMessage::plain(
        &id,
        &Sender::claim(sender.clone()),
        None,
        &Body::new(body).unwrap(),
        Kind::Text,
    ));
    Post { room: room.clone(), sender, id, id_chosen, kind: EntryKind::MESSAGE, content }
}

/// Receives the segments that are published from now on.
pub fn published(appender: &mut dyn Appender) -> Receiver<Arc<Segment>> {
    let (sender, receiver) = crossbeam_channel::unbounded();
    appender.subscribe(Box::new(move |published| {
        if let Published::Segment(segment) = published {
            drop(sender.send(segment));
        }
    }));
    receiver
}

/// Receives the rooms that are created from now on.
pub fn created(appender: &mut dyn Appender) -> Receiver<RoomState> {
    let (sender, receiver) = crossbeam_channel::unbounded();
    appender.subscribe(Box::new(move |published| {
        if let Published::Room(state) = published {
            drop(sender.send(state));
        }
    }));
    receiver
}

pub fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}
