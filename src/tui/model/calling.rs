//! The calls that are under way.

use std::collections::HashMap;

use super::super::inlet::{Call, Outgoing};
use super::super::network::CALLS_MAX;
use super::super::room::Wanted;
use super::{Link, Model};
use crate::names::RoomName;

/// What was asked for, and what the answer is used for.
#[derive(Clone, Debug)]
pub enum Asked {
    /// The heads of the rooms, to know where to join.
    Heads,
    /// A page of a room's history.
    Page { room: RoomName, wanted: Wanted },
    /// The members of a room for the list of people.
    People { room: RoomName, request: u64 },
    /// The members of a room, for the user.
    Members { room: RoomName },
    /// The rooms of the server, perhaps only those with this part in their name.
    Rooms { part: Option<String> },
    /// Messages with these words.
    Search { text: String },
    /// A change of a message or a room. `failed` begins the reason of a failure.
    Change { failed: &'static str, done: Option<String> },
    /// A message of a room, to be listed with the pinned ones.
    Pins { room: RoomName, seq: u64 },
}

/// The calls.
#[derive(Debug, Default)]
pub struct Calls {
    asked: HashMap<u64, Asked>,
    last: u64,
}

impl Calls {
    /// The answer to a call came.
    pub fn take(&mut self, number: u64) -> Option<Asked> {
        self.asked.remove(&number)
    }
}

impl Model {
    /// Makes a call. False: it can't be made now.
    pub(super) fn call(&mut self, call: Call, asked: Asked) -> bool {
        let is_online = matches!(self.link, Link::Online | Link::Held { .. });
        if !is_online || self.calls.asked.len() >= CALLS_MAX {
            return false;
        }
        self.calls.last += 1;
        self.calls.asked.insert(self.calls.last, asked);
        self.requests.push_back(Outgoing::Call(self.calls.last, call));
        true
    }

    /// Makes a call for the user, who learns if it can't be made.
    pub(super) fn call_for_user(&mut self, call: Call, asked: Asked) {
        if !self.call(call, asked) {
            let reason = match self.link {
                Link::Online | Link::Held { .. } => "the server has not answered the requests before",
                _ => "there is no connection",
            };
            self.fail(&format!("not possible now: {reason}"));
        }
    }
}
