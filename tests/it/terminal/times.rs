//! The times before the messages of the chat, and the lines between days.

use super::chat_v1::on_terminal;
use super::model::Model;
use super::pty::Pty;
use super::v1_command;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// 22:13:20 of 14 November 2023, UTC: when the model's messages are stored.
const THEN_MS: u64 = 1_700_000_000_000;

fn says_at(model: &Model, time_ms: u64, body: &str) {
    model.world().message_ms = Some(time_ms);
    model.say("lobby", "bob", body);
}

fn leave(mut pty: Pty) {
    pty.press("\x04");
    assert_eq!(pty.end(), 0);
}

/// A regression: users could not see whether the last message was a minute old or a week.
#[test]
fn messages_have_times_and_days_are_shown() {
    let model = Model::start();
    says_at(&model, THEN_MS, "one");
    says_at(&model, THEN_MS + 60_000, "two");
    says_at(&model, THEN_MS + DAY_MS, "three");
    model.world().now_ms = THEN_MS + DAY_MS;
    let mut ann = on_terminal(&model, "ann");
    // Until it knows the server's time, the chat uses its own.
    ann.wait_for_row("bob: three");
    ann.press("own\r");
    says_at(&model, THEN_MS + DAY_MS, "four");
    ann.wait_for_row("bob: four");
    // The prompt is drawn again after the message.
    ann.wait_for_last_row("> ");
    let rows = ann.timed_rows();
    let own = rows.iter().position(|row| row.ends_with(" > own")).expect("the own line is there");
    // The user's own line has the time of the server's clock, not of this machine's, which is years ahead.
    assert!(rows[own].starts_with("22:1"), "{rows:?}");
    let others: Vec<_> = rows.iter().enumerate().filter(|(at, row)| *at != own && !row.contains("connected")).collect();
    let others: Vec<_> = others.into_iter().map(|(_, row)| row.as_str()).collect();
    let days = ["* Tuesday, 14 November 2023", "* Wednesday, 15 November 2023"];
    let expected = [days[0], "22:13 bob: one", "22:14 bob: two", days[1], "22:13 bob: three", "22:13 bob: four", ">"];
    let shown: Vec<_> = others.into_iter().filter(|row| !row.starts_with("  ")).collect();
    assert_eq!(shown, expected, "{rows:?}");
    leave(ann);
}

/// Times are in the user's time zone. An impossible time is harmless.
#[test]
fn times_are_local() {
    let model = Model::start();
    says_at(&model, THEN_MS, "one");
    says_at(&model, u64::MAX - 10, "two");
    let mut command = v1_command(&["--server", &model.target, "--name", "ann"]);
    // POSIX writes zones east of Greenwich with a minus.
    command.env("TZ", "HERE-13:30");
    let ann = Pty::start(command);
    ann.wait_for_row_with("--:-- bob: two");
    let rows = ann.timed_rows();
    let first = rows.iter().position(|row| row == "* Wednesday, 15 November 2023").expect("the day is named");
    assert_eq!(rows[first + 1..first + 3], ["11:43 bob: one", "--:-- bob: two"]);
    leave(ann);
}

/// The rows of a long message are indented to its text, or in a narrow window by two columns.
#[test]
fn rows_of_long_messages_are_indented() {
    let model = Model::start();
    let ann = on_terminal(&model, "ann");
    for (columns, indent) in [(80, 6), (40, 2)] {
        ann.resize(columns);
        let body = format!("{columns} columns {}", "and 世 more ".repeat(10));
        model.say("lobby", "bob", &body);
        ann.wait_for_row_with(&format!("bob: {columns} columns"));
        let rows = ann.timed_rows();
        let first = rows.iter().position(|row| row.contains(&format!("{columns} columns"))).expect("it is there");
        assert!(rows[first].starts_with("22:13 bob: "), "{rows:?}");
        let next = &rows[first + 1];
        assert_eq!(next.len() - next.trim_start().len(), indent, "{rows:?}");
    }
    leave(ann);
}
