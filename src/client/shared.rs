//! The shared state of a session's threads, and their waits.
//!
//! One lock. No I/O and no event handler runs under it. Each kind of wait has its own condition variable, so that a
//! line that is passed in wakes only the send thread, and only if it sleeps: under load, lines cause no context
//! switches.

use std::mem;
use std::time::{Duration, Instant};

use grpcio::GrpcSlice;
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::error::SessionError;
use super::handler_time::HandlerTime;
use super::outgoing::Outgoing;
use super::stream::{Canceller, Sender};

pub struct Shared<O> {
    state: Mutex<State<O>>,
    /// For the send thread: there may be something to send.
    work: Condvar,
    /// For threads that pass lines in: there may be space.
    space: Condvar,
    /// For all others: the connection, or the session, has changed.
    changed: Condvar,
}

pub struct State<O> {
    link: Link,
    /// Cancels the current stream, if any.
    canceller: Option<Canceller>,
    pub outgoing: O,
    /// The input has ended.
    finishing: bool,
    /// The current stream was half-closed.
    half_closed: bool,
    /// The owner wants the next attempt to connect at once.
    hurried: bool,
    /// The time of the last progress, for a session that is finishing.
    progress_at: Instant,
    handling: HandlerTime,
    ended: Option<Result<(), SessionError>>,
    /// The send thread sleeps.
    idle: bool,
    /// How many threads wait for space.
    waiting: usize,
}

/// The sending half, from the send thread's view.
enum Link {
    Ready(Sender),
    /// The send thread has the sender and is writing.
    Writing,
    /// Half-closed or broken; kept until the receiver has seen the end, because dropping it could hide the reason.
    Spent(#[allow(dead_code, reason = "held for its drop")] Sender),
    Down,
}

/// The next step of the send thread.
pub enum Work {
    Send(Sender, GrpcSlice),
    HalfClose(Sender),
}

/// The end of a pause between attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paused {
    Elapsed,
    /// There is a local event for the owner; the pause is not over.
    LocalEvent,
    /// The session has ended, or nothing is left to send.
    Over,
}

impl<O: Outgoing> Shared<O> {
    pub fn new(outgoing: O) -> Self {
        let state = State {
            link: Link::Down,
            canceller: None,
            outgoing,
            finishing: false,
            half_closed: false,
            hurried: false,
            progress_at: Instant::now(),
            handling: HandlerTime::default(),
            ended: None,
            idle: false,
            waiting: 0,
        };
        Self { state: Mutex::new(state), work: Condvar::new(), space: Condvar::new(), changed: Condvar::new() }
    }

