//! Starts: the first one, those that can't use the full screen, and profiles.

use std::fs;

use super::{COLUMNS, Place, ROWS, Screen, command};
use crate::support::wait_for;

/// The name is asked for only when the server has answered, and remembered.
#[test]
fn the_first_start_asks_for_the_name_and_remembers_it() {
    let place = Place::new();
    let start = |arguments: &[&str]| Screen::start(command(place.home.path(), arguments), COLUMNS, ROWS);
    let mut screen = start(&["--server", &place.model.target]);
    screen.wait_for("Your name [user]:");
    screen.press("ann\x02\n");
    screen.wait_until("another question", |text| text.matches("Your name [user]:").count() == 2);
    screen.press("zoe\n");
    place.wait_for_join(&screen);
    screen.wait_for("zoe");
    screen.press("/quit\r");
    assert_eq!(screen.end_restored(), 0);
    // Neither the server nor the name is needed now.
    let mut screen = start(&[]);
    place.wait_for_join(&screen);
    screen.wait_for("zoe");
    screen.press("/quit\r");
    assert_eq!(screen.end_restored(), 0);
}

#[test]
fn without_a_server_no_name_is_asked_for() {
    let home = tempfile::tempdir().expect("a folder");
    let mut screen = Screen::start(command(home.path(), &["--server", "127.0.0.1:1"]), COLUMNS, ROWS);
    assert_eq!(screen.end(), 1);
    screen.wait_for("no server answers at 127.0.0.1:1");
    assert!(!screen.text().contains("Your name"));
}

/// With a known name, the client waits for its server on the full screen.
#[test]
fn a_known_user_waits_for_the_server() {
    let home = tempfile::tempdir().expect("a folder");
    let mut screen = Screen::start(command(home.path(), &["--server", "127.0.0.1:1", "--name", "ann"]), COLUMNS, ROWS);
    screen.wait_for("offline");
    screen.press("typed before\r");
    screen.wait_for("typed before");
    screen.press("/quit\r");
    assert_eq!(screen.end_restored(), 0);
    let folder = home.path().join(".local/state/hubbub/unsent");
    let files = fs::read_dir(folder).expect("text is kept").flatten();
    let kept: Vec<_> = files.map(|file| fs::read_to_string(file.path()).expect("it is text")).collect();
    assert!(kept.iter().any(|text| text.contains("typed before")), "{kept:?}");
}

#[test]
fn without_what_the_screen_needs_the_chat_is_in_lines() {
    let place = Place::new();
    for (name, value, reason) in [
        ("TERM", "dumb", "* no full screen: TERM is"),
        ("LANG", "C", "* no full screen: the locale is not UTF-8"),
        ("HUBBUB_PLAIN", "1", ""),
    ] {
        let mut command = place.command(&[]);
        command.env(name, value);
        let mut screen = Screen::start(command, COLUMNS, ROWS);
        screen.wait_for(reason);
        let text = format!("with {name}");
        screen.press(&format!("{text}\n"));
        wait_for("the message", || place.model.bodies("lobby").contains(&text));
        assert!(!String::from_utf8_lossy(&screen.bytes()).contains("\x1b[?1049h"), "{name}");
        screen.press("/quit\n");
        assert_eq!(screen.end(), 0);
    }
}

#[test]
fn a_profile_names_the_server_the_name_and_the_rooms() {
    let place = Place::new();
    let folder = place.home.path().join(".config/hubbub");
    fs::create_dir_all(&folder).expect("a folder");
    let profile =
        format!("[profiles.work]\nserver = \"{}\"\nname = \"zoe\"\nrooms = [\"tea\", \"dev\"]\n", place.model.target);
    fs::write(folder.join("config.toml"), profile).expect("a file");
    let start = |arguments: &[&str]| Screen::start(command(place.home.path(), arguments), COLUMNS, ROWS);
    let mut screen = start(&["@work"]);
    screen.wait_for("[tea]");
    screen.wait_for("zoe");
    screen.wait_for("dev");
    screen.press("/quit\r");
    assert_eq!(screen.end_restored(), 0);
    let mut screen = start(&["@wrok"]);
    assert_eq!(screen.end(), 2);
    screen.wait_for("did you mean @work?");
    // A mistake in the file is named with its line, and nothing is half set.
    fs::write(folder.join("config.toml"), "[screen]\nmose = true\n").expect("a file");
    let mut screen = start(&["--server", &place.model.target, "--name", "ann"]);
    assert_eq!(screen.end(), 2);
    screen.wait_for("config.toml:2: unknown key mose");
}
