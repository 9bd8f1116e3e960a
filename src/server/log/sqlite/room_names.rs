//! Brings the names of stored rooms to normalisation form C, once: earlier versions stored them as they were written, and a
//! client asks for the normalised name, so that such a room could not be reached.

use rusqlite::{Connection, OptionalExtension as _};

use super::schema::{RENAME_ROOM, ROOM_ID, ROOM_NAMES};
use crate::names::{RoomName, composed};

/// How many names are tried for a room whose own is taken.
const ATTEMPTS_MAX: u32 = 100;

/// Renames the rooms whose names are not normalised. If another room has the normalised name, a number is added. What was
/// done is logged, and so is a name that is not valid any more.
pub fn normalise(connection: &Connection) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(ROOM_NAMES)?;
    let rooms = statement.query_map((), |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?;
    // A name that is ASCII is normalised.
    let others = rooms.filter(|room| !room.as_ref().is_ok_and(|(_, name)| name.is_ascii()));
    for (id, name) in others.collect::<Result<Vec<_>, _>>()? {
        let form = composed(&name);
        if let Err(fault) = RoomName::new(&form) {
            log::warn!("the room {name:?} can't be reached any more: {fault}");
            continue;
        }
        if form == name {
            continue;
        }
        match free_name(connection, &form)? {
            Some(free) => {
                connection.execute(RENAME_ROOM, (id, &free))?;
                if free == form {
                    log::info!("the room {free} now has a normalized name");
                } else {
                    log::warn!("two rooms look like {form}: the one that was stored as {name:?} is now {free}");
                }
            }
            None => log::warn!("two rooms look like {form}: the one that is stored as {name:?} can't be reached"),
        }
    }
    Ok(())
}

/// The name, or one made of it, that no room has.
fn free_name(connection: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    let is_free = |name: &str| {
        let taken: Option<i64> = connection.query_row(ROOM_ID, [name], |row| row.get(0)).optional()?;
        Ok::<_, rusqlite::Error>(taken.is_none() && RoomName::new(name).is_ok())
    };
    if is_free(name)? {
        return Ok(Some(name.to_owned()));
    }
    for number in 2..=ATTEMPTS_MAX {
        let numbered = format!("{name}-{number}");
        if is_free(&numbered)? {
            return Ok(Some(numbered));
        }
    }
    Ok(None)
}
