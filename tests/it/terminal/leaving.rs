//! The terminal when the window changes, while the client is stopped, and after its end.

use super::chat_v1::on_terminal;
use super::model::Model;
use super::pty::Pty;
use super::{client_command, v1_command};
use crate::support::wait_for;

fn marks_pastes(pty: &Pty) -> bool {
    pty.emulator().lock().expect("the emulator accepts the output").marks_pastes()
}

/// A regression: the window was narrowed while a draft was in its last row. The terminal wrapped that row; the client
/// redrew the draft in the lower row, and the upper one stayed: "> meet me at", like a sent line.
#[test]
fn a_narrower_window_leaves_no_copy_of_the_draft() {
    let model = Model::start();
    model.say("lobby", "bob", "hi");
    let draft = "0123456789".repeat(5);
    for cuts in [false, true] {
        let mut command = v1_command(&["--server", &model.target, "--name", "ann"]);
        if cuts {
            command.env("XTERM_VERSION", "XTerm(390)");
        }
        let mut ann = Pty::start(command);
        if cuts {
            ann.emulator().lock().expect("the emulator accepts the output").cut_rows();
        }
        ann.wait_for_row("bob: hi");
        ann.press(&draft);
        ann.wait_for_last_row(&format!("> {draft}"));
        for (columns, shown) in [(30, &draft[50 - 27..]), (14, &draft[50 - 11..]), (60, &draft)] {
            ann.resize(columns);
            ann.wait_for_last_row(&format!("> {shown}"));
            let rows = ann.rows();
            assert_eq!(rows.iter().filter(|row| row.starts_with('>')).count(), 1, "{rows:?}");
            assert!(!rows[..rows.len() - 1].iter().any(|row| row.contains("0123456789")), "{rows:?}");
            assert!(rows.iter().any(|row| row == "bob: hi"), "{rows:?}");
        }
        // In the middle of the draft, with characters of two columns.
        ann.press(&format!("\x15{}\x1b[D\x1b[D\x1b[D", "世".repeat(20)));
        ann.wait_for_row(&format!("> {}", "世".repeat(20)));
        ann.resize(21);
        wait_for("one row of the draft", || ann.rows().iter().filter(|row| row.contains('世')).count() == 1);
        assert!(ann.rows().iter().any(|row| row == "bob: hi"), "{:?}", ann.rows());
        ann.press("\x05\x15\x04");
        assert_eq!(ann.end(), 0);
    }
}

/// A regression: after a signal had ended the client, bracketed paste was still on, so pastes in the shell began with
/// `200~`.
#[test]
fn every_exit_restores_the_terminal() {
    let model = Model::start();
    for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGINT, libc::SIGQUIT] {
        let mut ann = on_terminal(&model, "ann");
        assert!(marks_pastes(&ann));
        ann.press("half");
        ann.signal(signal);
        assert_eq!(ann.end(), 128 + signal);
        wait_for("bracketed paste to be off", || !marks_pastes(&ann));
    }
    for (keys, code) in [("\x03", 130), ("\x04", 0), ("/quit\r", 0)] {
        let mut ann = on_terminal(&model, "ann");
        ann.press(keys);
        assert_eq!(ann.end(), code);
        wait_for("bracketed paste to be off", || !marks_pastes(&ann));
    }
}

/// SIGSTOP can't be caught, and the shell changes the terminal's modes while the client is stopped.
#[test]
fn a_continued_client_sets_its_modes_again() {
    let model = Model::start();
    let mut ann = on_terminal(&model, "ann");
    ann.press("half a th");
    ann.wait_for_last_row("> half a th");
    ann.stop_and_continue();
    ann.wait_for_last_row("> half a th");
    assert!(marks_pastes(&ann));
    ann.press("ought\r");
    wait_for("the message", || model.bodies("lobby") == ["half a thought"]);
    ann.press("\x04");
    assert_eq!(ann.end(), 0);
}

/// A regression: SIGTSTP left the terminal in raw mode.
#[test]
fn a_suspended_client_restores_the_terminal_for_the_shell() {
    let model = Model::start();
    let mut command =
        client_command("/bin/bash", &["-mc", "\"$@\"; stty -a | tr ' ;' '\\n\\n' | grep icanon; fg", "bash"]);
    command.args([env!("CARGO_BIN_EXE_hubbub"), "--server", &model.target, "--name", "ann"]);
    let mut ann = Pty::start(command);
    ann.wait_for_last_row("> ");
    ann.press("half a th\x1a");
    // The shell has canonical mode.
    ann.wait_for_row("icanon");
    ann.wait_for_last_row("> half a th");
    assert!(marks_pastes(&ann));
    ann.press("ought\r");
    wait_for("the message", || model.bodies("lobby") == ["half a thought"]);
    ann.press("\x04");
    assert_eq!(ann.end(), 0);
}
