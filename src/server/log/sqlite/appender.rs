//! The write side of the log: one connection, one transaction for each batch.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::Connection;

use super::claims::{Found, SEALED, damaged_room, room_error};
use super::columns::number;
use super::damage::Damage;
use super::database;
use super::deletions::{self, Deletions};
use super::errors::{OpenError, log_error};
use super::folder::{Folder, SyncMode};
use super::identity::{self, Mark};
use super::keeper::Erasing;
use super::known_rooms::{KnownRooms, Stored};
use super::life::SharedLife;
use super::recovery::{self, Findings};
use super::rooms::{all_rooms, find_room};
use super::rows::Rows;
use super::schema;
use super::start;
use super::transactions::Transactions;
use super::trimmer::Trimmer;
use crate::limits::{BATCH_POSTS_MAX, PROBE_PAGES, SPACE_FOR_DELETING_PAGES};
use crate::names::RoomName;
use crate::server::log::repeats;
use crate::server::log::retention::SegmentEnd;
use crate::server::log::{
    Appender, Batch, ClockState, Command, Deleted, Due, LogError, Outcome, Post, Published, Retention, RoomState,
    Subscriber, Trim,
};
use crate::threads::panic_point;

/// Some of the posts of batches.
struct Selected(Vec<(Vec<Post>, SystemTime)>);

