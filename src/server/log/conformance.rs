//! The conformance tests that every log must pass.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossbeam_channel::Receiver;
use parking_lot::Mutex;
use proptest::collection::vec;
use proptest::prelude::*;
use protobuf::Message as _;

use super::{
    Appended, Appender, History, Log, LogError, OpenRooms, Page, Part, Piece, Post, Retention, RoomState, Segment,
    Sides, memory,
};
use crate::names::{Body, Epoch, Kind, MessageId, Origin, RoomId, RoomName, Seq, UserName};
use crate::server::room::Rooms;
use crate::wire::event::{self, EntryKind};
use crate::wire::v1;

pub fn room(name: &str) -> RoomName {
    RoomName::new(name).unwrap()
}

/// A post with a chosen id, made of a number.
pub fn post(room: &RoomName, sender: &str, id: u64, body: &str) -> Post {
    let mut bytes = [7; 16];
    bytes[8..].copy_from_slice(&id.to_be_bytes());
    make_post(room, sender, MessageId::chosen(&bytes).unwrap(), true, body)
}

/// A post whose id the server generates.
pub fn post_without_id(room: &RoomName, sender: &str, body: &str) -> Post {
    make_post(room, sender, Origin::random().id(1), false, body)
}

fn make_post(room: &RoomName, sender: &str, id: MessageId, id_chosen: bool, body: &str) -> Post {
    let sender = UserName::new(sender).unwrap();
    let content = event::content(&id, &sender, None, &Body::new(body).unwrap(), Kind::Text);
    Post { room: room.clone(), sender, id, id_chosen, kind: EntryKind::MESSAGE, content }
}

/// What is published from here on.
pub fn published(appender: &mut dyn Appender) -> Receiver<Arc<Segment>> {
    let (sender, receiver) = crossbeam_channel::unbounded();
    appender.subscribe(Box::new(move |segment| drop(sender.send(segment))));
    receiver
}

pub fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// The rooms that have members.
#[derive(Default)]
pub struct Held(Mutex<HashMap<RoomName, (RoomId, Epoch)>>);

impl Held {
    /// Makes the appender use these.
    pub fn of(appender: &mut dyn Appender) -> Arc<Self> {
        let held = Arc::new(Self::default());
        appender.set_open_rooms(Arc::clone(&held) as _);
        held
    }

    /// Opens a room, and keeps it open.
    pub fn open(&self, appender: &mut dyn Appender, name: &RoomName) -> RoomState {
        let state = appender.open(name).unwrap();
        self.0.lock().entry(name.clone()).or_insert((state.id, state.epoch));
        state
    }

    fn close(&self, name: &RoomName) {
        self.0.lock().remove(name);
    }
}

impl OpenRooms for Held {
    fn opened(&self, name: &RoomName) -> Option<(RoomId, Epoch)> {
        self.0.lock().get(name).copied()
    }
}

/// A log of which some segments can't be read: those that begin with a multiple of this number.
pub struct Patchy(pub Arc<dyn Log>, pub u64);

impl Log for Patchy {
    fn read(&self, room: RoomId, from: Seq, bytes_max: usize) -> Result<Page, LogError> {
        let page = self.0.read(room, from, bytes_max)?;
        let Page::Segments(mut segments) = page else { return Ok(page) };
        let is_damaged = |segment: &Arc<Segment>| segment.first().0.is_multiple_of(self.1);
        if let Some(segment) = segments.first().filter(|segment| is_damaged(segment)) {
            let next = segment.last().next();
            let follows = self.0.read(room, next, 1)?;
            let is_end = matches!(follows, Page::Segments(segments) if segments.is_empty());
            return Ok(Page::Damaged { next: (!is_end).then_some(next) });
        }
        segments.truncate(segments.iter().take_while(|segment| !is_damaged(segment)).count());
        Ok(Page::Segments(segments))
    }

    fn history(&self, name: &RoomName, part: Part, messages: u64, bytes: usize) -> Result<Option<History>, LogError> {
        self.0.history(name, part, messages, bytes)
    }

    fn find(&self, name: &RoomName) -> Result<Option<RoomState>, LogError> {
        self.0.find(name)
    }

    fn trims(&self) -> u64 {
        self.0.trims()
    }

    fn rooms(&self, after: Option<&RoomName>, max: usize) -> Result<Vec<RoomState>, LogError> {
        self.0.rooms(after, max)
    }
}

/// A log under test, and how to reopen it, if it outlives its closing.
pub struct Subject {
    pub appender: Box<dyn Appender>,
    pub log: Arc<dyn Log>,
    pub open_again: Option<Box<dyn Fn() -> Sides>>,
}

