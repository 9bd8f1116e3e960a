//! Restores and backups that are killed, that can't write, or that run on a large log in use.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use grpcio::{ChannelBuilder, Client};
use tempfile::TempDir;

use super::support::chatter::environment;
use super::support::preload;
use super::support::process::{ServerProcess, command};
use super::support::talker::{Talker, after, post_message};

const ROOM: &str = "talk";

fn start(data: &Path) -> ServerProcess {
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0", "--data"]).arg(data);
    ServerProcess::listening(command)
}

fn client(server: &ServerProcess) -> Client {
    Client::new(ChannelBuilder::new(environment()).connect(server.target()))
}

fn post(server: &ServerProcess, numbers: std::ops::RangeInclusive<u32>, word: &str) {
    let client = client(server);
    for number in numbers {
        // Each message takes about a page, so that a copy takes several writes.
        let body = format!("{word}{number} {}", "x".repeat(3000));
        post_message(&client, ROOM, "ann", u128::from(number), &body).expect("it is stored");
    }
}

/// The first words of the room's messages, and its epoch.
fn read(server: &ServerProcess) -> (u64, Vec<String>) {
    let mut reader = Talker::hello(&environment(), server.target(), "reader");
    let (joined, events) = reader.join_room(ROOM, after(0, 0));
    let first_word =
        |event: &hubbub::wire::v1::Event| event.message().body.split(' ').next().unwrap_or_default().to_owned();
    (joined.epoch, events.iter().map(first_word).collect())
}

fn stop(mut server: ServerProcess) {
    server.signal(libc::SIGTERM);
    assert!(server.wait().success());
}

/// Runs a sub-command on the data folder.
fn run(data: &Path, arguments: &[&str]) -> Output {
    command().args(on(data, arguments)).output().expect("hubbub-server runs")
}

/// The arguments and the data folder, which is left out if a file is verified.
fn on<'a>(data: &'a Path, arguments: &[&'a str]) -> Vec<&'a str> {
    let folder: &[&str] = if matches!(arguments, ["verify", _]) { &[] } else { &["--data", text(data)] };
    [arguments, folder].concat()
}

fn output_text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a folder");
    for file in fs::read_dir(from).expect("it is there") {
        let file = file.expect("it can be listed");
        // A killed server leaves its socket.
        if !file.path().is_file() {
            continue;
        }
        fs::copy(file.path(), to.join(file.file_name())).expect("a file can be copied");
    }
}

/// A data folder whose server was killed, so that its newest messages are only in the write-ahead log; and a backup of
/// another history.
struct Restore {
    folder: TempDir,
    library: PathBuf,
    epoch: u64,
}

impl Restore {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (data, file) = (folder.path().join("old"), folder.path().join("backup.db"));
        let server = start(&data);
        post(&server, 1..=20, "both");
        assert!(run(&data, &["backup", text(&file)]).status.success());
        post(&server, 21..=60, "old");
        let epoch = read(&server).0;
        server.crash();
        let library = preload::compile("kill", folder.path());
        Self { folder, library, epoch }
    }

    /// Restores into this folder, and is killed at its n-th change of a file. `None` if it makes fewer changes.
    fn killed(&self, data: &Path, n: u32) -> Option<Output> {
        let mut restore = command();
        restore.arg("restore").arg(self.folder.path().join("backup.db")).arg("--data").arg(data);
        let output = restore.env("LD_PRELOAD", &self.library).env("HUBBUB_KILL_AT", n.to_string()).output();
        let output = output.expect("hubbub-server runs");
        if output.status.success() {
            return None;
        }
        assert_eq!(output.status.signal(), Some(libc::SIGKILL), "{}", output_text(&output));
        Some(output)
    }
}

