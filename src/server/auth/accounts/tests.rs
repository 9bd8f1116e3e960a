//! Accounts in a folder: logins, invitations, bans, the file, and their cost.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tempfile::TempDir;

use super::command::{ListedToken, ListedUser, Secret};
use super::event::{AccountEvent, StoredGrants, StoredRole};
use super::*;
use crate::limits::{DEVICES_PER_USER_MAX, INVITATION_TIME, INVITATIONS_PER_USER_MAX};
use crate::names::RoomName;
use crate::server::auth::principal::{Acts, Grants};

const SECOND: Duration = Duration::from_secs(1);

/// A time that no test's machine has.
fn noon() -> SystemTime {
    at(1_700_000_000_000)
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder can be made")
}

fn name(text: &str) -> UserName {
    UserName::new(text).unwrap()
}

fn run(accounts: &Accounts, command: OperatorCommand) -> OperatorReply {
    accounts.execute(command, noon()).expect("it succeeds")
}

fn error(accounts: &Accounts, command: OperatorCommand) -> String {
    accounts.execute(command, noon()).expect_err("it fails").to_string()
}

fn add(accounts: &Accounts, user: &str) -> String {
    let command = OperatorCommand::AddUser { user: user.to_owned(), role: StoredRole(Role::Member) };
    code(run(accounts, command))
}

fn code(reply: OperatorReply) -> String {
    let OperatorReply::Invited { code: Secret(code), .. } = reply else { panic!("{reply:?}") };
    code.expose().to_owned()
}

fn token_with(accounts: &Accounts, user: &str, rooms: &[&str], acts: &[&str], expires: Option<Duration>) -> Bearer {
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    let command = OperatorCommand::AddToken {
        user: user.to_owned(),
        rooms: texts(rooms),
        acts: texts(acts),
        expires_in_ms: expires.map(|time| time.as_millis() as u64),
        label: Some("a label".to_owned()),
    };
    let OperatorReply::TokenAdded { token: Secret(token), .. } = run(accounts, command) else { panic!("no token") };
    token
}

fn ban(user: &str, for_ms: Option<u64>) -> OperatorCommand {
    OperatorCommand::Ban { user: user.to_owned(), for_ms }
}

fn users(accounts: &Accounts) -> Vec<ListedUser> {
    let OperatorReply::Users { users, .. } = run(accounts, OperatorCommand::ListUsers { after: 0 }) else { panic!() };
    users
}

fn devices(accounts: &Accounts, user: &str) -> Vec<ListedToken> {
    let command = OperatorCommand::ListDevices { user: user.to_owned() };
    let OperatorReply::Tokens { tokens, .. } = run(accounts, command) else { panic!() };
    tokens
}

/// An invalid token: the id of another one, with a secret of its own.
fn with_other_secret(token: &Bearer) -> Bearer {
    Token::generate(Token::parse(token.expose()).unwrap().id).unwrap().text()
}

#[test]
fn a_person_is_invited_and_logs_in() {
    let folder = folder();
    let accounts = Accounts::open(folder.path()).unwrap();
    let code = add(&accounts, "ann");
    let redeemed = accounts.redeem(&code.to_lowercase().replace('-', " "), " phone\u{1b}[31m ", noon()).unwrap();
    assert_eq!(redeemed.user, name("ann"));
    let principal = accounts.identify(&redeemed.token, noon()).unwrap();
    let id = devices(&accounts, "ann")[0].id.to_string();
    let expected = Principal {
        name: Some(name("ann")),
        role: Role::Member,
        via: Via::Token(id),
        until: None,
        grants: Grants::default(),
    };
    assert_eq!(principal, expected);
    assert!(accounts.is_valid(&principal, noon()));
    assert_eq!(devices(&accounts, "ann")[0].label, "phone[31m");
    assert_eq!(devices(&accounts, "ann")[0].last_use.as_deref(), Some("2023-11-14"));
    // Once.
    assert_eq!(accounts.redeem(&code, "other", noon()).unwrap_err(), LoginError::Code);
    assert_eq!(accounts.identify(&with_other_secret(&redeemed.token), noon()), Err(LoginError::Invalid));
    for text in ["", "hub_", "hub_0a1b2c3d", &redeemed.token.expose()[..61], "eyJhbGciOiJub25lIn0.e30."] {
        assert_eq!(accounts.identify(&Bearer::new(text), noon()), Err(LoginError::Invalid));
    }
    // Everything is there after a restart.
    drop(accounts);
    let accounts = Accounts::open(folder.path()).unwrap();
    assert_eq!(accounts.identify(&redeemed.token, noon()), Ok(expected));
    assert_eq!(accounts.redeem(&code, "other", noon()).unwrap_err(), LoginError::Code);
    assert_eq!(devices(&accounts, "ann")[0].last_use.as_deref(), Some("2023-11-14"));
}