impl Subject {
    /// Closes the log and reopens it, if it outlives that.
    fn reopen(&mut self) {
        let Some(open_again) = &self.open_again else { return };
        // Closed first: a log is open once at a time.
        let (appender, log) = memory::open(0, Retention::default());
        (self.appender, self.log) = (Box::new(appender), log);
        (self.appender, self.log) = open_again();
    }
}

/// The tests, for a log that `$open` creates (`fn(Retention) -> Subject`).
macro_rules! conformance_tests {
    ($open:expr) => {
        $crate::server::log::conformance::conformance_tests!($open,
            seqs_are_dense_and_rooms_apart, an_id_is_stored_once, an_id_outlives_its_message,
            a_read_begins_anywhere_and_is_bounded, time_never_falls,
            time_does_not_fall_in_a_room_that_was_emptied, a_time_far_ahead_is_corrected, rooms_are_listed_in_order,
            retention_by_count, retention_by_time, messages_dated_ahead_do_not_hold_up_retention,
            readers_see_whole_prefixes, a_room_that_lost_everything_says_so,
            unknown_rooms_are_not_there, a_room_is_created_by_its_first_message,
            rooms_that_are_only_opened_leave_nothing, a_part_of_history_is_of_one_state, history_is_read_from_both_ends,
            a_naive_model_agrees);
    };
    ($open:expr, $($test:ident),*) => {
        $(#[test]
        fn $test() {
            $crate::server::log::conformance::$test(&$open);
        })*
    };
}
pub(crate) use conformance_tests;

type Open<'a> = &'a dyn Fn(Retention) -> Subject;

/// All messages of a room from a seq on, as stored in the log: seq, sender, body, time.
fn read_all(log: &dyn Log, room: RoomId, from: u64) -> Vec<(u64, String, String, u64)> {
    let mut from = Seq(from);
    let mut messages = Vec::new();
    loop {
        match log.read(room, from, 500).unwrap() {
            Page::Segments(segments) if segments.is_empty() => return messages,
            Page::Segments(segments) => {
                for segment in segments {
                    assert!(segment.first() <= from, "a page begins where it was asked to, and goes on without a gap");
                    assert!(segment.holds(from));
                    let bytes = &segment.frame().as_slice()[segment.offset(from)..];
                    for event in v1::ChatResponse::parse_from_bytes(bytes).unwrap().events {
                        assert_eq!((event.room_id, event.seq), (room.0, from.0));
                        let message = event.message();
                        messages.push((event.seq, message.sender.clone(), message.body.clone(), event.time_ms));
                        from = from.next();
                    }
                    assert_eq!(from, segment.last().next());
                }
            }
            Page::Trimmed { oldest } => {
                assert!(oldest > from);
                from = oldest;
            }
            Page::Damaged { next } => panic!("{from} to {next:?} are damaged"),
        }
    }
}

fn seqs(log: &dyn Log, room: RoomId, from: u64) -> Vec<u64> {
    read_all(log, room, from).into_iter().map(|(seq, ..)| seq).collect()
}

pub fn seqs_are_dense_and_rooms_apart(open: Open<'_>) {
    let mut subject = open(Retention::default());
    let published = published(&mut *subject.appender);
    let (attic, cellar) = (room("attic"), room("cellar"));
    let held = Held::of(&mut *subject.appender);
    let id = held.open(&mut *subject.appender, &attic).id;
    for batch in 0..20 {
        let posts: Vec<_> = (0..5)
            .map(|n| post_without_id(if n % 2 == 0 { &attic } else { &cellar }, "ann", &format!("{batch}.{n}")))
            .collect();
        let outcomes = subject.appender.append(&posts, at(1)).unwrap();
        assert_eq!((outcomes.len(), published.try_iter().count()), (5, 2));
    }
    let state = subject.log.find(&attic).unwrap().unwrap();
    assert_eq!((state.id, state.head, state.oldest), (id, Seq(60), Seq(1)));
    assert_eq!(seqs(&*subject.log, id, 1), (1..=60).collect::<Vec<_>>());
    let cellar = subject.log.find(&cellar).unwrap().unwrap();
    assert_eq!((cellar.head, cellar.epoch == state.epoch), (Seq(40), false));
    let bodies: Vec<_> = read_all(&*subject.log, cellar.id, 1).into_iter().map(|(.., body, _)| body).collect();
    let expected: Vec<_> = (0..20).flat_map(|batch| [1, 3].map(|n| format!("{batch}.{n}"))).collect();
    assert_eq!(bodies, expected);
}

