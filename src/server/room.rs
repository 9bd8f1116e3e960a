//! A room: its tail in memory, and its followers.
//!
//! A commit is added to the [`tail`]; then every follower is notified (`delivery::fanout`), and reads from its own
//! [`cursor`]. Nothing is queued for a follower: one that misses a notification finds everything at its next look.
//!
//! A room is open while a handle to it exists. Only the log writer opens rooms. A room without messages is pending: it
//! exists only here, with a number and an epoch of its own. Its first message creates it in the log, which gives it
//! others.

pub mod position;
pub mod cursor;
pub mod followers;
pub mod tail;
#[cfg(test)]
mod changes_tests;

use std::collections::HashMap;
use std::ops::{Deref, RangeInclusive};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::{Mutex, RwLock};

use self::followers::{Follower, Followers, Membership};
use self::position::Position;
pub use self::tail::Now;
use self::tail::{Find, Tail, Tails};
use super::counter::Counter;
use super::log::{Changed, Log, LogError, Page, RoomState, Segment};
use crate::limits::{AHEAD_LOG_INTERVAL, TAIL_BYTES_MAX, TAILS_BYTES_MAX};
use crate::names::{Epoch, RoomId, RoomName, Seq};
use crate::threads::baton::Baton;

/// Identifies an open room within this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RoomKey(pub u64);

impl RoomKey {
    /// The number of a pending room: above those of all stored rooms.
    fn pending_id(self) -> RoomId {
        RoomId(PENDING_IDS | self.0)
    }
}

/// The lowest number of pending rooms.
const PENDING_IDS: u64 = 1 << 48;

/// Whether this is the number of a pending room.
pub fn is_pending(id: RoomId) -> bool {
    id.0 >= PENDING_IDS
}

pub struct Room {
    key: RoomKey,
    /// Changes when a pending room is created in the log.
    id: AtomicU64,
    name: RoomName,
    log: Arc<dyn Log>,
    // lock order: 2 (a leaf, held for a lookup or a push)
    tail: RwLock<Tail>,
    /// How often segments of the tail, or older ones, were replaced.
    replacements: AtomicU64,
    /// The state of the room in the log, and how often the log had trimmed before.
    // lock order: 3 (a leaf, held for a copy)
    stored: Mutex<(RoomState, u64)>,
    /// For each thread that drives streams, the followers whose streams it drives.
    shards: Box<[Shard]>,
    /// Whether an event for the followers waits to be sent with the next message.
    waits: AtomicBool,
}

/// The followers that one thread notifies.
struct Shard {
    followers: Followers,
    /// Held while a round through these followers is due. A publication meanwhile causes one more round.
    round: Baton,
    /// When the oldest publication was made that no round has begun to announce: a moment of the fan-out's clock, or 0.
    due: AtomicU64,
}

impl Default for Shard {
    fn default() -> Self {
        Self { followers: Followers::default(), round: Baton::free(), due: AtomicU64::new(0) }
    }
}

impl Room {
    /// The room in the log's state, with a tail of at most that size among those of all rooms.
    pub fn new(
        key: RoomKey,
        state: RoomState,
        log: Arc<dyn Log>,
        tail_bytes_max: usize,
        tails: Arc<Tails>,
        shards: usize,
    ) -> Self {
        let tail = RwLock::new(Tail::new(Now::from(&state), tail_bytes_max, tails));
        let shards = (0..shards).map(|_| Shard::default()).collect();
        let (id, name) = (AtomicU64::new(state.id.0), state.name.clone());
        let stored = Mutex::new((state, log.trims()));
        let (replacements, waits) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { key, id, name, log, tail, replacements, stored, shards, waits }
    }

    pub fn key(&self) -> RoomKey {
        self.key
    }

    /// The number of the room, which events of the room carry from now on.
    pub fn id(&self) -> RoomId {
        RoomId(self.id.load(Ordering::Acquire))
    }

    /// The room's epoch, as far as it is known here.
    pub fn epoch(&self) -> Epoch {
        self.stored.lock().0.epoch
    }

    /// The room was created in the log, and has no message yet.
    fn create(&self, state: &RoomState) {
        *self.stored.lock() = (state.clone(), self.log.trims());
        self.id.store(state.id.0, Ordering::Release);
    }

    pub fn name(&self) -> &RoomName {
        &self.name
    }

    /// The newest message that is published.
    pub fn head(&self) -> Seq {
        self.tail.read().head()
    }

    /// The room as it is published.
    pub fn now(&self) -> Now {
        self.tail.read().now()
    }

