//! The drain of a server: accepted messages reach all clients, every stream gets a status, and the process exits.

use std::time::{Duration, Instant};

use hubbub::server::ServerConfig;

use super::support::chatter::{Chatter, Next, environment};
use super::support::process::ServerProcess;
use super::support::raw::{Raw, encode};
use super::support::{DEADLINE, ephemeral, start, start_with, target, wait_for_clients};

#[test]
fn accepted_messages_reach_all_clients() {
    const MESSAGES: usize = 2_000;
    // Far more than the windows of HTTP/2 hold: when the drain begins, the late reader's cursor is not at the head.
    let body = |number: usize| format!("{number:01000}");

    let server = start();
    let environment = environment();
    let mut sender = Chatter::join(&environment, &target(&server), "sender");
    let mut live = Chatter::join(&environment, &target(&server), "live");
    let late = Raw::join(&target(&server));
    wait_for_clients(&server, 3);
    // The live reader has the last message, so all were accepted. The late reader has read none yet.
    for number in 0..MESSAGES {
        sender.say(&body(number));
        assert_eq!(live.hear(), body(number));
    }
    let reading = std::thread::spawn(move || late.read_to_end());
    assert_eq!(server.drain(), 0);
    let expected: Vec<_> = (0..MESSAGES).map(|number| encode("sender", &body(number))).collect();
    let (received, trailers) = reading.join().expect("no thread panics");
    assert_eq!(received, expected);
    assert!(trailers.contains("shutting down"), "{trailers:?}");
    for mut client in [sender, live] {
        let (code, message) = client.end();
        assert_eq!(code, grpcio::RpcStatusCode::UNAVAILABLE);
        assert!(message.contains("shutting down"), "{message}");
    }
}

#[test]
fn a_drain_during_posts_leaves_all_receivers_with_the_same_messages() {
    for _ in 0..20 {
        let server = start();
        let environment = environment();
        let mut sender = Chatter::join(&environment, &target(&server), "sender");
        let mut live = Chatter::join(&environment, &target(&server), "live");
        let receivers: Vec<_> = (0..3).map(|_| Raw::join(&target(&server))).collect();
        wait_for_clients(&server, 5);
        let received: Vec<_> = std::thread::scope(|scope| {
            let sending = scope.spawn(|| (0..300).for_each(|number| sender.say(&number.to_string())));
            live.hear();
            let reading: Vec<_> =
                receivers.into_iter().map(|receiver| scope.spawn(move || receiver.read_to_end().0)).collect();
            assert_eq!(server.drain(), 0);
            sending.join().expect("no thread panics");
            reading.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
        });
        let expected: Vec<_> = (0..received[0].len()).map(|number| encode("sender", &number.to_string())).collect();
        assert!(!expected.is_empty());
        for receiver in received {
            assert_eq!(receiver, expected);
        }
    }
}

/// A reader that was at the head, but had not read the messages in flight, got only 2 s, was cut off, and was counted
/// as drained.
#[test]
fn a_reader_that_starts_late_has_the_whole_drain_timeout() {
    let server = start();
    let environment = environment();
    let mut sender = Chatter::join(&environment, &target(&server), "sender");
    let mut live = Chatter::join(&environment, &target(&server), "live");
    let slow = Raw::join(&target(&server));
    wait_for_clients(&server, 3);
    // A little more than a window holds, so that the last message is in flight when the stream stalls.
    let body = |number: usize| format!("{number:010000}");
    for number in 0..7 {
        sender.say(&body(number));
        assert_eq!(live.hear(), body(number));
    }
    let draining = std::thread::spawn(move || server.drain());
    assert_eq!(live.end().0, grpcio::RpcStatusCode::UNAVAILABLE);
    std::thread::sleep(Duration::from_secs(3));
    let (received, trailers) = slow.read_to_end();
    assert_eq!(received, (0..7).map(|number| encode("sender", &body(number))).collect::<Vec<_>>());
    assert!(trailers.contains("shutting down"), "{trailers:?}");
    assert_eq!(draining.join().expect("the drain ends"), 0);
}

#[test]
fn a_reader_that_does_not_read_delays_the_drain_only_until_its_timeout() {
    let server = start_with(ServerConfig { drain_timeout: Duration::from_millis(200), ..ephemeral() });
    let environment = environment();
    let mut sender = Chatter::join(&environment, &target(&server), "sender");
    let mut live = Chatter::join(&environment, &target(&server), "live");
    let _stuck = Raw::join(&target(&server));
    wait_for_clients(&server, 3);
    let body = "x".repeat(10_000);
    for _ in 0..1_000 {
        sender.say(&body);
        assert_eq!(live.hear(), body);
    }
    assert_eq!(server.drain(), 1);
}

#[test]
fn a_signal_drains_and_the_process_exits_with_0() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let mut server = ServerProcess::start(&[]);
        let environment = environment();
        let mut client = Chatter::join(&environment, server.target(), "client");
        let mut other = Chatter::join(&environment, server.target(), "other");
        // This contract confirms a join only by the first message that is received.
        while other.next_within(Duration::from_millis(20)).is_none() {
            client.say("are you there?");
        }
        server.signal(signal);
        let (code, _) = loop {
            if let Next::Ended { code, message } = other.next() {
                break (code, message);
            }
        };
        assert_eq!(code, grpcio::RpcStatusCode::UNAVAILABLE);
        assert_eq!(server.wait().code(), Some(0));
    }
}

/// A server process with one client that does not read, and two that do.
struct WithStuckClient {
    server: ServerProcess,
    sender: Chatter,
    live: Chatter,
    _stuck: Raw,
}

impl WithStuckClient {
    fn start() -> Self {
        let server = ServerProcess::start(&[]);
        let environment = environment();
        let mut sender = Chatter::join(&environment, server.target(), "sender");
        let mut live = Chatter::join(&environment, server.target(), "live");
        let _stuck = Raw::join(server.target());
        while live.next_within(Duration::from_millis(20)).is_none() {
            sender.say("are you there?");
        }
        Self { server, sender, live, _stuck }
    }

    /// Posts more than the windows of the stuck client hold, so that a drain waits for it until the timeout.
    fn fill(&mut self) {
        let body = "x".repeat(10_000);
        let deadline = Instant::now() + DEADLINE;
        for _ in 0..1_000 {
            self.sender.say(&body);
            while self.live.hear() != body {
                assert!(Instant::now() < deadline, "the live client does not get its messages");
            }
        }
    }
}

/// A drain that cut clients off ended with exit code 0.
#[test]
fn a_drain_that_cuts_clients_off_exits_with_1() {
    let mut stuck = WithStuckClient::start();
    stuck.fill();
    let server = &mut stuck.server;
    server.signal(libc::SIGTERM);
    server.wait_for_log("1 clients did not read all messages in time and were cut off");
    assert_eq!(server.wait().code(), Some(1));
}

/// A second signal that arrives at least one second after the first ends the server at once. The server logs how many
/// clients were not drained, which it did not do once.
#[test]
fn a_second_signal_exits_at_once() {
    let mut stuck = WithStuckClient::start();
    stuck.fill();
    let server = &mut stuck.server;
    server.signal(libc::SIGTERM);
    server.wait_for_log("draining");
    std::thread::sleep(hubbub::limits::SECOND_SIGNAL_AFTER);
    server.signal(libc::SIGTERM);
    server.wait_for_log("SIGTERM: exiting at once; 1 clients were not drained");
    assert_eq!(server.wait().code(), Some(1));
}
