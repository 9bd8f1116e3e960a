//! `hubbub send`, `tail`, `history`, `rooms` and `members` in scripts.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Output, Stdio};

use super::model::{Model, Verdict};
use super::{run_to_end, start_piped, stderr, v1_command};
use crate::support::{start, target, wait_for};

fn run(model: &Model, arguments: &str, input: &[u8]) -> Output {
    let mut command = v1_command(&["--server", &model.target]);
    command.args(arguments.split(' '));
    run_to_end(command, input)
}

/// The output of a run that must succeed without messages on standard error.
fn shown(model: &Model, arguments: &str) -> String {
    let output = run(model, arguments, b"");
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{arguments}");
    String::from_utf8(output.stdout).expect("the output is UTF-8")
}

fn numbers(range: std::ops::RangeInclusive<u32>) -> String {
    range.map(|n| format!("bob: {n}\n")).collect()
}

fn model_with(room: &str, messages: u32) -> Model {
    let model = Model::start();
    (1..=messages).for_each(|n| model.say(room, "bob", &n.to_string()));
    model
}

#[test]
fn send_posts_one_message_once() {
    let model = Model::start();
    let mut attempts = 0;
    model.world().judge = Box::new(move |_| {
        attempts += 1;
        if attempts == 1 { Verdict::StoreAndBreak } else { Verdict::Store }
    });
    assert_eq!(shown(&model, "--name ci send builds all is green"), "");
    assert_eq!(model.bodies("builds"), ["all is green"]);
    assert_eq!(shown(&model, "history builds"), "ci: all is green\n");
}

#[test]
fn send_posts_each_line_in_order_across_lost_connections() {
    let model = Model::start();
    let mut posts = 0;
    model.world().judge = Box::new(move |_| {
        posts += 1;
        match posts {
            700 => Verdict::StoreAndBreak,
            1_500 => Verdict::Break,
            _ => Verdict::Store,
        }
    });
    let input: String = (1..=3_000).map(|n| format!("  line {n}\r\n\n")).collect();
    let output = run(&model, "send builds --name ci", input.as_bytes());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(output.stdout.is_empty());
    assert_eq!(model.bodies("builds"), (1..=3_000).map(|n| format!("  line {n}")).collect::<Vec<_>>());
    // If the connection is lost again before all kept lines are sent, both outages are reported as one.
    let count = |start: &str| stderr(&output).lines().filter(|line| line.starts_with(start)).count();
    assert!((1..=2).contains(&count("* connected again")), "{}", stderr(&output));
    assert_eq!(count("* connected again"), count("* disconnected from "));
}

#[test]
fn lines_that_cannot_be_sent_are_a_failure() {
    let model = Model::start();
    model.world().judge = Box::new(|post| match post.body.as_str() {
        "two" => Verdict::Reject { reason: "not that", retry_after_ms: 0 },
        _ => Verdict::Store,
    });
    let output = run(&model, "send builds --name ci", b"one\ntwo\n\xff\nthree");
    assert_eq!(output.status.code(), Some(1));
    for fault in
        ["not sent: \"two\": not that", "not sent: the line is not valid UTF-8", "not sent: 2 lines of the input"]
    {
        assert!(stderr(&output).contains(fault), "{}", stderr(&output));
    }
    assert_eq!(model.bodies("builds"), ["one", "three"]);
    let nobody = run(&model, "send builds one", b"");
    assert_eq!(nobody.status.code(), Some(2));
    assert!(stderr(&nobody).contains("no name: give one with --name"), "{}", stderr(&nobody));
}

/// A running `hubbub tail`, and the lines that it prints.
struct Follower {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Follower {
    fn start(model: &Model, arguments: &str) -> Self {
        let mut command = v1_command(&["--server", &model.target, "tail"]);
        command.args(arguments.split(' '));
        let mut child = start_piped(command);
        let lines = BufReader::new(child.stdout.take().expect("standard output is piped"));
        Self { child, lines }
    }

