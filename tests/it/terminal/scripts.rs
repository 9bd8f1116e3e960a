//! Features for scripts: times and numbers, the output of `send --json`, timeouts, and closed outputs.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Output, Stdio};
use std::thread;

use super::model::Model;
use super::pty::Pty;
use super::{run_to_end, start_piped, stderr, v1_command};
use crate::support::process::{ServerProcess, lasting_address};
use crate::support::wait_for;

fn on(target: &str, arguments: &str) -> std::process::Command {
    let mut command = v1_command(&["--server", target, "--name", "ci"]);
    command.args(arguments.split(' ')).env("TZ", "UTC-5:30");
    command
}

fn shown(output: &Output) -> String {
    assert_eq!((output.status.code(), stderr(output).as_str()), (Some(0), ""));
    String::from_utf8(output.stdout.clone()).expect("the output is UTF-8")
}

/// A regression: only `--json` showed the time and the number of a message. Times are local: RFC 3339 in a pipe, and
/// readable on a terminal, where both are shown by default.
#[test]
fn times_and_numbers_can_be_shown() {
    let model = Model::start();
    model.say("tea", "bob", "hello");
    for command in ["history tea", "history tea --no-time --no-seq"] {
        assert_eq!(shown(&run_to_end(on(&model.target, command), b"")), "bob: hello\n");
    }
    assert_eq!(shown(&run_to_end(on(&model.target, "history tea --seq"), b"")), "1 bob: hello\n");
    let line = shown(&run_to_end(on(&model.target, "history tea --time"), b""));
    let (time, rest) = line.split_at("2026-11-26T21:00:42+05:30".len());
    assert!(time.ends_with("+05:30") && time.as_bytes()[10] == b'T' && rest == " bob: hello\n", "{line}");
    let mut by_variable = on(&model.target, "history tea --no-time");
    by_variable.envs([("HUBBUB_TIME", "1"), ("HUBBUB_SEQ", "1")]);
    assert_eq!(shown(&run_to_end(by_variable, b"")), "1 bob: hello\n");
    // The same with tail.
    let mut child = start_piped(on(&model.target, "tail tea --seq --time"));
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line).expect("it prints");
    assert!(line.starts_with("1 2") && line.contains("+05:30 bob: hello"), "{line}");
    let _ = child.kill();
    child.wait().expect("it ends");
    let pty = Pty::start(on(&model.target, "history tea"));
    pty.wait_for_row_with(" bob: hello");
    let rows = pty.rows();
    let row = rows.iter().find(|row| row.ends_with(" bob: hello")).expect("it is there");
    // As wide as `    1 2026-11-26 21:00:42 bob: hello`.
    assert!(row.starts_with("    1 ") && row.len() == 36 && !row.contains('T'), "{row}");
}

