//! Deletes a room's oldest segment for retention. Damaged or missing parts are deleted or skipped.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Row};

use super::columns::{number, seq};
use super::damage::range;
use super::expiring::Expiring;
use super::key::{self, key};
use super::rooms::{name_of, oldest_of};
use super::rows::{Loaded, Place, Rows, unless_damaged};
use super::schema;
use super::{planned, profiles, reactions};
use crate::names::{RoomId, Seq};
use crate::server::log::fold;
use crate::server::log::retention::{DueSegment, RoomEnd, SegmentEnd};
use crate::server::log::rewriting::Rewriting;
use crate::server::log::{Changed, Segment};
use crate::wire::change;

/// The segment that was deleted from a room, and the room's oldest segment now.
pub struct Trimmed {
    /// How many events it had, and how many of them were messages.
    pub events: u64,
    pub messages: u64,
    pub bytes: usize,
    pub oldest: Option<SegmentEnd>,
    /// What the deletion changed in the room.
    pub changed: Changed,
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
    /// How many events of the room up to its end are no messages, as far as is known.
    changes: u64,
    /// The segment, if it can be read after all.
    segment: Option<Segment>,
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

/// Reads a segment that is due, given its end and its room's. Nothing after damage can be found.
pub fn find_due(
    connection: &Connection,
    room: RoomId,
    oldest: SegmentEnd,
    end: RoomEnd,
) -> rusqlite::Result<DueSegment> {
    let span = unless_damaged((Rows { connection, room }).span_at(oldest.last))?.flatten();
    let (first, bytes) = span.map_or((oldest.last, 0), |span| (span.first, span.bytes));
    let next = unless_damaged(after(connection, room, first, oldest.last, end.head))?.flatten();
    Ok(DueSegment { events: oldest.last.next().0.saturating_sub(first.0), bytes, next })
}

/// The segment after one. Fails if it does not begin where that one ends: it is damaged, or messages are missing.
fn after(
    connection: &Connection,
    room: RoomId,
    first: Seq,
    last: Seq,
    head: Seq,
) -> rusqlite::Result<Option<SegmentEnd>> {
    let mut following = connection.prepare_cached(schema::TWO_SEGMENTS)?;
    let columns = |row: &Row<'_>| Ok((seq(row, 0)?, seq(row, 1)?.0, seq(row, 2)?.0));
    let following = following.query_map(key::from(room, first.next()), columns)?;
    let following = following.collect::<rusqlite::Result<Vec<_>>>()?;
    let begin = |at: usize| following.get(at).map_or(head.next(), |(first, ..)| *first);
    if last.next() != begin(0) {
        return Err(rusqlite::Error::IntegralValueOutOfRange(2, number(last.0)));
    }
    Ok(following.first().map(|(_, time_ms, changes)| {
        let last = Seq(begin(1).0 - 1);
        SegmentEnd { last, time_ms: *time_ms, messages: last.0.saturating_sub(*changes) }
    }))
}

/// Deletes the oldest segment of a room, if it begins below this seq, within a transaction; the ids of its messages are
/// kept until the given time. Fails if anything is damaged.
pub fn delete_oldest(
    connection: &Connection,
    room: RoomId,
    end: RoomEnd,
    below: Seq,
    expiring: &mut Expiring,
    ids_due_ms: u64,
) -> rusqlite::Result<Option<Trimmed>> {
    let RoomEnd { head, messages: messages_ever } = end;
    let id = number(room.0);
    let mut oldest = connection.prepare_cached(schema::OLDEST_SEGMENT)?;
    type Found = (Seq, Seq, Seq, u64, u64, Vec<u8>, Option<u32>);
    let columns = |row: &Row<'_>| {
        Ok((seq(row, 0)?, seq(row, 1)?, seq(row, 2)?, seq(row, 3)?.0, seq(row, 4)?.0, row.get(5)?, row.get(6)?))
    };
    let found: Option<Found> = oldest.query_row([id], columns).optional()?;
    let Some((trimmed, first, last, time_ms, changes_before, entries, checksum)) =
        found.filter(|(_, first, ..)| *first < below)
    else {
        return Ok(None);
    };
    let is_sound = checksum.is_none_or(|checksum| checksum == crc32fast::hash(&entries));
    let segment = Segment::read(room, first, changes_before, entries).ok();
    let segment =
        segment.filter(|segment| first == trimmed.next() && segment.last() == last && last <= head && is_sound);
    let Some(segment) = segment else {
        return Err(rusqlite::Error::IntegralValueOutOfRange(1, number(first.0)));
    };
    let entries = segment.frame().as_slice();
    let changes = segment.changes().before + segment.changes().within;
    // First, so that the next statements can use its space.
    connection.prepare_cached(schema::DELETE_SEGMENT)?.execute([key(room, first)])?;
    expiring.insert(connection, id, first, entries, ids_due_ms)?;
    connection.prepare_cached(schema::SET_TRIMMED)?.execute((id, number(last.0), number(time_ms), number(changes)))?;
    let has_changes = messages_ever < head.0;
    let mut changed = if has_changes { after_deletion(connection, &segment)? } else { Changed::of(room) };
    changed.oldest = Some(last.next());
    let next = after(connection, room, first, last, head)?;
    let (events, messages) = (last.0 - trimmed.0, segment.messages());
    Ok(Some(Trimmed { events, messages, bytes: entries.len(), oldest: next, changed }))
}

