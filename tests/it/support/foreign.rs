//! Clients of other libraries: Python's, Node's and Go's gRPC. Their programs are in `tests/compatible`.
//!
//! `tls.py`, `tls.js` and `go/tls` are one client in three languages. Each reads requests from standard input, and
//! writes answers to standard output. Both are lines of JSON:
//!
//! | request | what the client does |
//! | --- | --- |
//! | `connect`: `ca` | connects over TLS, and trusts only the authority in this file |
//! | `post`: `token`, `room`, `sender`, `body` | calls `PostMessage` |
//! | `list`: `token`, `room` | calls `ListMessages`, and answers with `messages` |
//! | `open`: `token`, `name` | calls `Chat`, sends `Hello`, and hears |
//! | `join`: `room`; `say`: `room`, `body` | sends a command, and hears |
//! | `hear` | waits for the next event that is neither `Joined` nor `Presence`, and answers with its kind in `event` |
//!
//! A `token` is the name of a file, so that no secret is an argument; an empty one means no token. An answer has the
//! status in `code`, 0 while a stream goes on.

use std::env;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use grpcio::RpcStatusCode as Code;
use serde_json::{Value, json};

use super::{DEADLINE, wait_for};

/// Python with its gRPC, in the environment that `make test` makes.
pub fn python() -> Command {
    Command::new(environment())
}

fn environment() -> PathBuf {
    env::var_os("HUBBUB_TEST_PYTHON")
        .expect("HUBBUB_TEST_PYTHON names a Python that has grpcio: run the tests with `make test`, which makes one")
        .into()
}

/// Node with its gRPC, which `make test` puts beside Python's environment.
pub fn node() -> Command {
    let modules = environment().ancestors().nth(3).expect("a target folder").join("node/node_modules");
    assert!(modules.join("@grpc/grpc-js").is_dir(), "{} is missing: run the tests with `make test`", modules.display());
    let mut node = Command::new("node");
    node.env("NODE_PATH", modules);
    node
}

/// A program in `tests/compatible`.
pub fn script(name: &str) -> PathBuf {
    project("tests/compatible").join(name)
}

pub fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A running client. Killed when dropped.
pub struct Foreign {
    child: Child,
    requests: Option<ChildStdin>,
    answers: Receiver<String>,
    /// What it says on standard error.
    complaints: Receiver<String>,
}

impl Foreign {
    pub fn start(mut program: Command) -> Self {
        let program = program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = program.spawn().unwrap_or_else(|error| panic!("{program:?}: {error}"));
        let answers = lines(child.stdout.take().expect("standard output is piped"));
        let complaints = lines(child.stderr.take().expect("standard error is piped"));
        Self { requests: child.stdin.take(), child, answers, complaints }
    }

    /// Sends a request, and returns the answer.
    pub fn ask(&mut self, request: &Value) -> Value {
        let requests = self.requests.as_mut().expect("it was not finished");
        writeln!(requests, "{request}").unwrap_or_else(|error| panic!("the client reads no more: {error}"));
        let answer = self.answers.recv_timeout(DEADLINE).unwrap_or_else(|error| panic!("{request}: {error}"));
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    /// The status of the answer.
    pub fn code(&mut self, request: &Value) -> Code {
        let answer = self.ask(request);
        Code::from(answer["code"].as_i64().expect("a code") as i32)
    }

    pub fn connect(&mut self, ca: &Path) {
        assert_eq!(self.code(&json!({ "ask": "connect", "ca": ca })), Code::OK);
    }

    /// The client ends by itself, without a fault, after its last request.
    pub fn finish(mut self) {
        drop(self.requests.take());
        let mut ended = None;
        wait_for("the end of the client", || {
            ended = self.child.try_wait().expect("it is our child");
            ended.is_some()
        });
        assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            self.complaints.iter().for_each(|line| eprintln!("the client: {line}"));
        }
    }
}

/// The lines of a pipe, which a thread reads to its end.
fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    let read = move || BufReader::new(pipe).lines().map_while(Result::ok).try_for_each(|line| sender.send(line));
    thread::spawn(read);
    lines
}
