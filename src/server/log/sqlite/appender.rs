//! The side of the log that appends: one connection, one transaction for each batch.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior};

use super::errors::{OpenError, is_damage, log_error};
use super::expiring::Expiring;
use super::files::Files;
use super::identity::{self, Mark};
use super::keeper::{Keeper, READERS_WAIT, WriterTurn};
use super::life::SharedLife;
use super::page::PAGE_BYTES;
use super::reader::{StoredRoom, find_room, number, seq};
use super::recovery::{self, Findings};
use super::space::PAGES_FOR_DELETING;
use super::{Folder, Sync, schema};
use crate::limits::{
    CHECKPOINT_BYTES, CLOCK_STEP_MAX, FILES_CHECK_INTERVAL, IDS_KEPT_MAX, LOG_WAIT, TRIM_BYTES_MAX, TRIM_MESSAGES_MAX,
};
use crate::names::{Epoch, RoomId, RoomName, Seq};
use crate::server::log::batch::{self, Head, Plan, Stored, millis};
use crate::server::log::retention::{Oldest, Schedule};
use crate::server::log::{
    Appender, Batch, ClockState, Deleted, LogError, OpenRooms, Post, Retention, RoomState, check_room_count,
};

/// How long the appender waits for a copy that is under way when it finds the disk full, and how often it looks.
const COPY_WAIT: Duration = Duration::from_millis(500);
const COPY_RETRY: Duration = Duration::from_millis(5);

pub struct SqliteAppender {
    // Dropped before the connection that it works beside.
    pub(super) keeper: Keeper,
    turn: WriterTurn,
    life: SharedLife,
    files: Files,
    /// When the files were last found in place.
    files_checked: Instant,
    pub(super) connection: Connection,
    database: PathBuf,
    sync: Sync,
    open_rooms: Option<Arc<dyn OpenRooms>>,
    /// The ends of the rooms that were appended to.
    heads: HashMap<RoomName, Head>,
    room_count: usize,
    /// The greatest number that was given to a room, stored or not.
    last_room: RoomId,
    schedule: Schedule,
    retention: Retention,
    expiring: Expiring,
    clock: ClockState,
    deleted: Deleted,
    /// How many ids of trimmed messages are remembered at most.
    pub(super) ids_max: u64,
    /// How often it has trimmed.
    trims: Arc<AtomicU64>,
    /// How much was written since the keeper was last called, in bytes.
    written: usize,
    folder: Arc<Folder>,
}

/// The segment that was deleted of a room, and what is the room's oldest now.
struct Trimmed {
    messages: u64,
    bytes: usize,
    oldest: Option<Oldest>,
}

