//! The thread that writes the index: one more reader of the log.
//!
//! It sleeps until messages are stored, collects for [`INDEX_INTERVAL`], and indexes what it finds, in the order of
//! time. At the start, and after the index was lost, it compares the heads of all rooms with what is indexed. It changes
//! nothing that the log writer uses, and has the lowest priority of all threads.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::batch::Batch;
use super::fault::Fault;
use super::index::{Index, Position};
use super::merge::Merge;
use super::place::Identity;
use super::shared::Shared;
use crate::limits::{
    INDEX_CHECKPOINT_BYTES, INDEX_EVENTS_MAX, INDEX_EVENTS_WITHOUT_SPACE, INDEX_FINISH_MAX, INDEX_INTERVAL,
    INDEX_RELEASE_TIME, INDEX_REMOVALS_MAX, INDEX_REST_FACTOR, INDEX_RETRY_MAX, INDEX_RETRY_MIN, INDEX_TRIM_CHECK,
    INDEX_TRIM_CHECK_MAX, INDEX_TRIM_CHECK_SHARE, LISTED_ROOMS_MAX,
};
use crate::memory;
use crate::names::{RoomId, Seq};
use crate::server::log::{Log, RoomState};

/// The settings of the index thread.
pub struct Settings {
    /// Whether messages are deleted by their age, which happens without any other change of the log.
    pub deletes_by_age: bool,
    /// How long removed text may stay in the files.
    pub erase_after: Duration,
    /// Whether the disk has more free space than its reserve.
    pub has_space: Box<dyn FnMut() -> bool + Send>,
}

/// How often the index checks for trimmed messages after new ones: retention deletes soon after an append.
const TRIM_CHECKS_AFTER_EVENTS: u32 = 2;

pub struct Follower {
    log: Arc<dyn Log>,
    shared: Arc<Shared>,
    settings: Settings,
    index: Option<Index>,
    identity: Option<Identity>,
    positions: HashMap<RoomId, Position>,
    merge: Merge,
    /// The rooms whose messages before these seqs must be removed from the index. Then, rooms that no longer exist
    /// are forgotten.
    removals: VecDeque<Removal>,
    /// How often the log had trimmed when all rooms were compared.
    trims: u64,
    /// When to check whether it has trimmed since, and how many checks are left, unless messages are deleted by age.
    trim_check: Instant,
    trim_checks: u32,
    /// When to erase removed text.
    erase_at: Option<Instant>,
    /// The size of the backlog at the last step, and whether events arrive faster than they are indexed.
    missing: u64,
    is_outrun: bool,
    /// When to give memory back, if events were indexed since that was last done.
    release_at: Option<Instant>,
    /// How long to wait after the next failure.
    retry: Duration,
    failing: Option<Fault>,
}

struct Removal {
    room: RoomId,
    before: Seq,
    is_gone: bool,
}

impl Follower {
    pub fn new(log: Arc<dyn Log>, shared: Arc<Shared>, settings: Settings) -> Self {
        Self {
            log,
            shared,
            settings,
            index: None,
            identity: None,
            positions: HashMap::new(),
            merge: Merge::default(),
            removals: VecDeque::new(),
            trims: 0,
            trim_check: Instant::now(),
            trim_checks: 0,
            erase_at: None,
            missing: 0,
            is_outrun: false,
            release_at: None,
            retry: INDEX_RETRY_MIN,
            failing: None,
        }
    }

    /// Follows the log until the server stops.
    pub fn run(mut self) {
        // A lower priority of this thread alone. Without it, the index is as fast as the other threads.
        #[cfg(target_os = "linux")]
        let _ = rustix::process::setpriority_process(None, 19);
        self.shared.register();
        while !self.is_stopped() {
            let started = Instant::now();
            match self.step() {
                Ok(true) => {
                    self.succeeded();
                    if self.is_outrun {
                        self.shared.pause_until(Instant::now() + started.elapsed() * INDEX_REST_FACTOR);
                    }
                }
                Ok(false) => {
                    self.succeeded();
                    self.wait();
                }
                Err(fault) => self.failed(fault),
            }
        }
        self.finish();
    }

    fn is_stopped(&self) -> bool {
        self.shared.is_stopped.load(Ordering::Acquire)
    }

