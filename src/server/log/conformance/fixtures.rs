//! Posts, rooms and subscribers for tests.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossbeam_channel::Receiver;

use crate::names::{Body, Kind, MessageId, Origin, RoomName, Sender, Seq, UserName};
use crate::server::log::command::NewMessage;
use crate::server::log::{Act, Appender, Change, Post, Published, RoomState, Segment, What};
use crate::wire::event;

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
    let sender = Sender::claim(UserName::new(sender).unwrap());
    let body = Body::new(body).unwrap();
    let content = event::content(&event::NewMessage::plain(&id, &sender, None, &body, Kind::Text));
    let message = NewMessage { id, id_chosen, reply_to: Seq::ZERO, content };
    Post { room: room.clone(), sender, what: What::Message(message) }
}

/// A change.
pub fn change(room: &RoomName, sender: &str, act: Act) -> Post {
    let sender = Sender::claim(UserName::new(sender).unwrap());
    let change = Box::new(Change { epoch: None, act });
    Post { room: room.clone(), sender, what: What::Change(change) }
}

/// Receives the segments that are published from now on.
pub fn published(appender: &mut dyn Appender) -> Receiver<Arc<Segment>> {
    let (sender, receiver) = crossbeam_channel::unbounded();
    appender.subscribe(Box::new(move |published| match published {
        Published::Segment(segment) => drop(sender.send(segment)),
        Published::Changed(changed) => {
            changed.segments.into_iter().for_each(|segment| drop(sender.send(segment)));
        }
        Published::Room(_) => {}
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
