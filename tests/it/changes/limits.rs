//! Requests that are wrong, or larger than usual.

use std::thread;

use grpcio::RpcStatusCode as Code;
use hubbub::limits::{BODY_BYTES_MAX, COMMANDS_MAX, EMOJI_BYTES_MAX, REACTORS_NAMED_MAX, TOPIC_CHARS_MAX};
use hubbub::threads::park::block_on;
use hubbub::wire::{LIST_ROOMS, v1};

use super::calls::{Act, Caller};
use super::rules::refused;
use crate::support::chatter::environment;
use crate::support::talker::{Talker, call, post};
use crate::support::{start, target};

const ROOM: &str = "garden";

fn edit(message: u64, body: &str) -> Act {
    Act::Edit { message, body: body.to_owned(), seen: None }
}

#[test]
fn a_change_of_what_is_no_message_is_refused() {
    let server = start();
    let ann = Caller::new(&Talker::connect(&environment(), &target(&server), "ann").client, ROOM, "ann");
    ann.post(1, "one").expect("it is stored");
    assert_eq!([ann.react(1, "+1"), ann.edit(1, "two"), ann.pin(1), ann.topic("tea")], [2, 3, 4, 5].map(Ok));
    // None, each kind of event, one that is still to come, and the last that there could be.
    for seq in [0, 2, 3, 4, 5, 6, u64::MAX] {
        for result in [ann.edit(seq, "x"), ann.delete(seq), ann.react(seq, "+1"), ann.unreact(seq, "+1"), ann.pin(seq)]
        {
            refused(result, Code::NOT_FOUND, &[&format!("no message {seq}")]);
        }
        assert_eq!(ann.unpin(seq), Ok(0));
    }
    assert_eq!(ann.delete(1), Ok(6));
    refused(ann.edit(6, "x"), Code::NOT_FOUND, &["no message 6"]);
    for seq in [0, 7, u64::MAX] {
        assert_eq!(ann.reactions(seq, "+1", 1, "").expect_err("it is refused").code, Code::NOT_FOUND);
    }
    assert_eq!(ann.reactions(1, "+1", 1_001, "").expect_err("it is refused").code, Code::INVALID_ARGUMENT);
    assert_eq!(ann.reactions(1, "+1", 1, "x").expect_err("it is refused").code, Code::INVALID_ARGUMENT);
    assert_eq!(ann.page(None, 10).expect("a page").head_seq, 6);
}

#[test]
fn an_invalid_text_is_refused_with_the_rule() {
    let server = start();
    let ann = Caller::new(&Talker::connect(&environment(), &target(&server), "ann").client, ROOM, "ann");
    ann.post(1, "one").expect("it is stored");
    for body in ["", "  \n", &"x".repeat(BODY_BYTES_MAX + 1)] {
        refused(ann.edit(1, body), Code::INVALID_ARGUMENT, &[]);
    }
    for emoji in ["", " ", "two words", "\u{7}", "line\n", &"x".repeat(EMOJI_BYTES_MAX + 1)] {
        refused(ann.react(1, emoji), Code::INVALID_ARGUMENT, &[]);
        refused(ann.unreact(1, emoji), Code::INVALID_ARGUMENT, &[]);
        assert_eq!(ann.reactions(1, emoji, 1, "").expect_err("it is refused").code, Code::INVALID_ARGUMENT);
    }
    for topic in ["two\nlines", "\u{1b}[2J", &"x".repeat(TOPIC_CHARS_MAX + 1)] {
        refused(ann.topic(topic), Code::INVALID_ARGUMENT, &[]);
    }
    for name in ["", " ", "\u{7}"] {
        let nobody = ann.named(name);
        for result in [nobody.edit(1, "x"), nobody.delete(1), nobody.react(1, "+1"), nobody.pin(1), nobody.topic("x")] {
            refused(result, Code::INVALID_ARGUMENT, &[]);
        }
    }
    let request = v1::ChangeRoomRequest { room: ROOM.to_owned(), sender: "ann".to_owned(), ..Default::default() };
    let end = call(&ann.client, &hubbub::wire::CHANGE_ROOM, &request).expect_err("it is refused");
    assert!(end.code == Code::INVALID_ARGUMENT && end.message.contains("give a topic"), "{end:?}");
    // The longest of each.
    let longest = "y".repeat(BODY_BYTES_MAX);
    assert_eq!((ann.edit(1, &longest), ann.message(1).body == longest), (Ok(2), true));
    assert_eq!(ann.react(1, &"x".repeat(EMOJI_BYTES_MAX)), Ok(3));
    assert_eq!(ann.topic(&"\u{1f375}".repeat(TOPIC_CHARS_MAX)), Ok(4));
}

