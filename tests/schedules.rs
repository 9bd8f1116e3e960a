//! Model checks of the baton, over many schedules of the threads that share it.
//!
//! The baton's source is compiled here a second time, with the model checker's atomics instead of the real ones. A
//! small model of a session uses it: publishers append to a tail and notify the stream, a poller completes writes and
//! wakes the thread that waits for them, a send thread does the work that may block, and another thread requests the
//! end. After a lost wake-up the send thread waits forever, which the checker reports as a deadlock. A second holder of
//! the baton is detected at the output's lock.
//!
//! A second model is that of a stream over HTTP: its socket takes a part of a frame, what it does not take stays in the
//! sink, and the thread that watches the socket wakes the stream when there is space again.

/// The `crate::sync` of the baton's source in this crate.
mod sync {
    pub use shuttle::sync::atomic::{AtomicU8, Ordering};
}

#[path = "../src/threads/baton.rs"]
#[allow(dead_code, reason = "the room's rounds begin with a free baton, the session's with one that is held")]
mod baton;

use std::sync::Arc;

use baton::Baton;
// The linker replaces functions of the C core and of the system by the library's in all programs of this package.
use hubbub as _;
use shuttle::sync::Mutex;
use shuttle::sync::atomic::{AtomicBool, Ordering};
use shuttle::sync::mpsc::{Receiver, Sender, channel};
use shuttle::thread;

/// The number of schedules for each model: half of them random, half with few preemptions at random points.
const SCHEDULES: usize = 200_000;

/// The number of commits of each of the two publishers.
const COMMITS: u32 = 2;

struct Stream {
    baton: Baton,
    /// The tail: the number of published commits.
    published: Mutex<u32>,
    /// Whether the end was requested. It is due when everything is written.
    closing: Mutex<bool>,
    /// The output: the number of written commits. Only the baton's holder locks it.
    written: Mutex<u32>,
    transport: Mutex<Transport>,
    started_writes: Mutex<Sender<()>>,
    turns: Mutex<Sender<()>>,
    /// How many writes another thread makes before it passes the baton to the send thread.
    borrowed_writes_max: u32,
}

#[derive(Default)]
struct Transport {
    in_flight: bool,
    /// Whether a waker for the end of the write is set.
    waker: bool,
}

/// The work that the baton's holder found.
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

    /// Runs until there is no more work. `false` means that the send thread must continue; otherwise the baton was
    /// given back.
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

    /// The send thread. It starts with the baton and ends when the end is due. Returns the number of written commits.
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

/// Runs publishers and a closer concurrently with the poller and the send thread. It ends only if everything was
/// written.
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
    // Like a drain: the end is requested when nothing more is published.
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

/// How many parts a frame has, and how many the socket holds until its peer has read them.
const FRAME_PARTS: u32 = 2;
const SOCKET_PARTS: u32 = 1;

/// A stream over HTTP.
struct HttpStream {
    baton: Baton,
    published: Mutex<u32>,
    /// Only the baton's holder locks it.
    sink: Mutex<Sink>,
    /// Whether the stream was woken since the sink was last used.
    transport_called: AtomicBool,
    socket: Mutex<Socket>,
    parts: Mutex<Sender<()>>,
}

#[derive(Default)]
struct Sink {
    written: u32,
    /// The parts of the last frame that the socket has not taken.
    rest: u32,
}

struct Socket {
    space: u32,
    /// A write has found no space: the next space is reported.
    is_awaited: bool,
}

impl HttpStream {
    fn publish(&self) {
        *self.published.lock().unwrap() += 1;
        if self.baton.published() {
            self.drive();
        }
    }

    fn wake(&self) {
        self.transport_called.store(true, Ordering::Release);
        if self.baton.woken() {
            self.drive();
        }
    }

    fn drive(&self) {
        loop {
            let given_back = if self.write() { self.baton.rest() } else { self.baton.rest_writing() };
            if given_back {
                return;
            }
        }
    }

    /// As `Output::pump` does. `false` means that the socket is full.
    fn write(&self) -> bool {
        let mut sink = self.sink.try_lock().expect("one holder of the baton at a time");
        loop {
            if sink.written == *self.published.lock().unwrap() {
                if self.transport_called.swap(false, Ordering::AcqRel) {
                    self.flush(&mut sink);
                }
                return true;
            }
            if !self.flush(&mut sink) {
                return false;
            }
            sink.written += 1;
            sink.rest = FRAME_PARTS;
            self.flush(&mut sink);
        }
    }

    fn flush(&self, sink: &mut Sink) -> bool {
        while sink.rest > 0 {
            let mut socket = self.socket.lock().unwrap();
            if socket.space == 0 {
                socket.is_awaited = true;
                return false;
            }
            socket.space -= 1;
            drop(socket);
            sink.rest -= 1;
            self.parts.lock().unwrap().send(()).unwrap();
        }
        true
    }

    /// The peer has read a part. The thread that watches the socket learns of the space if it is awaited.
    fn was_read(&self) {
        let mut socket = self.socket.lock().unwrap();
        socket.space += 1;
        let is_awaited = std::mem::take(&mut socket.is_awaited);
        drop(socket);
        if is_awaited {
            self.wake();
        }
    }
}

/// Runs publishers concurrently with a peer that reads. It ends only if every part of every frame was written.
fn run_http() {
    let (parts, read) = channel();
    let stream = Arc::new(HttpStream {
        baton: Baton::free(),
        published: Mutex::new(0),
        sink: Mutex::default(),
        transport_called: AtomicBool::new(false),
        socket: Mutex::new(Socket { space: SOCKET_PARTS, is_awaited: false }),
        parts: Mutex::new(parts),
    });
    let publishers = [(); 2].map(|()| {
        let stream = Arc::clone(&stream);
        thread::spawn(move || (0..COMMITS).for_each(|_| stream.publish()))
    });
    for _ in 0..2 * COMMITS * FRAME_PARTS {
        read.recv().expect("the stream holds the sending end");
        stream.was_read();
    }
    for publisher in publishers {
        publisher.join().unwrap();
    }
}

#[test]
fn everything_published_is_written_over_http() {
    check(run_http);
}
