//! `hubbub-repeat --contract http`: loads and verifies a server over HTTP.

use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::serve;
use crate::support::logins::token;
use crate::support::process::{ServerProcess, command, lasting_address};
use crate::terminal::client_command;

fn repeat(address: &str, arguments: &[&str]) -> Command {
    let mut repeat = client_command(env!("CARGO_BIN_EXE_hubbub-repeat"), &["--contract", "http", "--server", address]);
    repeat.args(["--json", "--quiet", "--idle-timeout", "60", "--reconnect-timeout", "60"]).args(arguments);
    repeat.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    repeat
}

/// The report of a run without a fault.
fn report(output: &Output) -> Value {
    let errors = String::from_utf8_lossy(&output.stderr);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"));
    assert_eq!(output.status.code(), Some(0), "{report} {errors}");
    for fault in ["lost", "duplicated", "out_of_order", "order_differs", "acknowledged_lost"] {
        assert_eq!(report[fault], 0, "{fault}: {report}");
    }
    report
}

#[test]
fn a_correct_server_passes() {
    let (_server, address) = serve(&[]);
    let output = repeat(&address, &["--clients", "5", "--senders", "3", "--messages", "50"]).output();
    let report = report(&output.expect("hubbub-repeat starts"));
    assert_eq!(
        (&report["sent"], &report["acknowledged"], &report["delivered"]),
        (&150.into(), &150.into(), &750.into())
    );
}

/// The clients resume and post again across kills, and nothing is lost or repeated.
#[test]
fn a_run_goes_on_across_kills() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_str().expect("it is UTF-8");
    let address = lasting_address();
    let start = || {
        let mut server = command();
        server.args(["--listen", "127.0.0.1:0", "--http", &address, "--data", data]);
        let mut server = ServerProcess::listening(server);
        server.wait_for_log("serving HTTP on ");
        server
    };
    let mut server = start();
    let arguments = ["--clients", "6", "--senders", "3", "--messages", "400", "--rate", "300"];
    let running = repeat(&address, &arguments).spawn().expect("hubbub-repeat starts");
    for _ in 0..3 {
        // The run takes 4 s.
        thread::park_timeout(Duration::from_millis(700));
        server.signal(libc::SIGKILL);
        server.wait();
        server = start();
    }
    let report = report(&running.wait_with_output().expect("it ends"));
    assert_eq!((&report["sent"], &report["delivered"]), (&1_200.into(), &7_200.into()));
    assert!(report["reconnects"].as_u64().is_some_and(|count| count >= 6), "{report}");
}

#[test]
fn a_run_logs_in_with_a_token() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path();
    let secret = token(data, "ann", &[]);
    let (_server, address) = serve(&["--auth", "accounts", "--data", data.to_str().expect("it is UTF-8")]);
    let run = |token: Option<&str>| {
        let mut repeat = repeat(&address, &["--clients", "3", "--messages", "5"]);
        repeat.envs(token.map(|token| ("HUBBUB_TOKEN", token)));
        repeat.output().expect("hubbub-repeat starts")
    };
    assert_eq!(report(&run(Some(&secret)))["delivered"], 15);
    for wrong in [None, Some("hub_x")] {
        let output = run(wrong);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && errors.contains("token"), "{errors}");
    }
}

/// Somebody gives the address of gRPC.
#[test]
fn a_wrong_address_is_named() {
    let (server, _) = serve(&[]);
    let output = repeat(server.target(), &["--messages", "5"]).output().expect("hubbub-repeat starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && errors.contains("--http"), "{errors}");
    let unused = lasting_address();
    let output = repeat(&unused, &["--messages", "5"]).output().expect("hubbub-repeat starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && errors.contains(&unused) && errors.contains("--http"), "{errors}");
}
