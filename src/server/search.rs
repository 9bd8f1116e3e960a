//! Search: an index of the words of all messages, and queries on it.
//!
//! The index is one more reader of the log: a thread follows the rooms, and writes to a SQLite database of its own
//! (FTS5), in the same transaction as its read positions. Posts do not wait for it. The database is derived from the
//! log, so it can be deleted at any time, and is rebuilt while the server runs.
//!
//! The index only locates messages: results are read from the log and checked against the query again. So text that was
//! edited or deleted is never returned, however far the index lags.

pub mod words;
pub mod query;
pub mod fault;
mod schema;
pub mod place;
mod separators;
mod index;
mod backlog;
mod batch;
mod merge;
mod token;
mod lookup;
mod shared;
mod follower;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use self::fault::Fault;
use self::follower::{Follower, Settings};
pub use self::lookup::{Hit, Wanted};
use self::place::Place;
pub use self::query::{InvalidQuery, Query};
use self::shared::{Reader, Shared};
use super::log::{Log, Published, Retention};
use crate::limits::INDEX_FINISH_MAX;
use crate::names::{Epoch, RoomId, RoomName};
use crate::threads;

/// The location of the index, and its settings.
pub struct SearchConfig<'a> {
    /// The data folder; `None` for an index in memory.
    pub folder: Option<&'a Path>,
    pub retention: Retention,
    /// Whether the disk has more free space than its reserve.
    pub has_space: Box<dyn FnMut() -> bool + Send>,
}

/// Owns the index thread, and joins it.
pub struct SearchThread {
    search: Arc<Search>,
    thread: Option<JoinHandle<()>>,
}

/// The index, for threads that search.
pub struct Search {
    shared: Arc<Shared>,
}

/// Announces publications of the log to the index.
pub struct Announcer(Arc<Shared>);

impl Announcer {
    /// Never blocks.
    pub fn published(&self, published: &Published) {
        self.0.published(published);
    }
}

/// A search in progress: all its reads are from one file.
pub struct Lookup<'a> {
    reader: Reader<'a>,
    shared: &'a Shared,
}

impl SearchThread {
    /// Starts the thread, which opens the index. Messages that are published before this returns are found in the log.
    pub fn start(log: Arc<dyn Log>, config: SearchConfig<'_>) -> io::Result<Self> {
        let SearchConfig { folder, retention, has_space } = config;
        let shared = Shared::new(folder.map_or_else(|| Ok(Place::memory()), Place::folder)?);
        let settings =
            Settings { deletes_by_age: retention.time.is_some(), erase_after: retention.erase_after, has_space };
        let follower = Follower::new(log, Arc::clone(&shared), settings);
        let thread = threads::spawn("search-index", move || follower.run())?;
        Ok(Self { search: Arc::new(Search { shared }), thread: Some(thread) })
    }

    pub fn search(&self) -> Arc<Search> {
        Arc::clone(&self.search)
    }

    /// For the thread that publishes.
    pub fn announcer(&self) -> Announcer {
        Announcer(Arc::clone(&self.search.shared))
    }

    /// Indexes the rest, and ends the thread. Takes a moment, and [`INDEX_FINISH_MAX`] at most. A thread that takes
    /// longer because of a bug is not joined.
    pub fn stop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.search.shared.is_stopped.store(true, Ordering::Release);
        thread.thread().unpark();
        if !threads::join_until(thread, Instant::now() + INDEX_FINISH_MAX + Duration::from_secs(5)) {
            log::error!("the thread of the search index did not end in time");
        }
    }
}

impl Drop for SearchThread {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Search {
    /// Begins a search.
    pub fn lookup(&self) -> Result<Lookup<'_>, Fault> {
        Ok(Lookup { reader: self.shared.reader()?, shared: &self.shared })
    }

    /// The number of a room that is stored.
    pub fn room_id(&self, name: &RoomName) -> Option<RoomId> {
        self.collected().id(name)
    }

    /// The name and the epoch of a room that is stored.
    pub fn room(&self, id: RoomId) -> Option<(RoomName, Epoch)> {
        self.collected().room(id).map(|room| (room.name.clone(), room.epoch))
    }

    /// How many events are stored but not indexed, in the rooms whose names satisfy `passes`.
    pub fn behind(&self, passes: impl Fn(&RoomName) -> bool) -> u64 {
        self.collected().count(passes)
    }

    fn collected(&self) -> parking_lot::MutexGuard<'_, backlog::Backlog> {
        let mut backlog = self.shared.backlog.lock();
        self.shared.collect(&mut backlog);
        backlog
    }
}

impl Lookup<'_> {
    /// The newest hits before an id, at most `max`.
    pub fn find(&self, wanted: &Wanted<'_>, before: Option<i64>, max: usize) -> Result<Vec<Hit>, Fault> {
        let found = lookup::find(self.reader.connection(), wanted, before, max);
        if let Err(Fault::Damaged(_)) = &found {
            self.shared.lose();
        }
        found
    }

    /// The token for the entries before this id.
    pub fn token(&self, id: i64) -> String {
        token::token(&self.reader.key, id)
    }

    /// The id in a token; `None` if it is not a token of this index.
    pub fn id(&self, token: &str) -> Option<i64> {
        token::id(&self.reader.key, token)
    }
}
