//! The model with a network and a terminal that are the test.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::*;
use crate::client::{HistoryPage, Line, NO_EXTRAS, PagePlace, StartAt, StoredMessage};
use crate::names::{Body, Kind, MessageId};
use crate::terminal::clock::local_ms;
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
        current: None,
        drafts: Vec::new(),
        unsent: Vec::new(),
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

/// A line that an earlier client left so long ago.
fn left(name: &str, body: &str, age: Duration) -> KeptLine {
    let id = MessageId::from_bytes(u128::from(body.bytes().map(u64::from).sum::<u64>()).to_be_bytes());
    let since_ms = local_ms() - age.as_millis() as u64;
    KeptLine { room: room(name), line: Line::new(id, Body::new(body).unwrap(), Kind::Text), since_ms }
}

/// So many of them.
fn many(name: &str, count: u128) -> Vec<KeptLine> {
    let line = |n: u128| {
        let kept = left(name, "x", HOUR);
        KeptLine { line: Line { id: MessageId::from_bytes(n.to_be_bytes()), ..kept.line }, ..kept }
    };
    (0..count).map(line).collect()
}

const HOUR: Duration = Duration::from_secs(60 * 60);

#[test]
fn recent_lines_of_an_earlier_client_are_sent_by_themselves_and_shown_once() {
    let unsent = vec![left("lobby", "first", 11 * HOUR), left("lobby", "second", HOUR), left("lobby", "third", HOUR)];
    let mut desk = Desk::new(Setup { unsent: unsent.clone(), ..setup(&["lobby"]) });
    // They are shown as pending before there is a connection, and stay on the disk.
    desk.shows("third");
    assert_eq!(desk.kept().unsent, unsent);
    desk.types("fourth\r");
    desk.net(vec![NetEvent::Connected { fresh: true }]);
    let posts = desk.posts();
    let bodies: Vec<_> = posts.iter().map(|(_, line)| line.body.as_str()).collect();
    assert_eq!(bodies, ["first", "second", "third", "fourth"]);
    assert!(posts.iter().zip(&unsent).all(|((_, line), kept)| *line == kept.line), "with their own ids");
    desk.joined("lobby", 0);
    desk.shows("sending 3 lines of an earlier chat");
    desk.hides("/unsent");
    for (seq, (_, line)) in posts.iter().enumerate() {
        let message = StoredMessage { id: line.id, ..message(seq as u64 + 1, "ann", line.body.as_str()) };
        desk.net(vec![NetEvent::Message { room: room("lobby"), message: Box::new(message), own: true }]);
    }
    assert!(desk.kept().unsent.is_empty());
    for body in ["first", "second", "third", "fourth"] {
        assert_eq!(desk.screen().iter().filter(|row| row.contains(body)).count(), 1, "{body}");
    }
}

#[test]
fn lines_that_are_too_old_or_of_unknown_age_are_offered() {
    let at = |age: Duration| left("lobby", "kept", age);
    let second = Duration::from_secs(1);
    let in_future = |by: Duration| KeptLine { since_ms: local_ms() + by.as_millis() as u64, ..at(second) };
    for (kept, is_sent) in [
        (at(12 * HOUR - 60 * second), true),
        (at(12 * HOUR), false),
        (at(100 * 24 * HOUR), false),
        // A clock that was corrected, and one that was set back.
        (in_future(10 * second), true),
        (in_future(HOUR), false),
        (KeptLine { since_ms: u64::MAX, ..at(second) }, false),
        (KeptLine { since_ms: 0, ..at(second) }, false),
    ] {
        let since_ms = kept.since_ms;
        let mut desk = Desk::new(Setup { unsent: vec![kept.clone()], ..setup(&["lobby"]) });
        desk.net(vec![NetEvent::Connected { fresh: true }]);
        desk.joined("lobby", 0);
        assert_eq!(desk.posts().len(), usize::from(is_sent), "{since_ms}");
        assert_eq!(desk.screen().iter().any(|row| row.contains("/unsent send")), !is_sent, "{since_ms}");
        assert_eq!(desk.kept().unsent, [kept]);
    }
}

