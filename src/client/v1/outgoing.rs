//! The send side of a session over `hubbub.v1`: commands about its rooms, and unacknowledged lines.

use std::collections::VecDeque;
use std::mem;
use std::time::{Duration, Instant};

use grpcio::GrpcSlice;

use super::line::Line;
use super::membership::{Memberships, Next, Refused, ToJoin};
use super::outbox::{Outbox, Rejection, RequestLimits};
use super::place::{Place, StartAt};
use super::wire;
use crate::client::error::{SessionError, Unsure};
use crate::client::outgoing;
use crate::limits::{COMMANDS_MAX, RECEIVE_BYTES_MAX};
use crate::names::{MessageId, RoomName};

/// The maximum size of a request, unless the server's limit is lower: every server of this contract accepts it.
const REQUEST_LIMITS: RequestLimits = RequestLimits { commands_max: COMMANDS_MAX, bytes_max: RECEIVE_BYTES_MAX };

pub struct Outgoing {
    /// Sent before all lines: `Hello`, joins and leaves.
    pub commands: VecDeque<GrpcSlice>,
    limits: RequestLimits,
    /// The rooms; the outbox has the lines of each under the same index.
    pub rooms: Memberships,
    pub outbox: Outbox,
    /// The rooms that were left, not reported to the owner yet.
    left: Vec<RoomName>,
    /// Why the server last could not store a line.
    held_because: Option<String>,
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

impl outgoing::Outgoing for Outgoing {
    const IS_ACKNOWLEDGED: bool = true;

    fn next(&mut self, buffer: &mut Vec<u8>, now: Instant) -> Option<GrpcSlice> {
        if let Some(commands) = self.commands.pop_front() {
            return Some(commands);
        }
        let filled = self.outbox.fill(buffer, self.limits, now);
        (filled > 0).then(|| GrpcSlice::from(buffer.as_slice()))
    }

    fn next_at(&self) -> Option<Instant> {
        self.outbox.next_hold()
    }

    fn written(&mut self, _success: bool, _now: Instant) {}

    fn len(&self) -> usize {
        self.outbox.len()
    }

    fn has_room_for(&self, bytes: usize) -> bool {
        self.outbox.has_room_for(bytes)
    }

    fn is_done(&self) -> bool {
        self.outbox.is_empty() && self.rooms.all_caught_up()
    }

    fn has_local_events(&self) -> bool {
        !self.left.is_empty()
    }

    fn progressed(&mut self) {
        self.held_because = None;
    }

    fn disconnect(&mut self, _now: Instant) -> usize {
        self.commands.clear();
        self.outbox.rewind();
        for (index, room) in self.rooms.disconnect() {
            match index {
                Some(index) => self.act(index, Some(Next::Gone(room))),
                None => self.left.push(room),
            }
        }
        self.outbox.len()
    }

    fn unsure(&self, lines: usize) -> Unsure {
        Unsure::Stored(lines as u64)
    }

    fn unsent(&self) -> Unsure {
        Unsure::Stored(self.outbox.len() as u64)
    }

    fn overdue(&self, is_down: bool, timeout: Duration) -> SessionError {
        let seconds = timeout.as_secs();
        let reason = match &self.held_because {
            _ if is_down => format!("there was no connection for {seconds} s"),
            Some(reason) => format!("the server can't store messages: {reason}"),
            None => format!("the server did not answer for {seconds} s"),
        };
        SessionError::Unacknowledged { lines: self.outbox.len() as u64, reason }
    }
}

impl Outgoing {
    pub fn new(rooms: Memberships, outbox: Outbox) -> Self {
        let (commands, left) = (VecDeque::new(), Vec::new());
        Self { commands, limits: REQUEST_LIMITS, rooms, outbox, left, held_because: None }
    }

    /// Starts on a new stream, with the default limits until the server reports its own.
    pub fn connect(&mut self, commands: VecDeque<GrpcSlice>) {
        (self.commands, self.limits) = (commands, REQUEST_LIMITS);
    }

    /// Adds a line.
    pub fn push(&mut self, room: &RoomName, line: Line) -> Result<(), SessionError> {
        let index = self.rooms.add_line(room).ok_or_else(|| SessionError::NotJoined { room: room.clone() })?;
        self.outbox.push(index, line);
        Ok(())
    }

    /// Joins a room. False: that is done already.
    pub fn join(&mut self, room: &RoomName, from: StartAt) -> bool {
        let is_known = self.rooms.is_known(room);
        let Some((index, next)) = self.rooms.join(room, from) else { return false };
        if !is_known {
            self.outbox.add(index, room.clone());
        }
        self.act(index, next);
        true
    }

