//! However the client ends, the terminal is as before.

use std::time::Duration;

use super::screen::{Screen, assert_restored};
use super::{COLUMNS, Place, ROWS, client, program};
use crate::support::wait_for;

const EXIT_PANIC: i32 = 101;

/// fresh #811, irssi #449: a mode stayed on, or was restored on the wrong screen.
#[test]
fn the_terminal_is_restored_after_every_end() {
    let place = Place::new();
    for (keys, signal, code) in [
        ("/quit\r", None, 0),
        ("\x03\x03", None, 0),
        ("", Some(libc::SIGTERM), 128 + libc::SIGTERM),
        ("", Some(libc::SIGHUP), 128 + libc::SIGHUP),
        ("", Some(libc::SIGINT), 128 + libc::SIGINT),
        ("", Some(libc::SIGQUIT), 128 + libc::SIGQUIT),
    ] {
        // With all modes, and with those that every terminal gets.
        for term in ["xterm-kitty", "xterm-256color"] {
            let mut command = place.command(&[]);
            command.env("TERM", term);
            let mut screen = Screen::start(command, COLUMNS, ROWS);
            place.wait_for_join(&screen);
            assert!(screen.is_raw());
            if term == "xterm-kitty" {
                screen.press("\x1bm");
                screen.wait_for("Shift");
                screen.wait_until_quiet();
            }
            screen.assert_frames();
            screen.press(keys);
            signal.iter().for_each(|signal| screen.signal(*signal));
            assert_eq!(screen.end_restored(), code, "{keys:?} {signal:?}");
            let bytes = screen.bytes();
            let text = String::from_utf8_lossy(&bytes);
            assert_eq!(text.contains("\x1b[?1006l\x1b[?1000l\x1b[<u\x1b[?1004l"), term == "xterm-kitty", "{text:?}");
        }
    }
}

/// A panic of a thread left the terminal in raw mode, and the other threads drew over the shell's prompt.
#[test]
fn a_panic_of_any_thread_restores_the_terminal_once() {
    let place = Place::new();
    let mut threads = place.start(&[]).thread_names();
    threads.sort();
    assert_eq!(threads, ["calls", "input", "network", "painter", "receive", "send", "session", "signals", "store"]);
    // The first thread has no name of its own, and that of the editor starts when it is needed.
    for thread in threads.iter().map(String::as_str).chain(["model", "editor"]) {
        let option = format!("--panic-in={thread}");
        let mut command = place.command(&[&option]);
        command.env("EDITOR", "true");
        let mut screen = Screen::start(command, COLUMNS, ROWS);
        if thread == "editor" {
            place.wait_for_join(&screen);
            screen.press("\x18\x05");
        }
        assert_eq!(screen.end(), EXIT_PANIC, "{thread}");
        wait_for("the message", || String::from_utf8_lossy(&screen.bytes()).contains("a panic was asked for"));
        let bytes = screen.bytes();
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(text.matches("\x1b[?1049l").count(), 1, "{thread}: {text:?}");
        let (left, message) = (text.rfind("\x1b[?1049l"), text.find("a panic was asked for"));
        assert!(left < message, "{thread}: the message is readable: {text:?}");
        assert_restored(&bytes);
        screen.assert_frames();
        assert!(!screen.is_raw(), "{thread}");
    }
}

/// crossterm #793: a reader spun when the terminal was gone. Here without the signal, which the system sends only to the
/// session of a terminal, and with it; both while messages arrive that nobody can see any more.
#[test]
fn a_terminal_that_goes_away_ends_the_client_and_costs_nothing() {
    for has_signal in [false, true] {
        let place = Place::new();
        let mut screen = Screen::start_in(place.command(&[]), COLUMNS, ROWS, has_signal);
        place.wait_for_join(&screen);
        place.model.say("lobby", "bob", "the last one");
        screen.wait_for("the last one");
        screen.wait_until_quiet();
        let before = screen.cpu_time();
        screen.hang_up();
        place.model.say("lobby", "bob", "into the void");
        // A zombie still has its times.
        wait_for("the end", || screen.process_state() == 'Z');
        let used = screen.cpu_time() - before;
        // A thread that spins uses more in the time that the end takes.
        assert!(used <= Duration::from_millis(50), "{used:?}, with a signal: {has_signal}");
        assert_eq!(screen.end(), 128 + libc::SIGHUP);
    }
}

/// The process that the shell has started.
fn child_of(shell: u32) -> libc::pid_t {
    let children = format!("/proc/{shell}/task/{shell}/children");
    let children = std::fs::read_to_string(children).expect("the shell is there");
    children.split_whitespace().next().and_then(|pid| pid.parse().ok()).expect("it has a child")
}

/// Ctrl-Z is a key in raw mode, and other programs send the signal. The shell gets its terminal, and gives it back.
#[test]
fn the_client_stops_and_continues() {
    let place = Place::new();
    let back = |n: u8| format!("printf 'the shell is back: {n}\\n'; read _; fg");
    let script = format!("set -m; \"$@\"; {}; {}; exit 7", back(1), back(2));
    let hubbub = client();
    let arguments = ["-c", script.as_str(), "sh", hubbub.as_str(), "--server", &place.model.target, "--name", "ann"];
    let mut screen = Screen::start(program("/bin/bash", place.home.path(), &arguments), COLUMNS, ROWS);
    place.wait_for_join(&screen);
    screen.press("half a thought\x1a");
    screen.wait_for("the shell is back: 1");
    assert!(!screen.is_raw());
    assert_restored(&screen.bytes());
    // The window had another size meanwhile.
    screen.resize(60, 20);
    screen.press("\n");
    screen.wait_for("half a thought");
    wait_for("raw mode", || screen.is_raw());
    screen.wait_until("the new size", |text| text.lines().count() == 20 && !text.contains("the shell is back"));
    // SAFETY: no memory is involved, and the process is a child of our child, which has not waited for it.
    assert_eq!(unsafe { libc::kill(child_of(screen.pid()), libc::SIGTSTP) }, 0);
    screen.wait_for("the shell is back: 2");
    assert!(!screen.is_raw());
    assert_restored(&screen.bytes());
    screen.resize(100, 16);
    screen.press("\n");
    screen.wait_for("half a thought");
    wait_for("raw mode", || screen.is_raw());
    screen.wait_until("the new size", |text| text.lines().count() == 16 && !text.contains("the shell is back"));
    screen.assert_frames();
    screen.press("\x15/quit\r");
    assert_eq!(screen.end_restored(), 7);
}

#[test]
fn an_idle_client_does_nothing() {
    let place = Place::new();
    let screen = place.start(&[]);
    screen.wait_until_quiet();
    let (bytes, before) = (screen.bytes().len(), screen.cpu_time());
    std::thread::sleep(Duration::from_secs(2));
    let used = screen.cpu_time() - before;
    // The time of day may have changed.
    assert!(screen.bytes().len() - bytes < 200, "{} bytes", screen.bytes().len() - bytes);
    assert!(used <= Duration::from_millis(30), "{used:?}");
}
