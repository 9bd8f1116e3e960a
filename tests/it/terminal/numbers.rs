//! A server that puts extreme numbers into every field of every event: no program hangs or panics over them.

use std::io::Write as _;
use std::process::Output;
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use grpcio::{RpcStatus, RpcStatusCode, ServiceBuilder, WriteFlags};
use hubbub::threads::park::block_on;
use hubbub::wire::event::control;
use hubbub::wire::v1::{self, event::Event as Kind};
use hubbub::wire::{CHAT_SERVER, Frame, LIST_MEMBERS, LIST_MESSAGES, LIST_ROOMS};

use super::{piped, serve, stderr};
use crate::support::seed;

const ROOM: &str = "lobby";
const ROOM_ID: u64 = 1;
const EVENTS_MAX: usize = 12;

/// Runs of each program. A variable makes them more.
fn runs() -> usize {
    std::env::var("HUBBUB_NUMBERS_RUNS").map_or(12, |runs| runs.parse().expect("HUBBUB_NUMBERS_RUNS is a number"))
}

fn number(random: &mut Rng) -> u64 {
    let edges = [0, 1, 2, 3, u64::from(u32::MAX), 1 << 63, u64::MAX - 2, u64::MAX - 1, u64::MAX];
    edges[random.usize(..edges.len())]
}

fn small(random: &mut Rng) -> u32 {
    [0, 1, 2, u32::MAX - 1, u32::MAX][random.usize(..5)]
}

fn message(random: &mut Rng, seq: u64) -> v1::Event {
    let kind = v1::Message {
        message_id: random.u128(1 << 100..).to_be_bytes().to_vec(),
        sender: "bob".to_owned(),
        body: "x".to_owned(),
        kind: protobuf::EnumOrUnknown::from_i32(random.i32(0..4)),
        client_id: number(random),
        ..Default::default()
    };
    v1::Event { seq, ..event(random, Kind::Message(kind)) }
}

fn event(random: &mut Rng, kind: Kind) -> v1::Event {
    v1::Event { room_id: ROOM_ID, time_ms: number(random), event: Some(kind), ..Default::default() }
}

fn joined(random: &mut Rng) -> v1::Event {
    let kind = v1::Joined {
        room: ROOM.to_owned(),
        epoch: random.u64(1..3),
        head_seq: number(random),
        oldest_seq: number(random),
        member_count: small(random),
        first_seq: number(random),
        ..Default::default()
    };
    event(random, Kind::Joined(kind))
}

fn welcome(random: &mut Rng) -> v1::Event {
    let limits = v1::Limits {
        name_chars_max: small(random),
        body_bytes_max: small(random),
        request_bytes_max: small(random),
        commands_max: small(random),
        rooms_max: small(random),
        ..Default::default()
    };
    let kind = v1::Welcome { client_id: number(random), limits: Some(limits).into(), ..Default::default() };
    v1::Event { event: Some(Kind::Welcome(kind)), time_ms: number(random), ..Default::default() }
}

fn any(random: &mut Rng) -> v1::Event {
    let (from_seq, to_seq) = (number(random), number(random));
    let kind = match random.u32(..8) {
        0 => return joined(random),
        1 => Kind::CaughtUp(v1::CaughtUp { head_seq: from_seq, ..Default::default() }),
        2 | 3 => {
            let reason = protobuf::EnumOrUnknown::from_i32(random.i32(0..5));
            Kind::Gap(v1::Gap { from_seq, to_seq, reason, ..Default::default() })
        }
        4 => {
            let change = protobuf::EnumOrUnknown::from_i32(random.i32(0..3));
            Kind::Presence(v1::Presence { client_id: from_seq, name: "bob".to_owned(), change, ..Default::default() })
        }
        5 => {
            let message_id = vec![7; 16];
            Kind::Posted(v1::Posted { message_id, message_seq: to_seq, ..Default::default() })
        }
        _ => return message(random, from_seq),
    };
    event(random, kind)
}

