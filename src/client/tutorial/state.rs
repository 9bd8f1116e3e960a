//! The shared state of a session's threads, and their waits.
//!
//! One lock, one condition variable. No I/O and no event handler runs under the lock.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::error::SessionError;
use super::outbox::{Line, Outbox};
use super::stream::Sender;
use crate::client::events::FINISH_TIMEOUT;
use crate::client::stream::Canceller;

pub struct Shared {
    state: Mutex<State>,
    /// Signalled at each change of the state that a thread may wait for.
    pub changed: Condvar,
}

pub struct State {
    pub link: Link,
    /// Cancels the current stream, if any.
    pub canceller: Option<Canceller>,
    pub outbox: Outbox,
    /// How many lines may have been lost with earlier connections.
    pub doubtful: u64,
    /// The input has ended.
    pub finishing: bool,
    /// The current stream was half-closed.
    pub half_closed: bool,
    /// The time of the last progress, for a session that is finishing.
    pub progress_at: Instant,
    pub handling: Handling,
    pub ended: Option<Result<(), SessionError>>,
}

/// The receive thread's time in the owner's event handler. It doesn't count against the server; and a lost connection
/// is not detected meanwhile, so this time does not make an earlier line less doubtful.
#[derive(Debug, Default)]
pub struct Handling {
    since: Option<Instant>,
    /// The total time of earlier handler calls.
    before: Duration,
}

/// The sending half, from the send thread's view.
pub enum Link {
    Ready(Sender),
    /// The send thread has the sender and is writing.
    Writing,
    /// Half-closed or broken; kept until the receiver has seen the end, because dropping it could hide the reason.
    Spent(#[allow(dead_code, reason = "held for its drop")] Sender),
    Down,
}

/// The next step of the send thread.
pub enum Work {
    Send(Sender, Line),
    Finish(Sender),
    Stop,
}

impl Shared {
    pub fn new(sender: Sender, canceller: Canceller) -> Self {
        let now = Instant::now();
        let state = State {
            link: Link::Ready(sender),
            canceller: Some(canceller),
            outbox: Outbox::new(),
            doubtful: 0,
            finishing: false,
            half_closed: false,
            progress_at: now,
            handling: Handling::default(),
            ended: None,
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub fn end(&self, outcome: Result<(), SessionError>) {
        self.state.lock().end(outcome);
        self.changed.notify_all();
    }

    /// Waits for something to write.
    pub fn next_work(&self) -> Work {
        let mut state = self.state.lock();
        loop {
            if state.ended.is_some() {
                return Work::Stop;
            }
            let work = !state.outbox.is_empty() || (state.finishing && !state.half_closed);
            if work && matches!(state.link, Link::Ready(_)) {
                let Link::Ready(sender) = std::mem::replace(&mut state.link, Link::Writing) else {
                    unreachable!("the link was ready just now");
                };
                return match state.outbox.pop() {
                    Some(line) => {
                        self.changed.notify_all();
                        Work::Send(sender, line)
                    }
                    None => {
                        state.half_closed = true;
                        state.progress_at = Instant::now();
                        Work::Finish(sender)
                    }
                };
            }
            self.changed.wait(&mut state);
        }
    }

    /// Gives the sender back after some work.
    pub fn give_back(&self, sender: Sender, line_sent: Option<bool>) {
        let mut state = self.state.lock();
        let now = Instant::now();
        state.link = match line_sent {
            Some(success) => {
                let listened = state.handling.clock(now);
                state.outbox.sent(success, listened);
                if success { Link::Ready(sender) } else { Link::Spent(sender) }
            }
            None => Link::Spent(sender),
        };
        state.progress_at = now;
        self.changed.notify_all();
    }

    /// Records that the stream has ended; its receiver is dropped, so a pending write ends soon. Returns how many lines
    /// are in doubt.
    pub fn disconnect(&self) -> u64 {
        let mut state = self.state.lock();
        while matches!(state.link, Link::Writing) {
            self.changed.wait(&mut state);
        }
        let spent = std::mem::replace(&mut state.link, Link::Down);
        state.canceller = None;
        let now = Instant::now();
        let listened = state.handling.clock(now);
        let doubtful = state.outbox.take_doubtful(listened);
        state.doubtful += doubtful;
        state.progress_at = now;
        drop(state);
        drop(spent);
        doubtful
    }

    /// Starts using the next stream. Returns how many lines were kept for it, or the sender if the session has ended.
    pub fn connect(&self, sender: Sender, canceller: Canceller) -> Result<usize, Sender> {
        let mut state = self.state.lock();
        if state.ended.is_some() {
            return Err(sender);
        }
        state.link = Link::Ready(sender);
        state.canceller = Some(canceller);
        state.progress_at = Instant::now();
        self.changed.notify_all();
        Ok(state.outbox.len())
    }

    /// Waits out a pause between attempts. False means that the session has ended, or that nothing is left to do.
    pub fn pause(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        let mut state = self.state.lock();
        loop {
            if state.ended.is_some() {
                return false;
            }
            if state.finishing && state.outbox.is_empty() {
                state.end(Ok(()));
                self.changed.notify_all();
                return false;
            }
            if self.changed.wait_until(&mut state, until).timed_out() {
                return true;
            }
        }
    }
}

impl State {
    /// The first end counts.
    pub fn end(&mut self, outcome: Result<(), SessionError>) {
        if self.ended.is_none() {
            self.ended = Some(outcome);
        }
        if let Some(canceller) = self.canceller.take() {
            canceller.cancel();
        }
    }

    /// When a session that is finishing gives up.
    pub fn deadline(&self) -> Option<Instant> {
        (self.finishing && !self.handling.is_on()).then(|| self.progress_at + FINISH_TIMEOUT)
    }

    pub fn overdue(&self) -> SessionError {
        let waiting = self.outbox.len();
        match self.link {
            Link::Down if waiting > 0 => SessionError::Unsent(waiting as u64),
            _ => SessionError::Unconfirmed(format!("the server did not confirm within {} s", FINISH_TIMEOUT.as_secs())),
        }
    }
}

impl Handling {
    pub fn begin(&mut self, now: Instant) {
        self.since = Some(now);
    }

    /// Returns how long it took.
    pub fn end(&mut self, now: Instant) -> Duration {
        let took = self.since.take().map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        self.before += took;
        took
    }

    pub fn is_on(&self) -> bool {
        self.since.is_some()
    }

    /// A clock that stops while the owner handles an event.
    pub fn clock(&self, now: Instant) -> Instant {
        // Invariant: the handler calls lie between the session's start and now, so the difference is a past time.
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
