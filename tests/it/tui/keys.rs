//! Keys reach the line, also those that a link has split, and rooms are changed with them.

use super::{Place, a_while};

#[test]
fn a_line_is_typed_and_sent() {
    let place = Place::new();
    let mut screen = place.start(&[]);
    screen.press("helo\x1b[Dl\r");
    screen.wait_until("the message above the input", |text| {
        let rows: Vec<_> = text.lines().collect();
        rows.iter().any(|row| row.contains("hello")) && !rows.last().is_some_and(|row| row.contains("hello"))
    });
    assert_eq!(place.model.bodies("lobby"), ["hello"]);
}

/// The escape key swallowed the key after it; and a link that splits a sequence made text of it.
#[test]
fn the_escape_key_swallows_nothing_and_sequences_may_be_split() {
    let place = Place::new();
    let mut screen = place.start(&[]);
    screen.press("\x1b");
    a_while();
    screen.press("x\x1b");
    // Less than the time after which it is the escape key.
    screen.press("[D");
    screen.press("y");
    screen.wait_for("] yx");
}

/// A key at once, whatever else is going on.
#[test]
fn rooms_are_changed_by_number_name_and_activity() {
    let place = Place::new();
    let mut screen = place.start(&["chat", "tea", "dev", "attic"]);
    screen.wait_for("[tea]");
    place.model.say("tea", "bob", "in the tea room");
    screen.wait_for("in the tea room");
    screen.press("\x1b2");
    screen.wait_for("[dev]");
    screen.wait_until_gone("in the tea room");
    screen.press("half a thought\x0e");
    screen.wait_for("[attic]");
    assert!(!screen.text().contains("half a thought"), "a draft stays with its room");
    // Something happens in another room.
    place.model.say("tea", "bob", "over here");
    screen.wait_for("[Act: 1");
    screen.press("\x1ba");
    screen.wait_for("over here");
    screen.press("\x1bj02");
    screen.wait_for("half a thought");
    screen.press("\x1b/");
    screen.wait_for("[tea]");
}

#[test]
fn an_unknown_command_is_never_sent() {
    let place = Place::new();
    let mut screen = place.start(&[]);
    screen.press("/msg bob secret\r");
    screen.wait_for("/msg");
    a_while();
    screen.press("\x15/frobnicate\r");
    screen.wait_for("unknown command");
    assert!(screen.text().contains("/frobnicate"), "the line stays");
    screen.press("\x15//etc\r");
    screen.wait_until_gone("unknown command");
    crate::support::wait_for("the text", || !place.model.bodies("lobby").is_empty());
    assert_eq!(place.model.bodies("lobby"), ["/etc"]);
}

#[test]
fn the_editor_of_the_user_gets_the_text_and_gives_it_back() {
    let place = Place::new();
    let mut command = place.command(&[]);
    command.env("EDITOR", "sed -i 's/tea/coffee/' --");
    let mut screen = super::Screen::start(command, super::COLUMNS, super::ROWS);
    place.wait_for_join(&screen);
    screen.press("no tea\x18\x05");
    screen.wait_for("no coffee");
    screen.press("\r");
    crate::support::wait_for("the message", || place.model.bodies("lobby") == ["no coffee"]);
    // A failing editor changes nothing.
    let mut command = place.command(&[]);
    command.env("EDITOR", "false");
    let mut screen = super::Screen::start(command, super::COLUMNS, super::ROWS);
    place.wait_for_join(&screen);
    screen.press("keep this\x18\x05");
    screen.wait_for("false has failed");
    screen.wait_for("keep this");
}

/// A client that takes the mouse takes the selection of text away.
#[test]
fn the_mouse_is_the_terminals_until_it_is_given() {
    let place = Place::new();
    let mut screen = place.start(&[]);
    let takes = |screen: &super::Screen| String::from_utf8_lossy(&screen.bytes()).contains("\x1b[?1000h");
    assert!(!takes(&screen));
    screen.press("\x1bm");
    screen.wait_for("Shift");
    crate::support::wait_for("the mouse", || takes(&screen));
    screen.press("/quit\r");
    assert_eq!(screen.end_restored(), 0);
    let bytes = screen.bytes();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.rfind("\x1b[?1000l") > text.rfind("\x1b[?1000h"));
}