#[test]
fn an_invitation_ends_after_a_week() {
    let folder = folder();
    let accounts = Accounts::open(folder.path()).unwrap();
    let code = add(&accounts, "ann");
    let end = noon() + INVITATION_TIME;
    assert_eq!(accounts.redeem(&code, "", end).unwrap_err(), LoginError::Code);
    assert!(accounts.redeem(&code, "", end - SECOND).is_ok());
    let invite = || OperatorCommand::Invite { user: "ann".to_owned() };
    for _ in 0..INVITATIONS_PER_USER_MAX {
        run(&accounts, invite());
    }
    assert!(error(&accounts, invite()).contains("user revoke"));
    // Expired ones don't count.
    assert!(accounts.execute(invite(), end).is_ok());
}

#[test]
fn racing_callers_use_a_code_once() {
    let folder = folder();
    let accounts = Accounts::open(folder.path()).unwrap();
    add(&accounts, "ann");
    for _ in 0..10 {
        let code = code(run(&accounts, OperatorCommand::Invite { user: "ann".to_owned() }));
        let start = Barrier::new(8);
        let used = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    start.wait();
                    match accounts.redeem(&code, "racer", noon()) {
                        Ok(_) => drop(used.fetch_add(1, Ordering::Relaxed)),
                        Err(error) => assert_eq!(error, LoginError::Code),
                    }
                });
            }
        });
        assert_eq!(used.into_inner(), 1);
    }
    assert_eq!(devices(&accounts, "ann").len(), 10);
}

#[test]
fn a_user_has_a_bounded_number_of_devices() {
    let folder = folder();
    let accounts = Accounts::open(folder.path()).unwrap();
    let mut code = add(&accounts, "ann");
    let invite = || OperatorCommand::Invite { user: "ann".to_owned() };
    for number in 0..DEVICES_PER_USER_MAX {
        accounts.redeem(&code, &format!("device {number}"), noon()).unwrap();
        code = self::code(run(&accounts, invite()));
    }
    assert_eq!(accounts.redeem(&code, "", noon()).unwrap_err(), LoginError::TooManyDevices(name("ann")));
    run(&accounts, OperatorCommand::Revoke { user: "ann".to_owned(), device: Some("device 7".to_owned()) });
    // The code was not used up.
    assert!(accounts.redeem(&code, "", noon()).is_ok());
}

#[test]
fn a_token_of_a_program_is_bound_to_rooms_acts_and_a_time() {
    let folder = folder();
    let accounts = Accounts::open(folder.path()).unwrap();
    let token = token_with(&accounts, "ci", &["builds", "tests"], &["post"], Some(60 * SECOND));
    let principal = accounts.identify(&token, noon()).unwrap();
    let rooms = ["builds", "tests"].map(|room| RoomName::new(room).unwrap());
    assert_eq!(principal.grants, Grants { rooms: Some(rooms.into()), acts: Acts { read: false, post: true } });
    assert_eq!((principal.name.clone(), principal.until), (Some(name("ci")), Some(noon() + 60 * SECOND)));
    let (before, end) = (noon() + 59 * SECOND, noon() + 60 * SECOND);
    assert!(accounts.is_valid(&principal, before) && !accounts.is_valid(&principal, end));
    assert_eq!(accounts.identify(&token, end), Err(LoginError::Expired));
    // Whoever has no secret does not learn that it has expired.
    assert_eq!(accounts.identify(&with_other_secret(&token), end), Err(LoginError::Invalid));
    assert_eq!(accounts.identify(&token_with(&accounts, "ci", &[], &[], None), end).unwrap().grants, Grants::default());
    for (rooms, acts, fault) in [(["a b"], ["post"], "the room is"), (["tea"], ["delete"], "unknown act")] {
        let command = OperatorCommand::AddToken {
            user: "other".to_owned(),
            rooms: rooms.map(str::to_owned).into(),
            acts: acts.map(str::to_owned).into(),
            expires_in_ms: None,
            label: None,
        };
        assert!(error(&accounts, command).contains(fault));
    }
    assert_eq!(users(&accounts).len(), 1);
}

