//! The log writer: the one thread that appends, and the one that opens rooms.
//!
//! It takes all waiting posts, commits them as one batch, publishes them, and reports the outcomes to the posters;
//! posts that arrive meanwhile form the next batch. So batches form under load only: a single post is committed at
//! once, a flood in large groups. Because rooms are opened on the same thread, the contents of a room at its opening
//! are well defined: everything committed before, and everything committed later is published to it.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use super::append_queue::{self, Lanes, Order, Orders, Poster, Waited};
use super::commits::Commits;
use super::gauges::{Gauges, Resource};
use super::health::HealthState;
use super::log::clock::Clock;
use super::log::{Appended, Appender, ClockState, Command, Deleted, LogError, Post, Subscriber};
use super::refusals::{Limit, Refusals};
use super::reserve::DiskReserve;
use super::storing::Storing;
use crate::limits::{CLOCK_KEEP_INTERVAL, TRIM_INTERVAL, TRIM_LOG_INTERVAL, TRIM_RETRY, TRIM_WAIT_MAX};
use crate::names::{RoomName, Seq};
use crate::server::room::{RoomHandle, Rooms};
use crate::threads;

/// Starts the writer. It ends when the returned lanes, and all that they opened, are dropped and no order waits.
///
/// `publish` is called on the writer's thread with each part of a commit, in order.
pub fn spawn(
    mut appender: Box<dyn Appender>,
    rooms: Arc<Rooms>,
    clock: Clock,
    reserve: Option<DiskReserve>,
    watch: Watch,
    publish: Subscriber,
) -> io::Result<(Lanes, JoinHandle<()>)> {
    let (lanes, orders) = append_queue::new();
    appender.subscribe(publish);
    let kept = appender.clock();
    let storing = Storing::new(reserve, Arc::clone(&watch.gauges), Arc::clone(&watch.health));
    let writer = Writer {
        appender,
        rooms,
        clock,
        storing,
        watch,
        kept,
        deleted: Deleted::default(),
        told: None,
        failing: None,
        trim_failing: false,
    };
    let thread = threads::spawn("log-writer", move || writer.run(&orders))?;
    Ok((lanes, thread))
}

/// The maximum number of rooms is a part of the log, since posts are refused by it.
pub fn set_rooms_max(appender: &mut dyn Appender, max: usize) {
    if appender.rooms_max() != max
        && let Err(error) = appender.apply(&[Command::SetRoomsMax(max)])
    {
        let max = appender.rooms_max();
        log::warn!(
            "the maximum number of rooms stays {max} until the next start, because the log can't store another: {error}"
        );
    }
}

/// Where the writer reports what it does, that rooms or space run out, and that it can't store messages.
#[derive(Default)]
pub struct Watch {
    pub refusals: Arc<Refusals>,
    pub gauges: Arc<Gauges>,
    pub commits: Arc<Commits>,
    pub health: Arc<HealthState>,
}

struct Writer {
    appender: Box<dyn Appender>,
    rooms: Arc<Rooms>,
    clock: Clock,
    storing: Storing,
    watch: Watch,
    /// The clock's state that was last stored.
    kept: ClockState,
    /// The deletions of retention that were not logged yet, and the time of the last log line.
    deleted: Deleted,
    told: Option<Instant>,
    /// Why messages can't be stored, so that it is logged once when that begins, and once when it ends.
    failing: Option<LogError>,
    /// The same for trimming.
    trim_failing: bool,
}

/// The posts of one order, within a batch.
struct Share {
    poster: Arc<dyn Poster>,
    count: usize,
}

impl Writer {
    fn run(mut self, orders: &Orders) {
        // A log that was just opened is trimmed now.
        let mut trim_at = Some(self.clock.age_time());
        self.report_rooms();
        let mut batch = Vec::new();
        loop {
            let now = self.clock.age_time();
            // The clock may be set meanwhile, so the wait is bounded.
            let trim_in = trim_at.map(|at| at.duration_since(now).unwrap_or_default().min(TRIM_WAIT_MAX));
            match self.wait(orders, &mut batch, trim_in) {
                Waited::Batch => self.commit(&mut batch),
                Waited::TimedOut => {}
                Waited::Ended => break,
            }
            let now = self.clock.age_time();
            self.watch.commits.set_clock_doubted(self.clock.is_doubted());
            trim_at = match trim_at {
                Some(at) if at <= now => self.trim(now),
                at if self.trim_failing => at,
                _ if self.appender.is_trim_due() => Some(now),
                // The appended posts may have pushed other messages beyond what is kept.
                at => Some(at.unwrap_or(now + TRIM_INTERVAL).min(now + TRIM_INTERVAL)),
            };
        }
        self.tell_deleted(true);
        self.clock.age_time();
        self.keep_clock();
    }

