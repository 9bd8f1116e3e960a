//! A damaged database, with the real programs: readers skip the messages that can't be read and learn which they are,
//! everything else continues, and the server logs the damage once.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpStream;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use grpcio::{Client, RpcStatusCode};
use hubbub::wire::v1::event::Event as Kind;
use hubbub::wire::v1::gap::Reason;
use hubbub::wire::v1::list_messages_request::Place;
use hubbub::wire::v1::rejected::Code;
use hubbub::wire::{LIST_MESSAGES, LIST_ROOMS, v1};

use super::support::chatter::environment;
use super::support::process::{ServerProcess, command};
use super::support::talker::{Talker, after, call, join, post_message};
use super::terminal::client_command;

const ROOM: &str = "talk";
const DATABASE: &str = "hubbub.db";
const PAGE: usize = 4096;

fn start(data: &Path) -> ServerProcess {
    ServerProcess::start(&["--data", data.to_str().expect("a plain path")])
}

/// Stops a server. Returns its log.
fn stop(mut server: ServerProcess) -> Vec<String> {
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
    server.rest_of_log()
}

fn client(server: &ServerProcess) -> Client {
    Talker::connect(&environment(), server.target(), "ann").client
}

/// Posts messages with these numbers, which are their seqs. Each is a separate segment.
fn post(client: &Client, room: &str, numbers: std::ops::RangeInclusive<u64>, pad: usize) {
    for number in numbers {
        let body = format!("{number} needle-{room}-{number}- {}", "x".repeat(pad));
        assert_eq!(post_message(client, room, "ann", number.into(), &body).expect("it is stored").seq, number);
    }
}

/// The offset of a text in the database.
fn find(data: &Path, needle: &str) -> usize {
    let bytes = fs::read(data.join(DATABASE)).expect("the database is there");
    bytes.windows(needle.len()).position(|window| window == needle.as_bytes()).expect("it is stored")
}

fn write(data: &Path, at: usize, bytes: &[u8]) {
    let file = File::options().write(true).open(data.join(DATABASE)).expect("the database is there");
    file.write_all_at(bytes, at as u64).expect("it can be written");
}

/// The events that a reader received: the seqs of messages, and gaps.
fn found(events: &[v1::Event]) -> (Vec<u64>, Vec<(u64, u64)>) {
    let (mut messages, mut gaps) = (Vec::new(), Vec::new());
    for event in events {
        match &event.event {
            Some(Kind::Message(message)) => {
                assert_eq!(message.body.split(' ').next(), Some(event.seq.to_string().as_str()));
                messages.push(event.seq);
            }
            Some(Kind::Gap(gap)) => {
                assert_eq!(gap.reason.enum_value(), Ok(Reason::REASON_DAMAGED));
                gaps.push((gap.from_seq, gap.to_seq));
            }
            other => panic!("unexpected event: {other:?}"),
        }
    }
    (messages, gaps)
}

fn read(server: &ServerProcess, room: &str) -> (Vec<u64>, Vec<(u64, u64)>) {
    found(&Talker::hello(&environment(), server.target(), "reader").join_room(room, after(0, 0)).1)
}

fn list(client: &Client, place: Place, page_size: u32) -> Vec<v1::Event> {
    let request =
        v1::ListMessagesRequest { room: ROOM.to_owned(), place: Some(place), page_size, ..Default::default() };
    call(client, &LIST_MESSAGES, &request).expect("a page is answered").events
}

