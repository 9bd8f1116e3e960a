//! Retention in the database: deletes the segments and the ids that are due, around damage.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension as _};

use super::columns::{number, seq};
use super::damage::{Damage, REMEDY};
use super::errors::log_error;
use super::expiring::Expiring;
use super::key;
use super::rooms::{all_rooms, name_of};
use super::rows::{Rows, unless_damaged};
use super::schema;
use super::transactions::Transactions;
use super::trimming::{self, Damaged};
use crate::limits::{CLOCK_STEP_MAX, IDS_KEPT_MAX, TRIM_BYTES_MAX, TRIM_SHARE};
use crate::names::{RoomId, Seq};
use crate::server::log::clock::millis;
use crate::server::log::retention::{RoomEnd, Schedule, SegmentEnd};
use crate::server::log::rewriting::Rewritten;
use crate::server::log::{Changed, Deleted, LogError, Retention};

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

    /// Deletes messages that are due, at most this many plus one segment.
    pub fn trim(
        &mut self,
        transactions: &mut Transactions,
        now: SystemTime,
        messages_max: u64,
    ) -> Result<Option<SystemTime>, LogError> {
        let now_ms = millis(now);
        if let Some(bytes_max) = self.bytes_max {
            self.appended_bytes = 0;
            self.schedule.set_over_bytes(transactions.used_bytes()? > bytes_max);
        }
        if self.schedule.due(now_ms).is_some() || self.expiring.is_due(now_ms, self.ids_max) {
            let ids_due_ms = millis(now.checked_add(self.ids_kept).unwrap_or(now));
            if self.trim_step(transactions, now_ms, ids_due_ms, messages_max, usize::MAX)? {
                return Ok(Some(now));
            }
        }
        let ids_next_ms = if self.expiring.ids > self.ids_max { Some(0) } else { self.expiring.due_ms };
        let next_ms = self.schedule.next_ms().into_iter().chain(ids_next_ms).min();
        Ok(next_ms.map(|next_ms| UNIX_EPOCH + Duration::from_millis(next_ms)))
    }

    /// Deletes messages that are due, at most this many segments. Returns whether it found damage.
    fn trim_step(
        &mut self,
        transactions: &mut Transactions,
        now_ms: u64,
        ids_due_ms: u64,
        messages_max: u64,
        segments_max: usize,
    ) -> Result<bool, LogError> {
        let (mut events, mut messages, mut bytes) = (0, 0, 0);
        let mut changed = Vec::new();
        // The earlier state of the schedule, in case the transaction fails.
        let mut before: Vec<(RoomId, Option<SegmentEnd>, RoomEnd)> = Vec::new();
        let expiring_before = self.expiring;
        let mut trimming = None;
        let outcome = transactions.transact(0, |connection| {
            while events < messages_max
                && bytes < TRIM_BYTES_MAX
                && before.len() < segments_max
                && let Some((room, end)) = self.schedule.due(now_ms)
            {
                trimming = Some((room, end));
                before.push((room, self.schedule.oldest(room), end));
                let trimmed = trimming::delete_oldest(connection, room, end, &mut self.expiring, ids_due_ms)
                    .map_err(|error| log_error(&error))?;
                events += trimmed.events;
                messages += trimmed.messages;
                bytes += trimmed.bytes;
                changed.push(trimmed.changed);
                self.schedule.set(room, trimmed.oldest, end);
            }
            trimming = None;
            while events < messages_max && self.expiring.is_due(now_ms, self.ids_max) {
                events += self.expiring.forget(connection).map_err(|error| log_error(&error))?;
            }
            Ok(())
        });
        if let Err(error) = outcome {
            let sound = before.len() - usize::from(trimming.is_some());
            before.into_iter().rev().for_each(|(room, oldest, end)| self.schedule.set(room, oldest, end));
            self.expiring = expiring_before;
            if matches!(error, LogError::Damaged(_)) && trimming.is_some() && sound > 0 {
                // First the segments before the damage.
                return self.trim_step(transactions, now_ms, ids_due_ms, messages_max, sound).map(|_| true);
            }
            return self.trim_around_damage(transactions, trimming, ids_due_ms, error).map(|()| true);
        }
        for (room, ..) in &before {
            self.deleted.rooms.insert(*room);
        }
        self.deleted.messages += messages;
        changed.into_iter().for_each(|changed| self.add_changed(changed));
        self.trims.fetch_add(1, Ordering::Release);
        transactions.keeper.deleted();
        transactions.count_written(bytes, events as usize);
        Ok(false)
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
            log::error!("ids of deleted messages can't be forgotten, and are kept: {fault}; {REMEDY}");
            self.expiring = Expiring::default();
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
