//! Logins, invitations, bans and names.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::command::{ListedToken, ListedUser, Secret};
use super::event::StoredRole;
use super::*;
use crate::limits::{DEVICES_PER_USER_MAX, INVITATION_TIME, INVITATIONS_PER_USER_MAX};
use crate::names::RoomName;
use crate::server::auth::principal::{Acts, Grants};

const SECOND: Duration = Duration::from_secs(1);

/// A time that no test's machine has.
pub fn noon() -> SystemTime {
    at(1_700_000_000_000)
}

pub fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder can be made")
}

fn name(text: &str) -> UserName {
    UserName::new(text).unwrap()
}

pub fn run(accounts: &Accounts, command: OperatorCommand) -> OperatorReply {
    accounts.execute(command, noon()).expect("it succeeds")
}

pub fn error(accounts: &Accounts, command: OperatorCommand) -> String {
    accounts.execute(command, noon()).expect_err("it fails").to_string()
}

pub fn add(accounts: &Accounts, user: &str) -> String {
    let command = OperatorCommand::AddUser { user: user.to_owned(), role: StoredRole(Role::Member) };
    code(run(accounts, command))
}

pub fn code(reply: OperatorReply) -> String {
    let OperatorReply::Invited { code: Secret(code), .. } = reply else { panic!("{reply:?}") };
    code.expose().to_owned()
}

pub fn token_with(accounts: &Accounts, user: &str, rooms: &[&str], acts: &[&str], expires: Option<Duration>) -> Bearer {
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

pub fn users(accounts: &Accounts) -> Vec<ListedUser> {
    let OperatorReply::Users { users, .. } = run(accounts, OperatorCommand::ListUsers { after: 0 }) else { panic!() };
    users
}

pub fn devices(accounts: &Accounts, user: &str) -> Vec<ListedToken> {
    let command = OperatorCommand::ListDevices { user: user.to_owned() };
    let OperatorReply::Tokens { tokens, .. } = run(accounts, command) else { panic!() };
    tokens
}

/// An invalid token: the id of another one, with a secret of its own.
pub fn with_other_secret(token: &Bearer) -> Bearer {
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
                        Ok(_) => {
                            used.fetch_add(1, Ordering::Relaxed);
                        }
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
    accounts.on_change(Box::new(move || {
        count.fetch_add(1, Ordering::SeqCst);
    }));
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
