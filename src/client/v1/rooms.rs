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
pub struct Rooms {
    slots: Vec<Option<Slot>>,
    by_name: HashMap<RoomName, usize>,
    connected: bool,
    last_visit: u64,
}

#[derive(Debug)]
struct Slot {
    name: RoomName,
    visit: Visit,
    from: StartAt,
    phase: Phase,
    /// Whether the owner has requested it.
    wanted: bool,
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
    Nothing,
    /// Send this.
    Join(RoomName, StartAt),
    Leave(RoomName),
    /// The room is left: its index is free.
    Gone(RoomName),
}

/// A room to join on a new connection.
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

impl Rooms {
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
    pub fn find(&self, name: &RoomName) -> Option<usize> {
        let index = *self.by_name.get(name)?;
        self.slots[index].as_ref().is_some_and(|slot| slot.wanted).then_some(index)
    }

    /// Whether every room has caught up once, or is to be left.
    pub fn all_caught_up(&self) -> bool {
        self.slots.iter().flatten().all(|slot| slot.caught_up || !slot.wanted)
    }

    /// Joins a room. `None` if that is done already; else its index, and what to do.
    pub fn join(&mut self, name: &RoomName, from: StartAt) -> Option<(usize, Next)> {
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
        Some((index, Next::Nothing))
    }

    fn add(&mut self, name: &RoomName, from: StartAt) -> (usize, Next) {
        let phase = if self.connected { Phase::Joining } else { Phase::Apart };
        let visit = self.next_visit();
        let (wanted, essential, was_joined, caught_up) = (true, false, false, false);
        let slot = Slot { name: name.clone(), visit, from, phase, wanted, essential, was_joined, caught_up };
        let index = self.slots.iter().position(Option::is_none).unwrap_or(self.slots.len());
        match self.slots.get_mut(index) {
            Some(free) => *free = Some(slot),
            None => self.slots.push(Some(slot)),
        }
        self.by_name.insert(name.clone(), index);
        (index, if self.connected { Next::Join(name.clone(), from) } else { Next::Nothing })
    }

    /// Leaves a room, once it has no more lines. `None` if it is not joined; else its index, and what to do now.
    pub fn leave(&mut self, name: &RoomName, is_idle: impl Fn(usize) -> bool) -> Option<(usize, Next)> {
        let index = self.find(name)?;
        self.slot(index).wanted = false;
        Some((index, self.advance(index, is_idle(index))))
    }

    /// The room's lines are all acknowledged, or given up.
    pub fn idle(&mut self, index: usize) -> Next {
        self.advance(index, true)
    }

    /// A room that should be left and has no more lines is left.
    fn advance(&mut self, index: usize, is_idle: bool) -> Next {
        let Some(slot) = &mut self.slots[index] else { return Next::Nothing };
        match slot.phase {
            _ if slot.wanted || !is_idle => Next::Nothing,
            Phase::Apart => Next::Gone(self.remove(index)),
            Phase::Joined => {
                slot.phase = Phase::Leaving;
                Next::Leave(slot.name.clone())
            }
            // The answer comes first.
            Phase::Joining | Phase::Leaving => Next::Nothing,
        }
    }

    /// The server has joined this client to a room. `None` if that was not requested.
    pub fn joined(
        &mut self,
        name: &RoomName,
        is_idle: impl Fn(usize) -> bool,
    ) -> Option<(usize, Visit, StartAt, Next)> {
        let index = *self.by_name.get(name)?;
        let slot = self.slot(index);
        match slot.phase {
            Phase::Joining => (slot.phase, slot.was_joined) = (Phase::Joined, true),
            // The room has another number from now on.
            Phase::Joined | Phase::Leaving => {}
            Phase::Apart => return None,
        }
        let (visit, from) = (slot.visit, slot.from);
        Some((index, visit, from, self.advance(index, is_idle(index))))
    }

    /// The server has confirmed that this client left a room. `None` if that was not requested.
    pub fn left(&mut self, name: &RoomName, is_idle: impl Fn(usize) -> bool) -> Option<(usize, Next)> {
        let index = *self.by_name.get(name)?;
        let slot = self.slot(index);
        if slot.phase != Phase::Leaving {
            return None;
        }
        // It was joined again meanwhile; lines for that visit are stored even if it was left once more.
        if slot.wanted || !is_idle(index) {
            slot.phase = Phase::Joining;
            return Some((index, Next::Join(slot.name.clone(), slot.from)));
        }
        Some((index, Next::Gone(self.remove(index))))
    }

