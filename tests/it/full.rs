//! A disk that is really full: a small, separate file system. Deleting needs no space, so a server with retention
//! recovers by itself.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use grpcio::{Client, RpcStatusCode};
use hubbub::wire::LIST_MESSAGES;
use hubbub::wire::v1::ListMessagesRequest;

use super::disk::bound_files;
use super::support::DEADLINE;
use super::support::chatter::environment;
use super::support::process::{ServerProcess, command};
use super::support::talker::{Talker, call, post_message};

/// A server whose data folder is a file system of this size, which ends with the server.
pub fn small(folder: &Path, size: &str, arguments: &[&str]) -> Command {
    let mut small = Command::new("unshare");
    let mount = "mount -t tmpfs -o size=$1,mode=700 tmpfs \"$2\" && shift 2 && exec \"$@\"";
    small.args(["--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh", size]).arg(folder);
    // As in `command`: each default address is one.
    small.env("HUBBUB_HTTP", "none").env("HUBBUB_ADMIN", "none");
    small.arg(command().get_program()).args(["--listen", "127.0.0.1:0", "--data"]).arg(folder).args(arguments);
    if !arguments.contains(&"--disk-reserve") {
        small.args(["--disk-reserve", "0"]);
    }
    small
}

/// The path of such a server's data folder for other processes.
pub fn inside(server: &ServerProcess, folder: &Path) -> PathBuf {
    let path = folder.strip_prefix("/").expect("an absolute path");
    PathBuf::from(format!("/proc/{}/root", server.pid())).join(path)
}

/// Takes all free space.
pub fn fill(path: &Path) {
    let mut file = File::create(path).expect("a file can be created");
    for bytes in [65_536, 4_096, 1] {
        loop {
            match file.write_all(&vec![1; bytes]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Posts until this many more messages are stored. Returns how many attempts were rejected.
fn post(client: &Client, count: u64) -> u64 {
    let body = "x".repeat(15_000);
    let (mut stored, mut rejected, mut last) = (0, 0, Instant::now());
    while stored < count {
        match post_message(client, "garden", "ann", 0, &body) {
            Ok(_) => (stored, last) = (stored + 1, Instant::now()),
            Err(end) => {
                assert_eq!(end.code, RpcStatusCode::UNAVAILABLE, "{}", end.message);
                assert!(end.message.contains("disk is full"), "{}", end.message);
                assert!(last.elapsed() < DEADLINE, "no message is stored any more, after {stored} messages");
                rejected += 1;
                thread::park_timeout(Duration::from_millis(20));
            }
        }
    }
    rejected
}

/// Stops a server. Its log must have one line each time storing messages begins to fail or works again, the same for the
/// search index, and no other warning.
fn end(mut server: ServerProcess) {
    server.signal(libc::SIGTERM);
    let status = server.wait();
    let log = server.rest_of_log();
    assert_eq!(status.code(), Some(0), "{log:#?}");
    let faults = [
        ("messages can't be stored", "storing messages works again"),
        ("the search index can't be written: the disk is full", "the search index is written again"),
    ];
    let mut fails = [false; 2];
    for line in &log {
        for ((begin, end), fails) in faults.iter().zip(&mut fails) {
            let (begins, ends) = (line.contains(begin), line.contains(end));
            assert!(!begins || !*fails, "{log:#?}");
            assert!(!ends || *fails, "{log:#?}");
            *fails = begins || (*fails && !ends);
        }
        // An index that could not be written is made again, unless it has caught up.
        let is_deleted = fails[1] && line.contains("the search index is deleted, and made again at the next start");
        let is_known = is_deleted || faults.iter().any(|(begin, _)| line.contains(begin));
        assert!(is_known || !(line.contains(" WARN ") || line.contains(" ERROR ")), "{log:#?}");
    }
}

/// On a full disk, the write-ahead log could not be copied into the database, which had to grow, so its space could not
/// be reused. Retention failed too, with 235 warnings in 26 s. Only a restart helped.
#[test]
fn a_full_disk_recovers_once_retention_can_delete_messages() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let server = ServerProcess::listening(small(&folder, "20m", &["--retain-for", "2s", "--sync", "os"]));
    let client = Talker::connect(&environment(), server.target(), "ann").client;
    let mut rejected = 0;
    let begun = Instant::now();
    while rejected == 0 {
        rejected = post(&client, 100);
        assert!(begun.elapsed() < DEADLINE, "the disk did not fill up");
    }
    // Twice as much as the disk has space for.
    post(&client, 1_200);
    end(server);
}

/// Another program takes all free space.
#[test]
fn on_a_disk_that_others_fill_retention_makes_space_for_new_messages() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let server = ServerProcess::listening(small(&folder, "40m", &["--retain-messages", "100", "--sync", "os"]));
    let client = Talker::connect(&environment(), server.target(), "ann").client;
    post(&client, 300);
    let filler = inside(&server, &folder).join("filler");
    fill(&filler);
    // More than the write-ahead log holds.
    post(&client, 1_500);
    let mut reader = Talker::hello(&environment(), server.target(), "reader");
    let (joined, _) = reader.join_room("garden", None);
    assert_eq!(joined.head_seq, 1_800);
    assert!(joined.oldest_seq > 1_000, "{joined:?}");
    fs::remove_file(filler).unwrap();
    assert_eq!(post(&client, 1), 0);
    end(server);
}

/// The system reports a limit on the size of files, or a quota, with other codes than a full disk. SQLite treats both
/// as I/O errors, so during a copy they ended the log's life.
#[test]
fn a_limit_on_file_sizes_is_treated_like_a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let server = ServerProcess::start(&["--data", data, "--retain-messages", "50", "--sync", "os"]);
    let client = Talker::connect(&environment(), server.target(), "ann").client;
    post(&client, 100);
    let bytes = fs::metadata(folder.path().join("hubbub.db")).unwrap().len();
    bound_files(server.pid(), bytes);
    post(&client, 1_000);
    bound_files(server.pid(), libc::RLIM_INFINITY);
    assert_eq!(post(&client, 1), 0);
    end(server);
}

#[test]
fn a_start_on_a_full_disk_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let output = small(&folder, "4k", &[]).output().expect("unshare is there");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("free space") && errors.contains("--data"), "{errors}");
}

