//! Messages that change, against a naive model: whatever clients do meanwhile (stall within a segment, lag, resume, join
//! again with `last`, read pages late), each ends with what the model says, and no removed text is stored or sent.
//!
//! Each schedule is drawn from its number. `HUBBUB_SCHEDULES` sets how many there are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use crossbeam_channel::Receiver;
use fastrand::Rng;
use protobuf::Message as _;

use super::cursor::{Cursor, Fetched, Look};
use super::tail::Tails;
use super::{Now, Room, RoomKey};
use crate::limits::{EMOJIS_MAX, PINS_MAX, REACTORS_NAMED_MAX};
use crate::names::{Body, Emoji, Mentions, RoomName, Seq, Topic};
use crate::server::log::conformance::{at, change, post, room, trim_all};
use crate::server::log::sqlite::{self, SyncMode};
use crate::server::log::{
    Act, Appended, Appender, Batch, Command, Log, LogError, Page, Part, Piece, Post, Published, Retention, Segment,
    memory,
};
use crate::wire::v1;
use crate::wire::v1::event::Event as Wire;

const SENDERS: [&str; 4] = ["ann", "bob", "cid", "dan"];
const EMOJIS: [&str; 3] = ["+1", "\u{2764}\u{fe0f}", "tea"];

/// Rules of the contract that a client follows. The tests break one of them at a time, to show that they find it.
#[derive(Clone, Copy)]
struct Rules {
    /// A change applies only if its seq is above the message's `changed_seq`.
    newer_only: bool,
    /// Changes above a page's `head_seq` are applied to it again.
    pages_again: bool,
}

const CONTRACT: Rules = Rules { newer_only: true, pages_again: true };

/// A message as the model has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Said {
    sender: String,
    /// `None` if it was deleted.
    body: Option<String>,
    /// Who reacted, in order.
    reactions: Vec<(String, Vec<String>)>,
}

/// The room, naively.
#[derive(Default)]
struct Model {
    head: u64,
    messages: BTreeMap<u64, Said>,
    pins: Vec<u64>,
    topic: String,
    /// The texts that must not be found any more.
    removed: BTreeSet<String>,
    ids: BTreeMap<u64, u64>,
    texts: u64,
}

impl Model {
    fn text(&mut self, rng: &mut Rng) -> String {
        self.texts += 1;
        let long = [0, 30, 300, 900][rng.usize(..4)];
        format!("<{}>{}", self.texts, "x".repeat(long))
    }

    /// The marks that texts begin with.
    fn remove(&mut self, body: &str) {
        let mark = &body[..=body.find('>').expect("a text begins with its mark")];
        self.removed.insert(mark.to_owned());
    }

