//! The shared state of a session's threads, and their waits.
//!
//! One lock. No I/O and no event handler runs under it. Each kind of wait has its own condition variable, so that a
//! posted line wakes only the send thread, and only if it sleeps: under load, lines cause no context switches.

use std::collections::VecDeque;
use std::mem;
use std::time::{Duration, Instant};

use grpcio::GrpcSlice;
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::chat::{self, Sender};
use super::events::SessionError;
use super::outbox::{Line, Outbox, Rejection, RequestLimits};
use super::place::{Place, StartAt};
use super::rooms::{Next, Refused, Rooms, ToJoin, Visit};
use super::stream::Canceller;
use crate::names::{MessageId, RoomName};

/// The maximum size of a request, unless the server's limit is lower: every server of this contract accepts it.
const REQUEST_LIMITS: RequestLimits = RequestLimits { commands_max: 1024, bytes_max: 64 * 1024 };

pub struct Shared {
    state: Mutex<State>,
    /// For the send thread: there may be something to send.
    work: Condvar,
    /// For posting threads: there may be space.
    room: Condvar,
    /// For all others: the connection, or the session, has changed.
    pub changed: Condvar,
}

pub struct State {
    link: Link,
    /// Cancels the current stream, if any.
    canceller: Option<Canceller>,
    /// Sent before all lines: `Hello`, joins and leaves.
    commands: VecDeque<GrpcSlice>,
    limits: RequestLimits,
    /// The rooms; the outbox has the lines of each under the same index.
    pub rooms: Rooms,
    pub outbox: Outbox,
    /// The rooms that were left, not reported to the owner yet.
    left: Vec<RoomName>,
    /// The input has ended.
    pub finishing: bool,
    /// The time of the last progress, for a session that is finishing.
    progress_at: Instant,
    /// Since when the receive thread is in the owner's handler, whose time does not count against the server.
    handling: Option<Instant>,
    /// Why the server last could not store a line.
    pub held_because: Option<String>,
    pub ended: Option<Result<(), SessionError>>,
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
    /// Broken; kept until the receiver has seen the end, because dropping it could hide the reason.
    Spent(#[allow(dead_code, reason = "held for its drop")] Sender),
    Down,
}

/// The end of a pause between attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paused {
    Elapsed,
    /// There is an event for the owner; the pause is not over.
    News,
    /// The session has ended, or nothing is left to send.
    Over,
}

/// The result of a refused command about a room.
pub enum RoomRefused {
    /// The session can't continue without the room.
    Essential,
    /// The room is not joined, and these lines for it are given up.
    Dropped(Vec<Line>),
    /// It is as if it were left.
    Left,
    Unknown,
}

impl Shared {
    pub fn new(outbox: Outbox, rooms: Rooms) -> Self {
        let state = State {
            link: Link::Down,
            canceller: None,
            commands: VecDeque::new(),
            limits: REQUEST_LIMITS,
            rooms,
            outbox,
            left: Vec::new(),
            finishing: false,
            progress_at: Instant::now(),
            handling: None,
            held_because: None,
            ended: None,
            idle: false,
            waiting: 0,
        };
        Self { state: Mutex::new(state), work: Condvar::new(), room: Condvar::new(), changed: Condvar::new() }
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Ends the session. The first end counts.
    pub fn end(&self, outcome: Result<(), SessionError>) {
        self.end_locked(&mut self.state.lock(), outcome);
    }

    fn end_locked(&self, state: &mut State, outcome: Result<(), SessionError>) {
        if state.ended.is_none() {
            state.ended = Some(outcome);
        }
        if let Some(canceller) = state.canceller.take() {
            canceller.cancel();
        }
        self.work.notify_all();
        self.room.notify_all();
        self.changed.notify_all();
    }

    /// Joins a room. False: that is done already.
    pub fn join(&self, room: &RoomName, from: StartAt) -> Result<bool, SessionError> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        if state.ended.is_some() || state.finishing {
            return Err(SessionError::Ended);
        }
        let is_known = state.rooms.is_known(room);
        let Some((index, next)) = state.rooms.join(room, from) else { return Ok(false) };
        if !is_known {
            state.outbox.add(index, room.clone());
        }
        self.act(state, index, next);
        Ok(true)
    }

