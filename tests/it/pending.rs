//! Reading creates nothing: a room is created by its first message. Until then it is pending: it can be joined and has
//! members, but is not on the disk.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Barrier};
use std::thread;

use grpcio::RpcStatusCode;
use hubbub::server::Server;
use hubbub::wire::v1::event::Event as Kind;
use hubbub::wire::v1::list_messages_request::Place;
use hubbub::wire::v1::{self, join};
use hubbub::wire::{LIST_MEMBERS, LIST_MESSAGES, LIST_ROOMS};

use super::support::chatter::{Chatter, environment};
use super::support::process::{ServerProcess, command, lasting_address};
use super::support::talker::{Talker, after, call, join as join_command, leave, post, post_message};
use super::support::{start, target, wait_for, wait_for_clients};
use super::terminal::client_command;

fn on(folder: &Path) -> ServerProcess {
    ServerProcess::start(&["--data", folder.to_str().expect("the path is text")])
}

fn client(server: &str, arguments: &[&str]) -> Command {
    let mut command = client_command(env!("CARGO_BIN_EXE_hubbub"), &["--server", server, "--name", "ann"]);
    command.args(arguments).stdin(Stdio::null());
    command
}

fn run(server: &str, arguments: &[&str]) -> Output {
    client(server, arguments).output().expect("hubbub starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The rooms that are stored, with their heads.
fn rooms(talker: &Talker) -> Vec<(String, u64)> {
    let response = call(&talker.client, &LIST_ROOMS, &v1::ListRoomsRequest::default()).expect("rooms are listed");
    response.rooms.into_iter().map(|room| (room.name, room.head_seq)).collect()
}

/// `hubbub tail` of a room, and its output.
struct Tail {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
    notices: BufReader<std::process::ChildStderr>,
}

impl Tail {
    fn start(server: &str, room: &str) -> Self {
        let mut command = client(server, &["tail", room]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("hubbub starts");
        let output = BufReader::new(child.stdout.take().expect("standard output is piped"));
        let notices = BufReader::new(child.stderr.take().expect("standard error is piped"));
        Self { child, output, notices }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it prints");
        line
    }

    fn notice(&mut self) -> String {
        let mut line = String::new();
        self.notices.read_line(&mut line).expect("it prints");
        line
    }

    /// Ends it. Returns the unread output and notices.
    fn end(mut self) -> (String, String) {
        self.child.kill().expect("it runs");
        let (mut output, mut notices) = (String::new(), String::new());
        self.output.read_to_string(&mut output).expect("it is text");
        self.notices.read_to_string(&mut notices).expect("it is text");
        (output, notices)
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `hubbub tail typo`, `hubbub --room typo`, and every client that joined a room under a mistyped name created it
/// permanently.
#[test]
fn reading_creates_no_room() {
    let folder = tempfile::tempdir().unwrap();
    let server = on(folder.path());
    let target = server.target().to_owned();
    let mut ann = Talker::hello(&environment(), &target, "ann");
    post_message(&ann.client, "talk", "bob", 1, "hello").unwrap();
    let stored = [("talk".to_owned(), 1)];

    let mut tail = Tail::start(&target, "tlak");
    assert_eq!(tail.notice(), "* no room named tlak yet: waiting for its first message\n");
    assert_eq!(tail.notice(), "* did you mean talk?\n");
    for arguments in [["history", "typo"], ["members", "typo"]] {
        let output = run(&target, &arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(text(&output.stderr).contains("no room named \"typo\""), "{}", text(&output.stderr));
    }
    let output = run(&target, &["chat", "--room", "typo"]);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(0), ""));
    for from in [None, Some(join::From::Last(50)), after(0, 0), after(0, 7), after(99, 0), after(99, 7)] {
        let (joined, _) = ann.join_room("typo", from);
        assert_eq!((joined.head_seq, joined.oldest_seq), (0, 1));
        ann.send(vec![leave("typo")]);
        assert!(matches!(ann.next().event, Some(Kind::Left(_))));
    }
    for place in [None, Some(Place::AfterSeq(0)), Some(Place::BeforeSeq(9))] {
        let request = v1::ListMessagesRequest { room: "typo".to_owned(), place, ..Default::default() };
        assert_eq!(call(&ann.client, &LIST_MESSAGES, &request).unwrap_err().code, RpcStatusCode::NOT_FOUND);
    }
    assert_eq!(rooms(&ann), stored);
    assert_eq!(text(&run(&target, &["rooms"]).stdout), "talk: 1 message, 0 members\n");
    // A client that waits in a pending room is a member of it.
    assert_eq!(text(&run(&target, &["members", "tlak"]).stdout), "ann\n");

    // The first message creates the room, and reaches the waiting clients.
    assert_eq!(run(&target, &["send", "tlak", "hi"]).status.code(), Some(0));
    assert_eq!(tail.line(), "ann: hi\n");
    assert_eq!(tail.end(), (String::new(), String::new()));
    drop(server);
    let server = on(folder.path());
    let ann = Talker::hello(&environment(), server.target(), "ann");
    assert_eq!(rooms(&ann), [("talk".to_owned(), 1), ("tlak".to_owned(), 1)]);
}

/// A client follows a room without messages. The server is killed and started again, twice; then a message is posted.
/// The room has another epoch by then, but the client must not get a report of lost messages.
#[test]
fn a_client_in_a_room_without_messages_survives_restarts() {
    let (address, folder) = (lasting_address(), tempfile::tempdir().unwrap());
    let start = || {
        let mut command = command();
        command.args(["--listen", &address, "--data"]).arg(folder.path());
        ServerProcess::listening(command)
    };
    let mut server = start();
    let mut tail = Tail::start(&address, "tea");
    assert_eq!(tail.notice(), "* no room named tea yet: waiting for its first message\n");
    let is_there = || text(&run(&address, &["members", "tea"]).stdout) == "ann\n";
    wait_for("the client to connect", is_there);
    for _ in 0..2 {
        server.crash();
        server = start();
        wait_for("the client to reconnect", is_there);
    }
    for body in ["one", "two"] {
        assert_eq!(run(&address, &["send", "tea", body]).status.code(), Some(0));
        assert_eq!(tail.line(), format!("ann: {body}\n"));
    }
    server.crash();
    let _server = start();
    assert_eq!(run(&address, &["send", "tea", "three"]).status.code(), Some(0));
    assert_eq!(tail.line(), "ann: three\n");
    let (output, notices) = tail.end();
    assert_eq!(output, "");
    for notice in ["the server lost", "missing", "are gone", "no room"] {
        assert!(!notices.contains(notice), "{notices}");
    }
    assert!(notices.contains("connected again"), "{notices}");
}

/// Two clients and a call post the first message of a room at once.
#[test]
fn a_room_is_created_once_by_concurrent_first_posts() {
    let folder = tempfile::tempdir().unwrap();
    let server = on(folder.path());
    let target = server.target().to_owned();
    let barrier = Arc::new(Barrier::new(3));
    let rounds = 30;
    let take_part = |number: u128| {
        let (barrier, target) = (Arc::clone(&barrier), target.clone());
        move || {
            let mut talker = Talker::hello(&environment(), &target, &format!("client{number}"));
            let mut received = Vec::new();
            for round in 0..rounds {
                let room = format!("room-{round}");
                // Only two of them are in the room, and one of these may join it only with its post.
                if number == 2 {
                    barrier.wait();
                    post_message(&talker.client, &room, "caller", 9, "third").expect("it is stored");
                    continue;
                }
                let joins = || vec![join_command(&room, after(0, 0)), post(&room, number + 1, "first")];
                if round % 2 == 0 {
                    talker.join_room(&room, after(0, 0));
                    barrier.wait();
                    talker.send(vec![post(&room, number + 1, "first")]);
                } else {
                    barrier.wait();
                    talker.send(joins());
                }
                let mut messages = Vec::new();
                let mut id = None;
                while messages.len() < 3 {
                    let event = talker.next();
                    match event.event {
                        Some(Kind::Message(message)) => {
                            assert_eq!(id.get_or_insert(event.room_id), &event.room_id);
                            messages.push((event.seq, message.sender));
                        }
                        Some(Kind::Joined(_) | Kind::Presence(_) | Kind::CaughtUp(_)) => {}
                        other => panic!("expected a message: {other:?}"),
                    }
                }
                assert_eq!(messages.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [1, 2, 3]);
                received.push((room, id, messages));
            }
            received
        }
    };
    let threads: Vec<_> = (0..3).map(|number| thread::spawn(take_part(number))).collect();
    let received: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("it is served")).collect();
    assert_eq!(received[0], received[1]);

    // After a restart, the rooms have the same numbers and epochs.
    let list = |server: &ServerProcess| {
        let talker = Talker::hello(&environment(), server.target(), "reader");
        let response = call(&talker.client, &LIST_ROOMS, &v1::ListRoomsRequest::default()).unwrap();
        response.rooms.into_iter().map(|room| (room.name, room.room_id, room.epoch, room.head_seq)).collect::<Vec<_>>()
    };
    let listed = list(&server);
    assert_eq!(listed.len(), rounds);
    for (room, id, _) in &received[0] {
        let number = listed.iter().find(|(name, ..)| name == room).map(|(_, number, ..)| *number);
        assert_eq!(*id, number, "{room}");
    }
    server.crash();
    assert_eq!(list(&on(folder.path())), listed);
}

/// A client that joins many rooms one after the other uses no space on the disk or in memory after it has left them.
#[test]
fn rooms_that_were_only_joined_leave_nothing() {
    const ROOMS: usize = 40_000;
    let folder = tempfile::tempdir().unwrap();
    let server = on(folder.path());
    let mut eve = Talker::hello(&environment(), server.target(), "eve");
    let mut walk = |rounds: std::ops::Range<usize>| {
        for round in rounds.step_by(100) {
            let names = (round..round + 100).map(|n| format!("a-room-with-a-long-name-{n}"));
            eve.send(names.flat_map(|name| [join_command(&name, None), leave(&name)]).collect());
            let mut left = 0;
            while left < 100 {
                left += usize::from(matches!(eve.next().event, Some(Kind::Left(_))));
            }
        }
    };
    walk(0..ROOMS / 2);
    let before = server.rss_kib();
    walk(ROOMS / 2..ROOMS);
    let grown = server.rss_kib().saturating_sub(before);
    // The names alone, with their places in a map, would take 2 MiB.
    assert!(grown < 1024, "the server has grown by {grown} KiB");
    assert_eq!(rooms(&eve), []);
    let database = folder.path().join("hubbub.db");
    assert!(database.metadata().unwrap().len() < 256 * 1024);
}

/// The only room of the tutorial's contract is created like any other, by its first message.
#[test]
fn the_lobby_is_created_by_its_first_message() {
    let server: Server = start();
    let mut old = Chatter::join(&environment(), &target(&server), "old");
    wait_for_clients(&server, 1);
    let mut new = Talker::join(&environment(), &target(&server), "new", "lobby");
    assert_eq!(rooms(&new), []);
    old.say("hello");
    assert_eq!(new.hear(), (1, "old".to_owned(), "hello".to_owned()));
    new.post("lobby", 1, "hi");
    assert_eq!(old.hear(), "hi");
    assert_eq!(rooms(&new), [("lobby".to_owned(), 2)]);
}

/// Clients join a room, leave it and join it again before its first message.
#[test]
fn a_room_without_messages_can_be_joined_and_left_repeatedly() {
    let server = start();
    let (environment, target) = (environment(), target(&server));
    let mut ann = Talker::join(&environment, &target, "ann", "tea");
    let mut bob = Talker::hello(&environment, &target, "bob");
    let (first, _) = bob.join_room("tea", None);
    assert_eq!(first.member_count, 2);
    bob.send(vec![leave("tea")]);
    while !matches!(bob.next().event, Some(Kind::Left(_))) {}
    // The room is open while it has members, so it is the same.
    let (second, _) = bob.join_room("tea", after(0, first.epoch));
    assert_eq!((second.epoch, second.member_count), (first.epoch, 2));
    for talker in [&mut ann, &mut bob] {
        talker.send(vec![leave("tea")]);
        while !matches!(talker.next().event, Some(Kind::Left(_))) {}
    }
    let request = v1::ListMembersRequest { room: "tea".to_owned(), ..Default::default() };
    wait_for("an empty room to be gone", || call(&ann.client, &LIST_MEMBERS, &request).is_err());
    // A client that has seen no message has lost none.
    let (_, missed) = bob.join_room("tea", after(0, second.epoch));
    assert!(missed.is_empty(), "{missed:?}");
    ann.send(vec![join_command("tea", None), post("tea", 1, "hello")]);
    assert_eq!(bob.hear(), (1, "ann".to_owned(), "hello".to_owned()));
}

/// The paths of all files and folders below a folder.
fn tree(folder: &Path) -> Vec<String> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder can be read").flatten() {
        paths.push(entry.path().display().to_string());
        if entry.path().is_dir() {
            paths.extend(tree(&entry.path()));
        }
    }
    paths.sort();
    paths
}

/// A failed restore into a folder with a mistyped name left the folder. Commands that only read, and a server that
/// can't start, must leave nothing either.
#[test]
fn failed_and_read_only_commands_create_no_folder() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    fs::create_dir(place.join("empty")).unwrap();
    fs::write(place.join("junk"), "no backup").unwrap();
    fs::write(place.join("nothing"), "").unwrap();
    let before = tree(place);
    for (arguments, expected) in [
        (&["verify", "--data", "typo"][..], "can't read typo: it does not exist"),
        (&["verify", "typo"], "can't read typo: it does not exist"),
        (&["verify", "--data", "empty"], "no log in empty"),
        (&["verify", "junk"], "junk is damaged"),
        (&["verify", "nothing"], "nothing is damaged"),
        (&["backup", "file", "--data", "typo"], "no log in typo"),
        (&["backup", "file", "--data", "empty"], "no log in empty"),
        (&["restore", "file", "--data", "typo"], "can't read file"),
        (&["restore", "junk", "--data", "typo"], "junk is damaged"),
        (&["restore", "nothing", "--data", "typo"], "nothing is damaged"),
        (&["--listen", "unix:typo/socket", "--data", "typo"], "can't listen on unix:typo/socket"),
        (&["--listen", "127.0.0.1:0", "--clients-max", "999999999", "--data", "typo"], "999999999 clients"),
    ] {
        let output = command().args(arguments).current_dir(place).output().expect("hubbub-server runs");
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {errors}");
        assert!(errors.contains(expected), "{arguments:?}: {errors}");
        assert_eq!(tree(place), before, "{arguments:?}");
    }
    // An existing folder is kept.
    let output = command().args(["restore", "junk", "--data", "empty"]).current_dir(place).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(place.join("empty").is_dir());
}

