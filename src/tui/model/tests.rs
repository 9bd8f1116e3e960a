//! The model with a network and a terminal that are the test.

mod reading;
mod entered;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::*;
use crate::client::{HistoryPage, Line, NO_EXTRAS, PagePlace, StartAt, StoredMessage};
use crate::names::{Body, Kind, MessageId};
use crate::tui::color::{Background, Depth, Palette};
use crate::tui::inlet::{Answer, Call, JoinedState, Kept, NetEvent};
use crate::tui::paint::paint;

/// The epoch of the rooms.
const EPOCH: u64 = 7;

struct Desk {
    model: Model,
}

fn room(name: &str) -> RoomName {
    RoomName::new(name).unwrap()
}

fn epoch() -> Epoch {
    Epoch::new(EPOCH).unwrap()
}

fn setup(rooms: &[&str]) -> Setup {
    Setup {
        me: Me { name: "ann".to_owned(), authenticated: false, marks_claims: false },
        server: "127.0.0.1".to_owned(),
        rooms: rooms.iter().map(|name| (room(name), None)).collect(),
        muted: Vec::new(),
        current: None,
        look: Look::default(),
        drafts: Vec::new(),
        unsent: Vec::new(),
        history: Vec::new(),
        notices: Vec::new(),
        newest: 50,
        config: Config::default(),
        config_place: None,
        size: Size { columns: 80, rows: 24 },
        wrapping: Wrapping::new(|_| None),
    }
}

fn message(seq: u64, sender: &str, body: &str) -> StoredMessage {
    StoredMessage {
        seq,
        time_ms: 1_700_000_000_000,
        id: MessageId::from_bytes(u128::from(seq).to_be_bytes()),
        sender: sender.to_owned(),
        body: body.to_owned(),
        kind: Kind::Text,
        client_id: None,
        authenticated: false,
        extras: NO_EXTRAS.clone(),
    }
}

impl Desk {
    fn new(setup: Setup) -> Self {
        Self { model: Model::new(setup) }
    }

    /// A desk that has joined these rooms, which are empty.
    fn in_rooms(rooms: &[&str]) -> Self {
        let mut desk = Self::new(setup(rooms));
        desk.net(vec![NetEvent::Connected { fresh: true }]);
        rooms.iter().for_each(|name| desk.joined(name, 0));
        desk.requests();
        desk
    }

    fn net(&mut self, events: Vec<NetEvent>) {
        self.model.handle(Incoming::Events(events), Instant::now());
    }

    fn joined(&mut self, name: &str, head_seq: u64) {
        let (time_ms, topic) = (1_700_000_000_000, String::new());
        let state = JoinedState {
            time_ms,
            epoch: epoch(),
            head_seq,
            oldest_seq: 1,
            members: 0,
            topic,
            pinned_seqs: Vec::new(),
        };
        let joined = NetEvent::Joined { room: room(name), state, again: false };
        self.net(vec![joined, NetEvent::CaughtUp { room: room(name), head_seq }]);
    }

    fn says(&mut self, name: &str, seq: u64, sender: &str, body: &str) {
        let message = Box::new(message(seq, sender, body));
        self.net(vec![NetEvent::Message { room: room(name), message, own: false }]);
    }