    /// Leaves a room once its lines are acknowledged. Returns how many are not.
    pub fn leave(&self, room: &RoomName) -> Result<usize, SessionError> {
        let mut guard = self.state.lock();
        let State { rooms, outbox, .. } = &mut *guard;
        let Some((index, next)) = rooms.leave(room, |index| outbox.is_idle(index)) else {
            return Err(SessionError::NotJoined { room: room.clone() });
        };
        let waiting = outbox.waiting(index);
        self.act(&mut guard, index, next);
        self.end_if_finished(&mut guard);
        Ok(waiting)
    }

    /// Executes the next step for a room.
    fn act(&self, state: &mut State, index: usize, next: Next) {
        match next {
            Next::Nothing => return,
            Next::Join(room, from) => {
                let join = chat::join(&room, Place::new(from).join());
                state.commands.push_back(GrpcSlice::from(join));
            }
            Next::Leave(room) => {
                state.outbox.close(index);
                state.commands.push_back(GrpcSlice::from(chat::leave(&room)));
            }
            Next::Gone(room) => {
                state.outbox.remove(index);
                state.left.push(room);
                // Wakes a receive thread that pauses.
                self.changed.notify_all();
            }
        }
        self.work.notify_one();
    }

    /// Executes the next step for a room that was left. If it is joined again, it is reported as left before it is
    /// reported as joined.
    fn act_on_left(&self, state: &mut State, index: usize, next: Next) {
        if let Next::Join(room, _) = &next {
            state.left.push(room.clone());
        }
        self.act(state, index, next);
    }

    /// A line of the room was removed from the outbox.
    fn settle(&self, state: &mut State, index: usize) {
        if state.outbox.is_idle(index) {
            let next = state.rooms.idle(index);
            self.act(state, index, next);
        }
    }

    /// Takes the rooms that were left and not reported to the owner yet.
    pub fn take_left(&self) -> Vec<RoomName> {
        mem::take(&mut self.state.lock().left)
    }

    /// Posts a line; blocks while there is no space for it.
    pub fn post(&self, room: &RoomName, line: Line) -> Result<(), SessionError> {
        let mut state = self.state.lock();
        while state.ended.is_none() && !state.outbox.has_room_for(&line.body) {
            state.waiting += 1;
            self.room.wait(&mut state);
            state.waiting -= 1;
        }
        if state.ended.is_some() || state.finishing {
            return Err(SessionError::Ended);
        }
        let Some(index) = state.rooms.find(room) else {
            return Err(SessionError::NotJoined { room: room.clone() });
        };
        state.outbox.push(index, line);
        if state.idle {
            // It is woken only once.
            state.idle = false;
            self.work.notify_one();
        }
        Ok(())
    }

    /// No more lines will be posted.
    pub fn finish(&self) {
        let mut state = self.state.lock();
        state.finishing = true;
        state.progress_at = Instant::now();
        self.end_if_finished(&mut state);
        self.changed.notify_all();
    }

    fn end_if_finished(&self, state: &mut State) {
        if state.finishing && state.outbox.is_empty() && state.rooms.all_caught_up() {
            self.end_locked(state, Ok(()));
        }
    }

