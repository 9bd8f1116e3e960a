//! A log in memory whose messages can be edited, deleted and trimmed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::Announcer;
use crate::names::{Body, Emoji, Epoch, Kind, Mentions, Origin, RoomId, RoomName, Sender, Seq, UserName};
use crate::server::log::segment::Changes;
use crate::server::log::{History, Log, LogError, Page, Part, Published, RoomState, Segment};
use crate::wire::change::{self, StoredMessage};
use crate::wire::event::{self, Entry, EntryKind, NewMessage};

pub struct FakeLog {
    state: Mutex<State>,
    trims: AtomicU64,
}

#[derive(Default)]
struct State {
    rooms: BTreeMap<u64, FakeRoom>,
    announcer: Option<Announcer>,
    time_ms: u64,
}

struct FakeRoom {
    state: RoomState,
    /// Kind, time and content of each event from 1 on.
    entries: Vec<(EntryKind, u64, Vec<u8>)>,
}

impl FakeLog {
    pub fn new() -> Arc<Self> {
        let state = State { time_ms: 1_700_000_000_000, ..State::default() };
        Arc::new(Self { state: Mutex::new(state), trims: AtomicU64::new(0) })
    }

    pub fn announce_to(&self, announcer: Announcer) {
        self.state.lock().announcer = Some(announcer);
    }

    /// Posts messages at one time, as one commit. Returns the first seq.
    pub fn post(&self, room: u64, sender: &str, bodies: &[&str]) -> Seq {
        let sender = Sender::claim(UserName::new(sender).expect("it is valid"));
        let contents = bodies.iter().map(|body| {
            let (id, body) = (Origin::random().id(1), Body::new(*body).expect("it is valid"));
            (EntryKind::MESSAGE, event::content(&NewMessage::plain(&id, &sender, None, &body, Kind::Text)))
        });
        self.append(room, contents.collect())
    }

    pub fn edit(&self, room: u64, seq: Seq, body: &str) {
        let body = Body::new(body).expect("it is valid");
        let event = (EntryKind::EDITED, change::edited(seq, &body, &Mentions::default()));
        self.change(room, seq, |message, at| message.edit(&body, &Mentions::default(), at, 1));
        self.append(room, vec![event]);
    }

    pub fn delete(&self, room: u64, seq: Seq) {
        let by = Sender::claim(UserName::new("ann").expect("it is valid"));
        self.change(room, seq, |message, at| message.delete(&by, at));
        self.append(room, vec![(EntryKind::DELETED, change::deleted(seq, &by))]);
    }

    /// Rewrites a message, and empties the body of the event of its last edit.
    fn change(&self, room: u64, seq: Seq, change: impl FnOnce(&mut StoredMessage, Seq)) {
        let mut state = self.state.lock();
        let room = state.rooms.get_mut(&room).expect("the room is there");
        let at = room.state.head.next();
        let mut message = StoredMessage::read(&room.entries[seq.0 as usize - 1].2).expect("it is a message");
        if message.edited() > Seq::ZERO {
            room.entries[message.edited().0 as usize - 1].2 = change::edited_before(seq);
        }
        change(&mut message, at);
        room.entries[seq.0 as usize - 1].2 = message.content();
    }

    /// Deletes the messages before this one.
    pub fn trim(&self, room: u64, oldest: Seq) {
        let mut state = self.state.lock();
        let room = state.rooms.get_mut(&room).expect("the room is there");
        room.state.oldest = oldest.min(room.state.head.next());
        drop(state);
        self.trims.fetch_add(1, Ordering::Release);
    }

    pub fn delete_room(&self, room: u64) {
        self.state.lock().rooms.remove(&room);
    }

    /// The room has another history from now on.
    pub fn renew(&self, room: u64) {
        let mut state = self.state.lock();
        let room = state.rooms.get_mut(&room).expect("the room is there");
        room.state.epoch = room.state.epoch.renewed();
    }

