//! The unary methods of `hubbub.v1`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use grpcio::RpcStatusCode;
use hubbub::limits::MEMORY_LOG_BYTES_MAX;
use hubbub::server::log::Retention;
use hubbub::server::log::sqlite::SyncMode;
use hubbub::server::{ServerConfig, Storage};
use hubbub::wire::v1::event::Event as Kind;
use hubbub::wire::v1::list_messages_request::Place;
use hubbub::wire::{LIST_MEMBERS, LIST_MESSAGES, LIST_ROOMS, v1};

use protobuf::Message as _;

use super::support::chatter::environment;
use super::support::talker::{Talker, call, post_message};
use super::support::{DEADLINE, start, start_with, target};

#[test]
fn a_repeated_call_gets_the_same_answer() {
    let server = start();
    let caller = Talker::connect(&environment(), &target(&server), "caller");
    let post = |id, body: &str| post_message(&caller.client, "garden", "bot", id, body).unwrap();
    let first = post(7, "hello");
    assert_eq!((first.seq, first.was_stored), (1, false));
    let second = post(8, "there");
    assert_eq!((second.seq, second.was_stored), (2, false));
    let again = post(7, "hello");
    assert_eq!((again.seq, again.was_stored, again.message_id), (1, true, first.message_id));
    // Without an id, each call stores a message.
    assert_eq!((post(0, "x").seq, post(0, "x").seq), (3, 4));
    for (room, sender, body) in [("", "bot", "x"), ("garden", "", "x"), ("garden", "bot", "")] {
        let end = post_message(&caller.client, room, sender, 1, body).unwrap_err();
        assert_eq!(end.code, RpcStatusCode::INVALID_ARGUMENT, "{}", end.message);
    }
}

#[test]
fn history_is_read_in_pages_from_both_ends() {
    let server = start();
    let caller = Talker::connect(&environment(), &target(&server), "caller");
    for n in 1..=20 {
        post_message(&caller.client, "garden", "bot", n, &n.to_string()).unwrap();
    }
    let list = |place, page_size| {
        let request = v1::ListMessagesRequest { room: "garden".to_owned(), page_size, place, ..Default::default() };
        let response = call(&caller.client, &LIST_MESSAGES, &request).unwrap();
        assert_eq!((response.head_seq, response.oldest_seq), (20, 1));
        assert!(response.epoch != 0);
        for event in &response.events {
            assert_eq!(event.message().body, event.seq.to_string());
        }
        response.events.iter().map(|event| event.seq).collect::<Vec<_>>()
    };
    assert_eq!(list(None, 0), (1..=20).collect::<Vec<_>>());
    assert_eq!(list(None, 3), [18, 19, 20]);
    assert_eq!(list(Some(Place::AfterSeq(0)), 3), [1, 2, 3]);
    assert_eq!(list(Some(Place::AfterSeq(18)), 9), [19, 20]);
    assert_eq!(list(Some(Place::AfterSeq(u64::MAX)), 9), [0; 0]);
    assert_eq!(list(Some(Place::BeforeSeq(5)), 2), [3, 4]);
    assert_eq!(list(Some(Place::BeforeSeq(0)), 2), [0; 0]);
    assert_eq!(list(Some(Place::BeforeSeq(u64::MAX)), 2), [19, 20]);
    let wrong = v1::ListMessagesRequest { room: "cellar".to_owned(), ..Default::default() };
    assert_eq!(call(&caller.client, &LIST_MESSAGES, &wrong).unwrap_err().code, RpcStatusCode::NOT_FOUND);
    let wrong = v1::ListMessagesRequest { room: "garden".to_owned(), page_size: 1001, ..Default::default() };
    assert_eq!(call(&caller.client, &LIST_MESSAGES, &wrong).unwrap_err().code, RpcStatusCode::INVALID_ARGUMENT);
}

