//! `hubbub-server room list` and `room delete`, as an operator uses them.

use std::fs;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use grpcio::{ChannelBuilder, Client, RpcStatusCode};
use hubbub::wire::v1::event::Event as Kind;
use hubbub::wire::v1::gap::Reason;
use hubbub::wire::v1::{self, ListRoomsRequest};
use hubbub::wire::{LIST_MESSAGES, LIST_ROOMS};
use tempfile::TempDir;

use super::support::chatter::environment;
use super::support::preload;
use super::support::process::{ServerProcess, command};
use super::support::talker::{Talker, after, call, post_message};

fn start_with(data: &Path, arguments: &[&str]) -> ServerProcess {
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0", "--data"]).arg(data).args(arguments);
    ServerProcess::listening(command)
}

fn start(data: &Path) -> ServerProcess {
    start_with(data, &[])
}

fn stop(mut server: ServerProcess) {
    server.signal(libc::SIGTERM);
    assert!(server.wait().success());
}

fn on(data: &Path, arguments: &[&str]) -> Command {
    let mut command = command();
    command.args(arguments).arg("--data").arg(data);
    command
}

fn run(data: &Path, arguments: &[&str]) -> Output {
    on(data, arguments).output().expect("hubbub-server runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The output of a command that succeeds.
fn succeed(data: &Path, arguments: &[&str]) -> String {
    let output = run(data, arguments);
    assert!(output.status.success(), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// The error of a command that fails.
fn fail(data: &Path, arguments: &[&str]) -> String {
    let output = run(data, arguments);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(1), ""), "{arguments:?}");
    text(&output.stderr)
}

fn delete_lines(data: &Path, lines: &str) -> Output {
    let mut delete = on(data, &["room", "delete", "-"]);
    let mut child =
        delete.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    child.stdin.take().expect("it is piped").write_all(lines.as_bytes()).expect("it reads");
    child.wait_with_output().expect("it ends")
}

fn client(server: &ServerProcess) -> Client {
    Client::new(ChannelBuilder::new(environment()).connect(server.target()))
}

fn post(server: &ServerProcess, room: &str, numbers: std::ops::RangeInclusive<u64>, body: impl Fn(u64) -> String) {
    let client = client(server);
    for number in numbers {
        post_message(&client, room, "ann", u128::from(number), &body(number)).expect("it is stored");
    }
}

/// The first words of a room's messages with their seqs, and its epoch.
fn read(server: &ServerProcess, room: &str) -> (u64, Vec<(u64, String)>) {
    let mut reader = Talker::hello(&environment(), server.target(), "reader");
    let (joined, events) = reader.join_room(room, after(0, 0));
    let messages = events.iter().filter(|event| event.has_message());
    let word = |event: &v1::Event| event.message().body.split(' ').next().unwrap_or_default().to_owned();
    (joined.epoch, messages.map(|event| (event.seq, word(event))).collect())
}

fn rooms(server: &ServerProcess) -> Vec<String> {
    let listed = call(&client(server), &LIST_ROOMS, &ListRoomsRequest::default()).expect("they are listed");
    listed.rooms.into_iter().map(|room| room.name).collect()
}

/// The files of the folder that contain the text.
fn files_with(data: &Path, text: &str) -> Vec<String> {
    let files = fs::read_dir(data).expect("it is there").flatten().filter(|file| file.path().is_file());
    let holds = |path: &Path| {
        let bytes = fs::read(path).expect("it can be read");
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    };
    files.filter(|file| holds(&file.path())).map(|file| file.file_name().to_string_lossy().into_owned()).collect()
}

/// Rejoins with the position of a client that has seen messages before.
fn resume(server: &ServerProcess, room: &str, seq: u64, epoch: u64) -> (v1::Joined, Vec<v1::Event>) {
    Talker::hello(&environment(), server.target(), "ann").join_room(room, after(seq, epoch))
}

fn gap_of(event: &v1::Event) -> (u64, u64, Reason) {
    match &event.event {
        Some(Kind::Gap(gap)) => (gap.from_seq, gap.to_seq, gap.reason.enum_value().expect("a known reason")),
        other => panic!("expected a gap: {other:?}"),
    }
}

#[test]
fn rooms_are_listed_with_their_sizes_while_a_server_runs() {
    let data = TempDir::new().unwrap();
    let server = start_with(data.path(), &["--retain-messages", "3", "--erase-after", "100ms"]);
    post(&server, "tea", 1..=2, |_| "x".repeat(1_000));
    post(&server, "coffee", 1..=1, |_| "hello".to_owned());
    post(&server, "zoo", 1..=10, |n| format!("m{n}"));
    super::support::wait_for("old messages to be deleted", || read(&server, "zoo").1.len() == 3);
    let list = succeed(data.path(), &["room", "list"]);
    let rows: Vec<Vec<_>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["messages", "bytes", "newest", "room"], "{list}");
    let columns = |row: usize, at: usize| rows[row][at].parse::<u64>().expect("a number");
    let names: Vec<_> = rows[1..4].iter().map(|row| (row[0], row[3])).collect();
    assert_eq!(names, [("1", "coffee"), ("2", "tea"), ("3", "zoo")], "{list}");
    assert!((2_000..2_300).contains(&columns(2, 1)) && rows[2][2].starts_with("20") && rows[2][2].ends_with('Z'));
    let bytes: u64 = (1..4).map(|row| columns(row, 1)).sum();
    assert_eq!(rows[4], ["6", &bytes.to_string(), "total:", "3", "rooms"], "{list}");
    assert_eq!(succeed(data.path(), &["room", "list", "--names"]), "coffee\ntea\nzoo\n");
    stop(server);
    assert_eq!(succeed(data.path(), &["room", "list"]), list);
    assert!(fail(&data.path().join("typo"), &["room", "list"]).contains("no log in"));
}

/// A list goes on after the page that is read at once, and a closed pipe ends it quietly.
#[test]
fn many_rooms_are_listed_and_deleted_by_lines_of_standard_input() {
    const ROOMS: usize = 2_345;
    let data = TempDir::new().unwrap();
    let server = start_with(data.path(), &["--sync", "os"]);
    let mut ann = Talker::hello(&environment(), server.target(), "ann");
    for chunk in (0..ROOMS).collect::<Vec<_>>().chunks(500) {
        let names: Vec<_> = chunk.iter().map(|n| format!("spam-{n}")).collect();
        let commands = names.iter().flat_map(|name| {
            [
                super::support::talker::join(name, None),
                super::support::talker::post(name, 1, "buy"),
                super::support::talker::leave(name),
            ]
        });
        for commands in commands.collect::<Vec<_>>().chunks(300) {
            ann.send(commands.to_vec());
            let mut left = commands.len() / 3;
            while left > 0 {
                left -= usize::from(matches!(ann.next().event, Some(Kind::Left(_))));
            }
        }
    }
    post(&server, "tea", 1..=1, |_| "hello".to_owned());
    stop(server);
    let names = succeed(data.path(), &["room", "list", "--names"]);
    assert_eq!(names.lines().count(), ROOMS + 1);
    let mut piped = on(data.path(), &["room", "list"]);
    let mut child = piped.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));

    let spam: String = names.lines().filter(|name| name.starts_with("spam")).map(|name| format!("{name}\n")).collect();
    let output = delete_lines(data.path(), &spam);
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(printed.starts_with(&format!("deleted {ROOMS} rooms with {ROOMS} messages")), "{printed}");
    assert_eq!(succeed(data.path(), &["room", "list", "--names"]), "tea\n");
    assert!(succeed(data.path(), &["verify"]).contains("1 room, 1 message, no faults"));
    assert!(text(&delete_lines(data.path(), "\n").stderr).contains("no names"));
}