    /// Types a text: `\r` is Enter, and control characters are their keys.
    fn types(&mut self, text: &str) {
        for c in text.chars() {
            let event = match c {
                '\r' => KeyEvent::new(KeyCode::Enter, KeyModifiers::NONE),
                '\x1b' => KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE),
                '\x01'..='\x1a' => KeyEvent::new(KeyCode::Char((c as u8 + b'a' - 1) as char), KeyModifiers::CONTROL),
                c => KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE),
            };
            self.model.handle(Incoming::Key(event), Instant::now());
        }
    }

    fn key(&mut self, c: char, now: Instant) {
        let code = if c == '\r' { KeyCode::Enter } else { KeyCode::Char(c) };
        self.model.handle(Incoming::Key(KeyEvent::new(code, KeyModifiers::NONE)), now);
    }

    fn left(&mut self) {
        self.model.handle(Incoming::Key(KeyEvent::new(KeyCode::Left, KeyModifiers::NONE)), Instant::now());
    }

    fn alt(&mut self, c: char) {
        let event = KeyEvent::new(KeyCode::Char(c), KeyModifiers::ALT);
        self.model.handle(Incoming::Key(event), Instant::now());
    }

    fn requests(&mut self) -> Vec<Outgoing> {
        self.model.tick(Instant::now());
        std::iter::from_fn(|| self.model.take_request()).collect()
    }

    fn posts(&mut self) -> Vec<(String, Line)> {
        let post = |request| match request {
            Outgoing::Post { room, line } => Some((room.as_str().to_owned(), line)),
            _ => None,
        };
        self.requests().into_iter().filter_map(post).collect()
    }

    fn kept(&mut self) -> Arc<Kept> {
        self.model.kept()
    }

    /// The rows of the screen.
    fn screen(&mut self) -> Vec<String> {
        let Size { columns, rows } = self.model.size();
        let mut buffer = Buffer::empty(Rect::new(0, 0, columns, rows));
        let view = self.model.view();
        paint(&view, Palette { depth: Depth::Mono, background: Background::Dark }, &mut buffer);
        let row = |y: u16| (0..columns).map(|x| buffer[(x, y)].symbol().to_owned()).collect::<String>();
        (0..rows).map(|y| row(y).trim_end().to_owned()).collect()
    }

    #[track_caller]
    fn shows(&mut self, part: &str) {
        let screen = self.screen();
        assert!(screen.iter().any(|row| row.contains(part)), "no {part:?} in\n{}", screen.join("\n"));
    }

    #[track_caller]
    fn hides(&mut self, part: &str) {
        let screen = self.screen();
        assert!(!screen.iter().any(|row| row.contains(part)), "{part:?} in\n{}", screen.join("\n"));
    }
}

use std::sync::Arc;

#[test]
fn rooms_are_joined_when_there_is_a_session() {
    let mut desk = Desk::new(setup(&["lobby", "tea"]));
    assert!(desk.requests().iter().all(|request| !matches!(request, Outgoing::Join { .. })));
    desk.shows("connecting to 127.0.0.1");
    desk.net(vec![NetEvent::Connected { fresh: true }]);
    let joins: Vec<_> = desk
        .requests()
        .into_iter()
        .filter_map(|request| match request {
            Outgoing::Join { room, from } => Some((room.as_str().to_owned(), from)),
            _ => None,
        })
        .collect();
    assert_eq!(joins, [("lobby".to_owned(), StartAt::Last(50)), ("tea".to_owned(), StartAt::Last(50))]);
}

/// With a mark, a room is joined after it, unless too much came since.
#[test]
fn a_room_is_resumed_after_its_mark() {
    let marked = |name: &str, seq: u64| (room(name), Some((seq, epoch())));
    let rooms = vec![marked("near", 10), marked("far", 10), marked("unknown", 10), (room("new"), None)];
    let mut desk = Desk::new(Setup { rooms, ..setup(&[]) });
    desk.net(vec![NetEvent::Connected { fresh: true }]);
    let requests = desk.requests();
    let number = requests.iter().find_map(|request| match request {
        Outgoing::Call(number, Call::Rooms) => Some(*number),
        _ => None,
    });
    let joins = |requests: &[Outgoing]| {
        let join = |request: &Outgoing| match request {
            Outgoing::Join { room, from } => Some((room.as_str().to_owned(), *from)),
            _ => None,
        };
        requests.iter().filter_map(join).collect::<Vec<_>>()
    };
    assert_eq!(joins(&requests), [("new".to_owned(), StartAt::Last(50))]);
    let info = |name: &str, head_seq| crate::client::RoomInfo {
        name: name.to_owned(),
        head_seq,
        oldest_seq: 1,
        members: 0,
        topic: String::new(),
    };
    let answer = Answer::Rooms(Ok(vec![info("near", 30), info("far", 1_000_000)]));
    desk.model.handle(Incoming::Answer(number.unwrap(), answer), Instant::now());
    let after = StartAt::After { seq: 10, epoch: Some(epoch()) };
    let expected = [("near", after), ("far", StartAt::Last(200)), ("unknown", StartAt::Last(200))];
    assert_eq!(joins(&desk.requests()), expected.map(|(name, from)| (name.to_owned(), from)));
    // A history that is another one now.
    let state = |epoch: u64| JoinedState {
        time_ms: 1,
        epoch: Epoch::new(epoch).unwrap(),
        head_seq: 20,
        oldest_seq: 1,
        members: 0,
        topic: String::new(),
        pinned_seqs: Vec::new(),
    };
    desk.net(vec![NetEvent::Joined { room: room("far"), state: state(EPOCH + 1), again: false }]);
    desk.model.enter_number(2);
    desk.shows("the server has lost the history");
}