impl SqliteAppender {
    pub(super) fn open(
        folder: Arc<Folder>,
        database: PathBuf,
        sync: Sync,
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
        let connection = schema::open(&database)?;
        folder.open_space().map_err(|fault| OpenError::Folder { path: database.clone(), fault })?;
        schema::check_after(&connection, &database, &findings, restored)?;
        let turn = WriterTurn::default();
        let life = SharedLife::default();
        let keeper = Keeper::start(&database, Arc::clone(&turn), Arc::clone(&life), retention.erase_after)?;
        let files = Files::of(&database).map_err(|fault| OpenError::Folder { path: database.clone(), fault })?;
        let mut appender = Self {
            connection,
            sync,
            open_rooms: None,
            heads: HashMap::new(),
            room_count: 0,
            last_room: RoomId(0),
            schedule: Schedule::new(retention),
            retention,
            expiring: Expiring::default(),
            clock: ClockState::default(),
            deleted: Deleted::default(),
            ids_max: IDS_KEPT_MAX,
            trims: Arc::default(),
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

    /// Reads what must be known of a database before anything is appended to it.
    fn load(&mut self, restored: bool, findings: &Findings, next: i64) -> rusqlite::Result<()> {
        // The beginning of a life is on the disk before anything of it is.
        self.connection.pragma_update(None, "synchronous", "FULL")?;
        self.begin_life(restored, findings, next)?;
        // The database file alone says from here on which life it belongs to.
        self.connection.query_row(schema::CHECKPOINT, (), |_| Ok(()))?;
        self.set_up()?;
        let count: i64 = self.connection.query_row(schema::COUNT_ROOMS, (), |row| row.get(0))?;
        self.room_count = usize::try_from(count).unwrap_or(usize::MAX);
        self.last_room = RoomId(self.connection.query_row(schema::LAST_ROOM, (), |row| seq(row, 0))?.0);
        self.expiring = Expiring::load(&self.connection)?;
        self.clock = self.load_clock()?;
        if !self.schedule.keeps_all() {
            for (_, room) in all_rooms(&self.connection)? {
                // A room that can't be read keeps what it has.
                if let Some(room) = room {
                    self.schedule.set(room.state.id, room.oldest, room.state.head);
                }
            }
        }
        Ok(())
    }

    /// What the last life knew of the time. One before there was such a thing is told by its newest message.
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

    /// Begins a life of the log. Where the last one left it to the system when to write, did not end in good order, and was
    /// followed by another life of the machine, a power cut may have eaten messages that were seen; so may the restoring of
    /// an older copy. Every room then gets another epoch.
    fn begin_life(&mut self, restored: bool, findings: &Findings, next: i64) -> rusqlite::Result<()> {
        let boot = recovery::boot_id();
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        type Life = (String, bool, bool, Option<i64>, bool);
        let life = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?));
        let (last_boot, synced, ended, id, is_backup): Life = transaction.query_row(schema::LIFE, (), life)?;
        // Where the system does not say, it may have gone down.
        let may_be_lost = !synced && !ended && (last_boot != boot || boot.is_empty());
        if may_be_lost {
            log::warn!("the machine went down without closing the log (--sync os): its last messages may be lost");
        }
        // A start that was killed may have changed them already.
        let is_changed = findings.changed && (findings.begun.is_none() || findings.begun != id);
        if is_backup {
            log::info!("this is a restored backup: clients are told which messages they have seen are lost");
        }
        if may_be_lost || restored || is_backup || is_changed {
            for (id, room) in all_rooms(&transaction)? {
                // Of a room whose end can't be read, anything may be lost.
                let first = room.map_or(Seq(1), |room| room.state.head.next());
                transaction.execute(schema::SET_EPOCH, (id, Epoch::random().get() as i64, number(first.0)))?;
            }
        }
        transaction.execute(schema::BEGIN_LIFE, (boot, self.sync == Sync::Full, next))?;
        transaction.commit()
    }

    fn set_up(&self) -> rusqlite::Result<()> {
        let synchronous = match self.sync {
            Sync::Full => "FULL",
            Sync::Os => "NORMAL",
        };
        self.connection.pragma_update(None, "synchronous", synchronous)
    }

    /// Does something in a transaction of its own, and nothing of it where it fails. `spare` is how many pages must be left for
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