    /// Waits for orders, and meanwhile checks whether messages can be stored.
    fn wait(&mut self, orders: &Orders, batch: &mut Vec<Order>, timeout: Option<Duration>) -> Waited {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        loop {
            let until = [deadline, self.storing.next_check()].into_iter().flatten().min();
            match orders.next(batch, until.map(|until| until.saturating_duration_since(Instant::now()))) {
                Waited::TimedOut if deadline.is_none_or(|deadline| Instant::now() < deadline) => {
                    let checked = self.storing.check(&mut *self.appender, self.clock.state(), Instant::now());
                    self.log_check(&checked);
                }
                waited => return waited,
            }
        }
    }

    /// Frees space by deleting messages that are due, without a log line on failure. Returns whether it deleted
    /// something.
    fn make_room(&mut self) -> bool {
        let now = self.clock.age_time();
        let trimmed = self.appender.trim(now);
        trimmed.is_ok() && self.take_deleted() > 0
    }

    /// Records what trimming has deleted. Returns how many messages.
    fn take_deleted(&mut self) -> u64 {
        let Deleted { messages, rooms } = self.appender.deleted();
        self.deleted.messages += messages;
        self.watch.commits.deleted.add(messages);
        self.deleted.rooms.extend(rooms);
        messages
    }

    /// Does one step of trimming. Returns when to continue.
    fn trim(&mut self, now: SystemTime) -> Option<SystemTime> {
        let trimmed = self.appender.trim(now);
        match &trimmed {
            // The log line that nothing can be stored is more important.
            Err(error) if !self.trim_failing && self.failing.is_none() => {
                log::warn!("old messages can't be deleted: {error}")
            }
            Ok(_) if self.trim_failing && self.failing.is_none() => log::info!("deleting old messages works again"),
            _ => {}
        }
        self.trim_failing = trimmed.is_err();
        let mut next = trimmed.unwrap_or(Some(now + TRIM_RETRY));
        if next.is_none_or(|next| next > now) && self.date_back(now) {
            next = Some(now);
        }
        self.take_deleted();
        // A pass is over once there is nothing more to do now.
        if next.is_none_or(|next| next > now) {
            self.tell_deleted(false);
            if let Some(warning) = self.clock.warning() {
                log::warn!("{warning}");
            }
            let (state, kept) = (self.clock.state(), self.kept);
            let since =
                |now_ms: u64, kept_ms: u64| u128::from(now_ms.abs_diff(kept_ms)) >= CLOCK_KEEP_INTERVAL.as_millis();
            if since(state.time_ms, kept.time_ms)
                || since(state.age_ms, kept.age_ms)
                || since(state.held_ms, kept.held_ms)
            {
                self.keep_clock();
            }
            if self.deleted.messages > 0 {
                next = Some(next.map_or(now + TRIM_LOG_INTERVAL, |next| next.min(now + TRIM_LOG_INTERVAL)));
            }
        }
        next
    }

    /// Dates messages from the future back. Returns whether there were any.
    fn date_back(&mut self, now: SystemTime) -> bool {
        if !self.clock.is_trusted() {
            return false;
        }
        match self.appender.date_back(now) {
            Ok(0) => return false,
            Ok(rooms) => log::warn!(
                "the oldest messages of {rooms} rooms are dated ahead of the clock: retention by age uses the time \
                 of the next message that is not, or of this start of the server"
            ),
            Err(error) => {
                log::warn!("the dates of old messages can't be checked: {error}");
                return false;
            }
        }
        true
    }

    /// Logs what retention has deleted, at intervals.
    fn tell_deleted(&mut self, at_once: bool) {
        if self.deleted.messages > 0 && (at_once || self.told.is_none_or(|at| at.elapsed() >= TRIM_LOG_INTERVAL)) {
            let Deleted { messages, rooms } = std::mem::take(&mut self.deleted);
            log::info!("retention deleted {messages} messages in {} rooms", rooms.len());
            self.told = Some(Instant::now());
        }
    }

    fn keep_clock(&mut self) {
        let state = self.clock.state();
        match self.appender.keep_clock(state) {
            Ok(()) => self.kept = state,
            Err(error) => log::warn!("the time can't be stored in the log: {error}"),
        }
    }

