//! The chat over `hubbub.v1`: history, own messages, actions, and lost connections.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use super::model::{Model, Verdict};
use super::pty::Pty;
use super::{run_to_end, start_piped, stderr, v1_command};
use crate::support::wait_for;

pub fn on_terminal(model: &Model, name: &str) -> Pty {
    let before = model.world().joins.len();
    let pty = Pty::start(v1_command(&["--server", &model.target, "--name", name]));
    wait_for("the join", || model.world().joins.len() == before + 1);
    pty.wait_for_last_row("> ");
    pty
}

fn rows_that_start_with(pty: &Pty, start: &str) -> Vec<String> {
    pty.rows().into_iter().filter(|row| row.starts_with(start)).collect()
}

#[test]
fn history_is_shown_and_own_lines_stay_as_typed() {
    let model = Model::start();
    (1..=60).for_each(|n| model.say("lobby", "bob", &format!("old {n}")));
    let mut ann = on_terminal(&model, "ann");
    ann.wait_for_row("bob: old 60");
    assert_eq!(rows_that_start_with(&ann, "bob: old").len(), 50);
    ann.press("hello\r/me waves\r");
    wait_for("both lines", || model.bodies("lobby").len() == 62);
    model.say("lobby", "bob", "hi ann");
    ann.wait_for_row("bob: hi ann");
    // By now the client's own messages have arrived.
    assert_eq!(rows_that_start_with(&ann, "> "), ["> hello", "> /me waves"]);
    assert!(!ann.rows().iter().any(|row| row.starts_with("ann") || row.starts_with("*ann")), "{:?}", ann.rows());
    ann.press("\x04");
    assert_eq!(ann.end(), 0);
    // In the history of the same user it is an action too.
    let mut cat = on_terminal(&model, "ann");
    cat.wait_for_row("*ann* waves");
    cat.wait_for_row("ann: hello");
    cat.press("\x04");
    assert_eq!(cat.end(), 0);
}

#[test]
fn a_lost_connection_loses_no_line() {
    let model = Model::start();
    let mut ann = on_terminal(&model, "ann");
    model.world().judge = Box::new(|post| match post.body.as_str() {
        "one" => Verdict::StoreAndBreak,
        _ => Verdict::Store,
    });
    ann.press("one\rtwo\r");
    ann.wait_for_row_with("* connected again; nothing lost");
    ann.press("three\r\x04");
    assert_eq!(ann.end(), 0);
    assert_eq!(model.bodies("lobby"), ["one", "two", "three"]);
    // The last output may be read after the program's end.
    ann.wait_for_row("> three");
    assert_eq!(rows_that_start_with(&ann, "> "), ["> one", "> two", "> three"]);
    assert!(!ann.rows().iter().any(|row| row.contains("may not have arrived")), "{:?}", ann.rows());
}

#[test]
fn rejected_lines_and_lost_messages_are_reported() {
    let model = Model::start();
    let mut ann = on_terminal(&model, "ann");
    model.say("lobby", "bob", "one");
    ann.wait_for_row("bob: one");
    model.world().judge = Box::new(|_| Verdict::Reject { reason: "no \x1b[2J", retry_after_ms: 0 });
    ann.press("swear word\r");
    ann.wait_for_row_with("* not sent: \"swear word\": no \\u{1b}[2J");
    model.lose_history("lobby", 0);
    ann.wait_for_row_with("* the server lost message 1, which you may");
    ann.wait_for_row("* connected again");
    ann.press("\x04");
    assert_eq!(ann.end(), 0);
}

#[test]
fn in_a_pipe_own_messages_are_printed_when_they_are_stored() {
    let model = Model::start();
    (1..=3).for_each(|n| model.say("tea", "bob", &n.to_string()));
    let arguments = ["chat", "--server", &model.target, "--name", "ann", "--room", "tea", "--last", "2"];
    let output = run_to_end(v1_command(&arguments), b"hello\n\n/me waves \nx\ty\n");
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    let shown = String::from_utf8(output.stdout).expect("the output is UTF-8");
    assert_eq!(shown, "bob: 2\nbob: 3\nann: hello\n*ann* waves\nann: x\\ty\n");
    assert_eq!(model.bodies("tea")[3..], ["hello", "waves", "x\ty"]);
}

#[test]
fn in_a_pipe_a_rejected_line_is_a_failure() {
    let model = Model::start();
    model.world().judge = Box::new(|post| match post.body.as_str() {
        "two" => Verdict::Reject { reason: "not that", retry_after_ms: 0 },
        _ => Verdict::Store,
    });
    let command = v1_command(&["--server", &model.target, "--name", "ann"]);
    let output = run_to_end(command, b"one\ntwo\nthree\n");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr(&output), "* not sent: \"two\": not that\nhubbub: not sent: 1 line of the input, see above\n");
    assert_eq!(model.bodies("lobby"), ["one", "three"]);
}

#[test]
fn without_reconnecting_the_error_counts_the_lines() {
    let model = Model::start();
    model.world().judge = Box::new(|_| Verdict::Break);
    let mut client = start_piped(v1_command(&["--server", &model.target, "--name", "ann", "--no-reconnect"]));
    let mut stdin = client.stdin.take().expect("standard input is piped");
    stdin.write_all(b"one\n").expect("the client reads");
    let output = client.wait_with_output().expect("it ends");
    drop(stdin);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr(&output), "hubbub: the model breaks; perhaps not stored: the last 1 line you sent\n");
}

#[test]
fn a_server_of_the_tutorials_contract_is_an_error_with_a_remedy() {
    let refuser = super::Refuser::start(grpcio::RpcStatus::new(grpcio::RpcStatusCode::OK));
    let mut client = start_piped(v1_command(&["--server", &refuser.target, "--name", "ann"]));
    // The input stays open, so only the refusal ends the client.
    let stdin = client.stdin.take();
    let output = client.wait_with_output().expect("it ends");
    drop(stdin);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("use --contract tutorial"), "{}", stderr(&output));
    let arguments = ["--server", &refuser.target, "--name", "ann", "--room", "tea", "--contract", "tutorial"];
    let output = run_to_end(v1_command(&arguments), b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("no room but lobby"), "{}", stderr(&output));
}

#[test]
fn lines_of_an_outage_are_sent_after_it() {
    let model = Model::start();
    let mut command = v1_command(&["--server", &model.target, "--name", "ann"]);
    command.stdout(Stdio::null());
    let place = model.target.clone();
    let mut client = start_piped(command);
    wait_for("the client", || model.members("lobby") == 1);
    let mut stdin = client.stdin.take().expect("standard input is piped");
    drop(model);
    let errors = BufReader::new(client.stderr.as_mut().expect("standard error is piped"));
    // The server may end before the client has received anything from it.
    let notice = errors.lines().map_while(Result::ok).find(|line| line.ends_with("; trying again"));
    assert!(
        notice.is_some_and(|line| line.starts_with("* disconnected from ") || line.starts_with("* can't connect to "))
    );
    stdin.write_all(b"one\ntwo\nthree\n").expect("the client reads");
    let model = Model::start_at(&place);
    drop(stdin);
    assert_eq!(client.wait().expect("it ends").code(), Some(0));
    assert_eq!(model.bodies("lobby"), ["one", "two", "three"]);
}
