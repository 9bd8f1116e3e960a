//! Rooms full of changes, and clients that were built before there were any (`tests/compatible/before-changes`).

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use hubbub::address::Address;
use hubbub::client::{Caller, Connector, Line, MessagePlace, NewText, new_message_id};
use hubbub::names::{Body, Emoji, Kind, Mentions, RoomName, Topic, UserName};

use crate::support::chatter::{Chatter, environment};
use crate::support::{DEADLINE, start, target, wait_for_clients};

/// Posts and changes messages, as any client.
pub struct Changer {
    caller: Caller,
    room: RoomName,
}

impl Changer {
    pub fn new(target: &str, room: &str) -> Self {
        let address: Address = target.parse().expect("an address");
        let caller = Caller::connect(Connector::new(1), address, DEADLINE).expect("the server is there");
        Self { caller, room: RoomName::new(room).expect("a name") }
    }

    pub fn post(&mut self, sender: &str, body: &str) -> u64 {
        self.post_line(sender, Line::new(new_message_id(), Body::new(body).expect("a body"), Kind::Text))
    }

    pub fn reply(&mut self, sender: &str, to: u64, body: &str) -> u64 {
        let line = Line::new(new_message_id(), Body::new(body).expect("a body"), Kind::Text);
        let mentions = Mentions::new(vec!["bob".to_owned()]).expect("a name");
        self.post_line(sender, Line { reply_to: Some(to), mentions, ..line })
    }

    fn post_line(&mut self, sender: &str, line: Line) -> u64 {
        self.caller.post(&self.room, &name(sender), &line).expect("it is stored").seq
    }

    pub fn edit(&mut self, by: &str, seq: u64, body: &str) {
        let (by, body) = (name(by), Body::new(body).expect("a body"));
        let text = NewText { body: &body, mentions: Mentions::NONE, seen: None };
        let message = MessagePlace { room: &self.room, by: &by, seq, epoch: None };
        self.caller.edit(message, text).expect("it is edited");
    }

    pub fn delete(&mut self, by: &str, seq: u64) {
        let by = name(by);
        self.caller.delete(MessagePlace { room: &self.room, by: &by, seq, epoch: None }).expect("it is deleted");
    }

    pub fn react(&mut self, by: &str, seq: u64, emoji: &str, removed: bool) {
        let (by, emoji) = (name(by), Emoji::new(emoji).expect("an emoji"));
        let message = MessagePlace { room: &self.room, by: &by, seq, epoch: None };
        self.caller.react(message, &emoji, removed).expect("it is changed");
    }

    pub fn pin(&mut self, by: &str, seq: u64, removed: bool) {
        let by = name(by);
        let message = MessagePlace { room: &self.room, by: &by, seq, epoch: None };
        self.caller.pin(message, removed).expect("it is changed");
    }

    pub fn set_topic(&mut self, by: &str, topic: &str) {
        let topic = Topic::new(topic).expect("a topic");
        self.caller.set_topic(&self.room, &name(by), &topic).expect("it is changed");
    }

    /// Posts four messages of ann, and makes changes of every kind. What stays are "one", "edited twice" and "a reply".
    pub fn change_everything(&mut self) {
        let one = self.post("ann", "one");
        let edited = self.post("ann", "to be edited");
        let deleted = self.post("ann", "to be deleted");
        self.reply("ann", one, "a reply");
        self.edit("ann", edited, "edited once");
        self.react("bob", edited, "\u{1f44d}", false);
        self.pin("bob", one, false);
        self.set_topic("bob", "tea");
        self.edit("ann", edited, "edited twice");
        self.pin("bob", deleted, false);
        self.delete("ann", deleted);
        self.react("bob", edited, "\u{1f44d}", true);
        self.pin("bob", one, true);
    }
}

fn name(name: &str) -> UserName {
    UserName::new(name).expect("a name")
}

/// The bodies and the number of other events in a line of the reader.
fn read(line: &str, what: &str) -> (Vec<String>, u64) {
    let read: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    assert_eq!(read["what"], what);
    let bodies = read["bodies"].as_array().expect("a list").iter();
    let bodies = bodies.map(|body| body.as_str().expect("a text").to_owned()).collect();
    (bodies, read["others"].as_u64().expect("a number"))
}

/// The story: clients of `hubbub.v1` failed for ever at the first event whose kind they did not know.
#[test]
fn a_client_built_before_reads_a_room_full_of_changes() {
    let python = std::env::var("HUBBUB_TEST_PYTHON").expect(
        "HUBBUB_TEST_PYTHON names a Python that has grpcio-tools: run the tests with `make test`, which makes one",
    );
    let server = start();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compatible/before-changes");
    let mut reader = Command::new(python)
        .arg(fixture.join("reader.py"))
        .arg(target(&server))
        .arg(&fixture)
        .arg("tea")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("HUBBUB_TEST_PYTHON can be run");
    let mut lines = BufReader::new(reader.stdout.take().expect("standard output is piped")).lines();
    let mut next = || lines.next().and_then(Result::ok);
    assert_eq!(next().as_deref(), Some("joined"), "{:?}", reader.wait_with_output());
    let mut changer = Changer::new(&target(&server), "tea");
    changer.change_everything();
    changer.post("ann", "the end");
    let outputs: Vec<_> = std::iter::from_fn(next).collect();
    let output = reader.wait_with_output().expect("it ends");
    assert!(output.status.success() && outputs.len() == 3, "{}", String::from_utf8_lossy(&output.stderr));
    // A deleted message has an empty text.
    let expected: Vec<_> = ["one", "edited twice", "", "a reply", "the end"].map(str::to_owned).into();
    let (live, others) = read(&outputs[0], "live");
    assert_eq!((live.len(), others), (5, 9));
    assert_eq!((&live[0], &live[3], &live[4]), (&expected[0], &expected[3], &expected[4]));
    assert_eq!(read(&outputs[1], "whole"), (expected.clone(), 9));
    assert_eq!(read(&outputs[2], "pages"), (expected, 0));
}

/// The tutorial's contract has no word for a change: its clients get messages and nothing else.
#[test]
fn clients_of_the_tutorial_see_messages_and_nothing_else() {
    let server = start();
    let mut tutorial = Chatter::join(&environment(), &target(&server), "cat");
    wait_for_clients(&server, 1);
    let mut changer = Changer::new(&target(&server), "lobby");
    changer.change_everything();
    changer.post("ann", "the end");
    let mut bodies = Vec::new();
    while bodies.last().is_none_or(|body| body != "the end") {
        bodies.push(tutorial.hear());
    }
    assert!(!bodies.iter().any(String::is_empty), "{bodies:?}");
    bodies.retain(|body| body != "to be deleted" && !body.contains("edited"));
    assert_eq!(bodies, ["one", "a reply", "the end"]);
    // It may post as before.
    tutorial.say("meow");
    changer.post("ann", "last");
    assert_eq!(tutorial.hear(), "last");
}
