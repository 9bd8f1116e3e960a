//! Sending never loses text.

use std::fs;

use super::{COLUMNS, Place, ROWS, Screen, a_while};
use crate::support::wait_for;
use crate::terminal::model::Verdict;

fn count(screen: &Screen, part: &str) -> usize {
    screen.rows().iter().filter(|row| row.contains(part)).count()
}

/// Typed without a connection, it is shown as pending, and once when it came back.
#[test]
fn what_is_typed_offline_is_sent_once() {
    let place = Place::new();
    let mut screen = place.start(&[]);
    place.model.world().is_down = true;
    place.model.break_streams();
    screen.wait_for("retry in");
    screen.press("typed offline\r");
    screen.wait_for("typed offline");
    screen.wait_for("…");
    place.model.world().is_down = false;
    screen.press("/reconnect\r");
    wait_for("the message", || place.model.bodies("lobby") == ["typed offline"]);
    screen.wait_until_gone("retry in");
    assert_eq!(count(&screen, "typed offline"), 1, "{}", screen.text());
}

/// Across the client's end, with its message id: what was stored after all is not stored again.
#[test]
fn what_was_not_stored_is_kept_and_sent_at_the_next_start() {
    let place = Place::new();
    place.model.world().judge = Box::new(|_| Verdict::Reject { reason: "not yet", retry_after_ms: 60_000 });
    let mut screen = place.start(&[]);
    screen.press("keep me\r");
    screen.wait_for("keep me");
    screen.press("a draft");
    screen.wait_for("a draft");
    screen.signal(libc::SIGTERM);
    assert_eq!(screen.end_restored(), 128 + libc::SIGTERM);
    wait_for("the last words", || String::from_utf8_lossy(&screen.bytes()).contains("not known to be stored: 1 line"));
    place.model.world().judge = Box::new(|_| Verdict::Store);
    let mut screen = place.start(&[]);
    wait_for("the message", || place.model.bodies("lobby") == ["keep me"]);
    screen.wait_for("] a draft");
    screen.press("\x15/quit\r");
    assert_eq!(screen.end_restored(), 0);
    let mut screen = place.start(&[]);
    screen.press("/unsent\r");
    screen.wait_for("no text is kept");
    a_while();
    assert_eq!(place.model.bodies("lobby"), ["keep me"]);
}

/// A line of yesterday may be out of place today.
#[test]
fn old_lines_are_offered() {
    let place = Place::new();
    place.model.world().judge = Box::new(|_| Verdict::Reject { reason: "not yet", retry_after_ms: 60_000 });
    let mut screen = place.start(&[]);
    screen.press("keep me\r");
    screen.wait_for("keep me");
    screen.signal(libc::SIGTERM);
    screen.end();
    let folder = place.home.path().join(".local/state/hubbub/unsent");
    let path = fs::read_dir(&folder).expect("text is kept").next().expect("a file").expect("it can be read").path();
    let content = fs::read_to_string(&path).expect("it is text");
    let (before, after) = content.split_once("\"since_ms\":").expect("a time");
    let (time, after) = after.split_once(',').expect("more fields");
    let time: u64 = time.parse().expect("a number");
    let older = time - 13 * 60 * 60 * 1000;
    fs::write(&path, format!("{before}\"since_ms\":{older},{after}")).expect("it can be written");
    place.model.world().judge = Box::new(|_| Verdict::Store);
    let mut screen = place.start(&[]);
    screen.wait_for("/unsent send sends");
    screen.press("/unsent\r");
    screen.wait_for("keep me");
    screen.press("\x1b");
    a_while();
    assert!(place.model.bodies("lobby").is_empty(), "nothing old is sent by itself");
    screen.press("/unsent send\r");
    wait_for("the message", || place.model.bodies("lobby") == ["keep me"]);
}

#[test]
fn a_rejected_message_comes_back_with_the_reason() {
    let place = Place::new();
    place.model.world().judge = Box::new(|_| Verdict::Reject { reason: "no shouting", retry_after_ms: 0 });
    let mut screen = place.start(&[]);
    screen.press("HELLO\r");
    screen.wait_for("no shouting");
    screen.wait_until("the text in the input", |text| text.lines().last().is_some_and(|row| row.contains("HELLO")));
}

/// A killed client has not lost what it had not sent.
#[test]
fn a_killed_client_loses_nothing_that_was_entered() {
    let place = Place::new();
    place.model.world().judge = Box::new(|_| Verdict::Reject { reason: "not yet", retry_after_ms: 60_000 });
    let mut screen = place.start(&[]);
    screen.press("keep me\r");
    let folder = place.home.path().join(".local/state/hubbub/unsent");
    wait_for("the file", || {
        let files = fs::read_dir(&folder).into_iter().flatten().flatten();
        // A file has its name when it is complete.
        let mut files = files.filter(|file| file.path().extension().is_some_and(|ending| ending == "jsonl"));
        files.any(|file| fs::read_to_string(file.path()).is_ok_and(|text| text.contains("keep me")))
    });
    screen.signal(libc::SIGKILL);
    assert_eq!(screen.end(), -libc::SIGKILL);
    place.model.world().judge = Box::new(|_| Verdict::Store);
    let screen = Screen::start(place.command(&[]), COLUMNS, ROWS);
    place.wait_for_join(&screen);
    wait_for("the message", || place.model.bodies("lobby") == ["keep me"]);
    screen.wait_until("the message once", |text| text.lines().filter(|row| row.contains("keep me")).count() == 1);
}
