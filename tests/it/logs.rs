//! Log lines: their forms, the events with their fields, floods, hostile names, and a standard error that takes nothing.

mod docs;
mod stuck;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _, pipe};
use std::net::TcpStream;
use std::path::Path;

use hubbub::limits::REPEATS_MAX;
use hubbub::wire::{LIST_ROOMS, v1};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::client::Client as HttpClient;
use crate::http::serve as serve_http;
use crate::support::chatter::{Chatter, environment};
use crate::support::logins;
use crate::support::process::{ServerProcess, command, has_secret};
use crate::support::talker::{Talker, call_as, hello, join, post_message};
use crate::support::wait_for;

const JSON: [&str; 2] = ["--log-format", "json"];

fn stop(mut server: ServerProcess) -> Vec<String> {
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
    server.rest_of_log()
}

/// The objects of a log in JSON: each line is one.
fn objects(log: &[String]) -> Vec<Value> {
    let parse = |line: &String| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    log.iter().map(parse).collect()
}

/// Those with this message.
fn with_message<'a>(objects: &'a [Value], message: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["message"] == message).collect()
}

/// The only one with this message.
fn only<'a>(objects: &'a [Value], message: &str) -> &'a Value {
    let found = with_message(objects, message);
    assert_eq!(found.len(), 1, "{message}: {objects:#?}");
    found[0]
}

/// A wrong token with the id of a right one.
fn spoilt(token: &str) -> String {
    let secret = token.len() - 8;
    let (right, last) = token.split_at(secret);
    format!("{right}{}", last.chars().rev().collect::<String>())
}

#[test]
fn every_event_has_the_fields_that_the_docs_list() {
    let data = TempDir::new().expect("a folder");
    let path = data.path().to_str().expect("a path of text");
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut add = |log: Vec<String>| {
        for object in objects(&log) {
            let event = docs::event_of(object["message"].as_str().expect("each line has a message"));
            let fields = object.as_object().expect("a line is an object").keys().cloned();
            seen.entry(event).or_default().extend(fields.filter(|field| !docs::PARTS.contains(&field.as_str())));
        }
    };
    // Without logins, and full.
    let server = ServerProcess::start(&[&JSON[..], &["--clients-max", "1", "--data", path]].concat());
    let mut ann = Talker::join(&environment(), server.target(), "ann", "tea");
    ann.post("tea", 1, "hello");
    ann.hear();
    Talker::connect(&environment(), server.target(), "bob").end();
    add(stop(server));
    // With logins: a wrong token, another name than the token's, and too many failures to be all logged.
    let server = logins::serve(data.path(), &[&JSON[..], &["--auth", "accounts"]].concat());
    let token = logins::token(data.path(), "ann", &[]);
    let wrong = spoilt(&token);
    let client = logins::connect(&server);
    for _ in 0..3 * REPEATS_MAX {
        call_as(&client, &LIST_ROOMS, &v1::ListRoomsRequest::default(), Some(&wrong)).expect_err("it is refused");
    }
    Talker::over(logins::connect(&server), "ann", Some(&wrong)).end();
    let mut other = Talker::over(logins::connect(&server), "bob", Some(&token));
    other.send(vec![hello("bob")]);
    other.end();
    let mut ann = Talker::over(logins::connect(&server), "ann", Some(&token));
    ann.send(vec![hello("ann")]);
    assert!(ann.next().has_welcome());
    add(stop(server));
    let documented = docs::events();
    for (event, fields) in &documented {
        // The tests of `stuck` and of the writer see these.
        if !event.contains("log lines were") {
            assert_eq!(seen.get(event), Some(fields), "docs/logs.md has other fields of {event:?} than the log");
        }
    }
    let unlisted: Vec<_> =
        seen.iter().filter(|(event, fields)| !fields.is_empty() && !documented.contains_key(*event)).collect();
    assert!(unlisted.is_empty(), "docs/logs.md lacks {unlisted:?}");
}

