//! Reactions to messages, as stored in the database. The entry of a message has the counts and the first names.

use rusqlite::{Connection, OptionalExtension as _};

use super::columns::{number, seq};
use super::schema;
use crate::names::{Emoji, RoomId, Sender, Seq, UserName};
use crate::server::log::stored::Reaction;

type Key<'a> = (i64, i64, &'a str, &'a str, bool);

fn key<'a>(Reaction { room, message, emoji, by }: &Reaction<'a>) -> Key<'a> {
    (number(room.0), number(message.0), emoji.as_str(), by.name.as_str(), by.authenticated)
}

pub fn has(connection: &Connection, reaction: &Reaction<'_>) -> rusqlite::Result<bool> {
    connection.prepare_cached(schema::HAS_REACTED)?.exists(key(reaction))
}

/// Records a reaction with its event.
pub fn insert(connection: &Connection, reaction: &Reaction<'_>, event: Seq) -> rusqlite::Result<()> {
    let (room, message, emoji, user, authenticated) = key(reaction);
    let row = (room, message, emoji, user, authenticated, number(event.0));
    connection.prepare_cached(schema::INSERT_REACTION)?.execute(row).map(drop)
}

pub fn delete(connection: &Connection, reaction: &Reaction<'_>) -> rusqlite::Result<()> {
    connection.prepare_cached(schema::DELETE_REACTION)?.execute(key(reaction)).map(drop)
}

/// Deletes the reactions to the messages in a range of seqs.
pub fn delete_all(connection: &Connection, room: RoomId, first: Seq, last: Seq) -> rusqlite::Result<()> {
    let range = (number(room.0), number(first.0), number(last.0));
    connection.prepare_cached(schema::DELETE_REACTIONS)?.execute(range).map(drop)
}

/// The next user who reacted after the first `skip`.
pub fn nth(
    connection: &Connection,
    room: RoomId,
    message: Seq,
    emoji: &Emoji,
    skip: usize,
) -> rusqlite::Result<Option<Sender>> {
    let place = (number(room.0), number(message.0), emoji.as_str(), 0, 1, number(skip as u64));
    let found = connection.prepare_cached(schema::REACTORS)?.query_row(place, |row| Ok((row.get(1)?, row.get(2)?)));
    let found: Option<(String, bool)> = found.optional()?;
    Ok(found.and_then(|(name, authenticated)| sender(name, authenticated)))
}

/// The users who reacted after an event, at most `max`, with the events of their reactions.
pub fn after(
    connection: &Connection,
    room: RoomId,
    message: Seq,
    emoji: &Emoji,
    after: Seq,
    max: usize,
) -> rusqlite::Result<Vec<(Seq, Sender)>> {
    let mut statement = connection.prepare_cached(schema::REACTORS)?;
    let place = (number(room.0), number(message.0), emoji.as_str(), number(after.0), number(max as u64), 0);
    let rows = statement.query_map(place, |row| Ok((seq(row, 0)?, sender(row.get(1)?, row.get(2)?))))?;
    let named = |row: rusqlite::Result<(Seq, Option<Sender>)>| row.map(|(seq, by)| by.map(|by| (seq, by))).transpose();
    rows.filter_map(named).collect()
}

/// Names were checked when they were stored.
fn sender(name: String, authenticated: bool) -> Option<Sender> {
    UserName::new(name).ok().map(|name| Sender { name, authenticated })
}
