//! How an outage is shown: one row that is rewritten, or one line when it begins and one when it ends.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use super::chat_v1::on_terminal;
use super::model::{Model, Verdict};
use super::pty::Pty;
use super::{start_piped, v1_command};
use crate::support::wait_for;

fn rows_with(pty: &Pty, part: &str) -> Vec<String> {
    pty.rows().into_iter().filter(|row| row.contains(part)).collect()
}

/// Accepts this many attempts of the client to connect, and closes each.
fn refuse(place: &str, connections: usize) {
    let listener = TcpListener::bind(place).expect("the port is free");
    for _ in 0..connections {
        drop(listener.accept().expect("the client tries again"));
    }
}

/// A regression: an outage of an hour wrote some 360 rows, one for each attempt, so the chat was scrolled off. No row
/// named the server, and the lines that were sent at the end were not reported.
#[test]
fn an_outage_is_one_row_that_is_rewritten() {
    let model = Model::start();
    let place = model.target.clone();
    let mut ann = on_terminal(&model, "ann");
    ann.press("half a th");
    ann.wait_for_last_row("> half a th");
    drop(model);
    ann.wait_for_row_with("* offline 0 s, retry in ");
    refuse(&place, 6);
    ann.wait_for_row_with("* offline 2 s, retry ");
    assert_eq!(rows_with(&ann, "offline").len(), 1, "{:?}", ann.rows());
    assert!(rows_with(&ann, "offline")[0].ends_with(&place), "{:?}", ann.rows());
    // The draft is unchanged and can be edited.
    ann.wait_for_last_row("> half a th");
    ann.press("ought\rand another\rdraft");
    ann.wait_for_row_with("; 2 lines wait: ");
    let rows = ann.rows();
    assert_eq!(rows[rows.len() - 4..rows.len() - 2], ["> half a thought", "> and another"], "{rows:?}");
    ann.wait_for_last_row("> draft");
    let model = Model::start_at(&place);
    ann.wait_for_row_with("* connected again after ");
    wait_for("all in one row", || {
        rows_with(&ann, "offline").is_empty() && rows_with(&ann, "connected again").len() == 1
    });
    let row = rows_with(&ann, "connected again").concat();
    assert!(row.ends_with(" s; nothing lost; 2 lines sent"), "{row}");
    ann.wait_for_last_row("> draft");
    assert_eq!(model.bodies("lobby"), ["half a thought", "and another"]);
    ann.press("\x15\x04");
    assert_eq!(ann.end(), 0);
}

/// A regression: without a terminal, each attempt wrote a line to standard error.
#[test]
fn in_a_pipe_an_outage_is_two_lines() {
    let model = Model::start();
    let place = model.target.clone();
    let mut client = start_piped(v1_command(&["--server", &place, "--name", "ann"]));
    // The message must not be history: it arrives after the client has caught up.
    wait_for("the client", || model.members("lobby") == 1);
    model.say("lobby", "bob", "hello");
    let mut heard = [0; "bob: hello".len()];
    client.stdout.as_mut().expect("standard output is piped").read_exact(&mut heard).expect("it prints");
    drop(model);
    refuse(&place, 8);
    let mut stdin = client.stdin.take().expect("standard input is piped");
    stdin.write_all(b"one\ntwo\n").expect("the client reads");
    let model = Model::start_at(&place);
    wait_for("both lines", || model.bodies("lobby").len() == 2);
    drop(stdin);
    let output = client.wait_with_output().expect("it ends");
    let errors = super::stderr(&output);
    let lines: Vec<_> = errors.lines().collect();
    assert_eq!(output.status.code(), Some(0), "{errors}");
    assert!(lines.len() == 2 && lines[0].starts_with(&format!("* disconnected from {place}: ")), "{errors}");
    assert!(lines[0].ends_with("; trying again") && lines[1].ends_with("; nothing lost; 2 lines sent"), "{errors}");
}