    /// Does a part of the pending work. Returns whether there is more.
    fn step(&mut self) -> Result<bool, Fault> {
        let is_replaced = self.index.is_some() && self.shared.place.identity() != self.identity;
        if self.shared.is_lost.swap(false, Ordering::AcqRel) || is_replaced {
            log::warn!("the search index was deleted, replaced or damaged: it is made again");
            self.discard()?;
        }
        if self.index.is_none() {
            self.open()?;
        }
        if self.shared.overflowed.swap(false, Ordering::AcqRel) || self.has_trimmed() {
            self.compare()?;
        }
        let removes = self.remove_some()?;
        let indexes = self.index_some()?;
        let erases = self.erase()?;
        let index = opened(&mut self.index);
        if self.shared.place.wal_bytes() > INDEX_CHECKPOINT_BYTES {
            index.checkpoint()?;
        }
        Ok(removes || indexes || erases)
    }

    /// Sleeps until there is work, and a moment longer, so that more events are indexed together.
    fn wait(&mut self) {
        self.give_back_memory();
        let checks = self.settings.deletes_by_age || self.trim_checks > 0;
        let check = checks.then_some(self.trim_check);
        self.shared.sleep_until(self.erase_at.into_iter().chain(check).chain(self.release_at).min());
        self.shared.pause_until(Instant::now() + INDEX_INTERVAL);
    }

    /// After a flood, the caches of the index have their maximum, of some tens of megabytes.
    fn give_back_memory(&mut self) {
        if self.release_at.is_some_and(|at| at <= Instant::now())
            && let Some(index) = &self.index
        {
            self.release_at = None;
            index.release_memory();
            memory::give_back();
        }
    }

    /// Whether messages were deleted from the old end of the log since all rooms were compared. Checks once per
    /// interval.
    fn has_trimmed(&mut self) -> bool {
        if Instant::now() < self.trim_check {
            return false;
        }
        self.trim_check = Instant::now() + INDEX_TRIM_CHECK.min(self.settings.erase_after);
        self.trim_checks = self.trim_checks.saturating_sub(1);
        self.log.trims() != self.trims
    }

    fn succeeded(&mut self) {
        self.retry = INDEX_RETRY_MIN;
        if self.failing.take().is_some() {
            log::info!("the search index is written again");
        }
    }

    fn failed(&mut self, fault: Fault) {
        // Events that were read may not have been indexed.
        self.reset_merge();
        if matches!(fault, Fault::Damaged(_)) {
            self.shared.is_lost.store(true, Ordering::Release);
        }
        if self.index.is_none() {
            self.shared.close(Some(fault.clone()));
        }
        if self.failing.as_ref() != Some(&fault) {
            log::error!("the search index can't be written: {fault}; posting goes on");
            self.failing = Some(fault);
        }
        self.shared.pause_until(Instant::now() + self.retry);
        self.retry = (self.retry * 2).min(INDEX_RETRY_MAX);
    }

    /// Opens the index, and compares it with the log.
    fn open(&mut self) -> Result<(), Fault> {
        let mut index = Index::open(&self.shared.place).or_else(|fault| match fault {
            Fault::Damaged(fault) => {
                log::warn!("the search index is not used, and is made again: {fault}");
                self.remove_file()?;
                Index::open(&self.shared.place)
            }
            fault => Err(fault),
        })?;
        let mut positions = index.positions()?;
        let rooms = self.rooms()?;
        // The indexed seqs may belong to other events now, or the log may lack the indexed events.
        let is_other = |state: &RoomState| {
            let position = positions.get(&state.id);
            position.is_some_and(|position| position.epoch != state.epoch || position.seq > state.head)
        };
        if rooms.iter().any(is_other) {
            log::info!("the log has another history than the search index, which is made again");
            drop(index);
            self.remove_file()?;
            index = Index::open(&self.shared.place)?;
            positions = HashMap::new();
        }
        let readers: Result<_, _> = (0..Shared::readers_max()).map(|_| self.shared.place.connect_reader()).collect();
        self.positions = positions;
        self.shared.overflowed.store(false, Ordering::Release);
        self.compare_with(&index, &rooms)?;
        self.shared.open(index.key(), readers?);
        self.identity = self.shared.place.identity();
        self.index = Some(index);
        let missing = self.shared.backlog.lock().count(|_| true);
        if missing > 0 {
            log::info!("the search index lacks {missing} stored events, which are indexed now");
        }
        Ok(())
    }

