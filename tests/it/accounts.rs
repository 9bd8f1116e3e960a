//! `hubbub-server user`, `invite` and `token`, as an operator uses them: without a server, and with one.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::SystemTime;

use hubbub::server::auth::accounts::Accounts;
use hubbub::server::auth::credentials::Bearer;
use hubbub::server::auth::login::LoginError;
use hubbub::server::log::sqlite::Folder;
use hubbub::server::operator::Operator;
use hubbub::server::operator::protocol::Status;
use serde_json::Value;
use tempfile::TempDir;

use super::support::process::{ServerProcess, command};

fn on(data: &Path, arguments: &[&str]) -> Command {
    let mut command = command();
    command.args(arguments).arg("--data").arg(data).stdin(Stdio::null());
    command
}

fn run(data: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = on(data, arguments).output().expect("hubbub-server runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the output is text");
    (status.code(), text(stdout), text(stderr))
}

/// The output of a command that succeeds.
fn succeed(data: &Path, arguments: &[&str]) -> String {
    let (code, out, errors) = run(data, arguments);
    assert_eq!(code, Some(0), "{arguments:?}: {out}{errors}");
    out
}

/// The error of a command that fails.
fn fail(data: &Path, arguments: &[&str]) -> String {
    let (code, out, errors) = run(data, arguments);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{arguments:?}: {errors}");
    errors
}

/// The code of a printed invitation.
fn code(printed: &str) -> String {
    let line = printed.lines().find_map(|line| line.trim().strip_prefix("hubbub login "));
    let text = line.unwrap_or_else(|| panic!("no code: {printed}")).trim_matches('\'');
    text.rsplit_once("#invite=").map_or(text, |(_, code)| code).to_owned()
}

