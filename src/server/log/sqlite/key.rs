//! The key of a segment in the database: one number, with the room's number in the upper bits and the first message's
//! seq in the lower.
//!
//! So the rows of a room are adjacent, in order, and a search compares numbers. A key of two columns would have the
//! same order, but SQLite compares whole rows of such a table, and reads all pages of their entries for that.

use crate::names::{RoomId, Seq};

/// How many bits the seq takes. `schema.rs` has the same numbers.
const SEQ_BITS: u32 = 36;

/// The maximum number of messages over a room's lifetime: 68 billion.
pub const SEQ_MAX: Seq = Seq((1 << SEQ_BITS) - 1);

/// The greatest number that a room can have. Rooms without a message also take a number, until the next start.
pub const ROOM_MAX: RoomId = RoomId((1 << (64 - SEQ_BITS)) - 1);

/// The key of a segment that begins there, if possible.
pub fn key(room: RoomId, first: Seq) -> i64 {
    // The uppermost bit is the sign, which does not affect the order within a room.
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