#[test]
fn the_start_is_one_line_with_what_matters() {
    let data = TempDir::new().expect("a folder");
    let path = data.path().to_str().expect("a path of text");
    let start = || ServerProcess::start(&[&JSON[..], &["--clients-max", "77", "--data", path]].concat());
    let server = start();
    let target = server.target().to_owned();
    let client = logins::connect(&server);
    for (number, room) in [(1, "tea"), (2, "tea"), (3, "coffee")] {
        post_message(&client, room, "ann", number, "hello").expect("it is stored");
    }
    let log = objects(&stop(server));
    let started = only(&log, "server started");
    assert_eq!((&started["rooms"], &started["messages"]), (&0.into(), &0.into()));
    assert_eq!((started["listen"].as_str(), started["data"].as_str()), (Some(target.as_str()), Some(path)));
    assert_eq!((&started["tls"], &started["login"], &started["http"]), (&false.into(), &"open".into(), &"none".into()));
    assert_eq!(
        (&started["admin"], &started["clients_max"], &started["level"]),
        (&"none".into(), &77.into(), &"info".into())
    );
    assert_eq!(started["version"], env!("CARGO_PKG_VERSION"));
    let log = objects(&stop(start()));
    let started = only(&log, "server started");
    assert_eq!((&started["rooms"], &started["messages"]), (&2.into(), &3.into()));
}

#[test]
fn a_session_has_a_line_at_its_start_and_one_at_its_end() {
    let server = ServerProcess::start(&JSON);
    let mut bob = Talker::join(&environment(), server.target(), "bob", "tea");
    let mut ann = Talker::join(&environment(), server.target(), "ann", "tea");
    for number in 1..=3 {
        ann.post("tea", number, "a body that no log shows");
        assert_eq!((ann.hear().0, bob.hear().0), (number as u64, number as u64));
    }
    drop(ann);
    drop(bob);
    let log = stop(server);
    assert!(!log.concat().contains("a body that"), "{log:#?}");
    let log = objects(&log);
    for (name, posted) in [("ann", 3), ("bob", 0)] {
        let of = |message| {
            let found = with_message(&log, message).into_iter().filter(|object| object["name"] == name);
            let found: Vec<_> = found.collect();
            assert_eq!(found.len(), 1, "{message} of {name}: {log:#?}");
            found[0].clone()
        };
        let (started, ended) = (of("session started"), of("session ended"));
        for event in [&started, &ended] {
            assert_eq!((&event["target"], &event["level"]), (&"session".into(), &"info".into()));
            assert_eq!((&event["verified"], &event["transport"]), (&false.into(), &"grpc".into()));
            assert_eq!((&event["client"], &event["peer"]), (&started["client"], &started["peer"]));
            assert!(event["peer"].as_str().is_some_and(|peer| peer.starts_with("127.0.0.1:")), "{event}");
        }
        assert_eq!((&ended["posted"], &ended["delivered"]), (&posted.into(), &3.into()), "{ended}");
        assert!(ended["bytes"].as_u64().is_some_and(|bytes| bytes > 60) && ended["seconds"].is_number(), "{ended}");
        assert!(["client_left", "draining"].contains(&ended["reason"].as_str().expect("a reason")), "{ended}");
    }
}

#[test]
fn sessions_of_the_tutorial_and_of_http_have_lines_too() {
    let (server, address) = serve_http(&JSON);
    let mut chatter = Chatter::join(&environment(), server.target(), "old");
    chatter.say("hello");
    let mut events = TcpStream::connect(&address).expect("it accepts");
    write!(events, "GET /rooms/lobby/events?last=5 HTTP/1.1\r\nHost: {address}\r\n\r\n").expect("it is sent");
    let mut text = String::new();
    let mut reader = BufReader::new(&events);
    while !text.contains("hello") {
        assert!(reader.read_line(&mut text).expect("it answers") > 0, "{text}");
    }
    let log = objects(&stop(server));
    let by = |transport: &str, message: &str| {
        let found = with_message(&log, message).into_iter().filter(|object| object["transport"] == transport).cloned();
        let found: Vec<_> = found.collect();
        assert_eq!(found.len(), 1, "{transport} {message}: {log:#?}");
        found[0].clone()
    };
    // It has no name before it says something, and then a claim.
    assert_eq!(by("grpc", "session started").get("name"), None);
    let ended = by("grpc", "session ended");
    assert_eq!((&ended["name"], &ended["verified"], &ended["posted"]), (&"old".into(), &false.into(), &1.into()));
    let ended = by("http", "session ended");
    assert_eq!((ended.get("name"), &ended["delivered"], &ended["reason"]), (None, &1.into(), &"draining".into()));
    assert_eq!(by("http", "session started")["client"], ended["client"]);
}