pub fn an_id_is_stored_once(open: Open<'_>) {
    let mut subject = open(Retention::default());
    let (attic, cellar) = (room("attic"), room("cellar"));
    let first = post(&attic, "ann", 1, "hello");
    let posts = [first.clone(), first.clone(), post(&attic, "bob", 1, "mine"), post(&cellar, "ann", 1, "there")];
    let outcomes = subject.appender.append(&posts, at(1)).unwrap();
    let (a, c) = (RoomId(1), RoomId(2));
    let expected =
        [Appended::New(a, Seq(1)), Appended::Before(a, Seq(1)), Appended::New(a, Seq(2)), Appended::New(c, Seq(1))];
    assert_eq!(outcomes, expected.map(Ok));
    subject.reopen();
    let again = subject.appender.append(&[post(&attic, "bob", 2, "new"), first], at(2)).unwrap();
    assert_eq!(again, [Ok(Appended::New(a, Seq(3))), Ok(Appended::Before(a, Seq(1)))]);
    let published = published(&mut *subject.appender);
    subject.appender.append(&posts[..2], at(3)).unwrap();
    assert_eq!(published.try_iter().count(), 0);
    assert_eq!(seqs(&*subject.log, a, 1), [1, 2, 3]);
}

/// A sender lost its connection between the storing of its message and the echo. When it came back, retention had taken the
/// message, and with it its id: the repeat was stored a second time.
pub fn an_id_outlives_its_message(open: Open<'_>) {
    const DAY: u64 = 24 * 60 * 60;
    let mut subject = open(Retention { messages: Some(1), ..Retention::default() });
    let (attic, room_id) = (room("attic"), RoomId(1));
    let (first, second) = (post(&attic, "ann", 1, "hello"), post(&attic, "ann", 2, "there"));
    subject.appender.append(&[first.clone(), post_without_id(&attic, "bob", "x")], at(1)).unwrap();
    subject.appender.append(std::slice::from_ref(&second), at(2)).unwrap();
    assert_eq!(subject.appender.trim(at(3)), Ok(Some(at(3 + DAY))));
    assert_eq!(seqs(&*subject.log, room_id, 1), [3]);
    for seconds in [4, 2 + DAY] {
        subject.reopen();
        let posts = [second.clone(), first.clone(), post(&attic, "bob", 1, "another's")];
        let outcomes = subject.appender.append(&posts[..2], at(seconds)).unwrap();
        let before = [Appended::Before(room_id, Seq(3)), Appended::Before(room_id, Seq(1))];
        assert_eq!(outcomes, before.map(Ok));
        assert_eq!(subject.appender.trim(at(seconds)), Ok(Some(at(3 + DAY))));
    }
    // After a day it is deleted.
    assert_eq!(subject.appender.trim(at(3 + DAY)), Ok(None));
    subject.reopen();
    let outcomes = subject.appender.append(&[first, second], at(4 + DAY)).unwrap();
    assert_eq!(outcomes, [Appended::New(room_id, Seq(4)), Appended::Before(room_id, Seq(3))].map(Ok));
}

pub fn a_read_begins_anywhere_and_is_bounded(open: Open<'_>) {
    let mut subject = open(Retention::default());
    let attic = room("attic");
    for batch in [1, 7, 1, 1, 30, 2] {
        let posts: Vec<_> = (0..batch).map(|_| post_without_id(&attic, "ann", &"x".repeat(50))).collect();
        subject.appender.append(&posts, at(1)).unwrap();
    }
    let id = subject.log.find(&attic).unwrap().unwrap().id;
    for from in 1..=43 {
        assert_eq!(seqs(&*subject.log, id, from), (from..=42).collect::<Vec<_>>());
        for bytes_max in [0, 1, 300, 5_000] {
            if let Page::Segments(segments) = subject.log.read(id, Seq(from), bytes_max).unwrap() {
                assert_eq!(segments.is_empty(), from == 43);
                let bytes: usize = segments.iter().map(|segment| segment.frame().len()).sum();
                let last = segments.last().map_or(0, |segment| segment.frame().len());
                assert!(bytes - last <= bytes_max, "{bytes} bytes from {from}, asked for {bytes_max}");
            }
        }
    }
    assert!(seqs(&*subject.log, id, 1_000).is_empty());
    assert!(seqs(&*subject.log, id, u64::MAX).is_empty());
}

pub fn time_never_falls(open: Open<'_>) {
    let mut subject = open(Retention::default());
    let attic = room("attic");
    for seconds in [100, 50, 200] {
        subject.appender.append(&[post_without_id(&attic, "ann", "x")], at(seconds)).unwrap();
        subject.reopen();
    }
    let times: Vec<_> = read_all(&*subject.log, RoomId(1), 1).into_iter().map(|(.., time_ms)| time_ms).collect();
    assert_eq!(times, [100_000, 100_000, 200_000]);
}