#[test]
fn a_right_ends_and_the_listeners_learn_it() {
    let folder = folder();
    let accounts = Accounts::open(folder.path()).unwrap();
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);
    accounts.on_change(Box::new(move || drop(count.fetch_add(1, Ordering::SeqCst))));
    let expect = |count| assert_eq!(told.load(Ordering::SeqCst), count);
    let phone = accounts.redeem(&add(&accounts, "ann"), "phone", noon()).unwrap().token;
    let bot = token_with(&accounts, "ann", &[], &[], None);
    let [phone_login, bot_login] = [&phone, &bot].map(|token| accounts.identify(token, noon()).unwrap());
    let role = |role| OperatorCommand::SetRole { user: "ann".to_owned(), role: StoredRole(role) };
    run(&accounts, role(Role::Admin));
    expect(0);
    let admin = accounts.identify(&phone, noon()).unwrap();
    assert!(admin.role == Role::Admin && accounts.is_valid(&admin, noon()) && accounts.is_valid(&phone_login, noon()));
    run(&accounts, role(Role::Moderator));
    expect(1);
    assert!(!accounts.is_valid(&admin, noon()) && accounts.is_valid(&phone_login, noon()));
    // A device, by its label.
    let revoke =
        |device: Option<&str>| OperatorCommand::Revoke { user: "ann".to_owned(), device: device.map(str::to_owned) };
    assert!(error(&accounts, revoke(Some("tablet"))).contains("user devices"));
    run(&accounts, revoke(Some("phone")));
    expect(2);
    assert!(!accounts.is_valid(&phone_login, noon()) && accounts.is_valid(&bot_login, noon()));
    assert_eq!(accounts.identify(&phone, noon()), Err(LoginError::Invalid));
    // Everything, with open invitations.
    let code = code(run(&accounts, OperatorCommand::Invite { user: "ann".to_owned() }));
    run(&accounts, revoke(None));
    expect(3);
    assert!(!accounts.is_valid(&bot_login, noon()));
    assert_eq!(accounts.redeem(&code, "", noon()).unwrap_err(), LoginError::Code);
    assert!(error(&accounts, revoke(None)).contains("no login"));
    let token = token_with(&accounts, "ann", &[], &[], None);
    let id = Token::parse(token.expose()).unwrap().id;
    run(&accounts, OperatorCommand::RevokeToken { id: id.to_string() });
    expect(4);
    assert_eq!(accounts.identify(&token, noon()), Err(LoginError::Invalid));
    assert!(error(&accounts, OperatorCommand::RevokeToken { id: id.to_string() }).contains("token list"));
}

