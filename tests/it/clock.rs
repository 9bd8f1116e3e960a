//! A machine with a wrong clock, and a log that was written on such a machine.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use hubbub::wire::v1;
use rusqlite::Connection;
use tempfile::TempDir;

use super::support::chatter::environment;
use super::support::preload;
use super::support::process::{ServerProcess, command};
use super::support::talker::{Talker, after, post_message};
use super::support::wait_for;

const ROOM: &str = "talk";
const DAY_S: i64 = 86_400;
const YEAR_S: i64 = 365 * DAY_S;

/// A server's data, and a library that sets its clock.
struct Machine {
    folder: TempDir,
    library: PathBuf,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let library = preload::compile("clock", folder.path());
        Self { folder, library }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Starts a server that keeps messages for 90 days, with its clock ahead by this many seconds.
    fn start(&self, ahead_s: i64) -> ServerProcess {
        let mut command = command();
        command.args(["--listen", "127.0.0.1:0", "--retain-for", "90d", "--data"]).arg(self.data());
        command.env("LD_PRELOAD", &self.library).env("HUBBUB_CLOCK_AHEAD_S", ahead_s.to_string());
        ServerProcess::spawn(command)
    }

    /// Runs the server once, posts a message, and returns all stored events. The server must log one warning with this
    /// text, or none.
    fn run(&self, ahead_s: i64, warning: Option<&str>, number: u32) -> Vec<v1::Event> {
        let mut server = self.start(ahead_s);
        let (target, mut log) = listening(&mut server);
        let mut ann = Talker::hello(&environment(), &target, "ann");
        post_message(&ann.client, ROOM, "ann", number.into(), "hello").expect("it is stored");
        let (joined, events) = ann.join_room(ROOM, after(0, 0));
        assert_eq!(joined.oldest_seq, 1, "messages were deleted");
        server.signal(libc::SIGTERM);
        assert_eq!(server.wait().code(), Some(0));
        log.extend(server.rest_of_log());
        assert!(!log.iter().any(|line| line.contains("retention deleted")), "{log:#?}");
        let warnings: Vec<_> = log.iter().filter(|line| line.contains("the clock shows")).collect();
        match (warning, &warnings[..]) {
            (None, []) => {}
            (Some(text), [line]) if line.contains("WARN") && line.contains(text) && line.contains("--trust-clock") => {}
            _ => panic!("expected {warning:?}: {log:#?}"),
        }
        events
    }
}

/// Waits until the server listens. Returns its address, and its log until then.
fn listening(server: &mut ServerProcess) -> (String, Vec<String>) {
    let mut log = Vec::new();
    loop {
        let line = server.wait_for_log("");
        if let Some((_, target)) = line.split_once("listening on ") {
            return (target.to_owned(), log);
        }
        log.push(line);
    }
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set");
    i64::try_from(now.as_millis()).expect("the clock is set")
}

/// Checks that messages are dated by the right clock, with a tolerance of an hour.
fn check_times(events: &[v1::Event]) {
    for event in events {
        let off_ms = event.time_ms as i64 - now_ms();
        assert!(off_ms.abs() < 3_600_000, "message {} is dated {off_ms} ms off", event.seq);
    }
    assert!(events.windows(2).all(|pair| pair[0].time_ms <= pair[1].time_ms), "times fall");
}

/// One start with the clock ten years ahead deleted the whole log without a warning, and all later messages of a room
/// were dated ten years ahead.
#[test]
fn one_start_with_the_clock_years_ahead_deletes_nothing() {
    let machine = Machine::new();
    machine.run(0, None, 1);
    machine.run(10 * YEAR_S, Some("ahead of the log's own time"), 2);
    let events = machine.run(0, None, 3);
    assert_eq!(events.len(), 3);
    check_times(&events);
}

#[test]
fn after_a_start_with_the_clock_years_behind_there_is_a_warning_and_times_recover() {
    let machine = Machine::new();
    machine.run(0, None, 1);
    machine.run(-20 * YEAR_S, Some("behind the log's own time"), 2);
    let events = machine.run(0, None, 3);
    assert_eq!(events.len(), 3);
    check_times(&events);
}

/// Changes a folder's database to that of a version that stored only the times of messages, and sets the times of its
/// segments.
fn date(data: &Path, segments: &[(u64, i64)]) {
    let database = Connection::open(data.join("hubbub.db")).expect("the database opens");
    database.execute("UPDATE life SET time_ms = 0, age_ms = 0", ()).expect("it can be changed");
    for (first, time_ms) in segments {
        let dated = database.execute("UPDATE segments SET time_ms = ?2 WHERE first = ?1", (*first as i64, time_ms));
        assert_eq!(dated, Ok(1));
    }
}

/// A message that an earlier version had dated ten years ahead prevented deletion by age in its room for ten years; and
/// the next start used its date as the current time, by which all other messages were old and were deleted.
#[test]
fn a_message_dated_ahead_neither_prevents_nor_causes_deletions() {
    let machine = Machine::new();
    let mut server = machine.start(0);
    let target = server.wait_for_listening();
    let ann = Talker::hello(&environment(), &target, "ann");
    for number in 1..=5 {
        post_message(&ann.client, ROOM, "ann", number, "hello").expect("it is stored");
    }
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
    let ago = |days: i64| now_ms() - days * DAY_S * 1000;
    let ahead = ago(-3650);
    date(&machine.data(), &[(1, ago(200)), (2, ahead), (3, ahead + 1), (4, ago(100)), (5, ago(1))]);

    let mut server = machine.start(0);
    let (target, mut log) = listening(&mut server);
    let oldest = || Talker::hello(&environment(), &target, "bob").join_room(ROOM, None).0.oldest_seq;
    wait_for("messages 1 to 4 to be deleted", || oldest() >= 5);
    assert_eq!(oldest(), 5, "yesterday's message was deleted");
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
    log.extend(server.rest_of_log());
    for text in ["oldest messages of 1 rooms are dated ahead of the clock", "retention deleted 4 messages in 1 rooms"] {
        assert!(log.iter().any(|line| line.contains(text)), "{text:?}: {log:#?}");
    }
}
