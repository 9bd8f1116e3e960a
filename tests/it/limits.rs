//! The limits of an address and of calls, as a client meets them.

use std::time::{Duration, Instant};

use grpcio::RpcStatusCode;
use hubbub::limits::{CLIENTS_PER_ADDRESS_MAX, READ_CALLS_PER_CONNECTION_MAX, RESPONSE_TIMEOUT, ROOMS_PER_HOUR};
use hubbub::wire::v1::ListMessagesRequest;
use hubbub::wire::v1::event::Event as Kind;
use hubbub::wire::v1::rejected::Code;
use hubbub::wire::{LIST_MESSAGES, LIST_ROOMS, v1};
use protobuf::Message as _;

use super::support::chatter::environment;
use super::support::process::ServerProcess;
use super::support::raw::{DATA, END_HEADERS, END_STREAM, HEADERS, Raw, SETTINGS, frame, headers, prefixed};
use super::support::talker::{Talker, call, join, post, post_message};
use super::support::wait_for;

/// A server that limits this machine as one address.
fn limited(arguments: &[&str]) -> ServerProcess {
    ServerProcess::start(&[&["--limit-loopback"], arguments].concat())
}

fn end(mut server: ServerProcess) -> Vec<String> {
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
    server.rest_of_log()
}

#[test]
fn an_address_has_a_number_of_clients() {
    let server = limited(&[]);
    let environment = environment();
    let mut clients: Vec<_> =
        (0..CLIENTS_PER_ADDRESS_MAX).map(|n| Talker::hello(&environment, server.target(), &format!("c{n}"))).collect();
    let refused = Talker::connect(&environment, server.target(), "one-more").end();
    assert_eq!(refused.code, RpcStatusCode::RESOURCE_EXHAUSTED);
    assert_eq!(refused.message, "your address has 16 clients connected, the maximum: close one first");
    clients.pop();
    wait_for("a free place", || {
        let next = Talker::connect(&environment, server.target(), "next").next_within(Duration::from_millis(100));
        !matches!(next, Some(Err(_)))
    });
    drop(clients);
    let log = end(server);
    let line = log.iter().find(|line| line.contains("clients exceeded limits"));
    assert!(line.is_some_and(|line| line.contains("--clients-per-address") && line.contains("127.0.0.1")), "{log:#?}");
}

/// One client created 999,983 rooms in 22 s, and no other room could be created any more.
#[test]
fn an_address_creates_so_many_rooms_an_hour() {
    let server = limited(&["--post-rate", "0"]);
    let mut ann = Talker::join(&environment(), server.target(), "ann", "one-more");
    let created = |n: usize| post_message(&ann.client, &format!("room-{n}"), "ann", 0, "hello");
    let rooms = ROOMS_PER_HOUR as usize;
    (0..rooms).for_each(|n| drop(created(n).expect("it is created")));
    let refused = created(rooms).expect_err("the rate is used up");
    assert_eq!(refused.code, RpcStatusCode::RESOURCE_EXHAUSTED);
    assert!(refused.message.contains("post to an existing room, or try again in"), "{}", refused.message);
    created(0).expect("the room exists");
    ann.post("one-more", 1, "hello");
    let rejected = ann.rejected();
    assert_eq!(rejected.code.enum_value_or_default(), Code::CODE_LIMITED);
    assert!(rejected.retry_after_ms > 1_000 && rejected.reason.contains("rooms"), "{rejected:?}");
    let listed = call(&ann.client, &LIST_ROOMS, &v1::ListRoomsRequest::default()).expect("rooms are listed");
    assert_eq!(listed.rooms.len(), rooms);
    end(server);
}

#[test]
fn an_address_creates_so_many_rooms_in_all() {
    let server = limited(&["--post-rate", "0", "--room-rate", "0", "--rooms-per-address", "20"]);
    let mut ann = Talker::join(&environment(), server.target(), "ann", "one-more");
    let created = |n: usize| post_message(&ann.client, &format!("room-{n}"), "ann", 0, "hello");
    (0..20).for_each(|n| drop(created(n).expect("it is created")));
    let refused = created(20).expect_err("that are all");
    assert_eq!(refused.code, RpcStatusCode::RESOURCE_EXHAUSTED);
    assert!(refused.message.contains("created 20 rooms, the maximum: post to an existing room"), "{}", refused.message);
    created(0).expect("the room exists");
    ann.post("one-more", 1, "hello");
    let rejected = ann.rejected();
    assert_eq!((rejected.code.enum_value_or_default(), rejected.retry_after_ms), (Code::CODE_TOO_MANY_ROOMS, 0));
    let log = end(server);
    assert!(log.iter().any(|line| line.contains("--rooms-per-address")), "{log:#?}");
}

