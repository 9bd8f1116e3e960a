//! A server that has no room for another client: the client learns why, and the log has one line when that begins and
//! one when it is over.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use grpcio::RpcStatusCode;
use hubbub::wire::LIST_MESSAGES;
use hubbub::wire::v1::ListMessagesRequest;

use crate::support::chatter::{Chatter, Next, environment};
use crate::support::process::{ServerProcess, command};
use crate::support::raw::{PREFACE, SETTINGS, frame};
use crate::support::talker::{Talker, after, call, post_message};
use crate::support::wait_for;

/// How many descriptors the server may have.
const DESCRIPTORS: u64 = 64;

pub fn count(log: &[String], text: &str) -> usize {
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
    wait_for("a seat", || server.threads_named(&["recv-"]) < 3);
    Talker::hello(&environment, &target, "dan");
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
    assert_eq!(count(&server.rest_of_log(), "the server is full"), 0, "each is logged once");
}

/// One client could take all places with streams of the tutorial's contract, which need not say anything.
#[test]
fn a_newcomer_takes_the_place_of_a_silent_client() {
    let server = ServerProcess::start(&["--clients-max", "3"]);
    let (environment, target) = (environment(), server.target().to_owned());
    let mut speaker = Chatter::join(&environment, &target, "speaker");
    let mut other = Chatter::join(&environment, &target, "other");
    let mut silent = Chatter::join(&environment, &target, "silent");
    wait_for("all to have joined", || {
        speaker.say("hello");
        other.say("hello");
        let soon = Duration::from_millis(100);
        [&mut speaker, &mut other, &mut silent].map(|chatter| chatter.next_within(soon).is_some()) == [true; 3]
    });
    // For a moment it may be about to say something. A client of its own contract never takes its place.
    assert_eq!(Talker::connect(&environment, &target, "early").end().code, RpcStatusCode::RESOURCE_EXHAUSTED);
    let mut newcomer = None;
    wait_for("a newcomer to be admitted", || {
        assert_eq!(Chatter::join(&environment, &target, "late").end().0, RpcStatusCode::RESOURCE_EXHAUSTED);
        newcomer = Talker::try_hello(&environment, &target, "newcomer").ok();
        newcomer.is_some()
    });
    let end = std::iter::repeat_with(|| silent.next()).find(|next| !matches!(next, Next::Message { .. }));
    let Some(Next::Ended { code, message }) = end else { unreachable!("a stream ends") };
    assert_eq!(code, RpcStatusCode::RESOURCE_EXHAUSTED);
    assert!(message.contains("another client took your place because you were silent"), "{message}");
    // Those that have spoken keep their places.
    speaker.say("still here");
    while other.hear() != "still here" {}
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
pub fn hubbub(arguments: &[&str]) -> (bool, String) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_hubbub"));
    program.args(arguments).env_remove("RUST_LOG").stdin(Stdio::null());
    let output = program.output().expect("hubbub runs");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A server that may have few descriptors.
pub fn limited(data: &std::path::Path) -> Command {
    let mut command = command();
    // The search index takes seven descriptors.
    command.args(["--listen", "127.0.0.1:0", "--search", "off", "--data"]).arg(data);
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

/// Takes all descriptors that connections may have. Returns the connections, and what the next one is told.
pub fn take_descriptors(target: &str) -> (Vec<TcpStream>, Vec<u8>) {
    let mut idle = Vec::new();
    loop {
        let (stream, refusal) = connect_idly(target);
        if let Some(said) = refusal {
            return (idle, said);
        }
        idle.push(stream);
        assert!(idle.len() < DESCRIPTORS as usize, "all are accepted");
    }
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
    let (idle, refusal) = take_descriptors(&target);
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

/// The log opens files of its own when it is read, when it is copied, and when it is closed.
#[test]
#[cfg_attr(not(feature = "core-patches"), ignore = "the C core alone does otherwise")]
fn the_log_is_written_read_and_closed_while_no_connection_can_be_accepted() {
    /// Together more than the write-ahead log holds before it is copied.
    const MESSAGES: u64 = 6_000;
    let data = tempfile::tempdir().expect("a folder");
    let body = "x".repeat(15_000);
    let mut program = limited(data.path());
    program.args(["--sync", "os", "--retain-messages", "5000"]);
    let mut server = ServerProcess::listening(program);
    let (environment, target) = (environment(), server.target().to_owned());
    let mut ann = Talker::join(&environment, &target, "ann", "garden");
    let (idle, _) = take_descriptors(&target);
    server.wait_for_log("file descriptors have run out");
    for number in 1..=MESSAGES {
        assert_eq!(post_message(&ann.client, "garden", "bot", number.into(), &body).expect("it is stored").seq, number);
        assert_eq!(ann.hear().0, number);
    }
    // Four reads at once, of the oldest messages.
    let oldest = thread::scope(|scope| {
        let read = || {
            let request = ListMessagesRequest { room: "garden".to_owned(), page_size: 100, ..Default::default() };
            let page = call(&ann.client, &LIST_MESSAGES, &request).expect("the log is read");
            page.events.first().map(|event| event.seq)
        };
        let reads: Vec<_> = (0..4).map(|_| scope.spawn(read)).collect();
        let seqs: Vec<_> = reads.into_iter().map(|read| read.join().expect("no thread panics")).collect();
        assert!(seqs.iter().all(|seq| *seq == seqs[0]), "{seqs:?}");
        seqs[0].expect("the room has messages")
    });
    assert!(oldest > 1, "retention deletes messages");
    let (_, refusal) = connect_idly(&target);
    assert!(refusal.is_some(), "there are still no descriptors");
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
    let log = server.rest_of_log();
    assert!(!log.iter().any(|line| line.contains(" ERROR ")), "{log:#?}");
    drop((idle, ann));
    let server = ServerProcess::listening(limited(data.path()));
    let (joined, _) = Talker::hello(&environment, server.target(), "bob").join_room("garden", None);
    assert_eq!(joined.head_seq, MESSAGES);
}

/// A command said "unable to open database file; free space, check its owner", and a server that it could serve 0 clients,
/// and to allow fewer.
#[test]
fn programs_that_may_open_few_descriptors_say_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let run = |descriptors: u32, arguments: &[&str]| {
        let mut program = Command::new("sh");
        program.args(["-c", "ulimit -n $1; shift; exec \"$@\"", "sh", &descriptors.to_string()]);
        program.arg(command().get_program()).args(arguments).arg("--data").arg(&data);
        let output = program.output().expect("sh is there");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let mut server = ServerProcess::start(&["--data", data.to_str().expect("a plain path")]);
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
    let file = folder.path().join("backup");
    let file = file.to_str().expect("a plain path");
    for arguments in [&["verify"][..], &["room", "list"], &["backup", file]] {
        let (code, said) = run(8, arguments);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("only 8 file descriptors are allowed: raise ulimit -n to 24"), "{said}");
        assert_eq!(run(24, arguments).0, Some(0), "{arguments:?}");
    }
    let (code, said) = run(20, &["--listen", "127.0.0.1:0"]);
    assert_eq!((code, said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("can serve no client: each takes a file descriptor") && said.contains("ulimit -n"), "{said}");
}
