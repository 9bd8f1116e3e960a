//! The memberships against a server that executes one command after the other, for any sequence of requests and
//! outages.

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
    rooms: Memberships,
    connected: bool,
    commands: VecDeque<Next>,
    joined: HashSet<RoomName>,
    wanted: HashSet<RoomName>,
    /// The rooms that have lines.
    busy: HashSet<RoomName>,
}

impl World {
    fn act(&mut self, next: Option<Next>) {
        match next {
            None => {}
            Some(Next::Gone(room)) => assert!(!self.wanted.contains(&room) && !self.busy.contains(&room), "{room}"),
            Some(command) => {
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

    fn step(&mut self, step: Step) {
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
                let left = self.rooms.leave(&room);
                assert_eq!(left.is_some(), was_wanted);
                assert_eq!(self.rooms.find(&room), None);
                self.act(left.and_then(|(_, next)| next));
            }
            Step::Lines(room, true) => {
                if self.rooms.add_line(&name(room)).is_some() {
                    self.busy.insert(name(room));
                }
            }
            Step::Lines(room, false) => {
                if self.busy.remove(&name(room)) {
                    let next = self.rooms.idle(self.rooms.by_name[&name(room)]);
                    self.act(next);
                }
            }
            Step::Answer(refuse) => self.answer(refuse),
            Step::Connect if !self.connected => {
                self.connected = true;
                for join in self.rooms.connect() {
                    self.act(Some(Next::Join(join.name, join.from)));
                }
            }
            Step::Disconnect if self.connected => {
                self.connected = false;
                self.commands.clear();
                self.joined.clear();
                for (index, room) in self.rooms.disconnect() {
                    self.act(index.map(|_| Next::Gone(room)));
                }
            }
            Step::Connect | Step::Disconnect => {}
        }
    }

    fn answer(&mut self, refuse: bool) {
        match self.commands.pop_front() {
            Some(Next::Join(room, _)) if refuse => {
                let Refused::Gone { .. } = self.rooms.refused(&room) else { panic!("a join was refused") };
                self.wanted.remove(&room);
                self.busy.remove(&room);
            }
            Some(Next::Join(room, _)) => {
                assert!(self.joined.insert(room.clone()), "{room} was joined twice");
                let (joined, next) = self.rooms.joined(&room).expect("the join was requested");
                self.rooms.caught_up(joined.index);
                self.act(next);
            }
            Some(Next::Leave(room)) => {
                assert!(self.joined.remove(&room), "{room} was left and not joined");
                let (_, next) = self.rooms.left(&room).expect("the leave was requested");
                self.act(Some(next));
            }
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// The server gets no command that it must refuse, and in the end the client is in the requested rooms.
    #[test]
    fn the_client_ends_up_in_the_requested_rooms(steps in steps()) {
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
fn only_the_initial_rooms_are_essential() {
    let mut rooms = Memberships::new(&[(name(1), StartAt::Head), (name(2), StartAt::Last(3))]);
    assert_eq!(rooms.connect().len(), 2);
    assert_eq!(rooms.refused(&name(1)), Refused::Essential);
    assert!(rooms.is_to_be_resumed(&name(1)));
    let (index, next) = rooms.join(&name(3), StartAt::Last(9)).unwrap();
    assert_eq!((index, next), (2, Some(Next::Join(name(3), StartAt::Last(9)))));
    assert!(!rooms.is_to_be_resumed(&name(3)));
    assert_eq!(rooms.refused(&name(3)), Refused::Gone { index });
    // A room that was joined is resumed, however it was requested.
    rooms.join(&name(3), StartAt::Head).unwrap();
    rooms.joined(&name(3)).unwrap();
    rooms.disconnect();
    rooms.connect();
    assert!(rooms.is_to_be_resumed(&name(3)));
    assert_eq!(rooms.refused(&name(4)), Refused::Unknown);
}
