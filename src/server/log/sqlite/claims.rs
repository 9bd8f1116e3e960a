//! The state that a batch of posts needs: the heads of its rooms, and which ids are already stored.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{CachedStatement, Connection, OptionalExtension as _};

use super::columns::{number, seq};
use super::damage::{Damage, REMEDY};
use super::errors::{log_error, text};
use super::key::{ROOM_MAX, SEQ_MAX};
use super::rooms::find_room;
use super::rows::{Place, Rows, unless_damaged};
use super::schema;
use super::{profiles, reactions};
use crate::limits::BATCH_POSTS_MAX;
use crate::names::{Emoji, Epoch, Generation, RoomId, RoomName, Sender, Seq};
use crate::server::log::batch::Plan;
use crate::server::log::command::NewMessage;
use crate::server::log::lookalikes::Lookalikes;
use crate::server::log::stored::{self, Head, Reaction, Stored};
use crate::server::log::{Batch, LogError, Profile, RoomState, check_room_count};

/// The heads of the rooms of a batch that were not known before, or why such a room can't be used.
type FoundRooms = HashMap<RoomName, Result<Option<Head>, LogError>>;

/// The state of a batch's rooms, read before its transaction begins: SQLite can't commit a transaction in which it
/// found damage.
#[derive(Default)]
pub struct Found(FoundRooms);

impl Found {
    pub fn of(
        connection: &Connection,
        batches: &[Batch<'_>],
        heads: &HashMap<RoomName, Head>,
        damage: &Damage,
    ) -> Result<Self, LogError> {
        let mut found = FoundRooms::new();
        let neighbours = batches.iter().flat_map(|batch| batch.posts.chunk_by(|one, next| one.room == next.room));
        for posts in neighbours {
            let name = &posts[0].room;
            if !heads.contains_key(name) && !found.contains_key(name) {
                let head = match find_room(connection, name).map_err(|error| room_error(name, &error)) {
                    Ok(Some(room)) if room.is_sealed => {
                        damage.posts(name.as_str(), SEALED);
                        Err(damaged_room(name, SEALED))
                    }
                    Ok(room) => Ok(room.map(|room| room.head())),
                    Err(error @ LogError::Damaged(_)) => Err(error),
                    // Nothing can be stored in any room.
                    Err(error) => return Err(error),
                };
                found.insert(name.clone(), head);
            }
        }
        Ok(Self(found))
    }
}

/// A batch's view of the log, within the batch's transaction.
pub struct Claims<'a> {
    pub connection: &'a Connection,
    /// The statement that claims an id, prepared at first use: it runs for each post.
    pub claim: Option<CachedStatement<'a>>,
    pub generation: Generation,
    pub last_room: &'a mut RoomId,
    pub lookalikes: &'a mut Lookalikes,
    pub heads: &'a HashMap<RoomName, Head>,
    pub found: Found,
    /// The rooms that were not known before.
    pub opened: HashMap<RoomName, Head>,
    /// The heads that earlier batches of the transaction have moved.
    pub moved: HashMap<RoomName, Head>,
    pub room_count: usize,
    pub rooms_max: usize,
    pub created: Vec<RoomState>,
}

impl Stored for Claims<'_> {
    fn head(&mut self, name: &RoomName) -> Result<Head, LogError> {
        let known = self.moved.get(name).or_else(|| self.opened.get(name)).or_else(|| self.heads.get(name));
        if let Some(head) = known {
            return with_space(name, *head);
        }
        let head = match self.found.0.remove(name).unwrap_or(Ok(None))? {
            Some(head) => with_space(name, head)?,
            None => {
                check_room_count(name, self.room_count + self.created.len(), self.rooms_max)?;
                self.create(name)?
            }
        };
        self.opened.insert(name.clone(), head);
        Ok(head)
    }

    fn known_head(&mut self, name: &RoomName) -> Result<Option<Head>, LogError> {
        let is_new = |claims: &Self| {
            !claims.moved.contains_key(name) && !claims.opened.contains_key(name) && !claims.heads.contains_key(name)
        };
        match self.found.0.get(name) {
            // The room does not exist yet. Only a message creates it.
            None | Some(Ok(None)) if is_new(self) => Ok(None),
            _ => self.head(name).map(Some),
        }
    }

    fn claim(
        &mut self,
        room: RoomId,
        message: &NewMessage,
        sender: &Sender,
        seq_wanted: Seq,
    ) -> Result<Option<Seq>, LogError> {
        let (room, id, sender) = (number(room.0), message.id.as_bytes(), sender.name.as_str());
        let connection = self.connection;
        let mut claim = || {
            let insert = match &mut self.claim {
                Some(insert) => insert,
                none => none.insert(connection.prepare_cached(schema::CLAIM_ID)?),
            };
            if insert.execute((room, id, sender, number(seq_wanted.0)))? == 1 {
                return Ok(None);
            }
            let mut claimed = connection.prepare_cached(schema::CLAIMED)?;
            claimed.query_row((room, id, sender), |row| seq(row, 0)).map(Some)
        };
        claim().map_err(|error| log_error(&error))
    }

    fn segment(&mut self, room: RoomId, seq: Seq) -> Result<stored::Found, LogError> {
        find_segment(self.connection, room, seq)
    }

    fn has_reacted(&mut self, reaction: &Reaction<'_>) -> Result<bool, LogError> {
        reactions::has(self.connection, reaction).map_err(|error| log_error(&error))
    }

    fn react(&mut self, reaction: &Reaction<'_>, seq: Seq) -> Result<(), LogError> {
        reactions::insert(self.connection, reaction, seq).map_err(|error| log_error(&error))
    }

    fn unreact(&mut self, reaction: &Reaction<'_>) -> Result<(), LogError> {
        reactions::delete(self.connection, reaction).map_err(|error| log_error(&error))
    }

    fn reactor(&mut self, room: RoomId, message: Seq, emoji: &Emoji, skip: usize) -> Result<Option<Sender>, LogError> {
        reactions::nth(self.connection, room, message, emoji, skip).map_err(|error| log_error(&error))
    }

    fn forget_reactions(&mut self, room: RoomId, message: Seq) -> Result<(), LogError> {
        reactions::delete_all(self.connection, room, message, message).map_err(|error| log_error(&error))
    }

    fn profile(&mut self, room: RoomId) -> Result<Profile, LogError> {
        profiles::load(self.connection, room).map_err(|error| log_error(&error))
    }
}