fn json(printed: &str) -> Vec<Value> {
    printed.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

/// A data folder in use by a server in this process, with the operator's socket.
struct Running {
    _operator: Operator,
    accounts: Arc<Accounts>,
    _lock: Folder,
}

fn serve(data: &Path, status: Status) -> Running {
    let lock = Folder::open(data).expect("it is not in use");
    let accounts = Arc::new(Accounts::open(data).expect("it is sound"));
    let operator = Operator::start(data, Arc::clone(&accounts), Box::new(move || status.clone()));
    Running { _operator: operator.expect("it listens"), accounts, _lock: lock }
}

fn with_accounts() -> Status {
    Status { accounts: true, ..Status::default() }
}

#[test]
fn users_are_managed_without_a_server() {
    let folder = TempDir::new().unwrap();
    let data = &folder.path().join("data");
    for arguments in [&["user", "list"][..], &["invite", "ann"], &["user", "revoke", "ann"], &["token", "list"]] {
        assert!(fail(data, arguments).contains("hubbub-server user add"));
    }
    assert!(!data.exists());
    let printed = succeed(data, &["user", "add", "ann", "--address", "chat.example.org", "--role", "moderator"]);
    let first = code(&printed);
    assert!(printed.contains("user ann was added (moderator)\n"), "{printed}");
    assert!(printed.contains(&format!("\n  hubbub login 'https://chat.example.org/#invite={first}'\n")), "{printed}");
    // Without an address there is no link, and a hint.
    let (_, printed, notes) = run(data, &["invite", "ann"]);
    assert!(!printed.contains("https://") && notes.contains("--address HOST:PORT"), "{printed}{notes}");
    assert_ne!(code(&printed), first);

    assert!(fail(data, &["user", "add", "ann"]).contains("exists already"));
    assert!(fail(data, &["user", "add", "Аnn"]).contains("looks like that of user \"ann\""));
    assert!(fail(data, &["user", "add", "Server"]).contains("is reserved"));
    assert!(fail(data, &["invite", "bob"]).contains("no user named \"bob\""));
    assert!(fail(data, &["user", "rename", "ann", "anna"]).contains("can't be renamed, because"));
    let (code, _, errors) = run(data, &["user", "add", "bob", "--role", "owner"]);
    assert!(code == Some(2) && errors.contains("expected member, moderator or admin"), "{errors}");

    assert!(succeed(data, &["user", "role", "ann", "admin"]).contains("is now admin (before: moderator)"));
    assert!(succeed(data, &["user", "ban", "ann", "--for", "7d"]).contains("banned ann until 20"));
    let list = succeed(data, &["user", "list"]);
    assert!(list.lines().count() == 2 && list.contains("admin") && list.contains("banned until 20"), "{list}");
    assert!(fail(data, &["invite", "ann"]).contains("user unban"));
    succeed(data, &["user", "unban", "ann"]);
    assert!(fail(data, &["user", "unban", "ann"]).contains("is not banned"));
    let (_, _, notes) = run(data, &["user", "ban", "mallory"]);
    assert!(notes.contains("no account here"), "{notes}");
    let users = json(&succeed(data, &["user", "list", "--json"]));
    assert_eq!((users[0]["user"].as_str(), users[0]["invitations"].as_u64()), (Some("ann"), Some(2)));
    assert_eq!((users[1]["user"].as_str(), users[1]["banned"].as_bool()), (Some("mallory"), Some(true)));

    // The code works once.
    let accounts = Accounts::open(data).unwrap();
    let token = accounts.redeem(&first, "phone", SystemTime::now()).unwrap().token;
    assert_eq!(accounts.redeem(&first, "phone", SystemTime::now()).unwrap_err(), LoginError::Code);
    drop(accounts);
    let devices = succeed(data, &["user", "devices", "ann"]);
    assert!(devices.lines().count() == 2 && devices.contains("phone"), "{devices}");
    assert!(succeed(data, &["user", "revoke", "ann", "phone"]).contains("revoked 1 login and 0 open invitations"));
    assert!(succeed(data, &["user", "revoke", "ann"]).contains("revoked 0 logins and 1 open invitation"));
    assert!(fail(data, &["user", "revoke", "ann"]).contains("no login"));
    let accounts = Accounts::open(data).unwrap();
    assert_eq!(accounts.identify(&token, SystemTime::now()), Err(LoginError::Invalid));
    drop(accounts);

    // A server starts on the folder.
    let mut server = ServerProcess::start(&["--data", data.to_str().unwrap()]);
    server.signal(libc::SIGTERM);
    assert!(server.wait().success());
}

#[test]
fn a_token_is_printed_once_and_alone() {
    let folder = TempDir::new().unwrap();
    let data = folder.path();
    let (_, token, notes) = run(data, &["token", "add", "ci", "--room", "builds", "--may", "post", "--expires", "90d"]);
    assert!(token.starts_with("hub_") && token.lines().count() == 1 && token.len() == 63, "{token:?}");
    assert!(notes.contains("user ci was added") && notes.contains("is not shown again"), "{notes}");
    assert!(!notes.contains(token.trim()));
    let id = &token[4..12];
    succeed(data, &["token", "add", "ci", "--label", "\u{1b}[31mred"]);
    let list = succeed(data, &["token", "list"]);
    assert!(
        list.contains(id) && list.contains("builds") && list.contains("post") && list.contains("[31mred"),
        "{list}"
    );
    assert!(!list.contains('\u{1b}') && !list.contains(&token[13..40]));
    assert_eq!(json(&succeed(data, &["token", "list", "ci", "--json"])).len(), 2);
    let accounts = Accounts::open(data).unwrap();
    let principal = accounts.identify(&Bearer::new(token.trim()), SystemTime::now()).unwrap();
    assert!(principal.until.is_some() && !principal.grants.acts.read);
    drop(accounts);
    // A whole token that was pasted is a secret.
    let error = fail(data, &["token", "revoke", token.trim()]);
    assert!(error.contains("only the token's id") && !error.contains(&token[13..40]), "{error}");
    assert!(succeed(data, &["token", "revoke", id]).contains("revoked 1 login"));
    assert!(fail(data, &["token", "revoke", id]).contains("no token with the id"));
    assert!(fail(data, &["token", "add", "ci", "--may", "delete"]).contains("expected read or post"));
    assert!(fail(data, &["token", "add", "ci", "--room", "a b"]).contains("the room is \"a b\""));
}

/// The story: a token whose output is lost is valid, and its operator must learn how to revoke it.
#[test]
fn a_token_that_can_not_be_printed_is_reported() {
    let folder = TempDir::new().unwrap();
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = on(folder.path(), &["token", "add", "ci"]).stdout(full).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    let id = errors.split("token revoke ").nth(1).unwrap_or_else(|| panic!("{errors}"))[..8].to_owned();
    succeed(folder.path(), &["token", "revoke", &id]);
}

#[test]
fn commands_work_while_a_server_runs() {
    let folder = TempDir::new().unwrap();
    let data = folder.path();
    let status = Status { public: Some("chat.example.org:5000".to_owned()), ..with_accounts() };
    let server = serve(data, status);
    let printed = succeed(data, &["user", "add", "ann"]);
    let first = code(&printed);
    assert!(printed.contains(&format!("https://chat.example.org:5000/#invite={first}'\n")), "{printed}");
    // The server knows it at once.
    let token = server.accounts.redeem(&first, "phone", SystemTime::now()).unwrap().token;
    let principal = server.accounts.identify(&token, SystemTime::now()).unwrap();
    assert!(succeed(data, &["user", "devices", "ann"]).contains("phone"));
    let users = json(&succeed(data, &["user", "list", "--json"]));
    assert!(users.len() == 1 && users[0]["last_use"].is_string(), "{users:?}");
    succeed(data, &["user", "ban", "ann"]);
    assert!(!server.accounts.is_valid(&principal, SystemTime::now()));
    assert!(fail(data, &["invite", "ann"]).contains("user unban"));
    succeed(data, &["user", "unban", "ann"]);
    let other = succeed(data, &["token", "add", "ci"]);
    assert!(server.accounts.identify(&Bearer::new(other.trim()), SystemTime::now()).is_ok());
    assert!(succeed(data, &["token", "list"]).contains(&other[4..12]));
    drop(server);
    // The same accounts, from the file.
    assert!(succeed(data, &["token", "list"]).contains(&other[4..12]));
    assert_eq!(json(&succeed(data, &["user", "list", "--json"])).len(), 2);
    // A server in another mode.
    let _server = serve(data, Status::default());
    let (_, _, notes) = run(data, &["invite", "ann"]);
    assert!(notes.contains("does not accept logins with accounts"), "{notes}");
}

#[test]
fn a_server_without_the_socket_is_reported() {
    let folder = TempDir::new().unwrap();
    let data = folder.path();
    succeed(data, &["token", "add", "ci"]);
    let _lock = Folder::open(data).unwrap();
    assert!(fail(data, &["user", "add", "ann"]).contains("no server listens at operator.sock"));
    fs::write(data.join("operator.sock"), "").unwrap();
    assert!(fail(data, &["user", "add", "ann"]).contains("is not a socket: move it away"));
}

/// Every line of a change, and no secret in any of them, however much is logged.
#[test]
fn changes_are_audited_without_secrets() {
    let folder = TempDir::new().unwrap();
    let data = folder.path();
    let uid = rustix::process::getuid().as_raw();
    let mut seen = String::new();
    let mut secrets = Vec::new();
    for (arguments, line) in [
        (&["user", "add", "ann"][..], "added user \"ann\" (member) and invited it"),
        (&["invite", "ann"], "invited user \"ann\""),
        (&["user", "role", "ann", "admin"], "changed the role of user \"ann\" from member to admin"),
        (&["user", "ban", "ann"], "banned \"ann\" without an end"),
        (&["user", "unban", "ann"], "ended the ban of \"ann\""),
        (&["token", "add", "ci"], "added user and added token "),
        (&["user", "revoke", "ann"], "revoked logins of user \"ann\": tokens none; invitations: 2"),
    ] {
        let output = on(data, arguments).env("RUST_LOG", "trace").output().unwrap();
        let (out, errors) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert!(errors.contains(&format!("operator (uid {uid}) {line}")), "{errors}");
        match out.split_once("hubbub login ") {
            Some((_, code)) => secrets.push(code.trim().to_owned()),
            None if out.starts_with("hub_") => secrets.push(out[13..].trim().to_owned()),
            None => {}
        }
        seen += &errors;
    }
    assert_eq!(secrets.len(), 3);
    for entry in fs::read_dir(data).unwrap() {
        let path = entry.unwrap().path();
        seen += &String::from_utf8_lossy(&fs::read(&path).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
    }
    for secret in secrets {
        assert!(!seen.contains(&secret) && !seen.contains(&secret.replace('-', "")));
    }
}

#[test]
fn a_damaged_file_stops_the_commands() {
    let folder = TempDir::new().unwrap();
    let data = folder.path();
    let file = data.join("accounts.db");
    fs::write(&file, "not a database, but longer than the header of one would be").unwrap();
    for arguments in [&["user", "add", "ann"][..], &["user", "list"], &["token", "add", "ci"]] {
        assert!(fail(data, arguments).contains("accounts.db is damaged"), "{arguments:?}");
    }
    fs::remove_file(&file).unwrap();
    symlink(data.join("elsewhere"), &file).unwrap();
    assert!(fail(data, &["user", "add", "ann"]).contains("is a symbolic link"));
    assert!(!data.join("elsewhere").exists());
}

/// The story: root adds the first user of a server that runs as another user, who could then read neither the lock nor
/// the accounts.
#[test]
fn root_may_run_the_commands_for_a_server_of_another_user() {
    if !rustix::process::geteuid().is_root() {
        // Only root can do it; the tests of CI run as root.
        return;
    }
    const NOBODY: u32 = 65_534;
    let parent = TempDir::new().unwrap();
    fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (program, data) = (parent.path().join("hubbub-server"), parent.path().join("data"));
    // Not by this process: a child of another test could still have it open for writing when it is run.
    assert!(Command::new("cp").arg(env!("CARGO_BIN_EXE_hubbub-server")).arg(&program).status().unwrap().success());
    fs::create_dir(&data).unwrap();
    chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();
    succeed(&data, &["user", "add", "ann"]);
    for entry in fs::read_dir(&data).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().uid(), NOBODY, "{entry:?}");
    }
    let run_as = |uid: u32, arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.uid(uid).gid(uid).env_clear().args(arguments).arg("--data").arg(&data).stdin(Stdio::null());
        let Output { status, stdout, stderr } = command.output().unwrap();
        (status.success(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
    };
    let (done, printed) = run_as(NOBODY, &["user", "add", "bob"]);
    assert!(done, "{printed}");
    let (done, printed) = run_as(NOBODY - 1, &["user", "list"]);
    assert!(!done && !printed.contains("ann"), "{printed}");
    // A running server refuses other users, even if somebody opened the socket to them.
    let server = serve(&data, with_accounts());
    let (done, printed) = run_as(NOBODY - 1, &["user", "list"]);
    assert!(!done && printed.contains("run the command as the server's user, or as root"), "{printed}");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(data.join("operator.sock"), fs::Permissions::from_mode(0o666)).unwrap();
    let (done, printed) = run_as(NOBODY - 1, &["user", "list"]);
    assert!(!done && printed.contains("run the command as the server's user, or as root"), "{printed}");
    assert!(!printed.contains("bob"));
    drop(server);
    // Root refuses a server of a user who does not own the folder: that server could hand out tokens of its own.
    let mut command = Command::new(&program);
    command.uid(NOBODY).gid(NOBODY).env_clear().args(["--listen", "127.0.0.1:0", "--data"]).arg(&data);
    let _server = ServerProcess::listening(command);
    chown(&data, Some(0), Some(0)).unwrap();
    let said = fail(&data, &["user", "add", "cid"]);
    assert!(said.contains("runs as another user (uid 65534)"), "{said}");
}