/// All of a room was trimmed while the clock was ahead. After a restart with the clock set right, the next message got a time
/// before those that people had seen.
pub fn time_does_not_fall_in_a_room_that_was_emptied(open: Open<'_>) {
    let mut subject = open(Retention { time: Some(Duration::from_secs(10)), ..Retention::default() });
    let attic = room("attic");
    subject.appender.append(&[post_without_id(&attic, "ann", "ahead")], at(1_000)).unwrap();
    subject.appender.trim(at(1_010)).unwrap();
    assert_eq!(seqs(&*subject.log, RoomId(1), 1), [0; 0]);
    subject.reopen();
    subject.appender.append(&[post_without_id(&attic, "ann", "right")], at(500)).unwrap();
    let times: Vec<_> = read_all(&*subject.log, RoomId(1), 1).into_iter().map(|(.., time_ms)| time_ms).collect();
    assert_eq!(times, [1_000_000]);
}

/// One message that was stored with the clock ten years ahead dated all later messages of its room ten years ahead.
pub fn a_time_far_ahead_is_corrected(open: Open<'_>) {
    const YEAR: u64 = 365 * 24 * 60 * 60;
    let mut subject = open(Retention::default());
    let attic = room("attic");
    for seconds in [50 * YEAR, 60 * YEAR, 50 * YEAR + 1, 50 * YEAR + 2] {
        subject.appender.append(&[post_without_id(&attic, "ann", "x")], at(seconds)).unwrap();
        subject.reopen();
    }
    let times: Vec<_> = read_all(&*subject.log, RoomId(1), 1).into_iter().map(|(.., time_ms)| time_ms / 1000).collect();
    assert_eq!(times, [50 * YEAR, 60 * YEAR, 50 * YEAR + 1, 50 * YEAR + 2]);
}

pub fn rooms_are_listed_in_order(open: Open<'_>) {
    let mut subject = open(Retention::default());
    let mut names: Vec<_> = (0..50).map(|n| room(&format!("room-{}", (n * 7) % 50))).collect();
    names.push(room("Zimmer"));
    names.push(room("ärger"));
    for name in &names {
        subject.appender.open(name).unwrap();
        subject.appender.append(&[post(name, "ann", 1, "x")], at(1)).unwrap();
    }
    // These have no messages.
    for name in ["room-", "room-300", "room-a"] {
        subject.appender.open(&room(name)).unwrap();
    }
    names.sort();
    let mut listed = Vec::new();
    while let Some(page) = Some(subject.log.rooms(listed.last(), 7).unwrap()).filter(|page| !page.is_empty()) {
        assert!(page.len() <= 7);
        listed.extend(page.into_iter().map(|state| state.name));
    }
    assert_eq!(listed, names);
}

/// Whether there is nothing more to trim now: at most ids to be deleted later.
fn is_later(next: Result<Option<SystemTime>, LogError>) -> bool {
    next.unwrap().is_none_or(|next| next >= UNIX_EPOCH + Retention::default().ids)
}

pub fn retention_by_count(open: Open<'_>) {
    let mut subject = open(Retention { messages: Some(10), ..Retention::default() });
    let attic = room("attic");
    for n in 0..10 {
        let posts: Vec<_> = (0..3).map(|k| post(&attic, "ann", n * 3 + k, "x")).collect();
        subject.appender.append(&posts, at(n)).unwrap();
        assert!(is_later(subject.appender.trim(at(n))));
    }
    // Ten and no fewer; whole segments, so up to two more.
    assert_eq!(seqs(&*subject.log, RoomId(1), 1), (19..=30).collect::<Vec<_>>());
    assert!(matches!(subject.log.read(RoomId(1), Seq(4), 1), Ok(Page::Trimmed { oldest: Seq(19) })));
    let state = subject.log.find(&attic).unwrap().unwrap();
    assert_eq!((state.head, state.oldest), (Seq(30), Seq(19)));
}