    /// Draws a post, and returns it with what the log must say of it: the seq that it gets, or why it is refused.
    fn draw(&mut self, name: &RoomName, rng: &mut Rng, oldest: u64) -> (Post, Expected) {
        let sender = SENDERS[rng.usize(..SENDERS.len())];
        // Now and then one that never was.
        let message = rng.u64(oldest.saturating_sub(2)..=self.head + 1);
        let seq = Seq(message);
        match if self.messages.is_empty() { 0 } else { rng.u32(..20) } {
            0..7 => {
                let id = self.texts + 1;
                let body = self.text(rng);
                self.head += 1;
                self.ids.insert(id, self.head);
                let said = Said { sender: sender.to_owned(), body: Some(body.clone()), ..Said::default() };
                self.messages.insert(self.head, said);
                (post(name, sender, id, &body), Expected::New(self.head))
            }
            7..11 => {
                let (body, seen) = (self.text(rng), None);
                let edit = Act::Edit {
                    message: seq,
                    body: Body::new(body.clone()).unwrap(),
                    mentions: Mentions::default(),
                    seen,
                };
                let expected =
                    self.change(message, sender, true, |said| said.body.replace(body.clone()).into_iter().collect());
                if !matches!(expected, Expected::New(_)) {
                    self.remove(&body);
                }
                (change(name, sender, edit), expected)
            }
            11..13 => {
                let anybodys = rng.bool();
                let delete = Act::Delete { message: seq, anybodys };
                let expected = match self.messages.get(&message) {
                    Some(said) if said.body.is_none() => Expected::Before,
                    _ => self.change(message, sender, !anybodys, |said| {
                        said.reactions.clear();
                        said.body.take().into_iter().collect()
                    }),
                };
                if matches!(expected, Expected::New(_)) {
                    self.pins.retain(|pinned| *pinned != message);
                }
                (change(name, sender, delete), expected)
            }
            13..17 => {
                let (emoji, removed) = (EMOJIS[rng.usize(..EMOJIS.len())], rng.u32(..3) == 0);
                let react = Act::React { message: seq, emoji: Emoji::new(emoji).unwrap(), removed };
                let has = self.messages.get(&message).map(|said| {
                    said.reactions.iter().any(|(other, by)| other == emoji && by.iter().any(|by| by == sender))
                });
                let is_kept = self.messages.get(&message).is_some_and(|said| said.body.is_some());
                let expected = match has {
                    Some(has) if is_kept && has != removed => Expected::Before,
                    _ => self.change(message, sender, false, |said| {
                        react_to(&mut said.reactions, emoji, sender, removed);
                        Vec::new()
                    }),
                };
                (change(name, sender, react), expected)
            }
            17 | 18 => {
                let removed = rng.bool();
                let pin = Act::Pin { message: seq, removed };
                let is_pinned = self.pins.contains(&message);
                let expected = match removed {
                    true if is_pinned => {
                        self.pins.retain(|pinned| *pinned != message);
                        self.event()
                    }
                    true => Expected::Before,
                    false => match self.messages.get(&message) {
                        None => Expected::Refused(LogError::NoMessage(seq)),
                        Some(said) if said.body.is_none() => Expected::Refused(LogError::WasDeleted(seq)),
                        Some(_) if is_pinned => Expected::Before,
                        Some(_) if self.pins.len() >= PINS_MAX => Expected::Refused(LogError::TooManyPins),
                        Some(_) => {
                            self.pins.push(message);
                            self.event()
                        }
                    },
                };
                (change(name, sender, pin), expected)
            }
            _ => {
                let topic = ["", "tea", "cake"][rng.usize(..3)];
                let expected = if self.topic == topic { Expected::Before } else { self.event() };
                topic.clone_into(&mut self.topic);
                (change(name, sender, Act::SetTopic(Topic::new(topic).unwrap())), expected)
            }
        }
    }

    fn event(&mut self) -> Expected {
        self.head += 1;
        Expected::New(self.head)
    }

    /// Changes a message; `change` returns the texts that it removes.
    fn change(&mut self, seq: u64, sender: &str, own: bool, change: impl FnOnce(&mut Said) -> Vec<String>) -> Expected {
        let removed = match self.messages.get_mut(&seq) {
            None => return Expected::Refused(LogError::NoMessage(Seq(seq))),
            Some(said) if said.body.is_none() => return Expected::Refused(LogError::WasDeleted(Seq(seq))),
            Some(said) if own && said.sender != sender => return Expected::Refused(LogError::NotOwn(Seq(seq))),
            Some(said) => change(said),
        };
        removed.iter().for_each(|body| self.remove(body));
        self.event()
    }

    /// Retention took everything before this event.
    fn trim(&mut self, oldest: u64) {
        let kept = self.messages.split_off(&oldest);
        for said in std::mem::replace(&mut self.messages, kept).into_values() {
            said.body.iter().for_each(|body| self.remove(body));
        }
        self.pins.retain(|pinned| *pinned >= oldest);
    }
}