    /// Opens the rooms of a batch, and commits its posts.
    fn commit(&mut self, batch: &mut Vec<Order>) {
        let (mut posts, mut shares) = (Vec::new(), Vec::new());
        for order in batch.drain(..) {
            match order {
                Order::Posts { posts: more, poster } => {
                    shares.push(Share { poster, count: more.len() });
                    posts.extend(more);
                }
                // If the client is gone, the handle is dropped here.
                Order::Room { name, reply } => drop(reply.send(self.open(&name))),
                Order::RoomsMax(max) => {
                    set_rooms_max(&mut *self.appender, max);
                    self.report_rooms();
                }
            }
        }
        if !posts.is_empty() {
            self.append(&posts, &shares);
        }
    }

    fn open(&mut self, name: &RoomName) -> Result<RoomHandle, LogError> {
        match self.rooms.get(name) {
            Some(hold) => Ok(hold),
            None => Ok(self.rooms.open(name, self.appender.find(name)?)),
        }
    }

    fn append(&mut self, posts: &[Post], shares: &[Share]) {
        let (now, begun) = (self.clock.time(), Instant::now());
        let posted = posts.iter().map(Post::bytes).sum();
        let checked = self.storing.check_reserve(posted, || self.appender.free_bytes(), begun);
        let mut result = checked.and_then(|()| self.appender.append(posts, now));
        if let Err(LogError::Full) = result {
            // Deleting needs no space, and frees some.
            if self.make_room() {
                result = self.appender.append(posts, now);
            }
        }
        if result.is_ok() {
            self.watch.commits.committed(begun.elapsed(), posts.len());
        }
        self.log_change(result.as_ref().err());
        self.storing.tried(result.as_ref().err(), Instant::now());
        let outcomes = match result {
            Ok(outcomes) => outcomes,
            Err(error) => vec![Err(error); posts.len()],
        };
        self.watch.commits.count(posts, &outcomes);
        if outcomes.iter().any(|outcome| matches!(outcome, Ok(Appended::New(_, Seq(1))))) {
            self.report_rooms();
        }
        for outcome in &outcomes {
            if matches!(outcome, Err(LogError::TooManyRooms(_))) {
                self.watch.refusals.exceeded(Limit::Rooms, None);
            }
        }
        let mut start = 0;
        for Share { poster, count } in shares {
            let range = start..start + count;
            start += count;
            poster.settled(&posts[range.clone()], &outcomes[range]);
        }
    }

    fn report_rooms(&self) {
        let (count, max) = (self.appender.room_count(), self.appender.rooms_max());
        self.watch.gauges.report(Resource::Rooms, count, max);
    }

    /// A server that can't store messages may get none that shows it, because its health is known. If the disk is full,
    /// only a message shows that this is over: a check writes less than the longest.
    fn log_check(&mut self, checked: &Result<(), LogError>) {
        match (checked, &self.failing) {
            (Err(error @ (LogError::Reserve | LogError::Unavailable(_))), None) => self.log_change(Some(error)),
            (Ok(()), Some(LogError::Reserve | LogError::Unavailable(_))) => self.log_change(None),
            _ => {}
        }
    }