#[test]
fn a_ban_ends_all_logins_of_a_name_until_its_end() {
    let folder = folder();
    let accounts = Accounts::open(folder.path()).unwrap();
    let code = add(&accounts, "ann");
    let token = token_with(&accounts, "ann", &[], &[], None);
    let principal = accounts.identify(&token, noon()).unwrap();
    let by_certificate = Principal { via: Via::Certificate, ..principal.clone() };
    run(&accounts, ban("ann", Some(1_000)));
    assert!(!accounts.is_valid(&principal, noon()) && !accounts.is_valid(&by_certificate, noon()));
    assert_eq!(accounts.identify(&token, noon()), Err(LoginError::Banned(name("ann"))));
    assert_eq!(accounts.redeem(&code, "", noon()).unwrap_err(), LoginError::Banned(name("ann")));
    assert!(error(&accounts, OperatorCommand::Invite { user: "ann".to_owned() }).contains("user unban"));
    assert!(users(&accounts)[0].banned);
    let after = noon() + SECOND;
    assert!(accounts.is_valid(&principal, after) && accounts.identify(&token, after).is_ok());
    // For good, until it is ended; and another spelling is the same name.
    run(&accounts, ban("Ann", None));
    assert_eq!(accounts.identify(&token, noon() + 1_000_000 * SECOND), Err(LoginError::Banned(name("ann"))));
    run(&accounts, OperatorCommand::Unban { user: "ann".to_owned() });
    assert!(accounts.identify(&token, noon()).is_ok() && accounts.redeem(&code, "", noon()).is_ok());
    assert!(error(&accounts, OperatorCommand::Unban { user: "ann".to_owned() }).contains("is not banned"));
    // A name without an account.
    let OperatorReply::Banned { has_account: false, .. } = run(&accounts, ban("mallory", None)) else { panic!() };
    assert_eq!(accounts.check_name_at(&name("mallory"), noon()), Err(LoginError::Banned(name("mallory"))));
    assert_eq!(accounts.check_name_at(&name("Mallory"), noon()), Err(LoginError::Banned(name("Mallory"))));
    let OperatorReply::Users { banned, .. } = run(&accounts, OperatorCommand::ListUsers { after: 0 }) else { panic!() };
    assert_eq!(banned.iter().map(|ban| ban.user.as_str()).collect::<Vec<_>>(), ["mallory"]);
}

#[test]
fn names_are_unique_by_their_looks() {
    let folder = folder();
    let accounts = Accounts::open(folder.path()).unwrap();
    add(&accounts, "paypal");
    let refused = |user: &str| {
        error(&accounts, OperatorCommand::AddUser { user: user.to_owned(), role: StoredRole(Role::Admin) })
    };
    assert!(refused("paypal").contains("exists already"));
    for look in ["PayPal", "раураl", "ｐaypal", "paypaI".replace('I', "1").as_str()] {
        assert!(refused(look).contains("looks like that of user \"paypal\""), "{look}");
        let fault = accounts.check_name(&name(look)).unwrap_err();
        assert!(matches!(fault, LoginError::Name { .. }), "{fault}");
    }
    for reserved in ["~ann", "anonymous", "Server", "ѕerver", "～ann", "ANONYMOUS"] {
        assert!(refused(reserved).contains("is reserved"), "{reserved}");
        assert!(accounts.check_name(&name(reserved)).is_err(), "{reserved}");
    }
    assert!(refused(" ann").contains("begins or ends with a blank"));
    assert!(refused("a\u{1b}[2Jb").contains("control character"));
    for free in ["paypal", "bob", "anonymous2"] {
        assert_eq!(accounts.check_name(&name(free)), Ok(()), "{free}");
    }
    let near = error(&accounts, OperatorCommand::Invite { user: "Paypal".to_owned() });
    assert!(near.contains("no user named \"Paypal\" (there is \"paypal\")"), "{near}");
}

/// All bytes of all files of a folder.
fn contents(folder: &Path) -> Vec<u8> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.flat_map(|path| fs::read(path).unwrap()).collect()
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn the_file_has_no_secret_and_is_private() {
    let folder = folder();
    let accounts = Accounts::open(folder.path()).unwrap();
    let code = add(&accounts, "ann");
    let open_code = self::code(run(&accounts, OperatorCommand::Invite { user: "ann".to_owned() }));
    let phone = accounts.redeem(&code, "phone", noon()).unwrap().token;
    let bot = token_with(&accounts, "ci", &[], &[], None);
    let check = || {
        let bytes = contents(folder.path());
        assert!(has(&bytes, "phone") && has(&bytes, &phone.expose()[4..12]), "the search works");
        for secret in [&phone.expose()[13..56], &bot.expose()[13..56], &phone.expose()[13..], "hub_"] {
            assert!(!has(&bytes, secret));
        }
        for code in [&code, &open_code] {
            assert!(!has(&bytes, code) && !has(&bytes, &code.replace('-', "")));
        }
        for entry in fs::read_dir(folder.path()).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
        }
    };
    check();
    drop(accounts);
    check();
    // Another program gave permissions away.
    let path = folder.path().join(FILE);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    drop(Accounts::open(folder.path()).unwrap());
    check();
}

