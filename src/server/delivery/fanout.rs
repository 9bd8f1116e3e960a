//! Fan-out: notifies the followers of a room that there are new messages.
//!
//! To notify a follower whose stream is idle starts the write on the same thread ([`output`](super::output)), and the
//! completion of that write is an event of the thread that drives the stream, its driver: for gRPC, its poller. So the
//! followers of a room are in shards, one for each driver, and each shard's followers are notified on that driver's own
//! thread: it finds the completions of the writes after the round, whereas writes of another thread would wake it for
//! each one. In measurements, that wake-up cost as much as the write (docs/performance-notes.md).
//!
//! A round MUST NOT keep its driver from reading for long. After [`ROUND_FOLLOWERS_MAX`] followers it releases the
//! driver, and the pace thread calls it back. That thread also announces events that can wait briefly for a message to
//! be sent with.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, SendError, Sender, bounded, unbounded};
use parking_lot::Mutex;

use super::sent::Sent;
use crate::limits::{PRESENCE_TIME, ROUND_FOLLOWERS_MAX};
use crate::server::counter::{Distribution, Histogram, TIME_BOUNDS};
use crate::server::log::Published;
use crate::server::room::{Room, Rooms};
use crate::threads;

/// Publishes commits: adds each to its room's tail, and announces it to the followers.
pub struct Publisher {
    rooms: Arc<Rooms>,
    fanout: Arc<Fanout>,
}

/// Notifies followers, one shard on each driver.
pub struct Fanout {
    shards: Arc<[Shard]>,
    /// Where the moments of its clock begin.
    started: Instant,
    /// To the pace thread. Bound: each shard's waker once, each room once ([`Room::begin_wait`]), and one probe.
    pace: Sender<Pace>,
}

/// A request to the pace thread.
enum Pace {
    /// To continue with a shard.
    Back(Waker),
    /// To announce a room when [`PRESENCE_TIME`] has passed.
    Later(Arc<Room>),
    /// To pass a probe on to all shards.
    Probe(Sender<()>),
    /// Nothing: a shard's rounds have ended.
    Ended,
}

/// The rounds of one driver, and what is counted on it.
struct Shard {
    // lock order: 2 (a leaf, held to put in or take out a room)
    rounds: Mutex<Rounds>,
    /// How long messages waited from their publication until the last follower of the shard was notified.
    times: Histogram,
    /// What was written to the streams of the driver.
    sent: Arc<Sent>,
}

#[derive(Default)]
struct Rounds {
    /// Bound: each room once ([`Room::begin_round`]).
    rooms: VecDeque<Round>,
    /// The probes that the driver has not dropped yet. Bound: the one who probes does not before the last is answered.
    probes: Vec<Sender<()>>,
    /// Wakes the driver's task while it is idle.
    waker: Option<Waker>,
    closed: bool,
}

/// A round through the followers of a room that has new messages.
struct Round {
    room: Arc<Room>,
    /// The follower to continue with.
    start: usize,
    /// Since when the round is due, if that is for messages.
    due: Option<u64>,
}

impl Default for Shard {
    fn default() -> Self {
        Self { rounds: Mutex::default(), times: Histogram::new(TIME_BOUNDS), sent: Arc::default() }
    }
}

/// Prepares a shard for each driver, and starts the pace thread, which ends when the rounds of all of them have.
pub fn start(drivers: usize) -> io::Result<(Arc<Fanout>, JoinHandle<()>)> {
    let (pace, asked) = unbounded();
    let shards: Arc<[Shard]> = (0..drivers).map(|_| Shard::default()).collect();
    let thread = {
        let shards = Arc::clone(&shards);
        threads::spawn("fanout-pace", move || keep_pace(&asked, &shards))?
    };
    Ok((Arc::new(Fanout { shards, started: Instant::now(), pace }), thread))
}