    fn log_change(&mut self, error: Option<&LogError>) {
        match error {
            // The error's own text is for clients.
            Some(LogError::Reserve) if self.failing.is_none() => log::error!(
                "messages are rejected, because the disk has less free space than its reserve: free some space, delete \
                 messages (--log-bytes-max, --retain-for), or lower --disk-reserve"
            ),
            Some(error) if self.failing.is_none() => log::error!("messages can't be stored and are rejected: {error}"),
            None if self.failing.is_some() => log::info!("storing messages works again"),
            _ => {}
        }
        self.failing = error.cloned();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crossbeam_channel::Receiver;

    use super::*;
    use crate::limits::{BATCH_BYTES_MAX, BATCH_POSTS_MAX, ORDER_POSTS_MAX, TAIL_BYTES_MAX};
    use crate::server::append_queue::Lane;
    use crate::server::log::clock::Machine;
    use crate::server::log::clock::tests::{DAY, Fake, MINUTE, NOW, YEAR};
    use crate::server::log::conformance::{post_without_id, room};
    use crate::server::log::sqlite::{self, SyncMode};
    use crate::server::log::{Log, Outcome, Published, Retention, Segment, Sides, memory};

    struct Nobody;

    impl Poster for Nobody {
        fn settled(&self, _posts: &[Post], outcomes: &[Outcome]) {
            assert!(outcomes.iter().all(Result::is_ok));
        }
    }

    struct Running {
        log: Arc<dyn Log>,
        lane: Lane,
        published: Receiver<Arc<Segment>>,
        thread: JoinHandle<()>,
    }

    fn start(retention: Retention) -> Running {
        let (appender, log) = memory::open(usize::MAX, retention);
        let clock = Clock::new(Box::new(Machine), appender.clock(), retention.time, false);
        run((Box::new(appender), log), clock)
    }

    fn run((appender, log): Sides, clock: Clock) -> Running {
        let rooms = Arc::new(Rooms::new(Arc::clone(&log), 0));
        let (publish, published) = crossbeam_channel::unbounded();
        let publish: Subscriber = Box::new(move |part| {
            if let Published::Segment(segment) = part {
                drop(publish.send(segment));
            }
        });
        let spawned = spawn(appender, rooms, clock, None, Watch::default(), publish);
        let (lanes, thread) = spawned.expect("a thread starts");
        Running { log, lane: lanes.open(None), published, thread }
    }

    fn order(count: usize, bytes: usize) -> Order {
        let posts = (0..count).map(|_| post_without_id(&room("attic"), "ann", &"x".repeat(bytes))).collect();
        Order::Posts { posts, poster: Arc::new(Nobody) }
    }

    #[test]
    fn a_batch_takes_what_waits_within_its_bounds() {
        let Running { lane, published, thread, .. } = start(Retention::default());
        for _ in 0..100 {
            lane.push(order(ORDER_POSTS_MAX, 1)).unwrap();
            lane.push(order(1, 10_000)).unwrap();
        }
        drop(lane);
        thread.join().unwrap();
        let segments: Vec<_> = published.iter().collect();
        assert_eq!(segments.last().unwrap().last(), Seq(100 * (ORDER_POSTS_MAX as u64 + 1)));
        for segment in segments {
            assert!(segment.last().0 - segment.first().0 < (BATCH_POSTS_MAX + ORDER_POSTS_MAX) as u64);
            assert!(segment.bytes() < 4 * BATCH_BYTES_MAX && segment.bytes() < TAIL_BYTES_MAX / 4);
        }
    }

    /// A bound in time, due in an hour, once kept the bound in number from being looked at until then.
    #[test]
    fn both_retentions_hold() {
        let retention = Retention { time: Some(Duration::from_secs(3600)), messages: Some(10), ..Retention::default() };
        let Running { log, lane, published, thread } = start(retention);
        let deadline = Instant::now() + Duration::from_secs(30);
        for _ in 0..50 {
            lane.push(order(1, 1)).unwrap();
            // A segment each, since they are trimmed as a whole.
            published.recv().unwrap();
        }
        let state = || log.find(&room("attic")).unwrap();
        while state().is_none_or(|state| state.oldest != Seq(41)) {
            assert!(Instant::now() < deadline, "not trimmed: {:?}", state());
            std::thread::park_timeout(Duration::from_millis(2));
        }
        drop(lane);
        thread.join().unwrap();
    }

    /// A server that keeps messages for 90 days was started once with its clock ten years ahead. All its messages were
    /// deleted without a line in the log, and the one that was stored then dated all that followed it ten years ahead.
    #[test]
    fn one_start_with_the_clock_years_ahead_takes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let retention = Retention { time: Some(Duration::from_millis(90 * DAY)), ..Retention::default() };
        let live = |wall_ms: u64, trusts: bool, expected_oldest: u64| {
            let fake = Fake::default();
            fake.set(wall_ms);
            let (appender, log) = sqlite::open(folder.path(), SyncMode::Os, false, retention).unwrap();
            let clock = Clock::new(Box::new(fake), appender.clock(), retention.time, trusts);
            let Running { log, lane, published, thread } = run((Box::new(appender), log), clock);
            let deadline = Instant::now() + Duration::from_secs(30);
            let oldest = || log.find(&room("attic")).unwrap().map_or(1, |state| state.oldest.0);
            while oldest() < expected_oldest {
                assert!(Instant::now() < deadline, "not trimmed: {}", oldest());
                std::thread::park_timeout(Duration::from_millis(2));
            }
            lane.push(order(1, 1)).unwrap();
            let segment = published.recv().unwrap();
            drop(lane);
            thread.join().unwrap();
            let entry = crate::wire::event::entries(segment.frame().as_slice()).next().unwrap().unwrap().0;
            (entry.seq.0, entry.time_ms, oldest())
        };
        assert_eq!(live(NOW, false, 1), (1, NOW, 1));
        // The bad start, and the next one, with the clock set right.
        assert_eq!(live(NOW + 10 * YEAR, false, 1), (2, NOW, 1));
        assert_eq!(live(NOW + MINUTE, false, 1), (3, NOW + MINUTE, 1));
        // It was ten years: the operator says so.
        assert_eq!(live(NOW + 10 * YEAR, true, 4), (4, NOW + 10 * YEAR, 4));
    }
}
