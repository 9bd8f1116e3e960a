//! A room: the newest end of its log in memory, and who follows it.
//!
//! A commit goes into the [`tail`]; the [`fanout`] then tells every follower, each of which reads from its own [`cursor`]. Nothing is queued for anyone: a follower that misses a call finds everything at its next look.

pub mod cursor;
pub mod fanout;
pub mod followers;
pub mod tail;

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use self::cursor::Cursor;
use self::followers::{Follower, Followers, Membership};
use self::tail::Tail;
use super::log::{Log, Page, Segment};
use super::session::baton::Baton;
use crate::limits::TAIL_BYTES_MAX;
use crate::names::{ClientId, RoomName, Seq};

pub struct Room {
    name: RoomName,
    log: Arc<dyn Log>,
    // lock order: 2 (a leaf, held for a look or a push)
    tail: RwLock<Tail>,
    /// For each poller, the followers that it serves.
    shares: Box<[Share]>,
}

/// The followers that one poller serves.
struct Share {
    followers: Followers,
    /// Held while the courier has a round through these followers to make. Who publishes meanwhile has it make another.
    round: Baton,
}

impl Room {
    /// The room with what its log holds already, a tail of at most that size, and followers on so many pollers.
    pub fn new(name: RoomName, log: Arc<dyn Log>, tail_bytes_max: usize, pollers: usize) -> Self {
        let tail = RwLock::new(Tail::new(log.head(&name), tail_bytes_max));
        Self { name, log, tail, shares: (0..pollers).map(|_| Share::new()).collect() }
    }

    pub fn name(&self) -> &RoomName {
        &self.name
    }

    /// A cursor that starts at the head: it reads what is committed from now on, without what `own` posts.
    pub fn cursor_at_head(self: &Arc<Self>, own: ClientId) -> Cursor {
        let head = self.tail.read().head();
        Cursor::new(Arc::clone(self), own, head.next())
    }

    /// Adds a follower that this poller serves. It MUST look at its cursor once after this, for what was committed
    /// before it was added.
    pub fn follow(&self, poller: usize, follower: Arc<dyn Follower>) -> Membership {
        self.shares[poller].followers.add(follower)
    }

    pub fn unfollow(&self, poller: usize, membership: Membership) {
        self.shares[poller].followers.remove(membership);
    }

    /// Makes a commit visible. A room that was opened between a commit and its publishing has it already.
    fn push(&self, segment: Arc<Segment>) {
        let mut tail = self.tail.write();
        if segment.first() > tail.head() {
            let dropped = tail.push(segment);
            drop(tail);
            drop(dropped);
        }
    }

    /// Notes that there is a commit to tell a poller's followers of. `true` says that its courier must be given the
    /// room; otherwise the courier has it already.
    fn announce(&self, poller: usize) -> bool {
        self.shares[poller].round.published()
    }

    /// Tells a poller's followers from that place on that there is something to read. Returns how many were told, and
    /// the place to go on with: the first one, if more was published during the round.
    fn tell_followers(&self, poller: usize, start: usize) -> (usize, Option<usize>) {
        let share = &self.shares[poller];
        match share.followers.tell(start) {
            (told, None) if share.round.rest() => (told, None),
            (told, None) => (told, Some(0)),
            more => more,
        }
    }

    /// Reads from the log what is older than the tail. Blocks; for send threads only.
    pub fn read_log(&self, from: Seq, bytes_max: usize) -> Page {
        self.log.read(&self.name, from, bytes_max)
    }
}

impl Share {
    fn new() -> Self {
        Self { followers: Followers::default(), round: Baton::free() }
    }
}

/// The rooms that are open.
pub struct Rooms {
    log: Arc<dyn Log>,
    pollers: usize,
    // lock order: 1
    open: Mutex<HashMap<RoomName, Arc<Room>>>,
}

impl Rooms {
    pub fn new(log: Arc<dyn Log>, pollers: usize) -> Self {
        Self { log, pollers, open: Mutex::default() }
    }

    /// The room of that name, if it is open. One that is not has nobody in it.
    pub fn get(&self, name: &RoomName) -> Option<Arc<Room>> {
        self.open.lock().get(name).cloned()
    }

    /// The room of that name, which comes into being when it is first asked for.
    pub fn open(&self, name: &RoomName) -> Arc<Room> {
        let mut open = self.open.lock();
        let make = || Arc::new(Room::new(name.clone(), Arc::clone(&self.log), TAIL_BYTES_MAX, self.pollers));
        Arc::clone(open.entry(name.clone()).or_insert_with(make))
    }
}
