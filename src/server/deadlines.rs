//! Deadlines: what is done if something else has not happened by then; and sends that are given up at theirs.
//!
//! One thread serves all of them, and sleeps while there are none.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::thread::JoinHandle;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use crate::threads;

/// Owns the thread, and joins it on drop.
pub struct DeadlineThread {
    deadlines: Deadlines,
    thread: Option<JoinHandle<()>>,
}

/// The deadlines that have not passed.
#[derive(Clone, Default)]
pub struct Deadlines {
    watch: Arc<Watch>,
}

/// One that was set. Dropping it lifts it.
pub struct Deadline {
    key: Key,
    watch: Arc<Watch>,
}

/// The time, and a number to distinguish deadlines of the same time.
type Key = (Instant, u64);

#[derive(Default)]
struct Watch {
    // lock order: 2 (held to set or lift a deadline)
    state: Mutex<WatchState>,
    changed: Condvar,
}

#[derive(Default)]
struct WatchState {
    /// Bound: one for each call in progress, and for each stream whose client has sent nothing yet.
    pending: BTreeMap<Key, Box<dyn FnOnce() + Send>>,
    /// How many were set so far.
    count: u64,
    /// When the thread wakes up, if it sleeps; `None` if it sleeps until it is woken.
    asleep_until: Option<Option<Instant>>,
    closed: bool,
}

impl DeadlineThread {
    pub fn start() -> io::Result<Self> {
        let deadlines = Deadlines::default();
        let watch = Arc::clone(&deadlines.watch);
        let thread = threads::spawn("deadlines", move || watch.run())?;
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
        // Nothing is done any more at those that are left.
        let pending = std::mem::take(&mut self.deadlines.watch.state.lock().pending);
        drop(pending);
    }
}

impl Deadlines {
    /// Does this at that time, unless the deadline is lifted before. It runs on the thread, so it must not block.
    pub fn set(&self, until: Instant, late: impl FnOnce() + Send + 'static) -> Deadline {
        let mut state = self.watch.state.lock();
        state.count += 1;
        let key = (until, state.count);
        state.pending.insert(key, Box::new(late));
        let is_too_late = |wakes_at: Option<Instant>| wakes_at.is_none_or(|wakes_at| until < wakes_at);
        let must_wake = state.asleep_until.is_some_and(is_too_late);
        drop(state);
        if must_wake {
            self.watch.changed.notify_one();
        }
        Deadline { key, watch: Arc::clone(&self.watch) }
    }

    /// Drives a future that sends something until it is done, and drops it at that time. Does not block.
    ///
    /// A task of the library would hold the call until the client has everything, so dropping the task would not cancel
    /// the call.
    pub fn send(&self, until: Instant, future: impl Future<Output = ()> + Send + 'static) {
        let sending =
            Arc::new(Sending { flight: Mutex::new(Some(Flight { future: Box::pin(future), _deadline: None })) });
        Arc::clone(&sending).wake();
        if sending.flight.lock().is_none() {
            return;
        }
        let late = Arc::clone(&sending);
        let deadline = self.set(until, move || late.cancel());
        let unneeded = match sending.flight.lock().as_mut() {
            Some(flight) => flight._deadline.replace(deadline),
            None => Some(deadline),
        };
        drop(unneeded);
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        let late = self.watch.state.lock().pending.remove(&self.key);
        drop(late);
    }
}

impl Watch {
    fn run(&self) {
        let mut state = self.state.lock();
        while !state.closed {
            let next = state.pending.first_key_value().map(|(&(until, _), _)| until);
            if next.is_some_and(|next| next <= Instant::now()) {
                let late = state.pending.pop_first();
                drop(state);
                if let Some((_, late)) = late {
                    late();
                }
                state = self.state.lock();
                continue;
            }
            state.asleep_until = Some(next);
            match next {
                None => self.changed.wait(&mut state),
                Some(next) => drop(self.changed.wait_until(&mut state, next)),
            }
            state.asleep_until = None;
        }
    }
}

/// What is being sent. The library wakes it when there is progress.
struct Sending {
    // lock order: 3 (a leaf, held for a poll). `None` once it is sent, or given up.
    flight: Mutex<Option<Flight>>,
}

struct Flight {
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// `None` until the first poll has shown that it is needed.
    _deadline: Option<Deadline>,
}

impl Sending {
    fn cancel(&self) {
        let flight = self.flight.lock().take();
        drop(flight);
    }
}

impl Wake for Sending {
    fn wake(self: Arc<Self>) {
        let waker = Waker::from(Arc::clone(&self));
        let mut flight = self.flight.lock();
        let is_done = flight
            .as_mut()
            .is_some_and(|flight| flight.future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
        let done = if is_done { flight.take() } else { None };
        // Dropped after the lock is released: it frees what the call has taken.
        drop(flight);
        drop(done);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use crossbeam_channel::unbounded;

    use super::*;

    const SOON: Duration = Duration::from_millis(20);
    const NEVER: Duration = Duration::from_secs(600);

    #[test]
    fn deadlines_pass_in_order_unless_they_are_lifted() {
        let thread = DeadlineThread::start().unwrap();
        let (passed, passes) = unbounded();
        let set = |number, after: Duration| {
            let passed = passed.clone();
            thread.deadlines().set(Instant::now() + after, move || passed.send(number).unwrap())
        };
        // The thread sleeps for the first one when the earlier ones are set.
        let never = set(1, NEVER);
        let (_third, lifted, _second) = (set(4, 3 * SOON), set(3, 2 * SOON), set(2, SOON));
        drop(lifted);
        assert_eq!([passes.recv().unwrap(), passes.recv().unwrap()], [2, 4]);
        assert_eq!(thread.deadlines().watch.state.lock().pending.len(), 1);
        drop(never);
        assert_eq!(thread.deadlines().watch.state.lock().pending.len(), 0);
    }

    #[test]
    fn what_is_not_sent_in_time_is_dropped() {
        struct Cancelled(crossbeam_channel::Sender<()>);
        impl Drop for Cancelled {
            fn drop(&mut self) {
                self.0.send(()).unwrap();
            }
        }
        let thread = DeadlineThread::start().unwrap();
        let (cancelled, cancels) = unbounded();
        let call = Cancelled(cancelled.clone());
        thread.deadlines().send(Instant::now() + SOON, async move {
            pending::<()>().await;
            drop(call);
        });
        cancels.recv().unwrap();
        // What is sent at once needs no deadline.
        let call = Cancelled(cancelled);
        thread.deadlines().send(Instant::now() + NEVER, async move { drop(call) });
        cancels.recv().unwrap();
        assert_eq!(thread.deadlines().watch.state.lock().count, 1);
    }
}
