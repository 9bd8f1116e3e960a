//! Rooms as stored in the database. The state of a room is in its row and at both ends of its segments. If an end can't
//! be read, the rest of the state is still used, so that damage affects neither other rooms nor the rest of this one.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Row};

use super::columns::{number, seq};
use super::key::{ROOM_MAX, SEQ_MAX};
use super::profiles;
use super::rows::{Loaded, Rows, is_possible, unless_damaged};
use super::schema;
use crate::names::{Epoch, RoomId, RoomName, Seq};
use crate::server::log::RoomState;
use crate::server::log::retention::{RoomEnd, SegmentEnd};
use crate::server::log::stored::Head;

/// A room as stored in the database.
pub struct StoredRoom {
    pub state: RoomState,
    /// When the newest message was stored.
    pub time_ms: u64,
    /// The oldest segment that retention has not deleted.
    pub oldest: Option<SegmentEnd>,
    /// How many messages retention has deleted.
    pub deleted: u64,
    /// Whether the newest segment and its number of messages can't be read. Then nothing can be appended: a seq might
    /// be assigned twice.
    pub is_sealed: bool,
}

impl StoredRoom {
    pub fn head(&self) -> Head {
        let RoomState { id, epoch, head, changes, .. } = self.state;
        Head { room: id, epoch, seq: head, time_ms: self.time_ms, changes }
    }

    /// How many messages are kept.
    pub fn kept(&self) -> u64 {
        self.end().messages.saturating_sub(self.deleted)
    }

    pub fn end(&self) -> RoomEnd {
        let RoomState { head, changes, .. } = self.state;
        RoomEnd { head, messages: head.0 - changes }
    }
}

/// The room of that name, if there is one.
pub fn find_room(connection: &Connection, name: &RoomName) -> rusqlite::Result<Option<StoredRoom>> {
    let found = connection.prepare_cached(schema::ROOM_BY_NAME)?.query_row([name.as_str()], stored_room).optional();
    match unless_damaged(found)? {
        Some(found) => Ok(found),
        None => salvage(connection, name),
    }
}

/// Rooms in the order of their names' bytes, from the one after this name, without those whose own row is damaged.
pub fn rooms_after(connection: &Connection, after: &str, max: usize) -> rusqlite::Result<Vec<RoomState>> {
    let mut statement = connection.prepare_cached(schema::ROOMS_AFTER)?;
    let rooms = statement.query_map((after, number(max as u64)), |row| Ok(stored_room(row)?.state))?;
    if let Some(rooms) = unless_damaged(rooms.collect())? {
        return Ok(rooms);
    }
    let mut names = connection.prepare_cached(schema::NAMES_AFTER)?;
    let names = names.query_map((after, number(max as u64)), |row| row.get::<_, String>(0))?;
    let mut rooms = Vec::new();
    for name in names.collect::<rusqlite::Result<Vec<_>>>()? {
        let room = unless_damaged(find_room(connection, &RoomName::stored(&name)))?;
        rooms.extend(room.flatten().map(|room| room.state));
    }
    Ok(rooms)
}

/// All rooms by their numbers. A room whose own row is damaged is logged, and is `None`: it must not affect the others.
pub fn all_rooms(connection: &Connection) -> rusqlite::Result<Vec<(i64, Option<StoredRoom>)>> {
    let mut statement = connection.prepare(schema::ROOM_NAMES)?;
    let names: rusqlite::Result<Vec<(i64, String)>> =
        statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?.collect();
    let mut rooms = Vec::new();
    for (id, name) in names? {
        let room = unless_damaged(find_room(connection, &RoomName::stored(&name)))?.flatten();
        if room.is_none() {
            log::error!("room {name} (number {id}) is damaged; run hubbub-server verify");
        }
        rooms.push((id, room));
    }
    Ok(rooms)
}

/// The name of a room, for the log.
pub fn name_of(connection: &Connection, room: RoomId) -> String {
    let name = connection.query_row(schema::ROOM_NAME, [number(room.0)], |row| row.get::<_, String>(0));
    name.unwrap_or_else(|_| format!("number {}", room.0))
}