/// A change never creates a room.
#[test]
fn a_change_in_a_room_without_a_message_is_refused() {
    let server = start();
    let ann = Caller::new(&Talker::connect(&environment(), &target(&server), "ann").client, ROOM, "ann");
    // The same while somebody is there.
    for somebody in [false, true] {
        let _somebody = somebody.then(|| Talker::join(&environment(), &target(&server), "bob", ROOM));
        for result in [
            ann.edit(1, "x"),
            ann.delete(1),
            ann.react(1, "+1"),
            ann.unreact(1, "+1"),
            ann.pin(1),
            ann.unpin(1),
            ann.topic("tea"),
        ] {
            refused(result, Code::NOT_FOUND, &[ROOM, "a room is created by its first message"]);
        }
        assert_eq!(ann.reactions(1, "+1", 1, "").expect_err("it is refused").code, Code::NOT_FOUND);
        let rooms = call(&ann.client, &LIST_ROOMS, &v1::ListRoomsRequest::default()).expect("rooms are listed").rooms;
        assert_eq!(rooms.len(), 0);
    }
}

/// Some of the changes arrive before the messages, and are refused; the others apply. Who follows sees the same.
#[test]
fn a_full_request_of_posts_is_changed_at_once() {
    let server = start();
    let mut talker = Talker::join(&environment(), &target(&server), "ann", ROOM);
    let mut other = Talker::join(&environment(), &target(&server), "bob", ROOM);
    let ann = Caller::new(&talker.client, ROOM, "ann");
    talker.send((1..=COMMANDS_MAX as u128).map(|n| post(ROOM, n, &format!("before {n}"))).collect());
    // Some at a time: a connection has a maximum of calls.
    let mut edited = 0;
    for first in (1..=COMMANDS_MAX as u64).step_by(8) {
        let calls: Vec<_> = (first..first + 8)
            .map(|n| {
                (n, [ann.start(&edit(n, &format!("after {n}"))), ann.start(&Act::Pin { message: n, removed: true })])
            })
            .collect();
        for (n, [edit, unpin]) in calls {
            match block_on(edit) {
                Ok(seq) => {
                    assert!(seq > n);
                    edited += 1;
                }
                Err(end) => assert_eq!(end.code, Code::NOT_FOUND, "{end:?}"),
            }
            assert!(block_on(unpin).is_ok_and(|seq| seq == 0) || edited == 0);
        }
    }
    assert!(edited > 0, "no edit came after its message");
    let (events, page) = ann.messages();
    assert_eq!((events.len(), page.head_seq), (COMMANDS_MAX, (COMMANDS_MAX + edited) as u64));
    for reader in [&mut talker, &mut other] {
        let mut held = std::collections::BTreeMap::new();
        loop {
            let event = reader.next();
            let Some(kind) = event.event else { panic!("an unknown event") };
            match kind {
                v1::event::Event::Message(message) => drop(held.insert(event.seq, message)),
                kind => super::follower::apply(&mut held, event.seq, &kind),
            }
            if event.seq == page.head_seq {
                break;
            }
        }
        for event in &events {
            let message = event.message();
            assert_eq!(held[&event.seq].body, message.body);
            let text = ["before", "after"][usize::from(message.changed_seq > 0)];
            assert!(message.body.starts_with(text), "{message:?}");
        }
    }
}

/// Many people react to one message at once: others' messages are stored meanwhile, and everybody is counted once.
#[test]
fn thousands_react_to_one_message() {
    const THREADS: usize = 4;
    const EACH: usize = 500;
    let server = start();
    let ann = Caller::new(&Talker::connect(&environment(), &target(&server), "ann").client, ROOM, "ann");
    ann.post(1, "party?").expect("it is stored");
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let server = target(&server);
            scope.spawn(move || {
                let client = Talker::connect(&environment(), &server, "many").client;
                for n in 0..EACH {
                    let caller = Caller::new(&client, ROOM, &format!("user{thread}.{n}"));
                    // Repeated, as after a lost response.
                    let seq = caller.react(1, "+1").expect("it is stored");
                    assert!(caller.react(1, "+1").expect("it is there") >= seq);
                }
            });
        }
        for n in 2..100 {
            ann.post(n, "meanwhile").expect("it is stored");
        }
    });
    let [reaction] = ann.message(1).reactions.try_into().expect("one emoji");
    assert_eq!((reaction.count as usize, reaction.people.len()), (THREADS * EACH, REACTORS_NAMED_MAX));
    let mut names = ann.reactors(1, "+1", 1_000).expect("all of them");
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), THREADS * EACH);
    let head = ann.page(None, 1).expect("a page").head_seq;
    assert_eq!(head as usize, 99 + THREADS * EACH);
    // All of them go with the message.
    ann.delete(1).expect("it is deleted");
    assert_eq!(ann.reactors(1, "+1", 1_000).expect("all of them"), [""; 0]);
}