    /// Waits for something to send, and takes the sender for it. `None` means that the session has ended.
    pub fn next_request(&self, buffer: &mut Vec<u8>) -> Option<(Sender, GrpcSlice)> {
        let mut state = self.state.lock();
        loop {
            if state.ended.is_some() {
                return None;
            }
            let mut hold = None;
            if matches!(state.link, Link::Ready(_)) {
                buffer.clear();
                let request = match state.commands.pop_front() {
                    Some(commands) => Some(commands),
                    None => {
                        let limits = state.limits;
                        let filled = state.outbox.fill(buffer, limits, Instant::now());
                        (filled > 0).then(|| GrpcSlice::from(buffer.as_slice()))
                    }
                };
                if let Some(request) = request {
                    let Link::Ready(sender) = mem::replace(&mut state.link, Link::Writing) else {
                        unreachable!("the link was ready just now");
                    };
                    return Some((sender, request));
                }
                hold = state.outbox.next_hold();
            }
            state.idle = true;
            match hold {
                Some(until) => drop(self.work.wait_until(&mut state, until)),
                None => self.work.wait(&mut state),
            }
            state.idle = false;
        }
    }

    /// Gives the sender back after a request.
    pub fn give_back(&self, sender: Sender, success: bool) {
        let mut state = self.state.lock();
        state.link = if success { Link::Ready(sender) } else { Link::Spent(sender) };
        if !success || state.canceller.is_none() {
            self.changed.notify_all();
        }
    }

    /// Starts using a stream, and sends `Hello`. False means that the session has ended.
    pub fn connect(
        &self,
        sender: Sender,
        canceller: Canceller,
        greet: impl FnOnce(Vec<ToJoin>) -> VecDeque<GrpcSlice>,
    ) -> bool {
        let mut state = self.state.lock();
        if state.ended.is_some() {
            return false;
        }
        state.link = Link::Ready(sender);
        state.canceller = Some(canceller);
        state.commands = greet(state.rooms.connect());
        state.limits = REQUEST_LIMITS;
        self.work.notify_one();
        true
    }

    /// Records that the stream has ended; its receiver is dropped, so a pending write ends soon. Returns how many lines
    /// will be posted again.
    pub fn disconnect(&self) -> usize {
        let mut state = self.state.lock();
        // For the thread that gives the sender back.
        state.canceller = None;
        while matches!(state.link, Link::Writing) {
            self.changed.wait(&mut state);
        }
        let spent = mem::replace(&mut state.link, Link::Down);
        state.commands.clear();
        state.outbox.rewind();
        let State { rooms, outbox, .. } = &mut *state;
        for (index, room) in rooms.disconnect(|index| outbox.is_idle(index)) {
            match index {
                Some(index) => self.act(&mut state, index, Next::Gone(room)),
                None => state.left.push(room),
            }
        }
        let kept = state.outbox.len();
        drop(state);
        drop(spent);
        kept
    }

    /// Applies the server's limits.
    pub fn limit(&self, commands_max: u32, bytes_max: u32) {
        let mut state = self.state.lock();
        let stated = |limit: u32, default: usize| if limit == 0 { default } else { default.min(limit as usize) };
        state.limits = RequestLimits {
            commands_max: stated(commands_max, REQUEST_LIMITS.commands_max),
            bytes_max: stated(bytes_max, REQUEST_LIMITS.bytes_max),
        };
    }

    /// A room is joined on this connection. `None` if that was not requested.
    pub fn joined(&self, room: &RoomName) -> Option<(usize, Visit, StartAt)> {
        let mut state = self.state.lock();
        let State { rooms, outbox, .. } = &mut *state;
        let (index, visit, from, next) = rooms.joined(room, |index| outbox.is_idle(index))?;
        if rooms.is_joined(index) {
            outbox.open(index);
        }
        self.act(&mut state, index, next);
        self.work.notify_one();
        Some((index, visit, from))
    }

    /// A room is left on this connection. False if that was not requested.
    pub fn left(&self, room: &RoomName) -> bool {
        let mut state = self.state.lock();
        let State { rooms, outbox, .. } = &mut *state;
        let Some((index, next)) = rooms.left(room, |index| outbox.is_idle(index)) else { return false };
        self.act_on_left(&mut state, index, next);
        true
    }

