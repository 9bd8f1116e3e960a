//! A full disk: posts are rejected, reading continues, and the server recovers by itself.
//!
//! The kernel's limit on the size of files simulates the full disk: it needs no privileges, can be changed while the
//! server runs, and makes the same writes fail.

use std::process::Command;
use std::time::Duration;

use grpcio::RpcStatusCode;
use hubbub::wire::LIST_MESSAGES;
use hubbub::wire::v1::event::Event as Kind;
use hubbub::wire::v1::rejected::Code;
use hubbub::wire::v1::{ListMessagesRequest, join};

use super::support::chatter::{Chatter, environment};
use super::support::process::{ServerProcess, command};
use super::support::talker::{Talker, call, post_message};

/// Limits the size of the files that the process may write.
pub fn bound_files(pid: u32, bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the process is our child; prlimit reads the rlimit that the pointer refers to, and writes none.
    let result =
        unsafe { libc::prlimit(pid as libc::pid_t, libc::RLIMIT_FSIZE, &raw const limit, std::ptr::null_mut()) };
    assert_eq!(result, 0, "the limit can be set");
}

/// Less than the size of a message of 15,000 bytes in the write-ahead log.
const SMALL: u64 = 8_000;

#[test]
fn a_full_disk_only_rejects_posts_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = ServerProcess::start(&["--data", folder.path().to_str().unwrap()]);
    let (environment, target) = (environment(), server.target().to_owned());
    let mut ann = Talker::join(&environment, &target, "ann", "garden");
    let mut old = Chatter::join(&environment, &target, "old");
    // The first message of this room is posted while the disk is full.
    let mut eve = Talker::join(&environment, &target, "eve", "shed");
    ann.post("garden", 1, "before");
    assert_eq!(ann.hear(), (1, "ann".to_owned(), "before".to_owned()));

    bound_files(server.pid(), SMALL);
    let body = "x".repeat(15_000);
    ann.post("garden", 2, &body);
    let rejected = ann.rejected();
    assert_eq!(rejected.code.enum_value(), Ok(Code::CODE_UNAVAILABLE), "{rejected:?}");
    assert!(rejected.retry_after_ms > 0 && rejected.reason.contains("disk"), "{rejected:?}");
    server.wait_for_log("messages can't be stored");
    let end = post_message(&ann.client, "garden", "bot", 3, &body).unwrap_err();
    assert_eq!(end.code, RpcStatusCode::UNAVAILABLE, "{}", end.message);
    // On the tutorial's contract, only the end of the stream can report it.
    old.say(&body);
    assert_eq!(old.end().0, RpcStatusCode::UNAVAILABLE);
    eve.post("shed", 1, &body);
    assert_eq!(eve.rejected().code.enum_value(), Ok(Code::CODE_UNAVAILABLE));
    // Reading continues, and any room can be joined.
    let (waiting, _) = ann.join_room("shed", None);
    assert_eq!((waiting.head_seq, waiting.member_count), (0, 2));
    let mut reader = Talker::hello(&environment, &target, "reader");
    let (joined, history) = reader.join_room("garden", Some(join::From::Last(10)));
    assert_eq!((joined.head_seq, history.len()), (1, 1));
    let request = ListMessagesRequest { room: "garden".to_owned(), ..Default::default() };
    assert_eq!(call(&ann.client, &LIST_MESSAGES, &request).unwrap().events.len(), 1);

    bound_files(server.pid(), libc::RLIM_INFINITY);
    ann.post("garden", 2, &body);
    let received = loop {
        match ann.next().event {
            Some(Kind::Message(message)) => break message,
            Some(Kind::Presence(_)) => {}
            other => panic!("expected the message: {other:?}"),
        }
    };
    assert_eq!(received.body, body);
    server.wait_for_log("storing messages works again");
    let stored = post_message(&ann.client, "garden", "bot", 3, "after").unwrap();
    assert_eq!((stored.seq, stored.was_stored), (3, false));
    assert_eq!(reader.hear().0, 2);
    eve.post("shed", 1, &body);
    assert_eq!(eve.hear().0, 1);
    let mut late = Talker::hello(&environment, &target, "late");
    let (shed, history) = late.join_room("shed", Some(join::From::Last(1)));
    let epoch = eve.numbered.back().map(|joined| joined.epoch);
    assert_eq!((Some(shed.epoch), shed.head_seq, history.len()), (epoch, 1, 1));
    assert!(ann.next_within(Duration::from_secs(20)).is_some_and(|event| event.is_ok_and(|event| event.seq == 3)));
}

#[test]
fn a_folder_in_use_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let _first = ServerProcess::start(&["--data", path]);
    let output = command().args(["--listen", "127.0.0.1:0", "--data", path]).output().expect("hubbub-server starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("is in use by another server") && errors.contains("--data"), "{errors}");
}

/// The write-ahead log is laid out in advance only to make commits faster.
#[test]
fn a_server_starts_with_little_space() {
    let folder = tempfile::tempdir().unwrap();
    let server = command();
    let mut bounded = Command::new("sh");
    // The unit is 512 or 1,024 bytes, depending on the shell.
    bounded.args(["-c", "ulimit -f 2000; exec \"$@\"", "sh"]).arg(server.get_program());
    bounded.args(["--listen", "127.0.0.1:0", "--data"]).arg(folder.path());
    let mut server = ServerProcess::spawn(bounded);
    server.wait_for_log("no space to lay out the write-ahead log");
    let target = server.wait_for_listening();
    let mut ann = Talker::join(&environment(), &target, "ann", "garden");
    ann.post("garden", 1, "hello");
    assert_eq!(ann.hear(), (1, "ann".to_owned(), "hello".to_owned()));
}

/// The exit code was 0 although the log could not be closed cleanly.
#[test]
fn a_close_that_fails_exits_with_1() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = ServerProcess::start(&["--data", folder.path().to_str().unwrap()]);
    let ann = Talker::join(&environment(), server.target(), "ann", "garden");
    post_message(&ann.client, "garden", "ann", 1, "hello").unwrap();
    drop(ann);
    bound_files(server.pid(), 1);
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(1));
    let log = server.rest_of_log().join("\n");
    assert!(log.contains("the log was not closed cleanly"), "{log}");
    // The acknowledged message is in the write-ahead log.
    let server = ServerProcess::start(&["--data", folder.path().to_str().unwrap()]);
    let mut bob = Talker::hello(&environment(), server.target(), "bob");
    assert_eq!(bob.join_room("garden", None).0.head_seq, 1);
}
