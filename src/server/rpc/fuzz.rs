//! The decoders of requests, for [`crate::fuzz`].

use protobuf::Message;

use super::guard::frames::{Frame, Frames};
use super::tutorial::said;
use crate::limits::{BODY_BYTES_MAX, COMMANDS_MAX, NAME_CHARS_MAX};
use crate::names::RoomName;
use crate::server::delivery::close::CloseReason;
use crate::server::session::chat::{Command, decode};
use crate::wire::answer::Failed;
use crate::wire::request::CheckedPost;
use crate::wire::tutorial::FromClient;
use crate::wire::v1;

/// The same frames are found, however the bytes are cut.
pub fn frames(input: &[u8]) {
    let Some((cut, bytes)) = input.split_first() else { return };
    let find = |pieces: &[&[u8]]| {
        let (mut frames, mut found) = (Frames::at_preface(), Vec::<Frame>::new());
        for mut piece in pieces.iter().copied() {
            found.extend(std::iter::from_fn(|| frames.next(&mut piece)));
            assert!(piece.is_empty());
        }
        found
    };
    let whole = find(&[bytes]);
    assert_eq!(find(&bytes.chunks(usize::from(*cut).max(1)).collect::<Vec<_>>()), whole);
    let length: usize = whole.iter().rev().skip(1).map(|frame| 9 + frame.length as usize).sum();
    assert!(length <= bytes.len());
}

pub fn frame_seeds() -> Vec<Vec<u8>> {
    let mut bytes = vec![5];
    bytes.extend(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    bytes.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    bytes.extend([0, 0, 2, 1, 4, 0, 0, 0, 1, 0x82, 0x84]);
    bytes.extend([0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 8]);
    vec![bytes]
}

/// Commands are bounded in number and in what they quote.
pub fn commands(input: &[u8]) {
    let request = v1::ChatRequest::parse_from_bytes(input);
    let Ok(commands) = decode::commands(input.to_vec()) else { return };
    let commands: Vec<_> = commands.collect();
    assert!(commands.len() <= COMMANDS_MAX);
    // They are what the library decodes at once.
    if let Ok(request) = &request {
        assert!(commands.len() == request.commands.len());
    }
    let is_decoded = |command: &Result<Command, CloseReason>| !matches!(command, Err(CloseReason::Undecodable(_)));
    assert!(request.is_ok() == commands.iter().all(is_decoded));
    let is_short = |text: &str| text.chars().count() <= NAME_CHARS_MAX;
    for command in commands.into_iter().flatten() {
        assert!(match &command {
            Command::Hello { client_version, .. } => is_short(client_version),
            // It has no form of its own on the wire.
            Command::Listen => false,
            Command::Join { room, .. } => is_short(room.as_str()),
            Command::Leave { room } => is_short(room),
            Command::Renew { .. } => true,
            Command::Post { room, post } => is_short(room) && post.body.as_str().len() <= BODY_BYTES_MAX,
            Command::Refused(refusal) => match &refusal.command {
                Failed::Post(id) => id.len() <= 16,
                Failed::Room(room) => is_short(room),
                Failed::Unknown => true,
            },
        });
    }
}

pub fn command_seeds() -> Vec<Vec<u8>> {
    use v1::command::Command as Wire;
    let after = v1::join::From::After(v1::Position { seq: 7, epoch: 9, ..Default::default() });
    let room = || "tea".to_owned();
    let commands = [
        Wire::Hello(v1::Hello { name: "ann".to_owned(), client_version: "x/1".to_owned(), ..Default::default() }),
        Wire::Join(v1::Join { room: room(), from: Some(after), ..Default::default() }),
        Wire::Join(v1::Join { room: room(), from: Some(v1::join::From::Last(3)), ..Default::default() }),
        Wire::Post(v1::Post { room: room(), message_id: vec![7; 16], body: "hi".to_owned(), ..Default::default() }),
        Wire::Leave(v1::Leave { room: room(), ..Default::default() }),
    ];
    let commands = commands.map(|command| v1::Command { command: Some(command), ..Default::default() });
    vec![encode(&v1::ChatRequest { commands: commands.to_vec(), ..Default::default() })]
}

/// Whatever a console sends has a valid name and valid bodies, or ends its stream.
pub fn tutorial(input: &[u8]) {
    let Ok(message) = FromClient::parse_from_bytes(input) else { return };
    let bytes = message.body.len();
    if let Ok(said) = said(message) {
        assert!(said.bodies.iter().all(|body| body.as_str().len() <= BODY_BYTES_MAX));
        // A character of one byte may become U+FFFD, which has three.
        assert!(said.bodies.iter().map(|body| body.as_str().len()).sum::<usize>() <= 3 * bytes);
    }
}

pub fn tutorial_seeds() -> Vec<Vec<u8>> {
    let message = |name: &str, body: &str| {
        encode(&FromClient { name: name.to_owned(), body: body.to_owned(), ..Default::default() })
    };
    vec![message("ann\r", "hello\r\n"), message("", "\u{1b}[2J\u{2066}x")]
}

/// The first byte selects the call.
pub fn calls(input: &[u8]) {
    let Some((call, bytes)) = input.split_first() else { return };
    match call % 4 {
        0 => {
            let Ok(request) = v1::PostMessageRequest::parse_from_bytes(bytes) else { return };
            let _ = RoomName::new(&request.room);
            let v1::PostMessageRequest { message_id, body, kind, reply_to_seq, mentions, .. } = request;
            let _ = CheckedPost::new(&message_id, body, kind, reply_to_seq, mentions);
        }
        1 => drop(v1::ListMessagesRequest::parse_from_bytes(bytes)),
        2 => drop(v1::ListRoomsRequest::parse_from_bytes(bytes)),
        _ => drop(v1::ListMembersRequest::parse_from_bytes(bytes)),
    }
}

pub fn call_seeds() -> Vec<Vec<u8>> {
    let (room, body) = ("tea".to_owned(), "hi".to_owned());
    let post = v1::PostMessageRequest { room: room.clone(), body, message_id: vec![7; 16], ..Default::default() };
    let messages = v1::ListMessagesRequest { room, page_size: 3, ..Default::default() };
    vec![[vec![0], encode(&post)].concat(), [vec![1], encode(&messages)].concat()]
}

fn encode(message: &impl Message) -> Vec<u8> {
    message.write_to_bytes().expect("encoding into memory succeeds")
}