pub fn retention_by_time(open: Open<'_>) {
    let retention = Retention { time: Some(Duration::from_secs(100)), ..Retention::default() };
    let mut subject = open(retention);
    let (attic, cellar) = (room("attic"), room("cellar"));
    subject.appender.append(&[post_without_id(&attic, "ann", "old")], at(1_000)).unwrap();
    subject.appender.append(&[post_without_id(&cellar, "ann", "old")], at(1_010)).unwrap();
    subject.appender.append(&[post_without_id(&attic, "ann", "new")], at(1_050)).unwrap();
    subject.reopen();
    // An open room's state need not be read again until the log is trimmed, but then it must.
    let rooms = Arc::new(Rooms::new(Arc::clone(&subject.log), 0));
    let open_room = rooms.insert(subject.appender.open(&attic).unwrap());
    let stored = |seen| open_room.stored(Seq(seen)).map(|state| (state.head.0, state.oldest.0));
    assert_eq!(subject.appender.trim(at(1_099)), Ok(Some(at(1_100))));
    assert_eq!(stored(0), Ok((2, 1)));
    assert_eq!(subject.appender.trim(at(1_100)), Ok(Some(at(1_110))));
    assert_eq!(stored(0), Ok((2, 2)));
    assert_eq!(seqs(&*subject.log, RoomId(1), 1), [2]);
    assert_eq!(seqs(&*subject.log, RoomId(2), 1), [1]);
    assert_eq!(subject.appender.trim(at(2_000)), Ok(None));
    assert_eq!(seqs(&*subject.log, RoomId(1), 1), [0; 0]);
    let state = subject.log.find(&attic).unwrap().unwrap();
    assert_eq!((state.head, state.oldest), (Seq(2), Seq(3)));
    let next = subject.appender.append(&[post_without_id(&attic, "ann", "newer")], at(2_000)).unwrap();
    assert_eq!(next, [Ok(Appended::New(RoomId(1), Seq(3)))]);
    // A message that was already seen is found, although it was not published to the room.
    assert_eq!(stored(3), Ok((3, 3)));
}

/// One message that an earlier version had dated ten years ahead kept all messages after it from being deleted by age: a
/// room is trimmed from its oldest message on.
pub fn messages_dated_ahead_do_not_hold_up_retention(open: Open<'_>) {
    const DAY: u64 = 86_400;
    let time = Some(Duration::from_secs(90 * DAY));
    let mut subject = open(Retention { time, ..Retention::default() });
    let (attic, cellar) = (room("attic"), room("cellar"));
    let say = |appender: &mut dyn Appender, room: &RoomName, day: u64| {
        let posts = [post_without_id(room, "ann", "hello")];
        appender.append(&posts, at(day * DAY)).unwrap();
    };
    let appender = &mut *subject.appender;
    // The clock was wrong from the second message to the fourth of one room, and for all of the other.
    for day in [100, 4_000, 4_001, 4_000, 110, 120] {
        say(appender, &attic, day);
    }
    say(appender, &cellar, 4_000);
    let oldest = |room| subject.log.find(room).unwrap().unwrap().oldest.0;
    let mut pass = |day: u64| {
        let dated = appender.date_back(at(day * DAY)).unwrap();
        while !is_later_than(appender.trim(at(day * DAY)), at(day * DAY)) {}
        (dated, oldest(&attic), oldest(&cellar))
    };
    assert_eq!(pass(121), (1, 1, 1), "the room of which all is ahead counts from now on");
    assert_eq!(pass(195), (0, 2, 1), "what is ahead has become the oldest");
    assert_eq!(pass(199), (1, 2, 1), "it counts as stored on day 110 with the message after it");
    assert_eq!(pass(200), (0, 6, 1), "all that was ahead is deleted with the message after it");
    assert_eq!(pass(211), (0, 7, 2));
}

fn is_later_than(next: Result<Option<SystemTime>, LogError>, now: SystemTime) -> bool {
    next.unwrap().is_none_or(|next| next > now)
}

/// A room whose every message was dropped once read as "nothing there yet", which would have had a send thread ask again
/// and again.
pub fn a_room_that_lost_everything_says_so(open: Open<'_>) {
    let mut subject = open(Retention { time: Some(Duration::from_secs(1)), ..Retention::default() });
    let attic = room("attic");
    subject.appender.append(&[post_without_id(&attic, "ann", "x")], at(1)).unwrap();
    subject.appender.trim(at(10)).unwrap();
    assert!(matches!(subject.log.read(RoomId(1), Seq(1), 1), Ok(Page::Trimmed { oldest: Seq(2) })));
    assert!(matches!(subject.log.read(RoomId(1), Seq(2), 1), Ok(Page::Segments(page)) if page.is_empty()));
}

pub fn unknown_rooms_are_not_there(open: Open<'_>) {
    let subject = open(Retention::default());
    assert_eq!(subject.log.find(&room("attic")), Ok(None));
    assert_eq!(subject.log.rooms(None, 10), Ok(Vec::new()));
    assert!(matches!(subject.log.read(RoomId(1), Seq(1), 1), Ok(Page::Segments(page)) if page.is_empty()));
}

