//! Streams that watch the health: what they are told, and that they cost little.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use grpcio::{CallOption, Client, ClientSStreamReceiver, Error, RpcStatusCode};
use hubbub::limits::{WATCHES_MAX, WATCHES_PER_PEER_MAX};
use hubbub::server::ServerConfig;
use hubbub::threads::park::block_on_until;
use hubbub::wire::HEALTH_WATCH_CLIENT;
use hubbub::wire::health::HealthCheckResponse;
use hubbub::wire::health::health_check_response::ServingStatus;
use protobuf::Message as _;

use super::{CHAT, asking, connect, is_serving};
use crate::support::chatter::environment;
use crate::support::foreign;
use crate::support::process::ServerProcess;
use crate::support::raw::{DATA, END_HEADERS, END_STREAM, HEADERS, Raw, SETTINGS, frame, headers, prefixed};
use crate::support::talker::Talker;
use crate::support::{DEADLINE, ephemeral, start, start_with, target, wait_for};

/// A stream that watches a service.
struct Watch(ClientSStreamReceiver<HealthCheckResponse>);

impl Watch {
    fn of(client: &Client, service: &str) -> Self {
        let option = CallOption::default();
        Self(client.server_streaming(&HEALTH_WATCH_CLIENT, &asking(service), option).expect("a call begins"))
    }

    /// The next state, or the code of the end.
    fn next(&mut self) -> Result<ServingStatus, RpcStatusCode> {
        self.next_within(DEADLINE).expect("a state, or an end")
    }

    fn next_within(&mut self, time: Duration) -> Option<Result<ServingStatus, RpcStatusCode>> {
        Some(match block_on_until(&mut self.0.next(), Instant::now() + time)? {
            Some(Ok(response)) => Ok(response.status.enum_value().expect("a known status")),
            Some(Err(Error::RpcFailure(status))) => Err(status.code()),
            Some(Err(error)) => panic!("an error of the library: {error}"),
            None => Err(RpcStatusCode::OK),
        })
    }
}

/// Opens a stream that watches the server, on stream 1 of a raw connection.
fn watch_raw(raw: &mut Raw) {
    let open = frame(HEADERS, END_HEADERS, 1, &headers(HEALTH_WATCH_CLIENT.name, None));
    raw.write(&[open, frame(DATA, END_STREAM, 1, &prefixed(0, &[]))].concat());
}

fn decoded(message: &[u8]) -> ServingStatus {
    let response = HealthCheckResponse::parse_from_bytes(message).expect("it can be decoded");
    response.status.enum_value().expect("a known status")
}

/// With a raw client, because the library's reports the end before the last state.
#[test]
fn a_watch_is_told_of_the_drain_and_then_ends() {
    let server = start();
    let mut raw = Raw::open(&target(&server));
    watch_raw(&mut raw);
    assert_eq!(
        raw.read_messages(1).iter().map(|message| decoded(message)).collect::<Vec<_>>(),
        [ServingStatus::SERVING]
    );
    let reading = thread::spawn(move || raw.read_to_end());
    assert_eq!(server.drain(), 0);
    let (states, trailers) = reading.join().expect("no thread panics");
    assert_eq!(states.iter().map(|message| decoded(message)).collect::<Vec<_>>(), [ServingStatus::NOT_SERVING]);
    assert!(trailers.contains("shutting down"), "{trailers:?}");
}

#[test]
fn a_watch_is_told_of_each_change_once() {
    let server = start();
    let client = connect(&target(&server));
    let (mut all, mut chat, mut unknown) = (Watch::of(&client, ""), Watch::of(&client, CHAT), Watch::of(&client, "x"));
    assert_eq!((all.next(), chat.next()), (Ok(ServingStatus::SERVING), Ok(ServingStatus::SERVING)));
    assert_eq!(unknown.next(), Ok(ServingStatus::SERVICE_UNKNOWN));
    for _ in 0..3 {
        server.health().set_failed("the disk is full".to_owned());
        assert_eq!((all.next(), chat.next()), (Ok(ServingStatus::NOT_SERVING), Ok(ServingStatus::NOT_SERVING)));
        // Another reason is the same to a client.
        server.health().set_failed("the disk fails".to_owned());
        server.health().set_recovered();
        assert_eq!((all.next(), chat.next()), (Ok(ServingStatus::SERVING), Ok(ServingStatus::SERVING)));
    }
    assert_eq!(unknown.next_within(Duration::from_millis(50)), None);
}

/// Streams that watch could be opened without end, each with memory of its own.
#[test]
fn a_thousand_watches_are_bounded_and_take_no_threads() {
    const CONNECTIONS: usize = 20;
    let server = ServerProcess::start(&[]);
    let mut talker = Talker::join(&environment(), server.target(), "ann", "garden");
    let clients: Vec<_> = (0..CONNECTIONS).map(|_| connect(server.target())).collect();
    assert!(clients.iter().all(is_serving));
    let threads = server.own_threads();
    let mut watches: Vec<_> =
        clients.iter().flat_map(|client| (0..1_000 / CONNECTIONS).map(|_| Watch::of(client, ""))).collect();
    let first: Vec<_> = watches.iter_mut().map(Watch::next).collect();
    let open = first.iter().filter(|first| **first == Ok(ServingStatus::SERVING)).count();
    assert_eq!(open, WATCHES_MAX.min(CONNECTIONS * WATCHES_PER_PEER_MAX));
    assert_eq!(first.iter().filter(|first| **first == Err(RpcStatusCode::RESOURCE_EXHAUSTED)).count(), 1_000 - open);
    assert!(server.own_threads() <= threads, "{} threads became {}", threads, server.own_threads());
    // Others are served.
    assert!(is_serving(&connect(server.target())));
    talker.post("garden", 0, "hello");
    assert_eq!(talker.hear().2, "hello");
    drop(watches);
    wait_for("the places of those that left", || Watch::of(&clients[0], "").next() == Ok(ServingStatus::SERVING));
}

/// The reader has no window for the first state, and never opens one.
#[test]
fn a_watch_that_does_not_read_holds_no_drain_up() {
    let server = start_with(ServerConfig { drain_timeout: Duration::from_secs(600), ..ephemeral() });
    let mut raw = Raw::open(&target(&server));
    raw.write(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]));
    watch_raw(&mut raw);
    // Its headers say that the call has begun.
    raw.next_of(HEADERS);
    for _ in 0..1_000 {
        server.health().set_failed("the disk is full".to_owned());
        server.health().set_recovered();
    }
    let (done, drained) = channel();
    thread::spawn(move || done.send(server.drain()));
    assert_eq!(drained.recv_timeout(DEADLINE), Ok(0));
}

#[test]
fn python_watches_the_drain() {
    let mut server = ServerProcess::start(&[]);
    let mut python = foreign::python();
    python.arg(foreign::script("health.py")).args(["--watch", server.target()]);
    let mut child = python.stdout(Stdio::piped()).spawn().expect("HUBBUB_TEST_PYTHON can be run");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
    assert_eq!(lines.next().as_deref(), Some("SERVING"));
    server.signal(libc::SIGTERM);
    assert_eq!(lines.collect::<Vec<_>>(), ["NOT_SERVING", "UNAVAILABLE"]);
    assert!(child.wait().expect("it is our child").success());
    assert_eq!(server.wait().code(), Some(0));
}
