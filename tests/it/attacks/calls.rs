//! Floods of calls whose requests keep to the rules of HTTP/2.

use hubbub::limits::RECEIVE_BYTES_MAX;
use hubbub::wire::reflection::ServerReflectionRequest;
use hubbub::wire::v1::{ListMessagesRequest, PostMessageRequest};
use hubbub::wire::{HEALTH_CHECK, HEALTH_WATCH_CLIENT, LIST_MESSAGES, LIST_ROOMS, POST_MESSAGE, REFLECTION_CLIENT};
use protobuf::Message;

use super::flood::{Flood, open};
use crate::support::raw::{DATA, END_STREAM, SETTINGS, frame, prefixed};

const FRAME_BYTES_MAX: usize = 16 * 1024;

/// A unary call with this request.
pub fn call(path: &str, number: u32, request: &[u8]) -> Vec<u8> {
    let (stream, message) = (2 * number + 1, prefixed(0, request));
    let frames = message.chunks(FRAME_BYTES_MAX).map(|part| frame(DATA, 0, stream, part));
    [open(path, number)].into_iter().chain(frames).chain([frame(DATA, END_STREAM, stream, &[])]).flatten().collect()
}

pub fn encode(message: &impl Message) -> Vec<u8> {
    message.write_to_bytes().expect("it can be encoded")
}

/// The initial window of all streams is 0.
pub fn no_window() -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])
}

/// 9,000 such responses took 939 MB.
#[test]
fn responses_that_are_not_read() {
    let request = encode(&ListMessagesRequest { room: "pair".to_owned(), ..Default::default() });
    Flood { opening: &no_window, ..Flood::of(&|number| call(LIST_MESSAGES.name, number, &request)) }
        .attack("unread responses");
}

#[test]
fn lists_without_pause() {
    Flood::of(&|number| call(LIST_ROOMS.name, number, &[])).attack("ListRooms");
}

/// They need no login, and are answered on a poller.
#[test]
fn health_checks_without_pause() {
    Flood::of(&|number| call(HEALTH_CHECK.name, number, &[])).attack("health checks");
}

/// Each stays open.
#[test]
fn watches_without_pause() {
    Flood::of(&|number| call(HEALTH_WATCH_CLIENT.name, number, &[])).attack("watches of the health");
}

/// Each request is answered with 9 KB.
#[test]
fn reflection_that_is_not_read() {
    let mut request = ServerReflectionRequest::new();
    request.set_file_containing_symbol("hubbub.v1.ChatService".to_owned());
    let request = encode(&request);
    Flood { opening: &no_window, ..Flood::of(&|number| call(REFLECTION_CLIENT.name, number, &request)) }
        .attack("reflection");
}

/// A request that is nearly as long as allowed.
pub fn unknown_fields() -> Vec<u8> {
    // Field 1,000, a varint: 3 bytes each.
    let fields: Vec<u8> = [0xc0, 0x3e, 1].repeat((RECEIVE_BYTES_MAX - 1_000) / 3);
    [encode(&PostMessageRequest { room: "garden".to_owned(), ..Default::default() }), fields].concat()
}

/// Each is decoded to 14 MB for a moment.
#[test]
fn requests_of_unknown_fields() {
    let request = unknown_fields();
    Flood::of(&|number| call(POST_MESSAGE.name, number, &request)).attack("requests of unknown fields");
}