/// `tail typo` created the room "typo", which stayed in the list of rooms for ever.
pub fn a_room_is_created_by_its_first_message(open: Open<'_>) {
    let mut subject = open(Retention::default());
    let held = Held::of(&mut *subject.appender);
    let [attic, cellar, garden] = ["attic", "cellar", "garden"].map(room);
    let opened = held.open(&mut *subject.appender, &attic);
    assert_eq!((opened.head, opened.oldest, opened.epoch_first), (Seq::ZERO, Seq(1), Seq(1)));
    let second = held.open(&mut *subject.appender, &cellar);
    assert!(opened.id != second.id && opened.epoch != second.epoch);
    for name in [&attic, &cellar] {
        assert_eq!(subject.log.find(name), Ok(None));
        assert!(subject.log.history(name, Part::From(Seq(1)), 1, 1).unwrap().is_none());
    }
    assert!(matches!(subject.log.read(opened.id, Seq(1), 1), Ok(Page::Segments(page)) if page.is_empty()));
    assert_eq!(subject.log.rooms(None, 10), Ok(Vec::new()));

    // Members of a room get its first message with the number that they were given, in any order of the rooms.
    let posts = [&cellar, &garden, &attic].map(|name| post(name, "ann", 1, "hello"));
    let published = published(&mut *subject.appender);
    subject.appender.append(&posts, at(1)).unwrap();
    let first: Vec<_> = published.try_iter().map(|segment| (segment.room(), segment.first().0)).collect();
    assert_eq!((first[0], first[2]), ((second.id, 1), (opened.id, 1)));
    assert!(first[1].0 != opened.id && first[1].0 != second.id);
    for _ in 0..2 {
        for (name, opened) in [(&attic, &opened), (&cellar, &second)] {
            let stored = subject.log.find(name).unwrap().unwrap();
            assert_eq!((stored.id, stored.epoch, stored.epoch_first), (opened.id, opened.epoch, Seq(1)));
            assert_eq!(subject.appender.open(name).unwrap(), stored);
            assert_eq!(seqs(&*subject.log, stored.id, 1), [1]);
        }
        let rooms = subject.log.rooms(None, 10).unwrap();
        assert_eq!(rooms.iter().map(|state| state.name.as_str()).collect::<Vec<_>>(), ["attic", "cellar", "garden"]);
        subject.reopen();
    }
}

/// A client may join a million rooms in turn.
pub fn rooms_that_are_only_opened_leave_nothing(open: Open<'_>) {
    let mut subject = open(Retention::default());
    let held = Held::of(&mut *subject.appender);
    let mut numbers = HashSet::new();
    let attic = room("attic");
    for n in 0..1_000 {
        // The same name, after all have left, is another room.
        let name = if n % 2 == 0 { attic.clone() } else { room(&format!("room-{n}")) };
        assert!(numbers.insert(held.open(&mut *subject.appender, &name).id));
        held.close(&name);
    }
    let outcomes = subject.appender.append(&[post(&attic, "ann", 1, "hello")], at(1)).unwrap();
    assert!(matches!(outcomes[..], [Ok(Appended::New(id, Seq(1)))] if numbers.insert(id)), "{outcomes:?}");
    let stored = subject.log.rooms(None, 10).unwrap();
    assert_eq!(stored.iter().map(|state| &state.name).collect::<Vec<_>>(), [&attic]);
    subject.reopen();
    assert_eq!(subject.log.rooms(None, 10).unwrap(), stored);
    assert!(subject.appender.open(&room("cellar")).unwrap().id > stored[0].id);
}

/// While one thread appends, others read: each sees everything up to some commit, and never less than before.
pub fn readers_see_whole_prefixes(open: Open<'_>) {
    let mut subject = open(Retention::default());
    let attic = room("attic");
    let held = Held::of(&mut *subject.appender);
    let id = held.open(&mut *subject.appender, &attic).id;
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut before = 0;
                while !done.load(Ordering::SeqCst) {
                    let head = subject.log.find(&attic).unwrap().map_or(0, |state| state.head.0);
                    assert!(head >= before && head.is_multiple_of(4), "a part of a batch is visible: {head}");
                    let found = seqs(&*subject.log, id, before + 1);
                    assert_eq!(found, (before + 1..=before + found.len() as u64).collect::<Vec<_>>());
                    assert!(before + found.len() as u64 >= head);
                    before = head;
                }
            });
        }
        for n in 0..200 {
            let posts: Vec<_> = (0..4).map(|k| post(&attic, "ann", n * 4 + k, "x")).collect();
            subject.appender.append(&posts, at(n)).unwrap();
        }
        done.store(true, Ordering::SeqCst);
    });
    assert_eq!(seqs(&*subject.log, id, 1).len(), 800);
}

fn history(log: &dyn Log, name: &RoomName, part: Part, messages_max: u64, bytes_max: usize) -> History {
    let history = log.history(name, part, messages_max, bytes_max).unwrap().unwrap();
    for pair in history.pieces.windows(2) {
        assert_eq!(pair[0].last().next(), pair[1].first());
    }
    history
}