    /// The first of the last `count` messages of the room as it was at that moment; one above its head for none. It may
    /// be deleted. May read the disk.
    pub fn first_of_last(&self, count: u32, now: &Now) -> Result<Seq, LogError> {
        let messages = now.head.0 - now.changes;
        let number = messages.saturating_sub(count.into()) + 1;
        if count == 0 || number > messages {
            return Ok(now.head.next());
        }
        if now.changes == 0 || number == 1 {
            return Ok(Seq(number));
        }
        let found = self.tail.read().message(number);
        found.map_or_else(|| self.log.message(self.id(), number), Ok)
    }

    /// The state of the room in the log, for a client that has seen messages up to `seen`. The head may be outdated,
    /// but it is not before `seen`, if that message is stored. Reads the disk only if the log has trimmed since the
    /// last read, or if `seen` is not published. A room whose head was seen above 0 before the call is not pending.
    pub fn stored(&self, seen: Seq) -> Result<RoomState, LogError> {
        let trims = self.log.trims();
        if seen <= self.head()
            && let (state, at) = &*self.stored.lock()
            && *at == trims
        {
            return Ok(state.clone());
        }
        // Read before the log: the room may be created meanwhile.
        let head = self.head();
        let state = match self.log.find(&self.name)? {
            Some(state) => state,
            None if head == Seq::ZERO => return Ok(self.stored.lock().0.clone()),
            None => return Err(LogError::Damaged(format!("room {} is missing in the log", self.name))),
        };
        *self.stored.lock() = (state.clone(), trims);
        Ok(state)
    }

    /// The first message of the tail; one above the head if the tail is empty.
    fn tail_begin(&self) -> Seq {
        self.tail.read().begin()
    }

    /// The position of that message relative to the tail.
    fn find(&self, seq: Seq) -> Find {
        self.tail.read().find(seq)
    }

    /// Adds a follower to a shard. It MUST check its cursor once after this, for messages committed before it was
    /// added.
    pub fn follow(&self, shard: usize, follower: Arc<dyn Follower>) -> Membership {
        self.shards[shard].followers.add(follower)
    }

    pub fn unfollow(&self, shard: usize, membership: Membership) {
        self.shards[shard].followers.remove(membership);
    }

    /// The number of followers of the room.
    pub fn follower_count(&self) -> usize {
        self.shards.iter().map(|shard| shard.followers.count()).sum()
    }

    /// The followers of the room.
    pub fn followers(&self) -> impl Iterator<Item = Arc<dyn Follower>> {
        self.shards.iter().flat_map(|shard| shard.followers.all())
    }

    /// Makes a commit visible. A room that was opened between a commit and its publishing has it already.
    pub fn push(&self, segment: Arc<Segment>) {
        let mut tail = self.tail.write();
        if segment.first() > tail.head() {
            let dropped = tail.push(segment);
            drop(tail);
            drop(dropped);
        }
    }

    /// Makes all changes of a commit visible at once.
    pub fn change(&self, changed: Changed) {
        let Changed { oldest, replaced, segments, profile, .. } = changed;
        let mut tail = self.tail.write();
        let mut dropped = tail.replace(&replaced);
        dropped.extend(oldest.map_or(Vec::new(), |oldest| tail.trim(oldest)));
        for segment in segments {
            if segment.first() > tail.head() {
                dropped.extend(tail.push(segment));
            }
        }
        profile.into_iter().for_each(|profile| tail.set_profile(profile));
        self.replacements.store(tail.replacements(), Ordering::Release);
        drop(tail);
        drop(dropped);
    }

    /// How often segments were replaced. A cursor that knows a smaller number may hold such segments.
    fn replacements(&self) -> u64 {
        self.replacements.load(Ordering::Acquire)
    }

    fn was_replaced(&self, since: u64, seqs: &RangeInclusive<Seq>) -> bool {
        self.tail.read().was_replaced(since, seqs)
    }

    /// Shows how far each follower lags: how many published events it has not read. Takes locks briefly, many times.
    pub fn visit_lags(&self, mut see: impl FnMut(&dyn Follower, u64)) {
        let head = self.head();
        for shard in &self.shards {
            shard.followers.visit(|follower| {
                let next = follower.position().map(Position::next);
                next.into_iter().for_each(|next| see(follower, (head.0 + 1).saturating_sub(next.0)));
            });
        }
    }

    /// Requests a round through a shard's followers. `true` means that the caller must start it, `false` that the
    /// current round will be repeated, or that the shard has no followers. One that is added meanwhile looks by itself.
    /// `published` is when messages were published, not 0, if the round is for messages.
    pub fn begin_round(&self, shard: usize, published: Option<u64>) -> bool {
        let shard = &self.shards[shard];
        if shard.followers.count() == 0 {
            return false;
        }
        if let Some(published) = published {
            // An older publication keeps its place until a round begins. Relaxed: the baton orders what matters.
            let _ = shard.due.compare_exchange(0, published, Ordering::Relaxed, Ordering::Relaxed);
        }
        shard.round.published()
    }