/// A room with nothing new: its newest messages are read, so that the screen is not empty.
#[test]
fn a_room_with_nothing_new_shows_its_history() {
    let mut desk = Desk::new(Setup { rooms: vec![(room("lobby"), Some((10, epoch())))], ..setup(&[]) });
    desk.net(vec![NetEvent::Connected { fresh: true }]);
    let number = desk.requests().iter().find_map(|request| match request {
        Outgoing::Call(number, Call::Rooms) => Some(*number),
        _ => None,
    });
    let info = crate::client::RoomInfo {
        name: "lobby".to_owned(),
        head_seq: 10,
        oldest_seq: 1,
        members: 0,
        topic: String::new(),
    };
    desk.model.handle(Incoming::Answer(number.unwrap(), Answer::Rooms(Ok(vec![info]))), Instant::now());
    desk.joined("lobby", 10);
    desk.screen();
    let number = desk.requests().iter().find_map(call_number).expect("a page is read");
    let page = HistoryPage {
        messages: (1..=10).map(|seq| message(seq, "bob", &format!("message {seq}."))).collect(),
        gaps: Vec::new(),
        last_seq: Some(10),
        epoch: Some(epoch()),
        head_seq: 10,
        oldest_seq: 1,
    };
    desk.model.handle(Incoming::Answer(number, Answer::History(Ok(page))), Instant::now());
    desk.shows("message 10.");
}

#[test]
fn a_line_is_pending_until_its_message_comes() {
    let mut desk = Desk::in_rooms(&["lobby"]);
    desk.types("hello\r");
    let posts = desk.posts();
    let [(name, line)] = posts.as_slice() else { panic!("{posts:?}") };
    assert_eq!((name.as_str(), line.body.as_str()), ("lobby", "hello"));
    desk.shows("hello");
    assert_eq!(desk.kept().unsent.len(), 1);
    let stored = StoredMessage { id: line.id, ..message(1, "ann", "hello") };
    desk.net(vec![NetEvent::Message { room: room("lobby"), message: Box::new(stored), own: true }]);
    assert!(desk.kept().unsent.is_empty());
    assert_eq!(desk.screen().iter().filter(|row| row.contains("hello")).count(), 1);
}

/// Without a connection, a line waits, and is posted with its id by every new session, until it is stored.
#[test]
fn lines_wait_for_a_session() {
    let mut desk = Desk::new(setup(&["lobby"]));
    desk.types("hello\r");
    assert!(desk.posts().is_empty());
    desk.shows("hello");
    desk.net(vec![NetEvent::Connected { fresh: true }]);
    let first = desk.posts();
    assert_eq!(first.len(), 1);
    desk.net(vec![NetEvent::Ended(Some("the login was revoked".to_owned()))]);
    desk.shows("the login was revoked");
    desk.types("again\r");
    assert!(desk.posts().is_empty());
    desk.net(vec![NetEvent::Connected { fresh: true }]);
    let bodies: Vec<_> = desk.posts().iter().map(|(_, line)| line.body.as_str().to_owned()).collect();
    assert_eq!(bodies, ["hello", "again"]);
}

