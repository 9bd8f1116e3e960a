//! Retention in the database: deletes the segments and the ids that are due, around damage.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, OptionalExtension as _};

use super::columns::{number, seq};
use super::damage::{Damage, REMEDY};
use super::errors::log_error;
use super::expiring::Expiring;
use super::key;
use super::rooms::{StoredRoom, all_rooms, find_room, name_of};
use super::rows::{Rows, unless_damaged};
use super::schema;
use super::transactions::Transactions;
use super::trimming::{self, Damaged, Trimmed};
use crate::limits::{CLOCK_STEP_MAX, IDS_KEPT_MAX, TRIM_MESSAGES_MAX, TRIM_SHARE};
use crate::names::{RoomId, RoomName, Seq};
use crate::server::log::clock::millis;
use crate::server::log::retention::{RoomEnd, Schedule, SegmentEnd};
use crate::server::log::rewriting::Rewritten;
use crate::server::log::{Changed, Deleted, Due, LogError, Retention, Trim};

pub struct Trimmer {
    schedule: Schedule,
    /// The maximum size of the log, in bytes.
    bytes_max: Option<u64>,
    /// How many bytes were appended since the size was last compared with it.
    appended_bytes: u64,
    /// The rooms that retention skips, because damage prevents all deletions in them.
    untrimmable: HashSet<RoomId>,
    /// How long the ids of trimmed messages are kept.
    ids_kept: Duration,
    /// The maximum number of kept ids of trimmed messages.
    pub ids_max: u64,
    expiring: Expiring,
    deleted: Deleted,
    changed: BTreeMap<RoomId, Changed>,
    /// How often it has trimmed.
    pub trims: Arc<AtomicU64>,
    damage: Arc<Damage>,
}

/// What a transaction has deleted.
#[derive(Default)]
struct Step {
    segments: usize,
    events: u64,
    messages: u64,
    bytes: usize,
    changed: Vec<Changed>,
    /// The rooms' oldest segments now, and their ends.
    oldest: Vec<(RoomId, Option<SegmentEnd>, RoomEnd)>,
}

impl Step {
    fn add(&mut self, room: RoomId, end: RoomEnd, trimmed: Trimmed) {
        self.segments += 1;
        self.events += trimmed.events;
        self.messages += trimmed.messages;
        self.bytes += trimmed.bytes;
        self.changed.push(trimmed.changed);
        self.oldest.pop_if(|(last, ..)| *last == room);
        self.oldest.push((room, trimmed.oldest, end));
    }
}

impl Trimmer {
    pub fn new(retention: Retention, damage: Arc<Damage>) -> Self {
        Self {
            schedule: Schedule::new(retention),
            bytes_max: retention.bytes,
            appended_bytes: 0,
            untrimmable: HashSet::new(),
            ids_kept: retention.ids,
            ids_max: IDS_KEPT_MAX,
            expiring: Expiring::default(),
            deleted: Deleted::default(),
            changed: BTreeMap::new(),
            trims: Arc::default(),
            damage,
        }
    }

    /// Reads the rooms' oldest segments and the ids that expire.
    pub fn load(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        // Ids that can't be found are kept.
        self.expiring = unless_damaged(Expiring::load(connection))?.unwrap_or_default();
        if !self.schedule.keeps_all() {
            for (_, room) in all_rooms(connection)? {
                // A room whose own row can't be read keeps its messages.
                if let Some(room) = room {
                    self.schedule.set(room.state.id, room.oldest, room.end());
                }
            }
        }
        Ok(())
    }

    /// Schedules the deletion of a segment that was appended.
    pub fn appended(&mut self, room: RoomId, end: SegmentEnd, bytes: usize) {
        self.appended_bytes += bytes as u64;
        if !self.untrimmable.contains(&room) {
            self.schedule.appended(room, end);
        }
    }

    /// Adjusts the schedule to segments that took the place of one.
    pub fn replaced(&mut self, room: RoomId, replaced: &Rewritten) {
        self.appended_bytes += replaced.pieces.iter().map(|piece| piece.frame().len() as u64).sum::<u64>();
        let ends: Vec<_> = replaced.pieces.iter().map(|piece| piece.end()).collect();
        self.schedule.replaced(room, &ends);
    }

    /// What trimming has changed in the rooms since the last call.
    pub fn changed(&mut self) -> impl Iterator<Item = Changed> + use<> {
        std::mem::take(&mut self.changed).into_values()
    }

    fn add_changed(&mut self, changed: Changed) {
        let room = changed.room;
        self.changed.entry(room).or_insert_with(|| Changed::of(room)).add(changed);
    }

