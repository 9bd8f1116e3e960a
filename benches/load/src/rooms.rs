//! The check of all rooms of a run over `hubbub.v1`: the events of a client are assigned to the orders of its rooms.
//!
//! For a client in one room, the bytes are passed to that room's order. A response for a client in several rooms may
//! contain events of all of them, so it is decoded, and each event is passed to the order of its room.

use std::collections::HashMap;

use crate::chat::{Event, What, room_index, take_entry};
use crate::check::{Fault, unexpected};
use crate::grpc::Deframer;
use crate::order::Order;
use crate::seating::Seating;

pub struct Rooms {
    seating: Seating,
    orders: Vec<Order>,
    /// By client, if each is in several rooms.
    streams: Vec<Deframer>,
    /// The rooms by their numbers, if each client is in several.
    by_id: HashMap<u64, usize>,
    in_flight: u64,
    /// All members of the rooms before this one have joined.
    entered: usize,
}

impl Rooms {
    pub fn new(seating: Seating, body_bytes: usize, start_unix_ms: u64) -> Rooms {
        Rooms::with(seating, |room| Order::new(seating, room, body_bytes, start_unix_ms))
    }

    /// The same for rooms to which this many senders post that are no members.
    pub fn of_outsiders(seating: Seating, body_bytes: usize, start_unix_ms: u64, senders: usize) -> Rooms {
        Rooms::with(seating, |room| Order::of_outsiders(seating, room, body_bytes, start_unix_ms, senders))
    }

    fn with(seating: Seating, order: impl FnMut(usize) -> Order) -> Rooms {
        let streams = if seating.joined > 1 { seating.clients } else { 0 };
        Rooms {
            seating,
            orders: (0..seating.rooms).map(order).collect(),
            streams: (0..streams).map(|_| Deframer::default()).collect(),
            by_id: HashMap::new(),
            in_flight: 0,
            entered: 0,
        }
    }

    /// A room, and a client that is not in it yet, if there is one.
    pub fn absent(&mut self) -> Option<(usize, usize)> {
        while let Some(order) = self.orders.get(self.entered) {
            if let Some(client) = order.absent() {
                return Some((self.entered, client));
            }
            self.entered += 1;
        }
        None
    }

    /// The seq of the newest message of the first room that any member has received.
    pub fn head_seq(&self) -> u64 {
        self.orders[0].head_seq()
    }

    /// Records that `sender` sends its next message to a room. Returns the message's number.
    pub fn send(&mut self, room: usize, sender: usize) -> u64 {
        self.in_flight += 1;
        self.orders[room].send(sender)
    }

    /// The call of an outside sender for its next message to a room was answered with this seq.
    pub fn answered(&mut self, room: usize, sender: usize, seq: u64) -> Result<(), Fault> {
        self.orders[room].answered(sender, seq)
    }

    /// Sent messages that a member still waits for.
    pub fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// Checks the bytes that `receiver` got. `on_delivery` gets the send times of the messages that it now has, and
    /// their numbers.
    #[inline]
    pub fn take(
        &mut self,
        receiver: usize,
        mut bytes: &[u8],
        mut on_delivery: impl FnMut(u64, u64),
    ) -> Result<(), Fault> {
        let Rooms { seating, orders, streams, by_id, in_flight, .. } = self;
        if seating.joined == 1 {
            let order = &mut orders[seating.room(receiver, 0)];
            let before = order.in_flight();
            order.take(receiver, bytes, on_delivery)?;
            *in_flight -= before - order.in_flight();
            return Ok(());
        }
        while let Some(mut response) = streams[receiver].next(&mut bytes)? {
            while !response.is_empty() {
                let start = response;
                let (entry, event) = take_entry(&mut response).ok_or_else(|| unexpected(receiver, start))?;
                if event.what == What::Welcome {
                    for room in seating.rooms_of(receiver) {
                        orders[room].take_event(receiver, entry, &event, &mut on_delivery)?;
                    }
                    continue;
                }
                let order = &mut orders[room_of(seating, by_id, receiver, entry, &event)?];
                let before = order.in_flight();
                order.take_event(receiver, entry, &event, &mut on_delivery)?;
                *in_flight -= before - order.in_flight();
            }
        }
        Ok(())
    }

    /// Fails if a member still waits for a message, and names some of them.
    pub fn finish(&self) -> Result<(), Fault> {
        self.orders.iter().try_for_each(Order::finish)
    }
}

/// The room of an event, or any room of the receiver if the event has none.
fn room_of(
    seating: &Seating,
    by_id: &mut HashMap<u64, usize>,
    receiver: usize,
    entry: &[u8],
    event: &Event<'_>,
) -> Result<usize, Fault> {
    if let What::Joined { room: name, .. } = event.what {
        let room = room_index(name).filter(|room| *room < seating.rooms).ok_or_else(|| unexpected(receiver, entry))?;
        if *by_id.entry(event.room_id).or_insert(room) != room {
            return Err(Fault::Unwelcome { receiver, text: format!("the number {} for two rooms", event.room_id) });
        }
        return Ok(room);
    }
    if event.room_id == 0 {
        return Ok(seating.room(receiver, 0));
    }
    by_id.get(&event.room_id).copied().ok_or_else(|| unexpected(receiver, entry))
}

#[cfg(test)]
#[path = "rooms_tests.rs"]
mod tests;