/// A page of large messages has fewer messages than requested, and those of the right end.
#[test]
fn a_page_is_bounded_in_bytes() {
    let server = start();
    let caller = Talker::connect(&environment(), &target(&server), "caller");
    let body = "x".repeat(10_000);
    for n in 1..=40 {
        post_message(&caller.client, "garden", "bot", n, &body).unwrap();
    }
    let list = |place| {
        let request = v1::ListMessagesRequest { room: "garden".to_owned(), page_size: 40, place, ..Default::default() };
        let response = call(&caller.client, &LIST_MESSAGES, &request).unwrap();
        response.events.iter().map(|event| event.seq).collect::<Vec<_>>()
    };
    assert_eq!(list(Some(Place::AfterSeq(3))), (4..=9).collect::<Vec<_>>());
    assert_eq!(list(Some(Place::BeforeSeq(31))), (25..=30).collect::<Vec<_>>());
    assert_eq!(list(None), (35..=40).collect::<Vec<_>>());
}

#[test]
fn rooms_and_members_are_listed() {
    let server = start();
    let (environment, target) = (environment(), target(&server));
    let ann = Talker::join(&environment, &target, "ann", "garden");
    let mut bob = Talker::join(&environment, &target, "bob", "garden");
    bob.join_room("attic", None);
    post_message(&ann.client, "cellar", "bot", 1, "x").unwrap();
    let rooms = |page_size, page_token: &str| {
        let request = v1::ListRoomsRequest { page_size, page_token: page_token.to_owned(), ..Default::default() };
        let response = call(&ann.client, &LIST_ROOMS, &request).unwrap();
        let rooms: Vec<_> =
            response.rooms.iter().map(|room| (room.name.clone(), room.head_seq, room.member_count)).collect();
        (rooms, response.next_page_token)
    };
    let room = |name: &str, head, members| (name.to_owned(), head, members);
    // The rooms garden and attic have no messages, so they are not listed.
    assert_eq!(rooms(0, ""), (vec![room("cellar", 1, 0)], String::new()));
    for name in ["garden", "attic", "lobby"] {
        post_message(&ann.client, name, "bot", 1, "x").unwrap();
    }
    let all = vec![room("attic", 1, 1), room("cellar", 1, 0), room("garden", 1, 2), room("lobby", 1, 0)];
    assert_eq!(rooms(0, ""), (all.clone(), String::new()));
    let (first, token) = rooms(3, "");
    assert_eq!(first, all[..3]);
    assert_eq!(rooms(3, &token), (all[3..].to_vec(), String::new()));

    let members = |room: &str, page_size, page_token: &str| {
        let (room, page_token) = (room.to_owned(), page_token.to_owned());
        let request = v1::ListMembersRequest { room, page_size, page_token, ..Default::default() };
        let response = call(&ann.client, &LIST_MEMBERS, &request)?;
        let names: Vec<_> = response.members.iter().map(|member| member.name.clone()).collect();
        Ok((names, response.next_page_token))
    };
    assert_eq!(members("garden", 0, ""), Ok((vec!["ann".to_owned(), "bob".to_owned()], String::new())));
    let (first, token) = members("garden", 1, "").unwrap();
    assert_eq!(first, ["ann"]);
    assert_eq!(members("garden", 1, &token), Ok((vec!["bob".to_owned()], String::new())));
    assert_eq!(members("cellar", 0, ""), Ok((vec![], String::new())));
    let code = |result: Result<_, super::support::talker::End>| result.unwrap_err().code;
    assert_eq!(code(members("nowhere", 0, "")), RpcStatusCode::NOT_FOUND);
    assert_eq!(code(members("garden", 0, "?")), RpcStatusCode::INVALID_ARGUMENT);
}

