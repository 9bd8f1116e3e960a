//! The side of the log that appends: one connection, one transaction for each batch.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior};

use super::claims::{Claims, Found, SEALED, damaged_room, next_room, room_error};
use super::columns::{number, seq};
use super::connection::connect;
use super::damage::{Damage, REMEDY};
use super::database;
use super::errors::{OpenError, log_error};
use super::expiring::Expiring;
use super::files::Files;
use super::folder::{Folder, SyncMode};
use super::identity::{self, Mark};
use super::keeper::{Keeper, WriterTurn};
use super::key::{self, key};
use super::life::SharedLife;
use super::page::PAGE_BYTES;
use super::recovery::{self, Findings};
use super::rooms::{all_rooms, find_room, name_of};
use super::rows::{Rows, unless_damaged};
use super::schema;
use super::trimming::{self, Damaged, Trimmed};
use crate::limits::{
    CHECKPOINT_BYTES, CLOCK_STEP_MAX, DISK_FULL_COPY_RETRY, DISK_FULL_COPY_WAIT, FILES_CHECK_INTERVAL, IDS_KEPT_MAX,
    KEEPER_READERS_WAIT, LOG_WAIT, SPACE_FOR_DELETING_PAGES, TRIM_BYTES_MAX, TRIM_MESSAGES_MAX,
};
use crate::names::{Epoch, RoomId, RoomName, Seq};
use crate::server::log::batch::{self, Head, Plan};
use crate::server::log::clock::millis;
use crate::server::log::retention::{Schedule, SegmentEnd};
use crate::server::log::{
    Appender, ClockState, Deleted, LogError, OpenRooms, Outcome, Post, Retention, RoomState, Subscriber,
};

/// The result of storing posts: the batch, the rooms that were not known before, and how many of them were created.
type Stored = (Plan, HashMap<RoomName, Head>, usize);

pub struct SqliteAppender {
    // Dropped before the connection that it works in parallel with.
    pub(super) keeper: Keeper,
    turn: WriterTurn,
    life: SharedLife,
    files: Files,
    /// When the files were last found in their folder.
    files_checked: Instant,
    pub(super) connection: Connection,
    database: PathBuf,
    sync: SyncMode,
    open_rooms: Option<Arc<dyn OpenRooms>>,
    subscriber: Subscriber,
    /// The heads of the rooms that were appended to.
    heads: HashMap<RoomName, Head>,
    room_count: usize,
    /// The greatest number that was assigned to a room, stored or not.
    last_room: RoomId,
    schedule: Schedule,
    /// The rooms that retention skips, because damage prevents all deletions in them.
    untrimmable: HashSet<RoomId>,
    retention: Retention,
    expiring: Expiring,
    clock: ClockState,
    deleted: Deleted,
    /// The maximum number of kept ids of trimmed messages.
    pub(super) ids_max: u64,
    /// How often it has trimmed.
    trims: Arc<AtomicU64>,
    damage: Arc<Damage>,
    /// The bytes that were written since the keeper was last called.
    written: usize,
    folder: Arc<Folder>,
}

impl SqliteAppender {
    pub(super) fn open(
        folder: Arc<Folder>,
        database: PathBuf,
        sync: SyncMode,
        restored: bool,
        retention: Retention,
    ) -> Result<Self, OpenError> {
        let findings = recovery::inspect(&folder.path, &database)?;
        let next = identity::random_id();
        let mark = |mark| {
            let written = identity::write(&folder.path, mark);
            written.map_err(|fault| OpenError::Folder { path: folder.path.clone(), fault })
        };
        mark(Mark::Beginning { last: findings.last, next, changed: findings.changed })?;
        let connection = database::open(&database)?;
        folder.open_space().map_err(|fault| OpenError::Folder { path: database.clone(), fault })?;
        database::check_after(&connection, &database, &findings, restored)?;
        let turn = WriterTurn::default();
        let life = SharedLife::default();
        let keeper = Keeper::start(&database, Arc::clone(&turn), Arc::clone(&life), retention.erase_after)?;
        let files = Files::of(&database).map_err(|fault| OpenError::Folder { path: database.clone(), fault })?;
        let mut appender = Self {
            connection,
            sync,
            open_rooms: None,
            subscriber: Box::new(drop),
            heads: HashMap::new(),
            room_count: 0,
            last_room: RoomId(0),
            schedule: Schedule::new(retention),
            untrimmable: HashSet::new(),
            retention,
            expiring: Expiring::default(),
            clock: ClockState::default(),
            deleted: Deleted::default(),
            ids_max: IDS_KEPT_MAX,
            trims: Arc::default(),
            damage: Arc::default(),
            written: 0,
            keeper,
            turn,
            life,
            files,
            files_checked: Instant::now(),
            database,
            folder: Arc::clone(&folder),
        };
        let loaded = appender.load(restored, &findings, next);
        loaded.map_err(|error| OpenError::of(appender.database.clone(), &error))?;
        mark(Mark::Running { id: next })?;
        Ok(appender)
    }