    fn lines(&mut self, count: usize) -> String {
        let mut text = String::new();
        for _ in 0..count {
            self.lines.read_line(&mut text).expect("it prints");
        }
        text
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn tail_follows_a_room_across_lost_connections() {
    let model = model_with("builds", 30);
    let mut follower = Follower::start(&model, "builds");
    assert_eq!(follower.lines(10), numbers(21..=30));
    model.say("builds", "bob", "31");
    assert_eq!(follower.lines(1), numbers(31..=31));
    model.break_streams();
    model.say("builds", "bob", "32");
    assert_eq!(follower.lines(1), numbers(32..=32));
}

#[test]
fn tail_begins_at_the_requested_position() {
    let model = model_with("builds", 30);
    for (arguments, from, to) in [
        ("builds --from 0", 1, 30),
        ("builds --from 1", 1, 30),
        ("builds --from 29", 29, 30),
        ("builds --last 3", 28, 30),
        ("builds --last 100", 1, 30),
    ] {
        let mut follower = Follower::start(&model, arguments);
        assert_eq!(follower.lines((to - from + 1) as usize), numbers(from..=to), "{arguments}");
    }
    // A message that does not exist yet is waited for, and no earlier one is shown.
    let mut early = Follower::start(&model, "builds --from 33");
    let mut live = Follower::start(&model, "builds --last 0");
    wait_for("both", || model.members("builds") >= 2 && model.world().joins.len() == 7);
    (31..=34).for_each(|n| model.say("builds", "bob", &n.to_string()));
    assert_eq!(early.lines(2), numbers(33..=34));
    assert_eq!(live.lines(4), numbers(31..=34));
}

#[test]
fn a_closed_pipe_ends_tail_in_a_silent_room() {
    let model = model_with("builds", 3);
    let mut follower = Follower::start(&model, "builds");
    assert_eq!(follower.lines(3), numbers(1..=3));
    let mut child = std::mem::replace(
        &mut follower.child,
        v1_command(&["--version"]).stdout(Stdio::null()).spawn().expect("it starts"),
    );
    drop(follower);
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    let mut errors = String::new();
    child.stderr.take().expect("standard error is piped").read_to_string(&mut errors).expect("the output is UTF-8");
    assert_eq!(errors, "");
}

#[test]
fn json_has_all_fields_and_no_control_characters() {
    let model = Model::start();
    model.say("builds", "bob\u{202e}", "two\nlines \x1b[2J\u{9b}");
    let mut follower = Follower::start(&model, "builds --json --from 0");
    let line = follower.lines(1);
    assert!(!line.trim_end().contains(|c: char| c.is_control() || c == '\u{202e}'), "{line:?}");
    let read: serde_json::Value = serde_json::from_str(&line).expect("it is JSON");
    let keys: Vec<_> = read.as_object().expect("an object").keys().map(String::as_str).collect();
    let expected = ["authenticated", "body", "event", "kind", "message_id", "room", "sender", "seq", "time_ms"];
    assert_eq!(keys, expected);
    assert_eq!((&read["room"], &read["seq"], &read["kind"]), (&"builds".into(), &1.into(), &"text".into()));
    assert_eq!((&read["sender"], &read["body"]), (&"bob\u{202e}".into(), &"two\nlines \x1b[2J\u{9b}".into()));
    let id = read["message_id"].as_str().expect("a text");
    assert!(id.len() == 32 && id.chars().all(|c| c.is_ascii_hexdigit()), "{id}");
    assert_eq!(shown(&model, "history builds --json"), line);
    assert_eq!(shown(&model, "history builds"), "bob\\u{202e}: two\\nlines \\u{1b}[2J\\u{9b}\n");
}

#[test]
fn history_prints_any_range() {
    let model = model_with("builds", 120);
    for (arguments, from, to) in [
        ("", 71, 120),
        (" --limit 3", 118, 120),
        (" --limit 1000", 1, 120),
        (" --after 0 --limit 9", 1, 9),
        (" --after 115", 116, 120),
        (" --before 20 --limit 8", 12, 19),
        (" --before 20", 1, 19),
        (" --before 1000 --limit 2", 119, 120),
        (" --after 10 --before 14", 11, 13),
    ] {
        assert_eq!(shown(&model, &format!("history builds{arguments}")), numbers(from..=to), "{arguments}");
    }
    for nothing in
        [" --after 120", " --before 1", " --before 0", " --limit 0", " --after 9 --before 10", " --after 99999"]
    {
        assert_eq!(shown(&model, &format!("history builds{nothing}")), "", "{nothing}");
    }
    model.trim("builds", 100);
    assert_eq!(shown(&model, "history builds"), numbers(101..=120));
    let output = run(&model, "history builds --after 90 --limit 2", b"");
    assert_eq!(String::from_utf8_lossy(&output.stdout), numbers(101..=102));
    assert_eq!(stderr(&output), "* 10 lines before message 101 no longer kept\n");
    let nowhere = run(&model, "history nowhere", b"");
    assert_eq!((nowhere.status.code(), stderr(&nowhere).as_str()), (Some(1), "hubbub: there is no room nowhere\n"));
}

#[test]
fn rooms_and_members_are_listed_page_by_page() {
    let model = model_with("builds", 3);
    model.say("tea", "bob", "1");
    let _followers = [Follower::start(&model, "builds --name ann"), Follower::start(&model, "builds")];
    wait_for("both", || model.members("builds") == 2);
    assert_eq!(shown(&model, "rooms"), "builds: 3 messages, 2 members\ntea: 1 message, 0 members\n");
    let json = "{\"room\":\"builds\",\"head_seq\":3,\"oldest_seq\":1,\"members\":2}\n";
    assert!(shown(&model, "rooms --json").starts_with(json));
    let members = shown(&model, "members builds");
    let mut members: Vec<_> = members.lines().collect();
    members.sort_unstable();
    assert_eq!(members, ["ann", "tail"]);
    let json = shown(&model, "members builds --json");
    assert!(json.lines().all(|line| line.starts_with("{\"room\":\"builds\",\"client_id\":")), "{json}");
}

#[test]
fn wrong_usage_of_a_command_is_reported() {
    let model = Model::start();
    for (arguments, fault) in [
        ("tail", "<ROOM>"),
        ("tail .x", "no '.' at the beginning"),
        ("--last 3 history x", "--last can't be used with history: leave it out"),
        ("history x --limit many", "invalid value \"many\" for --limit"),
        ("frobnicate", "unknown command \"frobnicate\": to chat in a room of that name, write hubbub chat frobnicate"),
    ] {
        let output = run(&model, arguments, b"");
        assert_eq!(output.status.code(), Some(2), "{arguments}");
        assert!(stderr(&output).contains(fault), "{arguments}: {}", stderr(&output));
    }
}

#[test]
fn each_option_of_a_command_has_a_variable() {
    let model = model_with("builds", 30);
    for (command, variables, expected) in [
        ("history builds", &[("HUBBUB_AFTER", "3"), ("HUBBUB_BEFORE", "9"), ("HUBBUB_LIMIT", "2")][..], numbers(4..=5)),
        ("rooms", &[("HUBBUB_JSON", "0")], "builds: 30 messages, 0 members\n".to_owned()),
    ] {
        let mut program = v1_command(&[]);
        program.args(command.split(' ')).env("HUBBUB_SERVER", &model.target).envs(variables.iter().copied());
        let output = run_to_end(program, b"");
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{}", stderr(&output));
    }
    let mut program = v1_command(&["tail", "builds"]);
    program.envs([("HUBBUB_SERVER", model.target.as_str()), ("HUBBUB_FROM", "29"), ("HUBBUB_JSON", "1")]);
    let mut child = start_piped(program);
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line).expect("it prints");
    assert!(line.contains("\"seq\":29,"), "{line}");
    child.kill().expect("it runs");
    child.wait().expect("it ends");
}

/// The commands with the real server instead of the model.
#[test]
fn the_commands_work_with_the_real_server() {
    let server = start();
    let target = target(&server);
    let run = |arguments: &str, input: &[u8]| {
        let mut command = v1_command(&["--server", &target, "--name", "ann"]);
        command.args(arguments.split(' '));
        let output = run_to_end(command, input);
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{arguments}");
        String::from_utf8(output.stdout).expect("the output is UTF-8")
    };
    let numbers: String = (1..=2_500).map(|n| format!("{n}\n")).collect();
    assert_eq!(run("send tea", numbers.as_bytes()), "");
    assert_eq!(run("send tea the kettle boils", b""), "");
    let said: String = (1..=2_500).map(|n| format!("ann: {n}\n")).collect();
    assert_eq!(run("history tea --limit 2500 --after 0", b""), said);
    assert_eq!(run("history tea --limit 1", b""), "ann: the kettle boils\n");
    assert_eq!(run("history tea --before 3", b""), "ann: 1\nann: 2\n");
    // The chat shows the last messages, and its own when they are stored.
    let chat = run("chat --room tea --last 1", b"/me drinks\n");
    assert_eq!(chat, "ann: the kettle boils\n*ann* drinks\n");
    let mut asking = v1_command(&["--server", &target, "--name", "ann", "chat", "--room", "tea", "--last", "0"]);
    asking.env_remove("HUBBUB_ROOM");
    // From a pipe, the request may precede the join; the editing tests check the list.
    let said = stderr(&run_to_end(asking, b"/who\n"));
    assert!(said.starts_with("* in tea: "), "{said}");
    let mut child = start_piped(v1_command(&["--server", &target, "tail", "tea", "--from", "2501"]));
    let mut lines = BufReader::new(child.stdout.take().expect("standard output is piped")).lines();
    let mut next = || lines.next().expect("it prints").expect("the output is UTF-8");
    assert_eq!((next(), next()), ("ann: the kettle boils".to_owned(), "*ann* drinks".to_owned()));
    assert_eq!(run("members tea", b""), "tail\n");
    assert!(run("rooms", b"").contains("tea: 2502 messages, 1 member\n"));
    assert_eq!(run("send tea still warm", b""), "");
    assert_eq!(next(), "ann: still warm");
    child.kill().expect("it runs");
    child.wait().expect("it ends");
}
