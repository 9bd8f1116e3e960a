//! A reader that stops reading does not affect other clients, and misses no message.

use hubbub::server::{Server, ServerConfig, Storage};

use super::support::chatter::{Chatter, environment};
use super::support::raw::{Raw, encode};
use super::support::{ephemeral, start, start_with, target, wait_for_clients};

/// Far more than the windows of HTTP/2 and the room's tail hold together, so that most messages must be read from the
/// log.
const MESSAGES: usize = 4_000;
const BODY_BYTES: usize = 1_000;

fn body(number: usize) -> String {
    format!("{number:0width$}", width = BODY_BYTES)
}

/// Sends all messages to a live reader and one that does not read. The live one gets each message at once.
fn talk_past_a_slow_reader(server: &Server) -> (Chatter, Chatter, Raw) {
    let environment = environment();
    let mut sender = Chatter::join(&environment, &target(server), "sender");
    let slow = Raw::join(&target(server));
    let mut live = Chatter::join(&environment, &target(server), "live");
    wait_for_clients(server, 3);
    for number in 0..MESSAGES {
        sender.say(&body(number));
        assert_eq!(live.hear(), body(number));
    }
    (sender, live, slow)
}

#[test]
fn a_slow_reader_gets_everything_later() {
    let server = start();
    let (mut sender, mut live, mut slow) = talk_past_a_slow_reader(&server);
    let expected: Vec<_> = (0..MESSAGES).map(|number| encode("sender", &body(number))).collect();
    assert_eq!(slow.read_messages(MESSAGES), expected);
    // The slow reader follows live again.
    sender.say("now");
    assert_eq!(slow.read_messages(1), [encode("sender", "now")]);
    assert_eq!(live.hear(), "now");
}

#[test]
fn a_reader_too_far_behind_gets_the_reason() {
    let server = start_with(ServerConfig { storage: Storage::Memory { bytes_max: 100_000 }, ..ephemeral() });
    let (_sender, _live, slow) = talk_past_a_slow_reader(&server);
    // It gets the first messages without a hole, and then the reason why its stream ends.
    let (received, trailers) = slow.read_to_end();
    assert!(received.len() < MESSAGES);
    let expected: Vec<_> = (0..received.len()).map(|number| encode("sender", &body(number))).collect();
    assert_eq!(received, expected);
    assert!(trailers.contains("too far behind"), "{trailers:?}");
    wait_for_clients(&server, 2);
}
