//! A standard error that takes nothing: a pipe that nobody reads, one whose reader has left, and a full disk.

use std::fs::File;
use std::io::{BufRead as _, BufReader, PipeReader, pipe};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::thread;
use std::time::Instant;

use grpcio::{ChannelBuilder, Client};
use serde_json::Value;
use tempfile::TempDir;

use super::docs;
use crate::support::chatter::environment;
use crate::support::process::command;
use crate::support::talker::{Talker, post_message};
use crate::support::{DEADLINE, wait_for};

/// A server on a Unix socket, whose log is not read here. Killed when dropped.
struct Running {
    child: Child,
    socket: PathBuf,
    _folder: TempDir,
}

impl Running {
    /// With this standard error, and far more log lines than anybody wants.
    fn start(stderr: impl Into<Stdio>) -> Self {
        let folder = TempDir::new().expect("a folder");
        let socket = folder.path().join("hub.sock");
        let mut command = command();
        command.args(["--ephemeral", "--log-format", "json", "--listen"]).arg(format!("unix:{}", socket.display()));
        command.envs([("RUST_LOG", "trace,grpcio=trace"), ("GRPC_VERBOSITY", "debug"), ("GRPC_TRACE", "http")]);
        let child = command.stderr(stderr).spawn().expect("it starts");
        wait_for("the socket", || socket.exists());
        Self { child, socket, _folder: folder }
    }

    fn target(&self) -> String {
        format!("unix:{}", self.socket.display())
    }

    /// Posts messages with these numbers and reads them. A number that was used before is a repeated message, which
    /// nobody gets.
    fn talk(&self, numbers: RangeInclusive<u128>) {
        let client = Client::new(ChannelBuilder::new(environment()).connect(&self.target()));
        let mut ann = Talker::join(&environment(), &self.target(), "ann", "tea");
        for number in numbers {
            post_message(&client, "tea", "bob", number, "hello").expect("it is stored");
            assert_eq!(ann.hear().1, "bob");
        }
    }

    fn stop(&mut self) -> ExitStatus {
        // SAFETY: the process is our child and was not waited for.
        unsafe { libc::kill(self.child.id() as libc::pid_t, libc::SIGTERM) };
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status;
            }
            assert!(Instant::now() < deadline, "the server did not end");
            thread::park_timeout(std::time::Duration::from_millis(2));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server whose standard error nobody reads, and that end of the pipe.
fn unread() -> (Running, PipeReader) {
    let (reader, writer) = pipe().expect("a pipe");
    (Running::start(writer), reader)
}

/// The story: the thread that logged waited for the pipe. With a log reader that had stopped, or a terminal that was
/// frozen with Ctrl-S, the server stored nothing more.
#[test]
fn a_pipe_that_nobody_reads_stops_nothing_and_what_was_dropped_is_counted() {
    let (mut server, reader) = unread();
    // More than the pipe and the queue take.
    server.talk(1..=400);
    // Somebody reads again.
    let reading = thread::spawn(move || {
        let lines = BufReader::new(reader).lines().map(|line| line.expect("a line of text"));
        let objects =
            lines.map(|line| serde_json::from_str::<Value>(&line).unwrap_or_else(|error| panic!("{error}: {line}")));
        objects.filter(|object| object["target"] == "log").collect::<Vec<_>>()
    });
    server.talk(401..=401);
    assert_eq!(server.stop().code(), Some(0));
    let about = reading.join().expect("each line is an object");
    let dropped =
        about.iter().find(|object| docs::event_of(object["message"].as_str().unwrap_or_default()) == docs::DROPPED);
    let dropped = dropped.unwrap_or_else(|| panic!("no line was dropped: {about:?}"));
    assert!(dropped["count"].as_u64().is_some_and(|count| count > 100), "{dropped}");
    let fields = dropped.as_object().expect("an object").keys().filter(|field| !docs::PARTS.contains(&field.as_str()));
    assert_eq!(Some(&fields.cloned().collect()), docs::events().get(docs::DROPPED));
}

/// Nor does it keep the server from ending.
#[test]
fn a_server_ends_while_nobody_reads_its_log() {
    let (mut server, reader) = unread();
    server.talk(1..=300);
    assert_eq!(server.stop().code(), Some(0));
    drop(reader);
}

#[test]
fn a_log_that_can_not_be_written_stops_nothing() {
    let (reader, writer) = pipe().expect("a pipe");
    drop(reader);
    let full = File::options().write(true).open("/dev/full").expect("the kernel has it");
    for stderr in [Stdio::from(writer), Stdio::from(full)] {
        let mut server = Running::start(stderr);
        server.talk(1..=20);
        assert_eq!(server.stop().code(), Some(0));
    }
}