/// The text, the ids and the name of a deleted room are in no file, and other rooms are as before.
#[test]
fn a_deleted_room_is_gone_from_all_files_and_clients_learn_it() {
    let data = TempDir::new().unwrap();
    let server = start(data.path());
    let secret = |n: u64| format!("secret{n} {}", "secret ".repeat([1, 40, 900, 2_000][n as usize % 4]));
    post(&server, "diary-of-ann", 1..=60, secret);
    post(&server, "tea", 1..=20, |n| format!("kept{n}"));
    let (epoch, messages) = read(&server, "diary-of-ann");
    assert_eq!(messages.len(), 60);
    let tea = read(&server, "tea");
    assert!(!files_with(data.path(), "secret").is_empty() && !files_with(data.path(), "diary-of-ann").is_empty());
    // The files of a server that was killed: its newest messages are in the write-ahead log alone.
    server.crash();
    let printed = succeed(data.path(), &["room", "delete", "diary-of-ann"]);
    assert!(printed.starts_with("deleted 1 room with 60 messages; "), "{printed}");
    assert_eq!(files_with(data.path(), "secret"), [""; 0]);
    assert_eq!(files_with(data.path(), "diary-of-ann"), [""; 0]);
    assert!(succeed(data.path(), &["verify"]).contains("1 room, 20 messages, no faults"));
    let database = rusqlite::Connection::open(data.path().join("hubbub.db")).expect("it can be opened");
    let count = |table: &str| {
        let query = format!("SELECT count(*) FROM {table} WHERE room NOT IN (SELECT id FROM rooms)");
        database.query_row(&query, (), |row| row.get::<_, i64>(0)).expect("it can be read")
    };
    assert_eq!(["segments", "ids", "expiring"].map(count), [0; 3]);
    database.close().expect("it can be closed");

    let server = start(data.path());
    assert_eq!((rooms(&server), read(&server, "tea")), (vec!["tea".to_owned()], tea));
    let gone = v1::ListMessagesRequest { room: "diary-of-ann".to_owned(), ..Default::default() };
    assert_eq!(call(&client(&server), &LIST_MESSAGES, &gone).unwrap_err().code, RpcStatusCode::NOT_FOUND);
    // A client that has seen 60 messages, before anybody posts again.
    let (joined, events) = resume(&server, "diary-of-ann", 60, epoch);
    assert!(joined.epoch != epoch && joined.head_seq == 0);
    assert_eq!(events.iter().map(gap_of).collect::<Vec<_>>(), [(1, 60, Reason::REASON_EPOCH_CHANGED)]);
    // Another room with the name: its messages have the same seqs, and a message with an id of the deleted room is new.
    let again = post_message(&client(&server), "diary-of-ann", "ann", 1, "new1").expect("it is stored");
    assert_eq!((again.seq, again.was_stored), (1, false));
    post(&server, "diary-of-ann", 2..=70, |n| format!("new{n}"));
    let (renewed, events) = resume(&server, "diary-of-ann", 60, epoch);
    assert_eq!(gap_of(&events[0]), (1, 60, Reason::REASON_EPOCH_CHANGED));
    let seqs: Vec<_> = events[1..].iter().map(|event| (event.seq, event.message().body.clone())).collect();
    assert_eq!(seqs, (1..=70).map(|n| (n, format!("new{n}"))).collect::<Vec<_>>());
    assert_ne!(renewed.epoch, epoch);
    stop(server);
    assert!(succeed(data.path(), &["verify"]).contains("2 rooms, 90 messages, no faults"));
}