/// A room from a row of [`schema::ROOM_BY_NAME`] and its like.
fn stored_room(row: &Row<'_>) -> rusqlite::Result<StoredRoom> {
    let mut room = bare_room(row)?;
    if row.get::<_, Option<i64>>(10)?.is_some() {
        let (first, last, changes) = (seq(row, 10)?, seq(row, 11)?, seq(row, 14)?.0);
        // Invariant of stored rows: one that violates it is damaged.
        if !is_possible(first, last, row.get(13)?) || seq(row, 15)? != room.state.oldest || changes > last.0 {
            return Err(rusqlite::Error::IntegralValueOutOfRange(11, number(last.0)));
        }
        (room.state.head, room.state.changes, room.time_ms) = (last, changes, seq(row, 12)?.0);
        let next = if row.get::<_, Option<i64>>(18)?.is_some() { seq(row, 18)? } else { last.next() };
        let last = Seq(next.0 - 1);
        let messages = last.0.saturating_sub(seq(row, 17)?.0);
        room.oldest = Some(SegmentEnd { last, time_ms: seq(row, 16)?.0, messages });
    }
    Ok(room)
}

/// A room from its own row alone, as if all its messages were deleted.
fn bare_room(row: &Row<'_>) -> rusqlite::Result<StoredRoom> {
    let name: String = row.get(1)?;
    let epoch = row.get::<_, i64>(2)? as u64;
    let epoch = Epoch::new(epoch).ok_or(rusqlite::Error::IntegralValueOutOfRange(2, 0))?;
    let head = seq(row, 4)?;
    if head > SEQ_MAX {
        return Err(rusqlite::Error::IntegralValueOutOfRange(4, number(head.0)));
    }
    let id = RoomId(seq(row, 0)?.0);
    if id > ROOM_MAX {
        return Err(rusqlite::Error::IntegralValueOutOfRange(0, number(id.0)));
    }
    let state = RoomState {
        id,
        name: RoomName::stored(&name),
        epoch,
        epoch_first: seq(row, 3)?.max(Seq(1)),
        head,
        oldest: head.next(),
        changes: seq(row, 6)?.0.min(head.0),
        profile: Arc::new(profiles::read(row, 7)?),
    };
    let deleted = state.head.0 - state.changes;
    Ok(StoredRoom { state, time_ms: seq(row, 5)?.0, oldest: None, deleted, is_sealed: false })
}

/// The room of that name, with its readable state.
fn salvage(connection: &Connection, name: &RoomName) -> rusqlite::Result<Option<StoredRoom>> {
    let bare = connection.prepare_cached(schema::BARE_ROOM)?.query_row([name.as_str()], bare_room).optional()?;
    let Some(mut room) = bare else { return Ok(None) };
    let (rows, trimmed) = (Rows { connection, room: room.state.id }, room.state.head);
    let newest = unless_damaged(rows.newest())?;
    let head = match newest {
        Some(None) => Some(trimmed),
        Some(Some(span)) => match (span.last, rows.load(span.first)?) {
            // The entries are more reliable than their row.
            (_, Loaded::Sound(segment)) => {
                room.state.changes = segment.changes().before + segment.changes().within;
                Some(segment.last())
            }
            (last, Loaded::Damaged { .. }) => {
                room.state.changes = span.changes.before + span.changes.within;
                last
            }
        },
        None => None,
    };
    room.is_sealed = head.is_none();
    room.state.head = match head {
        Some(head) => head,
        None => {
            let claimed = connection.prepare_cached(schema::NEWEST_CLAIM)?.query_row([number(rows.room.0)], |row| {
                Ok(row.get::<_, Option<i64>>(0)?.and_then(|seq| u64::try_from(seq).ok()).map_or(Seq::ZERO, Seq))
            });
            let found = newest.flatten().map_or(Seq::ZERO, |span| span.first);
            rows.readable_end(trimmed)?.max(unless_damaged(claimed)?.unwrap_or(Seq::ZERO)).max(found)
        }
    };
    room.state.head = room.state.head.max(trimmed).min(SEQ_MAX);
    room.state.changes = room.state.changes.min(room.state.head.0);
    if let Some(Some(span)) = newest {
        room.time_ms = room.time_ms.max(span.time_ms);
    }
    room.oldest = oldest_of(&rows, room.state.oldest, room.state.head)?;
    Ok(Some(room))
}

/// The next deletion of retention in a damaged room, from its oldest message on: a segment, with the missing messages
/// before it. `None` if nothing can be found.
pub fn oldest_of(rows: &Rows<'_>, oldest: Seq, head: Seq) -> rusqlite::Result<Option<SegmentEnd>> {
    let Some(span) = rows.oldest(oldest)? else { return Ok(None) };
    let next = rows.first_from(span.first.next())?.unwrap_or(head.next());
    Ok(Some(span.oldest(next)))
}
