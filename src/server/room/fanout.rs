//! Fan-out: telling the followers of a room that there is something to read.
//!
//! Telling a follower whose stream is idle starts the write to it right there (`session::outlet`), and the end of that
//! write is an event of the poller that serves the stream. So each poller has a courier, which tells the followers on
//! that poller's own thread: the poller finds the ends of the writes when it comes back from the round, where another
//! thread's writes would wake it one by one. Measured, that wake-up cost as much as the write (docs/performance.md).
//!
//! A courier MUST NOT keep its poller from reading for long. After [`FOLLOWERS_MAX`] followers it lets the poller go on,
//! and the pace thread calls it back. That thread also has told what can wait a moment for a message to go with.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, SendError, Sender, unbounded};
use parking_lot::Mutex;

use super::{Room, Rooms};
use crate::limits::PRESENCE_TIME;
use crate::server::log::Segment;
use crate::threads;

/// How many followers a courier tells before its poller may do something else: about 1 ms of writes.
pub const FOLLOWERS_MAX: usize = 128;

/// Where commits are published: each goes into its room's tail, and the couriers are called.
pub struct Publisher {
    rooms: Arc<Rooms>,
    couriers: Arc<Couriers>,
}

/// One courier for each poller.
pub struct Couriers {
    all: Box<[Courier]>,
    /// To the pace thread. Bound: each courier's waker once, and each room once (`Room::noted`).
    pace: Sender<Pace>,
}

/// What the pace thread is asked for.
enum Pace {
    /// To call a courier back.
    Back(Waker),
    /// To have told, when [`PRESENCE_TIME`] has passed, what is noted for a room's followers.
    Later(Arc<Room>),
    /// Nothing: a courier has ended.
    Ended,
}

/// Tells the followers that are served by one poller.
#[derive(Default)]
struct Courier {
    // lock order: 2 (a leaf, held to put in or take out a room)
    inbox: Mutex<Inbox>,
}

#[derive(Default)]
struct Inbox {
    /// The rooms that have something new, and the follower to go on with. Bound: each room once (`Share::round`).
    rooms: VecDeque<(Arc<Room>, usize)>,
    /// Calls the courier, while it rests.
    waker: Option<Waker>,
    closed: bool,
}

/// Makes a courier for each poller, and starts the pace thread, which ends when all of them have.
pub fn start(pollers: usize) -> io::Result<(Arc<Couriers>, JoinHandle<()>)> {
    let (pace, asked) = unbounded();
    let thread = threads::spawn("fanout-pace", move || keep_pace(&asked, pollers))?;
    let all = (0..pollers).map(|_| Courier::default()).collect();
    Ok((Arc::new(Couriers { all, pace }), thread))
}

fn keep_pace(asked: &Receiver<Pace>, mut couriers: usize) {
    // In the order of their times, since each waits as long.
    let mut later: VecDeque<(Instant, Arc<Room>)> = VecDeque::new();
    while couriers > 0 {
        let next = later.front().map(|(at, _)| *at);
        if next.is_some_and(|at| at <= Instant::now())
            && let Some((_, room)) = later.pop_front()
        {
            room.tell_noted();
            continue;
        }
        let asked = match next {
            None => asked.recv().map_err(RecvTimeoutError::from),
            Some(at) => asked.recv_deadline(at),
        };
        match asked {
            Ok(Pace::Back(courier)) => courier.wake(),
            Ok(Pace::Later(room)) => later.push_back((Instant::now() + PRESENCE_TIME, room)),
            Ok(Pace::Ended) => couriers -= 1,
            Err(RecvTimeoutError::Timeout) => {}
            // The server could not be started.
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

impl Publisher {
    pub fn new(rooms: Arc<Rooms>, couriers: Arc<Couriers>) -> Self {
        Self { rooms, couriers }
    }

    pub fn publish(&self, segment: Arc<Segment>) {
        let Some(room) = self.rooms.published(segment.room()) else { return };
        room.push(segment);
        room.call_couriers();
    }
}

impl Drop for Publisher {
    /// Nothing more will be published: the couriers end once all is told.
    fn drop(&mut self) {
        for courier in &self.couriers.all {
            courier.call(|inbox| inbox.closed = true);
        }
    }
}

impl Default for Couriers {
    /// None, for rooms that nobody follows.
    fn default() -> Self {
        Self { all: Box::default(), pace: unbounded().0 }
    }
}

impl Couriers {
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// Gives a poller's courier a room that it does not have, in which there is something new.
    pub fn give(&self, poller: usize, room: Arc<Room>) {
        self.all[poller].call(|inbox| {
            // Where nothing more will be published, nobody comes for it.
            if !inbox.closed {
                inbox.rooms.push_back((room, 0));
            }
        });
    }

    /// Has told, after a moment, what is noted for a room's followers.
    pub fn tell_later(&self, room: Arc<Room>) {
        // At the server's end nobody needs to know any more.
        let _ = self.pace.send(Pace::Later(room));
    }

    /// Tells a poller's followers whenever there is something new, until the publisher is dropped. Never blocks. To be run
    /// by that poller.
    pub fn run(self: Arc<Self>, poller: usize) -> impl Future<Output = ()> + Send + 'static {
        poll_fn(move |context| {
            let courier = &self.all[poller];
            let mut told = 0;
            loop {
                let next = {
                    let mut inbox = courier.inbox.lock();
                    match inbox.rooms.pop_front() {
                        Some(next) => next,
                        None if inbox.closed => {
                            drop(inbox);
                            // The pace thread does not end before this.
                            let _ = self.pace.send(Pace::Ended);
                            return Poll::Ready(());
                        }
                        None => {
                            inbox.waker = Some(context.waker().clone());
                            return Poll::Pending;
                        }
                    }
                };
                if told >= FOLLOWERS_MAX {
                    courier.inbox.lock().rooms.push_front(next);
                    if let Err(SendError(Pace::Back(waker))) = self.pace.send(Pace::Back(context.waker().clone())) {
                        // Without a pace thread it goes on at once.
                        waker.wake();
                    }
                    return Poll::Pending;
                }
                told += courier.tell(poller, next);
            }
        })
    }
}

impl Courier {
    /// Tells some followers of a room. What is left of the round waits behind the other rooms.
    fn tell(&self, poller: usize, (room, start): (Arc<Room>, usize)) -> usize {
        let (told, next) = room.tell_followers(poller, start);
        if let Some(next) = next {
            self.inbox.lock().rooms.push_back((room, next));
        }
        told
    }

    /// Changes the inbox, and calls the courier to look at it.
    fn call(&self, change: impl FnOnce(&mut Inbox)) {
        let waker = {
            let mut inbox = self.inbox.lock();
            change(&mut inbox);
            inbox.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
