//! Reading: history upwards, the mark of how far it was read, gaps.

use super::{COLUMNS, Place, ROWS, Screen, a_while};
use crate::support::wait_for;

/// The client's focus: reported as the terminal does.
const FOCUS_LOST: &str = "\x1b[O";
const FOCUS_GOT: &str = "\x1b[I";

#[test]
fn scrolling_up_loads_older_history() {
    let place = Place::new();
    (1..=400).for_each(|n| place.model.say("lobby", "bob", &format!("message number {n}.")));
    let mut screen = place.start(&[]);
    screen.wait_for("number 400.");
    for _ in 0..200 {
        if screen.text().contains("number 1.") {
            break;
        }
        screen.press("\x1b[5~");
        screen.wait_until_quiet();
    }
    assert!(screen.text().contains("number 1."), "{}", screen.text());
    // What comes meanwhile does not move the rows, and is counted.
    place.model.say("lobby", "bob", "something new");
    screen.wait_for("below");
    assert!(screen.text().contains("number 1."));
    screen.press("\x1b[4~");
    screen.wait_for("something new");
}

/// The mark moves only when the room was seen to its end with the terminal focused, and outlives the client.
#[test]
fn the_mark_of_what_was_read_is_kept() {
    let place = Place::new();
    place.model.say("lobby", "bob", "before");
    let mut screen = place.start(&[]);
    screen.wait_for("before");
    screen.press(FOCUS_GOT);
    screen.press(FOCUS_LOST);
    a_while();
    place.model.say("lobby", "bob", "while away");
    screen.wait_for("while away");
    screen.press("/quit\r");
    assert_eq!(screen.end_restored(), 0);
    let screen = place.start(&[]);
    screen.wait_for("while away");
    screen.wait_until("the line above it", |text| {
        let line = text.lines().position(|row| row.contains("unread") || row.contains("new"));
        line.is_some() && line < text.lines().position(|row| row.contains("while away"))
    });
}

/// A mark far back reads neither everything nor nothing.
#[test]
fn a_long_absence_is_shown_as_at_least_so_many() {
    let place = Place::new();
    place.model.say("lobby", "bob", "before");
    let mut screen = place.start(&["chat", "lobby", "tea"]);
    screen.wait_for("before");
    screen.press(FOCUS_GOT);
    a_while();
    screen.press("/quit\r");
    assert_eq!(screen.end_restored(), 0);
    (1..=5_000).for_each(|n| place.model.say("lobby", "bob", &format!("message number {n}.")));
    let mut screen = Screen::start(place.command(&["chat", "tea", "lobby"]), COLUMNS, ROWS);
    place.wait_for_join(&screen);
    screen.wait_for("[Act: 2");
    screen.press("\x1ba");
    screen.wait_for("number 5000.");
    wait_for("the room's name", || screen.text().contains("[lobby]"));
}
