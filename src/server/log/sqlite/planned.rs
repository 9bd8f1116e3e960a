//! Stores the plan of a batch within its transaction.

use rusqlite::{CachedStatement, Connection};

use super::columns::number;
use super::key::key;
use super::{profiles, schema};
use crate::server::log::Segment;
use crate::server::log::batch::Plan;
use crate::server::log::rewriting::Rewritten;
use crate::server::log::segment::Changes;

/// Stores the changes of a plan, except ids and reactions.
pub fn store(connection: &Connection, plan: &Plan) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(schema::INSERT_SEGMENT)?;
    for room in &plan.rooms {
        for segment in &room.segments {
            insert_segment(&mut statement, segment, room.time_ms)?;
        }
        for replaced in &room.replaced {
            replace(connection, replaced)?;
        }
        if let Some(profile) = &room.profile {
            profiles::store(connection, room.room, profile)?;
        }
    }
    Ok(())
}

fn insert_segment(insert: &mut CachedStatement<'_>, segment: &Segment, time_ms: u64) -> rusqlite::Result<()> {
    let (entries, Changes { before, within }) = (segment.frame().as_slice(), segment.changes());
    insert
        .execute((
            key(segment.room(), segment.first()),
            number(segment.last().0),
            number(time_ms),
            number(before),
            number(within),
            crc32fast::hash(entries),
            entries,
        ))
        .map(drop)
}

/// Replaces a stored segment with others.
pub fn replace(connection: &Connection, replaced: &Rewritten) -> rusqlite::Result<()> {
    let mut pieces = replaced.pieces.iter();
    if let Some(first) = pieces.next() {
        let (entries, Changes { before, within }) = (first.frame().as_slice(), first.changes());
        connection.prepare_cached(schema::UPDATE_SEGMENT)?.execute((
            key(first.room(), first.first()),
            number(first.last().0),
            number(before),
            number(within),
            crc32fast::hash(entries),
            entries,
        ))?;
    }
    let mut insert = connection.prepare_cached(schema::INSERT_SEGMENT)?;
    pieces.try_for_each(|piece| insert_segment(&mut insert, piece, piece.time_ms()))
}