#[test]
fn a_rejected_line_comes_back() {
    let mut desk = Desk::in_rooms(&["lobby"]);
    desk.types("HELLO\r");
    let line = desk.posts().remove(0).1;
    desk.net(vec![NetEvent::Rejected { line: Box::new(line.clone()), reason: "no shouting".to_owned() }]);
    desk.shows("no shouting");
    desk.shows("[lobby] HELLO");
    // If something else was typed meanwhile, the message stays as a failed one.
    desk.types("\r");
    let line = desk.posts().remove(0).1;
    desk.types("other");
    desk.net(vec![NetEvent::Rejected { line: Box::new(line), reason: "no shouting".to_owned() }]);
    desk.shows("[lobby] other");
    desk.shows("HELLO");
    // It outlives the client too, until it is sent again.
    let kept = desk.kept();
    assert!(kept.unsent.is_empty());
    assert_eq!(kept.drafts, [(room("lobby"), "other".to_owned()), (room("lobby"), "HELLO".to_owned())]);
    desk.types("\x15HELLO\r");
    assert_eq!(desk.screen().iter().filter(|row| row.contains("HELLO")).count(), 1);
    assert!(desk.kept().drafts.is_empty());
}

#[test]
fn a_mistake_stays_in_the_input_and_is_not_sent() {
    let mut desk = Desk::in_rooms(&["lobby"]);
    desk.types("/frobnicate\r");
    desk.shows("unknown command");
    desk.shows("[lobby] /frobnicate");
    desk.types("x");
    desk.hides("unknown command");
    assert!(desk.posts().is_empty());
}

#[test]
fn rooms_with_something_come_in_the_order_of_importance() {
    let mut desk = Desk::in_rooms(&["lobby", "tea", "dev"]);
    desk.says("tea", 1, "bob", "hi");
    desk.says("dev", 1, "bob", "ann: hi");
    desk.shows("[Act: 2,3");
    desk.alt('a');
    desk.shows("[dev]");
    desk.alt('a');
    desk.shows("[tea]");
    // And back to where that began.
    desk.alt('a');
    desk.shows("[lobby]");
    desk.alt('/');
    desk.shows("[tea]");
}

/// The mark moves only when the end of the room was seen with the focus.
#[test]
fn looking_without_the_focus_reads_nothing() {
    let mut desk = Desk::in_rooms(&["lobby"]);
    let read = |desk: &mut Desk| desk.kept().rooms[0].read.map(|(seq, _)| seq);
    desk.joined("lobby", 1);
    desk.says("lobby", 1, "bob", "one");
    desk.screen();
    assert_eq!(read(&mut desk), Some(1));
    desk.model.handle(Incoming::Focus(false), Instant::now());
    desk.says("lobby", 2, "bob", "two");
    desk.screen();
    assert_eq!(read(&mut desk), Some(1));
    desk.model.handle(Incoming::Focus(true), Instant::now());
    desk.screen();
    assert_eq!(read(&mut desk), Some(2));
}

/// At the start, the room is entered before its messages arrive.
#[test]
fn what_came_since_the_last_chat_is_below_a_line() {
    let mut desk = Desk::new(Setup { rooms: vec![(room("lobby"), Some((1, epoch())))], ..setup(&[]) });
    let state = JoinedState {
        time_ms: 1_700_000_000_000,
        epoch: epoch(),
        head_seq: 2,
        oldest_seq: 1,
        members: 0,
        topic: String::new(),
        pinned_seqs: Vec::new(),
    };
    desk.net(vec![
        NetEvent::Connected { fresh: true },
        NetEvent::Joined { room: room("lobby"), state, again: false },
        NetEvent::Message { room: room("lobby"), message: Box::new(message(2, "bob", "while away")), own: false },
        NetEvent::CaughtUp { room: room("lobby"), head_seq: 2 },
    ]);
    desk.shows("── unread");
    desk.shows("while away");
    // It stays while the user looks.
    desk.shows("── unread");
    desk.types("\r");
    desk.hides("── unread");
}

