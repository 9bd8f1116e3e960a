//! The profiles of rooms as stored in the database.

use rusqlite::{Connection, Row};

use super::columns::{number, seq};
use super::schema;
use crate::names::{RoomId, Seq, Topic};
use crate::server::log::{Pin, Profile};

/// Reads a profile from three columns of a row, of which this is the first.
pub fn read(row: &Row<'_>, column: usize) -> rusqlite::Result<Profile> {
    let pins: Vec<u8> = row.get(column + 2)?;
    Ok(Profile { topic: Topic::stored(row.get(column)?), topic_seq: seq(row, column + 1)?, pins: unpack(&pins) })
}

/// The profile of a room that is stored.
pub fn load(connection: &Connection, room: RoomId) -> rusqlite::Result<Profile> {
    connection.prepare_cached(schema::PROFILE)?.query_row([number(room.0)], |row| read(row, 0))
}

pub fn store(connection: &Connection, room: RoomId, profile: &Profile) -> rusqlite::Result<()> {
    let row = (number(room.0), profile.topic.as_str(), number(profile.topic_seq.0), pack(&profile.pins));
    connection.prepare_cached(schema::SET_PROFILE)?.execute(row).map(drop)
}

/// For each pin: the seq of the message and that of the event, in eight bytes each.
fn pack(pins: &[Pin]) -> Vec<u8> {
    pins.iter().flat_map(|pin| [pin.message, pin.seq]).flat_map(|seq| seq.0.to_be_bytes()).collect()
}

fn unpack(packed: &[u8]) -> Vec<Pin> {
    let seqs: Vec<Seq> = packed.as_chunks().0.iter().map(|bytes| Seq(u64::from_be_bytes(*bytes))).collect();
    seqs.as_chunks().0.iter().map(|[message, seq]| Pin { message: *message, seq: *seq }).collect()
}
