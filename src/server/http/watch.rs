//! The thread that watches the sockets of all streams, `http-poll`.
//!
//! A stream has no thread of its own: whoever publishes writes to its socket without waiting (`sink`). When
//! a socket that was full takes bytes again, or its client has closed it, this thread wakes the stream's writer, and so
//! continues the stream itself. It is also the driver of one shard of the fan-out: the followers that it wakes are its
//! own.
//!
//! It sleeps until something happens, or until a stream has been silent for [`HTTP_ALIVE_TIME`].

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token};
use parking_lot::Mutex;

use super::form::Texts;
use super::socket::Socket;
use crate::limits::{HTTP_ALIVE_TIME, HTTP_EVENTS_AT_ONCE, HTTP_STREAM_INPUT_BYTES_MAX};
use crate::threads;

/// Owns the thread, and joins it on drop.
pub struct WatchThread {
    watch: Arc<Watch>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread and the streams share.
pub struct Watch {
    registry: Registry,
    wake: Arc<WakeThread>,
    /// Its shard of the fan-out.
    pub shard: usize,
    /// The texts that several streams send.
    pub texts: Texts,
    started: Instant,
    // lock order: 3 (a leaf, held for one lookup or change)
    streams: Mutex<Streams>,
}

#[derive(Default)]
struct Streams {
    /// Each with the time of its check.
    watched: HashMap<u64, (Arc<Watched>, Instant)>,
    count: u64,
    /// When to check whether a stream has been silent. Bound: each stream once.
    checks: BTreeSet<(Instant, u64)>,
}

/// The socket of a stream.
pub struct Watched {
    pub socket: Arc<Socket>,
    key: u64,
    // lock order: 3 (a leaf). Wakes the writer of the stream.
    waker: Mutex<Waker>,
    is_gone: AtomicBool,
    must_show_life: AtomicBool,
    /// How many bytes its client has sent since it is a stream, which have no meaning.
    input: AtomicUsize,
    /// When it was last written to, in milliseconds since the thread started.
    written: AtomicU64,
}

/// A socket that is watched until this is dropped.
pub struct Watching {
    watch: Arc<Watch>,
    watched: Arc<Watched>,
}

/// Wakes the thread.
struct WakeThread {
    waker: mio::Waker,
    has_rounds: AtomicBool,
    must_end: AtomicBool,
}

/// Identifies the waker among the watched sockets, whose keys begin with 1.
const WAKER: Token = Token(0);

impl WatchThread {
    /// Starts the thread, which runs the rounds of this shard of the fan-out.
    pub fn start(shard: usize, rounds: impl Future<Output = ()> + Send + 'static) -> io::Result<Self> {
        let poll = Poll::new()?;
        let wake = Arc::new(WakeThread {
            waker: mio::Waker::new(poll.registry(), WAKER)?,
            has_rounds: AtomicBool::new(true),
            must_end: AtomicBool::new(false),
        });
        let watch = Arc::new(Watch {
            registry: poll.registry().try_clone()?,
            wake,
            shard,
            texts: Texts::default(),
            started: Instant::now(),
            streams: Mutex::default(),
        });
        let thread = {
            let watch = Arc::clone(&watch);
            threads::spawn("http-poll", move || watch.run(poll, Box::pin(rounds)))?
        };
        Ok(Self { watch, thread: Some(thread) })
    }

    pub fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }
}

impl Drop for WatchThread {
    fn drop(&mut self) {
        self.watch.wake.must_end.store(true, Ordering::Release);
        self.watch.wake.wake_thread();
        if let Some(thread) = self.thread.take() {
            // A panic has been reported already.
            let _ = thread.join();
        }
    }
}

impl Watch {
    /// Watches a socket. Its writer is woken when it can be written to again, and when its client has closed it.
    pub fn add(self: &Arc<Self>, socket: Arc<Socket>) -> io::Result<Watching> {
        let now = Instant::now();
        let mut streams = self.streams.lock();
        streams.count += 1;
        let key = streams.count;
        let watched = Arc::new(Watched {
            socket,
            key,
            waker: Mutex::new(Waker::noop().clone()),
            is_gone: AtomicBool::new(false),
            must_show_life: AtomicBool::new(false),
            input: AtomicUsize::new(0),
            written: AtomicU64::new(self.millis(now)),
        });
        let check = self.check_at(now);
        streams.watched.insert(key, (Arc::clone(&watched), check));
        streams.checks.insert((check, key));
        let is_first = streams.watched.len() == 1;
        drop(streams);
        let watching = Watching { watch: Arc::clone(self), watched };
        let descriptor = watching.watched.socket.as_fd().as_raw_fd();
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.registry.register(&mut SourceFd(&descriptor), Token(key as usize), interest)?;
        if is_first {
            // It sleeps without a deadline while there are none.
            self.wake.wake_thread();
        }
        Ok(watching)
    }

    /// Ends all streams at once.
    pub fn cancel_all(&self) {
        let all: Vec<_> = self.streams.lock().watched.values().map(|(watched, _)| Arc::clone(watched)).collect();
        for watched in all {
            watched.is_gone.store(true, Ordering::Release);
            watched.wake();
        }
    }