/// The client waits for a connection, and the machine sleeps for days.
#[test]
fn a_line_that_became_too_old_before_there_was_a_session_is_offered() {
    let mut desk = Desk::new(Setup { unsent: vec![left("lobby", "kept", HOUR)], ..setup(&["lobby"]) });
    desk.shows("kept");
    desk.model.sent[0].since_ms -= 12 * 60 * 60 * 1000;
    desk.net(vec![NetEvent::Connected { fresh: true }]);
    desk.joined("lobby", 0);
    assert!(desk.posts().is_empty());
    desk.shows("/unsent send");
    assert_eq!(desk.kept().unsent.len(), 1);
    // The user's decision counts.
    desk.types("/unsent send\r");
    assert_eq!(desk.posts().len(), 1);
    desk.net(vec![NetEvent::Ended(None), NetEvent::Connected { fresh: true }]);
    assert_eq!(desk.posts().len(), 1, "by the next session too");
}

/// The room was left while its line was not stored, or the list of rooms was lost.
#[test]
fn a_line_of_a_room_that_is_not_in_the_list_opens_it() {
    let mut desk = Desk::new(Setup { unsent: vec![left("tea", "kept", HOUR)], ..setup(&["lobby"]) });
    desk.shows("[lobby]");
    desk.net(vec![NetEvent::Connected { fresh: true }]);
    let requests = desk.requests();
    let joined =
        requests.iter().position(|request| matches!(request, Outgoing::Join { room, .. } if room.as_str() == "tea"));
    let posted =
        requests.iter().position(|request| matches!(request, Outgoing::Post { room, .. } if room.as_str() == "tea"));
    assert!(joined.is_some() && joined < posted, "{requests:?}");
    desk.shows("[lobby]");
    desk.alt('2');
    desk.shows("kept");
    // And if the server refuses the room, the line is in its input.
    let reason = "members only".to_owned();
    desk.net(vec![NetEvent::NotJoined { room: room("tea"), reason }]);
    desk.shows("[tea] kept");
    let kept = desk.kept();
    assert!(kept.unsent.is_empty());
    assert_eq!(kept.drafts, [(room("tea"), "kept".to_owned())]);
    // At the next start too, and not in the input of another room.
    let mut desk = Desk::new(Setup { drafts: kept.drafts.clone(), ..setup(&["lobby"]) });
    desk.shows("[lobby]");
    desk.hides("kept");
    desk.alt('2');
    desk.shows("[tea] kept");
}

/// It was stored long ago, so its message is not in the part of the history that is read.
#[test]
fn a_line_that_was_stored_long_ago_is_not_pending_any_more() {
    for caught_up_first in [true, false] {
        let mut desk = Desk::new(Setup { unsent: vec![left("lobby", "kept", HOUR)], ..setup(&["lobby"]) });
        desk.net(vec![NetEvent::Connected { fresh: true }]);
        let (room, id) = (room("lobby"), desk.posts()[0].1.id);
        if caught_up_first {
            desk.joined("lobby", 900);
            desk.shows("kept");
        }
        desk.net(vec![NetEvent::Stored { room, id, seq: 7 }]);
        if !caught_up_first {
            desk.joined("lobby", 900);
        }
        desk.hides("kept");
        assert!(desk.kept().unsent.is_empty());
    }
}