    /// The server has refused the join of a room, or its leave.
    pub fn refused(&mut self, name: &RoomName, is_idle: impl Fn(usize) -> bool) -> Refused {
        let Some(&index) = self.by_name.get(name) else { return Refused::Unknown };
        let slot = self.slot(index);
        match slot.phase {
            Phase::Joining if slot.essential => Refused::Essential,
            Phase::Joining => {
                self.remove(index);
                Refused::Gone { index }
            }
            Phase::Leaving => {
                self.left(name, is_idle).map_or(Refused::Unknown, |(index, next)| Refused::Left { index, next })
            }
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

    /// There is a connection: what to join on it.
    pub fn connect(&mut self) -> Vec<ToJoin> {
        self.connected = true;
        let mut joins = Vec::new();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let Some(slot) = slot else { continue };
            slot.phase = Phase::Joining;
            joins.push(ToJoin { index, name: slot.name.clone(), visit: slot.visit, from: slot.from });
        }
        joins
    }

    /// The connection is lost. Returns the rooms that are left by that, with their indexes if these are free now: a
    /// room may already be joined again.
    pub fn disconnect(&mut self, is_idle: impl Fn(usize) -> bool) -> Vec<(Option<usize>, RoomName)> {
        self.connected = false;
        let mut left = Vec::new();
        for index in 0..self.slots.len() {
            let Some(slot) = &mut self.slots[index] else { continue };
            let before = std::mem::replace(&mut slot.phase, Phase::Apart);
            let name = slot.name.clone();
            match self.advance(index, is_idle(index)) {
                Next::Gone(_) => left.push((Some(index), name)),
                _ if before == Phase::Leaving => left.push((None, name)),
                _ => {}
            }
        }
        left
    }

    fn slot(&mut self, index: usize) -> &mut Slot {
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

#[cfg(test)]
mod tests {
    use std::collections::{HashSet, VecDeque};

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn name(number: usize) -> RoomName {
        RoomName::new(&format!("room-{number}")).unwrap()
    }

    #[derive(Clone, Debug)]
    enum Step {
        Join(usize),
        Leave(usize),
        /// Lines are posted to the room, or all of them are acknowledged.
        Lines(usize, bool),
        /// The server executes the next command; it refuses a join if this is true.
        Answer(bool),
        Connect,
        Disconnect,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0..3usize).prop_map(Step::Join),
            4 => (0..3usize).prop_map(Step::Leave),
            4 => (0..3usize, any::<bool>()).prop_map(|(room, busy)| Step::Lines(room, busy)),
            8 => (0..8u8).prop_map(|n| Step::Answer(n == 0)),
            1 => Just(Step::Connect),
            1 => Just(Step::Disconnect),
        ];
        vec(step, 1..120)
    }

    /// The session's rooms, and a server that executes one command after the other.
    #[derive(Default)]
    struct World {
        rooms: Rooms,
        connected: bool,
        commands: VecDeque<Next>,
        joined: HashSet<RoomName>,
        wanted: HashSet<RoomName>,
        /// The rooms that have lines, by their names.
        busy: HashSet<RoomName>,
    }

    impl World {
        fn act(&mut self, next: Next) {
            match next {
                Next::Nothing => {}
                Next::Gone(room) => assert!(!self.wanted.contains(&room) && !self.busy.contains(&room), "{room}"),
                command => {
                    assert!(self.connected, "{command:?} without a connection");
                    self.commands.push_back(command);
                    let mut rooms = HashSet::new();
                    for command in &self.commands {
                        let (Next::Join(room, _) | Next::Leave(room)) = command else { panic!("{command:?}") };
                        assert!(rooms.insert(room), "two commands at a time: {:?}", self.commands);
                    }
                }
            }
        }

        fn is_idle<'a>(busy: &'a HashSet<RoomName>, rooms: &'a [RoomName]) -> impl Fn(usize) -> bool + use<'a> {
            move |index| !busy.contains(&rooms[index])
        }

        /// The names of the rooms at their indexes.
        fn names(&self) -> Vec<RoomName> {
            self.rooms.slots.iter().map(|slot| slot.as_ref().map_or(name(999), |slot| slot.name.clone())).collect()
        }

        fn step(&mut self, step: Step) {
            let names = self.names();
            match step {
                Step::Join(room) => {
                    let room = name(room);
                    let is_new = self.wanted.insert(room.clone());
                    let joined = self.rooms.join(&room, StartAt::Head);
                    assert_eq!(joined.is_some(), is_new);
                    if let Some((index, next)) = joined {
                        assert_eq!(self.rooms.find(&room), Some(index));
                        self.act(next);
                    }
                }
                Step::Leave(room) => {
                    let room = name(room);
                    let was_wanted = self.wanted.remove(&room);
                    let left = self.rooms.leave(&room, Self::is_idle(&self.busy, &names));
                    assert_eq!(left.is_some(), was_wanted);
                    assert_eq!(self.rooms.find(&room), None);
                    if let Some((_, next)) = left {
                        self.act(next);
                    }
                }
                Step::Lines(room, busy) => {
                    let room = name(room);
                    if busy && self.rooms.find(&room).is_some() {
                        self.busy.insert(room);
                    } else if !busy && self.busy.remove(&room) {
                        let index = names.iter().position(|other| *other == room).expect("a room with lines is there");
                        let next = self.rooms.idle(index);
                        self.act(next);
                    }
                }
                Step::Answer(refuse) => self.answer(refuse),
                Step::Connect if !self.connected => {
                    self.connected = true;
                    for join in self.rooms.connect() {
                        self.act(Next::Join(join.name, join.from));
                    }
                }
                Step::Disconnect if self.connected => {
                    self.connected = false;
                    self.commands.clear();
                    self.joined.clear();
                    for (index, room) in self.rooms.disconnect(Self::is_idle(&self.busy, &names)) {
                        if index.is_some() {
                            self.act(Next::Gone(room));
                        }
                    }
                }
                Step::Connect | Step::Disconnect => {}
            }
        }

        fn answer(&mut self, refuse: bool) {
            let names = self.names();
            match self.commands.pop_front() {
                Some(Next::Join(room, _)) if refuse => {
                    let Refused::Gone { .. } = self.rooms.refused(&room, |_| true) else {
                        panic!("a join was refused")
                    };
                    self.wanted.remove(&room);
                    self.busy.remove(&room);
                }
                Some(Next::Join(room, _)) => {
                    assert!(self.joined.insert(room.clone()), "{room} was joined twice");
                    let joined = self.rooms.joined(&room, Self::is_idle(&self.busy, &names));
                    let (index, .., next) = joined.expect("it was asked for");
                    self.rooms.caught_up(index);
                    self.act(next);
                }
                Some(Next::Leave(room)) => {
                    assert!(self.joined.remove(&room), "{room} was left and not joined");
                    let left = self.rooms.left(&room, Self::is_idle(&self.busy, &names));
                    let (_, next) = left.expect("it was asked for");
                    self.act(next);
                }
                _ => {}
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// For any sequence of the owner's requests and lost connections: the server gets no command that it must
        /// refuse, and in the end the client is in the requested rooms.
        #[test]
        fn a_client_is_in_the_end_where_its_owner_wants_it(steps in steps()) {
            let mut world = World::default();
            for step in steps {
                world.step(step);
            }
            world.step(Step::Connect);
            (0..3).for_each(|room| world.step(Step::Lines(room, false)));
            while !world.commands.is_empty() {
                world.answer(false);
            }
            prop_assert_eq!(&world.joined, &world.wanted);
            prop_assert!(world.rooms.all_caught_up());
            prop_assert_eq!(world.rooms.by_name.len(), world.wanted.len());
            prop_assert!(world.rooms.slots.len() <= 3);
        }
    }

    #[test]
    fn only_a_room_that_the_session_began_with_is_essential() {
        let mut rooms = Rooms::new(&[(name(1), StartAt::Head), (name(2), StartAt::Last(3))]);
        assert_eq!(rooms.connect().len(), 2);
        assert_eq!(rooms.refused(&name(1), |_| true), Refused::Essential);
        assert!(rooms.is_to_be_resumed(&name(1)));
        let (index, next) = rooms.join(&name(3), StartAt::Last(9)).unwrap();
        assert_eq!((index, next), (2, Next::Join(name(3), StartAt::Last(9))));
        assert!(!rooms.is_to_be_resumed(&name(3)));
        assert_eq!(rooms.refused(&name(3), |_| true), Refused::Gone { index });
        // A room that was joined is resumed, however it was requested.
        rooms.join(&name(3), StartAt::Head).unwrap();
        rooms.joined(&name(3), |_| true).unwrap();
        rooms.disconnect(|_| true);
        rooms.connect();
        assert!(rooms.is_to_be_resumed(&name(3)));
        assert_eq!(rooms.refused(&name(4), |_| true), Refused::Unknown);
    }
}
