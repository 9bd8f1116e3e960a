//! Fan-out: telling the followers of a room that there is something to read.
//!
//! Telling a follower whose stream is idle starts the write to it right there (`session::outlet`), and the end of that
//! write is an event of the poller that serves the stream. So each poller has a courier, which tells the followers on
//! that poller's own thread: the poller finds the ends of the writes when it comes back from the round, where another
//! thread's writes would wake it one by one. Measured, that wake-up cost as much as the write (docs/performance.md).
//!
//! A courier MUST NOT keep its poller from reading for long. After [`FOLLOWERS_MAX`] followers it lets the poller go on,
//! and the pace thread calls it back.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

use super::{Room, Rooms};
use crate::server::log::Segment;
use crate::threads;

/// How many followers a courier tells before its poller may do something else: about 1 ms of writes.
pub const FOLLOWERS_MAX: usize = 128;

/// Where commits are published: each goes into its room's tail, and the couriers are called.
pub struct Publisher {
    rooms: Arc<Rooms>,
    couriers: Arc<[Arc<Courier>]>,
}

/// Tells the followers that are served by one poller.
pub struct Courier {
    /// Which poller's followers it tells.
    poller: usize,
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

/// Makes a courier for each poller.
pub fn couriers(pollers: usize) -> Arc<[Arc<Courier>]> {
    (0..pollers).map(|poller| Arc::new(Courier { poller, inbox: Mutex::default() })).collect()
}

/// Starts the pace thread, which calls so many couriers back when it gets their wakers, and ends when they have.
pub fn pace(pollers: usize) -> io::Result<(Sender<Waker>, JoinHandle<()>)> {
    // Each courier has one waker in it at most.
    let (pace, called) = bounded(pollers);
    let thread = threads::spawn("fanout-pace", move || call_back(&called))?;
    Ok((pace, thread))
}

fn call_back(called: &Receiver<Waker>) {
    while let Ok(courier) = called.recv() {
        courier.wake();
    }
}

impl Publisher {
    pub fn new(rooms: Arc<Rooms>, couriers: Arc<[Arc<Courier>]>) -> Self {
        Self { rooms, couriers }
    }

    pub fn publish(&self, segment: Arc<Segment>) {
        let Some(room) = self.rooms.published(segment.room()) else { return };
        room.push(segment);
        room.call_couriers();
    }
}

impl Drop for Publisher {
    /// Nothing more will be published: the couriers end.
    fn drop(&mut self) {
        for courier in &*self.couriers {
            courier.call(|inbox| inbox.closed = true);
        }
    }
}

impl Courier {
    /// Tells followers whenever there is something new, until the publisher is dropped. Never blocks. To be run by the
    /// courier's poller.
    pub fn run(self: Arc<Self>, pace: Sender<Waker>) -> impl Future<Output = ()> + Send + 'static {
        poll_fn(move |context| {
            let mut told = 0;
            loop {
                let next = {
                    let mut inbox = self.inbox.lock();
                    match inbox.rooms.pop_front() {
                        Some(next) => next,
                        None if inbox.closed => return Poll::Ready(()),
                        None => {
                            inbox.waker = Some(context.waker().clone());
                            return Poll::Pending;
                        }
                    }
                };
                if told >= FOLLOWERS_MAX {
                    self.inbox.lock().rooms.push_front(next);
                    // Each courier's last waker was taken out before it was called, so there is room. Were there
                    // none, it would go on at once.
                    if let Err(unsent) = pace.try_send(context.waker().clone()) {
                        unsent.into_inner().wake();
                    }
                    return Poll::Pending;
                }
                told += self.tell(next);
            }
        })
    }

    /// Tells some followers of a room. What is left of the round waits behind the other rooms.
    fn tell(&self, (room, start): (Arc<Room>, usize)) -> usize {
        let (told, next) = room.tell_followers(self.poller, start);
        if let Some(next) = next {
            self.inbox.lock().rooms.push_back((room, next));
        }
        told
    }

    /// Gives the courier a room that it does not have, in which there is something new.
    pub fn give(&self, room: Arc<Room>) {
        self.call(|inbox| {
            // Where nothing more will be published, nobody comes for it.
            if !inbox.closed {
                inbox.rooms.push_back((room, 0));
            }
        });
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
