//! Pastes: one message, however many lines they have, and never a command or a key.

use super::{Place, a_while};
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