    fn run(&self, mut poll: Poll, rounds: Pin<Box<dyn Future<Output = ()> + Send>>) {
        let mut rounds = Some(rounds);
        let waker = Waker::from(Arc::clone(&self.wake));
        let mut events = Events::with_capacity(HTTP_EVENTS_AT_ONCE);
        loop {
            if self.wake.has_rounds.swap(false, Ordering::AcqRel)
                && rounds
                    .as_mut()
                    .is_some_and(|rounds| rounds.as_mut().poll(&mut Context::from_waker(&waker)).is_ready())
            {
                rounds = None;
            }
            if self.wake.must_end.load(Ordering::Acquire) {
                return;
            }
            match poll.poll(&mut events, self.show_life()) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => panic!("the sockets of streams can't be watched: {error}"),
            }
            for event in &events {
                if event.token() == WAKER {
                    continue;
                }
                let watched = self.streams.lock().watched.get(&(event.token().0 as u64)).cloned();
                if let Some((watched, _)) = watched {
                    let is_over = event.is_error() || event.is_read_closed() || event.is_write_closed();
                    if is_over || event.is_readable() && watched.has_input_end() {
                        watched.is_gone.store(true, Ordering::Release);
                    }
                    watched.wake();
                }
            }
        }
    }

    /// Has each stream that has been silent for [`HTTP_ALIVE_TIME`] show that it is alive. Returns for how long nothing has
    /// to be done.
    fn show_life(&self) -> Option<Duration> {
        loop {
            let now = Instant::now();
            let mut streams = self.streams.lock();
            let &(at, key) = streams.checks.first()?;
            if at > now {
                return Some(at - now);
            }
            streams.checks.pop_first();
            let Some((watched, _)) = streams.watched.get(&key).cloned() else { continue };
            let written = self.started + Duration::from_millis(watched.written.load(Ordering::Relaxed));
            let is_silent = self.check_at(written) <= now;
            let check = self.check_at(if is_silent { now } else { written });
            streams.watched.insert(key, (Arc::clone(&watched), check));
            streams.checks.insert((check, key));
            drop(streams);
            if is_silent {
                watched.must_show_life.store(true, Ordering::Release);
                watched.wake();
            }
        }
    }

    /// When to check a stream that was written to then: at a whole second, so that one wake-up serves many.
    fn check_at(&self, written: Instant) -> Instant {
        let due = written + HTTP_ALIVE_TIME;
        self.started + Duration::from_secs((due - self.started).as_secs())
    }

    fn millis(&self, now: Instant) -> u64 {
        now.duration_since(self.started).as_millis() as u64
    }
}

impl Watched {
    /// Discards what the client has sent. Returns whether it has ended its output, or has sent too much.
    fn has_input_end(&self) -> bool {
        let before = self.input.load(Ordering::Relaxed);
        match self.socket.discard(HTTP_STREAM_INPUT_BYTES_MAX - before) {
            Ok(count) => {
                self.input.store(before + count, Ordering::Relaxed);
                before + count >= HTTP_STREAM_INPUT_BYTES_MAX
            }
            Err(_) => true,
        }
    }

    fn wake(&self) {
        let waker = self.waker.lock().clone();
        waker.wake();
    }
}

impl Watching {
    pub fn socket(&self) -> &Socket {
        &self.watched.socket
    }

    pub fn texts(&self) -> &Texts {
        &self.watch.texts
    }

    /// From now on this one is woken.
    pub fn set_waker(&self, waker: &Waker) {
        let mut current = self.watched.waker.lock();
        if !current.will_wake(waker) {
            let former = std::mem::replace(&mut *current, waker.clone());
            drop(current);
            drop(former);
        }
    }

    /// Whether the client has closed the connection.
    pub fn is_gone(&self) -> bool {
        self.watched.is_gone.load(Ordering::Acquire)
    }

    /// Whether the stream must show that it is alive. Returned once.
    pub fn must_show_life(&self) -> bool {
        self.watched.must_show_life.load(Ordering::Relaxed) && self.watched.must_show_life.swap(false, Ordering::AcqRel)
    }

    /// Something was written.
    pub fn written(&self) {
        self.watched.written.store(self.watch.millis(Instant::now()), Ordering::Relaxed);
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let descriptor = self.watched.socket.as_fd().as_raw_fd();
        // It fails if the socket was not registered.
        let _ = self.watch.registry.deregister(&mut SourceFd(&descriptor));
        let mut streams = self.watch.streams.lock();
        let watched = streams.watched.remove(&self.watched.key);
        if let Some((_, check)) = &watched {
            streams.checks.remove(&(*check, self.watched.key));
        }
        drop(streams);
        drop(watched);
        // The waker refers to the writer that contains this.
        let waker = std::mem::replace(&mut *self.watched.waker.lock(), Waker::noop().clone());
        drop(waker);
    }
}

impl WakeThread {
    fn wake_thread(&self) {
        // It can fail only if there are too many wake-ups that the thread has not seen: then it wakes up.
        let _ = self.waker.wake();
    }
}

/// Wakes the thread for a round of the fan-out.
impl Wake for WakeThread {
    fn wake(self: Arc<Self>) {
        self.has_rounds.store(true, Ordering::Release);
        self.wake_thread();
    }
}
