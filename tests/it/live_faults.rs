//! Faults of a running server's files, or of the disk below them: no acknowledged message is lost without an error.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use grpcio::{Client, RpcStatusCode};
use rusqlite::Connection;
use tempfile::TempDir;

use super::support::DEADLINE;
use super::support::chatter::environment;
use super::support::preload;
use super::support::process::{ServerProcess, command};
use super::support::talker::{End, Talker, after, post_message};

const ROOM: &str = "room";
const DATABASE: &str = "hubbub.db";

fn body(number: u64) -> String {
    format!("{number} {}", "x".repeat(15_000))
}

fn client(server: &ServerProcess) -> Client {
    Talker::connect(&environment(), server.target(), "ann").client
}

fn start(folder: &Path) -> ServerProcess {
    ServerProcess::start(&["--data", folder.to_str().expect("a plain path")])
}

/// Posts until one post is refused or `max` messages are stored. Returns how many were stored, and the refusal.
fn post_until(client: &Client, first: u64, max: u64) -> (u64, Option<End>) {
    for number in first..=max {
        match post_message(client, ROOM, "ann", number.into(), &body(number)) {
            Ok(response) => assert_eq!(response.seq, number),
            Err(end) => return (number - 1, Some(end)),
        }
    }
    (max, None)
}

fn check_stored(server: &ServerProcess, count: u64) {
    let mut reader = Talker::hello(&environment(), server.target(), "reader");
    let (joined, events) = reader.join_room(ROOM, after(0, 0));
    assert!(joined.head_seq >= count && events.len() as u64 == joined.head_seq, "{joined:?}, {count} were stored");
    for (event, number) in events.iter().zip(1..) {
        assert_eq!((event.seq, event.message().body == body(number)), (number, true));
    }
}

/// A server whose next sync of this file fails once, as soon as the file `now` exists. The disk then has only the data
/// that was synced before.
struct Hiccup {
    _folder: TempDir,
    data: PathBuf,
    synced: PathBuf,
    now: PathBuf,
    file: PathBuf,
}

impl Hiccup {
    fn start(file: &str) -> (Self, ServerProcess) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        let (data, synced, now) = (path.join("data"), path.join("synced"), path.join("now"));
        let file = data.join(file);
        let mut program = command();
        program.args(["--listen", "127.0.0.1:0", "--data"]).arg(&data);
        program.env("LD_PRELOAD", preload::compile("hiccup", &path)).env("HUBBUB_HICCUP_FILE", &file);
        program.env("HUBBUB_HICCUP_SYNCED", &synced).env("HUBBUB_HICCUP_NOW", &now);
        let server = ServerProcess::listening(program);
        (Self { _folder: folder, data, synced, now, file }, server)
    }

    /// Stops the server, whose log must name this failure and the remedy. Then simulates a restart of the machine: the
    /// file has only the synced data.
    fn restart(&self, mut server: ServerProcess, failed: &str) -> ServerProcess {
        server.signal(libc::SIGTERM);
        let status = server.wait();
        fs::copy(&self.synced, &self.file).unwrap();
        let log = server.rest_of_log().join("\n");
        assert_eq!(status.code(), Some(1), "{log}");
        assert!(log.contains("the log has stopped") && log.contains(failed) && log.contains("check the disk"), "{log}");
        start(&self.data)
    }
}

/// One failed fsync of the write-ahead log (on a full thin volume) was treated like any rejected commit: the next
/// commits wrote the same blocks again and synced them. On ext4, these read as zeros after a restart of the machine
/// (`make thin-volume-test`), so that all later acknowledged messages were lost.
#[test]
fn one_failed_sync_of_the_write_ahead_log_stops_the_log() {
    let (hiccup, server) = Hiccup::start("hubbub.db-wal");
    let client = client(&server);
    let (stored, _) = post_until(&client, 1, 20);
    assert_eq!(stored, 20);
    fs::write(&hiccup.now, "").unwrap();
    let (stored, end) = post_until(&client, 21, 40);
    assert_eq!((stored, end.map(|end| end.code)), (20, Some(RpcStatusCode::UNAVAILABLE)));
    // The server ends: the next post is refused, or the server can't be reached.
    assert_eq!(post_until(&client, 21, 40).0, 20, "a message was stored after the failure");
    let restarted = hiccup.restart(server, "syncing the write-ahead log");
    check_stored(&restarted, 20);
}