/// What the server says on one stream: first the story's three events, or extreme numbers in everything.
fn script(random: &mut Rng, is_story: bool) -> Vec<v1::Event> {
    let mut events = vec![welcome(random), joined(random)];
    if is_story {
        let joined = v1::Joined {
            room: ROOM.to_owned(),
            epoch: 1,
            head_seq: u64::MAX,
            oldest_seq: u64::MAX,
            ..Default::default()
        };
        events[1] = event(random, Kind::Joined(joined));
        events.extend([message(random, u64::MAX), message(random, 1)]);
    }
    events.extend((0..random.usize(..EVENTS_MAX)).map(|_| any(random)));
    events
}

/// A server that says a script, and then ends each conversation with a status that is final.
fn liar(seed: u64, is_story: bool) -> (grpcio::Server, String) {
    let service = ServiceBuilder::new()
        .add_duplex_streaming_handler(&CHAT_SERVER, move |_, mut requests, mut sink| {
            thread::spawn(move || {
                let mut random = Rng::with_seed(seed);
                // The client has asked to join.
                let _ = block_on(requests.next());
                for event in script(&mut random, is_story) {
                    if block_on(sink.send((Frame::new(control(&event)), WriteFlags::default()))).is_err() {
                        return;
                    }
                }
                let over = RpcStatus::with_message(RpcStatusCode::FAILED_PRECONDITION, "that was all".to_owned());
                let _ = block_on(sink.fail(over));
            });
        })
        .add_unary_handler(&LIST_MESSAGES, move |ctx, _: v1::ListMessagesRequest, sink| {
            let random = &mut Rng::with_seed(seed);
            let mut response = v1::ListMessagesResponse::new();
            response.events = (0..3).map(|_| any(random)).collect();
            (response.head_seq, response.oldest_seq) = (number(random), number(random));
            ctx.spawn(sink.success(response).map(drop));
        })
        .add_unary_handler(&LIST_ROOMS, move |ctx, _: v1::ListRoomsRequest, sink| {
            let random = &mut Rng::with_seed(seed);
            let room = v1::Room {
                name: ROOM.to_owned(),
                head_seq: number(random),
                oldest_seq: number(random),
                ..Default::default()
            };
            ctx.spawn(sink.success(v1::ListRoomsResponse { rooms: vec![room], ..Default::default() }).map(drop));
        })
        .add_unary_handler(&LIST_MEMBERS, move |ctx, _: v1::ListMembersRequest, sink| {
            let random = &mut Rng::with_seed(seed);
            let member = v1::Member { name: "bob".to_owned(), client_id: number(random), ..Default::default() };
            ctx.spawn(sink.success(v1::ListMembersResponse { members: vec![member], ..Default::default() }).map(drop));
        })
        .build();
    serve(service, "127.0.0.1:0")
}

/// Runs a client until it ends.
fn run(target: &str, arguments: &[&str]) -> Output {
    let mut child = piped(&[arguments, &["--server", target, "--name", "ann"]].concat());
    let mut stdin = child.stdin.take().expect("standard input is piped");
    let writer = thread::spawn(move || {
        let _ = stdin.write_all(b"hello\n");
        // It stays open: the client must end by itself, and not because its input did.
        thread::sleep(Duration::from_millis(300));
    });
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("it does not panic");
    output
}

/// The story: three events made the receive thread's sum overflow; it panicked, and the program waited forever.
#[test]
fn extreme_numbers_end_no_client_in_silence() {
    let seed = seed();
    let programs: [&[&str]; 8] = [
        &["chat", "--no-reconnect"],
        &["tail", "--no-reconnect"],
        &["tail", "--no-reconnect", "--last", "4294967295", "--json"],
        &["tail", "--no-reconnect", "--from", "18446744073709551615"],
        &["send", "--no-reconnect"],
        &["history", "--after", "18446744073709551614"],
        &["history", "--limit", "18446744073709551615", "--before", "18446744073709551615"],
        &["rooms"],
    ];
    for run_number in 0..runs() as u64 {
        let (_server, target) = liar(seed.wrapping_add(run_number), run_number == 0);
        thread::scope(|scope| {
            for arguments in programs {
                let target = target.as_str();
                scope.spawn(move || {
                    let output = run(target, arguments);
                    let (code, shown) = (output.status.code(), stderr(&output));
                    let is_plain = matches!(code, Some(0..=2)) && !shown.contains("panicked");
                    assert!(is_plain, "seed {seed}, run {run_number}, {arguments:?}: {code:?}, {shown}");
                });
            }
        });
    }
}