/// A regression: behind a proxy whose server was down, the client alternately reported "disconnected" and "connected
/// again", although it had never been connected.
#[test]
fn a_first_connection_that_fails_is_not_a_lost_one() {
    let model = Model::start();
    model.world().is_down = true;
    let mut ann = Pty::start(v1_command(&["--server", &model.target, "--name", "ann"]));
    let piped = start_piped(v1_command(&["--server", &model.target, "--name", "bob"]));
    ann.wait_for_row_with("* can't connect for 1 s, retry ");
    ann.press("early\r");
    ann.wait_for_row("> early");
    assert!(
        rows_with(&ann, "connected to").is_empty() && rows_with(&ann, "can't connect").len() == 1,
        "{:?}",
        ann.rows()
    );
    model.world().is_down = false;
    ann.wait_for_row("* 1 line sent");
    ann.wait_for_row_with(&format!("* connected to {} as ann, in lobby", model.target));
    assert!(rows_with(&ann, "again").is_empty() && rows_with(&ann, "can't").is_empty(), "{:?}", ann.rows());
    assert_eq!(model.bodies("lobby"), ["early"]);
    ann.press("\x04");
    assert_eq!(ann.end(), 0);
    wait_for("bob", || model.members("lobby") == 1);
    let errors = super::stderr(&piped.wait_with_output().expect("it ends"));
    let lines: Vec<_> = errors.lines().collect();
    let server = &model.target;
    assert_eq!(lines.len(), 2, "{errors}");
    assert_eq!(lines[0], format!("* can't connect to {server}: no; trying again"));
    assert!(lines[1].starts_with(&format!("* connected to {server}")), "{errors}");
}

/// A regression: while a server's disk was full, the client wrote a row for each retry, one a second.
#[test]
fn a_server_that_cannot_store_takes_one_row() {
    let model = Model::start();
    let refusals = |count: u32| {
        let mut left = count;
        Box::new(move |_: &_| {
            left = left.saturating_sub(1);
            match left {
                0 => Verdict::Store,
                _ => Verdict::Reject { reason: "the disk is full", retry_after_ms: 30 },
            }
        })
    };
    let mut ann = on_terminal(&model, "ann");
    model.world().judge = refusals(40);
    ann.press("one\r");
    ann.wait_for_row_with("* can't store for 0 s, retry ");
    ann.press("two\r");
    ann.wait_for_row_with(" stores again");
    wait_for("one row", || rows_with(&ann, "can't store for").is_empty() && rows_with(&ann, "stores again").len() == 1);
    assert!(rows_with(&ann, "stores again").concat().ends_with("; 2 lines sent"), "{:?}", ann.rows());
    ann.press("\x04");
    assert_eq!(ann.end(), 0);
    model.world().judge = refusals(40);
    let output = super::run_to_end(v1_command(&["--server", &model.target, "--name", "bob"]), b"three\n");
    let errors = super::stderr(&output);
    let server = &model.target;
    let lines: Vec<_> = errors.lines().collect();
    assert_eq!(lines.len(), 2, "{errors}");
    assert_eq!(
        lines[0],
        format!("* {server} can't store messages: the disk is full; trying again; 1 line will be sent then")
    );
    assert!(
        lines[1].starts_with(&format!("* {server} stores again")) && lines[1].ends_with("; 1 line sent"),
        "{errors}"
    );
    assert_eq!(model.bodies("lobby"), ["one", "two", "three"]);
}

/// A rejected line is not counted as sent.
#[test]
fn rejected_lines_after_an_outage_are_not_counted_as_sent() {
    let model = Model::start();
    let mut ann = on_terminal(&model, "ann");
    model.world().goodbye_ms = Some(1_000);
    model.world().judge = Box::new(|post| match post.body.as_str() {
        "bad" => Verdict::Reject { reason: "not that", retry_after_ms: 0 },
        _ => Verdict::Store,
    });
    model.break_streams();
    ann.wait_for_row_with("* offline 0 s");
    ann.press("good\rbad\rgood too\r");
    ann.wait_for_row_with("* not sent: \"bad\": not that");
    ann.wait_for_row_with("nothing lost; 2 lines sent");
    ann.press("\x04");
    assert_eq!(ann.end(), 0);
}

#[test]
fn an_outage_takes_one_row_in_a_narrow_window() {
    let model = Model::start();
    let mut ann = on_terminal(&model, "ann");
    ann.press("draft");
    ann.wait_for_last_row("> draft");
    ann.resize(40);
    model.world().goodbye_ms = Some(Duration::from_secs(60).as_millis() as u32);
    model.break_streams();
    ann.wait_for_row_with("* offline 0 s, retry in ");
    for columns in [20, 5, 60] {
        ann.resize(columns);
        ann.wait_for_last_row(if columns == 5 { "> ft" } else { "> draft" });
        wait_for("one row", || ann.rows().iter().filter(|row| row.starts_with("* offline")).count() <= 1);
    }
    ann.wait_for_row_with("* offline");
    assert_eq!(rows_with(&ann, "* offline").len(), 1, "{:?}", ann.rows());
    ann.press("\x15\x04");
    assert_eq!(ann.end(), 0);
}
