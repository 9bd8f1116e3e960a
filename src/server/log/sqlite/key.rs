//! The key of a segment in the database: one number, its room's in the upper bits and its first message's in the lower.
//!
//! So the rows of a room stand together, in order, and a search compares numbers. Two columns would say the same, but SQLite compares a
//! row of such a table with all that it holds, and reads its entries for that, however many pages they take.

use crate::names::{RoomId, Seq};

/// How many bits the seq takes. `schema.rs` has the same numbers.
const SEQ_BITS: u32 = 36;

/// The most messages that a room can have had: 68 billion.
pub const SEQ_MAX: Seq = Seq((1 << SEQ_BITS) - 1);

/// The greatest number that a room can have. Rooms that never got a message took a number too, until the next start.
pub const ROOM_MAX: RoomId = RoomId((1 << (64 - SEQ_BITS)) - 1);

/// The key of the segment that begins there, as far as there can be one.
pub fn key(room: RoomId, first: Seq) -> i64 {
    // The uppermost bit is the sign, which changes nothing within a room.
    (room.0.min(ROOM_MAX.0) << SEQ_BITS | first.min(SEQ_MAX).0) as i64
}

/// The keys of all segments of a room, from one seq on.
pub fn from(room: RoomId, first: Seq) -> (i64, i64) {
    (key(room, first), key(room, SEQ_MAX))
}

/// The keys of all segments of a room that begin at a seq or before.
pub fn up_to(room: RoomId, last: Seq) -> (i64, i64) {
    (key(room, Seq::ZERO), key(room, last))
}