fn react_to(reactions: &mut Vec<(String, Vec<String>)>, emoji: &str, by: &str, removed: bool) {
    match reactions.iter_mut().find(|(other, _)| other == emoji) {
        Some((_, all)) if removed => all.retain(|other| other != by),
        Some((_, all)) => all.push(by.to_owned()),
        None if !removed => reactions.push((emoji.to_owned(), vec![by.to_owned()])),
        None => {}
    }
    reactions.retain(|(_, all)| !all.is_empty());
    assert!(reactions.len() <= EMOJIS_MAX);
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Expected {
    New(u64),
    Before,
    Refused(LogError),
}

/// A message as a client has it.
#[derive(Clone, Debug)]
struct Held {
    changed: u64,
    said: Said,
}

/// A client of the room, which follows the contract.
struct Client {
    rules: Rules,
    cursor: Cursor,
    held: BTreeMap<u64, Held>,
    /// The first message that it must have, if that is kept.
    from: u64,
    /// State events up to this one are history.
    state_head: u64,
    pins: Vec<u64>,
    topic: String,
    /// The changes that came on the stream.
    changes: Vec<(u64, Wire)>,
    /// A page that is on its way: the head of its moment, and its messages.
    page: Option<(u64, Vec<(u64, v1::Message)>)>,
}

impl Client {
    fn join(rules: Rules, room: &Arc<Room>, start: Seq, now: &Now) -> Self {
        Self {
            rules,
            cursor: Cursor::new(Arc::clone(room), start),
            held: BTreeMap::new(),
            from: start.0,
            state_head: now.head.0,
            pins: now.profile.pins.iter().map(|pin| pin.message.0).collect(),
            topic: now.profile.topic.as_str().to_owned(),
            changes: Vec::new(),
            page: None,
        }
    }

    /// Continues on another connection.
    fn resume(&mut self, room: &Arc<Room>) {
        self.cursor = Cursor::new(Arc::clone(room), self.cursor.next());
        self.set_state(&room.now());
    }

    /// `Joined` came again.
    fn set_state(&mut self, now: &Now) {
        self.state_head = now.head.0;
        self.pins = now.profile.pins.iter().map(|pin| pin.message.0).collect();
        now.profile.topic.as_str().clone_into(&mut self.topic);
    }

    /// Reads a part of a segment. Returns whether there was more.
    fn step(&mut self, until: u64, removed: &BTreeSet<String>) -> bool {
        match self.cursor.look() {
            Look::AtHead => return false,
            Look::Ready => {
                let until = Seq(self.cursor.next().0 + until);
                let part = self.cursor.take(until).expect("the cursor is ready");
                no_removed_text(part.entries(), removed, "a frame");
                for event in v1::ChatResponse::parse_from_bytes(part.entries()).unwrap().events {
                    self.event(event.seq, event.event.expect("an event has a kind"));
                }
            }
            Look::BehindTail => match self.cursor.fetch().unwrap() {
                Fetched::Page => {}
                Fetched::Trimmed(trimmed) => {
                    self.cursor.skip_to(trimmed.oldest);
                    // What is older than the oldest event is gone for clients too.
                    self.held = self.held.split_off(&trimmed.oldest.0);
                    // The server tells the state again if the gap may have changed it.
                    if trimmed.oldest.0 - 1 > self.state_head {
                        let room = Arc::clone(self.cursor.room());
                        self.set_state(&room.now());
                    }
                }
                Fetched::Damaged { to } => panic!("damaged up to {to}"),
            },
        }
        true
    }

    fn event(&mut self, seq: u64, event: Wire) {
        if let Wire::Message(message) = event {
            self.hold(seq, &message);
            return;
        }
        self.changes.push((seq, event.clone()));
        match event {
            Wire::Pinned(pinned) if seq > self.state_head => {
                self.pins.retain(|other| *other != pinned.message_seq);
                if !pinned.removed {
                    self.pins.push(pinned.message_seq);
                }
            }
            Wire::RoomChanged(changed) if seq > self.state_head => {
                changed.topic().clone_into(&mut self.topic);
            }
            Wire::Deleted(ref deleted) if seq > self.state_head => {
                self.pins.retain(|other| *other != deleted.message_seq);
                self.apply(seq, &event);
            }
            _ => self.apply(seq, &event),
        }
    }

    fn hold(&mut self, seq: u64, message: &v1::Message) {
        let reactions = message.reactions.iter().map(|reaction| {
            let people: Vec<_> = reaction.people.iter().map(|person| person.name.clone()).collect();
            assert_eq!(people.len(), (reaction.count as usize).min(REACTORS_NAMED_MAX));
            (reaction.emoji.clone(), people)
        });
        let body = message.deleted_by.is_none().then(|| message.body.clone());
        let said = Said { sender: message.sender.clone(), body, reactions: reactions.collect() };
        self.held.insert(seq, Held { changed: message.changed_seq, said });
    }

    fn apply(&mut self, seq: u64, event: &Wire) {
        let message = match event {
            Wire::Edited(edited) => edited.message_seq,
            Wire::Reacted(reacted) => reacted.message_seq,
            Wire::Deleted(deleted) => deleted.message_seq,
            _ => return,
        };
        let Some(Held { changed, said }) = self.held.get_mut(&message) else { return };
        if seq <= *changed && self.rules.newer_only {
            return;
        }
        *changed = seq;
        match event {
            Wire::Edited(edited) => said.body = Some(edited.body.clone()),
            Wire::Deleted(_) => (said.body, said.reactions) = (None, Vec::new()),
            Wire::Reacted(reacted) => {
                react_to(&mut said.reactions, &reacted.emoji, &reacted.by.name, reacted.removed);
            }
            _ => {}
        }
    }

    /// Requests older messages.
    fn request_page(&mut self, log: &dyn Log, name: &RoomName, max: u64) {
        let before = self.held.keys().next().copied().unwrap_or(self.from);
        let Some(history) = log.history(name, Part::Before(Seq(before)), max, 4_000).unwrap() else { return };
        let mut messages = Vec::new();
        for piece in history.pieces {
            let Piece::Segment(segment) = piece else { panic!("nothing is damaged") };
            let response = v1::ChatResponse::parse_from_bytes(segment.frame().as_slice()).unwrap();
            for event in response.events.into_iter().filter(|event| event.seq < before && event.has_message()) {
                messages.push((event.seq, event.message().clone()));
            }
        }
        let skipped = messages.len().saturating_sub(max as usize);
        self.page = Some((history.room.head.0, messages.split_off(skipped)));
    }

    /// Takes the page in, which may be old by now.
    fn take_page(&mut self, oldest: u64) {
        let Some((head, messages)) = self.page.take() else { return };
        let seqs: Vec<u64> = messages.iter().map(|(seq, _)| *seq).filter(|seq| *seq >= oldest).collect();
        for (seq, message) in messages.iter().filter(|(seq, _)| *seq >= oldest) {
            if !self.held.contains_key(seq) {
                self.hold(*seq, message);
            }
        }
        if self.rules.pages_again {
            let later: Vec<_> = self.changes.iter().filter(|(seq, _)| *seq > head).cloned().collect();
            later.iter().for_each(|(seq, event)| self.apply(*seq, event));
        }
        self.from = self.from.min(seqs.first().copied().unwrap_or(self.from));
    }

    /// Compares with the model, at the head.
    fn check(&mut self, model: &Model, oldest: u64) -> Result<(), String> {
        let held: Vec<_> = self.held.range(oldest..).map(|(seq, held)| (*seq, held.said.clone())).collect();
        let from = self.from.max(oldest);
        let expected: Vec<_> = model.messages.range(from..).map(|(seq, said)| (*seq, said.clone())).collect();
        let first = held.iter().zip(&expected).find(|(held, expected)| held != expected);
        if held != expected {
            return Err(format!("messages from {from}: {} of {}, first: {first:?}", held.len(), expected.len()));
        }
        let pins: Vec<_> = self.pins.iter().copied().filter(|pinned| *pinned >= oldest).collect();
        if (&pins, &self.topic) != (&model.pins, &model.topic) {
            return Err(format!("pins {pins:?} and topic {:?}", self.topic));
        }
        Ok(())
    }
}

fn no_removed_text(bytes: &[u8], removed: &BTreeSet<String>, place: &str) {
    for (start, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'<') {
        let Some(length) = bytes[start..].iter().take(12).position(|byte| *byte == b'>') else { continue };
        let mark = String::from_utf8_lossy(&bytes[start..=start + length]);
        assert!(!removed.contains(&*mark), "the removed text {mark} is in {place}");
    }
}

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
        let report = sqlite::verify(folder.path()).unwrap();
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
