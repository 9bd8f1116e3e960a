//! What the threads of a session share, and what they wait for.
//!
//! One lock. Nothing is written, read or told to the owner under it. Each kind of waiting has its own condition, so that
//! a line that is handed over wakes nobody but the send thread, and only where that sleeps: under load, no line costs a
//! switch of threads.

use std::mem;
use std::time::{Duration, Instant};

use grpcio::GrpcSlice;
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::error::SessionError;
use super::outgoing::Outgoing;
use super::stream::{Canceller, Sender};

pub struct Shared<O> {
    state: Mutex<State<O>>,
    /// For the send thread: there may be something to send.
    work: Condvar,
    /// For whoever hands lines over: there may be space.
    space: Condvar,
    /// For everybody else: the connection, or the session, has changed.
    changed: Condvar,
}

pub struct State<O> {
    link: Link,
    /// Ends the stream of the moment, if any.
    canceller: Option<Canceller>,
    pub outgoing: O,
    /// The owner has nothing more to say.
    finishing: bool,
    /// The stream of the moment was told so.
    half_closed: bool,
    /// When something last went forward, for the end of a session that is finishing.
    progress_at: Instant,
    handling: Handling,
    ended: Option<Result<(), SessionError>>,
    /// The send thread sleeps.
    idle: bool,
    /// How many threads wait for space.
    waiting: usize,
}

/// The receive thread's time in the owner's event handler. It doesn't count against the server; and meanwhile nobody
/// notices a break, so it doesn't make a line sent before any less doubtful.
#[derive(Debug, Default)]
struct Handling {
    since: Option<Instant>,
    /// How long the visits before took, in all.
    before: Duration,
}

/// The sending half, as the send thread sees it.
enum Link {
    Ready(Sender),
    /// The send thread has the sender and is writing.
    Writing,
    /// Half-closed or broken; kept until the receiver has seen the end, because dropping it could hide the reason.
    Spent(#[allow(dead_code, reason = "held for its drop")] Sender),
    Down,
}

/// What the send thread does next.
pub enum Work {
    Send(Sender, GrpcSlice),
    HalfClose(Sender),
}

/// How a pause between attempts ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paused {
    Elapsed,
    /// There is something to tell the owner; the pause is not over.
    News,
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
            progress_at: Instant::now(),
            handling: Handling::default(),
            ended: None,
            idle: false,
            waiting: 0,
        };
        Self { state: Mutex::new(state), work: Condvar::new(), space: Condvar::new(), changed: Condvar::new() }
    }

    pub fn lock(&self) -> MutexGuard<'_, State<O>> {
        self.state.lock()
    }

    /// Changes what is to be sent, and wakes whoever waits for that.
    pub fn change<T>(&self, change: impl FnOnce(&mut O) -> T) -> T {
        self.change_quietly(|outgoing| (change(outgoing), true))
    }

    /// The same, but wakes nobody unless the change says that there is something for them.
    pub fn change_quietly<T>(&self, change: impl FnOnce(&mut O) -> (T, bool)) -> T {
        let mut state = self.state.lock();
        let (outcome, wakes) = change(&mut state.outgoing);
        if wakes {
            self.wake(&state);
        }
        outcome
    }

    /// Changes what is to be sent, for the owner. Fails if the session has ended, or takes nothing more.
    pub fn ask<T>(&self, change: impl FnOnce(&mut O) -> T) -> Result<T, SessionError> {
        let mut state = self.state.lock();
        if state.is_closed() {
            return Err(SessionError::Ended);
        }
        let outcome = change(&mut state.outgoing);
        self.wake(&state);
        Ok(outcome)
    }

    fn wake(&self, state: &State<O>) {
        // A receive thread that pauses tells it.
        if state.outgoing.has_news() {
            self.changed.notify_all();
        }
        self.work.notify_one();
    }

    /// Ends a session that is finishing, if nothing is left of what it waits for.
    pub fn end_if_done(&self) {
        self.end_if_finished(&mut self.state.lock());
    }

    /// Ends the session. The first end counts.
    pub fn end(&self, outcome: Result<(), SessionError>) {
        self.end_locked(&mut self.state.lock(), outcome);
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

    /// Takes in a line of so many bytes; blocks while there is no space for it.
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
            // It need not be told twice.
            state.idle = false;
            self.work.notify_one();
        }
        Ok(())
    }

    /// Nothing more will be handed over.
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

    /// Waits for something to send, and takes the sender for it. `None` says that the session has ended.
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

    /// Takes a stream into use, and greets the server on it. Returns how many lines wait for it; `None` says that the session
    /// has ended.
    pub fn connect(&self, sender: Sender, canceller: Canceller, greet: impl FnOnce(&mut O)) -> Option<usize> {
        let mut state = self.state.lock();
        if state.ended.is_some() {
            return None;
        }
        (state.link, state.canceller) = (Link::Ready(sender), Some(canceller));
        greet(&mut state.outgoing);
        state.connection_changed();
        self.work.notify_one();
        Some(state.outgoing.len())
    }

    /// Notes that the stream has ended; its receiver is dropped, so a write still going on ends soon. Returns how many
    /// lines that concerns.
    pub fn disconnect(&self) -> usize {
        let mut state = self.state.lock();
        // Told to whoever gives the sender back.
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

    /// The receive thread begins to handle an event.
    pub fn begin_handling(&self) {
        self.state.lock().handling.begin(Instant::now());
    }

    /// It is through. `progress` says that something came that a finishing session waits for.
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
        // The owner may wait for a deadline that was out of force meanwhile.
        if finishing {
            self.changed.notify_all();
        }
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
            if state.outgoing.has_news() {
                return Paused::News;
            }
            if self.changed.wait_until(&mut state, until).timed_out() {
                return Paused::Elapsed;
            }
        }
    }

    /// Waits for the session's end: the owner's thread. A session that is finishing gets so long without progress.
    pub fn wait(&self, finish_timeout: Duration) -> Result<(), SessionError> {
        let mut state = self.state.lock();
        loop {
            if let Some(outcome) = &mut state.ended {
                // It stays set, so that the threads see it; they never look into it.
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

    /// Whether this side of the stream of the moment was closed.
    pub fn is_half_closed(&self) -> bool {
        self.half_closed
    }

    /// Whether nothing more is taken in.
    fn is_closed(&self) -> bool {
        self.ended.is_some() || self.finishing
    }

    fn connection_changed(&mut self) {
        if !O::IS_ACKNOWLEDGED {
            self.progress_at = Instant::now();
        }
    }
}

impl Handling {
    fn begin(&mut self, now: Instant) {
        self.since = Some(now);
    }

    /// Returns how long it took.
    fn end(&mut self, now: Instant) -> Duration {
        let took = self.since.take().map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        self.before += took;
        took
    }

    fn is_on(&self) -> bool {
        self.since.is_some()
    }

    /// A clock that stands still while the owner handles an event.
    fn clock(&self, now: Instant) -> Instant {
        // Invariant: the visits lie between the session's start and now, so the difference is a time that was.
        self.since.unwrap_or(now) - self.before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A regression: where the owner's output was held up, such as by a pager, a break was noticed long after the
    /// keepalive had ended the connection, and lines sent just before counted as old enough to be safe.
    #[test]
    fn time_in_which_nobody_listens_makes_no_line_safe() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut handling = Handling::default();
        assert_eq!(handling.clock(at(1)), at(1));
        handling.begin(at(2));
        assert_eq!(handling.clock(at(600)), at(2));
        assert_eq!(handling.end(at(902)), Duration::from_secs(900));
        assert_eq!(handling.clock(at(903)), at(3));
    }
}