#[test]
fn a_stream_that_posts_too_fast_is_slowed_and_loses_nothing() {
    let server = limited(&["--post-rate", "50"]);
    let mut ann = Talker::join(&environment(), server.target(), "ann", "garden");
    let begun = Instant::now();
    // Of these, 250 are a burst.
    for request in 0..35_u128 {
        ann.send((0..10).map(|n| post("garden", request * 10 + n + 1, &format!("{}", request * 10 + n))).collect());
    }
    for n in 0..350 {
        assert_eq!(ann.hear(), (n + 1, "ann".to_owned(), n.to_string()));
    }
    let time = begun.elapsed();
    assert!(time >= Duration::from_millis(1_700), "100 posts beyond the burst came within {time:?}");
    // A call can't be slowed.
    let refused = post_message(&ann.client, "garden", "ann", 0, "x").expect_err("the rate is used up");
    assert_eq!(refused.code, RpcStatusCode::RESOURCE_EXHAUSTED);
    assert!(refused.message.contains("too fast: try again in"), "{}", refused.message);
    end(server);
}

/// A flood of joins waited behind its posts, and the rooms had members that were gone for 65 s.
#[test]
fn a_client_that_is_gone_joins_no_more_rooms() {
    let server = limited(&["--post-rate", "1"]);
    let (environment, target) = (environment(), server.target());
    let mut witness = Talker::join(&environment, target, "witness", "later");
    let threads = || server.threads_named(&["recv-"]);
    let before = threads();
    let mut ghost = Talker::join(&environment, target, "ghost", "garden");
    // Beyond the rate: the server reads its next request only in 95 s, or when it is gone.
    ghost.send((1..=100).map(|n| post("garden", n, "hello")).collect());
    (0..100).for_each(|_| drop(ghost.hear()));
    ghost.send(vec![join("later", None)]);
    // A call on the same connection ends after the request before it has arrived.
    call(&ghost.client, &LIST_ROOMS, &v1::ListRoomsRequest::default()).expect("rooms are listed");
    drop(ghost);
    wait_for("its end", || threads() == before);
    let _marker = Talker::join(&environment, target, "marker", "later");
    match witness.next().event {
        Some(Kind::Presence(presence)) => assert_eq!(presence.name, "marker"),
        other => panic!("expected a presence: {other:?}"),
    }
    drop(witness);
    end(server);
}

#[test]
fn an_address_has_so_many_bytes_stored_in_a_day() {
    let server = limited(&["--post-rate", "0", "--stored-per-day", "100KB"]);
    let mut ann = Talker::join(&environment(), server.target(), "ann", "garden");
    let body = "x".repeat(15_000);
    for n in 1..=6 {
        ann.post("garden", n, &body);
        assert_eq!(u128::from(ann.hear().0), n);
    }
    ann.post("garden", 7, &body);
    let rejected = ann.rejected();
    assert_eq!(rejected.code.enum_value_or_default(), Code::CODE_LIMITED);
    assert!(rejected.reason.contains("stored as many bytes"), "{rejected:?}");
    end(server);
}

/// 9,000 responses that nobody read took 939 MB, and kept most of it.
#[test]
fn responses_that_nobody_reads_are_few_and_are_cancelled() {
    const CALLS: u32 = 60;
    let server = ServerProcess::start(&[]);
    let client = Talker::connect(&environment(), server.target(), "ann").client;
    for _ in 0..10 {
        post_message(&client, "garden", "ann", 0, &"x".repeat(15_000)).expect("it is stored");
    }
    let request = ListMessagesRequest { room: "garden".to_owned(), ..Default::default() };
    let request = prefixed(0, &request.write_to_bytes().expect("it can be encoded"));
    let mut raw = Raw::open(server.target());
    // The initial window of all streams is 0: only headers can be sent.
    raw.write(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]));
    for number in 0..CALLS {
        let stream = 2 * number + 1;
        raw.write(&frame(HEADERS, END_HEADERS, stream, &headers(LIST_MESSAGES.name, None)));
        raw.write(&frame(DATA, END_STREAM, stream, &request));
    }
    let begun = Instant::now();
    // The calls beyond the maximum end with their status at once, and the others later.
    let (mut refused, mut cancelled) = (0, 0);
    while refused + cancelled < CALLS as usize {
        let (kind, flags, payload) = raw.read_frame();
        if kind == HEADERS && flags & END_STREAM != 0 {
            let status = String::from_utf8_lossy(&payload).into_owned();
            if status.contains("wait for a response first") {
                refused += 1;
            } else {
                assert!(status.contains("CANCELLED") && begun.elapsed() > RESPONSE_TIMEOUT / 2, "{status:?}");
                cancelled += 1;
            }
        }
    }
    assert_eq!((refused, cancelled), (CALLS as usize - READ_CALLS_PER_CONNECTION_MAX, READ_CALLS_PER_CONNECTION_MAX));
    // Others were served meanwhile, and this connection is served again.
    let request = ListMessagesRequest { room: "garden".to_owned(), ..Default::default() };
    assert_eq!(call(&client, &LIST_MESSAGES, &request).expect("it is served").head_seq, 10);
    end(server);
}