    /// A round through a shard's followers begins. Returns since when it is due, if that is for messages: since the oldest
    /// publication that it announces first.
    pub fn round_begins(&self, shard: usize) -> Option<u64> {
        Some(self.shards[shard].due.swap(0, Ordering::Relaxed)).filter(|due| *due > 0)
    }

    /// Notifies a shard's followers, starting at that place. Returns how many were notified, and the place to continue
    /// with: the first one, if more was published during the round.
    pub fn tell_followers(&self, shard: usize, start: usize) -> (usize, Option<usize>) {
        let shard = &self.shards[shard];
        match shard.followers.notify(start) {
            (count, None) if shard.round.rest() => (count, None),
            (count, None) => (count, Some(0)),
            more => more,
        }
    }

    /// An event for the followers can wait. `true` means that it is the first one.
    pub fn begin_wait(&self) -> bool {
        !self.waits.swap(true, Ordering::AcqRel)
    }

    /// The waiting events are about to be announced. Later events wait again.
    pub fn end_wait(&self) {
        self.waits.swap(false, Ordering::AcqRel);
    }

    /// Reads messages older than the tail from the log. Blocks; for send threads only.
    fn read_log(&self, from: Seq, bytes_max: usize) -> Result<Page, LogError> {
        self.log.read(self.id(), from, bytes_max)
    }
}

/// The rooms that are open.
pub struct Rooms {
    log: Arc<dyn Log>,
    tails: Arc<Tails>,
    /// How many shards the followers of a room are in.
    shards: usize,
    // lock order: 1
    open: Mutex<Open>,
    next_key: AtomicU64,
    /// How often a stream has joined a room.
    joins: Counter,
    /// When the last log line about a client ahead of a room was written.
    // lock order: 3 (a leaf, held for one lookup)
    ahead_logged: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Open {
    by_name: HashMap<RoomName, OpenRoom>,
    by_id: HashMap<RoomId, Arc<Room>>,
}

struct OpenRoom {
    room: Arc<Room>,
    // Invariant: not 0.
    handles: usize,
}

/// Keeps a room open.
pub struct RoomHandle {
    rooms: Arc<Rooms>,
    room: Arc<Room>,
}

impl Rooms {
    pub fn new(log: Arc<dyn Log>, shards: usize) -> Self {
        let tails = Arc::new(Tails::new(TAILS_BYTES_MAX));
        let (open, next_key, ahead_logged) = (Mutex::default(), AtomicU64::new(1), Mutex::default());
        Self { log, tails, shards, open, next_key, joins: Counter::default(), ahead_logged }
    }

    /// Whether to log that a client is ahead of a room: any client may claim it, at any rate.
    pub fn may_log_ahead(&self) -> bool {
        let mut last = self.ahead_logged.lock();
        let may = last.is_none_or(|last| last.elapsed() >= AHEAD_LOG_INTERVAL);
        if may {
            *last = Some(Instant::now());
        }
        may
    }

    /// The room with this name, if it is open.
    pub fn get(self: &Arc<Self>, name: &RoomName) -> Option<RoomHandle> {
        let mut open = self.open.lock();
        let held = open.by_name.get_mut(name)?;
        held.handles += 1;
        Some(RoomHandle { rooms: Arc::clone(self), room: Arc::clone(&held.room) })
    }

    /// Opens a room in the log's state, or as pending. Only for the log writer, because only that thread knows that
    /// nothing is committed at the same time.
    pub fn open(self: &Arc<Self>, name: &RoomName, stored: Option<RoomState>) -> RoomHandle {
        let key = RoomKey(self.next_key.fetch_add(1, Ordering::Relaxed));
        let is_stored = stored.is_some();
        let state = stored.unwrap_or_else(|| RoomState::empty(key.pending_id(), name.clone(), Epoch::random()));
        let (log, tails) = (Arc::clone(&self.log), Arc::clone(&self.tails));
        let room = Arc::new(Room::new(key, state, log, TAIL_BYTES_MAX, tails, self.shards));
        let mut open = self.open.lock();
        if is_stored {
            open.by_id.insert(room.id(), Arc::clone(&room));
        }
        let before = open.by_name.insert(room.name.clone(), OpenRoom { room: Arc::clone(&room), handles: 1 });
        assert!(before.is_none(), "a room is opened once");
        RoomHandle { rooms: Arc::clone(self), room }
    }

