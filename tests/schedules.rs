//! Model checks: the baton, over many schedules of the threads that pass it round.
//!
//! The baton's source is compiled here a second time, with the model checker's atomics in place of the real ones. Around
//! it stands a miniature of a session: publishers append to a tail and tell the stream, a poller ends writes and wakes
//! whoever waits for that, a send thread takes the turns that may block, somebody asks for the end. A lost wake-up
//! leaves the send thread waiting for ever, which the checker reports as a deadlock; a second holder of the baton is
//! caught at the output's lock.

/// What `crate::sync` is for the baton's source in this crate.
mod sync {
    pub use shuttle::sync::atomic::{AtomicU8, Ordering};
}

#[path = "../src/threads/baton.rs"]
#[allow(dead_code, reason = "the room's rounds begin with a free baton, the session's with one that is held")]
mod baton;

use std::sync::Arc;

use baton::Baton;
use shuttle::sync::Mutex;
use shuttle::sync::mpsc::{Receiver, Sender, channel};
use shuttle::thread;

/// How many schedules are tried for each model: half at random, half with few preemptions at random places.
const SCHEDULES: usize = 200_000;

/// How many commits each of the two publishers makes.
const COMMITS: u32 = 2;

struct Stream {
    baton: Baton,
    /// The tail: how much is published.
    published: Mutex<u32>,
    /// Whether the end was asked for. It is due when all is written.
    closing: Mutex<bool>,
    /// The output: how much is written. Locked by the baton's holder only.
    written: Mutex<u32>,
    transport: Mutex<Transport>,
    started_writes: Mutex<Sender<()>>,
    turns: Mutex<Sender<()>>,
    /// How many writes a borrowed thread makes before it passes the turn on.
    borrowed_writes_max: u32,
}

#[derive(Default)]
struct Transport {
    in_flight: bool,
    /// Whether somebody waits for the write to be done.
    waker: bool,
}

/// What the baton's holder found to do.
enum Found {
    AllWritten,
    WriteInFlight,
    SendThreadsTurn,
}

impl Stream {
    fn new(borrowed_writes_max: u32) -> (Arc<Self>, Receiver<()>, Receiver<()>) {
        let (started_writes, poller_inbox) = channel();
        let (turns, send_inbox) = channel();
        let stream = Self {
            baton: Baton::held(),
            published: Mutex::new(0),
            closing: Mutex::new(false),
            written: Mutex::new(0),
            transport: Mutex::default(),
            started_writes: Mutex::new(started_writes),
            turns: Mutex::new(turns),
            borrowed_writes_max,
        };
        (Arc::new(stream), poller_inbox, send_inbox)
    }

    fn publish(&self) {
        *self.published.lock().unwrap() += 1;
        if self.baton.published() {
            self.drive();
        }
    }

    fn close(&self) {
        *self.closing.lock().unwrap() = true;
        if self.baton.woken() {
            self.drive();
        }
    }

    fn write_done(&self) {
        let waker = {
            let mut transport = self.transport.lock().unwrap();
            transport.in_flight = false;
            std::mem::take(&mut transport.waker)
        };
        if waker && self.baton.woken() {
            self.drive();
        }
    }

    fn drive(&self) {
        if !self.pump(self.borrowed_writes_max) {
            self.turns.lock().unwrap().send(()).unwrap();
        }
    }

    /// `false` says that the send thread must go on; otherwise the baton was given back.
    fn pump(&self, writes_max: u32) -> bool {
        loop {
            let given_back = match self.write(writes_max) {
                Found::AllWritten => self.baton.rest(),
                Found::WriteInFlight => self.baton.rest_writing(),
                Found::SendThreadsTurn => return false,
            };
            if given_back {
                return true;
            }
        }
    }

    fn write(&self, writes_max: u32) -> Found {
        let mut written = self.written.try_lock().expect("one holder of the baton at a time");
        for _ in 0..writes_max {
            if *written == *self.published.lock().unwrap() {
                return if *self.closing.lock().unwrap() { Found::SendThreadsTurn } else { Found::AllWritten };
            }
            let mut transport = self.transport.lock().unwrap();
            if transport.in_flight {
                transport.waker = true;
                return Found::WriteInFlight;
            }
            transport.in_flight = true;
            drop(transport);
            *written += 1;
            self.started_writes.lock().unwrap().send(()).unwrap();
        }
        Found::SendThreadsTurn
    }

    /// The send thread: begins with the baton, ends when the end is due. Returns how much was written then.
    fn send_thread(&self, turns: &Receiver<()>, commits: u32) -> u32 {
        loop {
            let written = *self.written.try_lock().expect("one holder of the baton at a time");
            if written == commits && *self.closing.lock().unwrap() {
                return written;
            }
            if self.pump(u32::MAX) {
                turns.recv().expect("the stream holds the sending end");
            }
        }
    }
}

/// Publishers and a closer against the poller and the send thread. Ends only if everything was written.
fn run(borrowed_writes_max: u32) {
    let commits = 2 * COMMITS;
    let (stream, poller_inbox, send_inbox) = Stream::new(borrowed_writes_max);
    let spawn = |act: fn(&Stream)| {
        let stream = Arc::clone(&stream);
        thread::spawn(move || act(&stream))
    };
    let publish = |stream: &Stream| (0..COMMITS).for_each(|_| stream.publish());
    let publishers = [spawn(publish), spawn(publish)];
    let poller = {
        let stream = Arc::clone(&stream);
        thread::spawn(move || (0..commits).for_each(|_| poller_inbox.recv().map(|()| stream.write_done()).unwrap()))
    };
    let send_thread = {
        let stream = Arc::clone(&stream);
        thread::spawn(move || stream.send_thread(&send_inbox, commits))
    };
    for publisher in publishers {
        publisher.join().unwrap();
    }
    // Like a drain: the end is asked for when the head stands still.
    stream.close();
    assert_eq!(send_thread.join().unwrap(), commits);
    poller.join().unwrap();
}

fn check(model: impl Fn() + Send + Sync + Copy + 'static) {
    shuttle::check_random(model, SCHEDULES / 2);
    shuttle::check_pct(model, SCHEDULES / 2, 3);
}

#[test]
fn everything_published_is_written() {
    check(|| run(u32::MAX));
}

#[test]
fn everything_published_is_written_when_turns_go_to_the_send_thread() {
    check(|| run(1));
}
