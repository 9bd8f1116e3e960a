//! Messages that retention deleted are erased from all files of the data folder: from free pages and unused bytes of
//! the database, and from the write-ahead log; while the server runs, after it was stopped, and after it was killed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use grpcio::Client;

use super::support::chatter::environment;
use super::support::process::ServerProcess;
use super::support::talker::{Talker, post_message};
use super::support::wait_for;

const KEPT: u64 = 20;
const ROOMS: u64 = 7;

fn start(data: &Path) -> ServerProcess {
    let data = data.to_str().expect("a plain path");
    ServerProcess::start(&["--data", data, "--retain-messages", "20", "--erase-after", "200ms"])
}

/// A message's body: its mark, repeated, so that any part of it identifies the message. Some bodies fit on a page of
/// the database with many others, some take several pages.
fn body(room: u64, number: u64) -> String {
    let bytes = [10, 60, 100, 150, 400, 1_500, 6_000][(room * 31 + number * 17) as usize % 7];
    format!("<{room}.{number}>").repeat(1 + bytes / 8)
}

/// Posts to all rooms in turn: messages `from` to `to` of each.
fn post(client: &Client, from: u64, to: u64) {
    for number in from..=to {
        for room in 0..ROOMS {
            let stored =
                post_message(client, &format!("room{room}"), "ann", 0, &body(room, number)).expect("it is stored");
            assert_eq!(stored.seq, number);
        }
    }
}

/// The messages that are in a file at least in part, with that file's name.
fn found(data: &Path) -> BTreeSet<(u64, u64, String)> {
    let mut found = BTreeSet::new();
    for file in fs::read_dir(data).expect("the folder is there").flatten() {
        let name = file.file_name().into_string().expect("a plain name");
        // The operator's socket holds nothing.
        if !file.path().is_file() {
            continue;
        }
        let bytes = fs::read(file.path()).expect("the file can be read");
        for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'<') {
            let text =
                bytes[at + 1..].split(|byte| *byte == b'>').next().and_then(|text| std::str::from_utf8(text).ok());
            let mark = text.and_then(|text| text.split_once('.'));
            if let Some((Ok(room), Ok(number))) = mark.map(|(room, number)| (room.parse(), number.parse())) {
                found.insert((room, number, name.clone()));
            }
        }
    }
    found
}

/// Those that retention deleted, if each room has had this many.
fn gone(data: &Path, head: u64) -> Vec<(u64, u64, String)> {
    found(data).into_iter().filter(|(_, number, _)| number + KEPT <= head).collect()
}

fn check_erased(data: &Path, head: u64) {
    assert_eq!(gone(data, head), []);
    // The kept messages are found, so deleted ones would be found too.
    let kept: BTreeSet<_> = found(data).into_iter().map(|(room, number, _)| (room, number)).collect();
    assert_eq!(kept.len() as u64, ROOMS * KEPT);
}

/// With `--retain-events 20` and 200 messages, the deleted texts were still in `hubbub.db` and in `hubbub.db-wal`, even
/// after the server had stopped.
#[test]
fn deleted_messages_are_erased_from_all_files() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut server = start(&data);
    let client = Talker::connect(&environment(), server.target(), "ann").client;
    post(&client, 1, 200);
    wait_for("deleted messages to be erased", || gone(&data, 200).is_empty());
    check_erased(&data, 200);
    // Later messages are erased too.
    post(&client, 201, 260);
    wait_for("deleted messages to be erased", || gone(&data, 260).is_empty());
    check_erased(&data, 260);
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
    check_erased(&data, 260);

    let server = start(&data);
    let client = Talker::connect(&environment(), server.target(), "ann").client;
    post(&client, 261, 320);
    wait_for("deleted messages to be erased", || gone(&data, 320).is_empty());
    // The server is killed and not started again.
    server.crash();
    check_erased(&data, 320);
    // If the server is killed before it has erased messages, the next start does that.
    let server = start(&data);
    let client = Talker::connect(&environment(), server.target(), "ann").client;
    post(&client, 321, 360);
    server.crash();
    assert_ne!(gone(&data, 360), []);
    let mut server = start(&data);
    wait_for("deleted messages to be erased", || gone(&data, 360).is_empty());
    check_erased(&data, 360);
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
    check_erased(&data, 360);
}
