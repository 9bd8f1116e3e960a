//! The assignment of clients to rooms: each client joins the same number of rooms, round-robin.
//!
//! A seat is a client's membership in one room. Seats are numbered client by client; the n-th is in room n modulo the
//! number of rooms. So the numbers of members differ by one at most, and all functions are arithmetic.

/// Clients, rooms, and how many of them each client joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seating {
    pub clients: usize,
    // Invariant: at least `joined`, so that no client has two seats in a room; at most the number of seats, so that no
    // room is empty.
    pub rooms: usize,
    // Invariant: not 0.
    pub joined: usize,
}

impl Seating {
    /// All clients in one room.
    pub fn together(clients: usize) -> Seating {
        Seating { clients, rooms: 1, joined: 1 }
    }

    pub fn seats(&self) -> usize {
        self.clients * self.joined
    }

    /// How many members a room has on average, which is also the number of deliveries of a message.
    pub fn members_mean(&self) -> f64 {
        self.seats() as f64 / self.rooms as f64
    }

    pub fn members(&self, room: usize) -> usize {
        (self.seats() - room).div_ceil(self.rooms)
    }

    /// The rooms that a client joins.
    pub fn rooms_of(&self, client: usize) -> impl Iterator<Item = usize> + use<> {
        let Seating { rooms, joined, .. } = *self;
        (client * joined..(client + 1) * joined).map(move |seat| seat % rooms)
    }

    /// The room at this index of them, below `joined`.
    pub fn room(&self, client: usize, nth: usize) -> usize {
        (client * self.joined + nth) % self.rooms
    }

    /// A client's place among the members of a room; `None` if it is not one of them.
    #[inline]
    pub fn place(&self, room: usize, client: usize) -> Option<usize> {
        if client >= self.clients {
            return None;
        }
        if self.rooms == 1 {
            return Some(client);
        }
        let first = client * self.joined;
        let nth = (room + self.rooms - first % self.rooms) % self.rooms;
        (nth < self.joined).then(|| (first + nth) / self.rooms)
    }

    /// The member in that place.
    pub fn client(&self, room: usize, place: usize) -> usize {
        (room + place * self.rooms) / self.joined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seat_is_found_from_both_sides() {
        for (clients, rooms, joined) in [(7, 1, 1), (7, 7, 1), (7, 3, 1), (7, 3, 2), (7, 3, 3), (4, 12, 3), (5, 12, 3)]
        {
            let seating = Seating { clients, rooms, joined };
            let mut members = vec![0; rooms];
            for client in 0..clients {
                let joins: Vec<_> = seating.rooms_of(client).collect();
                assert_eq!(joins, (0..joined).map(|nth| seating.room(client, nth)).collect::<Vec<_>>());
                for (room, count) in members.iter_mut().enumerate() {
                    let place = seating.place(room, client);
                    assert_eq!(place.is_some(), joins.contains(&room), "client {client} in room {room}");
                    // Clients get their places in order.
                    assert!(place.is_none_or(|place| place == *count));
                    assert!(place.is_none_or(|place| seating.client(room, place) == client));
                    *count += usize::from(place.is_some());
                }
            }
            assert_eq!(members, (0..rooms).map(|room| seating.members(room)).collect::<Vec<_>>());
            assert_eq!(members.iter().sum::<usize>(), seating.seats());
            assert_eq!(seating.place(0, clients), None);
        }
    }
}