#[test]
fn more_lines_than_may_wait_are_offered_in_their_order() {
    let mut desk = Desk::new(Setup { unsent: many("lobby", 1_002), ..setup(&["lobby"]) });
    let kept = desk.kept();
    assert_eq!(kept.unsent.len(), 1_002, "none is lost");
    desk.types("one more\r");
    desk.shows("1000 messages wait for the server already");
    desk.shows("[lobby] one more");
    desk.net(vec![NetEvent::Connected { fresh: true }]);
    desk.joined("lobby", 0);
    assert_eq!(desk.posts().len(), 1_000);
    desk.types("\x15/unsent\r");
    desk.shows("perhaps not stored");
    assert_eq!(desk.screen().iter().filter(|row| row.ends_with(" x")).count(), 2);
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

/// The answer came back as a new message to everybody.
#[test]
fn a_reply_or_an_edit_that_fails_stays_one() {
    let mut desk = Desk::in_rooms(&["lobby"]);
    desk.says("lobby", 1, "ann", "first");
    desk.types("/edit\r");
    desk.shows("[edit #1] first");
    desk.net(vec![NetEvent::Disconnected { reason: "lost".to_owned() }]);
    desk.types(" thing\r");
    desk.shows("not edited: there is no connection now");
    desk.shows("[edit #1] first thing");
    desk.net(vec![NetEvent::Connected { fresh: false }]);
    desk.requests();
    desk.types("\r");
    let requests = desk.requests();
    let edit = |request: &Outgoing| match request {
        Outgoing::Call(number, Call::Edit { seq: 1, body, .. }) => Some((*number, body.as_str().to_owned())),
        _ => None,
    };
    let (number, body) = requests.iter().find_map(edit).unwrap_or_else(|| panic!("{requests:?}"));
    assert_eq!(body, "first thing");
    // And if the server refuses it, it comes back as an edit.
    let fault = Answer::Changed(Err("it was changed meanwhile".to_owned()));
    desk.model.handle(Incoming::Answer(number, fault), Instant::now());
    desk.shows("it was changed meanwhile");
    desk.shows("[lobby] /edit #1 first thing");
    assert!(desk.posts().is_empty());
    // A reply fails as an edit does.
    let mut desk = Desk::new(Setup { unsent: many("tea", 1_000), ..setup(&["tea", "lobby"]) });
    desk.net(vec![NetEvent::Connected { fresh: true }]);
    desk.alt('2');
    desk.joined("lobby", 0);
    desk.says("lobby", 1, "bob", "tea?");
    desk.screen();
    desk.alt('v');
    desk.types("r");
    desk.shows("[reply to #1]");
    desk.types("yes\r");
    desk.shows("wait for the server already");
    desk.shows("[reply to #1] yes");
}

/// What was typed as a reply was sent as a new message, after a look at another room or another start.
#[test]
fn a_reply_stays_one_in_another_room_and_on_the_disk() {
    let mut desk = Desk::in_rooms(&["lobby", "tea"]);
    desk.says("lobby", 1, "bob", "tea?");
    desk.shows("tea?");
    desk.alt('v');
    desk.types("ryes");
    desk.shows("[reply to #1] yes");
    assert_eq!(desk.kept().drafts, [(room("lobby"), "/reply #1 yes".to_owned())]);
    desk.alt('2');
    desk.shows("[tea]");
    desk.alt('1');
    desk.shows("[lobby] /reply #1 yes");
    desk.types("\r");
    assert_eq!(desk.posts()[0].1.reply_to, Some(1));
}

#[test]
fn text_from_the_editor_is_cleaned() {
    let mut desk = Desk::in_rooms(&["lobby"]);
    desk.types("draft");
    desk.model.handle(Incoming::Edited(Ok("one\r\n\x1b[31mtwo\x07".to_owned())), Instant::now());
    desk.types("\r");
    assert_eq!(desk.posts()[0].1.body.as_str(), "one\ntwo");
    desk.types("draft");
    desk.model.handle(Incoming::Edited(Err("vi has failed".to_owned())), Instant::now());
    desk.shows("[lobby] draft");
    desk.shows("vi has failed");
    // A text that was given to the command is in the input until it comes back.
    desk.types("\x15/editor a plan\r");
    assert!(desk.requests().iter().any(|request| matches!(request, Outgoing::Edit(text) if text == "a plan")));
    desk.shows("[lobby] a plan");
}

const SIX: &str = "1\r2\r3\r4\r5\r6\r";

/// Pastes this, and answers after the question could be read.
fn paste(desk: &mut Desk, text: &str, answer: &str) {
    let now = Instant::now();
    desk.model.handle(Incoming::Paste(text.to_owned()), now);
    for (at, c) in (1_u64..).zip(answer.chars()) {
        desk.key(c, now + Duration::from_secs(at));
    }
}

#[test]
fn a_paste_goes_to_the_editor_where_it_was_pasted() {
    let mut desk = Desk::in_rooms(&["lobby"]);
    desk.types("before after");
    (0..5).for_each(|_| desk.left());
    paste(&mut desk, SIX, "e");
    let requests = desk.requests();
    let text = requests.iter().find_map(|request| match request {
        Outgoing::Edit(text) => Some(text.as_str()),
        _ => None,
    });
    assert_eq!(text, Some("before 1\n2\n3\n4\n5\n6after"));
    // If there is no editor, it is not lost.
    desk.model.handle(Incoming::Edited(Err("can't start vi".to_owned())), Instant::now());
    assert_eq!(desk.model.editor.text(), "before 1\n2\n3\n4\n5\n6after");
}

#[test]
fn a_second_paste_is_added_to_the_first() {
    let mut desk = Desk::in_rooms(&["lobby"]);
    paste(&mut desk, SIX, "");
    paste(&mut desk, "seven\r", "");
    desk.shows("the second paste was added");
    desk.shows("paste of 7 lines");
    // Keys that come faster than a person presses them belong to it.
    let now = Instant::now();
    desk.model.handle(Incoming::Paste("eight".to_owned()), now);
    desk.key('!', now + Duration::from_millis(5));
    desk.key('\r', now + Duration::from_millis(10));
    desk.key('9', now + Duration::from_millis(15));
    desk.key('o', now + Duration::from_secs(1));
    assert_eq!(desk.model.editor.text(), "1\n2\n3\n4\n5\n6\nseven\neight!\n9");
    assert!(desk.posts().is_empty());
    // What does not fit is refused with words.
    let mut desk = Desk::in_rooms(&["lobby"]);
    paste(&mut desk, &"x".repeat(1024 * 1024), "");
    paste(&mut desk, SIX, "");
    desk.shows("the second paste was not added");
}

/// Somebody types on, and has not seen the question.
#[test]
fn keys_during_the_question_send_and_lose_nothing() {
    let mut desk = Desk::in_rooms(&["lobby"]);
    desk.types("I ");
    let now = Instant::now();
    desk.model.handle(Incoming::Paste(SIX.to_owned()), now);
    for (at, c) in (1_u64..).zip("more come\r".chars()) {
        desk.key(c, now + Duration::from_millis(at * 120));
    }
    assert!(desk.requests().iter().all(|request| matches!(request, Outgoing::Keep(_))), "nothing was done");
    desk.shows("paste of 6 lines");
    desk.shows("the paste waits for one of the letters above");
    assert_eq!(desk.model.editor.text(), "I more come");
    // Neither does the end of the program lose it.
    assert_eq!(desk.kept().drafts, [(room("lobby"), "I more come1\n2\n3\n4\n5\n6".to_owned())]);
    for (at, key) in (3..).zip([KeyCode::Up, KeyCode::Backspace, KeyCode::Enter, KeyCode::F(1), KeyCode::PageUp]) {
        let event = KeyEvent::new(key, KeyModifiers::NONE);
        desk.model.handle(Incoming::Key(event), now + Duration::from_secs(at));
    }
    desk.shows("paste of 6 lines");
    desk.key('m', now + Duration::from_secs(20));
    let bodies: Vec<_> = desk.posts().iter().map(|(_, line)| line.body.as_str().to_owned()).collect();
    assert_eq!(bodies, ["1", "2", "3", "4", "5", "6"]);
    assert_eq!(desk.model.editor.text(), "I more come");
    // A cancelled paste can be had again.
    let mut desk = Desk::in_rooms(&["lobby"]);
    paste(&mut desk, SIX, "c");
    desk.shows("Ctrl-Y inserts it");
    desk.types("\x19");
    assert_eq!(desk.model.editor.text(), "1\n2\n3\n4\n5\n6");
}

/// The lines of a paste that were too many for the queue were lost.
#[test]
fn lines_of_a_paste_that_do_not_fit_are_in_the_input() {
    let mut desk = Desk::new(Setup { unsent: many("lobby", 997), ..setup(&["lobby"]) });
    paste(&mut desk, SIX, "m");
    assert_eq!(desk.kept().unsent.len(), 1_000);
    assert_eq!(desk.model.editor.text(), "4\n5\n6");
    desk.shows("3 not sent");
}

#[test]
fn a_paste_over_the_help_is_not_lost() {
    let mut desk = Desk::in_rooms(&["lobby"]);
    desk.types("/help\r");
    paste(&mut desk, "text", "");
    desk.shows("[lobby] text");
}

/// Its lines would never be sent, and would stay pending.
#[test]
fn a_room_with_lines_is_left_only_with_a_connection() {
    let mut desk = Desk::new(setup(&["lobby", "tea"]));
    desk.types("hello\r/leave\r");
    desk.shows("1 line for lobby must be stored first");
    desk.shows("[lobby]");
    assert_eq!(desk.kept().unsent.len(), 1);
}

/// The room was joined before its first message, so its epoch was not known, and the next session began at its start.
#[test]
fn a_new_session_repeats_no_message() {
    let mut desk = Desk::in_rooms(&["lobby"]);
    desk.says("lobby", 1, "bob", "only once");
    desk.net(vec![NetEvent::Ended(None), NetEvent::Connected { fresh: true }]);
    let requests = desk.requests();
    let from = requests.iter().find_map(|request| match request {
        Outgoing::Join { from, .. } => Some(*from),
        _ => None,
    });
    assert_eq!(from, Some(StartAt::After { seq: 1, epoch: None }));
    desk.joined("lobby", 1);
    desk.says("lobby", 1, "bob", "only once");
    assert_eq!(desk.screen().iter().filter(|row| row.contains("only once")).count(), 1);
    // If the server has lost its history, what is new has the numbers of what was lost.
    let mut desk = Desk::in_rooms(&["lobby"]);
    (1..=3).for_each(|seq| desk.says("lobby", seq, "bob", "lost"));
    desk.types("pending\r");
    desk.net(vec![NetEvent::Ended(None), NetEvent::Connected { fresh: true }]);
    desk.joined("lobby", 1);
    desk.says("lobby", 2, "bob", "new");
    desk.shows("new");
    desk.hides("lost");
    desk.shows("pending");
}

/// The place of a file is at the end, and the row of answers is short.
#[test]
fn a_long_failure_is_shown_whole() {
    let mut desk = Desk::in_rooms(&["lobby"]);
    let fault = format!("can't read the text of an editor with a long name: {} in /tmp/here.txt", "reasons ".repeat(5));
    desk.model.handle(Incoming::Edited(Err(fault)), Instant::now());
    desk.shows("/tmp/here.txt");
    // A room without messages is joined again.
    desk.net(vec![NetEvent::Disconnected { reason: "lost".to_owned() }, NetEvent::Connected { fresh: false }]);
    desk.joined("lobby", 0);
    desk.shows("/tmp/here.txt");
}

#[test]
fn the_room_that_is_read_has_nothing_unread() {
    let mut desk = Desk::in_rooms(&["lobby"]);
    desk.says("lobby", 1, "bob", "ann: look");
    desk.hides("@1");
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
                    random.choice(["hi\r", "/leave\r", "/join dev\r", "/unsent send\r", "/help\r"].iter()).unwrap(),
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
