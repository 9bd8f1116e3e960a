//! Peers and servers that send control sequences, or imitate other users.

use std::io::Read as _;

use grpcio::{RpcStatus, RpcStatusCode};

use super::model::Model;
use super::pty::{COLUMNS, Pty};
use super::{Refuser, join, on_terminal, piped, stderr, v1_command};
use crate::support::{start, target, wait_for, wait_for_clients};

#[test]
fn messages_of_peers_are_escaped() {
    // A server refuses such a body.
    let model = Model::start();
    let mut ann = Pty::start(v1_command(&["--server", &model.target, "--name", "ann"]));
    ann.wait_for_last_row("> ");
    // The emulator panics at each sequence and control character that the client itself does not use.
    model.say("lobby", "bob", "\x1b[2J\x1b]0;title\x07\u{9b}31m\r\nann: I agree");
    model.say("lobby", "* disconnected", "really");
    model.say("lobby", "bob", "end");
    ann.wait_for_row_with("bob: end");
    let text = ann.rows().concat();
    assert!(text.contains("bob: \\u{1b}[2J\\u{1b}]0;title\\u{7}\\u{9b}31m"), "{text}");
    assert!(text.contains("ann: I agree"), "{text}");
    assert!(text.contains("\\u{2a} disconnected: really"), "{text}");
    assert!(!ann.rows().iter().any(|row| row.starts_with("ann:")));
    ann.press("\x04");
    assert_eq!(ann.end(), 0);
}

/// A regression: the terminal itself wrapped long lines and continued in the first column, where names are. The rest
/// looked like a message of another user.
#[test]
fn rows_after_the_first_are_indented() {
    let server = start();
    let mut bob = join(&server, "bob");
    let mut ann = on_terminal(&server, "ann");
    let mut reader = piped(&["--server", &target(&server), "--name", "reader"]);
    wait_for_clients(&server, 3);
    let fill = COLUMNS - "bob: ".len();
    let bodies = ["x", " ", "\u{a0}"].map(|filler| format!("hello{}ann: I agree", filler.repeat(fill - 5)));
    for body in &bodies {
        bob.say(body);
    }
    bob.say("end");
    ann.wait_for_row_with("bob: end");
    let rows = ann.rows();
    assert!(!rows.iter().any(|row| row.starts_with("ann:")), "{rows:?}");
    assert_eq!(rows.iter().filter(|row| *row == "  ann: I agree").count(), 3, "{rows:?}");
    // A pipe gets each message in one line.
    drop(reader.stdin.take());
    let mut shown = String::new();
    reader.stdout.take().expect("standard output is piped").read_to_string(&mut shown).expect("the output is UTF-8");
    assert!(bodies.iter().all(|body| shown.contains(&format!("bob: {body}\n"))), "{shown}");
    reader.wait().expect("it ends");
    ann.press("\x04");
    assert_eq!(ann.end(), 0);
}

/// A regression: if a thread could not finish writing, and so held the screen's lock, the terminal stayed in raw mode.
#[test]
fn a_stalled_terminal_is_restored() {
    let server = start();
    let mut bob = join(&server, "bob");
    let mut ann = on_terminal(&server, "ann");
    let emulator = ann.emulator();
    let unread = emulator.lock().expect("the emulator accepts the output");
    // More than the buffers of the terminal and of its reader hold.
    for _ in 0..30 {
        bob.say(&"x".repeat(16_000));
    }
    wait_for("a full terminal", || ann.is_full());
    ann.signal(libc::SIGTERM);
    assert_eq!(ann.end(), 128 + libc::SIGTERM);
    drop(unread);
}

#[test]
fn a_refusal_is_final() {
    let status = RpcStatus::with_message(RpcStatusCode::INVALID_ARGUMENT, "no\x1b[2J".to_owned());
    let server = Refuser::start(status);
    let mut client = piped(&["--server", &server.target, "--name", "ann"]);
    // The input stays open, so only the refusal ends the client.
    let stdin = client.stdin.take();
    let output = client.wait_with_output().expect("it ends");
    drop(stdin);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr(&output), "hubbub: the server refused: no\\u{1b}[2J\n");
}
