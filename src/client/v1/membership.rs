//! The rooms that a session is in, and those that it should be in. Pure logic: no connection, no thread.
//!
//! Rooms are joined and left while the session runs, with or without a connection. For each room, at most one command
//! (join or leave) is pending at a time: later requests of the owner are executed after the answer. So an answer can't
//! be confused with that to another command.
//!
//! A room that should be left stays joined until the server has acknowledged all lines for it, because their outcomes
//! are not reported otherwise. It accepts no more lines.

use std::collections::HashMap;

use super::place::StartAt;
use crate::names::RoomName;

/// One visit of a room by the owner. A room that is left and joined again has a new visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visit(u64);

/// The rooms, each with an index of its own from its join to the end of its leave.
#[derive(Debug, Default)]
pub struct Memberships {
    slots: Vec<Option<Membership>>,
    by_name: HashMap<RoomName, usize>,
    connected: bool,
    last_visit: u64,
}

#[derive(Debug)]
struct Membership {
    name: RoomName,
    visit: Visit,
    from: StartAt,
    phase: Phase,
    /// Whether the owner has requested it.
    wanted: bool,
    /// Whether it has unacknowledged lines.
    busy: bool,
    /// Whether the session was started with it, and so can't continue without it.
    essential: bool,
    /// Whether it was joined on this visit, and caught up with its history.
    was_joined: bool,
    caught_up: bool,
}

/// The state at the server, on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Neither joined nor requested.
    Apart,
    /// The join was sent, or waits to be.
    Joining,
    Joined,
    /// The leave was sent, or waits to be.
    Leaving,
}

/// The next step for a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Send this.
    Join(RoomName, StartAt),
    Leave(RoomName),
    /// The room is left: its index is free.
    Gone(RoomName),
}

/// A room that is joined on this connection, or is to be joined.
#[derive(Clone, Debug)]
pub struct ToJoin {
    pub index: usize,
    pub name: RoomName,
    pub visit: Visit,
    pub from: StartAt,
}

/// The result of a rejected join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The session can't continue.
    Essential,
    /// The owner continues without the room; its index is free.
    Gone { index: usize },
    /// The leave was refused: the room was no longer joined.
    Left { index: usize, next: Next },
    /// No command with that name is pending.
    Unknown,
}

impl Memberships {
    /// The rooms that a session is started with, in their order.
    pub fn new(rooms: &[(RoomName, StartAt)]) -> Self {
        let mut this = Self::default();
        for (name, from) in rooms {
            let (index, _) = this.add(name, *from);
            this.slot(index).essential = true;
        }
        this
    }

    /// How many indexes there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether the room has an index.
    pub fn is_known(&self, name: &RoomName) -> bool {
        self.by_name.contains_key(name)
    }

    /// The room with that name, if it accepts lines.
    fn find(&self, name: &RoomName) -> Option<usize> {
        let index = *self.by_name.get(name)?;
        self.slots[index].as_ref().is_some_and(|slot| slot.wanted).then_some(index)
    }

    /// A line is added to the room. `None` if it accepts no lines; else its index.
    pub fn add_line(&mut self, name: &RoomName) -> Option<usize> {
        let index = self.find(name)?;
        self.slot(index).busy = true;
        Some(index)
    }

    /// The room's lines are all acknowledged, or given up. Returns what to do now.
    pub fn idle(&mut self, index: usize) -> Option<Next> {
        self.slots[index].as_mut()?.busy = false;
        self.advance(index)
    }

    /// Whether every room has caught up once, or is to be left.
    pub fn all_caught_up(&self) -> bool {
        self.slots.iter().flatten().all(|slot| slot.caught_up || !slot.wanted)
    }

    /// Joins a room. `None` if that is done already; else its index, and what to do now.
    pub fn join(&mut self, name: &RoomName, from: StartAt) -> Option<(usize, Option<Next>)> {
        let Some(&index) = self.by_name.get(name) else { return Some(self.add(name, from)) };
        let visit = self.next_visit();
        let slot = self.slot(index);
        if slot.wanted {
            return None;
        }
        slot.wanted = true;
        // A room that waited for its lines was never left. One whose leave is pending is joined again after the answer.
        if slot.phase == Phase::Leaving {
            (slot.visit, slot.from) = (visit, from);
            (slot.essential, slot.was_joined, slot.caught_up) = (false, false, false);
        }
        Some((index, None))
    }

    fn add(&mut self, name: &RoomName, from: StartAt) -> (usize, Option<Next>) {
        let slot = Membership {
            name: name.clone(),
            visit: self.next_visit(),
            from,
            phase: if self.connected { Phase::Joining } else { Phase::Apart },
            wanted: true,
            busy: false,
            essential: false,
            was_joined: false,
            caught_up: false,
        };
        let index = self.slots.iter().position(Option::is_none).unwrap_or(self.slots.len());
        match self.slots.get_mut(index) {
            Some(free) => *free = Some(slot),
            None => self.slots.push(Some(slot)),
        }
        self.by_name.insert(name.clone(), index);
        (index, self.connected.then(|| Next::Join(name.clone(), from)))
    }

