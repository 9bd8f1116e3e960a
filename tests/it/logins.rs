//! Logins over time: guesses, guests, expiry, and keys that change.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use grpcio::{Client, RpcStatusCode as Code};
use hubbub::limits::{FAILED_LOGINS_PER_MINUTE, LOGIN_GRACE};
use hubbub::wire::{LIST_ROOMS, LOGIN, v1};

use super::support::chatter::{Chatter, environment};
use super::support::logins::{AUDIENCE, Claims, ISSUER, connect, serve, token};
use super::support::talker::{self, Talker, call_as};
use super::support::wait_for;

const HOUR: Duration = Duration::from_secs(3_600);

/// The code with which a call with this token ends.
fn list(client: &Client, token: &str) -> Code {
    let listed = call_as(client, &LIST_ROOMS, &v1::ListRoomsRequest::default(), Some(token));
    listed.err().map_or(Code::OK, |end| end.code)
}

/// A token that has the right form, and is of nobody.
fn guess(number: usize, known: &str) -> String {
    // The checksum at the end is wrong for a changed secret, which a guesser would compute.
    format!("{}{number:04}{}", &known[..13], &known[17..])
}

#[test]
fn an_address_that_guesses_is_refused_before_anything_is_checked() {
    let folder = tempfile::tempdir().expect("a folder");
    let valid = token(folder.path(), "ann", &[]);
    let server = serve(folder.path(), &["--auth", "accounts", "--limit-loopback"]);
    let client = connect(&server);
    assert_eq!(list(&client, &valid), Code::OK);
    let allowed = FAILED_LOGINS_PER_MINUTE as usize;
    let codes: Vec<_> = (0..allowed + 3).map(|number| list(&client, &guess(number, &valid))).collect();
    assert_eq!(codes[..allowed], vec![Code::UNAUTHENTICATED; allowed]);
    assert_eq!(codes.last(), Some(&Code::RESOURCE_EXHAUSTED), "{codes:?}");
    // Also a valid one, a stream, and a code: from this address nothing is checked.
    assert_eq!(list(&client, &valid), Code::RESOURCE_EXHAUSTED);
    let mut talker = Talker::over(client.clone(), "ann", Some(&valid));
    talker.send(vec![talker::hello("ann")]);
    assert_eq!(talker.end().code, Code::RESOURCE_EXHAUSTED);
    let request = v1::LoginRequest { code: "0000-0000-0000-0000".to_owned(), ..Default::default() };
    let end = call_as(&client, &LOGIN, &request, None).expect_err("it is refused");
    assert_eq!(end.code, Code::RESOURCE_EXHAUSTED, "{}", end.message);
    assert!(end.message.contains("too many failed logins from your address: try again in"), "{}", end.message);
}

#[test]
fn clients_of_the_tutorial_are_guests_where_others_log_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let ann = token(folder.path(), "ann", &[]);
    let server = serve(folder.path(), &["--auth", "accounts", "--allow-tutorial-clients"]);
    let mut talker = Talker::over(connect(&server), "", Some(&ann));
    talker.send(vec![talker::hello("")]);
    assert!(talker.next().has_welcome());
    talker.join_room("lobby", None);
    let mut guest = Chatter::join(&environment(), server.target(), "ann");
    guest.say("I am ann");
    let message = talker.next().take_message();
    assert_eq!((message.sender.as_str(), message.authenticated), ("~ann", false));
    talker.post("lobby", 1, "so am I");
    let message = talker.next().take_message();
    assert_eq!((message.sender.as_str(), message.authenticated), ("ann", true));
}

fn write_secret(path: &Path, secret: &[u8]) {
    let next = path.with_extension("next");
    fs::write(&next, secret).expect("it is written");
    fs::set_permissions(&next, fs::Permissions::from_mode(0o600)).expect("its mode is set");
    fs::rename(next, path).expect("it is renamed");
}

#[test]
fn a_stream_ends_with_the_key_of_its_login_or_some_time_after_its_expiry() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = ["first", "other"].map(|name| folder.path().join(name));
    let [old, other, new] =
        ["old", "other", "new"].map(|name| format!("the {name} secret, of at least 32 bytes").into_bytes());
    write_secret(&files[0], &old);
    write_secret(&files[1], &other);
    let [first, second] = files.each_ref().map(|file| file.to_str().expect("a plain path"));
    let keys = ["--jwt-key", first, "--jwt-key", second];
    let jwt = [&["--auth", "jwt", "--jwt-issuer", ISSUER, "--jwt-audience", AUDIENCE][..], &keys].concat();
    let server = serve(&folder.path().join("data"), &jwt);
    let client = connect(&server);
    let welcomed = |secret: &[u8], time| {
        let mut talker = Talker::over(client.clone(), "jo", Some(&Claims::of("jo", time).sign(secret)));
        talker.send(vec![talker::hello("jo")]);
        assert!(talker.next().has_welcome());
        talker.join_room("tea", None);
        talker
    };
    let begun = Instant::now();
    let short = Duration::from_secs(2);
    let mut of_old = welcomed(&old, HOUR);
    let (mut long, mut brief) = (welcomed(&other, HOUR), welcomed(&other, short));
    // A key changes while all are there.
    write_secret(&files[0], &new);
    let with_new = Claims::of("jo", HOUR).sign(&new);
    wait_for("the new key", || list(&client, &with_new) == Code::OK);
    assert_eq!(list(&client, &Claims::of("jo", HOUR).sign(&old)), Code::UNAUTHENTICATED);
    let end_of = |talker: &mut Talker| loop {
        match talker.next_within(2 * LOGIN_GRACE).expect("the stream ends") {
            Err(end) => break end,
            Ok(event) => assert!(event.has_message() || event.has_presence(), "{event:?}"),
        }
    };
    let end = end_of(&mut of_old);
    assert_eq!(end.code, Code::UNAUTHENTICATED);
    assert!(end.message.contains("revoked"), "{}", end.message);
    long.post("tea", 1, "my key is still there");
    assert_eq!(long.hear().2, "my key is still there");
    let end = end_of(&mut brief);
    assert_eq!(end.code, Code::UNAUTHENTICATED);
    assert!(end.message.contains("your login has expired: connect again with a new token"), "{}", end.message);
    // The expiry is in whole seconds, rounded down.
    assert!(begun.elapsed() + Duration::from_secs(1) >= short + LOGIN_GRACE);
    long.post("tea", 2, "still here");
    assert_eq!(long.hear().2, "still here");
}
