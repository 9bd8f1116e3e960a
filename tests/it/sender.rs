//! Every message has its sender's number, which distinguishes two clients of the same name.
//!
//! The story: the tutorial gives each client a unique code but sends only names, and so did `hubbub.v1`. Two clients
//! named `ann` in one room could not be distinguished, in the terminal or in any program.

use hubbub::wire::v1;
use hubbub::wire::v1::event::Event as Kind;
use hubbub::wire::v1::presence;
use hubbub::wire::{LIST_MEMBERS, LIST_MESSAGES};

use super::support::chatter::{Chatter, environment};
use super::support::process::ServerProcess;
use super::support::talker::{Talker, after, call, hello, post_message};
use super::support::{start, target, wait_for_clients};
use super::terminal::{client_command, pty::Pty};

/// A client that has joined the room, and its number.
fn join(target: &str, name: &str, room: &str) -> (Talker, u64) {
    let mut talker = Talker::connect(&environment(), target, name);
    talker.send(vec![hello(name)]);
    let Some(Kind::Welcome(welcome)) = talker.next().event else { panic!("{name} got no welcome") };
    talker.join_room(room, None);
    (talker, welcome.client_id)
}

/// The next message: its body, and its sender's number.
fn hear(talker: &mut Talker) -> (String, u64) {
    loop {
        match talker.next().event {
            Some(Kind::Message(message)) => return (message.body, message.client_id),
            Some(Kind::Presence(_)) => {}
            other => panic!("expected a message: {other:?}"),
        }
    }
}

#[test]
fn two_clients_of_one_name_have_different_numbers_live_and_in_history() {
    let server = start();
    let target = target(&server);
    let (mut ann, first) = join(&target, "ann", "lobby");
    let (mut other, second) = join(&target, "ann", "lobby");
    assert!(first > 0 && second > first && second < 1 << 49, "{first} {second}");
    ann.post("lobby", 1, "one");
    assert_eq!((hear(&mut ann), hear(&mut other)), (("one".to_owned(), first), ("one".to_owned(), first)));
    other.post("lobby", 2, "two");
    assert_eq!(hear(&mut ann), ("two".to_owned(), second));
    // A client of the tutorial's contract has a number too; a call does not.
    let mut old = Chatter::join(&environment(), &target, "ann");
    wait_for_clients(&server, 3);
    old.say("three");
    let (body, third) = hear(&mut ann);
    assert!(body == "three" && third > second, "{body} {third}");
    post_message(&ann.client, "lobby", "ann", 4, "four").expect("it is stored");
    assert_eq!(hear(&mut ann), ("four".to_owned(), 0));

    let expected = [first, second, third, 0];
    let (_, history) = Talker::hello(&environment(), &target, "reader").join_room("lobby", after(0, 0));
    let ids: Vec<u64> = history.iter().map(|event| event.message().client_id).collect();
    assert_eq!(ids, expected);
    let request = v1::ListMessagesRequest { room: "lobby".to_owned(), ..Default::default() };
    let page = call(&ann.client, &LIST_MESSAGES, &request).expect("the history is read");
    assert_eq!(page.events.iter().map(|event| event.message().client_id).collect::<Vec<_>>(), expected);
    let request = v1::ListMembersRequest { room: "lobby".to_owned(), ..Default::default() };
    let members = call(&ann.client, &LIST_MEMBERS, &request).expect("the members are listed").members;
    // The reader may not have left yet.
    let anns = members.iter().filter(|member| member.name == "ann");
    assert_eq!(anns.map(|member| member.client_id).collect::<Vec<_>>(), [first, second]);
}

/// The numbers of clients started from 1 at each start of a server, so that a message that `ann` stored yesterday had
/// the number of today's first client.
#[test]
fn numbers_are_not_reused_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder is made");
    let data = ["--data", folder.path().to_str().expect("its name is text")];
    let mut seen = Vec::new();
    for life in 0..2 {
        let server = ServerProcess::start(&data);
        let (mut ann, number) = join(server.target(), "ann", "garden");
        ann.post("garden", life + 1, "hello");
        assert_eq!(hear(&mut ann).1, number);
        seen.push(number);
        let (_, history) = Talker::hello(&environment(), server.target(), "reader").join_room("garden", after(0, 0));
        let ids: Vec<u64> = history.iter().map(|event| event.message().client_id).collect();
        assert_eq!(ids, seen);
    }
    assert!(seen[0].abs_diff(seen[1]) > 2, "{seen:?}");
}

/// The contract states the size of the number: 8 bytes in each message.
#[test]
fn a_number_takes_eight_bytes() {
    let server = start();
    let (mut ann, number) = join(&target(&server), "ann", "garden");
    ann.post("garden", 1, "hello");
    let event = loop {
        let event = ann.next();
        if matches!(event.event, Some(Kind::Message(_))) {
            break event;
        }
    };
    let size = |event: &v1::Event| protobuf::Message::compute_size(event);
    let mut without = event.clone();
    without.mut_message().client_id = 0;
    // In one of 64 starts, a server begins with a number that takes one byte less.
    let expected = if number < 1 << 42 { 7 } else { 8 };
    assert_eq!(size(&event) - size(&without), expected, "for {number:x}");
}

#[test]
fn the_chat_shows_numbers_of_shared_names_and_json_shows_all() {
    let server = start();
    let target = target(&server);
    let (mut ann, first) = join(&target, "ann", "lobby");
    let client = |arguments: &[&str]| {
        client_command(env!("CARGO_BIN_EXE_hubbub"), &[&["--server", &target], arguments].concat())
    };
    let is_presence = |event: v1::Event, name: &str, change: presence::Change| match event.event {
        Some(Kind::Presence(presence)) => presence.name == name && presence.change.enum_value() == Ok(change),
        _ => false,
    };
    let mut bob = Pty::start(client(&["--name", "bob"]));
    bob.wait_for_last_row("> ");
    // Who posted before bob came need not be present.
    while !is_presence(ann.next(), "bob", presence::Change::CHANGE_JOINED) {}
    ann.post("lobby", 1, "alone");
    bob.wait_for_row("ann: alone");
    let (mut other, second) = join(&target, "ann", "lobby");
    other.post("lobby", 2, "me too");
    let label = |number: u64| format!("ann#{:02x}", number & 0xff);
    bob.wait_for_row(&format!("{}: me too", label(second)));
    ann.post("lobby", 3, "who is that?");
    bob.wait_for_row(&format!("{}: who is that?", label(first)));
    drop(other);
    while !is_presence(ann.next(), "ann", presence::Change::CHANGE_LEFT) {}
    ann.post("lobby", 4, "gone");
    bob.wait_for_row("ann: gone");
    bob.press("\x04");
    assert_eq!(bob.end(), 0);

    let output = client(&["history", "lobby", "--json"]).output().expect("hubbub starts");
    let json = String::from_utf8(output.stdout).expect("JSON is text");
    let ids: Vec<_> = json
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("each line is JSON")["client_id"].as_u64())
        .collect();
    assert_eq!(ids, [Some(first), Some(second), Some(first), Some(first)], "{json}");
}
