//! The rooms, as the appender knows them: it stores posts in them without a look at the database for each batch.

use std::collections::HashMap;

use rusqlite::Connection;

use super::claims::{Claims, Found};
use super::columns::seq;
use super::errors::log_error;
use super::planned;
use super::rows::unless_damaged;
use super::schema;
use crate::names::{Generation, RoomId, RoomName};
use crate::server::log::batch::{self, Plan};
use crate::server::log::lookalikes::Lookalikes;
use crate::server::log::stored::Head;
use crate::server::log::{Batch, LogError, RoomState};

/// The rooms, as the appender knows them.
pub struct KnownRooms {
    generation: Generation,
    /// The heads of the rooms that were appended to.
    pub heads: HashMap<RoomName, Head>,
    pub count: usize,
    /// How many messages they had when the log was opened.
    pub messages: u64,
    /// How many there may be.
    pub max: usize,
    /// The greatest number that a room ever had.
    pub last: RoomId,
    lookalikes: Lookalikes,
}

/// The result of storing posts.
pub struct Stored {
    /// One for each batch.
    pub plans: Vec<Plan>,
    /// The rooms that were not known before, and those of them that were created.
    pub opened: HashMap<RoomName, Head>,
    pub created: Vec<RoomState>,
}

impl KnownRooms {
    pub fn load(connection: &Connection, messages: u64) -> rusqlite::Result<Self> {
        let count = unless_damaged(connection.query_row(schema::COUNT_ROOMS, (), |row| row.get::<_, i64>(0)))?;
        let count = usize::try_from(count.unwrap_or(0)).unwrap_or(usize::MAX);
        let last = RoomId(connection.query_row(schema::LAST_ROOM, (), |row| seq(row, 0))?.0);
        let generation = connection.query_row(schema::GENERATION, (), |row| row.get::<_, i64>(0))?;
        let generation = Generation(generation as u64);
        let max = connection.query_row(schema::ROOMS_MAX, (), |row| row.get::<_, i64>(0))?;
        let max = usize::try_from(max).unwrap_or(0);
        let lookalikes = load_lookalikes(connection)?;
        Ok(Self { generation, heads: HashMap::new(), count, messages, max, last, lookalikes })
    }

    /// Stores posts, within a transaction.
    pub fn store(&mut self, connection: &Connection, batches: &[Batch<'_>], found: Found) -> Result<Stored, LogError> {
        let mut claims = Claims {
            connection,
            claim: None,
            generation: self.generation,
            last_room: &mut self.last,
            lookalikes: &mut self.lookalikes,
            heads: &self.heads,
            found,
            opened: HashMap::new(),
            moved: HashMap::new(),
            room_count: self.count,
            rooms_max: self.max,
            created: Vec::new(),
        };
        let mut plans = Vec::with_capacity(batches.len());
        for (number, Batch { posts, now }) in batches.iter().enumerate() {
            let plan = batch::plan(posts, *now, &mut claims)?;
            planned::store(connection, &plan).map_err(|error| log_error(&error))?;
            if number + 1 < batches.len() {
                claims.moved(&plan);
            }
            plans.push(plan);
        }
        let (opened, created) = claims.done();
        Ok(Stored { plans, opened, created })
    }
}

fn load_lookalikes(connection: &Connection) -> rusqlite::Result<Lookalikes> {
    let mut lookalikes = Lookalikes::default();
    let mut statement = connection.prepare(schema::ROOM_NAMES)?;
    let mut rooms = statement.query(())?;
    while let Some(room) = rooms.next()? {
        let name: String = room.get(1)?;
        lookalikes.load(&RoomName::stored(&name), RoomId(seq(room, 0)?.0));
    }
    Ok(lookalikes)
}