/// One failed fsync of the database (on a thin volume that was full for some seconds) destroyed it: SQLite counts most
/// pages that it copies from the write-ahead log as copied before they are synced, the kernel reports a failed write
/// once and drops the pages, and the next copy restarted the write-ahead log, which was the only good copy. The server
/// ended with exit code 0; after a remount, none of about 20,000 acknowledged messages could be read.
#[test]
fn one_failed_sync_of_the_database_loses_nothing() {
    let (hiccup, server) = Hiccup::start(DATABASE);
    fs::write(&hiccup.now, "").unwrap();
    // More than the write-ahead log may hold.
    let (stored, _) = post_until(&client(&server), 1, 6_000);
    assert!(!hiccup.now.exists(), "the database was never synced, after {stored} messages");
    // Every commit has synced the write-ahead log.
    let restarted = hiccup.restart(server, "hubbub.db failed");
    assert!(stored > 100, "{stored} messages were stored");
    check_stored(&restarted, stored);
}

fn post_until_refused(client: &Client) -> End {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match post_message(client, ROOM, "ann", 0, "hello") {
            Err(end) => return end,
            Ok(_) => assert!(Instant::now() < deadline, "posts are still stored"),
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// After its folder was deleted, a server still acknowledged messages, logged nothing, and ended with exit code 0.
#[test]
fn deleted_or_moved_files_are_reported() {
    let fates: [fn(&Path); 6] = [
        |data| fs::remove_dir_all(data).unwrap(),
        |data| fs::rename(data, data.with_extension("moved")).unwrap(),
        |data| fs::remove_file(data.join(DATABASE)).unwrap(),
        |data| fs::remove_file(data.join("hubbub.db-wal")).unwrap(),
        |data| fs::remove_file(data.join("hubbub.db-shm")).unwrap(),
        |data| {
            fs::remove_file(data.join("lock")).unwrap();
            fs::write(data.join("lock"), "").unwrap();
        },
    ];
    for (index, fate) in fates.into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let mut server = start(&data);
        let client = client(&server);
        post_message(&client, ROOM, "ann", 1, "before").unwrap();
        fate(&data);
        let end = post_until_refused(&client);
        assert_eq!(end.code, RpcStatusCode::UNAVAILABLE, "{index}: {}", end.message);
        assert!(end.message.contains("while the server runs"), "{index}: {}", end.message);
        server.wait_for_log("messages can't be stored");
        // Another server that uses the path is not affected.
        if index == 0 {
            let mut other = start(&data);
            let (stored, _) = post_until(&self::client(&other), 1, 3);
            server.signal(libc::SIGTERM);
            assert_eq!(server.wait().code(), Some(1), "{index}");
            check_stored(&other, stored);
            other.signal(libc::SIGTERM);
            assert_eq!(other.wait().code(), Some(0));
            continue;
        }
        server.signal(libc::SIGTERM);
        assert_eq!(server.wait().code(), Some(1), "{index}");
    }
}

/// A folder that was moved by mistake can be moved back, without a lost message.
#[test]
fn a_folder_that_is_moved_back_is_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let (data, moved) = (folder.path().join("data"), folder.path().join("moved"));
    let mut server = start(&data);
    let client = client(&server);
    fs::rename(&data, &moved).unwrap();
    post_until_refused(&client);
    fs::rename(&moved, &data).unwrap();
    post_message(&client, ROOM, "ann", 0, "after").unwrap();
    server.wait_for_log("storing messages works again");
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
}

/// While another program kept a read transaction open, the write-ahead log grew, and the server did not log it.
#[test]
fn a_program_that_keeps_reading_is_logged_once_and_so_is_its_end() {
    let folder = TempDir::new().expect("a folder can be made");
    let data = folder.path().to_str().expect("a plain path");
    let mut server = ServerProcess::start(&["--sync", "os", "--data", data]);
    let client = client(&server);
    assert_eq!(post_until(&client, 1, 1), (1, None));
    let other = Connection::open(folder.path().join(DATABASE)).expect("the database opens");
    let count = || other.query_row("SELECT count(*) FROM segments", (), |row| row.get::<_, i64>(0));
    other.execute_batch("BEGIN").expect("a transaction begins");
    assert_eq!(count(), Ok(1));
    // More than the write-ahead log holds before the keeper tries to restart it.
    assert_eq!(post_until(&client, 2, 5_000), (5_000, None));
    let warning = server.wait_for_log("another program keeps reading");
    assert!(
        warning.contains(DATABASE) && warning.contains("fuser"),
        "the warning lacks the file or the remedy: {warning}"
    );
    assert_eq!(post_until(&client, 5_001, 5_100), (5_100, None));
    other.execute_batch("COMMIT").expect("the transaction ends");
    server.wait_for_log("the write-ahead log is copied again");
    check_stored(&server, 5_100);
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
    let rest = server.rest_of_log();
    assert!(!rest.iter().any(|line| line.contains("keeps reading")), "{rest:#?}");
}