/// While retention was deleting messages, a reader of pages got empty ones although there were more messages: 252 of
/// 22,668 pages. A script takes an empty page as the end.
#[test]
fn a_page_is_empty_only_at_the_end() {
    const PAGES: usize = 1_500;
    let folder = tempfile::tempdir().unwrap();
    let durable = Storage::Folder { path: folder.path().to_owned(), sync: SyncMode::Os, restored: false };
    for storage in [durable, Storage::Memory { bytes_max: MEMORY_LOG_BYTES_MAX }] {
        let retention = Retention { messages: Some(5), ..Retention::default() };
        let server = start_with(ServerConfig { storage, retention, ..ServerConfig::default() });
        let reader = Talker::connect(&environment(), &target(&server), "reader");
        let writer = Talker::connect(&environment(), &target(&server), "writer");
        let is_done = AtomicBool::new(false);
        let post = || post_message(&writer.client, "garden", "bot", 0, "x").unwrap();
        (0..5).for_each(|_| drop(post()));
        thread::scope(|scope| {
            scope.spawn(|| {
                while !is_done.load(Ordering::SeqCst) {
                    post();
                }
            });
            let deadline = Instant::now() + DEADLINE;
            let mut empty = Vec::new();
            for page in 0..PAGES {
                // Alternately from the beginning and from the end.
                let place = if page % 2 == 0 { Some(Place::AfterSeq(0)) } else { None };
                let request =
                    v1::ListMessagesRequest { room: "garden".to_owned(), place: place.clone(), ..Default::default() };
                let response = call(&reader.client, &LIST_MESSAGES, &request).unwrap();
                let end = match place {
                    Some(_) => (response.events.first().map(|event| event.seq), response.oldest_seq),
                    None => (response.events.last().map(|event| event.seq), response.head_seq),
                };
                if end.0 != Some(end.1) {
                    empty.push((page, end));
                }
                assert!(Instant::now() < deadline, "{page} pages");
            }
            is_done.store(true, Ordering::SeqCst);
            assert_eq!(empty, []);
        });
    }
}

/// Every reader of a room knows its senders' names and ids, and could use the next id first, with another text.
#[test]
fn an_id_of_another_message_is_refused_by_name() {
    let server = start();
    let mut talker = Talker::join(&environment(), &target(&server), "ci", "builds");
    let call = |body: &str| post_message(&talker.client, "builds", "ci", 4711, body);
    assert!(!call("all green").expect("it is stored").was_stored);
    let end = call("FAILED: do not deploy").expect_err("the id is taken");
    assert_eq!(end.code, RpcStatusCode::ALREADY_EXISTS);
    assert!(end.message.contains("another message, number 1"), "{}", end.message);
    assert!(call("all green").expect("it is the same").was_stored);
    assert_eq!(talker.hear(), (1, "ci".to_owned(), "all green".to_owned()));
    talker.post("builds", 4711, "FAILED: do not deploy");
    let rejected = talker.rejected();
    assert_eq!(rejected.code.enum_value_or_default(), v1::rejected::Code::CODE_CONFLICT);
    assert!(rejected.reason.contains("post with another id"), "{}", rejected.reason);
    talker.post("builds", 4711, "all green");
    assert!(matches!(talker.next().event, Some(Kind::Posted(posted)) if posted.message_seq == 1));
}

/// 1,000 rooms with long names were a response of 268 KB to a request of 3 bytes.
#[test]
fn a_list_is_at_most_64_kib_and_its_pages_have_all() {
    let server = start();
    let caller = Talker::connect(&environment(), &target(&server), "caller");
    let names: Vec<String> = (0..600).map(|n| format!("{n:03}{}", "\u{5b57}".repeat(61))).collect();
    for name in &names {
        post_message(&caller.client, name, "ann", 0, "x").expect("it is stored");
    }
    let (mut listed, mut token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let request = v1::ListRoomsRequest { page_size: 1_000, page_token: token, ..Default::default() };
        let response = call(&caller.client, &LIST_ROOMS, &request).expect("rooms are listed");
        assert!(response.compute_size() <= 64 * 1024, "{} bytes", response.compute_size());
        listed.extend(response.rooms.into_iter().map(|room| room.name));
        pages += 1;
        token = response.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert!(pages >= 2, "all rooms fit into one response");
    assert_eq!(listed.len(), names.len());
    assert!(listed.is_sorted() && listed.iter().all(|name| name.len() > 150));
}
