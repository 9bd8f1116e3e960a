//! docs/protocol.md: its programs are the files in `examples/clients`, which resume after a cut; its tables have the
//! names of the contract and the numbers of the code.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use hubbub::limits;
use hubbub::wire::v1::event::Event as Kind;
use tempfile::TempDir;

use crate::support::chatter::environment;
use crate::support::foreign::{node, project};
use crate::support::process::{ServerProcess, command, lasting_address};
use crate::support::program::{Program, in_python};
use crate::support::proxy::Proxy;
use crate::support::talker::{Talker, after};
use crate::support::{seed, wait_for};

const PAGE: &str = "docs/protocol.md";
const ROOM: &str = "tea";

fn read(name: &str) -> String {
    fs::read_to_string(project(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The rows of the tables below a heading, until the next heading. Each is a list of cells.
fn rows(page: &str, heading: &str) -> Vec<Vec<String>> {
    let lines = page.lines().skip_while(|line| *line != format!("## {heading}")).skip(1);
    let lines = lines.take_while(|line| !line.starts_with("## ")).filter(|line| line.starts_with("| "));
    let cells = |line: &str| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
    let rows: Vec<Vec<String>> = lines.filter(|line| !line.starts_with("| ---")).map(cells).collect();
    assert!(rows.len() > 2, "{heading} has a table: {rows:?}");
    rows.into_iter().skip(1).collect()
}

/// The names in backquotes of the first cells.
fn names(rows: &[Vec<String>]) -> Vec<String> {
    rows.iter().flat_map(|row| row[0].split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// The lines between one that begins with this and the next one that is only a closing brace.
fn block<'a>(text: &'a str, begin: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = text.lines().map(str::trim).skip_while(move |line| !line.starts_with(begin)).skip(1);
    lines.take_while(|line| *line != "}").filter(|line| !line.starts_with("//"))
}

/// Compares two lists regardless of their order. Neither may have a name twice.
fn assert_same(documented: &[String], declared: &[String], what: &str) {
    let [documented_set, declared_set] = [documented, declared].map(|names| names.iter().collect::<BTreeSet<_>>());
    assert_eq!(documented_set, declared_set, "{what}");
    assert_eq!((documented.len(), declared.len()), (documented_set.len(), declared_set.len()), "{what}");
    assert!(documented.len() > 2, "{what}: {documented:?}");
}

#[test]
fn the_programs_of_the_page_are_those_that_are_run() {
    let page = read(PAGE);
    for (file, language) in [("examples/clients/client.py", "python"), ("examples/clients/client.js", "js")] {
        let shown = format!("<!-- {file} -->\n```{language}\n{}```\n", read(file));
        assert!(page.contains(&shown), "{PAGE} does not show {file} as it is: copy it into the page");
    }
}

#[test]
fn the_tables_have_the_names_of_the_contract() {
    let (page, contract) = (read(PAGE), read("proto/hubbub/v1/chat.proto"));
    let names_of = |heading| names(&rows(&page, heading));
    let values = |begin| -> Vec<String> {
        let values = block(&contract, begin).filter_map(|line| line.split_once(" = ")).map(|(name, _)| name.to_owned());
        values.filter(|name| !name.ends_with("_UNSPECIFIED")).collect()
    };
    assert_same(&names_of("When a command is rejected"), &values("enum Code {"), "the codes of Rejected");
    assert_same(&names_of("Gaps and epochs"), &values("enum Reason {"), "the reasons of gaps");
    let kinds = block(&contract, "oneof event {").filter_map(|line| line.split(' ').nth(1)).map(str::to_owned);
    assert_same(&names_of("Events"), &kinds.collect::<Vec<_>>(), "the kinds of events");
    let methods = contract.lines().filter_map(|line| line.trim().strip_prefix("rpc "));
    let methods: Vec<_> = methods.filter_map(|line| line.split('(').next()).map(str::to_owned).collect();
    assert_same(&names_of("Methods"), &methods, "the methods");
}

/// Whether an event is in the log, as the contract's comments say.
#[test]
fn the_page_says_of_each_event_whether_it_is_in_the_log() {
    let contract = read("proto/hubbub/v1/chat.proto");
    let (mut is_logged, mut logged) = (false, BTreeSet::new());
    let lines = contract.lines().map(str::trim).skip_while(|line| *line != "oneof event {").skip(1);
    for line in lines.take_while(|line| *line != "}") {
        if line.starts_with("//") {
            is_logged = line.ends_with("In the log.");
        } else if is_logged {
            logged.insert(line.split(' ').nth(1).expect("a field has a name").to_owned());
        }
    }
    let rows = rows(&read(PAGE), "Events");
    let documented: Vec<_> = rows.iter().filter(|row| row[1] == "yes").cloned().collect();
    assert_eq!(names(&documented).into_iter().collect::<BTreeSet<_>>(), logged);
    assert!(rows.iter().all(|row| ["yes", "no"].contains(&row[1].as_str())), "{rows:?}");
}

/// `InvalidArgument` as `INVALID_ARGUMENT`.
fn in_capitals(name: &str) -> String {
    let parts = name.char_indices().flat_map(|(at, char)| {
        let gap = (at > 0 && char.is_uppercase()).then_some('_');
        gap.into_iter().chain(char.to_uppercase())
    });
    parts.collect()
}

/// The codes that the server can answer with, and the HTTP status of each, from the source: outside of the crate, the
/// codes can't be listed.
#[test]
fn the_table_of_status_codes_has_those_of_the_server() {
    let declared = read("src/server/calls/error.rs");
    let declared: Vec<_> = block(&declared, "pub enum Code {").map(|line| line.trim_end_matches(',')).collect();
    let declared: Vec<_> = declared.into_iter().map(in_capitals).collect();
    let rows = rows(&read(PAGE), "Status codes");
    assert_same(&names(&rows), &declared, "the status codes");
    let source = read("src/server/http/answer.rs");
    let statuses: Vec<_> =
        block(&source, "pub fn status(code: Code) -> u16 {").filter(|line| line.contains("=>")).collect();
    assert!(statuses.len() > 5, "{statuses:?}");
    for row in rows {
        let name = row[0].trim_matches('`').to_owned();
        let is_of = |line: &&&str| {
            line.split("Code::").skip(1).any(|code| {
                in_capitals(code.split(|char: char| !char.is_alphanumeric()).next().unwrap_or_default()) == name
            })
        };
        let line = statuses.iter().find(is_of).unwrap_or_else(|| panic!("{name} has no HTTP status"));
        assert!(line.ends_with(&format!("=> {},", row[1])), "{name}: {line}");
    }
}

#[test]
fn the_table_of_limits_has_the_numbers_of_the_code() {
    let rows = rows(&read(PAGE), "Limits");
    let expected: [(&str, &str, &[f64]); 17] = [
        ("a name of a user or a room", "# characters", &[limits::NAME_CHARS_MAX as f64]),
        ("a body", "# bytes of UTF-8", &[limits::BODY_BYTES_MAX as f64]),
        ("a request", "# bytes", &[limits::RECEIVE_BYTES_MAX as f64]),
        ("commands in a request", "#", &[limits::COMMANDS_MAX as f64]),
        ("rooms of a stream", "#", &[limits::ROOMS_PER_STREAM_MAX as f64]),
        ("streams of a connection", "#", &[limits::STREAMS_PER_CONNECTION_MAX as f64]),
        ("`Hello`", "within # s", &[limits::HELLO_TIMEOUT.as_secs_f64()]),
        ("mentions of a message", "#", &[limits::MENTIONS_MAX as f64]),
        ("a topic", "# characters", &[limits::TOPIC_CHARS_MAX as f64]),
        ("an emoji", "# bytes", &[limits::EMOJI_BYTES_MAX as f64]),
        ("emojis of a message", "# different ones", &[limits::EMOJIS_MAX as f64]),
        ("pins of a room", "#", &[limits::PINS_MAX as f64]),
        ("a query", "# characters", &[limits::QUERY_CHARS_MAX as f64]),
        (
            "entries of a page",
            "#, of `SearchMessages` #",
            &[limits::PAGE_SIZE_MAX as f64, limits::SEARCH_PAGE_SIZE_MAX as f64],
        ),
        ("presence", "rooms of # members", &[limits::PRESENCE_MEMBERS_MAX as f64]),
        ("pings", "one every # s", &[limits::PING_INTERVAL_MIN.as_secs_f64()]),
        (
            "messages of an address, by default",
            "# a second, # at once",
            &[limits::POSTS_PER_SECOND, limits::POSTS_PER_SECOND * limits::POSTS_BURST_TIME],
        ),
    ];
    assert_eq!(rows.len(), expected.len(), "each row is checked");
    for (row, (what, text, numbers)) in rows.iter().zip(expected) {
        let text = numbers.iter().fold(text.to_owned(), |text, number| text.replacen('#', &with_commas(*number), 1));
        assert_eq!((row[0].as_str(), row[1].as_str()), (what, text.as_str()));
    }
    let page = read(PAGE);
    let reconnect = limits::RECONNECT_AFTER.as_millis();
    let (silence, answer) = (limits::KEEPALIVE_TIME.as_secs(), limits::KEEPALIVE_TIMEOUT.as_secs());
    let (alive, grace) = (limits::HTTP_ALIVE_TIME.as_secs(), limits::LOGIN_GRACE.as_secs());
    for sentence in [
        format!("`reconnect_after_ms` ({reconnect} ms)"),
        format!("silent for {silence} s, and closes it if no answer comes within {answer} s"),
        format!("comes after {alive} s of silence"),
        format!("UNAUTHENTICATED, {grace} s after the end of the login"),
        format!("{} of the longest bodies fit", (limits::RECEIVE_BYTES_MAX - 1) / limits::BODY_BYTES_MAX),
    ] {
        let lines = page.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(lines.contains(&sentence), "{PAGE} lacks: {sentence}");
    }
}

/// A whole number in the format of the pages: `65,536`.
fn with_commas(number: f64) -> String {
    let digits = format!("{number:.0}");
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

/// A data folder whose server is killed and started again on the same address.
struct Scene {
    folder: TempDir,
    address: String,
    server: Option<ServerProcess>,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut scene = Self { folder, address: lasting_address(), server: None };
        scene.start();
        scene
    }

    fn start(&mut self) {
        let mut server = command();
        server.args(["--listen", &self.address, "--data"]).arg(self.folder.path().join("data"));
        self.server = Some(ServerProcess::listening(server));
    }

    fn kill(&mut self) {
        self.server.take().expect("it runs").crash();
    }

    fn stop(&mut self) {
        let mut server = self.server.take().expect("it runs");
        server.signal(libc::SIGTERM);
        assert!(server.wait().success());
    }

    /// Runs a sub-command on the data folder.
    fn run(&self, arguments: &[&str]) {
        let output = command().args(arguments).arg("--data").arg(self.folder.path().join("data")).output();
        let output = output.expect("hubbub-server runs");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// The messages that the server has, in the form in which the clients print them.
    fn messages(&self) -> Vec<String> {
        let mut reader = Talker::hello(&environment(), &self.address, "reader");
        let (_, events) = reader.join_room(ROOM, after(0, 0));
        let line = |event: &hubbub::wire::v1::Event| match &event.event {
            Some(Kind::Message(message)) => format!("{} {} {}", event.seq, message.sender, message.body),
            other => panic!("expected a message: {other:?}"),
        };
        events.iter().map(line).collect()
    }
}

/// Both clients, in the room, each with the number of lines that it was given.
struct Clients([(&'static str, Program, usize); 2]);

impl Clients {
    fn start(address: &str) -> Self {
        let with = |mut program: Command, name| {
            program.args([address, ROOM, name]);
            (name, Program::start(program), 0)
        };
        let mut in_node = node();
        in_node.arg(project("examples/clients/client.js"));
        Self([with(in_python("examples/clients/client.py"), "py"), with(in_node, "js")])
    }

    /// Each gets this many lines to post.
    fn give(&mut self, count: usize) {
        for (name, program, given) in &mut self.0 {
            for number in *given..*given + count {
                program.write_line(&format!("line {number} of {name}"));
            }
            *given += count;
        }
    }

    fn total(&self) -> usize {
        self.0.iter().map(|(_, _, given)| given).sum()
    }

    /// Waits until each has printed as many lines.
    fn wait_for_lines(&self, count: usize) {
        for (name, program, _) in &self.0 {
            wait_for(&format!("{count} lines of {name}"), || program.printed().len() >= count);
        }
    }

    /// Each must have printed exactly these lines, in which each one's own are in their order; and it ends when its
    /// input does.
    fn check(self, stored: &[String]) {
        for (name, program, given) in self.0 {
            assert_eq!(program.printed(), stored, "{name}");
            let own = stored.iter().filter_map(|line| line.split_once(&format!(" {name} line "))).map(|(_, rest)| rest);
            let expected: Vec<_> = (0..given).map(|number| format!("{number} of {name}")).collect();
            assert_eq!(own.collect::<Vec<_>>(), expected, "{name}");
            assert!(program.finish().success(), "{name}");
        }
    }
}

#[test]
fn the_clients_lose_and_repeat_nothing_while_the_server_is_killed() {
    let mut random = fastrand::Rng::with_seed(seed());
    let mut scene = Scene::new();
    let mut clients = Clients::start(&scene.address);
    clients.give(5);
    clients.wait_for_lines(10);
    for _ in 0..6 {
        let seen = clients.0[1].1.printed().len();
        clients.give(random.usize(1..60));
        // Some are stored and not acknowledged, and some are not stored.
        wait_for("some lines", || clients.0[1].1.printed().len() > seen);
        scene.kill();
        clients.give(5);
        scene.start();
    }
    clients.wait_for_lines(clients.total());
    let stored = scene.messages();
    assert_eq!(stored.len(), clients.total());
    clients.check(&stored);
}

#[test]
fn the_clients_lose_and_repeat_nothing_while_connections_are_cut() {
    let mut random = fastrand::Rng::with_seed(seed());
    let scene = Scene::new();
    let proxy = Proxy::start(&scene.address);
    let mut clients = Clients::start(proxy.target());
    clients.give(5);
    clients.wait_for_lines(10);
    for _ in 0..12 {
        clients.give(random.usize(1..60));
        wait_for("a connection to cut", || proxy.strike(&mut random).is_some());
    }
    clients.wait_for_lines(clients.total());
    let stored = scene.messages();
    assert_eq!(stored.len(), clients.total());
    clients.check(&stored);
}

/// The clients learn which messages are lost, and continue with those that come in their place.
#[test]
fn the_clients_continue_after_a_backup_was_restored() {
    let mut scene = Scene::new();
    let mut clients = Clients::start(&scene.address);
    clients.give(3);
    clients.wait_for_lines(6);
    let file = scene.folder.path().join("backup.db");
    let file = file.to_str().expect("a plain path");
    scene.run(&["backup", file]);
    clients.give(2);
    clients.wait_for_lines(10);
    let mut expected = scene.messages();
    scene.stop();
    scene.run(&["restore", file]);
    scene.start();
    expected.push("* missing: messages 7 to 10, REASON_EPOCH_CHANGED".to_owned());
    clients.wait_for_lines(11);
    clients.give(4);
    clients.wait_for_lines(19);
    let stored = scene.messages();
    assert_eq!(stored.len(), 14);
    expected.extend_from_slice(&stored[6..]);
    for (name, program, _) in clients.0 {
        assert_eq!(program.printed(), expected, "{name}");
        assert!(program.finish().success(), "{name}");
    }
}

#[test]
fn the_clients_give_the_reason_when_they_give_up() {
    let scene = Scene::new();
    let in_wrong_room = |mut program: Command| {
        program.args([&scene.address, "no room", "ann"]);
        let mut program = Program::start(program);
        program.write_line("hello");
        program.wait_until_said("the room's name contains ' '");
        assert_eq!(program.wait().code(), Some(1));
    };
    in_wrong_room(in_python("examples/clients/client.py"));
    let mut in_node = node();
    in_node.arg(project("examples/clients/client.js"));
    in_wrong_room(in_node);
}
