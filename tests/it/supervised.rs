//! The server as a service of systemd: when it says that it is ready, alive and stopping, and the sockets that it inherits.

mod sockets;

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::support::process::{ServerProcess, command};
use crate::support::raw::Raw;
use crate::support::{DEADLINE, preload, wait_for};
use crate::terminal::client_command;
use crate::tls::authority::Authority;

/// A service manager: the socket to which the server sends its notifications.
struct Manager {
    folder: TempDir,
    socket: UnixDatagram,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = UnixDatagram::bind(folder.path().join("notify")).expect("a socket");
        socket.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        Self { folder, socket }
    }

    /// A server that it starts.
    fn command(&self) -> Command {
        let mut command = command();
        command.args(["--listen", "127.0.0.1:0"]).env("NOTIFY_SOCKET", self.folder.path().join("notify"));
        command.env_remove("WATCHDOG_USEC").env_remove("WATCHDOG_PID");
        command
    }

    /// The next notification.
    fn next(&self) -> String {
        self.received().expect("the server notifies in time")
    }

    /// The next notification that does not only say that the server is alive.
    fn next_event(&self) -> String {
        loop {
            let event = self.next();
            if event != "WATCHDOG=1" {
                return event;
            }
        }
    }

    fn received(&self) -> Option<String> {
        let mut datagram = [0; 1024];
        match self.socket.recv(&mut datagram) {
            Ok(length) => Some(String::from_utf8(datagram[..length].to_vec()).expect("it is text")),
            Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Whether nothing comes for this time.
    fn is_silent(&self, time: Duration) -> bool {
        self.socket.set_read_timeout(Some(time)).expect("a timeout");
        let received = self.received();
        self.socket.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        received.is_none()
    }
}

/// Posts a message with `hubbub`, which must be stored.
fn post(target: &str) {
    let arguments = ["--server", target, "--name", "ci", "--timeout", "30s", "send", "builds", "green"];
    let output = client_command(env!("CARGO_BIN_EXE_hubbub"), &arguments).output().expect("hubbub starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn it_is_ready_when_it_serves_and_stops_when_it_drains() {
    let manager = Manager::new();
    let mut command = manager.command();
    command.arg("--ephemeral").env("HUBBUB_HTTP", format!("unix:{}", manager.folder.path().join("http").display()));
    let mut server = ServerProcess::spawn(command);
    // The first notification, so there was none before.
    let ready = manager.next();
    let status = ready.strip_prefix("READY=1\nSTATUS=listening on ").expect("it is ready");
    let (target, http) = status.split_once("; HTTP on unix:").expect("both addresses");
    // Unlike `hubbub`, these do not try again.
    drop(Raw::open(target));
    UnixStream::connect(http).expect("it listens");
    post(target);

    server.signal(libc::SIGTERM);
    assert_eq!(manager.next(), "STOPPING=1\nSTATUS=SIGTERM: draining");
    assert_eq!(server.wait().code(), Some(0));
    assert!(manager.is_silent(Duration::from_millis(10)), "that was the last one");
}

#[test]
fn one_that_cannot_start_is_never_ready() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let manager = Manager::new();
    let mut command = manager.command();
    command.arg("--ephemeral").args(["--listen", &taken.local_addr().expect("it has one").to_string()]);
    let mut server = ServerProcess::spawn(command);
    assert_eq!(server.wait().code(), Some(1));
    assert!(manager.is_silent(Duration::from_millis(10)));
}

/// `systemctl reload` must not stop a service that has nothing to read again.
#[test]
fn a_reload_is_reported_from_its_begin_to_its_end() {
    let manager = Manager::new();
    let mut command = manager.command();
    command.arg("--ephemeral");
    let mut server = ServerProcess::listening(command);
    assert!(manager.next().starts_with("READY=1\n"));
    server.signal(libc::SIGHUP);
    assert!(manager.next().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert!(manager.next().starts_with("READY=1\n"));
    post(server.target());
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));

    let authority = Authority::new();
    let pair = authority.server("used");
    let manager = Manager::new();
    let mut command = manager.command();
    command.arg("--ephemeral").arg("--tls-cert").arg(&pair.certificate).arg("--tls-key").arg(&pair.key);
    let mut server = ServerProcess::listening(command);
    assert!(manager.next().starts_with("READY=1\n"));
    authority.server("new").replace(&pair);
    server.signal(libc::SIGHUP);
    assert!(manager.next().starts_with("RELOADING=1\n"));
    assert!(manager.next().starts_with("READY=1\n"));
    // It is in use when the reload is over: the line was logged before.
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
    assert!(server.rest_of_log().iter().any(|line| line.contains("reloaded: for localhost")));
}

/// A watchdog that is answered by a thread of its own says nothing about the server.
#[test]
fn the_watchdog_is_answered_only_while_the_log_writer_turns() {
    let manager = Manager::new();
    let stuck = manager.folder.path().join("stuck");
    let mut command = manager.command();
    command.arg("--data").arg(manager.folder.path().join("data")).env("WATCHDOG_USEC", "600000");
    command.env("LD_PRELOAD", preload::compile("stuck", manager.folder.path())).env("HUBBUB_STUCK", &stuck);
    let mut server = ServerProcess::listening(command);
    assert!(manager.next().starts_with("READY=1\n"));
    // An idle server is alive, too.
    (0..3).for_each(|_| assert_eq!(manager.next(), "WATCHDOG=1"));

    fs::write(&stuck, "").expect("a file");
    let target = server.target().to_owned();
    let posting = std::thread::spawn(move || post(&target));
    // Five times as long as between two answers.
    wait_for("the answers to end", || manager.is_silent(Duration::from_secs(1)));
    server.wait_for_log("the log writer has not responded for 200.0ms");

    fs::remove_file(&stuck).expect("it is there");
    assert_eq!(manager.next(), "WATCHDOG=1");
    posting.join().expect("it is stored");
    server.signal(libc::SIGTERM);
    assert!(manager.next_event().starts_with("STOPPING=1\n"));
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn the_watchdog_of_another_process_is_not_answered() {
    let manager = Manager::new();
    let mut command = manager.command();
    command.arg("--ephemeral").env("WATCHDOG_USEC", "30000").env("WATCHDOG_PID", "1").stdout(Stdio::null());
    let server = ServerProcess::listening(command);
    assert!(manager.next().starts_with("READY=1\n"));
    assert!(manager.is_silent(Duration::from_millis(200)));
    assert_eq!(server.threads_named(&["watchdog"]), 0);
}
