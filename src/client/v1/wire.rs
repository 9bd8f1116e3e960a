//! The client's encoding of `hubbub.v1`: commands are encoded by hand into one buffer, events are read in place.
//!
//! A client that loads a server sends and gets hundreds of thousands of messages a second, so a post needs no
//! allocation beyond its body, and a received message needs none: its texts are slices of the response.

use std::ops::ControlFlow;

use protobuf::{Message as _, UnknownFields};

use super::line::Line;
use super::stored::{Extras, NO_EXTRAS, client, kind, message_id};
use crate::client::connection::Connection;
use crate::client::contract::Contract;
use crate::client::stream::{self, Receiver, Sender, StreamError};
use crate::names::{Kind, RoomName, Seq, UserName};
use crate::wire::event::{Content, entries};
use crate::wire::{self, CHAT_CLIENT, v1};

/// `ChatRequest.commands` and `Command.post`: fields 1 and 4, length-delimited.
const COMMANDS: u8 = 0x0a;
const POST: u8 = 0x22;
/// `Post.room`, `message_id` and `body`: fields 1 to 3, length-delimited; `kind` and `reply_to_seq`: fields 4 and 5,
/// varints; `mentions`: field 6, length-delimited, repeated.
const ROOM: u8 = 0x0a;
const MESSAGE_ID: u8 = 0x12;
const BODY: u8 = 0x1a;
const KIND: u8 = 0x20;
const REPLY_TO: u8 = 0x28;
const MENTIONS: u8 = 0x32;

/// `ChatResponse.events`.
const EVENTS: u32 = 0x0a;

/// The maximum size of a post in a request without its room's name, its body and its mentions, in bytes.
const POST_BYTES_AROUND: usize = 2 * (1 + 3) + 2 + (1 + 2) + 18 + (1 + 3) + 2 + (1 + 10);

/// The maximum size of a mention without its name.
const MENTION_BYTES_AROUND: usize = 1 + 3;

/// A received event.
pub enum Item<'a> {
    Message { room_id: u64, seq: u64, time_ms: u64, content: Content<'a>, extras: &'a Extras },
    Other(v1::Event),
}

/// Opens a stream. Sends nothing yet.
pub fn open(connection: &Connection) -> Result<(Sender, Receiver), StreamError> {
    stream::open(connection, Contract::V1, CHAT_CLIENT.name, None)
}

/// A request with `Hello`. Without a name, the server chooses that of the login.
pub fn hello(name: Option<&UserName>) -> Vec<u8> {
    let hello = v1::Hello {
        name: name.map_or(String::new(), |name| name.as_str().to_owned()),
        client_version: concat!("hubbub/", env!("CARGO_PKG_VERSION")).to_owned(),
        ..Default::default()
    };
    request(v1::command::Command::Hello(hello))
}

/// A request that joins a room.
pub fn join(room: &RoomName, from: Option<v1::join::From>) -> Vec<u8> {
    request(v1::command::Command::Join(v1::Join { room: room.as_str().to_owned(), from, ..Default::default() }))
}

/// A request that leaves a room.
pub fn leave(room: &RoomName) -> Vec<u8> {
    request(v1::command::Command::Leave(v1::Leave { room: room.as_str().to_owned(), ..Default::default() }))
}

fn request(command: v1::command::Command) -> Vec<u8> {
    let command = v1::Command { command: Some(command), ..Default::default() };
    let request = v1::ChatRequest { commands: vec![command], ..Default::default() };
    // Invariant: writing into a vector can't fail, and all fields are bounded far below protobuf's 2 GiB.
    request.write_to_bytes().expect("encoding into memory succeeds")
}

/// How many bytes a post takes in a request, at most.
pub fn post_bytes(room: &RoomName, line: &Line) -> usize {
    let mentions = line.mentions.iter().map(|name| MENTION_BYTES_AROUND + name.len()).sum::<usize>();
    POST_BYTES_AROUND + room.as_str().len() + line.body.as_str().len() + mentions
}