/// One stream filled the disk at 84 MB/s, and nothing else on it could be written any more.
#[test]
fn posts_leave_the_reserve_of_the_disk_free() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let mut server = ServerProcess::listening(small(&folder, "60m", &["--disk-reserve", "20MB", "--sync", "os"]));
    let client = Talker::connect(&environment(), server.target(), "ann").client;
    let body = "x".repeat(15_000);
    let post = || post_message(&client, "garden", "ann", 0, &body);
    post().expect("there is space");
    // Another program takes space.
    let other = inside(&server, &folder).join("other");
    fs::write(&other, vec![1; 30_000_000]).expect("there is space");
    let begun = Instant::now();
    let mut stored = 1;
    let end = loop {
        match post() {
            Ok(_) => stored += 1,
            Err(end) => break end,
        }
        assert!(begun.elapsed() < DEADLINE, "the reserve is used");
    };
    assert_eq!(end.code, RpcStatusCode::UNAVAILABLE);
    assert!(end.message.contains("almost full") && end.message.contains("operator"), "{}", end.message);
    // The operator does not read what clients read.
    let line = server.wait_for_log("messages are rejected");
    assert!(line.contains("lower --disk-reserve") && !line.contains("operator"), "{line}");
    // What was stored can be read.
    let request = ListMessagesRequest { room: "garden".to_owned(), ..Default::default() };
    assert_eq!(call(&client, &LIST_MESSAGES, &request).expect("reading goes on").head_seq, stored);
    fs::remove_file(&other).expect("it can be removed");
    while let Err(end) = post() {
        assert_eq!(end.code, RpcStatusCode::UNAVAILABLE);
        assert!(begun.elapsed() < 2 * DEADLINE, "there is space again");
        thread::park_timeout(Duration::from_millis(50));
    }
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
}
