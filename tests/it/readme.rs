//! README.md: its commands and its program are run, and must print the output that it shows. docs/reference.md: its
//! table of limits must have the numbers of the code.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use hubbub::limits;

use crate::support::process::{self, ServerProcess};
use crate::terminal::client_command;

const SERVER: &str = env!("CARGO_BIN_EXE_hubbub-server");

/// A page of the repository.
fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The commands of the page, in order, each with the output that follows it. Commands of make are left out, because
/// they build first.
fn transcript(page: &str) -> Vec<(String, Vec<String>)> {
    let blocks = page.split("```console\n").skip(1).map(|rest| rest.split("```").next().expect("a block ends"));
    let mut commands: Vec<(String, Vec<String>)> = Vec::new();
    for line in blocks.flat_map(str::lines) {
        match line.strip_prefix("$ ") {
            Some(command) => commands.push((command.to_owned(), Vec::new())),
            None => commands.last_mut().expect("a block begins with a command").1.push(line.to_owned()),
        }
    }
    commands.retain(|(command, _)| !command.starts_with("make "));
    commands
}

/// The line without the parts that differ between runs: times, sizes, ids, and the repeat client's measurements.
fn normalized(line: &str) -> String {
    let measured = ["seconds ", "deliveries/s ", "latency "];
    if let Some(label) = measured.iter().find(|label| line.starts_with(**label)) {
        return format!("{label}…");
    }
    let words = line.split_whitespace().map(|word| {
        let is_time = word.len() == "2026-11-26T21:00:42+01:00".len() && word.as_bytes()[10] == b'T';
        if is_time { "TIME".to_owned() } else { without_id(word) }
    });
    let line = words.collect::<Vec<_>>().join(" ");
    match line.split_once(": ") {
        Some((file, bytes)) if bytes.ends_with(" bytes") => format!("{file}: … bytes"),
        _ => line,
    }
}

/// Replaces an id of 32 hexadecimal digits by an ellipsis.
fn without_id(word: &str) -> String {
    let Some((before, rest)) = word.split_once("\"id\":\"") else { return word.to_owned() };
    let (id, after) = rest.split_at(32.min(rest.len()));
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{word}");
    format!("{before}\"id\":\"…{after}")
}

/// The story: for months, the page showed a table of the repeat client that lacked three rows.
#[test]
fn the_commands_print_the_output_that_the_page_shows() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = process::command();
    command.args(["--listen", "127.0.0.1:0", "--data"]).arg(folder.path().join("hubbub-data"));
    let server = ServerProcess::listening(command);
    let programs = Path::new(SERVER).parent().expect("the programs have a folder");
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", programs.display());
    let commands = transcript(&page("README.md"));
    assert!(commands.len() >= 10, "{commands:?}");
    for (shown, expected) in commands {
        let mut shell: Command = client_command("/bin/sh", &["-c", &shown]);
        shell.env("PATH", &path).env("HUBBUB_SERVER", server.target()).current_dir(folder.path());
        let output = shell.stdin(Stdio::null()).output().expect("a shell starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*errors), (Some(0), ""), "{shown}");
        let printed = String::from_utf8(output.stdout).expect("what it prints is text");
        let normal = |lines: Vec<&str>| lines.into_iter().map(normalized).collect::<Vec<_>>();
        assert_eq!(
            normal(printed.lines().collect()),
            normal(expected.iter().map(String::as_str).collect()),
            "{shown} printed: {printed}"
        );
    }
}