    /// See [`Appender::is_trim_due`](crate::server::log::Appender::is_trim_due).
    pub fn is_due(&self) -> bool {
        self.bytes_max.is_some_and(|bytes_max| self.appended_bytes > bytes_max / TRIM_SHARE)
    }

    /// The messages that were deleted since the last call.
    pub fn deleted(&mut self) -> Deleted {
        std::mem::take(&mut self.deleted)
    }

    /// What is due now.
    pub fn due(&mut self, transactions: &Transactions, now: SystemTime) -> Result<Due, LogError> {
        let now_ms = millis(now);
        if let Some(bytes_max) = self.bytes_max {
            self.appended_bytes = 0;
            self.schedule.set_over_bytes(transactions.used_bytes()? > bytes_max);
        }
        let connection = &transactions.connection;
        let find = |room, oldest, end| trimming::find_due(connection, room, oldest, end);
        let rooms = self.schedule.find_due(now_ms, find).map_err(|error| log_error(&error))?;
        let forget = match self.expiring.due(connection, now_ms, self.ids_max, TRIM_MESSAGES_MAX) {
            Err(error) => match log_error(&error) {
                LogError::Damaged(fault) => {
                    self.keep_ids(&fault);
                    None
                }
                error => return Err(error),
            },
            Ok(forget) => forget,
        };
        let ids_until_ms = millis(now.checked_add(self.ids_kept).unwrap_or(now));
        let next_ms = self.schedule.next_ms().into_iter().chain(self.expiring.due_ms).min();
        Ok(Due::of(Trim { rooms, ids_until_ms, forget }, next_ms))
    }

    /// Deletes what a trim says, at most this many segments in a transaction. Damaged segments are deleted or skipped.
    pub fn apply(&mut self, transactions: &mut Transactions, trim: &Trim, segments_max: usize) -> Result<(), LogError> {
        while !self.apply_step(transactions, trim, segments_max)? {}
        Ok(())
    }

    /// One transaction. Returns whether the trim is done.
    fn apply_step(
        &mut self,
        transactions: &mut Transactions,
        trim: &Trim,
        segments_max: usize,
    ) -> Result<bool, LogError> {
        let (mut step, mut trimming, mut untouched) = (Step::default(), None, Vec::new());
        let expiring_before = self.expiring;
        let fault = |error: rusqlite::Error| log_error(&error);
        // Before the transaction: an error within it concerns the room that is being trimmed.
        let mut rooms = Vec::with_capacity(trim.rooms.len());
        for &(room, below) in &trim.rooms {
            let end = self.end_of(&transactions.connection, room).map_err(fault)?;
            rooms.extend(end.map(|end| (room, below, end)));
        }
        let outcome = transactions.transact(0, |connection| {
            for (room, below, end) in rooms {
                trimming = Some((room, end));
                let before = step.segments;
                while let Some(trimmed) =
                    trimming::delete_oldest(connection, room, end, below, &mut self.expiring, trim.ids_until_ms)
                        .map_err(fault)?
                {
                    step.add(room, end, trimmed);
                    if step.segments == segments_max {
                        return Ok(false);
                    }
                }
                if step.segments == before {
                    untouched.push(room);
                }
            }
            trimming = None;
            if let Some(last) = trim.forget {
                while let Some(count) = self.expiring.forget(connection, last).map_err(fault)? {
                    step.events += count;
                }
            }
            Ok(true)
        });
        let is_done = match outcome {
            Ok(is_done) => is_done,
            Err(error) => {
                self.expiring = expiring_before;
                if matches!(error, LogError::Damaged(_)) && trimming.is_some() && step.segments > 0 {
                    // First the segments before the damage.
                    return self.apply_step(transactions, trim, step.segments).map(|_| false);
                }
                // Without its damaged ids, a trim is done.
                let is_done = trimming.is_none();
                return self.trim_around_damage(transactions, trimming, trim.ids_until_ms, error).map(|()| is_done);
            }
        };
        for room in untouched {
            self.reload(&transactions.connection, room).map_err(fault)?;
        }
        if step.events == 0 {
            return Ok(is_done);
        }
        for (room, oldest, end) in step.oldest {
            self.schedule.set(room, oldest, end);
            self.deleted.rooms.insert(room);
        }
        self.deleted.messages += step.messages;
        step.changed.into_iter().for_each(|changed| self.add_changed(changed));
        self.trims.fetch_add(1, Ordering::Release);
        transactions.keeper.deleted();
        transactions.count_written(step.bytes, step.events as usize);
        Ok(is_done)
    }

