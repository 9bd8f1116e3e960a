//! The numbers of rooms, clients and events, and the epochs of rooms.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// The number of a room in a server's log, from 1: never assigned to another room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomId(pub u64);

/// The random number from which the first epochs of a log's rooms are derived. It changes when history was lost, so
/// that no room has the epoch of a lost one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation(pub u64);

impl Generation {
    pub fn random() -> Self {
        Self(fastrand::u64(1..))
    }
}

/// Which history of a room a seq belongs to, never 0. It changes only when history was lost.
///
/// Its upper 32 bits identify the room: all epochs of one room share them, and a room that is created again, after an
/// operator deleted it, gets others. (Up to version 8 of the database, all bits changed.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(u64);

/// How many bits of an epoch identify its room.
const ROOM_BITS: u32 = 32;

impl Epoch {
    /// The first epoch of a room: the same for the same generation and number.
    pub fn first(Generation(generation): Generation, room: RoomId) -> Self {
        let hash = Sha256::new().chain_update(generation.to_be_bytes()).chain_update(room.0.to_be_bytes()).finalize();
        let bits = hash.iter().take(8).fold(0, |bits, byte| bits << 8 | u64::from(*byte));
        Self(bits.max(1))
    }

    /// The epoch of a room that is not stored.
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

    /// What identifies the room in all its epochs.
    pub fn room(self) -> u32 {
        (self.0 >> ROOM_BITS) as u32
    }

    /// Whether both are epochs of the same room, and not of two rooms that had the same name in turn.
    pub fn is_same_room(self, other: Self) -> bool {
        self.room() == other.room()
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
    fn first_epochs_depend_on_the_generation_and_the_room() {
        let first = |generation, room| Epoch::first(Generation(generation), RoomId(room));
        assert_eq!(first(7, 1), first(7, 1));
        assert!(!first(7, 1).is_same_room(first(7, 2)) && !first(7, 1).is_same_room(first(8, 1)));
    }

    #[test]
    fn a_renewed_epoch_differs_and_is_of_the_same_room() {
        for epoch in (0..1_000).map(|_| Epoch::random()).chain(Epoch::new(1)).chain(Epoch::new(u64::MAX)) {
            let next = epoch.renewed();
            assert!(next != epoch && next.is_same_room(epoch) && next.get() != 0, "{epoch:?} {next:?}");
        }
        assert!(!Epoch(7 << 32 | 5).is_same_room(Epoch(8 << 32 | 5)));
    }
}
