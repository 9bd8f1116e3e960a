//! Deadlines for clients to take their responses: a call whose response stays in the server's memory is cancelled.
//!
//! The thread sleeps while no response is on its way. All deadlines are equally far away, so they are in order.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Instant;

use futures_util::future::{AbortHandle, abortable};
use parking_lot::{Condvar, Mutex};

use crate::limits::RESPONSE_TIMEOUT;
use crate::threads;

/// Owns the thread, and joins it on drop.
pub struct DeadlineThread {
    deadlines: Deadlines,
    thread: Option<JoinHandle<()>>,
}

/// The responses on their way.
#[derive(Clone, Default)]
pub struct Deadlines {
    watch: Arc<Watch>,
}

#[derive(Default)]
struct Watch {
    // lock order: 3 (a leaf)
    state: Mutex<WatchState>,
    changed: Condvar,
}

#[derive(Default)]
struct WatchState {
    /// Bound: one for each call in progress, and those that ended since the oldest of them.
    sending: VecDeque<Sending>,
    asleep: bool,
    closed: bool,
}

struct Sending {
    until: Instant,
    handle: AbortHandle,
    /// Gone once the client has the response.
    lives: Weak<()>,
}

impl DeadlineThread {
    pub fn start() -> io::Result<Self> {
        let deadlines = Deadlines::default();
        let watch = Arc::clone(&deadlines.watch);
        let thread = threads::spawn("call-deadlines", move || watch.run())?;
        Ok(Self { deadlines, thread: Some(thread) })
    }

    pub fn deadlines(&self) -> Deadlines {
        self.deadlines.clone()
    }
}

impl Drop for DeadlineThread {
    fn drop(&mut self) {
        self.deadlines.watch.state.lock().closed = true;
        self.deadlines.watch.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic has been reported already.
            let _ = thread.join();
        }
    }
}

impl Deadlines {
    /// Drops the future if it is not done within [`RESPONSE_TIMEOUT`].
    pub async fn apply(&self, sending: impl Future) {
        let (sending, handle) = abortable(sending);
        let lives = Arc::new(());
        self.watch.add(Sending { until: Instant::now() + RESPONSE_TIMEOUT, handle, lives: Arc::downgrade(&lives) });
        // The outcome is not needed: either the client has the response, or it does not want it.
        let _ = sending.await;
        drop(lives);
    }
}

impl Watch {
    fn add(&self, sending: Sending) {
        let mut state = self.state.lock();
        while state.sending.front().is_some_and(Sending::is_done) {
            state.sending.pop_front();
        }
        state.sending.push_back(sending);
        let wake = std::mem::take(&mut state.asleep);
        drop(state);
        if wake {
            self.changed.notify_one();
        }
    }

    fn run(&self) {
        let mut state = self.state.lock();
        while !state.closed {
            while state.sending.front().is_some_and(Sending::is_done) {
                state.sending.pop_front();
            }
            match state.sending.front().map(|first| first.until) {
                None => {
                    state.sending.shrink_to_fit();
                    state.asleep = true;
                    self.changed.wait(&mut state);
                }
                Some(until) if until > Instant::now() => {
                    self.changed.wait_until(&mut state, until);
                }
                Some(_) => {
                    let late = state.sending.pop_front();
                    drop(state);
                    // This wakes the call's task.
                    late.inspect(|late| late.handle.abort());
                    state = self.state.lock();
                }
            }
        }
    }
}

impl Sending {
    fn is_done(&self) -> bool {
        self.lives.strong_count() == 0
    }
}
