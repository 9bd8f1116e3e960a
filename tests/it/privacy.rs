//! The files of a data folder, on a machine with other users: private whatever the umask is, and not a way to other
//! files.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use grpcio::{ChannelBuilder, Client};
use tempfile::TempDir;

use super::support::chatter::environment;
use super::support::process::{ServerProcess, command};
use super::support::talker::post_message;

const SECRET: &str = "the launch code is 0000";

/// The program, under a umask that takes no permission away.
fn open_handed() -> Command {
    let mut command = command();
    // SAFETY: umask is safe to call between fork and exec.
    unsafe {
        command.pre_exec(|| {
            libc::umask(0);
            Ok(())
        });
    }
    command
}

fn serve(data: &Path) -> Command {
    let mut command = open_handed();
    command.args(["--listen", "127.0.0.1:0", "--data"]).arg(data);
    command
}

fn run(arguments: &[&Path]) -> (Option<i32>, String) {
    let output = open_handed().args(arguments).output().expect("hubbub-server runs");
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// Runs a server that must refuse to start, and returns its reason.
fn refused(data: &Path) -> String {
    let (code, printed) = run(&["--listen".as_ref(), "127.0.0.1:0".as_ref(), "--data".as_ref(), data]);
    assert_eq!(code, Some(1), "{printed}");
    printed
}

fn post(server: &ServerProcess, body: &str) {
    let client = Client::new(ChannelBuilder::new(environment()).connect(server.target()));
    post_message(&client, "tea", "ann", fastrand::u128(1 << 100..), body).expect("it is stored");
}

/// Ends a server, and returns its log.
fn stop(mut server: ServerProcess) -> Vec<String> {
    server.signal(libc::SIGTERM);
    assert!(server.wait().success());
    server.rest_of_log()
}

/// A folder with a log in it, of a server that has ended.
fn used_folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let server = ServerProcess::listening(serve(folder.path()));
    post(&server, SECRET);
    stop(server);
    folder
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("it is there").mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

/// Each file of a folder, with its mode.
fn files(folder: &Path) -> Vec<(PathBuf, u32)> {
    let entries = fs::read_dir(folder).expect("it is there").flatten().map(|entry| entry.path());
    entries.map(|path| (path.clone(), mode(&path))).collect()
}

fn assert_private(folder: &Path) {
    let files = files(folder);
    assert!(files.len() >= 4 && files.iter().all(|(_, mode)| *mode == 0o600), "{files:?}");
}

/// The story: under the usual umask, any user of the machine could read messages in `hubbub.db-wal`, if the folder had
/// been created with `mkdir`, and could hold `lock` so that the server did not start.
#[test]
fn the_files_are_private_whatever_the_umask_is() {
    let parent = tempfile::tempdir().expect("a folder");
    let created = parent.path().join("a/b");
    let server = ServerProcess::listening(serve(&created));
    post(&server, SECRET);
    assert_private(&created);
    assert_eq!((mode(&created), mode(&parent.path().join("a"))), (0o700, 0o700));
    stop(server);

    // A folder that was there before, with files that an earlier version left readable.
    set_mode(&created, 0o755);
    files(&created).iter().for_each(|(path, _)| set_mode(path, 0o664));
    let mut server = ServerProcess::spawn(serve(&created));
    let warning = server.wait_for_log("can list the data folder");
    assert!(warning.contains("mode 0755") && warning.contains("chmod go-rwx"), "{warning}");
    server.wait_for_listening();
    post(&server, SECRET);
    assert_private(&created);
    assert_eq!(mode(&created), 0o755);
    let log = stop(server);
    assert!(!log.iter().any(|line| line.contains("can list the data folder")), "it is logged again: {log:#?}");
}

#[test]
fn a_backup_is_private() {
    let (data, place) = (used_folder(), tempfile::tempdir().expect("a folder"));
    let backup = place.path().join("b.db");
    let (code, printed) = run(&["backup".as_ref(), "--data".as_ref(), data.path(), &backup]);
    assert_eq!((code, mode(&backup)), (Some(0), 0o600), "{printed}");
    // A restore creates the folder for its user alone.
    let restored = place.path().join("restored");
    let (code, printed) = run(&["restore".as_ref(), "--data".as_ref(), &restored, &backup]);
    assert_eq!((code, mode(&restored)), (Some(0), 0o700), "{printed}");
    assert!(files(&restored).iter().all(|(_, mode)| *mode == 0o600), "{:?}", files(&restored));
    // A backup may be given by a link to it.
    let link = place.path().join("latest.db");
    symlink(&backup, &link).expect("a link");
    assert_eq!(run(&["verify".as_ref(), &link]).0, Some(0));
    assert_eq!(run(&["restore".as_ref(), "--data".as_ref(), &place.path().join("again"), &link]).0, Some(0));
}

#[test]
fn a_folder_that_others_may_write_to_is_refused() {
    let data = used_folder();
    for open in [0o770, 0o702, 0o1777] {
        set_mode(data.path(), open);
        let reason = refused(data.path());
        assert!(reason.contains(&format!("mode {open:04o}")) && reason.contains("name a folder in it"), "{reason}");
        // Nobody should run this on /tmp.
        assert_eq!(reason.contains("run chmod go-w"), open != 0o1777, "{reason}");
        let (code, printed) =
            run(&["restore".as_ref(), "--data".as_ref(), data.path(), &data.path().join("hubbub.db")]);
        assert!(code == Some(1) && printed.contains("other users may write"), "{printed}");
        // The messages can be saved and checked nevertheless.
        assert_eq!(run(&["verify".as_ref(), "--data".as_ref(), data.path()]).0, Some(0));
        // Both remedies work: a folder in it, and the command.
        stop(ServerProcess::listening(serve(&data.path().join("own"))));
        assert_eq!(mode(&data.path().join("own")), 0o700);
        let chmod = Command::new("chmod").arg("go-w").arg(data.path()).status().expect("chmod runs");
        assert!(chmod.success());
        stop(ServerProcess::listening(serve(data.path())));
    }
}

/// A volume that belongs to root, with write permission for the server's group: without it, the server could not use
/// the folder, so it must own the folder first.
#[test]
fn a_shared_folder_of_another_user_must_change_its_owner() {
    // SAFETY: geteuid has no conditions.
    if unsafe { libc::geteuid() } != 0 {
        // Only root can give a folder away; the tests of CI run as root.
        return;
    }
    const NOBODY: u32 = 65_534;
    let parent = tempfile::tempdir().expect("a folder");
    set_mode(parent.path(), 0o755);
    let (program, data) = (parent.path().join("hubbub-server"), parent.path().join("data"));
    // Not by this process: a child of another test could still have it open for writing when it is run.
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_hubbub-server")).arg(&program).status().expect("cp runs");
    assert!(copied.success());
    fs::create_dir(&data).expect("a folder");
    let as_nobody = || {
        let mut command = Command::new(&program);
        command.uid(NOBODY).gid(NOBODY).env_clear();
        command.args(["--listen", "127.0.0.1:0", "--data"]).arg(&data);
        command
    };
    set_mode(&data, 0o777);
    let output = as_nobody().output().expect("hubbub-server runs");
    let printed = String::from_utf8_lossy(&output.stderr);
    let remedy = format!("run chown {NOBODY} {} and chmod go-w", data.display());
    assert!(output.status.code() == Some(1) && printed.contains(&remedy), "{printed}");
    std::os::unix::fs::chown(&data, Some(NOBODY), None).expect("root may");
    set_mode(&data, 0o755);
    let server = ServerProcess::listening(as_nobody());
    post(&server, SECRET);
    assert_private(&data);
    // Root may back it up and check it, which leaves the server's files as they are.
    let backup = parent.path().join("b.db");
    assert_eq!(run(&["backup".as_ref(), "--data".as_ref(), &data, &backup]).0, Some(0));
    stop(server);
    assert_eq!(run(&["verify".as_ref(), "--data".as_ref(), &data]).0, Some(0));
    stop(ServerProcess::listening(as_nobody()));
    // Another user can read nothing of it.
    let mut other = Command::new("cat");
    other.uid(NOBODY - 1).gid(NOBODY - 1).arg(data.join("hubbub.db")).arg(data.join("hubbub.db-wal"));
    let read = other.output().expect("cat runs");
    assert!(!read.status.success() && read.stdout.is_empty(), "{read:?}");
    // A server of root on it warns, since the folder's user can change the log.
    let mut server = ServerProcess::spawn(serve(&data));
    server.wait_for_log("belongs to another user (uid 65534)");
    server.wait_for_listening();
    stop(server);
}

/// Whoever could once write to the folder may have left a link in it.
#[test]
fn links_and_devices_in_the_folder_are_refused() {
    for name in ["lock", "hubbub.db", "hubbub.db-wal", "hubbub.db-shm", "life", "life.new", "restoring.db"] {
        let (data, elsewhere) = (used_folder(), tempfile::tempdir().expect("a folder"));
        let (file, target) = (data.path().join(name), elsewhere.path().join("target"));
        // A killed server leaves the files beside the database; here, their contents do not matter.
        let contents = fs::read(&file).unwrap_or_else(|_| b"precious".to_vec());
        fs::write(&target, &contents).expect("a file");
        let _ = fs::remove_file(&file);
        symlink(&target, &file).expect("a link");
        let is_refused = |printed: &str| {
            assert!(printed.contains(&format!("{} is a symbolic link", file.display())), "{name}: {printed}");
        };
        is_refused(&refused(data.path()));
        for command in ["verify", "backup"] {
            let copy = elsewhere.path().join("b.db");
            let mut arguments: Vec<&Path> = vec![command.as_ref(), "--data".as_ref(), data.path()];
            if command == "backup" {
                arguments.push(&copy);
            }
            let (code, printed) = run(&arguments);
            assert_eq!(code, Some(1), "{name}, {command}: {printed}");
            is_refused(&printed);
        }
        assert_eq!(fs::read(&target).expect("it is there"), contents, "{name}");

        // A pipe would make the server wait forever.
        fs::remove_file(&file).expect("it is there");
        let made = Command::new("mkfifo").arg(&file).status().expect("mkfifo runs");
        assert!(made.success());
        let reason = refused(data.path());
        assert!(reason.contains(&format!("{} is not a file", file.display())), "{name}: {reason}");
    }
}

#[test]
fn the_folder_itself_may_be_a_link() {
    let (data, elsewhere) = (used_folder(), tempfile::tempdir().expect("a folder"));
    let link = elsewhere.path().join("data");
    symlink(data.path(), &link).expect("a link");
    let server = ServerProcess::listening(serve(&link));
    post(&server, SECRET);
    let backup = elsewhere.path().join("b.db");
    assert_eq!(run(&["backup".as_ref(), "--data".as_ref(), &link, &backup]).0, Some(0));
    stop(server);
    assert_eq!(run(&["verify".as_ref(), "--data".as_ref(), &link]).0, Some(0));
    assert_eq!(run(&["restore".as_ref(), "--data".as_ref(), &link, &backup]).0, Some(0));
    stop(ServerProcess::listening(serve(&link)));
}

/// A Unix socket too is its user's alone, unless `--socket-mode` says otherwise.
#[test]
fn a_socket_is_private_unless_a_mode_is_given() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("socket");
    for (option, expected) in [(None, 0o700), (Some("0660"), 0o660), (Some("0777"), 0o777)] {
        let mut command = open_handed();
        command.arg("--ephemeral").arg("--listen").arg(format!("unix:{}", socket.display()));
        command.args(option.map(|mode| format!("--socket-mode={mode}")));
        let server = ServerProcess::listening(command);
        assert_eq!(mode(&socket), expected);
        UnixStream::connect(&socket).expect("its user can connect");
        stop(server);
    }
}