    /// A room was created in the log. Only for the log writer, before it publishes the room's first segment.
    pub fn created(&self, state: &RoomState) {
        let mut open = self.open.lock();
        let Some(room) = open.by_name.get(&state.name).map(|held| Arc::clone(&held.room)) else { return };
        room.create(state);
        open.by_id.insert(state.id, room);
    }

    /// The room with that id, if it is open. A closed room has no members.
    pub fn by_id(&self, id: RoomId) -> Option<Arc<Room>> {
        self.open.lock().by_id.get(&id).cloned()
    }

    /// All open rooms. For a look at all of them, as for metrics.
    pub fn all(&self) -> Vec<Arc<Room>> {
        self.open.lock().by_name.values().map(|held| Arc::clone(&held.room)).collect()
    }

    /// How often a stream has joined a room since the start of the server.
    pub fn joins(&self) -> u64 {
        self.joins.get()
    }

    /// The number of followers of the room with that name.
    pub fn follower_count(&self, name: &RoomName) -> usize {
        let room = self.open.lock().by_name.get(name).map(|held| Arc::clone(&held.room));
        room.map_or(0, |room| room.follower_count())
    }
}

impl RoomHandle {
    /// Counts a stream that joins.
    pub fn count_join(&self) {
        self.rooms.joins.add(1);
    }
}

impl Clone for RoomHandle {
    fn clone(&self) -> Self {
        // Invariant: a room stays in the map while a handle to it exists.
        self.rooms.get(&self.room.name).expect("a held room is open")
    }
}

impl Deref for RoomHandle {
    type Target = Arc<Room>;

    fn deref(&self) -> &Arc<Room> {
        &self.room
    }
}

impl Drop for RoomHandle {
    fn drop(&mut self) {
        let mut open = self.rooms.open.lock();
        if let Some(held) = open.by_name.get_mut(&self.room.name) {
            held.handles -= 1;
            if held.handles == 0 {
                open.by_name.remove(&self.room.name);
                open.by_id.remove(&self.room.id());
            }
        }
        // The room itself, which may hold a megabyte, is freed with `self`, after the lock.
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use super::*;
    use crate::names::{Emoji, Sender};
    use crate::server::log::conformance::room;
    use crate::server::log::segment::Changes;
    use crate::server::log::{History, Part};

    /// A log in which a room gets its first message during a look that does not find it yet.
    #[derive(Default)]
    struct Creating {
        rooms: Mutex<Weak<Rooms>>,
        created: Mutex<Option<RoomState>>,
    }

    impl Log for Creating {
        fn read(&self, _room: RoomId, _from: Seq, _bytes_max: usize) -> Result<Page, LogError> {
            Ok(Page::Segments(Vec::new()))
        }

        fn history(&self, _: &RoomName, _: Part, _: u64, _: usize) -> Result<Option<History>, LogError> {
            Ok(None)
        }

        fn find(&self, name: &RoomName) -> Result<Option<RoomState>, LogError> {
            let state = RoomState::empty(RoomId(1), name.clone(), Epoch::random());
            let rooms = self.rooms.lock().upgrade().expect("the rooms are there");
            rooms.created(&state);
            rooms.by_id(state.id).unwrap().push(Arc::new(Segment::new(
                state.id,
                Seq(1),
                Seq(1),
                Changes::default(),
                vec![0],
            )));
            *self.created.lock() = Some(state);
            Ok(None)
        }

        fn message(&self, _room: RoomId, number: u64) -> Result<Seq, LogError> {
            Ok(Seq(number))
        }

        fn reactors(&self, _: RoomId, _: Seq, _: &Emoji, _: Seq, _: usize) -> Result<Vec<(Seq, Sender)>, LogError> {
            Ok(Vec::new())
        }

        fn trims(&self) -> u64 {
            0
        }

        fn rooms(&self, _after: Option<&RoomName>, _max: usize) -> Result<Vec<RoomState>, LogError> {
            Ok(Vec::new())
        }
    }

    /// The join of a client that looked at that moment was refused, because the room seemed to be missing in the log.
    #[test]
    fn a_pending_room_may_be_created_during_a_look_at_the_log() {
        let log = Arc::new(Creating::default());
        let rooms = Arc::new(Rooms::new(Arc::clone(&log) as _, 0));
        *log.rooms.lock() = Arc::downgrade(&rooms);
        let attic = rooms.open(&room("attic"), None);
        assert!(is_pending(attic.id()));
        // A client that has seen more than there is: the log is asked.
        let found = attic.stored(Seq(5)).unwrap();
        assert_eq!((Some(found), attic.head()), (log.created.lock().clone(), Seq(1)));
        assert_eq!(attic.id(), RoomId(1));
    }
}
