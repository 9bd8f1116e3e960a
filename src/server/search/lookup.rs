//! Finds entries of the index for a query, newest first.

use rusqlite::{Connection, Row};

use super::fault::Fault;
use super::index::{room_term, sender_term};
use super::query::Query;
use super::schema;
use crate::names::{RoomId, Seq};

/// What to find in the index.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    pub query: &'a Query,
    /// Only in these rooms; `None` for all.
    pub rooms: Option<&'a [RoomId]>,
    pub sender: Option<&'a str>,
    pub after_ms: u64,
    /// 0 for no end.
    pub before_ms: u64,
}

/// A candidate from the index. The message may have been changed or deleted since, and its time or sender may not
/// match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Its place in the order of the index.
    pub id: i64,
    pub room: RoomId,
    pub seq: Seq,
}

/// The newest hits before an id, at most `max`.
pub fn find(connection: &Connection, wanted: &Wanted<'_>, before: Option<i64>, max: usize) -> Result<Vec<Hit>, Fault> {
    let Some((first, last)) = range(connection, wanted)? else { return Ok(Vec::new()) };
    let last = before.map_or(last, |before| last.min(before.saturating_sub(1)));
    if last < first {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare_cached(schema::FIND)?;
    let hit = |row: &Row<'_>| {
        let (room, seq) = (row.get::<_, i64>(1)?.unsigned_abs(), row.get::<_, i64>(2)?.unsigned_abs());
        Ok(Hit { id: row.get(0)?, room: RoomId(room), seq: Seq(seq) })
    };
    let hits = statement.query_map((expression(wanted), first, last, max as i64), hit)?;
    Ok(hits.collect::<rusqlite::Result<_>>()?)
}

/// The range of ids that contains all messages of the wanted time; `None` if there are none.
fn range(connection: &Connection, wanted: &Wanted<'_>) -> Result<Option<(i64, i64)>, Fault> {
    let bound = |statement: &str, time_ms: u64| -> Result<Option<i64>, Fault> {
        let time_ms = i64::try_from(time_ms).unwrap_or(i64::MAX);
        Ok(connection.prepare_cached(statement)?.query_row([time_ms], |row| row.get(0))?)
    };
    let first = if wanted.after_ms == 0 { Some(1) } else { bound(schema::FIRST_FROM_TIME, wanted.after_ms)? };
    let last = if wanted.before_ms == 0 { Some(i64::MAX) } else { bound(schema::LAST_BEFORE_TIME, wanted.before_ms)? };
    Ok(first.zip(last))
}

fn expression(wanted: &Wanted<'_>) -> String {
    let mut parts = vec![wanted.query.expression()];
    if let Some(rooms) = wanted.rooms {
        let rooms: Vec<_> = rooms.iter().map(|room| format!("\"{}\"", room_term(*room))).collect();
        parts.push(format!("({})", rooms.join(" OR ")));
    }
    parts.extend(wanted.sender.map(|sender| format!("\"{}\"", sender_term(sender))));
    parts.join(" AND ")
}
