//! What outlives the client besides text and marks, and mentions of all rooms: with the real server.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::{COLUMNS, Place, ROWS, Screen, a_while, command};
use crate::compatible::changes::Changer;
use crate::support::process::ServerProcess;

const UP: &str = "\x1b[A";

/// A muted room stays muted, folded lists stay folded, and Up finds the lines of the last chat.
#[test]
fn what_was_set_is_as_it_was() {
    let place = Place::new();
    place.model.say("lobby", "bob", "hello");
    let mut screen = place.start(&["chat", "lobby", "noise"]);
    screen.wait_for("hello");
    screen.press("/mute noise\r/numbers on\r");
    screen.wait_for("#1 hello");
    screen.press("\x1b[18~");
    screen.wait_until_gone(" 1 lobby");
    screen.press("a line to find again\r");
    screen.wait_for("#2 a line to find again");
    screen.press(" a secret after a blank\r/quit\r");
    assert_eq!(screen.end_restored(), 0);

    let folder = place.home.path().join(".local/state/hubbub");
    let mut names = Vec::new();
    for file in fs::read_dir(&folder).expect("the folder is there") {
        let file = file.expect("it can be listed");
        assert_eq!(file.metadata().expect("it is there").permissions().mode() & 0o077, 0, "{:?}", file.path());
        names.push(file.file_name().into_string().expect("a plain name"));
        let text = fs::read_to_string(file.path()).unwrap_or_default();
        assert!(!text.contains("a secret after a blank"), "{:?}", file.path());
    }
    assert!(names.iter().any(|name| name.starts_with("lines-")), "{names:?}");

    let mut screen = place.start(&[]);
    screen.wait_for("#1 hello");
    assert!(!screen.text().contains(" 1 lobby"));
    screen.press(UP);
    screen.wait_for("[lobby] a line to find again");
    screen.press("\x03");
    let bells = || screen.bytes().iter().filter(|byte| **byte == 0x07).count();
    let before = bells();
    place.model.say("noise", "bob", "hi ann");
    a_while();
    assert_eq!(bells(), before);
    place.model.say("lobby", "bob", "hi ann");
    drop(screen);

    // The user wants no history on the disk.
    let config = place.home.path().join(".config/hubbub");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("config.toml"), "[input]\nhistory = false\n").unwrap();
    let mut screen = place.start(&[]);
    screen.wait_for("#1 hello");
    screen.press(UP);
    a_while();
    assert!(!screen.text().contains("[lobby] a line"));
    let left = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    assert_eq!(left.filter(|name| name.starts_with("lines-")).count(), 0);
}

/// Rows of the input are those of the screen, and the history is above the first.
#[test]
fn up_goes_through_a_wrapped_line_first() {
    let place = Place::new();
    let mut screen = place.start(&[]);
    screen.press("sent before\r");
    screen.wait_for("sent before");
    screen.press(&"0123456789".repeat(10));
    screen.press(&format!("{UP}|"));
    screen.wait_until("the bar in the first row", |text| {
        text.lines().any(|row| row.starts_with("[lobby] 0123") && row.contains('|'))
    });
    screen.press(UP);
    screen.wait_for("[lobby] sent before");
    screen.press("\x1b[B");
    screen.wait_for("[lobby] 0123");
}

/// Mentions of rooms that were never joined are found by the server's search.
#[test]
fn all_mentions_are_listed() {
    let (home, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = ServerProcess::start(&["--data", data.path().to_str().unwrap()]);
    let mut attic = Changer::new(server.target(), "attic");
    attic.post("bob", "do you know, ann?");
    (0..120).for_each(|n| _ = attic.post("bob", &format!("planning {n}")));
    Changer::new(server.target(), "lobby").post("bob", "ann, good morning");
    let arguments = ["--server", server.target(), "--name", "ann"];
    let mut screen = Screen::start(command(home.path(), &arguments), COLUMNS, ROWS);
    screen.wait_for("good morning");
    // The index follows the log, so it may need another try.
    let deadline = std::time::Instant::now() + crate::support::DEADLINE;
    loop {
        screen.press("/mentions\r");
        screen.wait_until("the end of the search", |text| text.contains(" mention") && !text.contains("searching"));
        if screen.text().contains("do you know, ann?") {
            break;
        }
        assert!(std::time::Instant::now() < deadline);
        screen.press("\x1b");
        screen.wait_until_gone("mention");
    }
    screen.wait_for("2 mentions");
    // The oldest one, in a room that is not joined.
    screen.press("\x1b[H\r");
    screen.wait_for("[attic]");
    screen.wait_for("│ do you know, ann?");
}

#[test]
fn a_server_without_search_is_told() {
    let home = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(&[]);
    Changer::new(server.target(), "lobby").post("bob", "ann, good morning");
    let arguments = ["--server", server.target(), "--name", "ann"];
    let mut screen = Screen::start(command(home.path(), &arguments), 160, ROWS);
    screen.wait_for("good morning");
    screen.press("/mentions\r");
    screen.wait_for("1 mention here, others may be missing");
    screen.wait_for("no search");
}

/// GNU screen and the console of Linux don't mark a paste: each line of it was sent.
#[test]
fn several_lines_at_once_are_a_paste() {
    let place = Place::new();
    let mut screen = place.start(&[]);
    screen.press("one\rtwo\rthree\rfour");
    screen.wait_for("four");
    a_while();
    assert!(place.model.bodies("lobby").is_empty(), "{:?}", place.model.bodies("lobby"));
    screen.press("\r");
    crate::support::wait_for("the message", || place.model.bodies("lobby") == ["one\ntwo\nthree\nfour"]);
}
