//! Upgrades of a data folder of an earlier version under bad conditions: killed, on a full disk, or with a damaged
//! database.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::support::chatter::environment;
use super::support::preload;
use super::support::process::{ServerProcess, command};
use super::support::talker::{Talker, after};

/// A database of the first version. `tests/fixtures/data-v1/README.md` describes its contents.
const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/data-v1/hubbub.db");
const ROOMS: [&str; 3] = ["lobby", "garden", "cellar"];
/// The number of messages that retention has kept in each room.
const KEPT: usize = 100;

const PAGE: usize = 4096;

/// A database of the first version, with one of its pages damaged.
fn damaged() -> Vec<u8> {
    let mut database = fs::read(FIXTURE).expect("the fixture is there");
    let needle = b"message 150.0";
    let at = database.windows(needle.len()).position(|window| window == needle).expect("a message is there");
    let page = at / PAGE * PAGE;
    database[page..page + PAGE].fill(0xff);
    database
}

fn serve(data: &Path) -> Command {
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0", "--data"]).arg(data);
    command
}

/// The bodies of a room's messages.
fn read(server: &ServerProcess, room: &str) -> Vec<String> {
    let mut reader = Talker::hello(&environment(), server.target(), "reader");
    let (_, events) = reader.join_room(room, after(0, 0));
    let messages = events.into_iter().filter(|event| event.has_message());
    messages.map(|mut event| event.take_message().body).collect()
}

fn stop(mut server: ServerProcess) -> Vec<String> {
    server.signal(libc::SIGTERM);
    assert!(server.wait().success());
    server.rest_of_log()
}

/// The names of the files in a folder.
fn files(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).expect("it is there").flatten();
    let mut names: Vec<_> = files.map(|file| file.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Starts a server that is killed at its n-th change of a file. Returns whether that was before it served clients.
fn is_killed_before_it_serves(data: &Path, library: &Path, n: u32) -> bool {
    let mut server = serve(data);
    server.env("LD_PRELOAD", library).env("HUBBUB_KILL_AT", n.to_string()).stderr(Stdio::piped());
    let mut server = server.spawn().expect("hubbub-server starts");
    let mut lines = BufReader::new(server.stderr.take().expect("it is piped")).lines().map_while(Result::ok);
    let serves = lines.any(|line| line.contains("listening on "));
    if serves {
        server.kill().expect("it is our child");
    }
    let status = server.wait().expect("it is our child");
    assert_eq!(status.signal(), Some(libc::SIGKILL), "{status}");
    !serves
}

/// If an upgrade is killed at any point, the next start completes it without a lost message.
#[test]
fn a_killed_upgrade_is_completed_by_the_next_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let library = preload::compile("kill", folder.path());
    for (database, is_damaged) in [(fs::read(FIXTURE).expect("the fixture is there"), false), (damaged(), true)] {
        let mut expected: Option<Vec<Vec<String>>> = None;
        let mut kills = 0;
        for n in 1.. {
            assert!(n < 500, "the upgrade makes too many changes");
            let data = folder.path().join(format!("data-{n}-{is_damaged}"));
            fs::create_dir(&data).expect("a folder");
            fs::write(data.join("hubbub.db"), &database).expect("a file can be written");
            let is_killed = is_killed_before_it_serves(&data, &library, n);
            kills += u32::from(is_killed);
            let server = ServerProcess::listening(serve(&data));
            let found: Vec<_> = ROOMS.iter().map(|room| read(&server, room)).collect();
            let whole = found.iter().filter(|bodies| bodies.len() >= KEPT).count();
            assert_eq!(whole == ROOMS.len(), !is_damaged, "kill {n}");
            assert!(whole > 0, "kill {n}: the damage affected other rooms");
            assert_eq!(*expected.get_or_insert_with(|| found.clone()), found, "kill {n}");
            stop(server);
            let left = files(&data);
            assert!(!left.iter().any(|name| name.contains("salvaged")), "kill {n}: {left:?}");
            assert_eq!(left.iter().any(|name| name.contains("damaged")), is_damaged, "kill {n}: {left:?}");
            let verified = command().args(["verify", "--data"]).arg(&data).output().expect("hubbub-server runs");
            assert_eq!(verified.status.success(), !is_damaged, "kill {n}: {verified:?}");
            fs::remove_dir_all(&data).expect("it can be removed");
            if !is_killed {
                break;
            }
        }
        assert!(kills > 10, "few kills hit: {kills}");
    }
}

/// Starts a server with this database on a separate file system of 200 KB, and another one after the file system was
/// enlarged. Both write to the same output.
fn on_a_small_disk(folder: &Path, database: &Path) -> Command {
    let script = "mount -t tmpfs -o size=200k,mode=700 tmpfs \"$1\" && cp \"$2\" \"$1/hubbub.db\" && shift 2 || exit 9
        \"$@\"
        echo \"the first exit code is $?\" >&2
        mount -o remount,size=64m tmpfs \"${0%/.}\" && exec \"$@\"";
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]).arg(folder).arg(folder).arg(database);
    let serve = serve(folder);
    unshare.arg(serve.get_program()).args(serve.get_args());
    unshare
}

/// An upgrade needs space for a copy. Without it, the start fails with the remedy, and leaves the log for the next
/// start.
#[test]
fn an_upgrade_on_a_full_disk_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, copy) = (folder.path().join("data"), folder.path().join("damaged.db"));
    fs::create_dir(&data).expect("a folder");
    fs::write(&copy, damaged()).expect("a file can be written");
    for (database, is_damaged) in [(PathBuf::from(FIXTURE), false), (copy, true)] {
        let mut server = ServerProcess::spawn(on_a_small_disk(&data, &database));
        let needed = server.wait_for_log("needs 1 MB of free space");
        assert!(needed.contains("from version 1 to "), "{needed}");
        let full = server.wait_for_log("free space, check its owner");
        assert!(full.contains("full"), "{full}");
        server.wait_for_log("the first exit code is 1");
        server.wait_for_listening();
        for room in ROOMS {
            assert!(is_damaged || read(&server, room).len() >= KEPT, "{room}");
        }
        assert!(ROOMS.iter().any(|room| read(&server, room).len() >= KEPT));
        stop(server);
    }
}

/// The operator learns of the damage, the possible losses, and the purpose of the new file.
#[test]
fn damage_found_by_an_upgrade_is_logged_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path();
    fs::write(data.join("hubbub.db"), damaged()).expect("a file can be written");
    let mode = |name: &str| fs::metadata(data.join(name)).expect("it is there").permissions().mode() & 0o777;
    fs::set_permissions(data.join("hubbub.db"), Permissions::from_mode(0o640)).expect("it is ours");
    let mut server = ServerProcess::spawn(serve(data));
    server.wait_for_log("is damaged (");
    let line = server.wait_for_log("may lack messages");
    for part in ["of its rooms", "hubbub.db.damaged", "hubbub-server verify"] {
        assert!(line.contains(part), "{line}");
    }
    server.wait_for_listening();
    stop(server);
    // Both files are private, whatever the permissions of the earlier database were.
    assert_eq!((mode("hubbub.db"), mode("hubbub.db.damaged")), (0o600, 0o600));
    let server = ServerProcess::listening(serve(data));
    let log = stop(server);
    assert!(!log.iter().any(|line| line.contains("hubbub.db.damaged")), "it is logged more than once: {log:#?}");
}