/// Removes what the rest of a room says of a segment that was deleted: reactions, pins, and the texts of edits. A damaged
/// part stays.
fn after_deletion(connection: &Connection, segment: &Segment) -> rusqlite::Result<Changed> {
    let room = segment.room();
    reactions::delete_all(connection, room, segment.first(), segment.last())?;
    let mut rewriting = Rewriting::default();
    for (edit, message) in fold::later_edits(segment) {
        if rewriting.find(edit).is_none() {
            let Place::Segment(found) = (Rows { connection, room }).place(edit)? else { continue };
            rewriting.add(Arc::new(found), true);
        }
        rewriting.replace(edit, &change::edited_before(message));
    }
    let mut replaced = Vec::new();
    for rewritten in rewriting.done() {
        planned::replace(connection, &rewritten)?;
        replaced.extend(rewritten.pieces);
    }
    let mut profile = profiles::load(connection, room)?;
    let profile = profile.unpin(|pinned| pinned <= segment.last()).then(|| Arc::new(profile));
    if let Some(profile) = &profile {
        profiles::store(connection, room, profile)?;
    }
    Ok(Changed { replaced, profile, ..Changed::of(room) })
}

/// Finds the oldest segment of a damaged room, with the missing messages before it. `None` if nothing can be found.
pub fn find_damaged(rows: &Rows<'_>, head: Seq) -> rusqlite::Result<Option<DamagedOldest>> {
    let trimmed = rows.trimmed()?;
    let Some(span) = rows.oldest(trimmed.next())? else { return Ok(None) };
    let next = rows.first_from(span.first.next())?.unwrap_or(head.next());
    let (last, segment) = match rows.load(span.first)? {
        Loaded::Sound(segment) => (segment.last(), Some(segment)),
        Loaded::Damaged { .. } => (span.oldest(next).last, None),
    };
    let next = oldest_of(rows, last.next(), head)?;
    let known = segment.as_ref().map_or(span.changes, Segment::changes);
    Ok(Some(DamagedOldest {
        room: rows.room,
        name: name_of(rows.connection, rows.room),
        trimmed,
        first: span.first,
        last,
        time_ms: span.time_ms,
        changes: (known.before + known.within).min(last.0),
        segment,
        next,
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
    ) -> rusqlite::Result<Changed> {
        let id = number(self.room.0);
        let mut changed = Changed::of(self.room);
        if way == Damaged::Delete {
            // First, so that the next statements can use its space.
            connection.prepare_cached(schema::DELETE_SEGMENT)?.execute([key(self.room, self.first)])?;
        }
        match &self.segment {
            Some(segment) => {
                expiring.insert(connection, id, self.first, segment.frame().as_slice(), ids_due_ms)?;
                changed = after_deletion(connection, segment)?;
            }
            None if way == Damaged::Delete => {
                let (name, range) = (&self.name, range(self.trimmed.next(), self.last));
                log::warn!("room {name}: {range} are damaged; retention deletes them");
            }
            None => {}
        }
        let row = (id, number(self.last.0), number(self.time_ms), number(self.changes));
        connection.prepare_cached(schema::SET_TRIMMED)?.execute(row)?;
        changed.oldest = Some(self.last.next());
        Ok(changed)
    }
}
