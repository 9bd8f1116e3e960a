//! HTTP with programs that are not ours: the official Connect clients, curl, an EventSource, and proxies with the
//! configurations of docs/proxies.md.
//!
//! Each script in `tests/compatible` starts its own servers, prints a line for each check, and fails if a check did.

use std::process::Command;

use crate::support::foreign::{node, python, script};

fn run(mut program: Command, name: &str) {
    program.arg(script(name)).arg(env!("CARGO_BIN_EXE_hubbub-server"));
    let output = program.output().unwrap_or_else(|error| panic!("{program:?}: {error}"));
    let [printed, complaints] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(output.status.success(), "{printed}{complaints}");
    println!("{printed}");
}

#[test]
fn connect_clients_for_node_and_browsers_call_and_follow() {
    run(node(), "connect.mjs");
}

#[test]
fn the_connect_client_for_python_calls_and_follows() {
    run(python(), "connect.py");
}

#[test]
fn the_rules_of_the_protocols_hold_byte_by_byte() {
    run(node(), "protocol.mjs");
}

#[test]
fn json_and_protobuf_mean_the_same_as_for_protobuf_es() {
    run(node(), "oracle.mjs");
}

#[test]
fn curl_and_an_event_source_follow_through_crashes() {
    run(node(), "events.mjs");
}

#[test]
fn proxies_work_as_documented() {
    run(node(), "proxies.mjs");
}
