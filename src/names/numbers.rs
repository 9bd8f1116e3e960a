//! The numbers of rooms, clients and events, and the epochs of rooms.

use std::fmt;

/// The number of a room in a server's log, from 1: never assigned to another room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomId(pub u64);

/// Which history of a room a seq belongs to: random, never 0. It changes only when history was lost.
///
/// Its upper 32 bits identify the room: all epochs of one room share them, and a room that is created again, after an
/// operator deleted it, gets others. (Up to version 8 of the database, all bits changed.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(u64);

/// How many bits of an epoch identify its room.
const ROOM_BITS: u32 = 32;

impl Epoch {
    /// The first epoch of a new room.
    pub fn random() -> Self {
        Self(fastrand::u64(1..))
    }

    /// Another epoch of the same room.
    pub fn renewed(self) -> Self {
        loop {
            let next = Self(self.0 >> ROOM_BITS << ROOM_BITS | fastrand::u64(1..1 << (u64::BITS - ROOM_BITS)));
            if next != self {
                return next;
            }
        }
    }

    /// Whether both are epochs of the same room, and not of two rooms that had the same name in turn.
    pub fn is_same_room(self, other: Self) -> bool {
        self.0 >> ROOM_BITS == other.0 >> ROOM_BITS
    }

    /// `None` for 0, which means no epoch.
    pub fn new(epoch: u64) -> Option<Self> {
        (epoch != 0).then_some(Self(epoch))
    }

    pub fn get(self) -> u64 {
        self.0
    }
}

/// A client's number: one for each stream, never 0, never reused while a server runs.
///
/// A server counts its clients from a random number below 2^48, so that messages stored before a restart can be
/// distinguished from those after it. In a thousand runs with a million clients each, the chance that any two clients
/// share a number is 0.4 %. A number stays below 2^49: a varint of seven bytes, and exact as a JSON number in every
/// language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub u64);

impl ClientId {
    /// The first number of a server.
    pub fn random_start() -> Self {
        Self(fastrand::u64(1..1 << 48))
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// An event's sequence number in its room: 1 for the first, dense. 0 is the position before the first event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seq(pub u64);

impl Seq {
    /// The position before the first event.
    pub const ZERO: Seq = Seq(0);

    /// The next sequence number.
    pub fn next(self) -> Seq {
        Seq(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewed_epoch_differs_and_is_of_the_same_room() {
        for epoch in (0..1_000).map(|_| Epoch::random()).chain(Epoch::new(1)).chain(Epoch::new(u64::MAX)) {
            let next = epoch.renewed();
            assert!(next != epoch && next.is_same_room(epoch) && next.get() != 0, "{epoch:?} {next:?}");
        }
        assert!(!Epoch(7 << 32 | 5).is_same_room(Epoch(8 << 32 | 5)));
    }
}
