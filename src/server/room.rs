//! A room: the newest end of its log in memory, and who follows it.
//!
//! A commit goes in at [`Room::publish`]; the fan-out thread then tells every follower, each of which reads from its own
//! [`cursor`]. Nothing is queued for anyone: a follower that misses a call finds everything at its next look.

pub mod cursor;
pub mod fanout;
pub mod followers;
pub mod tail;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};

use self::cursor::Cursor;
use self::followers::{Follower, Followers, Membership};
use self::tail::Tail;
use super::log::{Log, Page, Segment};
use crate::limits::TAIL_BYTES_MAX;
use crate::names::{ClientId, RoomName, Seq};

pub struct Room {
    name: RoomName,
    log: Arc<dyn Log>,
    // lock order: 2 (a leaf, held for a look or a push)
    tail: RwLock<Tail>,
    followers: Followers,
    /// Whether the fan-out thread has been told of a commit that it has not looked at yet.
    announced: AtomicBool,
}

impl Room {
    /// The room with what its log holds already, and a tail of at most that size.
    pub fn new(name: RoomName, log: Arc<dyn Log>, tail_bytes_max: usize) -> Self {
        let tail = RwLock::new(Tail::new(log.head(&name), tail_bytes_max));
        Self { name, log, tail, followers: Followers::default(), announced: AtomicBool::new(false) }
    }

    pub fn name(&self) -> &RoomName {
        &self.name
    }

    /// A cursor that starts at the head: it reads what is committed from now on, without what `own` posts.
    pub fn cursor_at_head(self: &Arc<Self>, own: ClientId) -> Cursor {
        let head = self.tail.read().head();
        Cursor::new(Arc::clone(self), own, head.next())
    }

    /// Adds a follower. It MUST look at its cursor once after this, for what was committed before it was added.
    pub fn follow(&self, follower: Arc<dyn Follower>) -> Membership {
        self.followers.add(follower)
    }

    pub fn unfollow(&self, membership: Membership) {
        self.followers.remove(membership);
    }

    /// Makes a commit visible. Returns whether the fan-out thread must be told of it, which is so once for all the
    /// commits until it next calls [`Room::tell_followers`].
    fn publish(&self, segment: Arc<Segment>) -> bool {
        let dropped = self.tail.write().push(segment);
        drop(dropped);
        !self.announced.swap(true, Ordering::AcqRel)
    }

    /// Tells every follower that there is something to read.
    fn tell_followers(&self) {
        // Taken back before anyone looks: a commit from here on announces itself anew.
        self.announced.swap(false, Ordering::AcqRel);
        self.followers.tell_all();
    }

    /// Reads from the log what is older than the tail. Blocks; for send threads only.
    pub fn read_log(&self, from: Seq, bytes_max: usize) -> Page {
        self.log.read(&self.name, from, bytes_max)
    }
}

/// The rooms that are open.
pub struct Rooms {
    log: Arc<dyn Log>,
    // lock order: 1
    open: Mutex<HashMap<RoomName, Arc<Room>>>,
}

impl Rooms {
    pub fn new(log: Arc<dyn Log>) -> Self {
        Self { log, open: Mutex::default() }
    }

    /// The room of that name, which comes into being when it is first asked for.
    pub fn open(&self, name: &RoomName) -> Arc<Room> {
        let mut open = self.open.lock();
        let make = || Arc::new(Room::new(name.clone(), Arc::clone(&self.log), TAIL_BYTES_MAX));
        Arc::clone(open.entry(name.clone()).or_insert_with(make))
    }
}