/// The story: a name is a claim of a stranger, and this one tries to write lines and fields of its own.
#[test]
fn a_name_forges_no_line_and_no_field() {
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0", "--ephemeral"]).env("RUST_LOG", "trace,grpcio=off");
    let server = ServerProcess::listening(command);
    let forged = "eve\" verified=true name=\"ann";
    let mut eve = Talker::hello(&environment(), server.target(), forged);
    eve.send(vec![join("tea\n[2026-11-28T12:00:00Z INFO  audit] operator (uid 0) banned ann", None)]);
    eve.rejected();
    for name in ["eve\n[2026-11-28T12:00:00Z INFO  audit] forged", "eve\u{1b}[2J", "ev\re", "\u{202e}eve"] {
        let mut refused = Talker::connect(&environment(), server.target(), name);
        refused.send(vec![hello(name)]);
        refused.end();
        let mut old = Chatter::join(&environment(), server.target(), name);
        old.say_as(name, "hello");
        old.end();
    }
    drop(eve);
    let log = stop(server);
    assert!(log.iter().all(|line| line.starts_with("[20") && !line.chars().any(char::is_control)), "{log:#?}");
    let quoted = "name=\"eve\\\" verified=true name=\\\"ann\" verified=false";
    let ended: Vec<_> = log.iter().filter(|line| line.contains("session ended") && line.contains("ann")).collect();
    assert!(ended.len() == 1 && ended[0].contains(quoted), "{ended:?}");
    assert!(!log.iter().any(|line| line.contains(" audit]")), "{log:#?}");
}

#[test]
fn a_flood_of_sessions_is_counted() {
    const SESSIONS: u64 = 300;
    let server = ServerProcess::start(&JSON);
    for _ in 0..SESSIONS {
        drop(Talker::hello(&environment(), server.target(), "ann"));
    }
    wait_for("no stream", || server.client_threads() == 0);
    let log = objects(&stop(server));
    for event in ["session started", "session ended"] {
        let written = with_message(&log, event).len() as u64;
        let skipped = log.iter().filter(|object| object["event"] == event && object["target"] == "session");
        let counts: Vec<_> = skipped.map(|object| object["count"].as_u64().expect("a number")).collect();
        assert_eq!(written + counts.iter().sum::<u64>(), SESSIONS, "{event}: {written} lines, and {counts:?}");
        assert!(!counts.is_empty() && written < SESSIONS, "{event}: {written} lines");
    }
}