fn keep_pace(asked: &Receiver<Pace>, shards: &[Shard]) {
    let mut running = shards.len();
    // In the order of their times, since all wait equally long.
    let mut later: VecDeque<(Instant, Arc<Room>)> = VecDeque::new();
    while running > 0 {
        let next = later.front().map(|(at, _)| *at);
        if next.is_some_and(|at| at <= Instant::now())
            && let Some((_, room)) = later.pop_front()
        {
            room.end_wait();
            announce(shards, &room, None);
            continue;
        }
        let asked = match next {
            None => asked.recv().map_err(RecvTimeoutError::from),
            Some(at) => asked.recv_deadline(at),
        };
        match asked {
            Ok(Pace::Back(shard)) => shard.wake(),
            Ok(Pace::Later(room)) => later.push_back((Instant::now() + PRESENCE_TIME, room)),
            Ok(Pace::Probe(probe)) => probe_shards(shards, &probe),
            Ok(Pace::Ended) => running -= 1,
            Err(RecvTimeoutError::Timeout) => {}
            // The server could not be started.
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Notifies each shard's followers of a room. A shard that is in a round through them does another round.
/// `published` is the moment of their publication, if there are new messages.
fn announce(shards: &[Shard], room: &Arc<Room>, published: Option<u64>) {
    for (number, shard) in shards.iter().enumerate() {
        if room.begin_round(number, published) {
            shard.change(|rounds| {
                // At the end, no thread takes it any more.
                if !rounds.closed {
                    rounds.rooms.push_back(Round { room: Arc::clone(room), start: 0, due: None });
                }
            });
        }
    }
}

fn probe_shards(shards: &[Shard], probe: &Sender<()>) {
    for shard in shards {
        shard.change(|rounds| {
            if !rounds.closed {
                rounds.probes.push(probe.clone());
            }
        });
    }
}

impl Publisher {
    pub fn new(rooms: Arc<Rooms>, fanout: Arc<Fanout>) -> Self {
        Self { rooms, fanout }
    }

    pub fn publish(&self, published: Published) {
        let id = match &published {
            Published::Room(state) => return self.rooms.created(state),
            Published::Segment(segment) => segment.room(),
            Published::Changed(changed) => changed.room,
        };
        let Some(room) = self.rooms.by_id(id) else { return };
        match published {
            Published::Room(_) => {}
            Published::Segment(segment) => room.push(segment),
            Published::Changed(changed) => room.change(changed),
        }
        self.fanout.announce(&room);
    }
}

impl Drop for Publisher {
    /// Nothing more will be published: the rounds end once all followers are notified.
    fn drop(&mut self) {
        for shard in &*self.fanout.shards {
            shard.change(|rounds| rounds.closed = true);
        }
    }
}

impl Default for Fanout {
    /// None, for rooms without followers.
    fn default() -> Self {
        Self { shards: Arc::default(), started: Instant::now(), pace: unbounded().0 }
    }
}

impl Fanout {
    /// How many shards the followers of a room are in.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Notifies the followers of a room that there are new messages, which were published just now.
    pub fn announce(&self, room: &Arc<Room>) {
        announce(&self.shards, room, Some(self.moment()));
    }

    /// Where the writes to the streams of a shard are counted.
    pub fn sent(&self, shard: usize) -> Arc<Sent> {
        self.shards.get(shard).map_or_else(Arc::default, |shard| Arc::clone(&shard.sent))
    }

    /// What was written to all streams.
    pub fn sent_in_all(&self) -> impl Iterator<Item = &Sent> {
        self.shards.iter().map(|shard| &*shard.sent)
    }

    /// How long messages waited from their publication until the last follower was notified, for each shard, in
    /// nanoseconds.
    pub fn times(&self) -> Distribution {
        let mut all = Distribution::empty(TIME_BOUNDS);
        self.shards.iter().for_each(|shard| all.add(&shard.times.get()));
        all
    }

    /// The present moment of the fan-out's clock, in nanoseconds: never 0.
    fn moment(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
    }

    /// The same, with the next message or after a short delay.
    pub fn announce_soon(&self, room: &Arc<Room>) {
        if room.begin_wait() {
            // At the server's exit this is no longer needed.
            let _ = self.pace.send(Pace::Later(Arc::clone(room)));
        }
    }

    /// Probes the threads of the fan-out: the returned channel is disconnected when all of them have seen that. Never
    /// blocks. MUST NOT be called again before.
    pub fn probe(&self) -> Receiver<()> {
        let (probe, seen) = bounded(0);
        // At the server's exit no thread sees it, and the probe is dropped here.
        let _ = self.pace.send(Pace::Probe(probe));
        seen
    }

    /// Notifies a shard's followers of new messages, until the publisher is dropped. Never blocks. Must run on the
    /// driver that drives their streams.
    pub fn run(self: Arc<Self>, shard: usize) -> impl Future<Output = ()> + Send + 'static {
        poll_fn(move |context| {
            let Shard { rounds, times, .. } = &self.shards[shard];
            let mut told = 0;
            loop {
                let Round { room, start, mut due } = {
                    let mut rounds = rounds.lock();
                    // Who probes looks from time to time, so nobody is woken under the lock.
                    rounds.probes.clear();
                    match rounds.rooms.pop_front() {
                        Some(next) => next,
                        None if rounds.closed => {
                            drop(rounds);
                            // The pace thread does not end before this.
                            let _ = self.pace.send(Pace::Ended);
                            return Poll::Ready(());
                        }
                        None => {
                            rounds.waker = Some(context.waker().clone());
                            return Poll::Pending;
                        }
                    }
                };
                if told >= ROUND_FOLLOWERS_MAX {
                    rounds.lock().rooms.push_front(Round { room, start, due });
                    if let Err(SendError(Pace::Back(waker))) = self.pace.send(Pace::Back(context.waker().clone())) {
                        // Without a pace thread it continues at once.
                        waker.wake();
                    }
                    return Poll::Pending;
                }
                threads::panic_point("fanout");
                if start == 0 {
                    due = room.round_begins(shard);
                }
                let (count, next) = room.tell_followers(shard, start);
                told += count;
                // Once for a round, not for each follower.
                if let Some(due) = due.filter(|_| next.is_none_or(|next| next == 0)) {
                    times.observe(self.moment().saturating_sub(due));
                }
                if let Some(start) = next {
                    // The rest of the round waits behind the other rooms.
                    rounds.lock().rooms.push_back(Round { room, start, due });
                }
            }
        })
    }
}

impl Shard {
    /// Changes the rounds, and wakes the driver's task to check them.
    fn change(&self, change: impl FnOnce(&mut Rounds)) {
        let waker = {
            let mut rounds = self.rounds.lock();
            change(&mut rounds);
            rounds.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Context;

    use crossbeam_channel::TryRecvError;

    use super::*;
    use crate::server::log::{Retention, memory};

    /// A probe is answered once every driver has run, and not by the pace thread alone.
    #[test]
    fn a_probe_reaches_every_driver() {
        let (_appender, log) = memory::open(usize::MAX, Retention::default());
        let (fanout, pace) = start(2).unwrap();
        let publisher = Publisher::new(Arc::new(Rooms::new(log, fanout.shards())), Arc::clone(&fanout));
        let mut drivers: Vec<_> = (0..2).map(|shard| Box::pin(Arc::clone(&fanout).run(shard))).collect();
        let mut drive = |shard: usize| drivers[shard].as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let probe = fanout.probe();
        // The pace thread has passed it on when both shards have it.
        while fanout.shards.iter().any(|shard| shard.rounds.lock().probes.is_empty()) {
            std::thread::yield_now();
        }
        assert!(drive(0).is_pending());
        assert_eq!(probe.try_recv(), Err(TryRecvError::Empty), "the second driver is stuck");
        assert!(drive(1).is_pending());
        // The pace thread drops its own end after it has passed the probe on.
        assert!(probe.recv().is_err());

        drop(publisher);
        assert!(drive(0).is_ready() && drive(1).is_ready());
        pace.join().unwrap();
        assert!(fanout.probe().recv().is_err(), "after the end nobody is probed");
    }
}