fn hubbub(server: &ServerProcess, arguments: &[&str]) -> Command {
    let mut command = client_command(env!("CARGO_BIN_EXE_hubbub"), &["--server", server.target(), "--name", "bob"]);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A body with a changed byte was served. After checksums were added, every reader was disconnected there with
/// INTERNAL, reconnected, and was disconnected again.
#[test]
fn a_changed_byte_is_a_gap_that_every_reader_skips() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path());
    post(&client(&server), ROOM, 1..=9, 10);
    stop(server);
    let at = find(folder.path(), "needle-talk-5-");
    write(folder.path(), at, b"N");

    let server = start(folder.path());
    let others = [1, 2, 3, 4, 6, 7, 8, 9];
    for _ in 0..2 {
        assert_eq!(read(&server, ROOM), (others.to_vec(), vec![(5, 5)]));
    }
    let mut live = Talker::hello(&environment(), server.target(), "live");
    assert_eq!(found(&live.join_room(ROOM, after(4, 0)).1), (vec![6, 7, 8, 9], vec![(5, 5)]));

    // Pages from both ends, down to one that contains only the gap.
    let client = client(&server);
    assert_eq!(found(&list(&client, Place::AfterSeq(0), 100)), (others.to_vec(), vec![(5, 5)]));
    assert_eq!(found(&list(&client, Place::AfterSeq(4), 1)), (vec![], vec![(5, 5)]));
    assert_eq!(found(&list(&client, Place::AfterSeq(5), 1)), (vec![6], vec![]));
    assert_eq!(found(&list(&client, Place::BeforeSeq(7), 3)), (vec![4, 6], vec![(5, 5)]));
    assert_eq!(found(&list(&client, Place::BeforeSeq(6), 1)), (vec![], vec![(5, 5)]));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it is text");
    let notice = "* message 5 can't be read: the server's log is damaged there; its operator can restore a backup\n";
    let output = hubbub(&server, &["history", ROOM]).output().expect("hubbub runs");
    assert_eq!(text(output.stderr), notice);
    assert_eq!((output.status.code(), text(output.stdout).lines().count()), (Some(0), 8));
    let mut tail = hubbub(&server, &["tail", ROOM, "--from", "1"]).spawn().expect("hubbub runs");
    let mut lines = BufReader::new(tail.stdout.take().expect("it is piped")).lines();
    let bodies: Vec<_> = (0..8).map(|_| lines.next().expect("it prints").expect("it is text")).collect();
    assert!(bodies[4].starts_with("ann: 6 "), "{bodies:?}");

    // New posts are stored, and reach the readers that skipped the damage.
    post(&client, ROOM, 10..=10, 10);
    assert_eq!(live.hear().0, 10);
    assert!(lines.next().expect("it prints").expect("it is text").starts_with("ann: 10 "));
    tail.kill().expect("it runs");
    let mut notices = String::new();
    tail.stderr.take().expect("it is piped").read_to_string(&mut notices).expect("it is text");
    tail.wait().expect("it is our child");
    assert_eq!(notices, notice);
    let log = stop(server);
    let damage: Vec<_> = log.iter().filter(|line| line.contains("damaged")).collect();
    let is_named = |line: &&String| line.contains("ERROR") && line.contains("room talk: message 5 can't be read");
    assert!(matches!(damage[..], [line] if is_named(&line)), "{log:#?}");
}

/// After one page was overwritten while the server ran, posts to other rooms were rejected, and all readers of its room
/// were disconnected.
#[test]
fn a_page_that_is_overwritten_under_a_running_server_loses_only_its_messages() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path());
    let writer = client(&server);
    ["attic", ROOM, "zoo"].iter().for_each(|room| post(&writer, room, 1..=60, 500));
    drop(writer);
    stop(server);
    let at = find(folder.path(), "needle-talk-30-") / PAGE * PAGE;
    let page = fs::read(folder.path().join(DATABASE)).unwrap()[at..at + PAGE].to_vec();
    let is_on = |number: &u64| {
        let needle = format!("needle-talk-{number}-");
        page.windows(needle.len()).any(|window| window == needle.as_bytes())
    };
    let lost: Vec<u64> = (1..=60).filter(is_on).collect();
    // After a start, none of it is in the server's memory.
    let server = start(folder.path());
    write(folder.path(), at, &[0xff; PAGE]);
    let gap = (lost[0], lost[lost.len() - 1]);
    let whole: Vec<u64> = (1..=60).filter(|number| !(gap.0..=gap.1).contains(number)).collect();
    assert_eq!(read(&server, ROOM), (whole.clone(), vec![gap]));
    let writer = client(&server);
    for room in ["attic", ROOM, "zoo"] {
        post(&writer, room, 61..=61, 10);
    }
    for room in ["attic", "zoo"] {
        assert_eq!(read(&server, room), ((1..=61).collect(), vec![]));
    }
    let rooms = call(&writer, &LIST_ROOMS, &v1::ListRoomsRequest::default()).expect("rooms are listed").rooms;
    assert_eq!(rooms.len(), 3);
    drop(writer);
    stop(server);
    // With retention, such a server did not start, or stopped deleting messages.
    let mut server = ServerProcess::start(&["--data", folder.path().to_str().unwrap(), "--retain-messages", "5"]);
    server.wait_for_log("retention deleted");
    let oldest = |room: &str| {
        let mut reader = Talker::hello(&environment(), server.target(), "reader");
        reader.join_room(room, None).0.oldest_seq
    };
    super::support::wait_for("retention in all rooms", || ["attic", ROOM, "zoo"].iter().all(|room| oldest(room) == 57));
}

