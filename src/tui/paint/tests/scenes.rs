//! Rooms and views for the states.

use super::super::super::room::tests::{joined, message, new_room};
use super::super::super::room::{Limits, Me};
use super::*;
use crate::client::{Extras, LoggedChange, Person, Reaction, StoredMessage};
use crate::names::Kind;

pub fn room(mark: Option<u64>) -> Room {
    let me = Me { name: "ann".to_owned(), authenticated: false, marks_claims: false };
    new_room(me, Limits::default(), mark)
}

/// A room whose history has those messages: senders and texts.
pub fn room_with(mark: Option<u64>, messages: &[(&str, &str)]) -> Room {
    let mut room = room(mark);
    joined(&mut room, messages.len() as u64, 1);
    for (at, (sender, body)) in messages.iter().enumerate() {
        room.message(message(at as u64 + 1, sender, body), false);
    }
    room.caught_up(messages.len() as u64);
    room.entered();
    room
}

/// What people say in a room: 60 messages.
pub fn busy() -> Vec<(&'static str, &'static str)> {
    const TALK: [(&str, &str); 12] = [
        ("bob", "good morning"),
        ("Zoë", "hi all, the build of last night is green"),
        ("bob", "which branch?"),
        ("Zoë", "main, at https://ci.example.org/builds/4711 (the nightly one)"),
        ("ann", "thanks!"),
        (
            "Maximilian-of-the-long-name",
            "I have a question about the release: do we tag before or after the documentation is merged? Last time we did it after, and the page of the changes was one version behind for a whole week.",
        ),
        ("cat", "after"),
        ("bob", "after, and we check the links first"),
        ("dan", "meow"),
        ("cat", "a list:\n  one\n  two\n\nand the end of it"),
        ("ann", "I'll write it down"),
        ("世界", "全角文字も大丈夫ですか"),
    ];
    (0..60).map(|at| TALK[at % TALK.len()]).collect()
}

/// A view of a chat with some rooms, in the second of which the user is.
pub fn view() -> View {
    let room = |number: usize, name: &str, unread: u64, mentions: u64| RoomLine {
        number,
        name: name.to_owned(),
        unread,
        mentions,
        is_current: number == 2,
        ..RoomLine::default()
    };
    let person = |name: &str| PersonLine { name: name.to_owned(), is_own: name == "ann" };
    View {
        shows_rooms: true,
        shows_people: true,
        rooms: vec![
            room(1, "lobby", 0, 0),
            room(2, "tea", 0, 0),
            room(3, "attic", 12, 0),
            room(4, "a-room-with-a-long-name", 1234, 0),
            RoomLine { at_least: true, ..room(5, "garden", 40, 0) },
            room(6, "ops", 7, 2),
            RoomLine { is_outside: true, ..room(7, "secret", 0, 0) },
        ],
        people: ["ann", "bob", "cat", "dan", "Maximilian-of-the-long-name", "Zoë", "世界"].map(person).into(),
        topic: TopicLine {
            room: "tea".to_owned(),
            topic: "Green or black? The kettle is on from nine to five.".to_owned(),
            members: Some(7),
            pins: 1,
        },
        status: StatusLine {
            time: "21:03".to_owned(),
            name: "ann".to_owned(),
            room: Some((2, "tea".to_owned())),
            activity: [(3, false), (4, false), (5, false), (6, true)]
                .map(|(number, mention)| Activity { number, mention })
                .into(),
            ..StatusLine::default()
        },
        input: Input { prompt: "[tea] ".to_owned(), ..Input::default() },
        ..View::default()
    }
}

pub fn person(name: &str) -> Person {
    Person { name: name.to_owned(), authenticated: false }
}

/// A message with extras.
pub fn with(seq: u64, sender: &str, body: &str, extras: Extras) -> StoredMessage {
    StoredMessage { extras, ..message(seq, sender, body) }
}

pub fn reactions(reactions: &[(&str, &[&str])]) -> Extras {
    let reactions = reactions.iter().map(|(emoji, people)| Reaction {
        emoji: (*emoji).to_owned(),
        count: people.len() as u32,
        people: people.iter().map(|name| person(name)).collect(),
    });
    Extras { reactions: reactions.collect(), ..Extras::default() }
}

pub fn action(seq: u64, sender: &str, body: &str) -> StoredMessage {
    StoredMessage { kind: Kind::Action, ..message(seq, sender, body) }
}

pub fn pinned(message_seq: u64) -> LoggedChange {
    LoggedChange::Pinned { message_seq, by: person("bob"), removed: false }
}

/// What tries to leave its row: control sequences, line breaks, marks, joiners, names that look like something else.
pub const HOSTILE: [(&str, &str); 12] = [
    ("eve", "\u{1b}[2J\u{1b}[1;1Hpwned\u{7}"),
    ("eve", "\u{9b}31mred\u{9d}0;title\u{7}"),
    ("bob │ I am", "root"),
    ("* ann", "left"),
    ("eve\u{202e}lave", "\u{202e}txt.exe \u{2066}x"),
    ("eve", "☺️☺️☺️☺️☺️☺️☺️☺️☺️☺️ x"),
    ("eve", "👩‍👩‍👧‍👦👩‍👩‍👧‍👦👩‍👩‍👧‍👦 🇩🇪🇫🇷 👍🏽 1️⃣"),
    ("eve", "z\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}algo"),
    ("eve", "\u{301}\u{200d}\u{200b}\u{feff}\u{1161}"),
    ("eve", "10:42  bob │ me too\r\n10:43  bob │ yes\r10:44  bob │ no\u{2028}10:45 bob │ x"),
    ("eve", "│││││││││││││││││││││││││││││││││││││││││││││││││││││││││││││││││││││││││││││││││││││││││││││"),
    ("\u{5d0}\u{5d1}", "\u{5d2}\u{5d3} 12 (x) \u{5d4}"),
];
