//! The original client and server of the tutorial, in Go with Go's own gRPC (`tests/compatible/go`).
//!
//! A regression: a user of the original client pressed Enter on an empty line; the server ended the stream with an
//! error, and the client crashed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use super::changes::Changer;
use crate::support::chatter::{Chatter, environment};
use crate::support::talker::Talker;
use crate::support::{DEADLINE, start, target, wait_for_clients};
use crate::terminal::client_command;

/// The programs, built once: `client`, `server` and `tls`.
pub fn program(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go");
        let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compatible/go/build");
        let output = Command::new(build).arg(&folder).output().expect("the build script starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        folder
    });
    folder.join(name)
}

/// A program of the tutorial, and the lines that it prints. Killed when dropped.
struct Original {
    child: Child,
    console: ChildStdin,
    lines: Receiver<String>,
}

impl Original {
    fn start(mut command: Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the Go program starts");
        let console = child.stdin.take().expect("standard input is piped");
        let (sender, lines) = channel();
        let errors = sender.clone();
        let stdout = BufReader::new(child.stdout.take().expect("standard output is piped"));
        let stderr = BufReader::new(child.stderr.take().expect("standard error is piped"));
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| errors.send(line)));
        Self { child, console, lines }
    }

    /// The client, which asks for the server and the name on its console.
    fn client(target: &str, name: &str) -> Self {
        let mut client = Self::start(Command::new(program("client")));
        client.press(target);
        client.press(name);
        client
    }

    /// The server on a free port, and its address.
    fn server() -> (Self, String) {
        let mut command = Command::new(program("server"));
        command.env("PORT", "0");
        let server = Self::start(command);
        let line = server.line();
        let (_, address) = line.split_once("listening on ").expect("it says where it listens");
        (server, address.to_owned())
    }

    fn press(&mut self, line: &str) {
        self.console.write_all(line.as_bytes()).and_then(|()| self.console.write_all(b"\n")).expect("it reads");
    }

    /// The next line, without the questions on the console before it.
    fn line(&self) -> String {
        let line = self.lines.recv_timeout(DEADLINE).expect("the Go program says something");
        line.rsplit(" ::: Your Name : ").next().unwrap_or_default().to_owned()
    }
}

impl Drop for Original {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn original_clients_exchange_messages_and_may_send_empty_lines() {
    let server = start();
    let target = target(&server);
    let mut ann = Original::client(&target, "ann");
    let mut bob = Original::client(&target, "bob");
    let mut eve = Talker::join(&environment(), &target, "eve", "lobby");
    wait_for_clients(&server, 3);
    // Empty lines, blanks, and the CR of a Windows console.
    for blank in ["", "   ", "\r", "\t\r"] {
        ann.press(blank);
    }
    ann.press("hello\r");
    assert_eq!(bob.line(), "ann : hello");
    assert_eq!(eve.hear(), (1, "ann".to_owned(), "hello".to_owned()));
    let long = "x".repeat(20_000);
    bob.press(&long);
    assert_eq!(ann.line() + ann.line().strip_prefix("bob : ").expect("bob said it"), format!("bob : {long}"));
    eve.post("lobby", 1, "to both");
    assert_eq!((ann.line(), bob.line()), ("eve : to both".to_owned(), "eve : to both".to_owned()));
    // A client without a name.
    let mut nobody = Original::client(&target, "");
    wait_for_clients(&server, 4);
    nobody.press("and me");
    assert_eq!((ann.line(), bob.line()), ("anonymous : and me".to_owned(), "anonymous : and me".to_owned()));
    // Both are still connected.
    ann.press("still here");
    assert_eq!((bob.line(), nobody.line()), ("ann : still here".to_owned(), "ann : still here".to_owned()));
}

/// A message that was changed before it is read, and the events of changes, show nothing of a deleted text, and no empty
/// line.
#[test]
fn original_clients_see_messages_and_no_changes() {
    let server = start();
    let target = target(&server);
    let cat = Original::client(&target, "cat");
    wait_for_clients(&server, 1);
    let mut changer = Changer::new(&target, "lobby");
    changer.change_everything();
    changer.post("ann", "the end");
    let mut lines = Vec::new();
    while lines.last().is_none_or(|line| line != "ann : the end") {
        lines.push(cat.line());
    }
    // Which of the texts it gets depends on how fast it is; a deleted message may never be shown.
    let shown = |body: &str| format!("ann : {body}");
    lines.retain(|line| *line != shown("to be deleted") && *line != shown("to be edited"));
    assert_eq!(lines, ["one", "a reply", "the end"].map(shown), "the edited message was sent with its first text");
}

#[test]
fn our_clients_work_with_the_original_server() {
    let (_server, address) = Original::server();
    let mut ann = Original::client(&address, "ann");
    let mut bob = Chatter::join(&environment(), &address, "bob");
    // The contract has no answer to a join: both have joined when ann receives a message of bob.
    let mut tries = 0;
    while ann.lines.try_recv().is_err() {
        bob.say("knock");
        thread::park_timeout(std::time::Duration::from_millis(20));
        tries += 1;
        assert!(tries < 1_000, "the original server delivers nothing");
    }
    ann.press("come in");
    assert_eq!(bob.hear(), "come in");
    let mut command = client_command(env!("CARGO_BIN_EXE_hubbub"), &["--contract", "tutorial", "--name", "cat"]);
    command.args(["--server", &address]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut cat = command.spawn().expect("hubbub starts");
    cat.stdin.take().expect("standard input is piped").write_all(b"meow\n").expect("it reads");
    assert_eq!(bob.hear(), "meow");
    let _ = cat.kill();
    let _ = cat.wait();
}

#[test]
fn the_repeat_client_verifies_the_original_server() {
    let (_server, address) = Original::server();
    let mut command = client_command(env!("CARGO_BIN_EXE_hubbub-repeat"), &["--contract", "tutorial"]);
    command.args(["--server", &address, "--clients", "5", "--senders", "2", "--messages", "100", "--json", "--quiet"]);
    let output = command.stdin(Stdio::null()).output().expect("hubbub-repeat starts");
    let json = String::from_utf8(output.stdout).expect("JSON is text");
    assert_eq!(output.status.code(), Some(0), "{json} {}", String::from_utf8_lossy(&output.stderr));
    assert!(json.contains(r#""sent":200,"delivered":800,"lost":0,"#), "{json}");
}
