//! `Follow` over gRPC: what `Chat` tells of rooms, in one request.

use std::time::Instant;

use futures_util::StreamExt as _;
use grpcio::{CallOption, Client, ClientSStreamReceiver, Error, RpcStatus, RpcStatusCode};
use hubbub::threads::park::block_on_until;
use hubbub::wire::v1::event::Event as Kind;
use hubbub::wire::v1::{self, join::From};
use hubbub::wire::{FOLLOW_CLIENT, LIST_MEMBERS};

use super::support::chatter::environment;
use super::support::talker::{Talker, call, post_message};
use super::support::{DEADLINE, start, target, wait_for};

/// A follower.
struct Follower {
    stream: ClientSStreamReceiver<v1::FollowResponse>,
    events: Vec<v1::Event>,
    /// The library may report it before the last messages.
    status: Option<RpcStatus>,
}

impl Follower {
    fn open(client: &Client, request: &v1::FollowRequest) -> Self {
        let stream = client.server_streaming(&FOLLOW_CLIENT, request, CallOption::default()).expect("it begins");
        Self { stream, events: Vec::new(), status: None }
    }

    fn next(&mut self) -> Result<v1::Event, RpcStatus> {
        while self.events.is_empty() {
            let next = block_on_until(&mut self.stream.next(), Instant::now() + DEADLINE).expect("an answer in time");
            match next {
                Some(Ok(response)) => self.events = response.events,
                Some(Err(Error::RpcFailure(status))) if self.status.is_none() => self.status = Some(status),
                _ => return Err(self.status.take().expect("a stream ends with a status")),
            }
        }
        Ok(self.events.remove(0))
    }

    /// The next event for which this is `Some`.
    fn find<T>(&mut self, wanted: impl Fn(&v1::Event) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(&self.next().expect("the stream goes on")) {
                return found;
            }
        }
    }
}

fn join(room: &str, from: Option<From>) -> v1::Join {
    v1::Join { room: room.to_owned(), from, ..Default::default() }
}

fn body(event: &v1::Event) -> Option<String> {
    event.has_message().then(|| event.message().body.clone())
}

#[test]
fn a_follower_gets_history_then_what_happens() {
    let server = start();
    let caller = Talker::connect(&environment(), &target(&server), "caller");
    let client = &caller.client;
    post_message(client, "tea", "ann", 1, "one").unwrap();
    post_message(client, "tea", "ann", 2, "two").unwrap();
    let hello = v1::Hello { name: "bob".to_owned(), ..Default::default() };
    let rooms = vec![join("tea", Some(From::Last(1)))];
    let request = v1::FollowRequest { hello: Some(hello).into(), rooms: rooms.clone(), ..Default::default() };
    let mut bob = Follower::open(client, &request);
    assert_eq!(bob.find(|event| event.has_welcome().then(|| event.welcome().name.clone())), "bob");
    assert_eq!(bob.find(body), "two");
    let request = v1::ListMembersRequest { room: "tea".to_owned(), ..Default::default() };
    let members = || call(client, &LIST_MEMBERS, &request).unwrap().members;
    assert_eq!(members().iter().map(|member| member.name.as_str()).collect::<Vec<_>>(), ["bob"]);
    // One that does not say who it is follows unseen.
    let mut unseen = Follower::open(client, &v1::FollowRequest { rooms, ..Default::default() });
    unseen.find(|event| event.has_caught_up().then_some(()));
    post_message(client, "tea", "ann", 3, "three").unwrap();
    for follower in [&mut bob, &mut unseen] {
        let seen = follower.find(|event| match &event.event {
            Some(Kind::Presence(presence)) => panic!("{presence}"),
            _ => body(event),
        });
        assert_eq!(seen, "three");
    }
    drop(bob);
    wait_for("no member", || members().is_empty());
    // A drain tells a follower what it tells everybody.
    let drained = std::thread::spawn(move || server.drain());
    unseen.find(|event| event.has_goodbye().then_some(()));
    assert_eq!(unseen.next().unwrap_err().code(), RpcStatusCode::UNAVAILABLE);
    assert_eq!(drained.join().expect("it drains"), 0);
}

#[test]
fn a_request_names_rooms_and_a_valid_name() {
    let server = start();
    let caller = Talker::connect(&environment(), &target(&server), "caller");
    let end = |request| Follower::open(&caller.client, &request).next().unwrap_err();
    let none = end(v1::FollowRequest::default());
    assert_eq!(
        (none.code(), none.message()),
        (RpcStatusCode::INVALID_ARGUMENT, "the request names 0 rooms: name 1 to 1000")
    );
    let rooms = (0..1_001).map(|n| join(&format!("r{n}"), None)).collect();
    assert_eq!(end(v1::FollowRequest { rooms, ..Default::default() }).code(), RpcStatusCode::INVALID_ARGUMENT);
    let hello = v1::Hello { name: "a\u{0}".to_owned(), ..Default::default() };
    let request = v1::FollowRequest { hello: Some(hello).into(), rooms: vec![join("tea", None)], ..Default::default() };
    assert_eq!(end(request).code(), RpcStatusCode::INVALID_ARGUMENT);
}