    /// The life of the log, to be shared.
    pub(super) fn life(&self) -> SharedLife {
        Arc::clone(&self.life)
    }

    /// Counts how often it has trimmed.
    pub(super) fn trims(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.trims)
    }

    /// The damage that was found.
    pub(super) fn damage(&self) -> Arc<Damage> {
        Arc::clone(&self.damage)
    }

    /// Reads the state of a database that appending needs.
    fn load(&mut self, restored: bool, findings: &Findings, next: i64) -> rusqlite::Result<()> {
        // The start of a life is on the disk before any of its data.
        self.connection.pragma_update(None, "synchronous", "FULL")?;
        self.begin_life(restored, findings, next)?;
        // From here on the database file alone identifies its life.
        self.connection.query_row(schema::CHECKPOINT, (), |_| Ok(()))?;
        self.set_up()?;
        let count = unless_damaged(self.connection.query_row(schema::COUNT_ROOMS, (), |row| row.get::<_, i64>(0)))?;
        self.room_count = usize::try_from(count.unwrap_or(0)).unwrap_or(usize::MAX);
        self.last_room = RoomId(self.connection.query_row(schema::LAST_ROOM, (), |row| seq(row, 0))?.0);
        // Ids that can't be found are kept.
        self.expiring = unless_damaged(Expiring::load(&self.connection))?.unwrap_or_default();
        self.clock = self.load_clock()?;
        if !self.schedule.keeps_all() {
            for (_, room) in all_rooms(&self.connection)? {
                // A room whose own row can't be read keeps what it has.
                if let Some(room) = room {
                    self.schedule.set(room.state.id, room.oldest, room.state.head);
                }
            }
        }
        Ok(())
    }

    /// The time of the last life. For a version without it, the time of the newest message.
    fn load_clock(&self) -> rusqlite::Result<ClockState> {
        let time = |row: &Row<'_>, column| seq(row, column).map(|number| number.0);
        let mut clock = self.connection.query_row(schema::CLOCK, (), |row| {
            let (time_ms, age_ms) = (time(row, 0)?, time(row, 1)?);
            Ok(ClockState { time_ms, age_ms, doubted_ms: time(row, 2)?, held_ms: time(row, 3)?, by_messages: false })
        })?;
        if clock.time_ms == 0 {
            for (_, room) in all_rooms(&self.connection)? {
                clock.time_ms = clock.time_ms.max(room.map_or(0, |room| room.time_ms));
            }
            clock.age_ms = clock.time_ms;
            clock.by_messages = true;
        }
        Ok(clock)
    }

    /// Begins a life of the log. If the last life left syncing to the system, did not end cleanly, and was followed by
    /// a restart of the machine, a power cut may have lost messages that clients have seen. So may the restoring of an
    /// older copy. Every room then gets another epoch.
    fn begin_life(&mut self, restored: bool, findings: &Findings, next: i64) -> rusqlite::Result<()> {
        let boot = recovery::boot_id();
        // Checked before the transaction: SQLite can't commit a transaction in which it found damage.
        let rooms = all_rooms(&self.connection)?;
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        type Life = (String, bool, bool, Option<i64>, bool);
        let life = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?));
        let (last_boot, synced, ended, id, is_backup): Life = transaction.query_row(schema::LIFE, (), life)?;
        // If the system does not report it, assume a restart.
        let may_be_lost = !synced && !ended && (last_boot != boot || boot.is_empty());
        if may_be_lost {
            log::warn!("the machine went down without closing the log (--sync os): its last messages may be lost");
        }
        // A killed start may have changed them already.
        let is_changed = findings.changed && (findings.begun.is_none() || findings.begun != id);
        if is_backup {
            log::info!("this is a restored backup: clients learn which messages they have seen are lost");
        }
        if may_be_lost || restored || is_backup || is_changed {
            for (id, room) in rooms {
                // If the end of a room can't be read, any message may be lost.
                let first = room.map_or(Seq(1), |room| room.state.head.next());
                transaction.execute(schema::SET_EPOCH, (id, Epoch::random().get() as i64, number(first.0)))?;
            }
        }
        transaction.execute(schema::BEGIN_LIFE, (boot, self.sync == SyncMode::Full, next))?;
        transaction.commit()
    }

    fn set_up(&self) -> rusqlite::Result<()> {
        let synchronous = match self.sync {
            SyncMode::Full => "FULL",
            SyncMode::Os => "NORMAL",
        };
        self.connection.pragma_update(None, "synchronous", synchronous)
    }

    /// Runs `act` in a transaction, which is rolled back on failure. `spare` is how many pages must be left for
    /// deletions after it.
    fn transact<T>(&mut self, spare: u64, act: impl FnOnce(&mut Self) -> Result<T, LogError>) -> Result<T, LogError> {
        self.check()?;
        let turn = Arc::clone(&self.turn);
        let _turn = turn.lock();
        self.execute(schema::BEGIN)?;
        let result = act(self).and_then(|done| {
            self.reserve(spare)?;
            self.execute(schema::COMMIT).map(|()| done)
        });
        if result.is_err() {
            self.keeper.renew();
            self.undo();
        }
        result
    }

    /// Extends the database's file to the length of the database after the transaction, plus some pages.
    fn reserve(&self, spare: u64) -> Result<(), LogError> {
        let count = || self.connection.prepare_cached(schema::PAGE_COUNT)?.query_row((), |row| row.get::<_, i64>(0));
        let pages = count().map_err(|error| log_error(&error))? as u64;
        self.folder.reserve(pages + spare).map_err(|fault| match fault.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG) => LogError::Full,
            _ => LogError::Unavailable(format!("{} can't grow: {fault}", self.database.display())),
        })
    }

    /// Retries an operation once if the disk was full and the write-ahead log could restart, which needs no space.
    fn retry<T>(&mut self, mut act: impl FnMut(&mut Self) -> Result<T, LogError>) -> Result<T, LogError> {
        match act(self) {
            Err(LogError::Full) if self.begin_log_anew() => act(self),
            result => result,
        }
    }

    /// Copies the write-ahead log, so that it restarts in its existing space. Returns whether it does.
    fn begin_log_anew(&mut self) -> bool {
        let turn = Arc::clone(&self.turn);
        let _turn = turn.lock();
        let deadline = Instant::now() + DISK_FULL_COPY_WAIT;
        let mut is_held_up = self.connection.busy_timeout(KEEPER_READERS_WAIT).is_err();
        loop {
            match self.connection.query_row(schema::CHECKPOINT_ALL, (), |row| row.get(0)) {
                // The keeper is copying, or a reader is active.
                Ok(true) if Instant::now() < deadline => thread::park_timeout(DISK_FULL_COPY_RETRY),
                Ok(is_busy) => {
                    is_held_up |= is_busy;
                    break;
                }
                Err(error) => {
                    self.life.copy_failed(&self.database, &error);
                    is_held_up = true;
                    break;
                }
            }
        }
        self.connection.busy_timeout(LOG_WAIT).is_ok() && !is_held_up
    }

    /// Whether the log may be written: its life has not ended, and its files are in their folder.
    fn check(&mut self) -> Result<(), LogError> {
        self.life.check()?;
        if self.files_checked.elapsed() >= FILES_CHECK_INTERVAL {
            self.files.check().map_err(LogError::Unavailable)?;
            self.files_checked = Instant::now();
        }
        Ok(())
    }

    fn execute(&self, statement: &str) -> Result<(), LogError> {
        let run = || self.connection.prepare_cached(statement)?.execute(());
        run().map(drop).map_err(|error| {
            self.life.commit_failed(&self.database, &error);
            log_error(&error)
        })
    }

    /// Ends a failed transaction. SQLite may have done so itself; if it can't, only a new connection can.
    fn undo(&mut self) {
        if !self.connection.is_autocommit() && self.execute(schema::ROLLBACK).is_err() {
            match connect(&self.database) {
                Ok(connection) => self.connection = connection,
                Err(error) => log::error!("can't reopen the log: {error}"),
            }
            if let Err(error) = self.set_up() {
                log::error!("can't set up the log again: {}", log_error(&error));
            }
        }
    }

    fn insert(&mut self, plan: &Plan) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached(schema::INSERT_SEGMENT)?;
        for segment in &plan.segments {
            let checksum = crc32fast::hash(&segment.entries);
            let key = key(segment.room, segment.first);
            let row = (key, number(segment.last.0), number(segment.time_ms), checksum, &segment.entries);
            statement.execute(row)?;
        }
        Ok(())
    }

    fn try_append(&mut self, posts: &[Post], now: SystemTime) -> Result<Vec<Outcome>, LogError> {
        match self.append_all(posts, now) {
            Err(LogError::Damaged(_)) => self.append_around_damage(posts, now),
            result => result,
        }
    }

    /// Deletes messages that are due, at most this many plus one segment.
    fn try_trim(&mut self, now: SystemTime, messages_max: u64) -> Result<Option<SystemTime>, LogError> {
        let now_ms = millis(now);
        if self.schedule.due(now_ms).is_some() || self.expiring.is_due(now_ms, self.ids_max) {
            let ids_due_ms = millis(now.checked_add(self.retention.ids).unwrap_or(now));
            if self.trim_step(now_ms, ids_due_ms, messages_max, usize::MAX)? {
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
        now_ms: u64,
        ids_due_ms: u64,
        messages_max: u64,
        segments_max: usize,
    ) -> Result<bool, LogError> {
        let (mut messages, mut bytes, mut deleted) = (0, 0, 0);
        // The earlier state of the schedule, in case the transaction fails.
        let mut before: Vec<(RoomId, Option<SegmentEnd>, Seq)> = Vec::new();
        let expiring_before = self.expiring;
        let mut trimming = None;
        let outcome = self.transact(0, |this| {
            while messages < messages_max
                && bytes < TRIM_BYTES_MAX
                && before.len() < segments_max
                && let Some((room, head)) = this.schedule.due(now_ms)
            {
                trimming = Some((room, head));
                before.push((room, this.schedule.oldest(room), head));
                let trimmed = this.trim_room(room, head, ids_due_ms)?;
                messages += trimmed.messages;
                bytes += trimmed.bytes;
                this.schedule.set(room, trimmed.oldest, head);
            }
            trimming = None;
            deleted = messages;
            while messages < messages_max && this.expiring.is_due(now_ms, this.ids_max) {
                messages += this.expiring.forget(&this.connection).map_err(|error| log_error(&error))?;
            }
            Ok(())
        });
        if let Err(error) = outcome {
            let sound = before.len() - usize::from(trimming.is_some());
            before.into_iter().rev().for_each(|(room, oldest, head)| self.schedule.set(room, oldest, head));
            self.expiring = expiring_before;
            if matches!(error, LogError::Damaged(_)) && trimming.is_some() && sound > 0 {
                // First the segments before the damage.
                return self.trim_step(now_ms, ids_due_ms, messages_max, sound).map(|_| true);
            }
            return self.trim_around_damage(trimming, ids_due_ms, error).map(|()| true);
        }
        for (room, ..) in &before {
            self.deleted.rooms.insert(*room);
        }
        self.deleted.messages += deleted;
        self.trims.fetch_add(1, Ordering::Release);
        self.keeper.deleted();
        self.written += bytes;
        self.count_written(messages as usize);
        Ok(false)
    }

    /// Deletes the oldest segment of a room; the ids of its messages are kept until the given time.
    fn trim_room(&mut self, room: RoomId, head: Seq, ids_due_ms: u64) -> Result<Trimmed, LogError> {
        let (connection, expiring) = (&self.connection, &mut self.expiring);
        trimming::delete_oldest(connection, room, head, expiring, ids_due_ms).map_err(|error| log_error(&error))
    }

    /// Continues retention after a step failed because of damage: damaged segments are deleted or skipped. Other errors
    /// are returned.
    fn trim_around_damage(
        &mut self,
        room: Option<(RoomId, Seq)>,
        ids_due_ms: u64,
        error: LogError,
    ) -> Result<(), LogError> {
        let LogError::Damaged(fault) = error else { return Err(error) };
        let Some((room, head)) = room else {
            log::error!("ids of deleted messages can't be forgotten, and are kept: {fault}; {REMEDY}");
            self.expiring = Expiring::default();
            return Ok(());
        };
        let name = name_of(&self.connection, room);
        let mut trimmed = self.trim_damaged(room, head, ids_due_ms, Damaged::Delete);
        if matches!(trimmed, Err(LogError::Damaged(_))) {
            self.damage.retention(&name, &fault);
            trimmed = self.trim_damaged(room, head, ids_due_ms, Damaged::PassOver);
        }
        match trimmed {
            Ok((messages, Some(oldest))) if messages > 0 => {
                self.schedule.set(room, Some(oldest), head);
                self.deleted.messages += messages;
                self.deleted.rooms.insert(room);
                self.trims.fetch_add(1, Ordering::Release);
                self.keeper.deleted();
            }
            Ok(_) | Err(LogError::Damaged(_)) => {
                self.damage.retention(&name, &fault);
                self.untrimmable.insert(room);
                self.schedule.set(room, None, head);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn trim_damaged(
        &mut self,
        room: RoomId,
        head: Seq,
        ids_due_ms: u64,
        way: Damaged,
    ) -> Result<(u64, Option<SegmentEnd>), LogError> {
        let fault = |error: rusqlite::Error| log_error(&error);
        // Checked before the transaction: SQLite can't commit a transaction in which it found damage.
        let Some(found) = trimming::find_damaged(&Rows { connection: &self.connection, room }, head).map_err(fault)?
        else {
            return Ok((0, None));
        };
        let expiring_before = self.expiring;
        let deleted =
            self.transact(0, |this| found.delete(&this.connection, &mut this.expiring, ids_due_ms, way).map_err(fault));
        if deleted.is_err() {
            self.expiring = expiring_before;
        }
        deleted.map(|()| (found.messages(), found.next))
    }

    /// Appends posts, all of them or none.
    fn append_all(&mut self, posts: &[Post], now: SystemTime) -> Result<Vec<Outcome>, LogError> {
        let found = Found::of(&self.connection, posts, &self.heads, &self.damage)?;
        let last_room = self.last_room;
        let result = self.transact(SPACE_FOR_DELETING_PAGES, |this| this.store(posts, now, found));
        // The rooms that were not created are unknown to all clients.
        let (plan, opened, created) = result.inspect_err(|_| self.last_room = last_room)?;
        Ok(self.committed(plan, opened, created))
    }

    /// Stores posts, within a transaction.
    fn store(&mut self, posts: &[Post], now: SystemTime, found: Found) -> Result<Stored, LogError> {
        let mut claims = Claims {
            connection: &self.connection,
            claim: None,
            open_rooms: self.open_rooms.as_deref(),
            last_room: &mut self.last_room,
            heads: &self.heads,
            found,
            opened: HashMap::new(),
            room_count: self.room_count,
            created: 0,
        };
        let plan = batch::plan(posts, now, &mut claims)?;
        let (opened, created) = claims.done();
        self.insert(&plan).map_err(|error| log_error(&error))?;
        Ok((plan, opened, created))
    }

    /// Appends posts after they could not be stored together because of damage: posts to damaged rooms are refused, the
    /// others are stored. Each room is tried alone, in a transaction that is rolled back, which needs no sync of the
    /// disk.
    fn append_around_damage(&mut self, posts: &[Post], now: SystemTime) -> Result<Vec<Outcome>, LogError> {
        let mut faults: HashMap<&RoomName, Option<LogError>> = HashMap::new();
        for post in posts {
            if faults.contains_key(&post.room) {
                continue;
            }
            let own: Vec<_> = posts.iter().filter(|other| other.room == post.room).cloned().collect();
            let fault = match self.try_out(&own, now) {
                Ok(()) => None,
                Err(LogError::Damaged(fault)) => {
                    self.damage.posts(post.room.as_str(), &fault);
                    Some(damaged_room(&post.room, &fault))
                }
                Err(error) => return Err(error),
            };
            faults.insert(&post.room, fault);
        }
        let sound: Vec<_> = posts.iter().filter(|post| faults[&post.room].is_none()).cloned().collect();
        let mut stored = self.append_all(&sound, now)?.into_iter();
        // Invariant: each post that was not refused has an outcome.
        let mut outcome = |post: &Post| match &faults[&post.room] {
            Some(fault) => Err(fault.clone()),
            None => stored.next().expect("an outcome for each post"),
        };
        Ok(posts.iter().map(&mut outcome).collect())
    }

    /// Stores posts and rolls back.
    fn try_out(&mut self, posts: &[Post], now: SystemTime) -> Result<(), LogError> {
        let found = Found::of(&self.connection, posts, &self.heads, &self.damage)?;
        let last_room = self.last_room;
        let mut outcome = Ok(());
        // An error rolls the transaction back. If it can't even begin, storing the posts will report it.
        let _ = self.transact(SPACE_FOR_DELETING_PAGES, |this| -> Result<(), LogError> {
            outcome = this.store(posts, now, found).map(drop);
            Err(LogError::Unavailable("the posts were only tried out".to_owned()))
        });
        self.last_room = last_room;
        outcome
    }

    /// Records a commit.
    fn committed(&mut self, plan: Plan, opened: HashMap<RoomName, Head>, created: usize) -> Vec<Outcome> {
        self.room_count += created;
        self.heads.extend(opened);
        for segment in &plan.segments {
            if !self.untrimmable.contains(&segment.room) {
                self.schedule.appended(segment.room, SegmentEnd { last: segment.last, time_ms: segment.time_ms });
            }
            if let Some(head) = self.heads.get_mut(&segment.name) {
                (head.seq, head.time_ms) = (segment.last, segment.time_ms);
            }
            self.written += segment.entries.len() + 64 * segment.claims;
        }
        self.count_written(2 * plan.segments.len());
        let (segments, outcomes) = plan.committed();
        segments.into_iter().for_each(&mut self.subscriber);
        outcomes
    }

    /// Records a commit that changed this many places, each of which writes a whole page, and calls the keeper in time.
    fn count_written(&mut self, places: usize) {
        self.written += places * PAGE_BYTES;
        if self.written >= CHECKPOINT_BYTES {
            self.written = 0;
            self.keeper.call();
        }
    }
}

impl Appender for SqliteAppender {
    fn set_open_rooms(&mut self, rooms: Arc<dyn OpenRooms>) {
        self.open_rooms = Some(rooms);
    }

    fn subscribe(&mut self, subscriber: Subscriber) {
        self.subscriber = subscriber;
    }

    fn open(&mut self, name: &RoomName) -> Result<RoomState, LogError> {
        let stored = find_room(&self.connection, name).map_err(|error| room_error(name, &error))?;
        Ok(match stored {
            Some(room) => {
                if room.is_sealed {
                    self.damage.posts(name.as_str(), SEALED);
                }
                room.state
            }
            None => RoomState::pending(next_room(&mut self.last_room)?, name.clone(), Epoch::random()),
        })
    }

    fn append(&mut self, posts: &[Post], now: SystemTime) -> Result<Vec<Outcome>, LogError> {
        self.retry(|this| this.try_append(posts, now))
    }

    fn trim(&mut self, now: SystemTime) -> Result<Option<SystemTime>, LogError> {
        let mut messages_max = TRIM_MESSAGES_MAX;
        self.retry(|this| {
            let result = this.try_trim(now, messages_max);
            // Fewer deletions at once need less space in the write-ahead log.
            messages_max = 1;
            result
        })
    }

    fn date_back(&mut self, now: SystemTime) -> Result<usize, LogError> {
        let now_ms = millis(now);
        let latest_ms = now_ms.saturating_add(CLOCK_STEP_MAX.as_millis() as u64);
        let mut rooms = 0;
        while let Some(room) = self.schedule.dated_after(latest_ms) {
            let next = || {
                let mut next = self.connection.prepare_cached(schema::TIME_NOT_AFTER)?;
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

    fn deleted(&mut self) -> Deleted {
        std::mem::take(&mut self.deleted)
    }

    fn clock(&self) -> ClockState {
        self.clock
    }

    fn keep_clock(&mut self, state: ClockState) -> Result<(), LogError> {
        let ClockState { time_ms, age_ms, doubted_ms, held_ms, by_messages: _ } = state;
        let row = [time_ms, age_ms, doubted_ms, held_ms].map(number);
        self.transact(0, |this| {
            let keep = || this.connection.prepare_cached(schema::KEEP_CLOCK)?.execute(row);
            keep().map(drop).map_err(|error| log_error(&error))
        })?;
        self.clock = state;
        self.count_written(1);
        Ok(())
    }
}

impl Drop for SqliteAppender {
    /// Records that the log was closed cleanly. If that fails, it was not.
    fn drop(&mut self) {
        // No copy is running any more, and none starts.
        self.keeper.stop();
        if self.life.ended().is_some() {
            return;
        }
        if let Err(fate) = self.files.check() {
            return self.life.not_closed(fate);
        }
        let end = || {
            self.connection.pragma_update(None, "synchronous", "FULL")?;
            self.connection.execute(schema::END_LIFE, ())?;
            // Copies everything into the database: readers, which may still be open, could not do it.
            self.connection.query_row(schema::CHECKPOINT_END, (), |_| Ok(()))
        };
        if let Err(error) = end() {
            self.life.copy_failed(&self.database, &error);
            self.life.not_closed(log_error(&error).to_string());
        }
    }
}
