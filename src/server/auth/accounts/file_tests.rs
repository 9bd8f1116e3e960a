//! The file of the accounts: what is in it, what is refused, what happens when it is lost, and the cost of many tokens.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::event::{AccountEvent, StoredGrants, StoredRole};
use super::tests::{add, code, error, folder, noon, run, token_with, users, with_other_secret};
use super::*;

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
    let first_code = add(&accounts, "ann");
    let open_code = code(run(&accounts, OperatorCommand::Invite { user: "ann".to_owned() }));
    let phone = accounts.redeem(&first_code, "phone", noon()).unwrap().token;
    let bot = token_with(&accounts, "ci", &[], &[], None);
    let check = || {
        let bytes = contents(folder.path());
        assert!(has(&bytes, "phone") && has(&bytes, &phone.expose()[4..12]), "the search works");
        for secret in [&phone.expose()[13..56], &bot.expose()[13..56], &phone.expose()[13..], "hub_"] {
            assert!(!has(&bytes, secret));
        }
        for code in [&first_code, &open_code] {
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