/// Appends a post to a request. The encodings of a repeated field's elements are concatenated.
pub fn push_post(request: &mut Vec<u8>, room: &RoomName, line: &Line) {
    let Line { id, body, kind, reply_to, mentions } = line;
    let (room, body) = (room.as_str().as_bytes(), body.as_str().as_bytes());
    let kind_bytes = if *kind == Kind::Action { 2 } else { 0 };
    let reply_bytes = reply_to.map_or(0, |seq| 1 + varint_bytes(seq));
    let mention_bytes: usize = mentions.iter().map(|name| field_bytes(name.len())).sum();
    let texts = field_bytes(room.len()) + field_bytes(id.as_bytes().len()) + field_bytes(body.len());
    let post = texts + kind_bytes + reply_bytes + mention_bytes;
    request.push(COMMANDS);
    push_varint(request, field_bytes(post) as u64);
    request.push(POST);
    push_varint(request, post as u64);
    for (tag, value) in [(ROOM, room), (MESSAGE_ID, id.as_bytes().as_slice()), (BODY, body)] {
        push_field(request, tag, value);
    }
    if *kind == Kind::Action {
        request.extend([KIND, v1::Kind::KIND_ACTION as u8]);
    }
    if let Some(seq) = reply_to {
        request.push(REPLY_TO);
        push_varint(request, *seq);
    }
    mentions.iter().for_each(|name| push_field(request, MENTIONS, name.as_bytes()));
}

