//! The ids of messages that retention deleted. They are kept for some time, so that a client that lost its connection
//! before the echo of its message can post it again without storing it twice.
//!
//! Ids are looked up only in the table `ids`. When a segment is deleted, the ids of its messages stay there, and a row
//! of the table `expiring` records them and their due time. So trimming a segment costs one insertion, for any number
//! of messages.

use rusqlite::{Connection, OptionalExtension as _, Row};

use super::columns::{number, seq};
use super::schema;
use crate::names::{RoomId, Seq};
use crate::server::log::retention::Expiry;
use crate::wire::event;

/// The kept ids of deleted messages.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expiring {
    /// The number of ids.
    pub ids: u64,
    /// When the first of them are due, in milliseconds since 1970.
    pub due_ms: Option<u64>,
}

impl Expiring {
    pub fn load(connection: &Connection) -> rusqlite::Result<Self> {
        connection.query_row(schema::COUNT_EXPIRING, (), |row| {
            let (ids, due_ms): (i64, Option<i64>) = (row.get(0)?, row.get(1)?);
            Ok(Self { ids: ids as u64, due_ms: due_ms.map(|due_ms| due_ms as u64) })
        })
    }

    /// Records the ids of a segment that is being deleted. Within a transaction.
    pub fn insert(
        &mut self,
        connection: &Connection,
        room: i64,
        first: Seq,
        entries: &[u8],
        due_ms: u64,
    ) -> rusqlite::Result<()> {
        let (count, ids) = pack(entries);
        if count > 0 {
            let row = (number(due_ms), room, number(first.0), number(count), ids);
            connection.prepare_cached(schema::INSERT_EXPIRING)?.execute(row)?;
            self.ids += count;
            self.due_ms = Some(self.due_ms.map_or(due_ms, |first| first.min(due_ms)));
        }
        Ok(())
    }

    /// Whether some must be forgotten now.
    fn is_due(&self, now_ms: u64, ids_max: u64) -> bool {
        self.ids > ids_max || self.due_ms.is_some_and(|due_ms| due_ms <= now_ms)
    }

    /// The last ids that must be forgotten now, at most about so many.
    pub fn due(
        mut self,
        connection: &Connection,
        now_ms: u64,
        ids_max: u64,
        at_once: u64,
    ) -> rusqlite::Result<Option<Expiry>> {
        let (mut last, mut count) = (None, 0);
        if !self.is_due(now_ms, ids_max) {
            return Ok(last);
        }
        let mut statement = connection.prepare_cached(schema::EXPIRING)?;
        let mut rows = statement.query(())?;
        while count < at_once
            && let Some(row) = rows.next()?
        {
            let next = expiry(row)?;
            self.due_ms = Some(next.due_ms);
            if !self.is_due(now_ms, ids_max) {
                break;
            }
            let ids = seq(row, 3)?.0;
            self.ids = self.ids.saturating_sub(ids);
            count += ids;
            last = Some(next);
        }
        Ok(last)
    }

    /// Forgets the ids of the segment that is due first, if they are not due after `last`. Within a transaction. Returns
    /// how many.
    pub fn forget(&mut self, connection: &Connection, last: Expiry) -> rusqlite::Result<Option<u64>> {
        let mut next = connection.prepare_cached(schema::NEXT_EXPIRING)?;
        type Next = (Expiry, i64, Vec<u8>);
        let found: Option<Next> = next.query_row((), |row| Ok((expiry(row)?, row.get(3)?, row.get(4)?))).optional()?;
        let Some((expiry, count, ids)) = found.filter(|(expiry, ..)| *expiry <= last) else { return Ok(None) };
        let key = (number(expiry.due_ms), number(expiry.room.0), number(expiry.first.0));
        let mut delete = connection.prepare_cached(schema::DELETE_ID)?;
        for (id, sender, seq) in unpack(&ids) {
            delete.execute((key.1, id, sender, number(seq)))?;
        }
        connection.prepare_cached(schema::DELETE_EXPIRING)?.execute(key)?;
        self.ids = self.ids.saturating_sub(count as u64);
        let next_due: Option<i64> = next.query_row((), |row| row.get(0)).optional()?;
        self.due_ms = next_due.map(|due_ms| due_ms as u64);
        Ok(Some(count as u64))
    }
}

/// The first columns of a row.
fn expiry(row: &Row<'_>) -> rusqlite::Result<Expiry> {
    Ok(Expiry { due_ms: seq(row, 0)?.0, room: RoomId(seq(row, 1)?.0), first: seq(row, 2)? })
}

/// The chosen ids of these messages, and how many they are. For each: the seq in eight bytes, the id, and the sender
/// with its length in two bytes before it. A message that can't be read has no id that a client could post again.
pub fn pack(entries: &[u8]) -> (u64, Vec<u8>) {
    let (mut count, mut packed) = (0, Vec::new());
    for (entry, _) in event::entries(entries).map_while(Result::ok) {
        let Some(content) = entry.message() else { continue };
        let Ok(length) = u16::try_from(content.sender.len()) else { continue };
        if content.id.is_chosen() {
            count += 1;
            packed.extend_from_slice(&entry.seq.0.to_be_bytes());
            packed.extend_from_slice(content.id.as_bytes());
            packed.extend_from_slice(&length.to_be_bytes());
            packed.extend_from_slice(content.sender.as_bytes());
        }
    }
    (count, packed)
}

/// Each id with its sender and its message's seq.
pub fn unpack(mut packed: &[u8]) -> impl Iterator<Item = (&[u8], &str, u64)> {
    std::iter::from_fn(move || {
        let (seq, rest) = packed.split_first_chunk::<8>()?;
        let (id, rest) = rest.split_at_checked(16)?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (sender, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        packed = rest;
        Some((id, std::str::from_utf8(sender).ok()?, u64::from_be_bytes(*seq)))
    })
}