    /// Has the database's file be as long as the transaction makes the database, and longer by some pages.
    fn reserve(&self, spare: u64) -> Result<(), LogError> {
        let count = || self.connection.prepare_cached(schema::PAGE_COUNT)?.query_row((), |row| row.get::<_, i64>(0));
        let pages = count().map_err(|error| log_error(&error))? as u64;
        self.folder.reserve(pages + spare).map_err(|fault| match fault.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG) => LogError::Full,
            _ => LogError::Unavailable(format!("{} can't grow: {fault}", self.database.display())),
        })
    }

    /// Tries something once more if the disk was full and the write-ahead log could begin anew, which needs no space.
    fn retry<T>(&mut self, mut act: impl FnMut(&mut Self) -> Result<T, LogError>) -> Result<T, LogError> {
        match act(self) {
            Err(LogError::Full) if self.begin_log_anew() => act(self),
            result => result,
        }
    }

    /// Copies the write-ahead log, so that it begins anew with the space that it has. Returns whether it does.
    fn begin_log_anew(&mut self) -> bool {
        let turn = Arc::clone(&self.turn);
        let _turn = turn.lock();
        let deadline = Instant::now() + COPY_WAIT;
        let mut is_held_up = self.connection.busy_timeout(READERS_WAIT).is_err();
        loop {
            match self.connection.query_row(schema::CHECKPOINT_ALL, (), |row| row.get(0)) {
                // The keeper's copy is under way, or somebody reads.
                Ok(true) if Instant::now() < deadline => thread::park_timeout(COPY_RETRY),
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

    /// Whether anything may be written: the log lives, and its files are where they were.
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

    /// Ends a transaction that has failed. SQLite may have done so itself; where it can't, only a new connection can.
    fn undo(&mut self) {
        if !self.connection.is_autocommit() && self.execute(schema::ROLLBACK).is_err() {
            match schema::connect(&self.database) {
                Ok(connection) => self.connection = connection,
                Err(error) => log::error!("the log can't be opened anew: {error}"),
            }
            if let Err(error) = self.set_up() {
                log::error!("the log can't be set up anew: {}", log_error(&error));
            }
        }
    }

    fn insert(&mut self, plan: &Plan) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached(schema::INSERT_SEGMENT)?;
        for run in &plan.runs {
            let (first, last) = (number(run.first.0), number(run.last.0));
            let checksum = crc32fast::hash(&run.entries);
            statement.execute((number(run.room.0), first, last, number(run.time_ms), &run.entries, checksum))?;
        }
        Ok(())
    }

    fn try_append(&mut self, posts: &[Post], now: SystemTime) -> Result<Batch, LogError> {
        let last_room = self.last_room;
        let result = self.transact(PAGES_FOR_DELETING, |this| {
            let mut claims = Claims {
                connection: &this.connection,
                open_rooms: this.open_rooms.as_deref(),
                last_room: &mut this.last_room,
                heads: &this.heads,
                opened: HashMap::new(),
                room_count: this.room_count,
                created: 0,
            };
            let plan = batch::plan(posts, now, &mut claims)?;
            let (opened, created) = (claims.opened, claims.created);
            this.insert(&plan).map_err(|error| log_error(&error))?;
            Ok((plan, opened, created))
        });
        // Nobody has heard of the rooms that were to be created.
        let (plan, opened, created) = result.inspect_err(|_| self.last_room = last_room)?;
        Ok(self.committed(plan, opened, created, posts))
    }

    /// Deletes what is due, so many messages at most and one segment more.
    fn try_trim(&mut self, now: SystemTime, messages_max: u64) -> Result<Option<SystemTime>, LogError> {
        let now_ms = millis(now);
        let ids_due_ms = millis(now.checked_add(self.retention.ids).unwrap_or(now));
        let (mut messages, mut bytes, mut deleted) = (0, 0, 0);
        // What the schedule said before, in case that nothing comes of it.
        let mut before: Vec<(RoomId, Option<Oldest>, Seq)> = Vec::new();
        let expiring_before = self.expiring;
        if self.schedule.due(now_ms).is_some() || self.expiring.is_due(now_ms, self.ids_max) {
            let outcome = self.transact(0, |this| {
                while messages < messages_max
                    && bytes < TRIM_BYTES_MAX
                    && let Some((room, head)) = this.schedule.due(now_ms)
                {
                    before.push((room, this.schedule.oldest(room), head));
                    let trimmed = this.trim_room(room, ids_due_ms).map_err(|error| log_error(&error))?;
                    messages += trimmed.messages;
                    bytes += trimmed.bytes;
                    this.schedule.set(room, trimmed.oldest, head);
                }
                deleted = messages;
                while messages < messages_max && this.expiring.is_due(now_ms, this.ids_max) {
                    messages += this.expiring.forget(&this.connection).map_err(|error| log_error(&error))?;
                }
                Ok(())
            });
            if let Err(error) = outcome {
                before.into_iter().rev().for_each(|(room, oldest, head)| self.schedule.set(room, oldest, head));
                self.expiring = expiring_before;
                return Err(error);
            }
            for (room, ..) in &before {
                self.deleted.rooms.insert(*room);
            }
            self.deleted.messages += deleted;
            self.trims.fetch_add(1, Ordering::Release);
            self.keeper.deleted();
            self.written += bytes;
            self.note_written(messages as usize);
        }
        let ids_next_ms = if self.expiring.ids > self.ids_max { Some(0) } else { self.expiring.due_ms };
        let next_ms = self.schedule.next_ms().into_iter().chain(ids_next_ms).min();
        Ok(next_ms.map(|next_ms| UNIX_EPOCH + Duration::from_millis(next_ms)))
    }

    /// Notes what was committed.
    fn committed(&mut self, plan: Plan, opened: HashMap<RoomName, Head>, created: usize, posts: &[Post]) -> Batch {
        self.room_count += created;
        self.heads.extend(opened);
        for run in &plan.runs {
            self.schedule.appended(run.room, Oldest { last: run.last, time_ms: run.time_ms });
            self.written += run.entries.len() + 64 * run.claims;
        }
        self.note_written(2 * plan.runs.len());
        let ends: HashMap<RoomId, (Seq, u64)> =
            plan.runs.iter().map(|run| (run.room, (run.last, run.time_ms))).collect();
        for post in posts {
            let Some(head) = self.heads.get_mut(&post.room) else { continue };
            if let Some((seq, time_ms)) = ends.get(&head.room) {
                (head.seq, head.time_ms) = (*seq, *time_ms);
            }
        }
        plan.committed()
    }

    /// Notes a commit that changed so many places, in each of which a page is written whole, and has the keeper called in
    /// time.
    fn note_written(&mut self, places: usize) {
        self.written += places * PAGE_BYTES;
        if self.written >= CHECKPOINT_BYTES {
            self.written = 0;
            self.keeper.call();
        }
    }

    /// Deletes the oldest segment of a room; the ids of its messages are remembered until the time that is given.
    fn trim_room(&mut self, room: RoomId, ids_due_ms: u64) -> rusqlite::Result<Trimmed> {
        let id = number(room.0);
        let mut oldest = self.connection.prepare_cached(schema::OLDEST_SEGMENTS)?;
        type Found = (Seq, Seq, u64, Vec<u8>, Option<u32>);
        let segment = |row: &Row<'_>| Ok((seq(row, 0)?, seq(row, 1)?, seq(row, 2)?.0, row.get(3)?, row.get(4)?));
        let found: Option<Found> = oldest.query_row([id], segment).optional()?;
        let Some((first, last, time_ms, entries, checksum)) = found else {
            return Ok(Trimmed { messages: 0, bytes: 0, oldest: None });
        };
        if last < first {
            return Err(rusqlite::Error::IntegralValueOutOfRange(1, number(last.0)));
        }
        // First, so that what follows can use its space.
        self.connection.prepare_cached(schema::DELETE_SEGMENT)?.execute((id, number(first.0)))?;
        if checksum.is_none_or(|checksum| checksum == crc32fast::hash(&entries)) {
            self.expiring.note(&self.connection, id, first, &entries, ids_due_ms)?;
        } else {
            log::error!("messages {first} to {last} of room number {id} were damaged; retention deletes them");
        }
        self.connection.prepare_cached(schema::SET_TRIMMED)?.execute((id, number(last.0), number(time_ms)))?;
        let next =
            oldest.query_row([id], |row| Ok(Oldest { last: seq(row, 1)?, time_ms: seq(row, 2)?.0 })).optional()?;
        Ok(Trimmed { messages: last.0 - first.0 + 1, bytes: entries.len(), oldest: next })
    }
}

impl Appender for SqliteAppender {
    fn set_open_rooms(&mut self, rooms: Arc<dyn OpenRooms>) {
        self.open_rooms = Some(rooms);
    }

    fn open(&mut self, name: &RoomName) -> Result<RoomState, LogError> {
        let stored = find_room(&self.connection, name).map_err(|error| log_error(&error))?;
        Ok(match stored {
            Some(room) => room.state,
            None => RoomState::pending(next_room(&mut self.last_room), name.clone(), Epoch::random()),
        })
    }

    fn append(&mut self, posts: &[Post], now: SystemTime) -> Result<Batch, LogError> {
        self.retry(|this| this.try_append(posts, now))
    }

    fn trim(&mut self, now: SystemTime) -> Result<Option<SystemTime>, LogError> {
        let mut messages_max = TRIM_MESSAGES_MAX;
        self.retry(|this| {
            let result = this.try_trim(now, messages_max);
            // The less is deleted at once, the less the write-ahead log must hold.
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
                next.query_row((number(room.0), number(latest_ms)), |row| seq(row, 0)).optional()
            };
            let next_ms = next().map_err(|error| log_error(&error))?.map_or(now_ms, |time| time.0);
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
        self.note_written(1);
        Ok(())
    }
}

impl Drop for SqliteAppender {
    /// Notes that the log was closed in good order. Where that fails, it was not.
    fn drop(&mut self) {
        // No copy is under way any more, and none begins.
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
            // So that the database is all there is: readers, which may be open still, could not do it.
            self.connection.query_row(schema::CHECKPOINT_END, (), |_| Ok(()))
        };
        if let Err(error) = end() {
            self.life.copy_failed(&self.database, &error);
            self.life.not_closed(log_error(&error).to_string());
        }
    }
}

/// The log as a batch asks it, within the batch's transaction.
struct Claims<'a> {
    connection: &'a Connection,
    open_rooms: Option<&'a dyn OpenRooms>,
    last_room: &'a mut RoomId,
    heads: &'a HashMap<RoomName, Head>,
    /// The rooms that were not known before.
    opened: HashMap<RoomName, Head>,
    room_count: usize,
    created: usize,
}

