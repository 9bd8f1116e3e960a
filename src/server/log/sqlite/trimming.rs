//! Deletes a room's oldest segment for retention. Damaged or missing parts are deleted or skipped.

use rusqlite::{Connection, OptionalExtension as _, Row};

use super::columns::{number, seq};
use super::damage::range;
use super::expiring::Expiring;
use super::key::{self, key};
use super::rooms::{name_of, oldest_of};
use super::rows::{Loaded, Rows};
use super::schema;
use crate::names::{RoomId, Seq};
use crate::server::log::retention::SegmentEnd;

/// The segment that was deleted from a room, and the room's oldest segment now.
pub struct Trimmed {
    pub messages: u64,
    pub bytes: usize,
    pub oldest: Option<SegmentEnd>,
}

/// A damaged segment that must be deleted.
pub struct DamagedOldest {
    room: RoomId,
    name: String,
    /// The last seq that is already deleted.
    trimmed: Seq,
    first: Seq,
    last: Seq,
    time_ms: u64,
    /// Its entries, if they can be read after all.
    entries: Option<Vec<u8>>,
    /// The oldest segment after it.
    pub next: Option<SegmentEnd>,
}

/// The action on a damaged segment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Damaged {
    Delete,
    /// It stays in the database, but is no longer found.
    PassOver,
}

/// Deletes the oldest segment of a room, within a transaction; the ids of its messages are kept until the given time.
/// Fails if anything is damaged.
pub fn delete_oldest(
    connection: &Connection,
    room: RoomId,
    head: Seq,
    expiring: &mut Expiring,
    ids_due_ms: u64,
) -> rusqlite::Result<Trimmed> {
    let id = number(room.0);
    let mut oldest = connection.prepare_cached(schema::OLDEST_SEGMENT)?;
    type Found = (Seq, Seq, Seq, u64, Vec<u8>, Option<u32>);
    let segment =
        |row: &Row<'_>| Ok((seq(row, 0)?, seq(row, 1)?, seq(row, 2)?, seq(row, 3)?.0, row.get(4)?, row.get(5)?));
    let found: Option<Found> = oldest.query_row([id], segment).optional()?;
    let Some((trimmed, first, last, time_ms, entries, checksum)) = found else {
        return Ok(Trimmed { messages: 0, bytes: 0, oldest: None });
    };
    let is_sound = checksum.is_none_or(|checksum| checksum == crc32fast::hash(&entries));
    if first != trimmed.next() || last < first || last > head || !is_sound {
        return Err(rusqlite::Error::IntegralValueOutOfRange(1, number(first.0)));
    }
    // First, so that the next statements can use its space.
    connection.prepare_cached(schema::DELETE_SEGMENT)?.execute([key(room, first)])?;
    expiring.insert(connection, id, first, &entries, ids_due_ms)?;
    connection.prepare_cached(schema::SET_TRIMMED)?.execute((id, number(last.0), number(time_ms)))?;
    let mut following = connection.prepare_cached(schema::TWO_SEGMENTS)?;
    let following = following.query_map(key::from(room, first.next()), |row| Ok((seq(row, 0)?, seq(row, 1)?.0)))?;
    let following = following.collect::<rusqlite::Result<Vec<_>>>()?;
    let begin = |at: usize| following.get(at).map_or(head.next(), |(first, _)| *first);
    // If a segment does not end where the next one begins, it is damaged, or messages are missing.
    if last.next() != begin(0) {
        return Err(rusqlite::Error::IntegralValueOutOfRange(2, number(last.0)));
    }
    let next = following.first().map(|(_, time_ms)| SegmentEnd { last: Seq(begin(1).0 - 1), time_ms: *time_ms });
    Ok(Trimmed { messages: last.0 - trimmed.0, bytes: entries.len(), oldest: next })
}

/// Finds the oldest segment of a damaged room, with the missing messages before it. `None` if nothing can be found.
pub fn find_damaged(rows: &Rows<'_>, head: Seq) -> rusqlite::Result<Option<DamagedOldest>> {
    let trimmed = rows.trimmed()?;
    let Some(span) = rows.oldest(trimmed.next())? else { return Ok(None) };
    let next = rows.first_from(span.first.next())?.unwrap_or(head.next());
    let (last, entries) = match rows.load(span.first)? {
        Loaded::Sound(segment) => (segment.last(), Some(segment.frame().as_slice().to_vec())),
        Loaded::Damaged { .. } => (span.oldest(next).last, None),
    };
    Ok(Some(DamagedOldest {
        room: rows.room,
        name: name_of(rows.connection, rows.room),
        trimmed,
        first: span.first,
        last,
        time_ms: span.time_ms,
        entries,
        next: oldest_of(rows, last.next(), head)?,
    }))
}

impl DamagedOldest {
    /// The number of its messages, including those that are missing before it.
    pub fn messages(&self) -> u64 {
        self.last.0 - self.trimmed.0
    }

    /// Deletes it, within a transaction.
    pub fn delete(
        &self,
        connection: &Connection,
        expiring: &mut Expiring,
        ids_due_ms: u64,
        way: Damaged,
    ) -> rusqlite::Result<()> {
        let id = number(self.room.0);
        if way == Damaged::Delete {
            // First, so that the next statements can use its space.
            connection.prepare_cached(schema::DELETE_SEGMENT)?.execute([key(self.room, self.first)])?;
        }
        match &self.entries {
            Some(entries) => expiring.insert(connection, id, self.first, entries, ids_due_ms)?,
            None if way == Damaged::Delete => {
                let (name, range) = (&self.name, range(self.trimmed.next(), self.last));
                log::warn!("room {name}: {range} are damaged; retention deletes them");
            }
            None => {}
        }
        let row = (id, number(self.last.0), number(self.time_ms));
        connection.prepare_cached(schema::SET_TRIMMED)?.execute(row).map(drop)
    }
}