/// A killed restore leaves the whole old log or the whole new one, and can be repeated.
#[test]
fn a_killed_restore_leaves_one_of_the_two_logs() {
    let restore = Restore::new();
    let old: Vec<_> = (1..=60).map(|n| if n <= 20 { format!("both{n}") } else { format!("old{n}") }).collect();
    let (mut kept, mut replaced) = (0, 0);
    for n in 1.. {
        let data = restore.folder.path().join(format!("data-{n}"));
        copy_folder(&restore.folder.path().join("old"), &data);
        if restore.killed(&data, n).is_none() {
            break;
        }
        assert!(n < 500, "the restore makes too many changes");
        let server = start(&data);
        let (epoch, messages) = read(&server);
        if messages == old {
            assert_eq!(epoch, restore.epoch, "kill {n}: nothing is lost, so the epoch must not change");
            kept += 1;
        } else {
            assert_eq!(messages, old[..20], "kill {n}");
            assert_ne!(epoch, restore.epoch, "kill {n}: clients must learn which messages are lost");
            replaced += 1;
        }
        let left: Vec<_> = fs::read_dir(&data).expect("it is there").flatten().map(|file| file.file_name()).collect();
        assert!(!left.iter().any(|name| name.to_string_lossy().starts_with("restoring")), "{left:?}");
        post(&server, 101..=101, "after");
        stop(server);
        let again = run(&data, &["restore", text(&restore.folder.path().join("backup.db"))]);
        assert!(again.status.success(), "kill {n}: {}", output_text(&again));
        let server = start(&data);
        assert_eq!(read(&server).1, old[..20], "kill {n}");
        stop(server);
        assert!(run(&data, &["verify"]).status.success(), "kill {n}");
        fs::remove_dir_all(&data).expect("it can be removed");
    }
    eprintln!("{kept} kills left the old log, {replaced} the new one");
    assert!(kept > 5 && replaced > 2, "few kills hit: {kept}, {replaced}");
}

/// A killed restore into a folder without a log.
#[test]
fn a_killed_restore_into_an_empty_folder_leaves_nothing_or_the_backup() {
    let restore = Restore::new();
    for n in 1.. {
        let data = restore.folder.path().join(format!("empty-{n}"));
        if restore.killed(&data, n).is_none() {
            break;
        }
        let server = start(&data);
        let messages = read(&server).1.len();
        assert!(messages == 0 || messages == 20, "kill {n}: {messages}");
        stop(server);
    }
}

/// If a backup can't be written, the error names the path, the reason and the remedy, and no file is left behind.
#[test]
fn a_backup_that_cannot_be_written_reports_the_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, place) = (folder.path().join("data"), folder.path().join("place"));
    fs::create_dir(&place).expect("a folder");
    let server = start(&data);
    post(&server, 1..=40, "m");
    let fails = |file: &Path, force: bool, words: &[&str]| {
        let mut arguments = vec!["backup", text(file)];
        arguments.extend(force.then_some("--force"));
        let output = run(&data, &arguments);
        let printed = output_text(&output);
        eprintln!("{printed}");
        assert_eq!(output.status.code(), Some(1), "{printed}");
        assert!(
            printed.contains(text(file)) && words.iter().all(|word| printed.contains(word)),
            "{words:?}: {printed}"
        );
    };
    fails(&place, false, &["is a folder", "name a file"]);
    fails(&place, true, &["is a folder", "name a file"]);
    fails(&place.join("nosuch/backup.db"), false, &["its folder does not exist"]);
    for name in ["hubbub.db", "hubbub.db-wal", "lock", "backup.db", "restoring.db"] {
        fails(&data.join(name), true, &["in the server's data folder", "another"]);
    }
    let existing = place.join("existing");
    fs::write(&existing, "not a backup").expect("it can be written");
    fails(&existing, false, &["exists", "--force"]);
    assert_eq!(fs::read_to_string(&existing).expect("it is there"), "not a backup");
    fs::remove_file(&existing).expect("it can be removed");
    // The kernel's limit on file sizes simulates a full disk.
    let mut bounded = Command::new("sh");
    bounded.args(["-c", "ulimit -f 100; exec \"$@\"", "sh"]).arg(command().get_program());
    let file = place.join("backup.db");
    let output = bounded.arg("backup").arg(&file).arg("--data").arg(&data).output().expect("hubbub-server runs");
    let printed = output_text(&output);
    assert!(
        output.status.code() == Some(1) && printed.contains("free space") && printed.contains(text(&file)),
        "{output:?}"
    );
    assert_eq!(fs::read_dir(&place).expect("it is there").count(), 0, "a file is left behind");
    stop(server);
}