#[test]
fn a_mention_rings_where_it_is_not_seen() {
    let mut desk = Desk::in_rooms(&["lobby", "tea"]);
    desk.says("lobby", 1, "bob", "ann: look");
    assert!(desk.model.take_texts().is_empty(), "it is on the screen");
    desk.says("tea", 1, "bob", "nothing for you");
    assert!(desk.model.take_texts().is_empty());
    desk.says("tea", 2, "bob", "ann: look");
    assert_eq!(desk.model.take_texts(), ["\x07"]);
    desk.types("/mute tea\r");
    desk.says("tea", 3, "bob", "ann: look");
    assert!(desk.model.take_texts().is_empty());
}

#[test]
fn drafts_and_rooms_are_kept() {
    let mut desk = Desk::in_rooms(&["lobby", "tea"]);
    desk.types("half a thought");
    desk.alt('2');
    desk.types("another");
    let kept = desk.kept();
    let drafts: Vec<_> = kept.drafts.iter().map(|(room, text)| (room.as_str(), text.as_str())).collect();
    assert_eq!(drafts, [("lobby", "half a thought"), ("tea", "another")]);
    assert_eq!(kept.current, Some(room("tea")));
    let restored = Setup {
        drafts: kept.drafts.clone(),
        current: kept.current.clone(),
        rooms: kept.rooms.iter().map(|room| (room.name.clone(), room.read)).collect(),
        ..setup(&[])
    };
    let mut desk = Desk::new(restored);
    desk.shows("[tea] another");
    desk.alt('1');
    desk.shows("[lobby] half a thought");
}

#[test]
fn old_lines_of_an_earlier_client_are_sent_only_when_the_user_says_so() {
    let line = Line::new(MessageId::from_bytes([9; 16]), Body::new("kept").unwrap(), Kind::Text);
    let unsent = vec![KeptLine { room: room("tea"), line: line.clone(), since_ms: 1 }];
    let mut desk = Desk::new(Setup { unsent: unsent.clone(), ..setup(&["lobby"]) });
    desk.net(vec![NetEvent::Connected { fresh: true }]);
    desk.joined("lobby", 0);
    assert!(desk.posts().is_empty());
    desk.shows("/unsent send");
    assert_eq!(desk.kept().unsent, unsent);
    desk.types("/unsent\r");
    desk.shows("kept");
    desk.types("\x1b/unsent send\r");
    assert_eq!(desk.posts(), [("tea".to_owned(), line)]);
    assert_eq!(desk.kept().unsent.len(), 1, "until it is stored");
    // It was stored already: its message is in the history.
    let mut desk = Desk::new(Setup { unsent, ..setup(&["tea"]) });
    desk.net(vec![NetEvent::Connected { fresh: true }]);
    let stored = StoredMessage { id: MessageId::from_bytes([9; 16]), ..message(1, "ann", "kept") };
    desk.joined("tea", 1);
    desk.net(vec![NetEvent::Message { room: room("tea"), message: Box::new(stored), own: false }]);
    assert!(desk.kept().unsent.is_empty());
}

