//! Messages that change, against a naive model: whatever clients do meanwhile (stall within a segment, lag, resume, join
//! again with `last`, read pages late), each ends with what the model says, and no removed text is stored or sent.
//!
//! Each schedule is drawn from its number. `HUBBUB_SCHEDULES` sets how many there are.

mod model;
mod client;

use std::path::Path;
use std::sync::Arc;

use crossbeam_channel::Receiver;
use fastrand::Rng;
use protobuf::Message as _;

use self::client::{CONTRACT, Client, Rules, no_removed_text};
use self::model::{Expected, Model};
use super::cursor::{Cursor, Look};
use super::tail::Tails;
use super::{Room, RoomKey};
use crate::names::{Emoji, RoomName, Seq};
use crate::server::log::conformance::{at, change, post, room, trim_all};
use crate::server::log::sqlite::{self, SyncMode};
use crate::server::log::{
    Act, Appended, Appender, Batch, Command, Log, Page, Post, Published, Retention, Segment, memory,
};
use crate::wire::v1;

struct World {
    appender: Box<dyn Appender>,
    log: Arc<dyn Log>,
    published: Receiver<Published>,
    room: Arc<Room>,
    name: RoomName,
    model: Model,
    time: u64,
    tail_bytes_max: usize,
}

impl World {
    fn new((appender, log): (Box<dyn Appender>, Arc<dyn Log>), tail_bytes_max: usize) -> Self {
        let name = room("attic");
        let (_, published) = crossbeam_channel::unbounded();
        let state = crate::server::log::RoomState::empty(
            crate::names::RoomId(1),
            name.clone(),
            crate::names::Epoch::new(1).unwrap(),
        );
        let room = Arc::new(Room::new(RoomKey(1), state, Arc::clone(&log), 0, Arc::new(Tails::new(0)), 0));
        let (model, time) = (Model::default(), 1);
        let mut world = Self { appender, log, published, room, name, model, time, tail_bytes_max };
        world.append(&mut Rng::with_seed(0), 1);
        world.open_room();
        world
    }

    /// Opens the room in the log's state, as after a start.
    fn open_room(&mut self) {
        let (sender, published) = crossbeam_channel::unbounded();
        self.appender.subscribe(Box::new(move |published| drop(sender.send(published))));
        self.published = published;
        let state = self.log.find(&self.name).unwrap().unwrap();
        let (log, tails) = (Arc::clone(&self.log), Arc::new(Tails::new(usize::MAX)));
        self.room = Arc::new(Room::new(RoomKey(1), state, log, self.tail_bytes_max, tails, 0));
    }

    /// Appends some posts, in one batch or several.
    fn append(&mut self, rng: &mut Rng, count: usize) {
        let oldest = self.oldest();
        let drawn: Vec<_> = (0..count).map(|_| self.model.draw(&self.name, rng, oldest)).collect();
        let posts: Vec<Post> = drawn.iter().map(|(post, _)| post.clone()).collect();
        self.time += 1;
        let cut = rng.usize(..=posts.len());
        let batches = [(&posts[..cut], self.time), (&posts[cut..], self.time + 1)];
        let commands = batches.map(|(posts, time)| Command::Append(Batch { posts, now: at(time) }));
        let outcomes = self.appender.apply(&commands).unwrap();
        for (outcome, (post, expected)) in outcomes.into_iter().zip(drawn) {
            let outcome = match outcome {
                Ok(Appended::New(_, seq)) => Expected::New(seq.0),
                Ok(Appended::Before(..)) => Expected::Before,
                Err(error) => Expected::Refused(error),
            };
            assert_eq!(outcome, expected, "{post:?}");
        }
        self.publish();
    }

    fn publish(&self) {
        for published in self.published.try_iter() {
            match published {
                Published::Room(_) => {}
                Published::Segment(segment) => self.room.push(segment),
                Published::Changed(changed) => self.room.change(changed),
            }
        }
    }

    fn trim(&mut self) {
        trim_all(&mut *self.appender, at(self.time));
        self.publish();
        self.model.trim(self.oldest());
    }

    fn oldest(&self) -> u64 {
        self.log.find(&self.name).unwrap().map_or(1, |state| state.oldest.0)
    }