    /// Leaves a room, once it has no more lines. `None` if it is not joined; else its index, and what to do now.
    pub fn leave(&mut self, name: &RoomName) -> Option<(usize, Option<Next>)> {
        let index = self.find(name)?;
        self.slot(index).wanted = false;
        Some((index, self.advance(index)))
    }

    /// Leaves a room that should be left and has no more lines.
    fn advance(&mut self, index: usize) -> Option<Next> {
        let slot = self.slots[index].as_mut()?;
        match slot.phase {
            _ if slot.wanted || slot.busy => None,
            Phase::Apart => Some(Next::Gone(self.remove(index))),
            Phase::Joined => {
                slot.phase = Phase::Leaving;
                Some(Next::Leave(slot.name.clone()))
            }
            // The answer comes first.
            Phase::Joining | Phase::Leaving => None,
        }
    }

    /// The server has joined this client to a room. `None` if that was not requested; else the room, and what to do
    /// now.
    pub fn joined(&mut self, name: &RoomName) -> Option<(ToJoin, Option<Next>)> {
        let index = *self.by_name.get(name)?;
        let slot = self.slot(index);
        match slot.phase {
            Phase::Joining => (slot.phase, slot.was_joined) = (Phase::Joined, true),
            // The room has another number from now on.
            Phase::Joined | Phase::Leaving => {}
            Phase::Apart => return None,
        }
        let joined = slot.to_join(index);
        Some((joined, self.advance(index)))
    }

    /// The server has confirmed that this client left a room. `None` if that was not requested; else the room's index,
    /// and what to do now.
    pub fn left(&mut self, name: &RoomName) -> Option<(usize, Next)> {
        let index = *self.by_name.get(name)?;
        let slot = self.slot(index);
        if slot.phase != Phase::Leaving {
            return None;
        }
        // It was joined again meanwhile; lines for that visit are stored even if it was left once more.
        if slot.wanted || slot.busy {
            slot.phase = Phase::Joining;
            return Some((index, Next::Join(slot.name.clone(), slot.from)));
        }
        Some((index, Next::Gone(self.remove(index))))
    }

    /// The server has refused the join of a room, or its leave.
    pub fn refused(&mut self, name: &RoomName) -> Refused {
        let Some(&index) = self.by_name.get(name) else { return Refused::Unknown };
        let slot = self.slot(index);
        match slot.phase {
            Phase::Joining if slot.essential => Refused::Essential,
            Phase::Joining => {
                self.remove(index);
                Refused::Gone { index }
            }
            Phase::Leaving => self.left(name).map_or(Refused::Unknown, |(index, next)| Refused::Left { index, next }),
            Phase::Apart | Phase::Joined => Refused::Unknown,
        }
    }

    /// Whether the room was joined before and must be resumed, or must be joined for the session to continue.
    pub fn is_to_be_resumed(&self, name: &RoomName) -> bool {
        let slot = self.by_name.get(name).and_then(|index| self.slots[*index].as_ref());
        slot.is_some_and(|slot| slot.phase == Phase::Joining && (slot.essential || slot.was_joined))
    }

    /// The room has caught up.
    pub fn caught_up(&mut self, index: usize) {
        // The history of an earlier visit is not that of the next one.
        if self.is_joined(index) {
            self.slot(index).caught_up = true;
        }
    }

    /// Whether the room is joined, and its leave is not pending.
    pub fn is_joined(&self, index: usize) -> bool {
        self.slots[index].as_ref().is_some_and(|slot| slot.phase == Phase::Joined)
    }

    /// There is a connection. Returns the rooms to join on it.
    pub fn connect(&mut self) -> Vec<ToJoin> {
        self.connected = true;
        let slots = self.slots.iter_mut().enumerate().filter_map(|(index, slot)| Some((index, slot.as_mut()?)));
        let join = |(index, slot): (usize, &mut Membership)| {
            slot.phase = Phase::Joining;
            slot.to_join(index)
        };
        slots.map(join).collect()
    }

    /// The connection is lost. Returns the rooms that are left by that, with their indexes if these are free now: a
    /// room may already be joined again.
    pub fn disconnect(&mut self) -> Vec<(Option<usize>, RoomName)> {
        self.connected = false;
        let mut left = Vec::new();
        for index in 0..self.slots.len() {
            let Some(slot) = &mut self.slots[index] else { continue };
            let before = std::mem::replace(&mut slot.phase, Phase::Apart);
            let name = slot.name.clone();
            match self.advance(index) {
                Some(Next::Gone(_)) => left.push((Some(index), name)),
                _ if before == Phase::Leaving => left.push((None, name)),
                _ => {}
            }
        }
        left
    }

    fn slot(&mut self, index: usize) -> &mut Membership {
        // Invariant: an index that was found by name is in use.
        self.slots[index].as_mut().expect("a room has its slot")
    }

    fn remove(&mut self, index: usize) -> RoomName {
        // Invariant: only slots in use are removed.
        let slot = self.slots[index].take().expect("a room has its slot");
        self.by_name.remove(&slot.name);
        slot.name
    }

    fn next_visit(&mut self) -> Visit {
        self.last_visit += 1;
        Visit(self.last_visit)
    }
}

impl Membership {
    fn to_join(&self, index: usize) -> ToJoin {
        ToJoin { index, name: self.name.clone(), visit: self.visit, from: self.from }
    }
}

#[cfg(test)]
mod tests;