#[test]
fn older_history_is_asked_for_and_shown() {
    let mut desk = Desk::in_rooms(&["lobby"]);
    desk.joined("lobby", 300);
    (291..=300).for_each(|seq| desk.says("lobby", seq, "bob", &format!("message {seq}.")));
    desk.screen();
    let requests = desk.requests();
    let (number, place) = requests
        .iter()
        .find_map(|request| match request {
            Outgoing::Call(number, Call::History { place, .. }) => Some((*number, *place)),
            _ => None,
        })
        .unwrap_or_else(|| panic!("no page is read: {requests:?}"));
    assert_eq!(place, PagePlace::Before(291));
    let page = HistoryPage {
        messages: (91..=290).map(|seq| message(seq, "bob", &format!("message {seq}."))).collect(),
        gaps: Vec::new(),
        last_seq: Some(290),
        epoch: Some(epoch()),
        head_seq: 300,
        oldest_seq: 1,
    };
    desk.model.handle(Incoming::Answer(number, Answer::History(Ok(page))), Instant::now());
    desk.shows("message 285.");
    // A failure is told, and tried again when the user scrolls.
    (0..20).for_each(|_| {
        desk.model.handle(Incoming::Key(KeyEvent::new(KeyCode::PageUp, KeyModifiers::NONE)), Instant::now());
        desk.screen();
    });
    let numbers: Vec<_> = desk.requests().iter().filter_map(call_number).collect();
    let [number] = numbers[..] else { panic!("{numbers:?}") };
    desk.model.handle(Incoming::Answer(number, Answer::History(Err("no answer".to_owned()))), Instant::now());
    desk.shows("can't read the history: no answer");
    desk.screen();
    assert!(desk.requests().iter().filter_map(call_number).next().is_none());
    desk.model.handle(Incoming::Key(KeyEvent::new(KeyCode::PageUp, KeyModifiers::NONE)), Instant::now());
    desk.screen();
    assert!(desk.requests().iter().filter_map(call_number).next().is_some());
}

fn call_number(request: &Outgoing) -> Option<u64> {
    match request {
        Outgoing::Call(number, Call::History { .. }) => Some(*number),
        _ => None,
    }
}

/// A found message of another room: the room is joined first.
#[test]
fn a_message_of_a_room_that_is_not_joined_yet_is_shown() {
    let mut desk = Desk::in_rooms(&["lobby"]);
    desk.types("/go #tea/5\r");
    assert!(desk.requests().iter().any(|request| matches!(request, Outgoing::Join { .. })));
    desk.joined("tea", 900);
    desk.screen();
    let places: Vec<_> = desk
        .requests()
        .into_iter()
        .filter_map(|request| match request {
            Outgoing::Call(_, Call::History { place, .. }) => Some(place),
            _ => None,
        })
        .collect();
    assert_eq!(places, [PagePlace::Before(105)], "a page around the message");
}

/// The session failed while a room was being left.
#[test]
fn a_room_that_was_to_be_left_is_joined_only_for_its_lines() {
    let mut desk = Desk::in_rooms(&["lobby", "tea", "dev"]);
    desk.alt('2');
    desk.types("for tea\r/leave\r");
    desk.alt('3');
    desk.types("/leave\r");
    desk.requests();
    desk.net(vec![NetEvent::Ended(None), NetEvent::Connected { fresh: true }]);
    let joins: Vec<_> = desk
        .requests()
        .into_iter()
        .filter_map(|request| match request {
            Outgoing::Join { room, .. } => Some(room.as_str().to_owned()),
            _ => None,
        })
        .collect();
    assert_eq!(joins, ["lobby", "tea"]);
    desk.screen();
}

#[test]
fn leaving_waits_for_what_is_not_stored() {
    let mut desk = Desk::in_rooms(&["lobby"]);
    desk.types("/quit\r");
    assert!(matches!(desk.requests().last(), Some(Outgoing::Quit(0))));
    let mut desk = Desk::in_rooms(&["lobby"]);
    desk.types("hello\r/quit\r");
    assert!(!desk.requests().iter().any(|request| matches!(request, Outgoing::Quit(_))));
    desk.types("\x03");
    assert!(matches!(desk.requests().last(), Some(Outgoing::Quit(0))));
    // An edit is under way.
    let mut desk = Desk::in_rooms(&["lobby"]);
    desk.says("lobby", 1, "ann", "frist");
    desk.types("/edit first\r/quit\r");
    let requests = desk.requests();
    assert!(!requests.iter().any(|request| matches!(request, Outgoing::Quit(_))));
    assert_eq!(desk.kept().drafts, [(room("lobby"), "/edit #1 first".to_owned())]);
    let edit = |request: &Outgoing| match request {
        Outgoing::Call(number, Call::Edit { .. }) => Some(*number),
        _ => None,
    };
    let number = requests.iter().find_map(edit).unwrap();
    desk.model.handle(Incoming::Answer(number, Answer::Changed(Ok(2))), Instant::now());
    assert!(desk.kept().drafts.is_empty());
    assert!(matches!(desk.requests().last(), Some(Outgoing::Quit(0))));
    // Ctrl-C clears the line first, and asks.
    let mut desk = Desk::in_rooms(&["lobby"]);
    desk.types("text\x03\x03");
    assert!(!desk.requests().iter().any(|request| matches!(request, Outgoing::Quit(_))));
    desk.shows("Ctrl-C again or /quit");
    desk.types("\x03");
    assert!(matches!(desk.requests().last(), Some(Outgoing::Quit(0))));
}

