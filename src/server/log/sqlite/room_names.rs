//! Normalizes the names of stored rooms (form C), once: earlier versions stored them unchanged, and a client requests
//! the normalized name, so that such a room could not be reached.

use rusqlite::{Connection, OptionalExtension as _};

use super::schema::{RENAME_ROOM, ROOM_ID, ROOM_NAMES};
use crate::limits::ROOM_NAME_ATTEMPTS_MAX;
use crate::names::{RoomName, composed};

/// Renames the rooms whose names are not normalized. If another room has the normalized name, a number is added.
/// Renames are logged, and so is a name that is no longer valid.
pub fn normalise(connection: &Connection) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(ROOM_NAMES)?;
    let rooms = statement.query_map((), |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?;
    // An ASCII name is normalized.
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

/// The name, or one derived from it, that no room has.
fn free_name(connection: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    let is_free = |name: &str| {
        let taken: Option<i64> = connection.query_row(ROOM_ID, [name], |row| row.get(0)).optional()?;
        Ok::<_, rusqlite::Error>(taken.is_none() && RoomName::new(name).is_ok())
    };
    if is_free(name)? {
        return Ok(Some(name.to_owned()));
    }
    for number in 2..=ROOM_NAME_ATTEMPTS_MAX {
        let numbered = format!("{name}-{number}");
        if is_free(&numbered)? {
            return Ok(Some(numbered));
        }
    }
    Ok(None)
}
