//! Logins over time: guesses, guests, expiry, and keys that change.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use grpcio::{CallOption, Client, Error, MetadataBuilder, RpcStatusCode as Code};
use hubbub::limits::{FAILED_LOGINS_PER_MINUTE, LOGIN_GRACE, LOGIN_SHARE};
use hubbub::server::ServerConfig;
use hubbub::server::auth::jwt::JwtSettings;
use hubbub::server::config::Logins;
use hubbub::wire::{LIST_MEMBERS, LIST_ROOMS, LOGIN, v1};

use super::support::chatter::{Chatter, environment};
use super::support::logins::{AUDIENCE, Claims, ISSUER, connect, serve, token};
use super::support::talker::{self, Talker, call_as, post_message, renew};
use super::support::{DEADLINE, ephemeral, start, start_with, target, wait_for, wait_for_clients};

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

/// Codes, JSON web tokens, and tokens on a live stream count like those of accounts.
#[test]
fn guesses_of_every_kind_count() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, key) = (folder.path().join("data"), folder.path().join("key"));
    let secret = b"the secret of the issuer, of at least 32 bytes";
    write_secret(&key, secret);
    let valid = token(&data, "ann", &[]);
    let signed = |issuer| Claims { iss: issuer, ..Claims::of("ann", HOUR) }.sign(secret);
    let of_another_issuer = signed("https://other.example");
    let hello = |client: &Client| {
        let mut talker = Talker::over(client.clone(), "ann", Some(&of_another_issuer));
        talker.send(vec![talker::hello("ann")]);
        talker.end()
    };
    let code = |client: &Client| {
        let request = v1::LoginRequest { code: "0000-0000-0000-0000".to_owned(), ..Default::default() };
        call_as(client, &LOGIN, &request, None).expect_err("it is refused")
    };
    let list_rooms = |client: &Client| {
        call_as(client, &LIST_ROOMS, &v1::ListRoomsRequest::default(), Some(&of_another_issuer)).expect_err("refused")
    };
    type Guess<'a> = &'a dyn Fn(&Client) -> talker::End;
    let kinds: [(&str, Option<Guess<'_>>); 4] =
        [("codes", Some(&code)), ("calls", Some(&list_rooms)), ("streams", Some(&hello)), ("renewals", None)];
    for (what, guess) in kinds {
        let key = key.to_str().expect("a plain path");
        let jwt = ["--jwt-key", key, "--jwt-issuer", ISSUER, "--jwt-audience", AUDIENCE, "--limit-loopback"];
        let server = serve(&data, &[&["--auth", "accounts,jwt"][..], &jwt].concat());
        let client = connect(&server);
        let mut live = Talker::over(client.clone(), "ann", Some(&valid));
        live.send(vec![talker::hello("ann")]);
        assert!(live.next().has_welcome());
        for _ in 0..FAILED_LOGINS_PER_MINUTE as usize + 3 {
            match guess {
                Some(guess) => drop(guess(&client)),
                None => {
                    live.send(vec![renew(&of_another_issuer)]);
                    live.rejected();
                }
            }
        }
        assert_eq!(list(&client, &valid), Code::RESOURCE_EXHAUSTED, "{what}");
        live.send(vec![renew(&valid)]);
        let rejected = live.rejected();
        assert!(rejected.reason.contains("too many failed logins"), "{what}: {}", rejected.reason);
    }
}

/// Of two tokens, the server can't tell which one is meant.
#[test]
fn a_header_that_occurs_twice_or_has_another_form_is_no_login() {
    let folder = tempfile::tempdir().expect("a folder");
    let [ann, bob] = ["ann", "bob"].map(|user| token(folder.path(), user, &[]));
    let server = serve(folder.path(), &["--auth", "accounts"]);
    let client = connect(&server);
    let list = |headers: &[&str]| {
        let mut builder = MetadataBuilder::new();
        for value in headers {
            builder.add_str("authorization", value).expect("a valid header");
        }
        let option = CallOption::default().headers(builder.build()).timeout(DEADLINE);
        match client.unary_call(&LIST_ROOMS, &v1::ListRoomsRequest::default(), option) {
            Ok(_) => Code::OK,
            Err(Error::RpcFailure(status)) => status.code(),
            Err(error) => panic!("an error of the library: {error}"),
        }
    };
    let [ann, bob] = [ann, bob].map(|token| format!("Bearer {token}"));
    assert_eq!(list(&[&ann]), Code::OK);
    assert_eq!(list(&[&ann.replace("Bearer", "bearer")]), Code::OK);
    for headers in [&[ann.as_str(), &bob][..], &[&ann, &ann], &[&ann.replace("Bearer", "Basic")], &["Bearer "]] {
        assert_eq!(list(headers), Code::UNAUTHENTICATED);
    }
}

/// On an open server every name is a claim, on streams, in calls and in lists.
#[test]
fn a_name_without_a_login_is_never_shown_as_one_with() {
    let folder = tempfile::tempdir().expect("a folder");
    let ann = token(folder.path(), "ann", &[]);
    let with_logins = serve(folder.path(), &["--auth", "accounts"]);
    let open = start();
    let open_client = Talker::connect(&environment(), &target(&open), "").client;
    for (client, token) in [(open_client, None), (connect(&with_logins), Some(ann.as_str()))] {
        let has_login = token.is_some();
        let mut talker = Talker::over(client.clone(), "ann", token);
        talker.send(vec![talker::hello("ann")]);
        assert_eq!(talker.next().take_welcome().authenticated, has_login);
        talker.join_room("tea", None);
        talker.post("tea", 1, "by a stream");
        assert_eq!(talker.next().take_message().authenticated, has_login);
        if !has_login {
            post_message(&client, "tea", "ann", 2, "by a call").expect("it is posted");
            assert!(!talker.next().take_message().authenticated);
        }
        let request = v1::ListMembersRequest { room: "tea".to_owned(), ..Default::default() };
        let members = call_as(&client, &LIST_MEMBERS, &request, token).expect("a list").members;
        assert_eq!(members.iter().map(|member| member.authenticated).collect::<Vec<_>>(), [has_login]);
    }
}

#[test]
fn guests_leave_places_for_clients_that_log_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("key");
    let secret = b"the secret of the issuer, of at least 32 bytes";
    write_secret(&key, secret);
    let jwt = JwtSettings { keys: vec![key], ..JwtSettings::new(ISSUER, AUDIENCE) };
    let logins = Logins { jwt: Some(jwt), allows_tutorial: true, ..Logins::default() };
    let clients_max = LOGIN_SHARE;
    let server = start_with(ServerConfig { logins, clients_max, ..ephemeral() });
    let join = || Chatter::join(&environment(), &target(&server), "guest");
    let _guests: Vec<_> = (1..clients_max).map(|_| join()).collect();
    wait_for_clients(&server, clients_max - 1);
    assert_eq!(join().end().0, Code::RESOURCE_EXHAUSTED);
    let client = Talker::connect(&environment(), &target(&server), "").client;
    let mut talker = Talker::over(client, "jo", Some(&Claims::of("jo", HOUR).sign(secret)));
    talker.send(vec![talker::hello("jo")]);
    assert!(talker.next().has_welcome());
    assert_eq!(server.client_count(), clients_max, "no guest had to go");
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
    let short = Duration::from_secs(5);
    let mut of_old = welcomed(&old, HOUR);
    let (mut long, mut renewed, mut brief) = (welcomed(&other, HOUR), welcomed(&other, short), welcomed(&other, short));
    renewed.send(vec![renew(&Claims::of("jo", HOUR).sign(&other))]);
    wait_for("the renewed login", || renewed.next().has_welcome());
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
    // The expiry of the first login does not end the stream whose login was renewed.
    renewed.post("tea", 3, "so am I");
    wait_for("what the renewed one posts", || renewed.hear().2 == "so am I");
}