impl Stored for Claims<'_> {
    fn head(&mut self, name: &RoomName) -> Result<Head, LogError> {
        if let Some(head) = self.heads.get(name) {
            return Ok(*head);
        }
        let found = find_room(self.connection, name).map_err(|error| log_error(&error))?;
        let head = match found {
            Some(room) => Head { room: room.state.id, seq: room.state.head, time_ms: room.time_ms },
            None => {
                check_room_count(name, self.room_count + self.created)?;
                let room = self.create(name).map_err(|error| log_error(&error))?;
                self.created += 1;
                Head { room, seq: Seq::ZERO, time_ms: 0 }
            }
        };
        self.opened.insert(name.clone(), head);
        Ok(head)
    }

    fn claim(&mut self, room: RoomId, post: &Post, seq_wanted: Seq) -> Result<Option<Seq>, LogError> {
        let (room, id, sender) = (number(room.0), post.id.as_bytes(), post.sender.as_str());
        let claim = || {
            let mut insert = self.connection.prepare_cached(schema::CLAIM_ID)?;
            if insert.execute((room, id, sender, number(seq_wanted.0)))? == 1 {
                return Ok(None);
            }
            let mut claimed = self.connection.prepare_cached(schema::CLAIMED)?;
            claimed.query_row((room, id, sender), |row| seq(row, 0)).map(Some)
        };
        claim().map_err(|error| log_error(&error))
    }
}

