//! `hubbub export` and `import`, and changes in `tail` and `history`, with a real server.

use std::process::Output;

use super::{run_to_end, stderr, v1_command};
use crate::compatible::changes::Changer;
use crate::support::logins::{serve, token};
use crate::support::{start, target};

fn run(target: &str, arguments: &str, input: &[u8]) -> Output {
    let mut command = v1_command(&["--server", target]);
    command.args(arguments.split(' '));
    run_to_end(command, input)
}

fn shown(target: &str, arguments: &str) -> String {
    let output = run(target, arguments, b"");
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{arguments}");
    String::from_utf8(output.stdout).expect("the output is UTF-8")
}

fn objects(lines: &str) -> Vec<serde_json::Value> {
    lines.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect()
}

#[test]
fn history_shows_messages_as_they_are_now() {
    let server = start();
    let target = target(&server);
    Changer::new(&target, "tea").change_everything();
    let text = "ann: one\nann: edited twice [edited]\n* deleted #3: ann\nann: [re #1] a reply\n";
    assert_eq!(shown(&target, "history tea"), text);
    // The events after the last message do not count, and neither do those between.
    assert_eq!(shown(&target, "history tea --limit 1"), "ann: [re #1] a reply\n");
    let json = objects(&shown(&target, "history tea --json"));
    let bodies: Vec<_> = json.iter().map(|event| event["body"].as_str().expect("a text")).collect();
    assert_eq!(bodies, ["one", "edited twice", "", "a reply"]);
    assert!(json.iter().all(|event| event["event"] == "message"));
    assert_eq!((&json[1]["edited_seq"], &json[1]["changed_seq"]), (&9.into(), &12.into()));
    assert_eq!((&json[2]["deleted_by"]["name"], &json[3]["reply_to_seq"]), (&"ann".into(), &1.into()));
    assert_eq!(json[3]["mentions"], serde_json::json!(["bob"]));
    let rooms = objects(&shown(&target, "rooms --json"));
    assert_eq!((&rooms[0]["topic"], &rooms[0]["head_seq"]), (&"tea".into(), &13.into()));
}

#[test]
fn an_export_has_the_state_and_every_event() {
    let server = start();
    let target = target(&server);
    Changer::new(&target, "tea").change_everything();
    let events = objects(&shown(&target, "export tea --jsonl"));
    let kinds: Vec<_> = events.iter().map(|event| event["event"].as_str().expect("a word")).collect();
    let messages = ["message"; 4];
    let changes = ["edited", "reacted", "pinned", "room_changed", "edited", "pinned", "deleted", "reacted", "pinned"];
    assert_eq!(kinds, [&["room"][..], &messages, &changes].concat());
    assert_eq!((&events[0]["head_seq"], &events[0]["topic"]), (&13.into(), &"tea".into()));
    let seqs: Vec<_> = events[1..].iter().map(|event| event["seq"].as_u64().expect("a number")).collect();
    assert_eq!(seqs, (1..=13).collect::<Vec<_>>());
    // The first edit lost its text to the second one.
    assert_eq!((events[5].get("body"), &events[9]["body"]), (None, &"edited twice".into()));
    assert!(!shown(&target, "export tea").contains("to be"));
    let nowhere = run(&target, "export nowhere", b"");
    assert_eq!((nowhere.status.code(), stderr(&nowhere).as_str()), (Some(1), "hubbub: there is no room nowhere\n"));
}

/// Whatever interrupts an import, a repeated one completes it, and nothing is stored twice.
#[test]
fn an_import_can_be_repeated() {
    let server = start();
    let target = target(&server);
    let mut changer = Changer::new(&target, "tea");
    changer.change_everything();
    changer.react("bob", 4, "+1", false);
    changer.pin("bob", 4, false);
    let file = shown(&target, "export tea");
    // Interrupted in the third line.
    let start: String = file.lines().take(2).map(|line| format!("{line}\n")).collect();
    let part = run(&target, "import copy", format!("{start}{{\"event\":\"mess").as_bytes());
    assert_eq!(part.status.code(), Some(1));
    assert!(stderr(&part).contains("* line 3 is not imported: it is not a line of an export"), "{}", stderr(&part));
    assert!(stderr(&part).contains("* imported: 1 message; there already: 0 messages"), "{}", stderr(&part));
    for (stored, known) in [("2 messages", "1 message"), ("0 messages", "3 messages")] {
        let whole = run(&target, "import copy", file.as_bytes());
        let expected = format!("* imported: {stored}; there already: {known}\n");
        assert_eq!((whole.status.code(), stderr(&whole)), (Some(0), expected));
    }
    // A deleted message is left out, and replies have the new numbers. The topic was set by the first import.
    assert_eq!(shown(&target, "history copy"), "ann: one\nann: edited twice\nann: [re #1] a reply [+1 1]\n");
    let copy = objects(&shown(&target, "export copy"));
    assert_eq!((&copy[0]["topic"], &copy[0]["pinned_seqs"]), (&"tea".into(), &serde_json::json!([4])));
    assert_eq!(copy[4]["reactions"][0]["people"][0]["name"], "bob");
    // Into its own room: all messages are there.
    let same = run(&target, "import tea", file.as_bytes());
    assert_eq!(stderr(&same), "* imported: 0 messages; there already: 3 messages\n");
    for (input, fault) in
        [("{}\n", "line 1 is not imported"), ("[1]\n", "line 1 is not imported"), ("\u{1b}[2J", "line 1")]
    {
        let output = run(&target, "import copy", input.as_bytes());
        assert!(output.status.code() == Some(1) && stderr(&output).contains(fault), "{}", stderr(&output));
        assert!(!stderr(&output).contains('\u{1b}'));
    }
    let long = run(&target, "import copy", &vec![b'x'; 2 * 1024 * 1024]);
    assert!(stderr(&long).contains("stopped at line 1: the line is too long"), "{}", stderr(&long));
}

/// After a login the server accepts only the user's own name.
#[test]
fn an_import_after_a_login_quotes_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let token = token(folder.path(), "bob", &[]);
    let server = serve(folder.path(), &["--auth", "accounts"]);
    let import = |arguments: &[&str]| {
        let mut command = v1_command(&["--server", server.target(), "import", "tea"]);
        command.args(arguments).env("HUBBUB_TOKEN", &token);
        let line = |seq: u64, sender: &str, body: &str| {
            let id = format!("019ac1d54f3a7b10a1d2c3e4f506{seq:04}");
            format!(r#"{{"event":"message","seq":{seq},"message_id":"{id}","sender":"{sender}","body":"{body}"}}"#)
        };
        run_to_end(command, format!("{}\n{}\n", line(1, "bob", "mine"), line(2, "ann", "hers")).as_bytes())
    };
    let refused = import(&[]);
    assert_eq!(refused.status.code(), Some(1));
    let reason =
        "stopped at line 2: the server accepts only your own name, bob: with --quote, ann's messages are posted";
    assert!(stderr(&refused).contains(reason), "{}", stderr(&refused));
    for expected in
        ["* imported: 1 message; there already: 1 message\n", "* imported: 0 messages; there already: 2 messages\n"]
    {
        let quoted = import(&["--quote"]);
        assert_eq!((quoted.status.code(), stderr(&quoted).as_str()), (Some(0), expected));
    }
    let mut command = v1_command(&["--server", server.target(), "history", "tea"]);
    command.env("HUBBUB_TOKEN", &token);
    let history = run_to_end(command, b"");
    assert_eq!(String::from_utf8_lossy(&history.stdout), "bob: mine\nbob: ann: hers\n");
}