/// A page of history was once put together from a room's state and from reads after it. Where retention trimmed in between,
/// the page was empty although there was more: 252 pages of 22,668.
pub fn a_part_of_history_is_of_one_state(open: Open<'_>) {
    const KEPT: u64 = 5;
    let mut subject = open(Retention { messages: Some(KEPT), ..Retention::default() });
    let attic = room("attic");
    let say = |appender: &mut dyn Appender| {
        appender.append(&[post_without_id(&attic, "ann", "x"), post_without_id(&attic, "ann", "x")], at(1)).unwrap();
    };
    (0..KEPT).for_each(|_| say(&mut *subject.appender));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for reader in 0..4 {
            let (log, attic, done) = (&subject.log, &attic, &done);
            scope.spawn(move || {
                while !done.load(Ordering::SeqCst) {
                    let backwards = reader % 2 == 0;
                    let part = if backwards { Part::Before(Seq(u64::MAX)) } else { Part::From(Seq(1)) };
                    let History { room, pieces } = history(&**log, attic, part, 1_000, usize::MAX);
                    assert_eq!(pieces.first().map(Piece::first), Some(room.oldest));
                    assert_eq!(pieces.last().map(Piece::last), Some(room.head));
                    assert!(room.head.0 - room.oldest.0 + 1 >= KEPT);
                }
            });
        }
        for _ in 0..300 {
            say(&mut *subject.appender);
            subject.appender.trim(at(1)).unwrap();
        }
        done.store(true, Ordering::SeqCst);
    });
}

pub fn history_is_read_from_both_ends(open: Open<'_>) {
    let mut subject = open(Retention::default());
    let attic = room("attic");
    assert!(subject.log.history(&attic, Part::From(Seq(1)), 1, 1).unwrap().is_none());
    let ends = |part, messages_max, bytes_max| {
        let pieces = history(&*subject.log, &attic, part, messages_max, bytes_max).pieces;
        pieces.first().zip(pieces.last()).map(|(first, last)| (first.first().0, last.last().0))
    };
    // Five messages to a segment, each of about 10,000 bytes.
    for _ in 0..20 {
        let posts: Vec<_> = (0..5).map(|_| post_without_id(&attic, "ann", &"x".repeat(10_000))).collect();
        subject.appender.append(&posts, at(1)).unwrap();
    }
    for (part, messages_max, bytes_max, expected) in [
        (Part::From(Seq(1)), 1, 1, Some((1, 5))),
        (Part::From(Seq(7)), 1, 1, Some((6, 10))),
        (Part::From(Seq(7)), 1_000, 1, Some((6, 10))),
        (Part::From(Seq(7)), 1_000, 60_000, Some((6, 15))),
        (Part::From(Seq(100)), 1_000, 1_000_000, Some((96, 100))),
        (Part::From(Seq(101)), 1_000, 1_000_000, None),
        (Part::From(Seq(u64::MAX)), 1_000, 1_000_000, None),
        (Part::Before(Seq(u64::MAX)), 1, 1, Some((96, 100))),
        (Part::Before(Seq(96)), 1, 1, Some((91, 95))),
        (Part::Before(Seq(97)), 1_000, 1, Some((96, 100))),
        (Part::Before(Seq(96)), 1_000, 60_000, Some((86, 95))),
        (Part::Before(Seq(7)), 1_000, 1_000_000, Some((1, 10))),
        (Part::Before(Seq(1)), 1_000, 1_000_000, None),
        (Part::Before(Seq(0)), 1_000, 1_000_000, None),
    ] {
        let found = ends(part, messages_max, bytes_max);
        // A log may join small neighbours, and so read a segment more.
        let covers =
            found.zip(expected).is_some_and(|(found, expected)| found.0 <= expected.0 && found.1 >= expected.1);
        assert!(found == expected || covers, "{part:?} of {messages_max}, {bytes_max}: {found:?}");
        let size = found.map_or(0, |(first, last)| last + 1 - first) as usize * 10_100;
        assert!(size <= bytes_max.saturating_add(100_000), "{part:?} of {bytes_max} bytes read {size}");
    }
}

/// An operation on a log.
#[derive(Clone, Debug)]
enum Step {
    Append(Vec<(usize, u64, bool)>),
    Join(usize),
    Leave(usize),
    Trim,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Few rooms and ids, so that they meet.
    let posts = vec((0..3usize, 0..12u64, any::<bool>()), 1..12);
    let step = prop_oneof![
        6 => posts.prop_map(Step::Append),
        2 => (0..3usize).prop_map(Step::Join),
        1 => (0..3usize).prop_map(Step::Leave),
        2 => Just(Step::Trim),
        1 => Just(Step::Reopen),
    ];
    vec(step, 1..30)
}