    pub fn lock(&self) -> MutexGuard<'_, State<O>> {
        self.state.lock()
    }

    /// Changes the outgoing side, and wakes the threads that wait for it.
    pub fn change<T>(&self, change: impl FnOnce(&mut O) -> T) -> T {
        self.change_quietly(|outgoing| (change(outgoing), true))
    }

    /// The same, but wakes the threads only if the change returns true.
    pub fn change_quietly<T>(&self, change: impl FnOnce(&mut O) -> (T, bool)) -> T {
        let mut state = self.state.lock();
        let (outcome, wakes) = change(&mut state.outgoing);
        if wakes {
            self.wake(&state);
        }
        outcome
    }

    /// Changes the outgoing side, for the owner. Fails if the session has ended, or its input has.
    pub fn request<T>(&self, change: impl FnOnce(&mut O) -> T) -> Result<T, SessionError> {
        let mut state = self.state.lock();
        if state.is_closed() {
            return Err(SessionError::Ended);
        }
        let outcome = change(&mut state.outgoing);
        self.wake(&state);
        Ok(outcome)
    }

    fn wake(&self, state: &State<O>) {
        // Wakes a receive thread that pauses, which reports the local events.
        if state.outgoing.has_local_events() {
            self.changed.notify_all();
        }
        self.work.notify_one();
    }

    /// Ends a session that is finishing, if it has nothing left to wait for.
    pub fn end_if_done(&self) {
        self.end_if_finished(&mut self.state.lock());
    }

    /// Ends the session. The first end counts.
    pub fn end(&self, outcome: Result<(), SessionError>) {
        self.end_locked(&mut self.state.lock(), outcome);
    }

    /// Ends the session because one of its threads has panicked. The send thread may have had the sender.
    pub fn panicked(&self, thread: &'static str, had_sender: bool) {
        let mut state = self.state.lock();
        if had_sender && matches!(state.link, Link::Writing) {
            state.link = Link::Down;
        }
        self.end_locked(&mut state, Err(SessionError::Panicked { thread }));
    }

    fn end_locked(&self, state: &mut State<O>, outcome: Result<(), SessionError>) {
        if state.ended.is_none() {
            state.ended = Some(outcome);
        }
        if let Some(canceller) = state.canceller.take() {
            canceller.cancel();
        }
        self.work.notify_all();
        self.space.notify_all();
        self.changed.notify_all();
    }

    /// Adds a line of this many bytes; blocks while there is no space for it.
    pub fn push(
        &self,
        bytes: usize,
        push: impl FnOnce(&mut O) -> Result<(), SessionError>,
    ) -> Result<(), SessionError> {
        let mut state = self.state.lock();
        while state.ended.is_none() && !state.outgoing.has_room_for(bytes) {
            state.waiting += 1;
            self.space.wait(&mut state);
            state.waiting -= 1;
        }
        if state.is_closed() {
            return Err(SessionError::Ended);
        }
        push(&mut state.outgoing)?;
        if state.idle {
            // It is woken only once.
            state.idle = false;
            self.work.notify_one();
        }
        Ok(())
    }

    /// No more lines will be passed in.
    pub fn finish(&self) {
        let mut state = self.state.lock();
        state.finishing = true;
        state.progress_at = Instant::now();
        self.end_if_finished(&mut state);
        self.work.notify_one();
        self.changed.notify_all();
    }

    fn end_if_finished(&self, state: &mut State<O>) {
        if O::IS_ACKNOWLEDGED && state.finishing && state.outgoing.is_done() {
            self.end_locked(state, Ok(()));
        }
    }

    /// Waits for something to send, and takes the sender for it. `None` means that the session has ended.
    pub fn next_work(&self, buffer: &mut Vec<u8>) -> Option<Work> {
        let mut state = self.state.lock();
        loop {
            if state.ended.is_some() {
                return None;
            }
            let mut until = None;
            if matches!(state.link, Link::Ready(_)) {
                buffer.clear();
                let request = state.outgoing.next(buffer, Instant::now());
                let half_close = !O::IS_ACKNOWLEDGED && state.finishing;
                if request.is_some() || half_close {
                    let Link::Ready(sender) = mem::replace(&mut state.link, Link::Writing) else {
                        unreachable!("the link was ready just now");
                    };
                    return Some(match request {
                        Some(request) => Work::Send(sender, request),
                        None => {
                            (state.half_closed, state.progress_at) = (true, Instant::now());
                            Work::HalfClose(sender)
                        }
                    });
                }
                until = state.outgoing.next_at();
            }
            state.idle = true;
            match until {
                Some(until) => drop(self.work.wait_until(&mut state, until)),
                None => self.work.wait(&mut state),
            }
            state.idle = false;
        }
    }

    /// Gives the sender back after a request.
    pub fn give_back(&self, sender: Sender, success: bool) {
        let mut state = self.state.lock();
        let now = state.handling.clock(Instant::now());
        state.outgoing.written(success, now);
        if !O::IS_ACKNOWLEDGED {
            state.progress_at = Instant::now();
            if state.waiting > 0 {
                self.space.notify_all();
            }
        }
        state.link = if success { Link::Ready(sender) } else { Link::Spent(sender) };
        if !success || state.canceller.is_none() {
            self.changed.notify_all();
        }
    }

    /// Gives the sender back after a half-close.
    pub fn give_back_spent(&self, sender: Sender) {
        let mut state = self.state.lock();
        (state.link, state.progress_at) = (Link::Spent(sender), Instant::now());
        self.changed.notify_all();
    }

    /// Starts using a stream, and sends the first requests on it. Returns how many lines wait for it; `None` means that
    /// the session has ended.
    pub fn connect(&self, sender: Sender, canceller: Canceller, greet: impl FnOnce(&mut O)) -> Option<usize> {
        let mut state = self.state.lock();
        if state.ended.is_some() {
            return None;
        }
        (state.link, state.canceller, state.hurried) = (Link::Ready(sender), Some(canceller), false);
        greet(&mut state.outgoing);
        state.connection_changed();
        self.work.notify_one();
        Some(state.outgoing.len())
    }

    /// Records that the stream has ended; its receiver is dropped, so a pending write ends soon. Returns how many lines
    /// are affected.
    pub fn disconnect(&self) -> usize {
        let mut state = self.state.lock();
        // For the thread that gives the sender back.
        state.canceller = None;
        while matches!(state.link, Link::Writing) {
            self.changed.wait(&mut state);
        }
        let spent = mem::replace(&mut state.link, Link::Down);
        let now = state.handling.clock(Instant::now());
        let lines = state.outgoing.disconnect(now);
        state.connection_changed();
        drop(state);
        drop(spent);
        lines
    }

    /// The receive thread starts to handle an event.
    pub fn begin_handling(&self) {
        self.state.lock().handling.begin(Instant::now());
    }

    /// The event is handled. `progress` means that it contained something that a finishing session waits for.
    pub fn end_handling(&self, progress: bool) {
        let mut state = self.state.lock();
        let took = state.handling.end(Instant::now());
        if progress {
            state.progress_at = Instant::now();
            state.outgoing.progressed();
        } else {
            state.progress_at += took;
        }
        let finishing = state.finishing;
        if progress || finishing {
            if state.waiting > 0 {
                self.space.notify_all();
            }
            self.end_if_finished(&mut state);
        }
        // The owner may wait for a deadline that was suspended meanwhile.
        if finishing {
            self.changed.notify_all();
        }
    }

    /// Ends the current stream, if any, and the pause before the next attempt to connect.
    pub fn hurry(&self) {
        let mut state = self.state.lock();
        state.hurried = true;
        if let Some(canceller) = &state.canceller {
            canceller.cancel();
        }
        self.changed.notify_all();
    }

    /// Waits out a pause between attempts.
    pub fn pause(&self, until: Instant) -> Paused {
        let mut state = self.state.lock();
        loop {
            if state.ended.is_some() {
                return Paused::Over;
            }
            if state.finishing && state.outgoing.len() == 0 {
                self.end_locked(&mut state, Ok(()));
                return Paused::Over;
            }
            if state.outgoing.has_local_events() {
                return Paused::LocalEvent;
            }
            if mem::take(&mut state.hurried) {
                return Paused::Elapsed;
            }
            if self.changed.wait_until(&mut state, until).timed_out() {
                return Paused::Elapsed;
            }
        }
    }

    /// Waits for the session's end, on the owner's thread. A finishing session may take this long without progress.
    pub fn wait(&self, finish_timeout: Duration) -> Result<(), SessionError> {
        let mut state = self.state.lock();
        loop {
            if let Some(outcome) = &mut state.ended {
                // It stays set, so that the threads see it; they do not use its value.
                mem::replace(outcome, Ok(()))?;
                return state.outgoing.outcome();
            }
            let deadline = (state.finishing && !state.handling.is_on()).then(|| state.progress_at + finish_timeout);
            match deadline {
                None => self.changed.wait(&mut state),
                Some(deadline) if deadline > Instant::now() => drop(self.changed.wait_until(&mut state, deadline)),
                Some(_) => {
                    let is_down = matches!(state.link, Link::Down);
                    let overdue = state.outgoing.overdue(is_down, finish_timeout);
                    self.end_locked(&mut state, Err(overdue));
                }
            }
        }
    }
}

impl<O: Outgoing> State<O> {
    pub fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Whether this side of the current stream was closed.
    pub fn is_half_closed(&self) -> bool {
        self.half_closed
    }

    /// Whether the owner has ended the current stream, to connect again.
    pub fn is_hurried(&self) -> bool {
        self.hurried
    }

    /// Whether no more lines are accepted.
    fn is_closed(&self) -> bool {
        self.ended.is_some() || self.finishing
    }

    fn connection_changed(&mut self) {
        if !O::IS_ACKNOWLEDGED {
            self.progress_at = Instant::now();
        }
    }
}