/// Commands that read a log, and clients that read rooms, change no stored data. A backup is not changed either.
#[test]
fn reading_changes_no_stored_data() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    fs::create_dir(&data).unwrap();
    let server = on(&data);
    let mut ann = Talker::hello(&environment(), server.target(), "ann");
    // The repeated post is answered after the writer has stored the time, which it does after its first commit.
    for _ in 0..2 {
        post_message(&ann.client, "talk", "bob", 1, "hello").unwrap();
    }
    let run_on = |arguments: &[&str]| {
        let output = command().args(arguments).arg("--data").arg(&data).current_dir(place.path()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    let content = || ["hubbub.db", "hubbub.db-wal", "life"].map(|name| fs::read(data.join(name)).unwrap());
    let before = content();
    // A client waits in a room without messages.
    ann.join_room("tea", None);
    for room in ["talk", "tea", "typo"] {
        for arguments in [["history", room], ["members", room]] {
            run(server.target(), &arguments);
        }
    }
    run(server.target(), &["rooms"]);
    assert_eq!(run_on(&["verify"]), "1 room, 1 message, no faults\n");
    assert!(content() == before, "the log's files changed");
    run_on(&["backup", "file"]);
    let backup = fs::read(place.path().join("file")).unwrap();
    let listed = tree(place.path());
    assert_eq!(run_on(&["verify", "file"]), "1 room, 1 message, no faults\n");
    assert!(fs::read(place.path().join("file")).unwrap() == backup && tree(place.path()) == listed);
    drop(server);
    run_on(&["restore", "file"]);
    let server = on(&data);
    let ann = Talker::hello(&environment(), server.target(), "ann");
    assert_eq!(rooms(&ann), [("talk".to_owned(), 1)]);
}
