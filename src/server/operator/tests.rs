//! The operator's socket, with a server's accounts and clients of all kinds.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::Instant;

use tempfile::TempDir;

use super::commands::{Connection, FolderAccounts, OperatorError};
use super::*;
use crate::server::auth::accounts::command::{OperatorCommand, OperatorReply};
use crate::server::auth::accounts::event::StoredRole;
use crate::server::auth::principal::Role;
use crate::server::log::sqlite::Folder;

/// A data folder in use, and its server's socket.
struct Running {
    operator: Option<Operator>,
    accounts: Arc<Accounts>,
    _lock: Folder,
    folder: PathBuf,
    _dir: TempDir,
}

impl Running {
    fn start() -> Self {
        Self::start_in("data")
    }

    fn start_in(name: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder can be made");
        let folder = dir.path().join(name);
        let lock = Folder::open(&folder).unwrap();
        let accounts = Arc::new(Accounts::open(&folder).unwrap());
        let operator = Some(start(&folder, &accounts).unwrap());
        Self { operator, accounts, _lock: lock, folder, _dir: dir }
    }

    fn socket(&self) -> PathBuf {
        self.folder.join(SOCKET)
    }

    fn raw(&self) -> UnixStream {
        UnixStream::connect(self.socket()).unwrap()
    }
}

fn start(folder: &Path, accounts: &Arc<Accounts>) -> io::Result<Operator> {
    let status = || Status { modes: vec!["accounts".to_owned()], accounts: true, ..Status::default() };
    Operator::start(folder, Arc::clone(accounts), Box::new(status))
}

fn add(user: &str) -> OperatorCommand {
    OperatorCommand::AddUser { user: user.to_owned(), role: StoredRole(Role::Member) }
}

fn answer(stream: &UnixStream, request: &str) -> String {
    let mut stream = stream;
    stream.write_all(format!("{request}\n").as_bytes()).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line
}

