//! Commands, pastes and keys of the chat on a terminal.

use super::chat_v1::on_terminal;
use super::model::{Model, Verdict};
use super::{run_to_end, stderr, v1_command};
use crate::support::wait_for;

/// A regression: `/quit`, `/msg bob secret` and every other line with a slash went to the whole room.
#[test]
fn commands_are_not_sent_and_the_nearest_is_suggested() {
    let model = Model::start();
    let mut ann = on_terminal(&model, "ann");
    ann.press("/msg bob secret\r");
    ann.wait_for_row_with("* not sent: unknown command /msg: see /help");
    ann.press("/frobnicate\r");
    ann.wait_for_row_with("* not sent: unknown command /frobnicate: see /help");
    ann.press("/help\r");
    ann.wait_for_row_with("* /who: list the members");
    ann.press("/who\r");
    ann.wait_for_row("* in lobby: ann");
    ann.press("//etc is broken\r/say /quit\r   indented\r/quit\r");
    assert_eq!(ann.end(), 0);
    assert_eq!(model.bodies("lobby"), ["/etc is broken", "/quit", "   indented"]);
}

/// The same applies to piped input: unknown commands are reported, and the exit code is 1.
#[test]
fn a_piped_line_that_looks_like_a_command_is_not_sent() {
    let model = Model::start();
    let output =
        run_to_end(v1_command(&["--server", &model.target, "--name", "ann"]), b"/etc is broken\n  one\n/quit\ntwo\n");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("unknown command /etc"), "{}", stderr(&output));
    assert_eq!(model.bodies("lobby"), ["  one"]);
}

/// A regression: each line of a paste was sent at once as a message of its own, without its leading blanks.
#[test]
fn a_paste_waits_for_enter_and_is_one_message() {
    let model = Model::start();
    let mut ann = on_terminal(&model, "ann");
    let emulator = ann.emulator();
    assert!(emulator.lock().expect("the emulator accepts the output").marks_pastes());
    ann.press("\x1b[200~  if x {\r\n\ty\x03\x1b[31m\r}\n\x1b[201~");
    ann.wait_for_last_row("> \u{20} if x {↵\\ty↵}↵");
    assert!(model.bodies("lobby").is_empty());
    ann.press("\rone\x1b\rtwo\r");
    wait_for("two messages", || model.bodies("lobby").len() == 2);
    assert_eq!(model.bodies("lobby"), ["  if x {\n\ty\n}", "one\ntwo"]);
    model.say("lobby", "bob", "fine\nann: I agree");
    ann.wait_for_row("bob: fine");
    ann.wait_for_row("  ann: I agree");
    assert!(ann.rows().iter().any(|row| row == "> one") && ann.rows().iter().any(|row| row == "  two"));
    ann.press("\x04");
    assert_eq!(ann.end(), 0);
    // The last output may be read after the program's end.
    wait_for("bracketed paste to be off", || !emulator.lock().expect("the emulator accepts the output").marks_pastes());
}

/// A regression: the end of a long paste was dropped without a notice, and a draft that could not be sent was lost.
#[test]
fn a_paste_that_is_too_long_stays_in_the_draft() {
    let model = Model::start();
    let mut ann = on_terminal(&model, "ann");
    ann.press(&format!("\x1b[200~{}\x1b[201~\r", "x".repeat(20_000)));
    ann.wait_for_row_with("* not sent: the body has 20000 bytes");
    ann.press(&"\x7f".repeat(5_000));
    ann.press("\r");
    wait_for("the message", || model.bodies("lobby").len() == 1);
    assert_eq!(model.bodies("lobby")[0].len(), 15_000);
    ann.press("\x04");
    assert_eq!(ann.end(), 0);
}

/// Some terminals send a paste without its end; the paste then ends after a timeout. A lone Esc does not affect a later
/// key.
#[test]
fn incomplete_sequences_end_after_a_timeout() {
    let model = Model::start();
    let mut ann = on_terminal(&model, "ann");
    ann.press("\x1b[200~lost\rend");
    ann.wait_for_last_row("> lost↵end");
    // Until the paste has ended, each Enter is a part of it.
    wait_for("the message", || {
        ann.press("\r");
        std::thread::park_timeout(std::time::Duration::from_millis(2_100));
        model.bodies("lobby").first().is_some_and(|body| body.starts_with("lost\nend"))
    });
    ann.wait_for_last_row("> ");
    // Until the timeout of Esc, a `b` after it moves the cursor, and the next letter shows its position.
    wait_for("the timeout of Esc", || {
        ann.press("a\x1b");
        ann.wait_for_last_row("> a");
        std::thread::park_timeout(std::time::Duration::from_millis(40));
        ann.press("bc");
        wait_for("the letters", || ann.rows().last().is_some_and(|row| row.contains('c')));
        let is_over = ann.rows().last().is_some_and(|row| row == "> abc");
        ann.press("\x05\x15");
        ann.wait_for_last_row("> ");
        is_over
    });
    ann.press("\x15\x04");
    assert_eq!(ann.end(), 0);
}

/// A regression: Ctrl-C discarded the draft and the lines that were not stored, without a notice.
#[test]
fn unsent_text_is_shown_at_the_exit() {
    let model = Model::start();
    model.world().judge = Box::new(|_| Verdict::Reject { reason: "not yet", retry_after_ms: 60_000 });
    let mut ann = on_terminal(&model, "ann");
    ann.press("kept\r");
    ann.wait_for_row_with("* can't store for ");
    ann.press("half a thought\x03");
    assert_eq!(ann.end(), 130);
    ann.wait_for_row("* perhaps not stored: kept");
    ann.wait_for_row("* not sent: half a thought");
    let mut bob = on_terminal(&model, "bob");
    bob.press("kept\r\x04");
    bob.wait_for_row_with("* waiting until 1 line is stored");
    bob.signal(libc::SIGINT);
    assert_eq!(bob.end(), 130);
    bob.wait_for_row("* perhaps not stored: kept");
}
