//! The terminal while the window changes, when the client is stopped, and after it has ended.

use super::chat::on_terminal;
use super::model::Model;
use super::pty::Pty;
use super::{client_command, v1_command};
use crate::support::wait_for;

fn marks_pastes(pty: &Pty) -> bool {
    pty.emulator().lock().expect("no escape sequence gets through").marks_pastes()
}

/// The story: the window was narrowed while a draft stood in its last row. The terminal broke that row in two; the client
/// drew the draft again in the lower one, and the upper one stayed: "> meet me at", as if it had been sent.
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
            ann.emulator().lock().expect("no escape sequence gets through").cut_rows();
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

/// The story: a shell's prompt got pastes with `200~` around them after the client had been ended from outside.
#[test]
fn every_end_gives_the_terminal_back() {
    let model = Model::start();
    for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGINT, libc::SIGQUIT] {
        let mut ann = on_terminal(&model, "ann");
        assert!(marks_pastes(&ann));
        ann.press("half");
        ann.signal(signal);
        assert_eq!(ann.end(), 128 + signal);
        wait_for("pastes that are not marked", || !marks_pastes(&ann));
    }
    for (keys, code) in [("\x03", 130), ("\x04", 0), ("/quit\r", 0)] {
        let mut ann = on_terminal(&model, "ann");
        ann.press(keys);
        assert_eq!(ann.end(), code);
        wait_for("pastes that are not marked", || !marks_pastes(&ann));
    }
}

/// Another program stops the client with a signal that it can't catch, and the shell takes the terminal meanwhile.
#[test]
fn a_client_that_was_stopped_takes_the_terminal_again() {
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

/// Ctrl-Z and `fg`, and the same by a signal from another program, which left the terminal in raw mode.
#[test]
fn a_shell_has_the_terminal_while_the_client_is_suspended() {
    let model = Model::start();
    let mut command =
        client_command("/bin/bash", &["-mc", "\"$@\"; stty -a | tr ' ;' '\\n\\n' | grep icanon; fg", "bash"]);
    command.args([env!("CARGO_BIN_EXE_hubbub"), "--server", &model.target, "--name", "ann"]);
    let mut ann = Pty::start(command);
    ann.wait_for_last_row("> ");
    ann.press("half a th\x1a");
    // What a shell finds: lines are gathered, and pastes come as they are.
    ann.wait_for_row("icanon");
    ann.wait_for_last_row("> half a th");
    assert!(marks_pastes(&ann));
    ann.press("ought\r");
    wait_for("the message", || model.bodies("lobby") == ["half a thought"]);
    ann.press("\x04");
    assert_eq!(ann.end(), 0);
}
