//! Messages that are missing, with the real server: what the screen says of them, and Enter on them.

use std::fs;
use std::path::Path;

use super::{ROWS, Screen, command};
use crate::support::chatter::environment;
use crate::support::process::ServerProcess;
use crate::support::talker::{Talker, post_message};
use crate::support::wait_for;

/// A wide screen, so that the words are in one row.
const WIDE: u16 = 200;

fn serve(data: &Path, more: &[&str]) -> ServerProcess {
    ServerProcess::start(&[&["--data", data.to_str().expect("a plain path")], more].concat())
}

fn stop(mut server: ServerProcess) {
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
}

fn post(server: &ServerProcess, numbers: std::ops::RangeInclusive<u64>) {
    let client = Talker::connect(&environment(), server.target(), "bob").client;
    for number in numbers {
        let body = format!("message {number}. needle-{number}-");
        post_message(&client, "lobby", "bob", number.into(), &body).expect("it is stored");
    }
}

/// The user's client.
fn ann(home: &Path, server: &ServerProcess) -> Screen {
    Screen::start(command(home, &["--server", server.target(), "--name", "ann"]), WIDE, ROWS)
}

/// Exchanges a byte of the message that contains the text: damages it, or repairs it.
fn exchange(data: &Path, text: &str, byte: u8) {
    let file = data.join("hubbub.db");
    let mut bytes = fs::read(&file).expect("the database is there");
    let at = bytes.windows(text.len()).position(|window| window == text.as_bytes()).expect("it is stored");
    bytes[at] = byte;
    fs::write(&file, bytes).expect("it can be written");
}

#[test]
fn damage_is_told_and_read_again_when_it_was_repaired() {
    let (home, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = serve(data.path(), &[]);
    post(&server, 1..=9);
    stop(server);
    exchange(data.path(), "needle-5-", b'N');

    let server = serve(data.path(), &[]);
    let address = server.target().to_owned();
    let mut screen = ann(home.path(), &server);
    screen.wait_for("message 5 can't be read: the server's log is damaged there; its operator can restore a backup");
    screen.wait_for("message 4. ");
    // Up to the gap.
    screen.press("\x1bvkkkk\r");
    screen.wait_for("still can't be read: the operator of the server can restore a backup");
    // Another action says what can be done.
    screen.press("y");
    screen.wait_for("these messages are missing");
    // The operator repairs it.
    stop(server);
    exchange(data.path(), "Needle-5-", b'n');
    let _server = serve(data.path(), &["--listen", &address]);
    screen.press("q/reconnect\r");
    screen.wait_until_gone("offline");
    screen.press("\x1bvkkkk\r");
    screen.wait_for("the messages could be read");
    screen.wait_for("message 5. ");
}

#[test]
fn what_retention_deleted_is_told() {
    let (home, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = serve(data.path(), &["--retain-messages", "5"]);
    post(&server, 1..=3);
    let mut screen = ann(home.path(), &server);
    screen.wait_for("message 3. ");
    screen.press("\x1b[I/quit\r");
    assert_eq!(screen.end_restored(), 0);
    post(&server, 4..=30);
    wait_for("retention", || {
        let mut talker = Talker::hello(&environment(), server.target(), "cat");
        talker.join_room("lobby", None).0.oldest_seq == 26
    });
    let mut screen = ann(home.path(), &server);
    screen.wait_for("message 30. ");
    screen.wait_until("the gap", |text| text.contains("messages 4 to 25 are gone: the server no longer keeps them"));
    screen.wait_for("older messages are not kept by the server");
    screen.press("\x1bvkkkkk\r");
    screen.wait_for("the server keeps messages for a limited time, and has deleted these: they can't be read again");
}

/// The operator put an older copy in place.
#[test]
fn a_history_that_went_back_is_told() {
    let (home, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = serve(data.path(), &[]);
    let address = server.target().to_owned();
    post(&server, 1..=3);
    stop(server);
    let older = fs::read(data.path().join("hubbub.db")).unwrap();
    let server = serve(data.path(), &["--listen", &address]);
    post(&server, 4..=6);
    let start = || Screen::start(command(home.path(), &["--server", &address, "--name", "ann"]), WIDE, ROWS);
    let mut screen = start();
    screen.wait_for("message 6. ");
    screen.press("\x1b[I/quit\r");
    assert_eq!(screen.end_restored(), 0);
    stop(server);
    for file in fs::read_dir(data.path()).unwrap() {
        let file = file.unwrap().path();
        if file.is_file() {
            fs::remove_file(file).unwrap();
        }
    }
    fs::write(data.path().join("hubbub.db"), older).unwrap();
    let server = serve(data.path(), &["--listen", &address, "--restored"]);
    post(&server, 7..=7);
    let screen = start();
    screen.wait_for("message 7. ");
    wait_for("the notice", || screen.text().contains("the server lost messages 4 to 6"));
}
