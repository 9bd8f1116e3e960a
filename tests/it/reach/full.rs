//! A server that has no room for another client: the client learns why, and the log has one line when that begins and
//! one when it is over.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use grpcio::RpcStatusCode;

use crate::support::chatter::environment;
use crate::support::process::{ServerProcess, command};
use crate::support::raw::{PREFACE, SETTINGS, frame};
use crate::support::talker::{Talker, after};
use crate::support::wait_for;

/// How many descriptors the server may have.
const DESCRIPTORS: u64 = 64;

fn count(log: &[String], text: &str) -> usize {
    log.iter().filter(|line| line.contains(text)).count()
}

/// A full server refused clients without a line in its log, until a client left or the server ended.
#[test]
fn a_full_server_logs_it_once_and_tells_the_client() {
    let mut server = ServerProcess::start(&["--clients-max", "3"]);
    let (environment, target) = (environment(), server.target().to_owned());
    let mut clients: Vec<_> = ["ann", "bob", "cid"].map(|name| Talker::hello(&environment, &target, name)).into();
    for _ in 0..5 {
        let end = Talker::connect(&environment, &target, "dan").end();
        assert_eq!(end.code, RpcStatusCode::RESOURCE_EXHAUSTED);
        assert!(end.message.contains("the server is full: it serves 3 clients at once"), "{}", end.message);
    }
    let line = server.wait_for_log("the server is full");
    assert!(line.contains("WARN") && line.contains("3 clients") && line.contains("--clients-max"), "{line}");
    clients.pop();
    let line = server.wait_for_log("the server has capacity again");
    assert!(line.contains("refused 5 times"), "{line}");
    wait_for("a seat", || server.client_threads() < 6);
    Talker::hello(&environment, &target, "dan");
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
    assert_eq!(count(&server.rest_of_log(), "full"), 0, "each is logged once");
}

/// What a person sees of it.
#[test]
fn a_program_says_that_the_server_is_full() {
    let server = ServerProcess::start(&["--clients-max", "1"]);
    let _only = Talker::hello(&environment(), server.target(), "ann");
    let (succeeded, said) = hubbub(&["chat", "--no-reconnect", "--name", "bob", "--server", server.target()]);
    assert!(!succeeded && said.contains("the server is full: it serves 1 clients at once"), "{said}");
}

/// Runs the terminal client without input. Returns whether it succeeded, and what it said on standard error.
fn hubbub(arguments: &[&str]) -> (bool, String) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_hubbub"));
    program.args(arguments).env_remove("RUST_LOG").stdin(Stdio::null());
    let output = program.output().expect("hubbub runs");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn limited(data: &std::path::Path) -> Command {
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0", "--data"]).arg(data);
    // SAFETY: setrlimit may be called between fork and exec.
    unsafe {
        command.pre_exec(|| {
            let limit = libc::rlimit { rlim_cur: DESCRIPTORS, rlim_max: DESCRIPTORS };
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
            Ok(())
        });
    }
    command
}

/// Connects, and makes no call. If the server closes the connection, returns what it said before.
fn connect_idly(target: &str) -> (TcpStream, Option<Vec<u8>>) {
    let mut stream = TcpStream::connect(target).expect("the system accepts for the server");
    // The server speaks first in either case, if it accepts at all.
    stream.set_read_timeout(Some(crate::support::DEADLINE)).expect("a timeout is set");
    let mut said = vec![0; 9];
    stream.read_exact(&mut said).expect("the server says something");
    stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout is set");
    let closed = stream.read_to_end(&mut said).is_ok();
    if !closed {
        // Otherwise the server closes the connection before this test is over.
        stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).expect("the server reads");
    }
    (stream, closed.then_some(said))
}

/// With `ulimit -n 64`, idle TCP connections took all descriptors: later clients waited without an answer, the log said
/// nothing, and history could not be read.
#[test]
#[cfg_attr(not(feature = "core-patches"), ignore = "the C core alone does otherwise")]
fn a_server_without_descriptors_refuses_connections_and_goes_on() {
    let data = tempfile::tempdir().expect("a folder");
    let mut server = ServerProcess::listening(limited(data.path()));
    let (environment, target) = (environment(), server.target().to_owned());
    let mut ann = Talker::join(&environment, &target, "ann", "garden");
    let mut idle = Vec::new();
    let refusal = loop {
        let (stream, refusal) = connect_idly(&target);
        if let Some(said) = refusal {
            break said;
        }
        idle.push(stream);
        assert!(idle.len() < DESCRIPTORS as usize, "all are accepted");
    };
    assert!(idle.len() >= 16, "only {} connections were accepted", idle.len());
    let said = String::from_utf8_lossy(&refusal).into_owned();
    assert!(said.contains("no file descriptor left") && said.contains("try again later"), "{said}");
    let line = server.wait_for_log("file descriptors have run out");
    assert!(line.contains("WARN") && line.contains("(64 in all)") && line.contains("ulimit -n"), "{line}");
    // A flood of them is refused as well, and adds no line.
    for _ in 0..100 {
        let (_, refusal) = connect_idly(&target);
        assert!(refusal.is_some());
    }
    // A client of ours names the reason.
    let (succeeded, said) = hubbub(&["rooms", "--server", &target]);
    assert!(!succeeded && said.contains("no file descriptor left"), "{said}");
    assert!(!said.contains("GOAWAY"), "the reason is in plain words: {said}");
    // Who is connected goes on, and the log can be written and read.
    ann.post("garden", 1, "hello");
    assert_eq!(ann.hear().2, "hello");
    drop(idle);
    server.wait_for_log("connections are accepted again");
    let mut bob = Talker::hello(&environment, &target, "bob");
    assert_eq!(bob.join_room("garden", after(0, 0)).1.len(), 1);
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
    assert_eq!(count(&server.rest_of_log(), "have run out"), 0, "it is logged once");
}