    /// The server has refused the join of a room, or its leave.
    pub fn room_refused(&self, room: &RoomName) -> RoomRefused {
        let mut state = self.state.lock();
        let State { rooms, outbox, .. } = &mut *state;
        match rooms.refused(room, |index| outbox.is_idle(index)) {
            Refused::Essential => RoomRefused::Essential,
            Refused::Gone { index } => RoomRefused::Dropped(outbox.remove(index)),
            Refused::Left { index, next } => {
                self.act_on_left(&mut state, index, next);
                RoomRefused::Left
            }
            Refused::Unknown => RoomRefused::Unknown,
        }
    }

    /// The room has caught up with its history on this connection.
    pub fn caught_up(&self, room: usize) {
        let mut state = self.state.lock();
        state.rooms.caught_up(room);
        if state.rooms.is_joined(room) {
            state.outbox.caught_up(room);
            self.work.notify_one();
        }
    }

    /// The server has the line. False means that it is not, or no longer, in the outbox.
    pub fn acknowledge(&self, room: usize, id: &MessageId) -> bool {
        let mut state = self.state.lock();
        let was_here = state.outbox.acknowledge(room, id);
        if was_here {
            self.settle(&mut state, room);
        }
        was_here
    }

    /// The server rejected a line: permanently, or until a time.
    pub fn reject(&self, id: &MessageId, retry_at: Option<Instant>, reason: &str) -> Rejection {
        let mut state = self.state.lock();
        if retry_at.is_some() {
            state.held_because = Some(reason.to_owned());
        }
        let rejection = state.outbox.reject(id, retry_at);
        if let Rejection::Dropped(_) = rejection {
            (0..state.rooms.len()).for_each(|index| self.settle(&mut state, index));
        }
        rejection
    }

    /// Wakes the send thread: the time of the next line may have changed.
    pub fn look_again(&self) {
        self.work.notify_one();
    }

    /// The receive thread starts to handle a response.
    pub fn begin_handling(&self) {
        self.state.lock().handling = Some(Instant::now());
    }

    /// The response is handled. `progress` means that it contained something that a finishing session waits for.
    pub fn end_handling(&self, progress: bool) {
        let mut state = self.state.lock();
        let took = state.handling.take().map_or(Duration::ZERO, |since| since.elapsed());
        if progress {
            state.progress_at = Instant::now();
            state.held_because = None;
        } else {
            state.progress_at += took;
        }
        let finishing = state.finishing;
        if progress || finishing {
            if state.waiting > 0 {
                self.room.notify_all();
            }
            self.end_if_finished(&mut state);
        }
        // The owner may wait for a deadline that was suspended meanwhile.
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
            if state.finishing && state.outbox.is_empty() {
                self.end_locked(&mut state, Ok(()));
                return Paused::Over;
            }
            if !state.left.is_empty() {
                return Paused::News;
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
                return mem::replace(outcome, Ok(()));
            }
            let deadline = (state.finishing && state.handling.is_none()).then(|| state.progress_at + finish_timeout);
            match deadline {
                None => self.changed.wait(&mut state),
                Some(deadline) if deadline > Instant::now() => drop(self.changed.wait_until(&mut state, deadline)),
                Some(_) => {
                    let overdue = state.overdue(finish_timeout);
                    self.end_locked(&mut state, Err(overdue));
                }
            }
        }
    }
}

impl State {
    /// Why a finishing session gives up.
    fn overdue(&self, timeout: Duration) -> SessionError {
        let seconds = timeout.as_secs();
        let reason = match (&self.held_because, &self.link) {
            (_, Link::Down) => format!("there was no connection for {seconds} s"),
            (Some(reason), _) => format!("the server can't store messages: {reason}"),
            (None, _) => format!("the server did not answer for {seconds} s"),
        };
        SessionError::Unacknowledged { lines: self.outbox.len() as u64, reason }
    }
}