pub struct SqliteAppender {
    pub(super) transactions: Transactions,
    pub(super) trimmer: Trimmer,
    rooms: KnownRooms,
    subscriber: Subscriber,
    clock: ClockState,
    damage: Arc<Damage>,
    deletions: Arc<Deletions>,
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
        let is_damaged = database::check_after(&connection, &database, &findings, restored)?;
        let deletions = Arc::new(Deletions::new(Arc::clone(&folder)));
        let erasing = Erasing { after: retention.erase_after, deletions: Arc::clone(&deletions) };
        let mut transactions = Transactions::new(connection, Arc::clone(&folder), database.clone(), sync, erasing)?;
        let damage = Arc::<Damage>::default();
        damage.faults().damaged_places.add(u64::from(is_damaged));
        if findings.doubtful {
            damage.faults().set_was_open();
        }
        let mut trimmer = Trimmer::new(retention, Arc::clone(&damage));
        let loaded = load(&mut transactions, &mut trimmer, sync, restored, &findings, next);
        let (rooms, clock, is_older) = loaded.map_err(|error| OpenError::of(database.clone(), &error))?;
        let mut appender = Self { transactions, trimmer, rooms, subscriber: Box::new(drop), clock, damage, deletions };
        if is_older {
            appender.delete_again(&folder.path).map_err(|error| OpenError::of(database, &error))?;
        }
        mark(Mark::Running { id: next })?;
        Ok(appender)
    }

    /// Deletes the messages again that were deleted after this copy of the log was made.
    fn delete_again(&mut self, folder: &Path) -> rusqlite::Result<()> {
        let connection = &self.transactions.connection;
        let rooms = all_rooms(connection)?.into_iter().filter_map(|(_, room)| Some(room?.state)).collect::<Vec<_>>();
        let posts = deletions::missing(folder, connection, &rooms);
        if posts.is_empty() {
            return Ok(());
        }
        let now = UNIX_EPOCH + Duration::from_millis(self.clock.time_ms);
        for posts in posts.chunks(BATCH_POSTS_MAX) {
            if let Err(error) = self.append(posts, now) {
                log::error!("messages that were deleted can't be deleted again after the restore: {error}");
                return Ok(());
            }
        }
        log::info!("{} messages that were deleted after this copy of the log was made were deleted again", posts.len());
        Ok(())
    }

    /// The life of the log, to be shared.
    pub(super) fn life(&self) -> SharedLife {
        Arc::clone(&self.transactions.life)
    }

    /// Counts how often the log was trimmed.
    pub(super) fn trims(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.trimmer.trims)
    }

    /// The damage that was found.
    pub(super) fn damage(&self) -> Arc<Damage> {
        Arc::clone(&self.damage)
    }

    /// Appends the posts of batches, in one transaction.
    fn append_batches(&mut self, batches: &[Batch<'_>]) -> Result<Vec<Outcome>, LogError> {
        let mut outcomes = match self.try_append(batches) {
            Err(LogError::Full) if self.transactions.restart_log() => self.try_append(batches),
            result => result,
        }?;
        // After the commit: SQLite can't commit a transaction in which it found damage.
        let connection = &self.transactions.connection;
        repeats::refuse_others(posts_of(batches), &mut outcomes, |room, seq| {
            Rows { connection, room }.read(seq, 1).ok()
        });
        Ok(outcomes)
    }

    fn apply_trim(&mut self, trim: &Trim) -> Result<(), LogError> {
        let result = match self.trimmer.apply(&mut self.transactions, trim, usize::MAX) {
            // Fewer deletions at once need less space in the write-ahead log.
            Err(LogError::Full) if self.transactions.restart_log() => {
                self.trimmer.apply(&mut self.transactions, trim, 1)
            }
            result => result,
        };
        self.trimmer.changed().map(Published::Changed).for_each(&mut self.subscriber);
        result
    }

    fn store_rooms_max(&mut self, max: usize) -> Result<(), LogError> {
        self.transactions.transact(0, |connection| {
            let stored =
                connection.prepare_cached(schema::SET_ROOMS_MAX).and_then(|mut set| set.execute([number(max as u64)]));
            stored.map(drop).map_err(|error| log_error(&error))
        })?;
        self.rooms.max = max;
        self.transactions.count_written(0, 1);
        Ok(())
    }

    /// Stores the log's time, if this many pages are left after it.
    fn store_clock(&mut self, state: ClockState, spare: u64) -> Result<(), LogError> {
        let ClockState { time_ms, age_ms, doubted_ms, held_ms, by_messages: _ } = state;
        let row = [time_ms, age_ms, doubted_ms, held_ms].map(number);
        self.transactions.transact(spare, |connection| {
            let keep = || connection.prepare_cached(schema::KEEP_CLOCK)?.execute(row);
            keep().map(drop).map_err(|error| log_error(&error))
        })?;
        self.clock = state;
        self.transactions.count_written(0, 1);
        Ok(())
    }

    fn try_append(&mut self, batches: &[Batch<'_>]) -> Result<Vec<Outcome>, LogError> {
        match self.append_all(batches) {
            Err(LogError::Damaged(_)) => self.append_around_damage(batches),
            result => result,
        }
    }

    /// Appends posts, all of them or none.
    fn append_all(&mut self, batches: &[Batch<'_>]) -> Result<Vec<Outcome>, LogError> {
        let found = self.rooms_of(batches)?;
        let last_room = self.rooms.last;
        let store = |connection: &Connection| self.rooms.store(connection, batches, found);
        let result = self.transactions.transact(SPACE_FOR_DELETING_PAGES, store);
        // The rooms that were not created are unknown to all clients.
        let stored = result.inspect_err(|_| self.rooms.last = last_room)?;
        Ok(self.committed(stored))
    }

    /// The rooms of the posts that were not known before.
    fn rooms_of(&self, batches: &[Batch<'_>]) -> Result<Found, LogError> {
        Found::of(&self.transactions.connection, batches, &self.rooms.heads, &self.damage)
    }

    /// Appends posts after they could not be stored together because of damage: posts to damaged rooms are refused, the
    /// others are stored. Each room is tried alone, in a transaction that is rolled back, which needs no sync of the
    /// disk.
    fn append_around_damage(&mut self, batches: &[Batch<'_>]) -> Result<Vec<Outcome>, LogError> {
        let mut faults: HashMap<&RoomName, Option<LogError>> = HashMap::new();
        for post in posts_of(batches) {
            if faults.contains_key(&post.room) {
                continue;
            }
            let fault = match self.try_out(&Selected::of(batches, |other| other.room == post.room)) {
                Ok(()) => None,
                Err(LogError::Damaged(fault)) => {
                    self.damage.posts(post.room.as_str(), &fault);
                    Some(damaged_room(&post.room, &fault))
                }
                Err(error) => return Err(error),
            };
            faults.insert(&post.room, fault);
        }
        let sound = Selected::of(batches, |post| faults[&post.room].is_none());
        let mut stored = self.append_all(&sound.batches())?.into_iter();
        // Invariant: each post that was not refused has an outcome.
        let mut outcome = |post: &Post| match &faults[&post.room] {
            Some(fault) => Err(fault.clone()),
            None => stored.next().expect("an outcome for each post"),
        };
        Ok(posts_of(batches).map(&mut outcome).collect())
    }

    /// Stores posts and rolls back.
    fn try_out(&mut self, selected: &Selected) -> Result<(), LogError> {
        let batches = selected.batches();
        let found = self.rooms_of(&batches)?;
        let last_room = self.rooms.last;
        let mut outcome = Ok(());
        // An error rolls the transaction back. If it can't even begin, storing the posts will report it.
        let _ = self.transactions.transact(SPACE_FOR_DELETING_PAGES, |connection| -> Result<(), LogError> {
            outcome = self.rooms.store(connection, &batches, found).map(drop);
            Err(LogError::Unavailable("the posts were only tried out".to_owned()))
        });
        self.rooms.last = last_room;
        outcome
    }

    /// Records a commit.
    fn committed(&mut self, Stored { plans, opened, created }: Stored) -> Vec<Outcome> {
        panic_point("commit");
        self.rooms.count += created.len();
        self.rooms.heads.extend(opened);
        created.into_iter().map(Published::Room).for_each(&mut self.subscriber);
        let mut outcomes = Vec::new();
        for plan in plans {
            let mut bytes = 0;
            let mut places = 0;
            for room in &plan.rooms {
                for segment in &room.segments {
                    let (end, len) = (SegmentEnd { time_ms: room.time_ms, ..segment.end() }, segment.frame().len());
                    self.trimmer.appended(room.room, end, len);
                    (bytes, places) = (bytes + len, places + 2);
                }
                for replaced in &room.replaced {
                    self.trimmer.replaced(room.room, replaced);
                    for piece in &replaced.pieces {
                        (bytes, places) = (bytes + piece.frame().len(), places + 2);
                    }
                }
                if let Some(head) = self.rooms.heads.get_mut(&room.name) {
                    *head = room.head;
                }
                bytes += 64 * room.claims;
                // Written before the text is erased.
                if !room.deletions.is_empty() {
                    self.deletions.add(room.epoch, &room.deletions);
                }
                if room.erases {
                    self.transactions.keeper.deleted();
                }
            }
            self.transactions.count_written(bytes, places);
            let (changed, outcomes_of_batch) = plan.committed();
            changed.for_each(&mut self.subscriber);
            // The usual single batch is not copied.
            if outcomes.is_empty() { outcomes = outcomes_of_batch } else { outcomes.extend(outcomes_of_batch) }
        }
        outcomes
    }
}

/// All posts, in their order.
fn posts_of<'a>(batches: &'a [Batch<'_>]) -> impl Iterator<Item = &'a Post> {
    batches.iter().flat_map(|batch| batch.posts)
}

/// The batches of commands.
fn batches<'a>(commands: &[Command<'a>]) -> Vec<Batch<'a>> {
    let batch = |command: &Command<'a>| match command {
        Command::Append(batch) => Some(*batch),
        Command::Trim(_) | Command::SetRoomsMax(_) => None,
    };
    commands.iter().filter_map(batch).collect()
}

impl Selected {
    fn of(batches: &[Batch<'_>], is_selected: impl Fn(&Post) -> bool) -> Self {
        let select =
            |batch: &Batch<'_>| (batch.posts.iter().filter(|post| is_selected(post)).cloned().collect(), batch.now);
        Self(batches.iter().map(select).collect())
    }

    fn batches(&self) -> Vec<Batch<'_>> {
        self.0.iter().map(|(posts, now)| Batch { posts, now: *now }).collect()
    }
}

/// Begins a life of the log, and reads the state of the database that appending needs.
fn load(
    transactions: &mut Transactions,
    trimmer: &mut Trimmer,
    sync: SyncMode,
    restored: bool,
    findings: &Findings,
    next: i64,
) -> rusqlite::Result<(KnownRooms, ClockState, bool)> {
    let connection = &mut transactions.connection;
    // The start of a life is on the disk before any of its data.
    connection.pragma_update(None, "synchronous", "FULL")?;
    let (is_older, messages) = start::begin(connection, sync, restored, findings, next)?;
    // From here on the database file alone identifies its life.
    connection.query_row(schema::CHECKPOINT, (), |_| Ok(()))?;
    transactions.set_up()?;
    let connection = &transactions.connection;
    trimmer.load(connection)?;
    Ok((KnownRooms::load(connection, messages)?, start::load_clock(connection)?, is_older))
}

impl Appender for SqliteAppender {
    fn subscribe(&mut self, subscriber: Subscriber) {
        self.subscriber = subscriber;
    }

    fn find(&mut self, name: &RoomName) -> Result<Option<RoomState>, LogError> {
        let stored = find_room(&self.transactions.connection, name).map_err(|error| room_error(name, &error))?;
        Ok(stored.map(|room| {
            if room.is_sealed {
                self.damage.posts(name.as_str(), SEALED);
            }
            room.state
        }))
    }

    fn apply(&mut self, commands: &[Command<'_>]) -> Result<Vec<Outcome>, LogError> {
        let mut outcomes = Vec::new();
        // Neighbouring batches share a transaction.
        for run in commands.chunk_by(|one, next| matches!((one, next), (Command::Append(_), Command::Append(_)))) {
            match run {
                [Command::Append(batch)] if commands.len() == 1 => return self.append_batches(&[*batch]),
                [Command::Trim(trim)] => self.apply_trim(trim)?,
                [Command::SetRoomsMax(max)] => self.store_rooms_max(*max)?,
                run => outcomes.extend(self.append_batches(&batches(run))?),
            }
        }
        Ok(outcomes)
    }

    fn due(&mut self, now: SystemTime) -> Result<Due, LogError> {
        self.trimmer.due(&self.transactions, now)
    }

    fn is_trim_due(&self) -> bool {
        self.trimmer.is_due()
    }

    fn date_back(&mut self, now: SystemTime) -> Result<usize, LogError> {
        self.trimmer.date_back(&self.transactions.connection, now)
    }

    fn deleted(&mut self) -> Deleted {
        self.trimmer.deleted()
    }

    fn room_count(&self) -> usize {
        self.rooms.count
    }

    fn messages_at_open(&self) -> u64 {
        self.rooms.messages
    }

    fn rooms_max(&self) -> usize {
        self.rooms.max
    }

    fn free_bytes(&self) -> u64 {
        self.transactions.free_bytes().unwrap_or(0)
    }

    fn clock(&self) -> ClockState {
        self.clock
    }

    fn keep_clock(&mut self, state: ClockState) -> Result<(), LogError> {
        self.store_clock(state, 0)
    }

    fn check_files(&mut self) -> Result<(), LogError> {
        self.transactions.check()
    }

    fn probe(&mut self, state: ClockState) -> Result<(), LogError> {
        let spare = SPACE_FOR_DELETING_PAGES + PROBE_PAGES;
        match self.store_clock(state, spare) {
            Err(LogError::Full) if self.transactions.restart_log() => self.store_clock(state, spare),
            result => result,
        }
    }
}