#[test]
fn a_room_is_left_and_another_one_shown() {
    let mut desk = Desk::in_rooms(&["lobby", "tea"]);
    desk.alt('2');
    desk.types("/part\r");
    assert!(matches!(desk.requests().as_slice(), [Outgoing::Leave { .. }, ..]));
    desk.shows("[lobby]");
    desk.types("/leave\r");
    desk.shows("You are in no room.");
    desk.types("hello\r");
    desk.shows("/join ROOM joins one");
    desk.types("\x15/join dev\r");
    assert!(desk.requests().iter().any(|request| matches!(request, Outgoing::Join { .. })));
    desk.shows("[dev]");
}

/// Whatever comes in whatever order: there is no panic, and the screen can be drawn.
#[test]
fn any_order_of_events_is_taken() {
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..60 {
        let mut desk = Desk::new(setup(&["lobby", "tea"]));
        let mut seq = 0;
        for _ in 0..150 {
            let name = *random.choice(["lobby", "tea", "dev"].iter()).unwrap();
            match random.u32(..16) {
                0 => desk.net(vec![NetEvent::Connected { fresh: random.bool() }]),
                1 => desk.net(vec![NetEvent::Disconnected { reason: "lost".to_owned() }]),
                2 => desk.net(vec![NetEvent::Retrying { reason: "no".to_owned(), pause: Duration::from_secs(3) }]),
                3 => desk.joined(name, seq),
                4..=6 => {
                    seq += 1;
                    desk.says(name, seq, random.choice(["bob", "ann"].iter()).unwrap(), "hi ann");
                }
                7 => desk.net(vec![NetEvent::Left { room: room(name) }]),
                8 => desk.net(vec![NetEvent::NotJoined { room: room(name), reason: "no".to_owned() }]),
                9 => desk.net(vec![NetEvent::Ended(None)]),
                10 => desk.types(
                    random.choice(["hi\r", "/leave\r", "/join dev\r", "/unsent send\r", "/mentions\r"].iter()).unwrap(),
                ),
                11 => desk.types(random.choice(["\x1b", "\x0e", "\x10", "\x07", "\r", "x", "\x12"].iter()).unwrap()),
                12 => desk.alt(*random.choice(['a', '1', '2', '/', 'v', 'u', 'p', 'n', 'l', 'j'].iter()).unwrap()),
                13 => {
                    let (columns, rows) = (random.u16(1..100), random.u16(1..40));
                    desk.model.handle(Incoming::Resized(Size { columns, rows }), Instant::now());
                }
                14 => desk.model.handle(Incoming::Paste("a\rb\rc\rd\re\rf\rg".to_owned()), Instant::now()),
                _ => desk.model.handle(Incoming::Focus(random.bool()), Instant::now()),
            }
            let calls: Vec<_> = desk
                .requests()
                .into_iter()
                .filter_map(|request| match request {
                    Outgoing::Call(number, call) => Some((number, call)),
                    _ => None,
                })
                .collect();
            for (number, call) in calls {
                let answer = call.failed("no".to_owned());
                desk.model.handle(Incoming::Answer(number, answer), Instant::now());
            }
            desk.screen();
            desk.kept();
        }
    }
}
