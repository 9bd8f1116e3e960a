//! A system that refuses threads: the server refuses newcomers with the reason, serves the others, and serves newcomers
//! again once it can.

use std::fs;
use std::net::TcpStream;
use std::process::Output;

use grpcio::RpcStatusCode;
use tempfile::TempDir;

use super::full::{count, hubbub};
use crate::support::chatter::{Chatter, environment};
use crate::support::preload;
use crate::support::process::{ServerProcess, command};
use crate::support::raw::Raw;
use crate::support::talker::{Talker, after, post_message};
use crate::support::wait_for;
use crate::terminal::client_command;

/// More newcomers than there are spare threads.
const NEWCOMERS_MAX: usize = 64;

/// The gRPC library counts a thread that the system has refused as running. If that happened once, the server did not end
/// on SIGTERM.
#[test]
fn a_server_that_gets_no_thread_refuses_newcomers_and_goes_on() {
    let folder = TempDir::new().expect("a folder can be made");
    let (now, data) = (folder.path().join("now"), folder.path().join("data"));
    let mut program = command();
    program.args(["--listen", "127.0.0.1:0", "--data"]).arg(data);
    program.env("LD_PRELOAD", preload::compile("threads", folder.path())).env("HUBBUB_THREADS_NOW", &now);
    let mut server = ServerProcess::listening(program);
    let (environment, target) = (environment(), server.target().to_owned());
    let mut ann = Talker::join(&environment, &target, "ann", "garden");
    let mut bob = Talker::join(&environment, &target, "bob", "garden");

    fs::write(&now, "").expect("a file can be made");
    let mut admitted = Vec::new();
    let refused = (0..NEWCOMERS_MAX).find_map(|n| {
        Talker::try_hello(&environment, &target, &format!("c{n}")).map(|newcomer| admitted.push(newcomer)).err()
    });
    let refused = refused.expect("a newcomer is refused");
    drop(admitted);
    assert_eq!(refused.code, RpcStatusCode::RESOURCE_EXHAUSTED);
    assert!(refused.message.contains("could not start a thread for this stream"), "{}", refused.message);
    assert!(refused.message.contains("try again later"), "{}", refused.message);
    let line = server.wait_for_log("no thread can be started");
    assert!(line.contains("WARN") && line.contains("ulimit -u") && line.contains("TasksMax"), "{line}");
    // So are the tutorial's clients, once they say something, and a program says why.
    wait_for("spare threads to end", || server.threads_named(&["spare"]) == 0);
    let mut old = Chatter::join(&environment, &target, "old");
    old.say("hello");
    let (code, message) = old.end();
    assert_eq!(code, RpcStatusCode::RESOURCE_EXHAUSTED, "{message}");
    let (succeeded, said) = hubbub(&["chat", "--no-reconnect", "--name", "cid", "--server", &target]);
    assert!(!succeeded && said.contains("could not start a thread"), "{said}");
    // Connections take no thread. The time of many to begin HTTP/2 ends at once, for which the library wants more threads
    // of its own.
    let sockets = server.sockets();
    let half_open: Vec<_> = (0..200).map(|_| TcpStream::connect(&target).expect("the server listens")).collect();
    drop(Raw::open(&target));
    wait_for("the half-open connections to be cut off", || server.sockets() <= sockets);
    drop(half_open);
    // Who is connected goes on, and calls take no thread either.
    for number in 1..=100 {
        ann.post("garden", number, "hello");
        assert_eq!(bob.hear(), (2 * number as u64 - 1, "ann".to_owned(), "hello".to_owned()));
        post_message(&ann.client, "garden", "caller", number, "hello").expect("it is stored");
        assert_eq!(bob.hear().0, 2 * number as u64);
    }

    fs::remove_file(&now).expect("it can be removed");
    let mut newcomers: Vec<_> = (0..20).map(|n| Talker::hello(&environment, &target, &format!("n{n}"))).collect();
    for newcomer in &mut newcomers {
        assert_eq!(newcomer.join_room("garden", after(0, 0)).1.len(), 200);
    }
    let line = server.wait_for_log("threads can be started again");
    assert!(line.contains("refused"), "{line}");
    drop((newcomers, ann, bob));
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
    let log = server.rest_of_log();
    assert!(count(&log, "no thread can be started") == 0 && count(&log, "panicked") == 0, "{log:#?}");
}

/// Between a server's own threads and the library's there was a panic with a backtrace, which asked for a report; with
/// a few threads more, a server that listened, and did not end on SIGTERM.
#[test]
fn a_start_with_too_few_threads_fails_with_the_reason_and_one_with_enough_ends() {
    /// More than a server without clients needs.
    const THREADS_MAX: usize = 60;
    let folder = TempDir::new().expect("a folder can be made");
    let library = preload::compile("threads", folder.path());
    let (mut failed, mut served) = (0, 0);
    for threads in (0..=THREADS_MAX).filter(|threads| *threads < 40 || threads % 10 == 0) {
        let mut program = command();
        program.args(["--listen", "127.0.0.1:0", "--data"]).arg(folder.path().join(format!("data-{threads}")));
        program.env("LD_PRELOAD", &library).env("HUBBUB_THREADS_MAX", threads.to_string());
        let mut server = ServerProcess::spawn(program);
        if server.wait_for_log("").contains("listening on ") {
            served += 1;
            server.signal(libc::SIGTERM);
            assert_eq!(server.wait().code(), Some(0), "{threads} threads");
            continue;
        }
        failed += 1;
        assert_eq!(served, 0, "{threads} threads are not enough, and fewer were");
        assert_eq!(server.wait().code(), Some(1), "{threads} threads");
        let log = server.rest_of_log();
        assert_eq!(count(&log, "panicked"), 0, "{threads} threads: {log:#?}");
    }
    assert!(failed > 10 && served > 2, "{failed} failed, {served} served");
}

/// The bindings of the library panicked, with a backtrace.
#[test]
fn a_client_program_with_too_few_threads_says_so() {
    let folder = TempDir::new().expect("a folder can be made");
    let library = preload::compile("threads", folder.path());
    let server = ServerProcess::start(&[]);
    for arguments in [&["rooms"][..], &["--name", "ann", "tail", "lobby"], &["--name", "ann", "send", "lobby", "hello"]]
    {
        for threads in [0, 1, 5, 10] {
            let arguments = [&["--server", server.target()], arguments].concat();
            let mut program = client_command(env!("CARGO_BIN_EXE_hubbub"), &arguments);
            program.env("LD_PRELOAD", &library).env("HUBBUB_THREADS_MAX", threads.to_string());
            assert_refused(&program.output().expect("it runs"));
        }
    }
    let mut program =
        client_command(env!("CARGO_BIN_EXE_hubbub-repeat"), &["--server", server.target(), "--messages", "1"]);
    program.env("LD_PRELOAD", &library).env("HUBBUB_THREADS_MAX", "5");
    assert_refused(&program.output().expect("it runs"));
}

fn assert_refused(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("can't start a thread") && said.contains("ulimit -u") && !said.contains("panicked"),
        "{said}"
    );
}