    /// Corrects the schedule of a room that has nothing to trim, in case it is said to be due.
    fn reload(&mut self, connection: &Connection, room: RoomId) -> rusqlite::Result<()> {
        let Some(end) = self.schedule.end(room) else { return Ok(()) };
        match stored(connection, room)? {
            Some(stored) => self.schedule.set(room, stored.oldest, stored.end()),
            // It can't be read, so it keeps its messages.
            None => self.schedule.set(room, None, end),
        }
        Ok(())
    }

    /// The end of a room, unless retention skips it.
    fn end_of(&self, connection: &Connection, room: RoomId) -> rusqlite::Result<Option<RoomEnd>> {
        if self.untrimmable.contains(&room) {
            return Ok(None);
        }
        // A log that keeps all messages has no schedule.
        match self.schedule.end(room) {
            None => Ok(stored(connection, room)?.map(|room| room.end())),
            end => Ok(end),
        }
    }

    /// Keeps the ids of deleted messages, because their due times are damaged.
    fn keep_ids(&mut self, fault: &str) {
        log::error!("ids of deleted messages can't be forgotten, and are kept: {fault}; {REMEDY}");
        self.expiring = Expiring::default();
    }

    /// Continues retention after a step failed because of damage: damaged segments are deleted or skipped. Other errors
    /// are returned.
    fn trim_around_damage(
        &mut self,
        transactions: &mut Transactions,
        room: Option<(RoomId, RoomEnd)>,
        ids_due_ms: u64,
        error: LogError,
    ) -> Result<(), LogError> {
        let LogError::Damaged(fault) = error else { return Err(error) };
        let Some((room, end)) = room else {
            self.keep_ids(&fault);
            return Ok(());
        };
        let name = name_of(&transactions.connection, room);
        let mut trimmed = self.trim_damaged(transactions, room, end.head, ids_due_ms, Damaged::Delete);
        if matches!(trimmed, Err(LogError::Damaged(_))) {
            self.damage.retention(&name, &fault);
            trimmed = self.trim_damaged(transactions, room, end.head, ids_due_ms, Damaged::PassOver);
        }
        match trimmed {
            Ok((messages, Some(oldest))) if messages > 0 => {
                self.schedule.set(room, Some(oldest), end);
                self.deleted.messages += messages;
                self.deleted.rooms.insert(room);
                self.trims.fetch_add(1, Ordering::Release);
                transactions.keeper.deleted();
            }
            Ok(_) | Err(LogError::Damaged(_)) => {
                self.damage.retention(&name, &fault);
                self.untrimmable.insert(room);
                self.schedule.set(room, None, end);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn trim_damaged(
        &mut self,
        transactions: &mut Transactions,
        room: RoomId,
        head: Seq,
        ids_due_ms: u64,
        way: Damaged,
    ) -> Result<(u64, Option<SegmentEnd>), LogError> {
        let fault = |error: rusqlite::Error| log_error(&error);
        // Checked before the transaction: SQLite can't commit a transaction in which it found damage.
        let Some(found) =
            trimming::find_damaged(&Rows { connection: &transactions.connection, room }, head).map_err(fault)?
        else {
            return Ok((0, None));
        };
        let expiring_before = self.expiring;
        let deleted = transactions
            .transact(0, |connection| found.delete(connection, &mut self.expiring, ids_due_ms, way).map_err(fault));
        if deleted.is_err() {
            self.expiring = expiring_before;
        }
        deleted.map(|changed| {
            self.add_changed(changed);
            (found.messages(), found.next)
        })
    }

    /// See [`Appender::date_back`](crate::server::log::Appender::date_back).
    pub fn date_back(&mut self, connection: &Connection, now: SystemTime) -> Result<usize, LogError> {
        let now_ms = millis(now);
        let latest_ms = now_ms.saturating_add(CLOCK_STEP_MAX.as_millis() as u64);
        let mut rooms = 0;
        while let Some(room) = self.schedule.dated_after(latest_ms) {
            let next = || {
                let mut next = connection.prepare_cached(schema::TIME_NOT_AFTER)?;
                let (begin, end) = key::from(room, Seq::ZERO);
                next.query_row((begin, end, number(latest_ms)), |row| seq(row, 0)).optional()
            };
            let next = unless_damaged(next()).map_err(|error| log_error(&error))?.flatten();
            let next_ms = next.map_or(now_ms, |time| time.0);
            self.schedule.count_as(room, next_ms.min(now_ms));
            rooms += 1;
        }
        Ok(rooms)
    }
}

/// A room as stored, unless its own row is damaged.
fn stored(connection: &Connection, room: RoomId) -> rusqlite::Result<Option<StoredRoom>> {
    let found = find_room(connection, &RoomName::stored(&name_of(connection, room)));
    Ok(unless_damaged(found)?.flatten())
}
