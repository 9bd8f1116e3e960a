//! Responses on their way, and deadlines for clients to take them: a call whose response stays in the server's memory
//! is cancelled.
//!
//! A response is not sent by a task of the library: such a task holds the call until the client has the response, so
//! that dropping it would not cancel the call. The thread sleeps while no response is on its way. All deadlines are
//! equally far away, so they are in order.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::thread::JoinHandle;
use std::time::Instant;

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
    // lock order: 2 (held to add or take out a response)
    state: Mutex<WatchState>,
    changed: Condvar,
}

#[derive(Default)]
struct WatchState {
    /// Bound: one for each call in progress, and those that ended since the oldest of them.
    sending: VecDeque<(Instant, Arc<Sending>)>,
    asleep: bool,
    closed: bool,
}

/// A response that is being sent. The library wakes it when the client has it.
struct Sending {
    // lock order: 3 (a leaf, held for a poll). `None` once it is sent, or cancelled.
    future: Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>,
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
    /// Sends a response: drives the future until it is done, and drops it after [`RESPONSE_TIMEOUT`]. Does not block.
    pub fn send(&self, response: impl Future<Output = ()> + Send + 'static) {
        let sending = Arc::new(Sending { future: Mutex::new(Some(Box::pin(response))) });
        Arc::clone(&sending).wake();
        if !sending.is_done() {
            self.watch.add(Instant::now() + RESPONSE_TIMEOUT, sending);
        }
    }
}

impl Watch {
    fn add(&self, until: Instant, sending: Arc<Sending>) {
        let mut state = self.state.lock();
        state.drop_done();
        state.sending.push_back((until, sending));
        let wake = std::mem::take(&mut state.asleep);
        drop(state);
        if wake {
            self.changed.notify_one();
        }
    }

    fn run(&self) {
        let mut state = self.state.lock();
        while !state.closed {
            state.drop_done();
            match state.sending.front().map(|(until, _)| *until) {
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
                    late.inspect(|(_, late)| late.cancel());
                    state = self.state.lock();
                }
            }
        }
    }
}

impl WatchState {
    fn drop_done(&mut self) {
        while self.sending.front().is_some_and(|(_, sending)| sending.is_done()) {
            self.sending.pop_front();
        }
    }
}

impl Sending {
    fn is_done(&self) -> bool {
        self.future.lock().is_none()
    }

    /// Drops the call, which cancels it.
    fn cancel(&self) {
        let future = self.future.lock().take();
        drop(future);
    }
}

impl Wake for Sending {
    fn wake(self: Arc<Self>) {
        let waker = Waker::from(Arc::clone(&self));
        let mut future = self.future.lock();
        let is_done =
            future.as_mut().is_some_and(|future| future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
        let done = if is_done { future.take() } else { None };
        // Dropped after the lock is released: it frees the call's slot.
        drop(future);
        drop(done);
    }
}
