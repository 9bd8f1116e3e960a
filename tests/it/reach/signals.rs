//! Which signals drain a server, and which end it at once.

use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};

use crate::support::process::{ServerProcess, command};
use crate::support::raw::Raw;

/// A server died of SIGHUP without a drain, for example when its terminal was closed.
#[test]
fn a_hangup_drains() {
    let mut server = ServerProcess::start(&[]);
    server.signal(libc::SIGHUP);
    server.wait_for_log("SIGHUP: draining");
    assert_eq!(server.wait().code(), Some(0));
}

/// One drain of 25 was aborted: GNU timeout signals its child and then the group, so the server got two SIGTERM within a
/// millisecond, and the second one ended it. TERM and INT together are one stop too.
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
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0", "--ephemeral"]);
    // SAFETY: signal may be called between fork and exec.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGHUP, libc::SIG_IGN);
            Ok(())
        });
    }
    let mut server = ServerProcess::listening(command);
    server.signal(libc::SIGHUP);
    server.signal(libc::SIGTERM);
    server.wait_for_log("SIGTERM: draining");
    let status = server.wait();
    assert_eq!((status.code(), status.signal()), (Some(0), None));
}