    /// Nothing that was removed is stored.
    fn check_stored(&self) {
        let state = self.log.find(&self.name).unwrap().unwrap();
        assert_eq!((state.head.0, state.profile.topic.as_str()), (self.model.head, self.model.topic.as_str()));
        let messages = state.head.0 - state.changes;
        let mut next = state.oldest;
        let mut first_message = None;
        while next <= state.head {
            let Page::Segments(segments) = self.log.read(state.id, next, 10_000).unwrap() else { panic!("{next}") };
            for segment in &segments {
                no_removed_text(segment.frame().as_slice(), &self.model.removed, "the log");
                first_message = first_message.or(segment.message(1).map(|_| segment.messages_before() + 1));
                next = segment.last().next();
            }
        }
        // Each message is found by its number.
        if let Some(first) = first_message {
            let numbers: Vec<u64> = (first..=messages).collect();
            let seqs: Vec<u64> = numbers.iter().map(|n| self.log.message(state.id, *n).unwrap().0).collect();
            assert_eq!(seqs, self.model.messages.keys().copied().collect::<Vec<_>>());
            for (seq, said) in &self.model.messages {
                for (emoji, by) in &said.reactions {
                    let emoji = Emoji::new(emoji.as_str()).unwrap();
                    let reactors = self.log.reactors(state.id, Seq(*seq), &emoji, Seq::ZERO, 1_000).unwrap();
                    let names: Vec<_> = reactors.iter().map(|(_, by)| by.name.as_str()).collect();
                    assert_eq!(names, by.iter().map(String::as_str).collect::<Vec<_>>());
                }
            }
        }
    }
}

type Sides = (Box<dyn Appender>, Arc<dyn Log>);

/// Runs one schedule. Returns what a client has that differs from the model.
fn run(seed: u64, rules: Rules, folder: Option<&Path>) -> Result<(), String> {
    let mut rng = Rng::with_seed(seed);
    let messages = rng.bool().then(|| rng.u64(5..40));
    let retention = Retention { messages, ..Retention::default() };
    let open = || -> Sides {
        match folder {
            Some(folder) => {
                let (appender, log) = sqlite::open(folder, SyncMode::Os, false, retention).unwrap();
                (Box::new(appender), log)
            }
            None => {
                let (appender, log) = memory::open(usize::MAX, retention);
                (Box::new(appender), log)
            }
        }
    };
    let mut world = World::new(open(), [0, 2_000, usize::MAX][rng.usize(..3)]);
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..rng.usize(10..60) {
        let count = rng.usize(1..12);
        match rng.u32(..16) {
            0..6 => world.append(&mut rng, count),
            6 => world.trim(),
            7 if clients.len() < 5 => {
                let now = world.room.now();
                let start = match rng.u32(..3) {
                    0 => Seq(1),
                    1 => now.head.next(),
                    _ => {
                        let last = rng.u32(..20);
                        world.room.first_of_last(last, &now).unwrap().max(Seq(world.oldest()))
                    }
                };
                clients.push(Client::join(rules, &world.room, start, &now));
            }
            8 if folder.is_some() && rng.u32(..4) == 0 => {
                let (appender, log) = memory::open(0, Retention::default());
                (world.appender, world.log) = (Box::new(appender), log);
                // Readers of the log are closed with it.
                let places: Vec<_> = clients.iter().map(|client| client.cursor.next()).collect();
                world.room = Arc::new(Room::new(
                    RoomKey(1),
                    crate::server::log::RoomState::empty(
                        crate::names::RoomId(1),
                        world.name.clone(),
                        crate::names::Epoch::new(1).unwrap(),
                    ),
                    Arc::clone(&world.log),
                    0,
                    Arc::new(Tails::new(0)),
                    0,
                ));
                clients.iter_mut().for_each(|client| client.resume(&world.room));
                (world.appender, world.log) = open();
                world.open_room();
                for (client, place) in clients.iter_mut().zip(places) {
                    client.cursor = Cursor::new(Arc::clone(&world.room), place);
                    client.resume(&world.room);
                }
            }
            _ if clients.is_empty() => {}
            n => {
                let at = rng.usize(..clients.len());
                let (oldest, client) = (world.oldest(), &mut clients[at]);
                match n {
                    9..13 => {
                        for _ in 0..count {
                            client.step(rng.u64(..6), &world.model.removed);
                        }
                    }
                    13 => client.resume(&world.room),
                    14 => client.request_page(&*world.log, &world.name, rng.u64(1..20)),
                    _ => client.take_page(oldest),
                }
            }
        }
        // A page that came before a client rejoins is of no use after it; one that came later is.
        if rng.u32(..40) == 0 && !clients.is_empty() {
            let at = rng.usize(..clients.len());
            let now = world.room.now();
            let start = world.room.first_of_last(rng.u32(1..9), &now).unwrap().max(Seq(world.oldest()));
            clients[at] = Client::join(rules, &world.room, start, &now);
        }
    }
    world.trim();
    world.check_stored();
    let oldest = world.oldest();
    for client in &mut clients {
        let mut steps = 0;
        while client.step(100, &world.model.removed) {
            steps += 1;
            assert!(steps < 100_000, "a client does not reach the head");
        }
        client.take_page(oldest);
        client.check(&world.model, oldest).map_err(|fault| format!("schedule {seed}: {fault}"))?;
    }
    Ok(())
}