/// An operator stopped the server and put an older copy of the whole data folder back. A client that had seen newer
/// messages got a report that only those above the new head were lost, kept messages that had been replaced, and the
/// server did not log it.
#[test]
fn a_client_ahead_of_its_room_learns_of_all_possible_losses_and_it_is_logged() {
    let (data, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let copy_all = |from: &Path, to: &Path| {
        for file in fs::read_dir(from).unwrap().flatten() {
            fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    };
    let server = start(data.path());
    post(&client(&server), ROOM, 1..=3, 10);
    stop(server);
    copy_all(data.path(), copy.path());
    let server = start(data.path());
    post(&client(&server), ROOM, 4..=9, 10);
    let epoch = Talker::hello(&environment(), server.target(), "reader").join_room(ROOM, None).0.epoch;
    stop(server);
    copy_all(copy.path(), data.path());
    let server = start(data.path());
    post(&client(&server), ROOM, 4..=5, 20);
    for _ in 0..2 {
        let mut reader = Talker::hello(&environment(), server.target(), "reader");
        let (joined, events) = reader.join_room(ROOM, after(9, epoch));
        assert_eq!((joined.epoch, joined.head_seq), (epoch, 5));
        let Some(Kind::Gap(gap)) = &events[0].event else { panic!("expected a gap: {:?}", events[0]) };
        assert_eq!(gap.reason.enum_value(), Ok(Reason::REASON_EPOCH_CHANGED));
        assert_eq!((gap.from_seq, gap.to_seq), (1, 9));
        assert_eq!(found(&events[1..]), ((1..=5).collect(), vec![]));
    }
    let log = stop(server);
    let errors: Vec<_> = log.iter().filter(|line| line.contains("ERROR")).collect();
    let is_expected = |line: &&String| {
        ["has seen message 9 of room talk, which ends at message 5", "--restored"]
            .iter()
            .all(|text| line.contains(text))
    };
    assert!(matches!(errors[..], [line] if is_expected(&line)), "{log:#?}");
}

/// Builds a library that makes reads of the database fail.
fn failing_disk(folder: &Path) -> std::path::PathBuf {
    let library = folder.join("unreadable.so");
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"]).arg(&library);
    compile.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/power/unreadable.c")).arg("-ldl");
    assert!(compile.status().expect("cc is there, as for the build").success());
    library
}

/// One failed read ended all streams that needed the data, with INTERNAL, like damage.
#[test]
fn a_failed_read_is_retried_and_is_not_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap();
    let (data, failures) = (path.join("data"), path.join("failures"));
    let server = start(&data);
    post(&client(&server), ROOM, 1..=200, 3_000);
    stop(server);
    let mut program = command();
    program.args(["--listen", "127.0.0.1:0", "--data"]).arg(&data).env("LD_PRELOAD", failing_disk(&path));
    program.env("HUBBUB_UNREADABLE_FILE", data.join(DATABASE)).env("HUBBUB_UNREADABLE_COUNT", &failures);
    let server = ServerProcess::listening(program);
    let fail = |count: usize| fs::write(&failures, "x".repeat(count)).unwrap();
    let left = || fs::metadata(&failures).map_or(0, |file| file.len());

    // One failure is not noticed by any client.
    fail(1);
    assert_eq!(list(&client(&server), Place::AfterSeq(0), 3).len(), 3);
    assert_eq!(left(), 0, "nothing was read from the disk");
    // During a longer failure the messages are unavailable, neither damaged nor deleted.
    fail(100_000);
    let request = v1::ListMessagesRequest {
        room: ROOM.to_owned(),
        place: Some(Place::AfterSeq(100)),
        page_size: 50,
        ..Default::default()
    };
    let end = call(&client(&server), &LIST_MESSAGES, &request).unwrap_err();
    assert_eq!(end.code, RpcStatusCode::UNAVAILABLE, "{}", end.message);
    let mut reader = Talker::hello(&environment(), server.target(), "reader");
    reader.send(vec![join(ROOM, after(100, 0))]);
    loop {
        match reader.next_within(super::support::DEADLINE).expect("it is answered") {
            Ok(v1::Event { event: Some(Kind::Rejected(rejected)), .. }) => {
                assert_eq!(rejected.code.enum_value(), Ok(Code::CODE_UNAVAILABLE), "{}", rejected.reason);
                break;
            }
            Ok(event) => assert!(!matches!(event.event, Some(Kind::Gap(_))), "{event:?}"),
            Err(end) => {
                assert_eq!(end.code, RpcStatusCode::UNAVAILABLE, "{}", end.message);
                break;
            }
        }
    }
    // The failure is over.
    fs::remove_file(&failures).unwrap();
    assert_eq!(read(&server, ROOM), ((1..=200).collect(), vec![]));
    let log = stop(server).join("\n");
    assert!(log.contains("is retried") && log.contains("stored messages can be read again"), "{log}");
    assert!(!log.contains("damaged"), "{log}");
}

/// When idle connections took all descriptors, history could not be read and the write-ahead log could not be copied.
#[test]
#[cfg_attr(not(feature = "core-patches"), ignore = "the unpatched C core behaves differently")]
fn a_server_without_free_descriptors_stores_reads_and_copies() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Command::new("sh");
    program.args(["-c", "ulimit -n 64 && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_hubbub-server")]);
    // HTTP and the admin face would take a third of what is left to connections.
    program.args(["--http", "none", "--admin", "none", "--listen", "127.0.0.1:0", "--data"]).arg(folder.path());
    program.stdin(Stdio::null()).env_remove("RUST_LOG");
    let mut server = ServerProcess::listening(program);
    let talker = Talker::hello(&environment(), server.target(), "ann");
    let idle: Vec<_> = (0..100).map(|_| TcpStream::connect(server.target()).expect("the kernel accepts")).collect();
    server.wait_for_log("file descriptors have run out");
    // More than the write-ahead log holds before it is copied.
    let before = fs::metadata(folder.path().join(DATABASE)).unwrap().len();
    let count = hubbub::limits::CHECKPOINT_BYTES as u64 / 15_000 * 3 / 2;
    post(&talker.client, ROOM, 1..=count, 15_000);
    let copied = || fs::metadata(folder.path().join(DATABASE)).unwrap().len() > before + 4_000_000;
    super::support::wait_for("the write-ahead log to be copied", copied);
    assert_eq!(found(&list(&talker.client, Place::AfterSeq(0), 3)).0, [1, 2, 3]);
    drop((talker, idle));
    stop(server);
    assert_eq!(read(&start(folder.path()), ROOM).0, (1..=count).collect::<Vec<_>>());
}

/// A page of the newest 4 messages of 16 KB each read everything that a page may have: 44 ms, and 6 MB of a room like
/// this one. Finding a row reads about ten others, which is still far more than is sent.
#[test]
fn reading_backwards_over_large_messages_reads_little_more_than_it_sends() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path());
    post(&client(&server), ROOM, 1..=400, 16_000);
    stop(server);
    let server = start(folder.path());
    let read_bytes = || -> u64 {
        let counts = fs::read_to_string(format!("/proc/{}/io", server.pid())).expect("the kernel counts");
        let line = counts.lines().find_map(|line| line.strip_prefix("rchar: "));
        line.and_then(|count| count.parse().ok()).expect("a number of bytes")
    };
    let client = client(&server);
    for place in [Place::BeforeSeq(u64::MAX), Place::BeforeSeq(200), Place::AfterSeq(100)] {
        let before = read_bytes();
        let events = list(&client, place.clone(), 1_000);
        let (read, sent) = (read_bytes() - before, events.len() as u64 * 16_000);
        assert!((3..=5).contains(&events.len()) && read < 2_500_000, "{place:?}: {read} bytes read, {sent} sent");
    }
}
