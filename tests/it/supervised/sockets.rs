//! Listening sockets that the service manager has opened.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::post;
use crate::support::process::{ServerProcess, command};
use crate::support::wait_for;
use crate::terminal::client_command;
use crate::tls::authority::Authority;

/// The first descriptor that is passed on, and one that no test has.
const FIRST: RawFd = 3;
const OUT_OF_THE_WAY: RawFd = 200;

/// A server that inherits these sockets under these names, as systemd passes them on.
fn inheriting(sockets: &[&dyn AsRawFd], names: &str, arguments: &[&str]) -> Command {
    let server = command();
    // LISTEN_PID is the server's own id, which is known in its process only.
    let mut shell = Command::new("sh");
    shell.args(["-c", "LISTEN_PID=$$ exec \"$@\"", "sh"]).arg(server.get_program()).args(arguments);
    for (name, value) in server.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.env("LISTEN_FDS", sockets.len().to_string()).env("LISTEN_FDNAMES", names).stdin(Stdio::null());
    let descriptors: Vec<_> = sockets.iter().map(|socket| socket.as_raw_fd()).collect();
    // SAFETY: fcntl and dup2 may be called between fork and exec, and nothing is allocated.
    unsafe {
        shell.pre_exec(move || {
            // First out of the way of those that they replace. dup2 makes copies that exec does not close.
            for (number, descriptor) in (OUT_OF_THE_WAY..).zip(&descriptors) {
                libc::dup2(*descriptor, number);
            }
            for (number, place) in (OUT_OF_THE_WAY..).zip(FIRST..).take(descriptors.len()) {
                libc::dup2(number, place);
                libc::close(number);
            }
            Ok(())
        });
    }
    shell
}

/// The page, over a Unix socket.
fn page(mut stream: UnixStream) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it is answered");
    answer
}

/// systemd keeps the sockets: what connects between two runs of the server is served by the second.
#[test]
fn inherited_sockets_are_served_and_left_open() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, data) = (folder.path().join("http"), folder.path().join("data"));
    let grpc = TcpListener::bind("127.0.0.1:0").expect("a port");
    let unix = UnixListener::bind(folder.path().join("grpc")).expect("a socket");
    let http = UnixListener::bind(&path).expect("a socket");
    let target = grpc.local_addr().expect("it has one").to_string();
    let arguments = ["--data", data.to_str().expect("a plain path")];
    let start = || {
        let mut command = inheriting(&[&grpc, &unix, &http], "grpc:grpc:http", &arguments);
        command.env_remove("HUBBUB_HTTP");
        ServerProcess::listening(command)
    };
    let mut server = start();
    // The default addresses are not used.
    assert_eq!(server.target(), target);
    server.wait_for_log(&format!("serving HTTP on unix:{}", path.display()));
    post(&target);
    post(&format!("unix:{}", folder.path().join("grpc").display()));
    assert!(page(UnixStream::connect(&path).expect("it listens")).starts_with("HTTP/1.1 200 "));
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));

    assert!(path.exists() && folder.path().join("grpc").exists(), "the sockets of others are not deleted");
    let waiting = UnixStream::connect(&path).expect("it listens without a server");
    let arguments = ["--server", &target, "--name", "ci", "--timeout", "30s", "send", "builds", "while it was away"];
    let mut sending = client_command(env!("CARGO_BIN_EXE_hubbub"), &arguments).spawn().expect("hubbub starts");
    // The client's connection, which waits: it may not come before the server, which changes nothing.
    let mut server = start();
    assert!(sending.wait().expect("it ends").success());
    assert!(page(waiting).starts_with("HTTP/1.1 200 "));
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn an_inherited_socket_has_tls_and_the_bounds_of_others() {
    let authority = Authority::new();
    let pair = authority.server("server");
    let grpc = TcpListener::bind("127.0.0.1:0").expect("a port");
    let target = grpc.local_addr().expect("it has one").to_string();
    let file = |path: &std::path::Path| path.to_str().expect("a plain path").to_owned();
    let arguments = ["--ephemeral", "--tls-cert", &file(&pair.certificate), "--tls-key", &file(&pair.key)];
    let bounds = ["--connections-max", "1"];
    let mut server = ServerProcess::listening(inheriting(&[&grpc], "grpc", &[&arguments[..], &bounds].concat()));
    let rooms = |ca: &str| {
        let arguments = ["--server", &target, "--ca", ca, "--timeout", "30s", "rooms"];
        client_command(env!("CARGO_BIN_EXE_hubbub"), &arguments).output().expect("hubbub starts")
    };
    // Several connections: the certificate is asked for at each.
    for _ in 0..3 {
        let output = rooms(&file(&authority.file));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    // The connections of the clients may be counted for a moment longer.
    let mut held = Vec::new();
    wait_for("a connection beyond the maximum", || {
        let mut connection = TcpStream::connect(&target).expect("it listens");
        connection.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
        let mut said = [0; 256];
        let length = connection.read(&mut said).unwrap_or(0);
        held.push(connection);
        String::from_utf8_lossy(&said[..length]).contains("which is the maximum")
    });
    drop(held);
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
}

/// What the server says when it cannot use what it inherits, which it must.
fn complaint(sockets: &[&dyn AsRawFd], names: &str, arguments: &[&str]) -> String {
    let output = inheriting(sockets, names, arguments).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    said
}

#[test]
fn what_cannot_be_used_is_named_with_the_remedy() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let said = complaint(&[&listener], "hubbub-server.socket", &["--ephemeral"]);
    assert!(said.contains("set FileDescriptorName=grpc or FileDescriptorName=http"), "{said}");
    let said = complaint(&[&listener], "http", &["--ephemeral", "--listen", "127.0.0.1:0", "--http", "none"]);
    assert!(said.contains("HTTP, which is switched off (--http none)"), "{said}");
    let connection = TcpStream::connect(listener.local_addr().expect("it has one")).expect("it listens");
    let said = complaint(&[&connection], "grpc", &["--ephemeral"]);
    assert!(said.contains("not a listening stream socket"), "{said}");
    let said = complaint(&[&listener], "grpc:http", &["--ephemeral"]);
    assert!(said.contains("LISTEN_FDNAMES has 2 names"), "{said}");
    // A socket that other machines can reach is no way around the check of addresses.
    let exposed = TcpListener::bind("0.0.0.0:0").expect("a port");
    let said = complaint(&[&exposed], "grpc", &["--ephemeral"]);
    assert!(said.contains("can be reached from other machines"), "{said}");
}