/// The number in the format of the pages: `65,536`.
fn with_commas(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

#[test]
fn the_table_of_limits_has_the_numbers_of_the_code() {
    let page = page("docs/reference.md");
    let seconds = |time: Duration| time.as_secs();
    assert_eq!(limits::IDS_KEPT, Duration::from_secs(24 * 60 * 60), "the page says \"a day\"");
    let rows: [(&str, &str, &[u64]); 12] = [
        ("a user's name", "1 to # characters", &[limits::NAME_CHARS_MAX as u64]),
        ("a body", "1 to # bytes", &[limits::BODY_BYTES_MAX as u64]),
        ("a request", "# commands and # bytes", &[limits::COMMANDS_MAX as u64, limits::RECEIVE_BYTES_MAX as u64]),
        (
            "a stream",
            "within # s; a connection carries at most # streams",
            &[seconds(limits::HELLO_TIMEOUT), limits::STREAMS_PER_CONNECTION_MAX as u64],
        ),
        (
            "a page of a call",
            "at most # entries; by default # messages, or # rooms or members",
            &[limits::PAGE_SIZE_MAX as u64, limits::MESSAGES_PAGE_SIZE as u64, limits::PAGE_SIZE as u64],
        ),
        (
            "a search",
            "at most # characters; # messages by default, and at most #",
            &[limits::QUERY_CHARS_MAX as u64, limits::SEARCH_PAGE_SIZE as u64, limits::SEARCH_PAGE_SIZE_MAX as u64],
        ),
        (
            "presence",
            "within # ms in rooms of up to # members; at most # wait",
            &[
                limits::PRESENCE_TIME.as_millis() as u64,
                limits::PRESENCE_MEMBERS_MAX as u64,
                limits::PRESENCES_MAX as u64,
            ],
        ),
        (
            "rooms",
            "# in all by default (`--rooms-max`), each created by its first message; a stream can be in # rooms",
            &[limits::ROOMS_MAX as u64, limits::ROOMS_PER_STREAM_MAX as u64],
        ),
        ("clients", "# at once by default", &[limits::CLIENTS_MAX as u64]),
        ("a message id", "for a day after retention deleted it (the newest # of those)", &[limits::IDS_KEPT_MAX]),
        (
            "slow readers",
            "silent for # s, and closes it if no answer comes within # s",
            &[seconds(limits::KEEPALIVE_TIME), seconds(limits::KEEPALIVE_TIMEOUT)],
        ),
        ("pings", "every # s", &[seconds(limits::PING_INTERVAL_MIN)]),
    ];
    for (what, text, numbers) in rows {
        let text = numbers.iter().fold(text.to_owned(), |text, number| text.replacen('#', &with_commas(*number), 1));
        let row = page.lines().find(|line| line.starts_with(&format!("| {what} | ")));
        let row = row.unwrap_or_else(|| panic!("docs/reference.md has no row for {what}"));
        assert!(row.contains(&text), "{row}\nlacks: {text}");
    }
}

/// The story: an example in the README lacked an import, because it had never been run.
#[test]
fn the_python_program_prints_the_output_that_the_page_shows() {
    let page = page("README.md");
    let block =
        |begin: &str| page.split(begin).nth(1).and_then(|rest| rest.split("```").next()).expect("the page has it");
    let program = block("```python\n");
    let printed = block("```\n\n```\n");
    let folder = tempfile::tempdir().expect("a folder");
    let python = std::env::var("HUBBUB_TEST_PYTHON").expect(
        "HUBBUB_TEST_PYTHON names a Python that has grpcio-tools: run the tests with `make test`, which makes one",
    );
    let server = ServerProcess::start(&[]);
    let run = |arguments: &[&str]| {
        let output = Command::new(&python).args(arguments).current_dir(folder.path()).stdin(Stdio::null()).output();
        let output = output.expect("HUBBUB_TEST_PYTHON can be run");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("it prints text")
    };
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let proto = proto.to_str().expect("a plain path");
    run(&["-m", "grpc_tools.protoc", "-I", proto, "--python_out=.", "--grpc_python_out=.", "hubbub/v1/chat.proto"]);
    assert!(page.contains("-m grpc_tools.protoc -I proto --python_out=. --grpc_python_out=. hubbub/v1/chat.proto"));
    assert_eq!(run(&["-c", &program.replace("127.0.0.1:5000", server.target())]), printed);
}