    /// Closes and deletes the index, so that it is made again.
    fn discard(&mut self) -> Result<(), Fault> {
        self.shared.close(None);
        self.index = None;
        self.positions.clear();
        self.merge = Merge::default();
        self.removals.clear();
        self.erase_at = None;
        let mut backlog = self.shared.backlog.lock();
        backlog.clear();
        drop(backlog);
        self.remove_file()
    }

    /// Discards the events that were read, so that those that are not indexed are read again.
    fn reset_merge(&mut self) {
        self.merge = Merge::default();
        self.shared.backlog.lock().put_back();
    }

    fn remove_file(&self) -> Result<(), Fault> {
        self.shared.place.remove().map_err(|fault| Fault::Unavailable(format!("can't delete the old index: {fault}")))
    }

    /// All rooms of the log.
    fn rooms(&mut self) -> Result<Vec<RoomState>, Fault> {
        let (started, trims) = (Instant::now(), self.log.trims());
        let mut rooms: Vec<RoomState> = Vec::new();
        loop {
            let last = rooms.last().map(|room| room.name.clone());
            let page = self.log.rooms(last.as_ref(), LISTED_ROOMS_MAX)?;
            if page.is_empty() {
                break;
            }
            rooms.extend(page);
        }
        self.trims = trims;
        let pause = (started.elapsed() * INDEX_TRIM_CHECK_SHARE).clamp(INDEX_TRIM_CHECK, INDEX_TRIM_CHECK_MAX);
        self.trim_check = Instant::now() + pause.min(self.settings.erase_after);
        Ok(rooms)
    }

    /// Compares the heads and the oldest messages of all rooms with the index.
    fn compare(&mut self) -> Result<(), Fault> {
        let rooms = self.rooms()?;
        // Segments that were read before may have been trimmed since.
        self.reset_merge();
        let Some(index) = self.index.take() else { return Ok(()) };
        let compared = self.compare_with(&index, &rooms);
        self.index = Some(index);
        compared
    }

    fn compare_with(&mut self, index: &Index, rooms: &[RoomState]) -> Result<(), Fault> {
        let mut gone: BTreeMap<RoomId, Position> = self.positions.iter().map(|(room, at)| (*room, *at)).collect();
        self.removals.clear();
        let mut backlog = self.shared.backlog.lock();
        for state in rooms {
            let next = self.positions.get(&state.id).map_or(Seq(1), |position| position.seq.next());
            backlog.compare(state, next.max(state.oldest));
            gone.remove(&state.id);
        }
        drop(backlog);
        for state in rooms.iter().filter(|state| self.positions.contains_key(&state.id)) {
            if index.count_before(state.id, state.oldest)? > 0 {
                self.removals.push_back(Removal { room: state.id, before: state.oldest, is_gone: false });
            }
        }
        let everything = Seq(u64::MAX);
        self.removals.extend(gone.into_keys().map(|room| Removal { room, before: everything, is_gone: true }));
        Ok(())
    }

    /// Removes some messages that the log no longer has. Returns whether there are more.
    fn remove_some(&mut self) -> Result<bool, Fault> {
        if self.removals.is_empty() {
            return Ok(false);
        }
        let index = opened(&mut self.index);
        let counts = self.removals.iter().map(|removal| index.count_before(removal.room, removal.before));
        let count = counts.sum::<Result<u64, Fault>>()?;
        index.expect_removals(count);
        let removals = &self.removals;
        let done = index.change(|index| {
            let (mut left, mut done) = (INDEX_REMOVALS_MAX, Vec::new());
            for removal in removals {
                left -= index.remove_before(removal.room, removal.before, left)?;
                if left == 0 {
                    break;
                }
                if removal.is_gone {
                    index.forget_room(removal.room)?;
                }
                done.push((removal.room, removal.is_gone));
            }
            Ok(done)
        })?;
        for (room, is_gone) in done {
            self.removals.pop_front();
            if is_gone {
                self.positions.remove(&room);
            }
        }
        Ok(!self.removals.is_empty())
    }