/// A regression: a script could not get the position of the message that it had posted.
#[test]
fn send_prints_where_each_message_is_stored() {
    let model = Model::start();
    let one = shown(&run_to_end(on(&model.target, "send tea --json one"), b""));
    let many = shown(&run_to_end(on(&model.target, "send tea --json"), b"two\nthree\n\nfour\n"));
    for (line, seq) in one.lines().chain(many.lines()).zip(1..) {
        let answer: serde_json::Value = serde_json::from_str(line).expect("it is JSON");
        assert_eq!((answer["room"].as_str(), answer["seq"].as_u64()), (Some("tea"), Some(seq)), "{line}");
        assert_eq!(answer["id"].as_str().map(str::len), Some(32), "{line}");
    }
    assert_eq!((one.lines().count(), many.lines().count()), (1, 3), "{one} {many}");
    // The id is that of the message.
    let history = shown(&run_to_end(on(&model.target, "history tea --json --limit 1"), b""));
    let last: serde_json::Value = serde_json::from_str(&history).expect("it is JSON");
    assert!(many.lines().last().expect("four is stored").contains(last["message_id"].as_str().expect("an id")));
    // A closed output does not affect the posts; a full disk is a failure.
    let mut child = start_piped(on(&model.target, "send tea --json"));
    drop(child.stdout.take());
    child.stdin.take().expect("it is piped").write_all(b"five\nsix\n").expect("it reads");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    let mut command = on(&model.target, "send tea --json seven");
    command.stdout(File::options().write(true).open("/dev/full").expect("Linux has it"));
    let output = command.stdin(Stdio::null()).stderr(Stdio::piped()).output().expect("hubbub starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("can't write the output: No space left"), "{}", stderr(&output));
    assert_eq!(model.bodies("tea"), ["one", "two", "three", "four", "five", "six", "seven"]);
}

/// A regression: a deployment restarted the server and posted at once; `send` failed, although the server was available
/// a second later.
#[test]
fn send_waits_for_a_server_that_starts() {
    let address = lasting_address();
    let mut senders: Vec<_> =
        ["send tea one", "send tea"].map(|it| start_piped(on(&address, it))).into_iter().collect();
    senders[1].stdin.take().expect("it is piped").write_all(b"two\n").expect("it reads");
    // Both have failed once.
    let mut errors: Vec<_> =
        senders.iter_mut().map(|it| BufReader::new(it.stderr.take().expect("it is piped"))).collect();
    for errors in &mut errors {
        let mut line = String::new();
        errors.read_line(&mut line).expect("it says something");
        assert!(line.starts_with("* no server answers at ") && line.contains("trying again for up to 10s"), "{line}");
    }
    let server = ServerProcess::start(&["--listen", &address]);
    for sender in &mut senders {
        assert_eq!(sender.wait().expect("it ends").code(), Some(0));
    }
    let mut bodies = shown(&run_to_end(on(&address, "history tea"), b""));
    assert_eq!(bodies.len(), "ci: one\nci: two\n".len());
    bodies.truncate(7);
    drop(server);
    // Permanent errors fail at once, and so do other commands.
    for (target, command) in [("no-such-host.invalid:1", "send tea one"), (&*address, "rooms"), (&*address, "tail tea")]
    {
        let output = run_to_end(on(target, command), b"");
        assert_eq!(output.status.code(), Some(1), "{command}");
        assert!(!stderr(&output).contains("trying again"), "{}", stderr(&output));
    }
}

/// A regression: while a server was down for days, the processes of an hourly cron job accumulated.
#[test]
fn a_client_gives_up_after_its_timeout() {
    let address = lasting_address();
    for command in ["--timeout 300ms send tea", "--timeout 300ms send tea one", "history tea --timeout 300ms"] {
        let output = run_to_end(on(&address, command), b"one\n");
        assert_eq!(output.status.code(), Some(1), "{command}");
        assert!(stderr(&output).contains("no server answers at "), "{command}: {}", stderr(&output));
    }
    for (command, contract) in [("tail tea", "v1"), ("send tea", "v1"), ("chat", "v1"), ("chat", "tutorial")] {
        let server = ServerProcess::start(&["--listen", &address]);
        if command.starts_with("tail") {
            shown(&run_to_end(on(&address, "send tea zero"), b""));
        }
        let mut client = on(&address, command);
        client.args(["--timeout", "300ms"]).env("HUBBUB_CONTRACT", contract);
        let mut child = start_piped(client);
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(b"one\n").expect("it reads");
        let room = if command == "chat" { "lobby" } else { "tea" };
        if command.starts_with("tail") {
            wait_for("a member", || shown(&run_to_end(on(&address, "members tea"), b"")).contains("ci"));
        } else {
            let history = format!("history {room}");
            wait_for("its line", || run_to_end(on(&address, &history), b"").stdout == b"ci: one\n");
        }
        drop(server);
        assert_eq!(child.wait().expect("it ends").code(), Some(1), "{command}");
        let mut errors = String::new();
        child.stderr.take().expect("it is piped").read_to_string(&mut errors).expect("the output is UTF-8");
        assert!(errors.contains("hubbub: no connection for 300ms ("), "{command} {contract}: {errors}");
    }
}

/// `hubbub history tea | head -1` succeeds; a full disk is an error.
#[test]
fn a_closed_output_is_success_and_a_full_one_a_failure() {
    let model = Model::start();
    (0..3000).for_each(|n| model.say("tea", "bob", &format!("{n} {}", "x".repeat(100))));
    for command in ["history tea --limit 3000", "rooms", "tail tea --last 3000"] {
        let mut child = start_piped(on(&model.target, command));
        let mut first = [0; 10];
        child.stdout.take().expect("it is piped").read_exact(&mut first).expect("it prints");
        let mut errors = String::new();
        child.stderr.take().expect("it is piped").read_to_string(&mut errors).expect("the output is UTF-8");
        assert_eq!((child.wait().expect("it ends").code(), errors.as_str()), (Some(0), ""), "{command}");
        let mut full = on(&model.target, command);
        full.stdout(File::options().write(true).open("/dev/full").expect("Linux has it")).stderr(Stdio::piped());
        let output = full.stdin(Stdio::null()).output().expect("hubbub starts");
        assert_eq!(output.status.code(), Some(1), "{command}");
        assert!(stderr(&output).contains("can't write the output: No space left"), "{command}: {}", stderr(&output));
    }
    // A full pipe blocks the command, and loses nothing.
    let mut child = start_piped(on(&model.target, "history tea --limit 3000"));
    let output = child.stdout.take().expect("it is piped");
    thread::yield_now();
    assert_eq!(BufReader::new(output).lines().map_while(Result::ok).count(), 3000);
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}
