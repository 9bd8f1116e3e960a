//! Pastes: one message, however many lines they have, and never a command or a key.

use super::{Place, READING_TIME, a_while};
use crate::support::wait_for;

const START: &str = "\x1b[200~";
const END: &str = "\x1b[201~";

/// Terminals send the line ends of a paste as CR, and tmux may send them as keys of its own protocol.
#[test]
fn a_paste_of_several_lines_is_one_message() {
    let place = Place::new();
    let mut screen = place.start(&[]);
    screen.press(&format!("{START}one\rtwo\r\nthree\nfour\x1b[13;1ufive{END}"));
    screen.wait_for("five");
    a_while();
    assert!(place.model.bodies("lobby").is_empty(), "a paste waits for Enter");
    screen.press("\r");
    wait_for("the message", || !place.model.bodies("lobby").is_empty());
    assert_eq!(place.model.bodies("lobby"), ["one\ntwo\nthree\nfour\nfive"]);
}

/// irssi #942: the end of a paste was lost, and the client was stuck in it for days.
#[test]
fn a_paste_without_an_end_is_taken() {
    let place = Place::new();
    let mut screen = place.start(&[]);
    screen.press(&format!("{START}half a pas"));
    screen.wait_for("half a pas");
    // A key that comes faster than a person presses it belongs to the paste.
    a_while();
    screen.press("te");
    a_while();
    screen.press("\r");
    wait_for("the message", || place.model.bodies("lobby") == ["half a paste"]);
}

/// The same with more than a paste may have: it is asked about, what is too much is not typed, and the keys work.
#[test]
fn an_endless_paste_is_bounded() {
    let place = Place::new();
    let mut screen = place.start(&[]);
    screen.wait_until_quiet();
    let memory = screen.rss_kib();
    screen.press(START);
    // 32 MiB, of which 1 MiB is kept.
    let part = format!("{}\r", "x".repeat(4095));
    (0..8192).for_each(|_| screen.press(&part));
    screen.wait_for("paste of 256 lines (1048575 bytes");
    let grown = screen.rss_kib().saturating_sub(memory);
    assert!(grown < 16 * 1024, "memory grew by {grown} KiB");
    // An answer comes when the question has been read.
    std::thread::park_timeout(READING_TIME);
    screen.press("c");
    screen.wait_until_gone("1048575");
    screen.press("typed\r");
    wait_for("the message", || place.model.bodies("lobby") == ["typed"]);
}

/// irssi #668: Enter right after a paste counted as one of its lines, and an empty line was sent or the text was not.
#[test]
fn enter_after_a_paste_sends_it() {
    let place = Place::new();
    let mut screen = place.start(&[]);
    screen.press(&format!("{START}a whole line\r{END}"));
    screen.wait_for("a whole line");
    a_while();
    screen.press("\r");
    wait_for("the message", || place.model.bodies("lobby") == ["a whole line"]);
    // In one read with the end of the paste, it is the line break of the paste.
    screen.press(&format!("{START}another{END}\r"));
    screen.wait_for("another");
    a_while();
    assert_eq!(place.model.bodies("lobby").len(), 1);
    screen.press("\r");
    wait_for("the message", || place.model.bodies("lobby").len() == 2);
    assert_eq!(place.model.bodies("lobby")[1].trim_end(), "another");
}

#[test]
fn a_long_paste_asks_first() {
    let place = Place::new();
    let mut screen = place.start(&[]);
    let lines: Vec<String> = (1..=6).map(|n| format!("line {n}")).collect();
    screen.press(&format!("{START}{}{END}", lines.join("\r")));
    screen.wait_for("6 lines");
    // Enter right after a paste is not an answer that sends it.
    a_while();
    assert!(place.model.bodies("lobby").is_empty());
    screen.press("\x1b");
    screen.wait_until_gone("6 lines");
    a_while();
    assert!(place.model.bodies("lobby").is_empty(), "it was cancelled");
}

/// What looks like keys or a command within a paste is text.
#[test]
fn a_paste_is_neither_keys_nor_a_command() {
    let place = Place::new();
    let mut screen = place.start(&[]);
    screen.press(&format!("say {START}\x03\x1a\x1b2\x1b[A/quit{END}"));
    screen.wait_for("/quit");
    a_while();
    screen.press("\r");
    wait_for("the message", || !place.model.bodies("lobby").is_empty());
    assert!(place.model.bodies("lobby")[0].starts_with("say ") && place.model.bodies("lobby")[0].ends_with("/quit"));
    assert_ne!(screen.process_state(), 'T', "it was not stopped");
}