    /// Indexes some of the missing events. Returns whether there is more.
    fn index_some(&mut self) -> Result<bool, Fault> {
        let (taken_up, missing) = {
            let mut backlog = self.shared.backlog.lock();
            self.shared.collect(&mut backlog);
            (backlog.take_up(), backlog.count(|_| true))
        };
        self.is_outrun = missing > self.missing && missing > INDEX_EVENTS_MAX as u64;
        self.missing = missing;
        if missing > INDEX_EVENTS_WITHOUT_SPACE && !(self.settings.has_space)() {
            return Err(Fault::Full);
        }
        let mut read = HashMap::new();
        for (room, mut missing) in taken_up {
            // It may have been indexed before it was announced.
            if let Some(position) = self.positions.get(&room) {
                missing.next = missing.next.max(position.seq.next());
            }
            if missing.next > missing.head || !self.merge.add(&*self.log, room, missing)? {
                read.insert(room, missing.head);
            }
        }
        if self.merge.is_empty() && read.is_empty() {
            return Ok(false);
        }
        self.trim_checks = TRIM_CHECKS_AFTER_EVENTS;
        let (log, merge, shared, release_at) = (&*self.log, &mut self.merge, &self.shared, &mut self.release_at);
        let indexed = opened(&mut self.index).change(|index| {
            let mut batch = Batch { log, index, events: 0, bytes: 0 };
            read.extend(merge.read(log, |entry| batch.take(entry))?);
            if batch.events > 0 {
                release_at.get_or_insert(Instant::now() + INDEX_RELEASE_TIME);
            }
            let indexed: Vec<_> = {
                let backlog = shared.backlog.lock();
                let epoch = |room| backlog.room(room).map(|known| known.epoch);
                read.iter().map(|(room, seq)| (*room, *seq, epoch(*room))).collect()
            };
            for (room, seq, epoch) in &indexed {
                if let Some(epoch) = *epoch {
                    batch.index.set_position(*room, Position { epoch, seq: *seq })?;
                }
            }
            Ok(indexed)
        })?;
        let mut backlog = self.shared.backlog.lock();
        for (room, seq, epoch) in indexed {
            backlog.indexed(room, seq);
            match epoch {
                Some(epoch) => drop(self.positions.insert(room, Position { epoch, seq })),
                // The announcement of the room is lost.
                None => self.shared.overflowed.store(true, Ordering::Release),
            }
        }
        Ok(!self.merge.is_empty())
    }

    /// Erases removed text from the files when that is due. Returns whether there is more to do at once.
    fn erase(&mut self) -> Result<bool, Fault> {
        let index = opened(&mut self.index);
        if !index.has_remains() {
            self.erase_at = None;
            return Ok(false);
        }
        let now = Instant::now();
        let due = *self.erase_at.get_or_insert(now + self.settings.erase_after);
        if due > now {
            return Ok(false);
        }
        if index.merge()? {
            return Ok(true);
        }
        // Words that were removed during the merge are erased by the next one.
        let pause = if index.erase()? { self.settings.erase_after } else { INDEX_RETRY_MIN };
        self.erase_at = index.has_remains().then_some(now + pause);
        Ok(false)
    }

    /// Indexes the rest, and erases removed text. If that takes too long, the index is deleted, because it could keep
    /// deleted text forever.
    fn finish(mut self) {
        let deadline = Instant::now() + INDEX_FINISH_MAX;
        (self.trim_check, self.erase_at) = (Instant::now(), Some(Instant::now()));
        self.settings.erase_after = Duration::ZERO;
        let is_finished = loop {
            match self.step() {
                Ok(true) if Instant::now() < deadline => {}
                Ok(more) => break !more && opened(&mut self.index).erase().unwrap_or(false),
                Err(fault) => {
                    log::error!("the search index can't be finished: {fault}");
                    break false;
                }
            }
        };
        self.shared.close(Some(Fault::Unavailable("the server is shutting down".to_owned())));
        if !is_finished {
            log::warn!("the search index is deleted, and made again at the next start: it was not complete");
            self.index = None;
            if let Err(fault) = self.remove_file() {
                log::error!("{fault}");
            }
        }
    }
}

/// Invariant: every step opens the index first.
fn opened(index: &mut Option<Index>) -> &mut Index {
    index.as_mut().expect("the index is open")
}