impl Claims<'_> {
    /// Creates a room as those who are in it know it.
    fn create(&mut self, name: &RoomName) -> rusqlite::Result<RoomId> {
        let opened = self.open_rooms.and_then(|rooms| rooms.opened(name));
        let (room, epoch) = opened.unwrap_or_else(|| (next_room(self.last_room), Epoch::random()));
        let mut insert = self.connection.prepare_cached(schema::INSERT_ROOM)?;
        insert.execute((number(room.0), name.as_str(), epoch.get() as i64))?;
        Ok(room)
    }
}

/// A number for a room. Those that were given to rooms without a message are not given again in this life of the log.
fn next_room(last: &mut RoomId) -> RoomId {
    last.0 += 1;
    *last
}

/// All rooms by their numbers. A room whose rows are damaged is logged, and is `None`: it must not keep the others from use.
fn all_rooms(connection: &Connection) -> rusqlite::Result<Vec<(i64, Option<StoredRoom>)>> {
    let mut statement = connection.prepare(schema::ROOM_NAMES)?;
    let names: rusqlite::Result<Vec<(i64, String)>> =
        statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?.collect();
    let mut rooms = Vec::new();
    for (id, name) in names? {
        let found = RoomName::new(&name).map(|name| find_room(connection, &name));
        let room = match found {
            Ok(Ok(room)) => room,
            Ok(Err(error)) if !is_damage(&error) => return Err(error),
            Ok(Err(error)) => {
                log::error!("room {name} is damaged: {}; run hubbub-server verify", log_error(&error));
                None
            }
            Err(error) => {
                log::error!("room number {id} is damaged: {error}; run hubbub-server verify");
                None
            }
        };
        rooms.push((id, room));
    }
    Ok(rooms)
}