fn open_error(folder: &Path) -> String {
    match Accounts::open(folder) {
        Ok(_) => panic!("it opens"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_damaged_newer_or_foreign_file_is_refused() {
    let folder = folder();
    let path = folder.path().join(FILE);
    let accounts = Accounts::open(folder.path()).unwrap();
    for user in ["ann", "bob", "cid"] {
        add(&accounts, user);
    }
    drop(accounts);
    let sound = fs::read(&path).unwrap();
    let change = |sql: &str| {
        fs::write(&path, &sound).unwrap();
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        open_error(folder.path())
    };
    assert!(change("PRAGMA user_version = 99").contains("newer hubbub-server (its version is 99"));
    assert!(change("PRAGMA application_id = 7").contains("another program's database"));
    for sql in [
        "UPDATE events SET event = replace(event, 'member', 'admin') WHERE seq = 1",
        "UPDATE events SET time_ms = time_ms + 1 WHERE seq = 2",
        "DELETE FROM events WHERE seq = 3",
        "DELETE FROM events WHERE seq = 1",
        "UPDATE events SET seq = 100 WHERE seq = 6",
        "UPDATE events SET seq = seq + 10; UPDATE events SET seq = 17 - seq",
    ] {
        assert!(change(sql).contains("is damaged"), "{sql}");
    }
    assert!(change("DROP TABLE events").contains("is damaged"));
    fs::write(&path, &sound[..sound.len() / 2]).unwrap();
    assert!(open_error(folder.path()).contains("is damaged"));
    fs::write(&path, "something else, and longer than the header of a database").unwrap();
    assert!(open_error(folder.path()).contains("is damaged"));
    // Each byte of the rows matters.
    for at in (0..sound.len()).rev().step_by(37) {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x10;
        fs::write(&path, &bytes).unwrap();
        if let Ok(accounts) = Accounts::open(folder.path()) {
            assert_eq!(users(&accounts).len(), 3, "byte {at}");
        }
    }
    fs::write(&path, &sound).unwrap();
    assert_eq!(users(&Accounts::open(folder.path()).unwrap()).len(), 3);
}

#[test]
fn links_and_shared_folders_are_refused() {
    let folder = folder();
    let target = folder.path().join("elsewhere");
    File::create(&target).unwrap();
    for file in [FILE.to_owned(), format!("{FILE}-journal")] {
        let path = folder.path().join(file);
        symlink(&target, &path).unwrap();
        assert!(open_error(folder.path()).contains("is a symbolic link"));
        fs::remove_file(path).unwrap();
    }
    fs::create_dir(folder.path().join(FILE)).unwrap();
    assert!(open_error(folder.path()).contains("is not a file"));
    let shared = folder.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(open_error(&shared).contains("other users may write"));
    assert_eq!(fs::metadata(&target).unwrap().len(), 0);
}

#[test]
fn decisions_go_on_when_the_file_is_lost() {
    let folder = folder();
    let path = folder.path().join(FILE);
    let moved = folder.path().join("moved");
    let accounts = Accounts::open(folder.path()).unwrap();
    let code = add(&accounts, "ann");
    let token = token_with(&accounts, "ann", &[], &[], None);
    let add_bob = || OperatorCommand::AddUser { user: "bob".to_owned(), role: StoredRole(Role::Member) };
    let check = |fault: &str| {
        assert!(accounts.identify(&token, noon()).is_ok());
        let error = error(&accounts, add_bob());
        assert!(error.contains(fault), "{error}");
        assert_eq!(accounts.redeem(&code, "", noon()).unwrap_err(), LoginError::Unavailable);
        assert_eq!(users(&accounts).len(), 1);
    };
    fs::rename(&path, &moved).unwrap();
    check("was deleted or moved");
    fs::copy(&moved, &path).unwrap();
    check("was replaced");
    fs::rename(&moved, &path).unwrap();
    // Another program adds an event: this one must not write after it.
    let other = Accounts::open(folder.path()).unwrap();
    add(&other, "eve");
    drop(other);
    check("was changed by another program");
    // Overwritten in place.
    File::options().write(true).open(&path).unwrap().write_all(&[0x55; 4096]).unwrap();
    check("damaged");
}

#[test]
fn a_file_that_another_program_locks_is_waited_for() {
    let folder = folder();
    let accounts = Accounts::open(folder.path()).unwrap();
    let other = Connection::open(folder.path().join(FILE)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    thread::scope(|scope| {
        let adding = scope.spawn(|| add(&accounts, "ann"));
        thread::sleep(Duration::from_millis(200));
        assert!(!adding.is_finished());
        other.execute_batch("ROLLBACK").unwrap();
        adding.join().unwrap();
    });
    assert_eq!(users(&accounts).len(), 1);
}

#[test]
fn lists_have_pages() {
    let folder = folder();
    fill(folder.path(), 1_200, 2);
    let accounts = Accounts::open(folder.path()).unwrap();
    let (mut names, mut after, mut pages) = (Vec::new(), Some(0), 0);
    while let Some(from) = after {
        let reply = run(&accounts, OperatorCommand::ListUsers { after: from });
        let OperatorReply::Users { users, next, .. } = reply else { panic!() };
        names.extend(users.into_iter().map(|user| user.user));
        (after, pages) = (next, pages + 1);
    }
    let expected: Vec<_> = (0..1_200).map(|number| format!("user-{number}")).collect();
    assert_eq!((names, pages), (expected, 3));
    let (mut count, mut after) = (0, Some(0));
    while let Some(from) = after {
        let reply = run(&accounts, OperatorCommand::ListTokens { user: None, after: from });
        let OperatorReply::Tokens { tokens, next } = reply else { panic!() };
        assert!(tokens.len() <= 502);
        count += tokens.len();
        after = next;
    }
    assert_eq!(count, 2_400);
    for after in [1_200, u32::MAX] {
        let OperatorReply::Users { users, next: None, .. } = run(&accounts, OperatorCommand::ListUsers { after })
        else {
            panic!()
        };
        assert!(users.is_empty());
    }
}

/// Stores users with tokens, and returns the tokens of the last one.
fn fill(folder: &Path, users: usize, tokens: usize) -> Vec<Bearer> {
    let mut events = Vec::new();
    let mut last = Vec::new();
    for number in 0..users {
        let user = format!("user-{number}");
        events.push(AccountEvent::UserAdded { user: user.clone(), role: StoredRole(Role::Member) });
        last.clear();
        for _ in 0..tokens {
            let token = Token::generate(TokenId::generate().unwrap()).unwrap();
            last.push(token.text());
            events.push(AccountEvent::TokenIssued {
                id: token.id,
                sha256: token.hash(),
                user: user.clone(),
                holder: Holder::Program,
                label: "a usual label".to_owned(),
                grants: StoredGrants { rooms: Some(["builds".to_owned()].into()), acts: None },
                expires_ms: None,
            });
        }
    }
    Store::open(folder, |_, _| Ok(())).unwrap().append(millis(noon()), &events).unwrap();
    last
}

/// 10,000 users with 100,000 tokens: the start takes well below a second, and a login microseconds.
#[test]
fn many_tokens_load_and_log_in_fast() {
    let folder = folder();
    let tokens = fill(folder.path(), 10_000, 10);
    let start = Instant::now();
    let accounts = Accounts::open(folder.path()).unwrap();
    let load = start.elapsed();
    assert_eq!(accounts.user_count(), 10_000);
    let rounds = 20_000;
    let mean = |token: &Bearer, is_known: bool| {
        let start = Instant::now();
        for _ in 0..rounds {
            assert_eq!(accounts.identify(token, noon()).is_ok(), is_known);
        }
        start.elapsed() / rounds
    };
    let known = mean(&tokens[3], true);
    let wrong = mean(&with_other_secret(&tokens[3]), false);
    let unknown = mean(&Token::generate(TokenId::generate().unwrap()).unwrap().text(), false);
    let size = fs::metadata(folder.path().join(FILE)).unwrap().len();
    println!("load {load:?} of {size} bytes; login {known:?}; wrong secret {wrong:?}, unknown id {unknown:?}");
    assert!(load < Duration::from_secs(5), "{load:?}");
    assert!(known < Duration::from_micros(50), "{known:?}");
}