fn schedules(default: u64) -> u64 {
    std::env::var("HUBBUB_SCHEDULES").map_or(default, |count| count.parse().expect("HUBBUB_SCHEDULES is a number"))
}

#[test]
fn clients_of_the_log_in_memory_end_with_the_model() {
    for seed in 0..schedules(3_000) {
        run(seed, CONTRACT, None).unwrap();
    }
}

#[test]
fn clients_of_the_log_on_the_disk_end_with_the_model() {
    for seed in 0..schedules(400) {
        let folder = tempfile::tempdir().unwrap();
        run(seed, CONTRACT, Some(folder.path())).unwrap();
        let report = sqlite::verify(folder.path(), &mut ()).unwrap();
        assert!(report.faults.is_empty(), "schedule {seed}: {:?}", report.faults);
    }
}

/// The test finds a client that does not follow the contract.
#[test]
fn each_rule_of_the_contract_is_needed() {
    let broken = [Rules { newer_only: false, ..CONTRACT }, Rules { pages_again: false, ..CONTRACT }];
    for rules in broken {
        let faults = (0..2_000).filter(|seed| run(*seed, rules, None).is_err()).count();
        assert!(faults > 0);
    }
}

/// A cursor that rests in a segment for a long time, while that is cut again and again, sends what is there now.
#[test]
fn a_cursor_finds_its_place_in_replaced_segments() {
    let (appender, log) = memory::open(usize::MAX, Retention::default());
    let mut world = World::new((Box::new(appender), log), usize::MAX);
    let said: Vec<_> = (0..40).map(|n| post(&world.name, "ann", 1_000 + n, &"x".repeat(200))).collect();
    world.appender.append(&said, at(5)).unwrap();
    world.publish();
    let mut cursor = Cursor::new(Arc::clone(&world.room), Seq(2));
    while cursor.look() == Look::Ready && cursor.next() < Seq(11) {
        drop(cursor.take(Seq(10)));
    }
    assert_eq!((cursor.look(), cursor.next()), (Look::Ready, Seq(11)));
    let held: Arc<Segment> = Arc::clone(cursor.segment().unwrap());
    // More changes than the room remembers.
    for n in 0..200 {
        let delete = Act::Delete { message: Seq(2 + n % 40), anybodys: true };
        world.appender.append(&[change(&world.name, "bob", delete)], at(6)).unwrap();
        world.publish();
    }
    assert_eq!(cursor.look(), Look::Ready);
    assert!(!Arc::ptr_eq(&held, cursor.segment().unwrap()));
    let mut bodies = Vec::new();
    while cursor.look() == Look::Ready {
        let part = cursor.take(Seq(41)).unwrap();
        let events = v1::ChatResponse::parse_from_bytes(part.entries()).unwrap().events;
        bodies.extend(events.into_iter().map(|event| (event.seq, event.message().body.clone())));
        if part.last() == Seq(41) {
            break;
        }
    }
    let expected: Vec<_> = (11..=41).map(|seq| (seq, String::new())).collect();
    assert_eq!(bodies, expected);
}
