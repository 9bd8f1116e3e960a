//! The rooms of the receive side: the place in each, by their numbers on the current connection.

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;

use super::membership::{ToJoin, Visit};
use super::place::{Fault, Place};
use crate::client::incoming::{End, Step};
use crate::client::stream::StreamError;
use crate::names::RoomName;

#[derive(Default)]
pub struct JoinedRooms {
    /// The rooms that are joined, or were, at their indexes.
    list: Vec<Option<JoinedRoom>>,
    /// By their numbers on this connection.
    by_id: HashMap<u64, usize>,
}

pub struct JoinedRoom {
    pub name: RoomName,
    visit: Visit,
    pub place: Place,
    id: Option<u64>,
    /// The seqs of this session's messages that were acknowledged before they arrived, in order.
    pub announced: VecDeque<u64>,
}

impl JoinedRooms {
    /// The room of that number, which must be joined, and its index.
    pub fn joined(&mut self, room_id: u64) -> ControlFlow<End, (usize, &mut JoinedRoom)> {
        // Most clients are in one room.
        let index = match self.list.as_slice() {
            [Some(room)] if room.id == Some(room_id) => Some(0),
            _ => self.by_id.get(&room_id).copied(),
        };
        match index.and_then(|index| Some((index, self.list[index].as_mut()?))) {
            Some(room) => ControlFlow::Continue(room),
            None => broken(format!("it sent an event of room {room_id}, which was not joined")),
        }
    }

    /// The place of the client in a room that it joins.
    pub fn place(&self, to_join: &ToJoin) -> Place {
        let known = self.list.get(to_join.index).and_then(Option::as_ref);
        known
            .filter(|room| room.visit == to_join.visit)
            .map_or_else(|| Place::new(to_join.from), |room| room.place.clone())
    }

    /// The room that is joined; the state of an earlier visit is discarded.
    pub fn enter(&mut self, joined: &ToJoin) -> &mut JoinedRoom {
        let index = joined.index;
        if self.list.len() <= index {
            self.list.resize_with(index + 1, || None);
        }
        let known = &mut self.list[index];
        if known.as_ref().is_none_or(|room| room.visit != joined.visit) {
            *known = None;
        }
        known.get_or_insert_with(|| JoinedRoom {
            name: joined.name.clone(),
            visit: joined.visit,
            place: Place::new(joined.from),
            id: None,
            announced: VecDeque::new(),
        })
    }

    /// Sets a room's number. True: it had one on this connection already. The server may report the room again:
    /// with another number at its first message, or with the same number after a gap.
    pub fn number(&mut self, index: usize, room_id: u64) -> bool {
        let before = self.list[index].as_mut().and_then(|room| room.id.replace(room_id));
        if let Some(before) = before {
            self.by_id.remove(&before);
        }
        self.by_id.insert(room_id, index);
        before.is_some()
    }

    /// The room of that number is left.
    pub fn leave(&mut self, room_id: u64) {
        if let Some(index) = self.by_id.remove(&room_id) {
            self.list[index] = None;
        }
    }

    /// The room of that name is left.
    pub fn forget(&mut self, name: &RoomName) {
        let room = self.list.iter().flatten().find(|room| room.name == *name);
        if let Some(id) = room.and_then(|room| room.id) {
            self.leave(id);
        }
    }

    /// Discards the rooms' numbers, which belong to a connection.
    pub fn disconnect(&mut self) {
        self.by_id.clear();
        for room in self.list.iter_mut().flatten() {
            room.id = None;
        }
    }
}

/// Ends the reading if an event of the room violates the contract.
pub fn verified<T>(room: &RoomName, outcome: Result<T, Fault>) -> ControlFlow<End, T> {
    match outcome {
        Ok(value) => ControlFlow::Continue(value),
        Err(fault) => broken(format!("in {room}, {fault}")),
    }
}

/// The server violated the contract. The client can only resume at its place.
pub fn fault(what: &str) -> Step {
    broken(what.to_owned())
}

fn broken<T>(what: String) -> ControlFlow<End, T> {
    ControlFlow::Break(End::Broken(StreamError::Fault(what)))
}