/// A room in a naive log.
#[derive(Default)]
struct Model {
    bodies: Vec<String>,
    /// Which message has which id, be it kept or not: a case takes less than a day.
    ids: HashMap<u64, u64>,
    /// The size of each segment that is kept, and how many messages were trimmed.
    segments: Vec<u64>,
    trimmed: u64,
}

const KEPT: u64 = 15;

impl Model {
    /// Removes whole segments, as long as enough messages remain without them.
    fn trim(&mut self) {
        while let Some(&oldest) = self.segments.first()
            && self.bodies.len() as u64 >= self.trimmed + oldest + KEPT
        {
            self.trimmed += self.segments.remove(0);
        }
    }
}

pub fn a_naive_model_agrees(open: Open<'_>) {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(60));
    let outcome = runner.run(&steps(), |steps| {
        let mut subject = open(Retention { messages: Some(KEPT), ..Retention::default() });
        let mut held = Held::of(&mut *subject.appender);
        let numbered = |number: usize| room(&format!("room-{number}"));
        // The number and epoch of each room that has members or is stored.
        let mut known: HashMap<usize, (RoomId, Epoch)> = HashMap::new();
        let mut models: HashMap<usize, Model> = HashMap::new();
        for (time, step) in steps.into_iter().enumerate() {
            match step {
                Step::Append(said) => append(&mut *subject.appender, &mut models, &said, at(time as u64))?,
                Step::Trim => {
                    prop_assert!(is_later(subject.appender.trim(at(time as u64))));
                    models.values_mut().for_each(Model::trim);
                }
                Step::Join(number) => {
                    let state = held.open(&mut *subject.appender, &numbered(number));
                    // A second member does not involve the log while the room is open.
                    known.entry(number).or_insert((state.id, state.epoch));
                }
                Step::Leave(number) => {
                    held.close(&numbered(number));
                    if !models.contains_key(&number) {
                        known.remove(&number);
                    }
                }
                Step::Reopen => {
                    subject.reopen();
                    if subject.open_again.is_some() {
                        known.retain(|number, _| models.contains_key(number));
                        held = Held::of(&mut *subject.appender);
                    }
                }
            }
            let rooms = subject.log.rooms(None, 10).unwrap();
            prop_assert_eq!(rooms.len(), models.len());
            for (room_number, model) in &models {
                let state = subject.log.find(&numbered(*room_number)).unwrap().unwrap();
                prop_assert_eq!(*known.entry(*room_number).or_insert((state.id, state.epoch)), (state.id, state.epoch));
                prop_assert_eq!((state.head.0, state.oldest.0), (model.bodies.len() as u64, model.trimmed + 1));
                let bodies: Vec<_> =
                    read_all(&*subject.log, state.id, 1).into_iter().map(|(.., body, _)| body).collect();
                prop_assert_eq!(&bodies, &model.bodies[model.trimmed as usize..]);
            }
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

fn append(
    appender: &mut dyn Appender,
    models: &mut HashMap<usize, Model>,
    said: &[(usize, u64, bool)],
    now: SystemTime,
) -> Result<(), TestCaseError> {
    let mut expected = Vec::new();
    let mut runs: HashMap<usize, u64> = HashMap::new();
    let posts: Vec<_> = said
        .iter()
        .enumerate()
        .map(|(index, (number, id, chosen))| {
            let model = models.entry(*number).or_default();
            let name = room(&format!("room-{number}"));
            let next = model.bodies.len() as u64 + 1;
            let before = chosen.then(|| model.ids.get(id).copied()).flatten();
            expected.push(before.map_or((true, next), |seq| (false, seq)));
            let body = format!("{index} {next}");
            if before.is_none() {
                model.bodies.push(body.clone());
                *runs.entry(*number).or_default() += 1;
                if *chosen {
                    model.ids.insert(*id, next);
                }
            }
            if *chosen { post(&name, "ann", *id, &body) } else { post_without_id(&name, "ann", &body) }
        })
        .collect();
    for (number, count) in runs {
        models.entry(number).or_default().segments.push(count);
    }
    let published = published(appender);
    let outcomes = appender.append(&posts, now).unwrap();
    let outcomes: Vec<_> = outcomes
        .into_iter()
        .map(|outcome| match outcome.unwrap() {
            Appended::New(_, seq) => (true, seq.0),
            Appended::Before(_, seq) => (false, seq.0),
        })
        .collect();
    prop_assert_eq!(outcomes, expected);
    let checked = |segment: &Arc<Segment>| Segment::check(segment.room(), segment.first(), segment.frame().as_slice());
    for segment in published.try_iter() {
        prop_assert_eq!(checked(&segment), Ok(segment.last()));
    }
    Ok(())
}