#[test]
fn commands_reach_a_running_server() {
    let server = Running::start();
    let mut accounts = FolderAccounts::open(&server.folder, false).unwrap();
    assert!(matches!(accounts, FolderAccounts::Running(_)));
    assert_eq!(accounts.status().unwrap().unwrap().modes, ["accounts"]);
    let OperatorReply::Invited { code, .. } = accounts.execute(add("ann")).unwrap() else { panic!() };
    assert!(server.accounts.redeem(code.0.expose(), "phone", SystemTime::now()).is_ok());
    let refused = accounts.execute(add("ann")).unwrap_err();
    assert!(matches!(&refused, OperatorError::Refused(text) if text.contains("exists already")), "{refused}");
    let mode = fs::metadata(server.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn commands_work_without_a_server_and_hold_the_folder() {
    let mut server = Running::start();
    let folder = server.folder.clone();
    // Its socket is gone, but the server is not.
    server.operator = None;
    assert!(!server.socket().exists());
    assert!(matches!(FolderAccounts::open(&folder, true), Err(OperatorError::Silent(_))));
    // Then the server ends.
    let Running { _dir, accounts, _lock, .. } = server;
    drop((accounts, _lock));
    let mut accounts = FolderAccounts::open(&folder, true).unwrap();
    accounts.execute(add("ann")).unwrap();
    assert_eq!(accounts.status().unwrap(), None);
    assert!(matches!(Folder::open(&folder), Err(crate::server::log::sqlite::OpenError::Locked { .. })));
    drop(accounts);
    let empty = _dir.path().join("empty");
    assert!(matches!(FolderAccounts::open(&empty, false), Err(OperatorError::NoAccounts(_))));
    assert!(!empty.exists());
}

#[test]
fn a_stale_socket_is_replaced_and_nothing_else() {
    let mut server = Running::start();
    let (folder, socket) = (server.folder.clone(), server.socket());
    let again = start(&folder, &server.accounts).err().unwrap();
    assert!(again.to_string().contains("another server answers"), "{again}");
    server.operator = None;
    // The listener ends without removing its file.
    drop(UnixListener::bind(&socket).unwrap());
    server.operator = Some(start(&folder, &server.accounts).unwrap());
    assert!(Connection::open(&folder).unwrap().is_some());
    // Another server's socket is not removed.
    fs::remove_file(&socket).unwrap();
    let other = UnixListener::bind(&socket).unwrap();
    server.operator = None;
    assert!(fs::symlink_metadata(&socket).unwrap().file_type().is_socket());
    drop(other);
    fs::remove_file(&socket).unwrap();
    let target = folder.join("target");
    fs::write(&target, "kept").unwrap();
    symlink(&target, &socket).unwrap();
    for _ in 0..2 {
        let error = start(&folder, &server.accounts).err().unwrap();
        assert!(error.to_string().contains("is not a socket: move it away"), "{error}");
        assert!(Connection::open(&folder).is_err());
        fs::remove_file(&socket).unwrap();
        fs::write(&socket, "a file").unwrap();
    }
    assert_eq!(fs::read_to_string(&target).unwrap(), "kept");
}

/// The story: a system's bound on the path of a socket is 108 bytes, and data folders are deeper than that.
#[test]
fn a_folder_may_have_a_long_path() {
    let server = Running::start_in(&["a-long-name-of-a-folder"; 9].join("/"));
    assert!(server.folder.as_os_str().len() > 200);
    let mut connection = Connection::open(&server.folder).unwrap().unwrap();
    assert!(matches!(connection.ask(&Request::Status), Ok(Response::Status { .. })));
}

#[test]
fn wrong_requests_are_answered_or_end_their_connection_only() {
    let server = Running::start();
    let stream = server.raw();
    for request in [
        "",
        "{}",
        "[[[[",
        r#"{"request":"execute"}"#,
        r#"{"request":"execute","command":{"command":"add_user","user":"ann","role":"owner"}}"#,
        r#"{"request":"execute","command":{"command":"add_user","user":"ann","role":"member","more":1}}"#,
        r#"{"request":"execute","command":{"command":"add_user","user":"a\u0000b","role":"member"}}"#,
        r#"{"request":"execute","command":{"command":"revoke_token","id":"\u001b[2J"}}"#,
    ] {
        let answer = answer(&stream, request);
        assert!(answer.starts_with(r#"{"response":"failed""#) && !answer.contains("u001b"), "{request}: {answer}");
    }
    assert!(answer(&stream, r#"{"request":"status"}"#).contains(r#""accounts":true"#));
    for garbage in [vec![b'x'; 10 * OPERATOR_REQUEST_BYTES_MAX], b"\xff\xfe\n".to_vec()] {
        let mut stream = server.raw();
        let _ = stream.write_all(&garbage);
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert_eq!(rest, b"");
    }
    assert_eq!(server.accounts.user_count(), 0);
}

#[test]
fn a_slow_client_delays_no_other_and_is_given_up() {
    let server = Running::start();
    let mut slow = server.raw();
    slow.write_all(b"{\"request\":").unwrap();
    let start = Instant::now();
    for _ in 0..20 {
        let mut connection = Connection::open(&server.folder).unwrap().unwrap();
        assert!(matches!(connection.ask(&Request::Status), Ok(Response::Status { .. })));
    }
    assert!(start.elapsed() < OPERATOR_TIMEOUT, "{:?}", start.elapsed());
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty() && start.elapsed() < 2 * OPERATOR_TIMEOUT);
    // A client that never reads its responses.
    let mut deaf = server.raw();
    for _ in 0..100 {
        let _ = deaf.write_all(b"{\"request\":\"status\"}\n");
    }
    let mut connection = Connection::open(&server.folder).unwrap().unwrap();
    assert!(matches!(connection.ask(&Request::Status), Ok(Response::Status { .. })));
}

#[test]
fn a_stop_does_not_wait_for_clients() {
    let mut server = Running::start();
    let _idle: Vec<_> = (0..4).map(|_| server.raw()).collect();
    let mut connection = Connection::open(&server.folder).unwrap().unwrap();
    let start = Instant::now();
    server.operator = None;
    assert!(start.elapsed() < OPERATOR_TIMEOUT / 2, "{:?}", start.elapsed());
    assert!(matches!(connection.ask(&Request::Status), Err(OperatorError::Lost(_))));
    assert!(!server.socket().exists());
}

#[test]
fn a_panic_ends_one_connection() {
    let server = Running::start();
    let folder = server.folder.clone();
    let accounts = Arc::clone(&server.accounts);
    drop(server.operator);
    let status = || -> Status { panic!("a test's panic") };
    let _operator = Operator::start(&folder, accounts, Box::new(status)).unwrap();
    for number in 0..4 {
        let mut connection = Connection::open(&folder).unwrap().unwrap();
        assert!(matches!(connection.ask(&Request::Status), Err(OperatorError::Lost(_))));
        let mut connection = Connection::open(&folder).unwrap().unwrap();
        let command = add(&format!("user-{number}"));
        assert!(matches!(connection.ask(&Request::Execute { command }), Ok(Response::Done { .. })));
    }
}