/// A client of the library keeps its session: it learns that the messages are gone, and posts again.
#[test]
fn a_session_survives_the_deletion_of_its_room() {
    let data = TempDir::new().unwrap();
    let address = super::support::process::lasting_address();
    let serve = || {
        let mut command = command();
        command.args(["--listen", &address, "--data"]).arg(data.path());
        ServerProcess::listening(command)
    };
    let server = serve();
    post(&server, "tea", 1..=5, |n| format!("old{n}"));
    let mut tail = client_program(&["tail", "tea", "--server", &address, "--last", "5", "--no-time", "--seq"]);
    let mut tail = tail.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let lines = std::io::BufRead::lines(std::io::BufReader::new(tail.stdout.take().expect("it is piped")));
    let mut lines = lines.map_while(Result::ok);
    let first: Vec<_> = lines.by_ref().take(5).collect();
    assert!(first[4].contains("old5"), "{first:?}");
    stop(server);
    succeed(data.path(), &["room", "delete", "tea"]);
    let server = serve();
    super::support::wait_for("the client to be back", || {
        let request = v1::ListMembersRequest { room: "tea".to_owned(), ..Default::default() };
        call(&client(&server), &hubbub::wire::LIST_MEMBERS, &request).is_ok_and(|members| members.members.len() == 1)
    });
    post(&server, "tea", 1..=1, |_| "new1".to_owned());
    let next = lines.next().expect("a line");
    assert!(next.contains("new1") && next.trim_start().starts_with('1'), "{next}");
    tail.kill().expect("it runs");
    let errors = std::io::read_to_string(tail.stderr.take().expect("it is piped")).expect("text");
    tail.wait().expect("it ends");
    assert!(errors.contains("1–5") || errors.contains("1 to 5") || errors.contains("messages 1"), "{errors}");
}