/// Passes the events of a response to `each`, in order, until it breaks.
pub fn read_events<B>(
    bytes: &[u8],
    mut each: impl FnMut(Item<'_>) -> ControlFlow<B>,
) -> Result<ControlFlow<B>, StreamError> {
    let mut at = 0;
    while at < bytes.len() {
        // Stored events are canonical, and are nearly all events.
        let start = at;
        for entry in entries(&bytes[start..]) {
            let Ok((entry, end)) = entry else { break };
            let Some(content) = entry.message() else { break };
            at = start + end;
            let parsed;
            let extras = if content.is_plain() {
                &NO_EXTRAS
            } else {
                parsed = Extras::read(&wire::parse(entry.content).map_err(unreadable)?);
                &parsed
            };
            let (room_id, seq, time_ms) = (entry.room.0, entry.seq.0, entry.time_ms);
            let item = Item::Message { room_id, seq, time_ms, content, extras };
            if let ControlFlow::Break(end) = each(item) {
                return Ok(ControlFlow::Break(end));
            }
        }
        // The library reads everything else, in any order and with unknown fields.
        let mut input = wire::input(&bytes[at..]).map_err(unreadable)?;
        let Some(tag) = input.read_raw_tag_or_eof().map_err(unreadable)? else { break };
        if tag != EVENTS {
            // As the library does, which refuses a group without an end.
            protobuf::rt::read_unknown_or_skip_group(tag, &mut input, &mut UnknownFields::new()).map_err(unreadable)?;
            at += input.pos() as usize;
            continue;
        }
        let event: v1::Event = input.read_message().map_err(unreadable)?;
        at += input.pos() as usize;
        if let ControlFlow::Break(end) = other(event, &mut each)? {
            return Ok(ControlFlow::Break(end));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Passes on an event that was not canonical; a message as a message.
fn other<B>(
    event: v1::Event,
    each: &mut impl FnMut(Item<'_>) -> ControlFlow<B>,
) -> Result<ControlFlow<B>, StreamError> {
    let v1::Event { room_id, seq, time_ms, .. } = event;
    let Some(v1::event::Event::Message(message)) = &event.event else { return Ok(each(Item::Other(event))) };
    let id = message_id(&message.message_id).ok_or_else(|| {
        StreamError::Unreadable(format!("a message id of {} bytes in place of 16", message.message_id.len()))
    })?;
    let content = Content {
        id,
        sender: &message.sender,
        body: &message.body,
        kind: kind(message.kind.enum_value_or_default()),
        reply_to: Seq(message.reply_to_seq),
        changed: Seq(message.changed_seq),
        edited: Seq(message.edited_seq),
        is_deleted: message.deleted_by.is_some(),
        has_more: message.deleted_by.is_some() || !message.mentions.is_empty() || !message.reactions.is_empty(),
        client: client(message.client_id),
        authenticated: message.authenticated,
    };
    Ok(each(Item::Message { room_id, seq, time_ms, content, extras: &Extras::read(message) }))
}

fn unreadable(error: protobuf::Error) -> StreamError {
    StreamError::Unreadable(error.to_string())
}

/// How long a length-delimited field with a tag of one byte is.
fn field_bytes(len: usize) -> usize {
    1 + varint_bytes(len as u64) + len
}

fn varint_bytes(value: u64) -> usize {
    (u64::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize
}

fn push_field(bytes: &mut Vec<u8>, tag: u8, value: &[u8]) {
    bytes.push(tag);
    push_varint(bytes, value.len() as u64);
    bytes.extend_from_slice(value);
}

fn push_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::names::{Body, Mentions, MessageId, RoomId, Sender, Seq};
    use crate::wire::event::{Entry, EntryKind, NewMessage, content, control, push};

    proptest! {
        /// The generated code decodes the posts encoded by hand, and they fit into the announced size.
        #[test]
        fn posts_decode_as_a_request(
            bodies in proptest::collection::vec("[a-zé]{1,300}|x{16000}", 1..9),
            action: bool,
            reply in proptest::option::of(1..u64::MAX),
            mentioned in proptest::collection::vec("[a-zé]{1,64}", 0..20),
        ) {
            let room = RoomName::new("küche").unwrap();
            let kind = if action { Kind::Action } else { Kind::Text };
            let mentions = Mentions::new(mentioned).unwrap();
            let mut request = Vec::new();
            let mut bound = 0;
            for (index, body) in bodies.iter().enumerate() {
                let (id, body) = (MessageId::from_bytes([index as u8 + 1; 16]), Body::new(body.as_str()).unwrap());
                let line = Line { id, body, kind, reply_to: reply, mentions: mentions.clone() };
                bound += post_bytes(&room, &line);
                push_post(&mut request, &room, &line);
            }
            prop_assert!(request.len() <= bound);
            let read = v1::ChatRequest::parse_from_bytes(&request).unwrap();
            prop_assert_eq!(read.commands.len(), bodies.len());
            for (index, (command, body)) in read.commands.iter().zip(&bodies).enumerate() {
                let post = command.post();
                prop_assert_eq!((post.room.as_str(), post.body.as_str()), ("küche", body.as_str()));
                prop_assert_eq!(&post.message_id, &vec![index as u8 + 1; 16]);
                prop_assert_eq!(super::kind(post.kind.enum_value_or_default()), kind);
                prop_assert_eq!(post.reply_to_seq, reply.unwrap_or(0));
                prop_assert!(post.mentions.iter().map(String::as_str).eq(mentions.iter()));
            }
        }

        /// Any bytes from a server are read or refused, without a panic.
        #[test]
        fn broken_responses_are_refused(cut in 0..200usize, flip in 0..200usize, bit in 0..8u8) {
            let mut bytes = response();
            let at = flip % bytes.len();
            bytes[at] ^= 1 << bit;
            bytes.truncate(bytes.len() - cut % bytes.len());
            let _ = read_events::<()>(&bytes, |_| ControlFlow::Continue(()));
        }
    }

    /// A message, a control event, a message with its fields in another order, and an unknown field.
    fn response() -> Vec<u8> {
        let mut bytes = Vec::new();
        let id = MessageId::from_bytes([7; 16]);
        let (ann, bob) = ["ann", "bob"].map(|name| Sender::claim(UserName::new(name).unwrap())).into();
        let (one, two) = (Body::new("one").unwrap(), Body::new("two").unwrap());
        let message = content(&NewMessage::plain(&id, &ann, None, &one, Kind::Text));
        push(
            &mut bytes,
            &Entry { room: RoomId(3), seq: Seq(1), time_ms: 9, kind: EntryKind::MESSAGE, content: &message },
        );
        let welcome = v1::event::Event::Welcome(v1::Welcome { client_id: 5, ..Default::default() });
        bytes.extend(control(&v1::Event { time_ms: 9, event: Some(welcome), ..Default::default() }));
        let message = content(&NewMessage::plain(&id, &bob, client(6), &two, Kind::Action));
        let mut event = vec![0x22, message.len() as u8];
        event.extend(&message);
        event.extend([0x10, 2, 0x08, 3]);
        bytes.extend([COMMANDS, event.len() as u8]);
        bytes.extend(event);
        bytes.extend([0x7a, 1, 0]);
        bytes
    }

    /// A regression, found by the fuzzer: the beginning of a group passed for an end of the response.
    #[test]
    fn a_group_without_an_end_is_refused() {
        let group = [0x0b];
        assert!(read_events::<()>(&group, |_| ControlFlow::Continue(())).is_err());
        assert!(v1::ChatResponse::parse_from_bytes(&group).is_err());
    }

    #[test]
    fn events_of_both_encodings_are_read_in_order() {
        let mut seen = Vec::new();
        let flow = read_events::<()>(&response(), |item| {
            seen.push(match item {
                Item::Message { room_id, seq, content, .. } => {
                    let Content { sender, body, kind, client, .. } = content;
                    format!("{room_id} {seq} {sender}: {body} {kind:?} {:?}", client.map(|client| client.0))
                }
                Item::Other(event) => format!("client {}", event.welcome().client_id),
            });
            ControlFlow::Continue(())
        });
        assert!(matches!(flow, Ok(ControlFlow::Continue(()))));
        assert_eq!(seen, ["3 1 ann: one Text None", "client 5", "3 2 bob: two Action Some(6)"]);
    }
}
