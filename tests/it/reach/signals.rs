//! Which signals drain a server, and which end it at once.

use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use grpcio::RpcStatusCode;

use crate::support::chatter::environment;
use crate::support::process::{ServerProcess, command};
use crate::support::raw::Raw;
use crate::support::talker::{Talker, post_message};
use crate::support::wait_for;

/// A server that is started with this disposition of SIGHUP.
fn start_with_hangup(disposition: libc::sighandler_t) -> ServerProcess {
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0", "--ephemeral"]);
    // SAFETY: signal may be called between fork and exec.
    unsafe {
        command.pre_exec(move || {
            libc::signal(libc::SIGHUP, disposition);
            Ok(())
        });
    }
    ServerProcess::listening(command)
}

/// A server died of SIGHUP without a drain, for example when its terminal was closed.
#[test]
fn a_hangup_drains() {
    // Whoever runs the tests may ignore it, as nohup does.
    let mut server = start_with_hangup(libc::SIG_DFL);
    server.signal(libc::SIGHUP);
    server.wait_for_log("SIGHUP: draining");
    assert_eq!(server.wait().code(), Some(0));
}

/// One drain of 25 was aborted: GNU timeout signals its child and then the group, so the server got two SIGTERM within
/// a millisecond, and the second one ended it. TERM and INT together are one stop too.
#[test]
fn signals_within_a_second_are_one_drain() {
    for second in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        let mut server = ServerProcess::start(&[]);
        let client = Raw::join(server.target());
        server.signal(libc::SIGTERM);
        server.wait_for_log("SIGTERM: draining");
        server.signal(second);
        drop(client);
        server.wait_for_log("drained");
        assert_eq!(server.wait().code(), Some(0));
    }
}

/// Both signals are sent before the server can have taken note of the first.
#[test]
fn two_signals_at_once_are_one_drain() {
    for _ in 0..5 {
        let mut server = ServerProcess::start(&[]);
        server.signal(libc::SIGTERM);
        server.signal(libc::SIGINT);
        server.wait_for_log("drained");
        assert_eq!(server.wait().code(), Some(0));
    }
}

/// `nohup` asks that a program outlive its terminal; the server must not turn that into a drain.
#[test]
fn a_hangup_that_the_caller_ignores_stays_ignored() {
    let mut server = start_with_hangup(libc::SIG_IGN);
    server.signal(libc::SIGHUP);
    server.signal(libc::SIGTERM);
    server.wait_for_log("SIGTERM: draining");
    let status = server.wait();
    assert_eq!((status.code(), status.signal()), (Some(0), None));
}

/// GNU timeout itself: it signals its child, then its process group, and continues both. `--preserve-status` gives the
/// server's exit code.
#[test]
fn gnu_timeout_drains() {
    let server = command();
    let mut timeout = Command::new("timeout");
    timeout.args(["--preserve-status", "1"]).arg(server.get_program()).args(["--ephemeral", "--listen", "127.0.0.1:0"]);
    timeout.env_remove("RUST_LOG");
    let mut server = ServerProcess::listening(timeout);
    let client = Raw::join(server.target());
    server.wait_for_log("SIGTERM: draining");
    drop(client);
    assert_eq!(server.wait().code(), Some(0));
    let log = server.rest_of_log().join("\n");
    assert!(log.contains("drained") && !log.contains("exiting at once"), "{log}");
}

/// What each stop is made of, in the order in which it is sent.
const STOPS: [&[libc::c_int]; 5] = [
    &[libc::SIGTERM],
    &[libc::SIGTERM, libc::SIGCONT, libc::SIGTERM, libc::SIGCONT],
    &[libc::SIGTERM, libc::SIGINT],
    &[libc::SIGHUP, libc::SIGTERM, libc::SIGINT],
    &[libc::SIGTERM, libc::SIGTERM, libc::SIGTERM],
];

/// One of 25 drains under load was aborted, when the second signal of a stop came while the first was handled. Readers
/// learn that the server shuts down, and nobody is cut off.
#[test]
fn no_drain_under_load_is_aborted() {
    let environment = environment();
    for round in 0..25 {
        let mut server = ServerProcess::start(&[]);
        let target = server.target().to_owned();
        let (stored, connected) = (AtomicU64::new(0), AtomicU64::new(0));
        thread::scope(|scope| {
            for poster in 0..3 {
                let (environment, target, stored, connected) = (&environment, &target, &stored, &connected);
                scope.spawn(move || {
                    let client = Talker::hello(environment, target, "poster").client;
                    connected.fetch_add(1, Ordering::Relaxed);
                    for number in 1.. {
                        let id = u128::from(number as u32) << 8 | poster;
                        match post_message(&client, "room", "poster", id, "hello") {
                            Ok(_) => {
                                stored.fetch_add(1, Ordering::Relaxed);
                            }
                            // What is on its way when the connection closes may get no better answer than that it
                            // closed.
                            Err(_) => break,
                        }
                    }
                });
                scope.spawn(move || {
                    let mut reader = Talker::join(environment, target, "reader", "room");
                    connected.fetch_add(1, Ordering::Relaxed);
                    let end = loop {
                        match reader.next_within(crate::support::DEADLINE) {
                            Some(Ok(_)) => {}
                            Some(Err(end)) => break end,
                            None => panic!("the stream does not end"),
                        }
                    };
                    assert_eq!(end.code, RpcStatusCode::UNAVAILABLE, "{}", end.message);
                    assert!(end.message.contains("shutting down"), "{}", end.message);
                });
            }
            // A client that connects after the stop is refused, as it should be.
            wait_for("messages", || stored.load(Ordering::Relaxed) > 50 && connected.load(Ordering::Relaxed) == 6);
            STOPS[round % STOPS.len()].iter().for_each(|signal| server.signal(*signal));
        });
        let status = server.wait();
        let log = server.rest_of_log().join("\n");
        assert_eq!(status.code(), Some(0), "round {round}: {log}");
        assert!(log.contains("drained") && !log.contains("exiting at once"), "round {round}: {log}");
    }
}