    pub fn head(&self, room: u64) -> Seq {
        self.state.lock().rooms.get(&room).map_or(Seq::ZERO, |room| room.state.head)
    }

    pub fn oldest(&self, room: u64) -> Seq {
        self.state.lock().rooms.get(&room).map_or(Seq(1), |room| room.state.oldest)
    }

    fn append(&self, number: u64, events: Vec<(EntryKind, Vec<u8>)>) -> Seq {
        let mut state = self.state.lock();
        state.time_ms += 1;
        let time_ms = state.time_ms;
        let created = !state.rooms.contains_key(&number);
        let room = state.rooms.entry(number).or_insert_with(|| {
            let name = RoomName::stored(&format!("room{number}"));
            FakeRoom { state: RoomState::empty(RoomId(number), name, Epoch::random()), entries: Vec::new() }
        });
        let before = room.state.clone();
        let first = room.state.head.next();
        room.entries.extend(events.into_iter().map(|(kind, content)| (kind, time_ms, content)));
        room.state.head = Seq(room.entries.len() as u64);
        let segment = room.segment(first, room.state.head);
        if let Some(announcer) = &state.announcer {
            if created {
                announcer.published(&Published::Room(before));
            }
            announcer.published(&Published::Segment(segment));
        }
        first
    }
}

impl FakeRoom {
    fn segment(&self, first: Seq, last: Seq) -> Arc<Segment> {
        let mut bytes = Vec::new();
        for seq in first.0..=last.0 {
            let (kind, time_ms, content) = &self.entries[seq as usize - 1];
            event::push(
                &mut bytes,
                &Entry { room: self.state.id, seq: Seq(seq), time_ms: *time_ms, kind: *kind, content },
            );
        }
        Arc::new(Segment::new(self.state.id, first, last, Changes::default(), bytes))
    }
}

impl Log for FakeLog {
    /// Up to four events, the first of which may be before the requested one.
    fn read(&self, room: RoomId, from: Seq, _bytes_max: usize) -> Result<Page, LogError> {
        let state = self.state.lock();
        let Some(room) = state.rooms.get(&room.0) else { return Ok(Page::Segments(Vec::new())) };
        if from < room.state.oldest {
            return Ok(Page::Trimmed { oldest: room.state.oldest });
        }
        if from > room.state.head {
            return Ok(Page::Segments(Vec::new()));
        }
        let first = Seq(from.0 - from.0 % 2).max(room.state.oldest);
        Ok(Page::Segments(vec![room.segment(first, Seq(from.0 + 3).min(room.state.head))]))
    }

    fn find(&self, name: &RoomName) -> Result<Option<RoomState>, LogError> {
        let state = self.state.lock();
        Ok(state.rooms.values().find(|room| room.state.name == *name).map(|room| room.state.clone()))
    }

    fn history(&self, _: &RoomName, _: Part, _: u64, _: usize) -> Result<Option<History>, LogError> {
        unreachable!("the index does not read by names")
    }

    fn message(&self, _: RoomId, _: u64) -> Result<Seq, LogError> {
        unreachable!("the index does not count messages")
    }

    fn reactors(&self, _: RoomId, _: Seq, _: &Emoji, _: Seq, _: usize) -> Result<Vec<(Seq, Sender)>, LogError> {
        unreachable!("the index does not read reactions")
    }

    fn trims(&self) -> u64 {
        self.trims.load(Ordering::Acquire)
    }

    fn rooms(&self, after: Option<&RoomName>, max: usize) -> Result<Vec<RoomState>, LogError> {
        let state = self.state.lock();
        let mut rooms: Vec<_> = state.rooms.values().map(|room| room.state.clone()).collect();
        rooms.sort_by(|a, b| a.name.cmp(&b.name));
        rooms.retain(|room| after.is_none_or(|after| room.name > *after));
        rooms.truncate(max);
        Ok(rooms)
    }
}