fn client_program(arguments: &[&str]) -> Command {
    super::terminal::client_command(env!("CARGO_BIN_EXE_hubbub"), arguments)
}

/// A client had seen messages of the new room. After the restore of a backup with the deleted room, it must not keep
/// them beside those of the old room.
#[test]
fn a_backup_brings_a_deleted_room_back_as_another_one() {
    let (data, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let file = elsewhere.path().join("backup.db");
    let file = file.to_str().expect("a plain path");
    let server = start(data.path());
    post(&server, "tea", 1..=9, |n| format!("old{n}"));
    let first = read(&server, "tea").0;
    succeed(data.path(), &["backup", file]);
    stop(server);
    succeed(data.path(), &["room", "delete", "tea"]);
    let server = start(data.path());
    post(&server, "tea", 1..=4, |n| format!("new{n}"));
    let second = read(&server, "tea").0;
    stop(server);
    succeed(data.path(), &["restore", file]);
    let server = start(data.path());
    let (joined, events) = resume(&server, "tea", 4, second);
    assert!(joined.epoch != first && joined.epoch != second);
    assert_eq!(gap_of(&events[0]), (1, 4, Reason::REASON_EPOCH_CHANGED));
    assert_eq!(events[1..].iter().map(|event| event.seq).collect::<Vec<_>>(), (1..=9).collect::<Vec<_>>());
    // A client of the old room has lost nothing.
    let (_, events) = resume(&server, "tea", 9, first);
    assert_eq!(events.iter().map(gap_of).map(|gap| (gap.0, gap.1)).collect::<Vec<_>>(), [(10, 9)]);
    stop(server);
}

#[test]
fn a_deletion_that_cannot_work_changes_nothing_and_names_the_remedy() {
    let data = TempDir::new().unwrap();
    let server = start(data.path());
    post(&server, "tea", 1..=3, |n| format!("m{n}"));
    let error = fail(data.path(), &["room", "delete", "tea"]);
    assert!(error.contains("in use by another server") && error.contains("stop that one"), "{error}");
    assert_eq!(read(&server, "tea").1.len(), 3);
    stop(server);
    let before = fs::read(data.path().join("hubbub.db")).expect("it can be read");
    let error = fail(data.path(), &["room", "delete", "tea", "no\u{1b}[2Jroom", "nosuch"]);
    assert!(error.contains("no room named \"no\\u{1b}[2Jroom\", \"nosuch\", so nothing was deleted"), "{error}");
    assert!(error.contains("hubbub-server room list"), "{error}");
    assert_eq!(fs::read(data.path().join("hubbub.db")).expect("it can be read"), before);
    assert!(fail(&data.path().join("typo"), &["room", "delete", "tea"]).contains("no log in"));
    assert!(!data.path().join("typo").exists());
    let usage = run(data.path(), &["room", "delete"]);
    assert_eq!(usage.status.code(), Some(2), "{}", text(&usage.stderr));
    // Another form of the same name, and a name that is given twice.
    let server = start(data.path());
    post(&server, "caf\u{e9}", 1..=1, |_| "x".to_owned());
    stop(server);
    assert!(
        succeed(data.path(), &["room", "delete", "cafe\u{301}", "caf\u{e9}"]).starts_with("deleted 1 room with 1 ")
    );
    assert_eq!(succeed(data.path(), &["room", "list", "--names"]), "tea\n");
}

/// Killed at any change of a file, the log is sound: each room is complete, has lost its oldest messages, or is gone.
/// The command can be repeated.
#[test]
fn a_killed_deletion_leaves_a_sound_log_and_can_be_repeated() {
    let folder = TempDir::new().unwrap();
    let old = folder.path().join("old");
    let server = start_with(&old, &["--sync", "os"]);
    let long = "x".repeat(15_000);
    post(&server, "big", 1..=900, |n| format!("b{n} {long}"));
    post(&server, "small", 1..=5, |n| format!("s{n}"));
    post(&server, "kept", 1..=30, |n| format!("k{n}"));
    let states = ["big", "small", "kept"].map(|room| read(&server, room));
    server.crash();
    let library = preload::compile("kill", folder.path());
    let (mut whole, mut parts, mut gone) = (0, 0, 0);
    for n in 1.. {
        let data = folder.path().join(format!("data-{n}"));
        fs::create_dir(&data).expect("a folder");
        // A killed server leaves its socket.
        for file in fs::read_dir(&old).expect("it is there").flatten().filter(|file| file.path().is_file()) {
            fs::copy(file.path(), data.join(file.file_name())).expect("a file can be copied");
        }
        let mut delete = on(&data, &["room", "delete", "big", "small"]);
        let output = delete.env("LD_PRELOAD", &library).env("HUBBUB_KILL_AT", (n * 7).to_string()).output().unwrap();
        if output.status.success() {
            break;
        }
        assert_eq!(output.status.signal(), Some(libc::SIGKILL), "{}", text(&output.stderr));
        assert!(n < 200, "the deletion makes too many changes");
        assert!(succeed(&data, &["verify"]).contains("no faults"), "kill {n}");
        let server = start(&data);
        let names = rooms(&server);
        assert_eq!(read(&server, "kept"), states[2], "kill {n}");
        for (name, (epoch, messages)) in ["big", "small"].into_iter().zip(&states) {
            if !names.iter().any(|other| other == name) {
                gone += 1;
                continue;
            }
            let (now, left) = read(&server, name);
            assert_eq!(now, *epoch, "kill {n}");
            assert!(messages.ends_with(&left), "kill {n}: {name}");
            if left.len() == messages.len() { whole += 1 } else { parts += 1 }
        }
        // The log stores messages as before.
        post(&server, "kept", 101..=101, |_| "after".to_owned());
        stop(server);
        let left: Vec<_> =
            ["big", "small"].into_iter().filter(|name| names.iter().any(|other| other == name)).collect();
        if !left.is_empty() {
            succeed(&data, &[&["room", "delete"], &left[..]].concat());
        }
        assert_eq!(succeed(&data, &["room", "list", "--names"]), "kept\n");
        assert!(succeed(&data, &["verify"]).contains("1 room, 31 messages, no faults"), "kill {n}");
        for word in ["xxxxxxxxxx", "s1", "small"] {
            let files = files_with(&data, word);
            assert!(word == "s1" || files.is_empty(), "kill {n}: {word} is in {files:?}");
        }
        fs::remove_dir_all(&data).expect("it can be removed");
    }
    eprintln!("{whole} rooms were whole, {parts} had lost messages, {gone} were gone");
    assert!(whole > 0 && parts > 0 && gone > 0, "few kills hit: {whole}, {parts}, {gone}");
}

/// Deleted rooms give their space to new messages, also while less of the disk than the reserve is free.
#[test]
fn new_messages_use_the_space_of_deleted_rooms() {
    let data = TempDir::new().unwrap();
    let server = start_with(data.path(), &["--sync", "os"]);
    let long = "x".repeat(15_000);
    post(&server, "big", 1..=600, |_| long.clone());
    stop(server);
    let database = data.path().join("hubbub.db");
    let size = || fs::metadata(&database).expect("it is there").len();
    let before = size();
    // No disk has so much free.
    let short = ["--disk-reserve", "9000TB", "--sync", "os"];
    let server = start_with(data.path(), &short);
    let refused = post_message(&client(&server), "tea", "ann", 0, "hello").unwrap_err();
    assert_eq!(refused.code, RpcStatusCode::UNAVAILABLE, "{}", refused.message);
    stop(server);
    succeed(data.path(), &["room", "delete", "big"]);
    let server = start_with(data.path(), &short);
    let client = client(&server);
    let stored = (0..600).take_while(|_| post_message(&client, "tea", "ann", 0, &long).is_ok()).count();
    assert!((400..600).contains(&stored), "{stored} messages were stored in the space of 600");
    stop(server);
    assert!(size() <= before + (1 << 20), "{before} to {}", size());
    assert!(succeed(data.path(), &["verify"]).contains(&format!("1 room, {stored} messages, no faults")));
}

/// A room with messages that can't be read is deleted too. Damaged pages, from which SQLite can delete nothing, are
/// reported.
#[test]
fn a_damaged_room_is_deleted() {
    let data = TempDir::new().unwrap();
    let server = start(data.path());
    post(&server, "tea", 1..=40, |n| format!("secret{n} {}", "y".repeat(6_000)));
    post(&server, "kept", 1..=5, |n| format!("k{n}"));
    stop(server);
    let database = data.path().join("hubbub.db");
    let mut bytes = fs::read(&database).expect("it can be read");
    let at = bytes.windows(9).position(|window| window == b"secret20 ").expect("it is there");
    bytes[at] = b'S';
    fs::write(&database, &bytes).expect("it can be written");
    assert_eq!(run(data.path(), &["verify"]).status.code(), Some(1));
    let printed = succeed(data.path(), &["room", "delete", "tea"]);
    assert!(printed.starts_with("deleted 1 room with 40 messages"), "{printed}");
    assert_eq!(files_with(data.path(), "ecret"), [""; 0]);
    assert!(succeed(data.path(), &["verify"]).contains("1 room, 5 messages, no faults"));
    // A page of the table that is not one any more.
    let server = start(data.path());
    post(&server, "milk", 1..=200, |n| format!("secret{n} {}", "z".repeat(600)));
    stop(server);
    let mut bytes = fs::read(&database).expect("it can be read");
    let at = bytes.windows(10).position(|window| window == b"secret100 ").expect("it is there");
    bytes[at / 4096 * 4096..][..4096].fill(0xff);
    fs::write(&database, &bytes).expect("it can be written");
    let list = run(data.path(), &["room", "list"]);
    assert!(text(&list.stdout).contains("kept") && text(&list.stdout).contains("total: 2 rooms"), "{list:?}");
    let output = run(data.path(), &["room", "delete", "milk"]);
    let (printed, errors) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{printed}{errors}");
    assert!(printed.starts_with("deleted 1 room") && errors.contains("room \"milk\": damaged messages"), "{errors}");
    let server = start(data.path());
    assert_eq!((rooms(&server), read(&server, "kept").1.len()), (vec!["kept".to_owned()], 5));
    let again = post_message(&client(&server), "milk", "ann", 1, "new").expect("it is stored");
    assert_eq!(again.seq, 1);
    assert_eq!(read(&server, "milk").1, [(1, "new".to_owned())]);
    stop(server);
}

/// A post that would create one room more than the maximum is refused, with what an operator can do. Other posts, joins
/// and reads go on, and a deletion makes space.
#[test]
fn the_number_of_rooms_is_bounded() {
    let data = TempDir::new().unwrap();
    let mut server = start_with(data.path(), &["--rooms-max", "3"]);
    for room in ["a", "b", "c"] {
        post(&server, room, 1..=1, |_| "hello".to_owned());
    }
    let refused = post_message(&client(&server), "d", "ann", 0, "hello").unwrap_err();
    assert_eq!(refused.code, RpcStatusCode::RESOURCE_EXHAUSTED);
    assert!(refused.message.contains("has 3 rooms, the maximum") && refused.message.contains("room delete"));
    let line = server.wait_for_log("clients exceeded limits");
    assert!(line.contains("1 posts refused because the log has too many rooms (--rooms-max"), "{line}");
    let mut ann = Talker::hello(&environment(), server.target(), "ann");
    let (joined, _) = ann.join_room("d", None);
    assert_eq!((joined.head_seq, joined.member_count), (0, 1));
    ann.post("d", 1, "hello");
    let rejected = ann.rejected();
    assert_eq!(rejected.code.enum_value_or_default(), v1::rejected::Code::CODE_TOO_MANY_ROOMS);
    assert!(rejected.reason.contains("--rooms-max"), "{rejected:?}");
    // The lobby is exempt.
    for room in ["a", "lobby"] {
        post_message(&client(&server), room, "ann", 0, "hello").expect("it is stored");
    }
    assert_eq!(rooms(&server), ["a", "b", "c", "lobby"]);
    stop(server);
    succeed(data.path(), &["room", "delete", "b", "c"]);
    let server = start_with(data.path(), &["--rooms-max", "3"]);
    post(&server, "d", 1..=1, |_| "hello".to_owned());
    let refused = post_message(&client(&server), "e", "ann", 0, "hello").unwrap_err();
    assert_eq!(refused.code, RpcStatusCode::RESOURCE_EXHAUSTED);
    // Fewer than there are: all of them stay usable.
    stop(server);
    let server = start_with(data.path(), &["--rooms-max", "1"]);
    post_message(&client(&server), "d", "ann", 0, "hello").expect("it is stored");
    assert!(post_message(&client(&server), "e", "ann", 0, "hello").is_err());
    stop(server);
    // The same in memory.
    let server = ServerProcess::start(&["--rooms-max", "1"]);
    post(&server, "a", 1..=1, |_| "hello".to_owned());
    assert!(post_message(&client(&server), "b", "ann", 0, "hello").unwrap_err().message.contains("--rooms-max"));
}