/// The stored segment with this event.
fn find_segment(connection: &Connection, room: RoomId, seq: Seq) -> Result<stored::Found, LogError> {
    match (Rows { connection, room }.place(seq)).map_err(|error| log_error(&error))? {
        Place::Segment(segment) => Ok(stored::Found::Segment(Arc::new(segment))),
        Place::Trimmed { .. } => Ok(stored::Found::Gone),
        Place::Damaged { .. } | Place::Nothing => {
            Ok(stored::Found::Damaged(format!("event {seq} of the room can't be read: {REMEDY}")))
        }
    }
}

impl Claims<'_> {
    /// Records the heads that a batch has moved, for the next batch of the transaction.
    pub fn moved(&mut self, plan: &Plan) {
        self.moved.extend(plan.rooms.iter().map(|room| (room.name.clone(), room.head)));
    }

    /// The rooms that were not known before, and those of them that were created.
    pub fn done(self) -> (HashMap<RoomName, Head>, Vec<RoomState>) {
        (self.opened, self.created)
    }

    /// Creates a room, with the next number.
    fn create(&mut self, name: &RoomName) -> Result<Head, LogError> {
        let room = next_room(self.last_room)?;
        let epoch = Epoch::first(self.generation, room);
        let connection = self.connection;
        self.lookalikes.create(name, room, |other| stored_name(connection, other))?;
        let insert = || {
            let mut insert = self.connection.prepare_cached(schema::INSERT_ROOM)?;
            insert.execute((number(room.0), name.as_str(), epoch.get() as i64))
        };
        insert().map_err(|error| log_error(&error))?;
        self.created.push(RoomState::empty(room, name.clone(), epoch));
        Ok(Head { room, epoch, seq: Seq::ZERO, time_ms: 0, changes: 0 })
    }
}

/// The name of a stored room. An unreadable row does not cause other rooms to be refused.
fn stored_name(connection: &Connection, room: RoomId) -> Result<Option<RoomName>, LogError> {
    let name = connection
        .prepare_cached(schema::ROOM_NAME)
        .and_then(|mut statement| statement.query_row([number(room.0)], |row| row.get::<_, String>(0)).optional());
    let name = unless_damaged(name).map_err(|error| log_error(&error))?;
    Ok(name.flatten().map(|name| RoomName::stored(&name)))
}

/// A room's head, unless a batch might exceed the maximum number of its messages.
fn with_space(name: &RoomName, head: Head) -> Result<Head, LogError> {
    if head.seq.0 + BATCH_POSTS_MAX as u64 <= SEQ_MAX.0 {
        return Ok(head);
    }
    Err(LogError::Damaged(format!(
        "room {name} is full: it has had {} events, the maximum; use another room",
        head.seq
    )))
}

/// The number of the next room.
fn next_room(last: &mut RoomId) -> Result<RoomId, LogError> {
    if *last >= ROOM_MAX {
        return Err(LogError::TooManyRooms(ROOM_MAX.0 as usize));
    }
    last.0 += 1;
    Ok(*last)
}

/// Why nothing can be appended to a room.
pub const SEALED: &str = "its newest messages and their number can't be read";

/// An error of the database that concerns one room.
pub fn room_error(name: &RoomName, error: &rusqlite::Error) -> LogError {
    match log_error(error) {
        LogError::Damaged(_) => damaged_room(name, &text(error)),
        error => error,
    }
}

pub fn damaged_room(name: &RoomName, fault: &str) -> LogError {
    LogError::Damaged(format!("room {name} is damaged ({fault}): the server's operator can restore a backup"))
}