/// A user without permissions for the data folder, for the backup's folder, or for a backup to restore.
#[test]
fn a_missing_permission_is_named() {
    // SAFETY: geteuid has no conditions.
    let is_root = unsafe { libc::geteuid() } == 0;
    let folder = tempfile::tempdir().expect("a folder");
    let open = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
    open(folder.path(), 0o755);
    // Root has all permissions, so the test runs as the user nobody, who must be able to run the program.
    let program = folder.path().join("hubbub-server");
    fs::copy(env!("CARGO_BIN_EXE_hubbub-server"), &program).expect("it can be copied");
    let (data, place, file) =
        (folder.path().join("data"), folder.path().join("place"), folder.path().join("backup.db"));
    fs::create_dir(&place).expect("a folder");
    let server = start(&data);
    post(&server, 1..=3, "m");
    assert!(run(&data, &["backup", text(&file)]).status.success());
    let fails = |arguments: &[&str], data: &Path, words: &[&str]| {
        let mut command = Command::new(&program);
        command.args(on(data, arguments)).env_remove("RUST_LOG");
        if is_root {
            command.uid(65_534).gid(65_534);
        }
        let output = command.output().expect("hubbub-server runs");
        let printed = output_text(&output);
        eprintln!("{printed}");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {printed}");
        assert!(words.iter().all(|word| printed.contains(word)), "{words:?}: {printed}");
    };
    let reset = |mode| {
        for path in [&data, &place, &file] {
            open(path, mode);
        }
    };
    if is_root {
        fails(&["backup", text(&place.join("b.db"))], &data, &[text(&data), "ermission denied"]);
        fails(&["verify"], &data, &[text(&data), "ermission denied"]);
        fails(&["restore", text(&file)], &data, &[text(&file), "ermission denied"]);
        fails(&["verify", text(&file)], &data, &[text(&file), "ermission denied"]);
        open(&file, 0o644);
        fails(&["restore", text(&file)], &place.join("new"), &[text(&place), "ermission denied"]);
        fails(&["verify"], &place.join("new"), &["it does not exist", "--data"]);
    } else {
        reset(0);
        fails(&["backup", text(&place.join("b.db"))], &data, &[text(&data), "ermission denied"]);
        fails(&["restore", text(&file)], &data, &[text(&file), "ermission denied"]);
        reset(0o700);
    }
    stop(server);
}

/// SQLite's own `.backup` of a log of 300 MB never completed while 20 messages a second were posted, because it
/// restarted with each commit. `make backup-test` uses a log of that size.
#[test]
fn a_large_log_is_backed_up_during_posts() {
    const BODY: usize = 16_000;
    let megabytes: u64 =
        env::var("HUBBUB_BACKUP_MB").map_or(12, |size| size.parse().expect("HUBBUB_BACKUP_MB is a number"));
    let (data, elsewhere) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
    let server = start(data.path());
    let count = megabytes * 1_000_000 / BODY as u64;
    thread::scope(|scope| {
        for poster in 0..4 {
            let client = client(&server);
            scope.spawn(move || {
                for number in 0..count / 4 {
                    let id = u128::from(number) << 8 | poster;
                    post_message(&client, ROOM, "ann", id, &"x".repeat(BODY)).expect("it is stored");
                }
            });
        }
    });
    let (acknowledged, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let file = elsewhere.path().join("backup.db");
    thread::scope(|scope| {
        let client = client(&server);
        let (acknowledged, over) = (&acknowledged, &over);
        scope.spawn(move || {
            for number in 1.. {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let seq = post_message(&client, ROOM, "bob", number, "hello").expect("it is stored").seq;
                acknowledged.store(seq, Ordering::Release);
                thread::sleep(Duration::from_millis(50));
            }
        });
        super::support::wait_for("people talk", || acknowledged.load(Ordering::Acquire) > 0);
        let before = acknowledged.load(Ordering::Acquire);
        let begun = std::time::Instant::now();
        let output = run(data.path(), &["backup", text(&file)]);
        assert!(output.status.success(), "{}", output_text(&output));
        let after = acknowledged.load(Ordering::Acquire);
        over.store(true, Ordering::Relaxed);
        eprintln!("{megabytes} MB took {:?}, while messages {before} to {after} were posted", begun.elapsed());
        let output = run(data.path(), &["verify", text(&file)]);
        let found = String::from_utf8_lossy(&output.stdout).into_owned();
        let messages: u64 =
            found.split(' ').nth(2).and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{found}"));
        assert!(output.status.success() && messages >= before, "{found}");
    });
    stop(server);
}
