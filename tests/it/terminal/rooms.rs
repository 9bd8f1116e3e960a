//! `/join` and `/leave` in the chat.

use hubbub::wire::v1;

use super::model::Model;
use super::pty::Pty;
use super::{run_to_end, stderr, v1_command};
use crate::support::chatter::environment;
use crate::support::talker::{Talker, after, post_message};
use crate::support::{start, target, wait_for};

#[test]
fn rooms_are_joined_and_left_in_the_chat() {
    let server = start();
    let target = target(&server);
    let mut bob = Talker::join(&environment(), &target, "bob", "lobby");
    post_message(&bob.client, "attic", "bob", 1, "old").unwrap();
    let mut ann = Pty::start(v1_command(&["--server", &target, "--name", "ann"]));
    ann.wait_for_last_row("> ");
    ann.wait_for_row_with("* connected to");
    // Typed at once: the second line goes to the room that the first one joins, and shows its name.
    ann.press("/join #tea\rhello\r");
    ann.wait_for_row("[tea] > hello");
    ann.wait_for_row("* no room named tea yet: its first message creates it");
    ann.wait_for_last_row("[tea] > ");
    let mut eve = Talker::hello(&environment(), &target, "eve");
    let (_, history) = eve.join_room("tea", after(0, 0));
    assert_eq!(history[0].message().body, "hello");
    ann.wait_for_row("* [tea] joined: eve");
    eve.post("tea", 1, "hi");
    ann.wait_for_row("[tea] eve: hi");
    bob.post("lobby", 1, "hi");
    ann.wait_for_row("[lobby] bob: hi");
    assert_eq!(bob.hear(), (1, "bob".to_owned(), "hi".to_owned()));
    // A room that is joined already, and a third one with history.
    ann.press("/join lobby\r");
    ann.wait_for_row("* now in lobby");
    ann.press("back\r/who\r/join attic\r");
    ann.wait_for_row("[lobby] > back");
    ann.wait_for_row("* in lobby: ann, bob");
    ann.wait_for_row("[attic] bob: old");
    ann.wait_for_row("* joined attic");
    assert_eq!(bob.hear(), (2, "ann".to_owned(), "back".to_owned()));
    // Leaving returns to the previous room.
    ann.press("/leave\r");
    ann.wait_for_row("* left attic; now in lobby");
    ann.press("/leave tea\r");
    ann.wait_for_row("* left tea; now in lobby");
    ann.wait_for_last_row("> ");
    // The client has left; for the server it has once the others learn it.
    let is_left = |event: v1::Event| event.presence().change.enum_value() == Ok(v1::presence::Change::CHANGE_LEFT);
    while !is_left(eve.next()) {}
    eve.post("tea", 7, "nobody hears this");
    bob.post("lobby", 8, "alone");
    ann.wait_for_row("bob: alone");
    ann.press("/leave attic\r/leave\rto nobody\r");
    ann.wait_for_row("* you are not in attic");
    ann.wait_for_row_with("* left lobby; you are in no room; /join ROOM joins one");
    ann.wait_for_row("* not sent: you are in no room; /join ROOM joins one");
    ann.wait_for_last_row("[no room] > ");
    ann.press("/who\r/join lobby\r");
    ann.wait_for_last_row("> ");
    ann.wait_for_row("* joined lobby");
    wait_for("the history", || ann.rows().iter().filter(|row| *row == "bob: alone").count() == 2);
    assert!(!ann.rows().iter().any(|row| row.contains("nobody hears")), "{:?}", ann.rows());
    ann.press("/quit\r");
    assert_eq!(ann.end(), 0);
}

/// A user whose name looks like the prefix of another room.
#[test]
fn a_name_cannot_imitate_a_room() {
    let server = start();
    let mut eve = Talker::join(&environment(), &target(&server), "[tea] bob", "lobby");
    let mut ann = Pty::start(v1_command(&["--server", &target(&server), "--name", "ann"]));
    ann.wait_for_row_with("* connected to");
    eve.post("lobby", 1, "drink this");
    ann.wait_for_row("\\u{5b}tea] bob: drink this");
    ann.press("/quit\r");
    assert_eq!(ann.end(), 0);
}

#[test]
fn all_rooms_are_resumed_after_a_lost_connection() {
    let model = Model::start();
    model.say("tea", "bob", "one");
    let mut ann = Pty::start(v1_command(&["--server", &model.target, "--name", "ann"]));
    ann.wait_for_row_with("* connected to");
    ann.press("/join tea\r");
    ann.wait_for_row("[tea] bob: one");
    for _ in 0..2 {
        model.break_streams();
        wait_for("both rooms", || model.members("tea") == 1 && model.members("lobby") == 1);
    }
    wait_for("both notices", || ann.rows().iter().filter(|row| row.starts_with("* connected again")).count() == 2);
    model.say("tea", "bob", "two");
    ann.wait_for_row("[tea] bob: two");
    assert_eq!(ann.rows().iter().filter(|row| row.contains("bob: one")).count(), 1);
    ann.press("still here\r\x04");
    assert_eq!(ann.end(), 0);
    assert_eq!(model.bodies("tea"), ["one", "two", "still here"]);
}

#[test]
fn a_script_joins_and_leaves_rooms() {
    let server = start();
    let target = target(&server);
    let command = v1_command(&["--server", &target, "--name", "ann"]);
    let output = run_to_end(command, b"one\n/join tea\ntwo\n/leave\nthree\n/leave tea\n/join tea\nfour\n");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("* you are not in tea\n"), "{}", stderr(&output));
    let shown = String::from_utf8(output.stdout.clone()).unwrap();
    for line in ["ann: one", "[tea] ann: two", "[tea] ann: four"] {
        assert!(shown.lines().any(|shown| shown.ends_with(line)), "{shown}");
    }
    let mut reader = Talker::hello(&environment(), &target, "reader");
    for (room, bodies) in [("lobby", &["one", "three"][..]), ("tea", &["two", "four"])] {
        let (_, history) = reader.join_room(room, after(0, 0));
        let stored: Vec<_> = history.iter().map(|event| event.message().body.clone()).collect();
        assert_eq!(stored, bodies);
    }
}

#[test]
fn the_tutorials_contract_has_one_room() {
    let server = start();
    let mut command = v1_command(&["--server", &target(&server), "--name", "ann"]);
    command.env("HUBBUB_CONTRACT", "tutorial");
    let output = run_to_end(command, b"/join tea\n/leave\n/join\n");
    for notice in ["* /join needs hubbub.v1", "* /leave needs hubbub.v1", "/join needs a room, as in: /join tea"] {
        assert!(stderr(&output).contains(notice), "{}", stderr(&output));
    }
}
