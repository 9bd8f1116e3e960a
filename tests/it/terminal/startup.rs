//! The start of the programs: standard descriptors, the log lines of the C core, and empty variables.

use std::process::{Command, Output, Stdio};

use super::client_command;
use super::model::Model;
use crate::support::process::{self, ServerProcess};

/// Runs the program with some of its descriptors closed, as a shell does for `<&-`.
fn closed(closed: &str, target: &str, arguments: &[&str]) -> Output {
    let mut command = client_command("/bin/sh", &["-c"]);
    command.arg(format!("exec timeout 20 \"$0\" \"$@\" {closed}")).arg(env!("CARGO_BIN_EXE_hubbub"));
    command.args(["--server", target, "--name", "ci"]).args(arguments);
    command.stdin(Stdio::null()).output().expect("a shell starts")
}

/// A regression: `hubbub send room <&-` never ended. A static initialiser of the C core had opened a descriptor, which
/// got number 0, and the program read its input from it. Closed outputs were replaced by sockets in the same way.
#[test]
fn closed_descriptors_are_not_reused() {
    let model = Model::start();
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let output = closed("<&-", &model.target, &["send", "tea"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("standard input is closed"), "{}", said(&output));
    // A command that does not need the descriptor works without it.
    let output = closed("<&- >&- 2>&-", &model.target, &["send", "tea", "one"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(model.bodies("tea"), ["one"]);
    let output = closed("2>&-", &model.target, &["history", "tea"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stdout, b"ci: one\n");
    // A closed standard output is a failure, as it is for cat.
    for arguments in [&["history", "tea"][..], &["tail", "tea"], &["rooms"], &["members", "tea"]] {
        let output = closed(">&-", &model.target, arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains("standard output is closed"), "{arguments:?}: {}", said(&output));
    }
}

/// A regression: with the filter `off`, the default of `hubbub`, grpcio removed the C core's log function. The C core
/// then wrote its lines to the terminal, over the user's draft.
#[test]
fn the_c_core_never_writes_to_standard_error() {
    let model = Model::start();
    for filter in [None, Some(""), Some("off"), Some("error")] {
        let target = model.target.as_str();
        let mut command = client_command(env!("CARGO_BIN_EXE_hubbub"), &["--server", target, "--name", "ci", "rooms"]);
        // The most verbose settings of the C core.
        command.envs([("GRPC_VERBOSITY", "debug"), ("GRPC_TRACE", "http")]);
        filter.map(|filter| command.env("RUST_LOG", filter));
        let output = command.stdin(Stdio::null()).output().expect("the client starts");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "RUST_LOG={filter:?}");
        assert_eq!(output.status.code(), Some(0));
    }
    let mut command: Command = process::command();
    command.args(["--ephemeral", "--listen", "127.0.0.1:0"]);
    command.envs([("GRPC_VERBOSITY", "debug"), ("GRPC_TRACE", "http"), ("RUST_LOG", "info,grpcio=off")]);
    let mut server = ServerProcess::listening(command);
    let rooms = client_command(env!("CARGO_BIN_EXE_hubbub"), &["--server", server.target(), "rooms"]).output();
    assert_eq!(rooms.expect("the client starts").status.code(), Some(0));
    server.signal(libc::SIGTERM);
    server.wait();
    let log = server.rest_of_log();
    assert!(log.iter().all(|line| line.starts_with('[')), "{log:#?}");
}

/// A regression: with `RUST_LOG=off`, a server that could not start exited with 1 and without a message.
#[test]
fn a_server_reports_why_it_fails_with_any_log_filter() {
    for filter in ["off", "", "grpcio=off", "error"] {
        let mut command = process::command();
        command.args(["--ephemeral", "--listen", "unix:/nowhere/at/all.sock"]).env("RUST_LOG", filter);
        let output = command.output().expect("the server starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert_eq!(said.matches("/nowhere/at/all.sock").count(), 1, "RUST_LOG={filter}: {said}");
    }
}

/// A regression: `HUBBUB_NAME= hubbub send …` failed for an empty name, and `HUBBUB_LISTEN= hubbub-server` for an empty
/// address: compose files set omitted variables to empty values.
#[test]
fn empty_variables_count_as_unset() {
    let model = Model::start();
    let target = model.target.as_str();
    let mut command = client_command(env!("CARGO_BIN_EXE_hubbub"), &["--server", target, "rooms"]);
    for variable in ["NAME", "ROOM", "LAST", "CONTRACT", "JSON", "LIMIT", "SERVER"] {
        command.env(format!("HUBBUB_{variable}"), "");
    }
    let output = command.env("PORT", "").output().expect("the client starts");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
    let mut command = client_command(env!("CARGO_BIN_EXE_hubbub-repeat"), &["--server", target, "--clients", "0"]);
    for variable in ["NAME", "ROOM", "RATE", "SIZE", "CONTRACT", "JSON"] {
        command.env(format!("HUBBUB_{variable}"), "");
    }
    let output = command.args(["--messages", "1"]).output().expect("the repeat client starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(2) && said.lines().count() == 1 && said.contains("\"0\" for --clients"),
        "{said}"
    );
    let mut command = process::command();
    command.args(["--ephemeral", "--listen", "127.0.0.1:0"]);
    for variable in ["DATA", "SYNC", "RETAIN_FOR", "RETAIN_EVENTS", "CLIENTS_MAX", "POLLERS", "LOG_BYTES_MAX"] {
        command.env(format!("HUBBUB_{variable}"), "");
    }
    drop(ServerProcess::listening(command));
}
