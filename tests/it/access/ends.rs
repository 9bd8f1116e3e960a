//! Logins that end, and one that is renewed.

use std::time::Duration;

use grpcio::RpcStatusCode as Code;
use hubbub::wire::{self, v1};

use super::{BUILDS, HOUR, Mode, SECRET, Site, TEA};
use crate::support::logins::{Claims, run, token};
use crate::support::talker::{self, Talker, call_as, renew};

/// A login that ends, ends its live streams.
#[test]
fn a_revoked_or_banned_user_is_disconnected_within_a_second() {
    let site = Site::new();
    let data = site.data();
    let server = site.serve(Mode::Accounts);
    let client = site.connect(&server, Mode::Accounts, None);
    let tokens = ["ann", "bob", "cy"].map(|user| token(data, user, &[]));
    let mut talkers = tokens.each_ref().map(|token| {
        let mut talker = Talker::over(client.clone(), "", Some(token));
        talker.send(vec![talker::hello("")]);
        talker.next();
        talker.join_room(TEA, None);
        talker
    });
    for (index, arguments) in [(0, ["user", "revoke", "ann"]), (1, ["user", "ban", "bob"])] {
        let begun = std::time::Instant::now();
        run(data, &arguments);
        let end = loop {
            match talkers[index].next_within(Duration::from_secs(5)).expect("the stream ends") {
                Err(end) => break end,
                Ok(event) => assert!(event.has_presence(), "{event:?}"),
            }
        };
        assert_eq!(end.code, Code::UNAUTHENTICATED, "{}", end.message);
        assert!(end.message.contains("revoked"), "{}", end.message);
        println!("{arguments:?} took {:?}", begun.elapsed());
        let again = call_as(&client, &wire::LIST_ROOMS, &v1::ListRoomsRequest::default(), Some(&tokens[index]));
        assert!(again.is_err());
    }
    // The third goes on.
    talkers[2].post(TEA, 1, "still here");
    assert_eq!(talkers[2].hear().2, "still here");
}

/// A login that expires, and one that is renewed in time.
#[test]
fn a_stream_goes_on_after_its_login_is_renewed_with_the_new_rights() {
    let site = Site::new();
    let server = site.serve(Mode::Jwt);
    let client = site.connect(&server, Mode::Jwt, None);
    let first = Claims::of("jo", HOUR);
    let mut talker = Talker::over(client, "jo", Some(&first.sign(SECRET)));
    talker.send(vec![talker::hello("jo")]);
    let welcome = talker.next().take_welcome();
    assert_eq!((welcome.name.as_str(), welcome.authenticated, welcome.role.as_str()), ("jo", true, "member"));
    assert_eq!(welcome.login_ends_ms, first.exp * 1_000);
    talker.join_room(TEA, None);
    talker.join_room(BUILDS, None);
    for (token, reason) in [
        (Claims::of("bob", HOUR).sign(SECRET), "another user"),
        (Claims::of("jo", HOUR).sign(b"another secret, of at least 32 bytes, too"), "not valid"),
        ("".to_owned(), "not valid"),
    ] {
        talker.send(vec![renew(&token)]);
        let rejected = talker.rejected();
        assert_eq!(rejected.code.enum_value(), Ok(v1::rejected::Code::CODE_DENIED));
        assert!(rejected.reason.contains(reason), "{}", rejected.reason);
    }
    let mut second = Claims::of("jo", 2 * HOUR);
    second.rooms = Some(vec![BUILDS.to_owned()]);
    talker.send(vec![renew(&second.sign(SECRET))]);
    let left = talker.next().take_left();
    assert_eq!(left.room, TEA);
    assert_eq!(talker.next().take_welcome().login_ends_ms, second.exp * 1_000);
    talker.post(BUILDS, 1, "green");
    assert_eq!(talker.hear().2, "green");
    // With a login that may only read, the client stays in the room but can't post.
    second.acts = Some(vec!["read".to_owned()]);
    talker.send(vec![renew(&second.sign(SECRET))]);
    assert!(talker.next().has_welcome());
    talker.post(BUILDS, 2, "red");
    assert_eq!(talker.rejected().code.enum_value(), Ok(v1::rejected::Code::CODE_DENIED));
}

/// Not even at trace level: an invitation's code, the token that it is exchanged for, and the token of a renewal.
#[test]
fn what_is_exchanged_or_renewed_is_in_no_log() {
    let site = Site::new();
    let mut server = site.serve(Mode::Accounts);
    let client = site.connect(&server, Mode::Accounts, None);
    let invited = run(site.data(), &["user", "add", "ann"]);
    let (_, link) = invited.split_once("hubbub login ").expect("an invitation");
    let code = link.lines().next().map(|line| line.trim().trim_matches('\'')).expect("a code").to_owned();
    let code = code.rsplit_once("#invite=").map_or(code.as_str(), |(_, code)| code);
    let request = v1::LoginRequest { code: code.to_owned(), device: "phone".to_owned(), ..Default::default() };
    let first = call_as(&client, &wire::LOGIN, &request, None).expect("a token").token;
    let second = token(site.data(), "ann", &[]);
    let mut talker = Talker::over(client, "ann", Some(&first));
    talker.send(vec![talker::hello("ann"), renew(&second)]);
    assert!(talker.next().has_welcome() && talker.next().has_welcome());
    server.signal(libc::SIGTERM);
    assert!(server.wait().success());
    let log = server.rest_of_log().join("\n");
    assert!(log.contains("used an invitation"), "there is a log");
    for secret in [code, &first[13..], &second[13..]] {
        assert!(secret.len() > 16 && !log.contains(secret), "{secret} is in the log");
    }
}