    /// Leaves a room once its lines are acknowledged. Returns how many are not.
    pub fn leave(&mut self, room: &RoomName) -> Result<usize, SessionError> {
        let (index, next) = self.rooms.leave(room).ok_or_else(|| SessionError::NotJoined { room: room.clone() })?;
        let waiting = self.outbox.waiting(index);
        self.act(index, next);
        Ok(waiting)
    }

    /// Executes the next step for a room.
    fn act(&mut self, index: usize, next: Option<Next>) {
        match next {
            None => {}
            Some(Next::Join(room, from)) => {
                let join = wire::join(&room, Place::new(from).join());
                self.commands.push_back(GrpcSlice::from(join));
            }
            Some(Next::Leave(room)) => {
                self.outbox.close(index);
                self.commands.push_back(GrpcSlice::from(wire::leave(&room)));
            }
            Some(Next::Gone(room)) => {
                self.outbox.remove(index);
                self.left.push(room);
            }
        }
    }

    /// Executes the next step for a room that was left. If it is joined again, it is reported as left before it is
    /// reported as joined.
    fn act_on_left(&mut self, index: usize, next: Next) {
        if let Next::Join(room, _) = &next {
            self.left.push(room.clone());
        }
        self.act(index, Some(next));
    }

    /// Takes the rooms that were left and not reported to the owner yet.
    pub fn take_left(&mut self) -> Vec<RoomName> {
        mem::take(&mut self.left)
    }

    /// Applies the server's limits.
    pub fn limit(&mut self, commands_max: u32, bytes_max: u32) {
        let stated = |limit: u32, default: usize| if limit == 0 { default } else { default.min(limit as usize) };
        self.limits = RequestLimits {
            commands_max: stated(commands_max, REQUEST_LIMITS.commands_max),
            bytes_max: stated(bytes_max, REQUEST_LIMITS.bytes_max),
        };
    }

    /// A room is joined on this connection. `None` if that was not requested.
    pub fn joined(&mut self, room: &RoomName) -> Option<ToJoin> {
        let (joined, next) = self.rooms.joined(room)?;
        if self.rooms.is_joined(joined.index) {
            self.outbox.open(joined.index);
        }
        self.act(joined.index, next);
        Some(joined)
    }

    /// A room is left on this connection. False if that was not requested.
    pub fn left(&mut self, room: &RoomName) -> bool {
        let Some((index, next)) = self.rooms.left(room) else { return false };
        self.act_on_left(index, next);
        true
    }

    /// The server has refused the join of a room, or its leave.
    pub fn room_refused(&mut self, room: &RoomName) -> RoomRefused {
        match self.rooms.refused(room) {
            Refused::Essential => RoomRefused::Essential,
            Refused::Gone { index } => RoomRefused::Dropped(self.outbox.remove(index)),
            Refused::Left { index, next } => {
                self.act_on_left(index, next);
                RoomRefused::Left
            }
            Refused::Unknown => RoomRefused::Unknown,
        }
    }

    /// The room has caught up with its history on this connection.
    pub fn caught_up(&mut self, room: usize) {
        self.rooms.caught_up(room);
        if self.rooms.is_joined(room) {
            self.outbox.caught_up(room);
        }
    }

    /// The server has the line. Returns whether it was still in the outbox, and whether there is something to send now.
    pub fn acknowledge(&mut self, room: usize, id: &MessageId) -> (bool, bool) {
        let was_here = self.outbox.acknowledge(room, id);
        (was_here, was_here && self.settle(room))
    }

    /// The server rejected a line: permanently, or until a time.
    pub fn reject(&mut self, id: &MessageId, retry_at: Option<Instant>, reason: &str) -> Rejection {
        if retry_at.is_some() {
            self.held_because = Some(reason.to_owned());
        }
        let rejection = self.outbox.reject(id, retry_at);
        if let Rejection::Dropped(_) = rejection {
            (0..self.rooms.len()).for_each(|index| _ = self.settle(index));
        }
        rejection
    }

    /// A line of the room was removed from the outbox. Returns whether there is a next step.
    fn settle(&mut self, index: usize) -> bool {
        let next = if self.outbox.waiting(index) == 0 { self.rooms.idle(index) } else { None };
        let has_next = next.is_some();
        self.act(index, next);
        has_next
    }
}
