//! Backup, restore and verify with the server program, as an operator uses it; and data folders whose files were
//! changed.

use std::env;
use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use grpcio::{ChannelBuilder, Client};
use hubbub::wire::v1::event::Event as Kind;
use tempfile::TempDir;

use super::support::chatter::environment;
use super::support::process::{ServerProcess, command};
use super::support::talker::{Talker, after, post_message};

const ROOM: &str = "talk";

fn start(data: &Path) -> ServerProcess {
    ServerProcess::listening(serving(data))
}

fn serving(data: &Path) -> Command {
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0", "--data"]).arg(data);
    command
}

/// Runs a sub-command on the data folder.
fn run(data: &Path, name: &str, file: Option<&Path>) -> Output {
    command().arg(name).args(file).arg("--data").arg(data).output().expect("hubbub-server runs")
}

fn succeed(data: &Path, name: &str, file: Option<&Path>) {
    let output = run(data, name, file);
    assert!(output.status.success(), "{name}: {}{}", text(&output.stdout), text(&output.stderr));
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Posts messages with these numbers. All are stored when this returns.
fn post(server: &ServerProcess, numbers: std::ops::RangeInclusive<u32>) {
    let client = Client::new(ChannelBuilder::new(environment()).connect(server.target()));
    for number in numbers {
        post_message(&client, ROOM, "ann", u128::from(number), &format!("m{number}")).expect("it is stored");
    }
}

/// The room's epoch and bodies.
fn read(server: &ServerProcess) -> (u64, Vec<String>) {
    let mut reader = Talker::hello(&environment(), server.target(), "reader");
    let (joined, events) = reader.join_room(ROOM, after(0, 0));
    let body = |kind| match kind {
        Some(Kind::Message(message)) => Some(message.body),
        _ => None,
    };
    (joined.epoch, events.into_iter().filter_map(|event| body(event.event)).collect())
}

fn stop(mut server: ServerProcess) {
    server.signal(libc::SIGTERM);
    assert!(server.wait().success());
}

/// Checks that a start is refused with a message that contains these words.
fn refused(data: &Path, words: &[&str]) {
    let mut server = ServerProcess::spawn(serving(data));
    assert!(!server.wait().success(), "the server must not start");
    let log = server.rest_of_log().join("\n");
    assert!(words.iter().all(|word| log.contains(word)), "{log}");
}

/// Post m1, back up, post m2, kill the server, copy the backup over `hubbub.db` and start: SQLite replayed the leftover
/// write-ahead log onto the backup, so that m2 was restored, or the log was damaged.
#[test]
fn a_backup_beside_a_foreign_write_ahead_log_is_refused_and_restore_repairs_it() {
    let (data, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let file = elsewhere.path().join("backup.db");
    let server = start(data.path());
    post(&server, 1..=1);
    succeed(data.path(), "backup", Some(&file));
    let again = run(data.path(), "backup", Some(&file));
    assert!(
        !again.status.success() && text(&again.stderr).contains("--force"),
        "an existing file is replaced only with --force"
    );
    post(&server, 2..=2);
    let epoch = read(&server).0;
    let busy = run(data.path(), "restore", Some(&file));
    assert!(!busy.status.success() && text(&busy.stderr).contains("in use"), "{}", text(&busy.stderr));
    succeed(data.path(), "verify", None);
    server.crash();
    fs::copy(&file, data.path().join("hubbub.db")).unwrap();
    refused(data.path(), &["hubbub.db-wal", "restore"]);
    succeed(data.path(), "restore", Some(&file));
    let server = start(data.path());
    let (restored, bodies) = read(&server);
    assert_eq!(bodies, ["m1"]);
    assert_ne!(restored, epoch, "clients must learn that m2 is lost");
    stop(server);
    // The epoch stays the same at the next starts.
    assert_eq!(read(&start(data.path())).0, restored);
}

/// After a backup was copied by hand over a log that had been closed cleanly, clients did not learn of lost messages
/// unless
/// `--restored` was given.
#[test]
fn a_backup_that_was_copied_by_hand_changes_the_epoch() {
    let (data, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let file = elsewhere.path().join("backup.db");
    let server = start(data.path());
    post(&server, 1..=1);
    succeed(data.path(), "backup", Some(&file));
    post(&server, 2..=2);
    let epoch = read(&server).0;
    stop(server);
    let plain = elsewhere.path().join("cold.db");
    fs::copy(data.path().join("hubbub.db"), &plain).unwrap();
    fs::copy(&file, data.path().join("hubbub.db")).unwrap();
    let server = start(data.path());
    let (restored, bodies) = read(&server);
    assert_eq!((bodies, restored == epoch), (vec!["m1".to_owned()], false));
    stop(server);
    // A copy of the database of an earlier life changes it too.
    fs::copy(&plain, data.path().join("hubbub.db")).unwrap();
    let mut server = start(data.path());
    let (again, bodies) = read(&server);
    assert_eq!((bodies.len(), again == epoch), (2, false));
    server.signal(libc::SIGTERM);
    server.wait();
    assert!(server.rest_of_log().len() < 100);
    // A missing database is not taken for an empty log.
    fs::remove_file(data.path().join("hubbub.db")).unwrap();
    refused(data.path(), &["hubbub.db is missing", "restore"]);
}

/// Damages a write-ahead log so that acknowledged messages are lost.
fn lose(log: &Path, way: usize) {
    let mut file = fs::File::options().read(true).write(true).open(log).unwrap();
    let frame = 24 + 4096;
    match way {
        // Changes a byte of a page in the middle, or in one of the last frames.
        0 | 1 => {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).unwrap();
            let salts = bytes[16..24].to_vec();
            let frames = bytes[32..].chunks_exact(frame).take_while(|bytes| bytes[8..16] == salts[..]).count();
            let hit = if way == 0 { frames / 2 } else { frames - 1 };
            let at = 32 + hit * frame + 24 + 100;
            file.seek(SeekFrom::Start(at as u64)).unwrap();
            file.write_all(&[!bytes[at]]).unwrap();
        }
        // Truncates the log at the end of a frame.
        2 => file.set_len(32 + 10 * frame as u64).unwrap(),
        3 => file.set_len(0).unwrap(),
        _ => fs::remove_file(log).unwrap(),
    }
}

/// After kill -9 and damage to the write-ahead log, its truncation or its deletion, the server started in 7 of 7 cases
/// without a log line, kept the epoch and assigned the lost seqs again. Now it logs an error and changes the epoch.
/// Without SQLite's shared memory, as in a copied folder, damage in the middle and a missing log are still detected.
#[test]
fn a_write_ahead_log_that_lost_messages_is_detected() {
    for (way, copied) in [(0, false), (1, false), (2, false), (3, false), (4, false), (0, true), (3, true), (4, true)] {
        let data = TempDir::new().unwrap();
        let server = start(data.path());
        post(&server, 1..=20);
        let (epoch, bodies) = read(&server);
        assert_eq!(bodies.len(), 20);
        server.crash();
        lose(&data.path().join("hubbub.db-wal"), way);
        if copied {
            fs::remove_file(data.path().join("hubbub.db-shm")).unwrap();
        }
        let mut server = ServerProcess::spawn(serving(data.path()));
        server.wait_for_log("acknowledged messages are lost");
        drop(server);
        // A start that was killed does not hide the loss from the next one.
        let mut server = ServerProcess::spawn(serving(data.path()));
        let target = server.wait_for_listening();
        let client = Client::new(ChannelBuilder::new(environment()).connect(&target));
        post_message(&client, ROOM, "ann", 100, "after").expect("it is stored");
        let mut reader = Talker::hello(&environment(), &target, "reader");
        let joined = reader.join_room(ROOM, after(0, 0)).0;
        assert_ne!(joined.epoch, epoch, "way {way}, copied: {copied}");
        server.crash();
    }
}

/// After a kill that lost nothing, the server logs no error and keeps the epoch.
#[test]
fn a_kill_alone_raises_no_false_alarm() {
    let data = TempDir::new().unwrap();
    let mut epoch = None;
    for life in 0..4 {
        let mut server = ServerProcess::spawn(serving(data.path()));
        let mut log = Vec::new();
        let line = server.wait_for_log("listening on ");
        log.push(line.clone());
        let target = line.rsplit(' ').next().unwrap().to_owned();
        let client = Client::new(ChannelBuilder::new(environment()).connect(&target));
        post_message(&client, ROOM, "ann", life + 1, "hello").expect("it is stored");
        let joined = Talker::hello(&environment(), &target, "reader").join_room(ROOM, after(0, 0)).0;
        assert_eq!(*epoch.get_or_insert(joined.epoch), joined.epoch);
        server.crash();
        succeed(data.path(), "verify", None);
    }
}

/// A body with a changed byte in `hubbub.db` was served.
#[test]
fn verify_names_the_room_and_the_seqs_of_damage() {
    let (data, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let server = start(data.path());
    post(&server, 1..=9);
    stop(server);
    let database = data.path().join("hubbub.db");
    let mut bytes = fs::read(&database).unwrap();
    let at = bytes.windows(2).rposition(|bytes| bytes == b"m5").unwrap();
    bytes[at + 1] = b'6';
    fs::write(&database, bytes).unwrap();
    let output = run(data.path(), "verify", None);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("room talk: messages 5 to 5 are damaged"), "{}", text(&output.stdout));
    // A restore of a damaged backup is refused, and changes nothing.
    let file = elsewhere.path().join("backup.db");
    succeed(data.path(), "backup", Some(&file));
    let output = run(data.path(), "restore", Some(&file));
    assert!(!output.status.success() && text(&output.stderr).contains("room talk: messages 5 to 5"));
}

/// A backup has everything that was acknowledged before it began, regardless of the load. SQLite's own `.backup`
/// restarted with each commit of the server and never completed. `make backup-test` sets more rounds.
#[test]
fn a_backup_under_load_completes_and_has_all_acknowledged_messages() {
    let rounds = env::var("HUBBUB_BACKUP_ROUNDS").map_or(2, |rounds| rounds.parse().expect("a number"));
    let (data, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let server = start(data.path());
    let (acknowledged, over) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let client = Client::new(ChannelBuilder::new(environment()).connect(server.target()));
        scope.spawn(|| {
            let client = client;
            for number in 1.. {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let body = format!("m{number} {}", "x".repeat(2000));
                post_message(&client, ROOM, "ann", number, &body).expect("it is stored");
                acknowledged.store(u64::try_from(number).expect("few messages"), Ordering::Release);
            }
        });
        for round in 1..=rounds {
            super::support::wait_for("messages", || acknowledged.load(Ordering::Acquire) >= round * 100);
            let before = acknowledged.load(Ordering::Acquire);
            let file = elsewhere.path().join(format!("{round}.db"));
            succeed(data.path(), "backup", Some(&file));
            succeed(data.path(), "verify", Some(&file));
            let folder = TempDir::new().unwrap();
            succeed(folder.path(), "restore", Some(&file));
            let restored = start(folder.path());
            let mut reader = Talker::hello(&environment(), restored.target(), "reader");
            assert!(reader.join_room(ROOM, after(0, 0)).0.head_seq >= before, "round {round}");
        }
        over.store(true, Ordering::Relaxed);
    });
    succeed(data.path(), "verify", None);
}