/// Tokens, right and wrong ones, and bodies are in no line, whatever is logged. [`ServerProcess`] checks the lines of all
/// other tests for tokens.
#[test]
fn no_line_has_a_secret_or_a_body() {
    const BODY: &str = "Rindfleischetikettierung";
    let data = TempDir::new().expect("a folder");
    let token = logins::token(data.path(), "ann", &[]);
    assert!(has_secret(&format!("token=\"{token}\"")) && !has_secret("token hub_7k2m9x4d of user"));
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--auth", "accounts", "--data"]);
    command.arg(data.path()).args(JSON).env("RUST_LOG", "trace").env_remove("GRPC_TRACE");
    let mut server = ServerProcess::listening(command);
    let line = server.wait_for_log("serving HTTP on ");
    let address = line.split("serving HTTP on ").nth(1).and_then(|rest| rest.split(' ').next());
    let mut http = HttpClient::connect(address.expect("the line has the address"));
    let mut ann = Talker::over(logins::connect(&server), "ann", Some(&token));
    ann.send(vec![hello("ann")]);
    assert!(ann.next().has_welcome());
    ann.join_room("tea", None);
    ann.post("tea", 1, BODY);
    ann.hear();
    let wrong = spoilt(&token);
    Talker::over(logins::connect(&server), "ann", Some(&wrong)).end();
    for (token, status) in [(&token, 200), (&wrong, 401)] {
        let fields = format!("Authorization: Bearer {token}\n");
        let posted = http.call_with("PostMessage", &json!({"room": "tea", "body": BODY}), &fields);
        assert_eq!(posted.status, status, "{}", posted.text());
        // Where it does not belong.
        http.ask(&format!("GET /rooms/{token}?token={token} HTTP/1.1\nHost: localhost\n\n"));
        let mut other = Talker::over(logins::connect(&server), "ann", Some(token));
        other.send(vec![hello(token)]);
        other.end();
    }
    let log = stop(server);
    for expected in ["reason\":\"login", "message\":\"login failed", "level\":\"debug"] {
        assert!(log.iter().any(|line| line.contains(expected)), "{expected}: {log:#?}");
    }
    for secret in [&token[13..], &wrong[13..], BODY] {
        assert!(!log.iter().any(|line| line.contains(secret)), "{secret}");
    }
}

/// Starts a server whose standard error is a pipe that the variable names, or does not name. Returns its log.
fn log_for_journal(names_pipe: bool) -> Vec<String> {
    let (reader, writer) = pipe().expect("a pipe");
    let file = rustix::fs::fstat(&writer).expect("it is open");
    let inode = if names_pipe { file.st_ino } else { file.st_ino + 1 };
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0", "--ephemeral"]).env("JOURNAL_STREAM", format!("{}:{inode}", file.st_dev));
    let mut child = command.stderr(writer).spawn().expect("it starts");
    // The pipe ends with the server.
    drop(command);
    let mut lines = BufReader::new(reader).lines().map(|line| line.expect("a line of text"));
    let mut log = Vec::new();
    while !log.last().is_some_and(|line: &String| line.contains("server started")) {
        log.push(lines.next().expect("it starts"));
    }
    // SAFETY: the process is our child and was not waited for.
    unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGTERM) };
    log.extend(lines);
    assert!(child.wait().expect("it is our child").success());
    log
}

#[test]
fn the_journal_gets_levels_and_no_times() {
    let log = log_for_journal(true);
    assert!(log[0].starts_with("<6>hubbub_server: listening on 127.0.0.1:"), "{log:#?}");
    assert!(log.iter().all(|line| line.starts_with('<') && line.as_bytes()[2] == b'>'), "{log:#?}");
    // The variable is inherited, but this standard error is another file.
    let log = log_for_journal(false);
    assert!(log.iter().all(|line| line.starts_with("[20")), "{log:#?}");
}

#[test]
fn a_wrong_format_is_named() {
    let output = command().args(["--log-format", "xml"]).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--log-format") && said.contains("expected text or json"), "{said}");
    // Why a start fails is JSON too, whatever is logged.
    let mut failing = command();
    failing.args(["--ephemeral", "--listen", "unix:/nowhere/at/all.sock"]).args(JSON).env("RUST_LOG", "off");
    let output = failing.output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let object: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert_eq!((&object["level"], output.status.code()), (&"error".into(), Some(1)), "{said}");
    assert!(object["message"].as_str().is_some_and(|message| message.contains("/nowhere/at/all.sock")), "{said}");
    // Commands take it too.
    let folder = TempDir::new().expect("a folder");
    let verify = |data: &Path| command().args(["verify", "--log-format", "json", "--data"]).arg(data).output();
    let output = verify(folder.path()).expect("it starts");
    assert!(String::from_utf8_lossy(&output.stderr).contains("no log in"), "{output:?}");
}
