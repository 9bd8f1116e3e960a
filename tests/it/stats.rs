//! `hubbub-server stats`, and the progress bars of long commands.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

use rusqlite::Connection;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::Value;
use tempfile::TempDir;

use super::support::chatter::environment;
use super::support::logins;
use super::support::process::{ServerProcess, command};
use super::support::talker::{Talker, post_message};
use super::support::wait_for;

fn run(data: &Path, arguments: &[&str]) -> Output {
    command().args(arguments).arg("--data").arg(data).output().expect("hubbub-server runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The output of a command that succeeds, with nothing on standard error.
fn succeed(data: &Path, arguments: &[&str]) -> String {
    let output = run(data, arguments);
    assert!(output.status.success(), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(text(&output.stderr), "", "{arguments:?}");
    text(&output.stdout)
}

fn stats(data: &Path, arguments: &[&str]) -> Value {
    let printed = succeed(data, &[&["stats", "--json"], arguments].concat());
    assert_eq!(printed.lines().count(), 1, "{printed}");
    serde_json::from_str(&printed).expect("it is JSON")
}

/// A folder with three rooms of 1, 2 and 3 messages of 1,000 bytes, and the server on it.
fn with_rooms() -> (TempDir, ServerProcess) {
    let data = TempDir::new().expect("a folder");
    let server = logins::serve(data.path(), &[]);
    let client = logins::connect(&server);
    for (count, room) in [(1_u128, "coffee"), (2, "tea"), (3, "茶室")] {
        for number in 1..=count {
            post_message(&client, room, "ann", number, &"x".repeat(1_000)).expect("it is stored");
        }
    }
    (data, server)
}

fn stop(mut server: ServerProcess) {
    server.signal(libc::SIGTERM);
    assert!(server.wait().success());
}

#[test]
fn a_log_is_measured_beside_its_server_and_without_it() {
    let (data, server) = with_rooms();
    let measured = stats(data.path(), &[]);
    let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("{value} is a number of {measured:#}"));
    assert_eq!((number(&measured["rooms"]), number(&measured["messages"]), number(&measured["ids"])), (3, 6, 6));
    assert!((6_000..6_600).contains(&number(&measured["bytes"])), "{measured:#}");
    assert_eq!(number(&measured["unreadable_rooms"]), 0);
    assert_eq!(measured["last_day"]["messages"], measured["messages"]);
    assert_eq!(measured["last_week"]["bytes"], measured["bytes"]);
    let (oldest, newest) = (measured["oldest"].as_str(), measured["newest"].as_str());
    assert!(oldest.is_some_and(|time| time.starts_with("20")) && oldest <= newest, "{measured:#}");
    assert!(number(&measured["files"]["database"]) > 0 && number(&measured["files"]["write_ahead_log"]) > 0);
    let rooms: Vec<_> = measured["largest"].as_array().expect("a list").iter().collect();
    let names: Vec<_> =
        rooms.iter().map(|room| (room["room"].as_str().expect("a name"), number(&room["messages"]))).collect();
    assert_eq!(names, [("茶室", 3), ("tea", 2), ("coffee", 1)]);
    // The server goes on meanwhile, and the numbers follow.
    let mut bob = Talker::join(&environment(), server.target(), "bob", "tea");
    bob.post("tea", 9, "short");
    bob.hear();
    assert_eq!(stats(data.path(), &[])["messages"], 7);
    stop(server);
    let after = stats(data.path(), &[]);
    assert_eq!((&after["messages"], &after["rooms"]), (&7.into(), &3.into()));
    // Deleted messages are not counted.
    let server = logins::serve(data.path(), &["--retain-messages", "1"]);
    wait_for("retention", || stats(data.path(), &[])["messages"] == 3);
    stop(server);
}

#[test]
fn growth_is_counted_from_the_times_of_messages() {
    let (data, server) = with_rooms();
    stop(server);
    let age = |room: &str, days: i64| {
        let database = Connection::open(data.path().join("hubbub.db")).expect("it can be opened");
        let older = "UPDATE segments SET time_ms = time_ms - ?2 WHERE room = (SELECT id FROM rooms WHERE name = ?1)";
        assert!(database.execute(older, (room, days * 86_400_000)).expect("it can be changed") > 0);
    };
    age("tea", 3);
    age("coffee", 30);
    let measured = stats(data.path(), &[]);
    let messages = ["last_day", "last_week"].map(|time| measured[time]["messages"].as_u64());
    assert_eq!(messages, [Some(3), Some(5)], "{measured:#}");
    let rooms = measured["largest"].as_array().expect("a list");
    let of_tea = rooms.iter().find(|room| room["room"] == "tea").expect("it is listed");
    assert_eq!((&of_tea["last_day"]["bytes"], &of_tea["last_week"]["bytes"]), (&0.into(), &of_tea["bytes"]));
    assert_ne!(measured["oldest"], measured["newest"]);
}

#[test]
fn people_get_a_table_of_the_largest_rooms() {
    let (data, server) = with_rooms();
    let printed = succeed(data.path(), &["stats", "--top", "2"]);
    let lines: Vec<_> = printed.lines().collect();
    let value = |name: &str| {
        let line = lines.iter().find(|line| line.starts_with(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("{name}: {printed}")).split_once(char::is_whitespace).expect("a value").1.trim()
    };
    assert_eq!((value("rooms"), value("messages"), value("ids")), ("3", "6", "6"), "{printed}");
    assert!(value("bytes").starts_with("6.") && value("bytes").contains(" kB"), "{printed}");
    assert!(value("database").contains("write-ahead log"), "{printed}");
    let table: Vec<Vec<_>> =
        lines.iter().skip_while(|line| !line.is_empty()).skip(1).map(|line| line.split("  ").collect()).collect();
    let rooms: Vec<_> = table.iter().map(|row| *row.last().expect("a column")).collect();
    assert_eq!(rooms, ["room", "茶室", "tea", "and 1 room more: --top N and --all print them"], "{printed}");
    // Names are in one column.
    let begin = |name: &str| lines.iter().find(|line| line.ends_with(name)).and_then(|line| line.find(name));
    assert!(begin("茶室").is_some() && begin("茶室") == begin("tea"), "{printed}");
    let all = succeed(data.path(), &["stats", "--all"]);
    assert!(all.contains("coffee") && !all.contains("more:"), "{all}");
    let none = succeed(data.path(), &["stats", "--top", "0"]);
    assert!(none.contains("messages   6") && !none.contains("tea"), "{none}");
    stop(server);
    let both = run(data.path(), &["stats", "--all", "--top", "3"]);
    assert_eq!(both.status.code(), Some(2), "{}", text(&both.stderr));
    let elsewhere = run(&data.path().join("typo"), &["stats"]);
    assert_eq!(elsewhere.status.code(), Some(1));
    assert!(text(&elsewhere.stderr).contains("no log in"), "{}", text(&elsewhere.stderr));
}

/// What a command writes to a terminal as its standard error.
fn on_terminal(mut command: Command) -> String {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("there is a terminal");
    grantpt(&master).and_then(|()| unlockpt(&master)).expect("it can be used");
    let slave = ptsname(&master, Vec::new()).expect("it has a name");
    // Nobody has set its size, as a terminal does.
    let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&master, size).expect("it has a size");
    let mut open = File::options();
    open.read(true).write(true).custom_flags(libc::O_NOCTTY);
    let slave = open.open(slave.to_str().expect("a plain path")).expect("it opens");
    command.env("TERM", "xterm").stdout(Stdio::null()).stderr(slave);
    let mut child = command.spawn().expect("hubbub-server runs");
    // The terminal ends with the command.
    drop(command);
    let reading = thread::spawn(move || {
        let (mut shown, mut buffer) = (Vec::new(), [0; 4096]);
        let mut master = File::from(master);
        // The end of a terminal is an error.
        while let Ok(count @ 1..) = master.read(&mut buffer) {
            shown.extend_from_slice(&buffer[..count]);
        }
        text(&shown)
    });
    assert!(child.wait().expect("it is our child").success());
    reading.join().expect("the terminal is read")
}

#[test]
fn a_terminal_gets_progress_bars_and_a_pipe_gets_none() {
    let (data, server) = with_rooms();
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("backup.db");
    let file = file.to_str().expect("a plain path");
    let of = |arguments: &[&str]| {
        let mut command = command();
        command.args(arguments).arg("--data").arg(data.path());
        command
    };
    succeed(data.path(), &["backup", file]);
    succeed(data.path(), &["verify"]);
    let shown = on_terminal(of(&["verify"]));
    assert!(shown.contains("checking messages"), "{shown:?}");
    stop(server);
    let shown = on_terminal(of(&["restore", file]));
    assert!(shown.contains("copying") && shown.contains("checking messages"), "{shown:?}");
    assert_eq!(stats(data.path(), &[])["messages"], 6);
}
