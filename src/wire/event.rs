//! How the events of `hubbub.v1` are encoded: by hand, because every message is encoded here, and because a message is
//! encoded in two steps: its content when it is received ([`content`]), its envelope when the log has assigned its seq
//! ([`push`]).
//!
//! An entry is one event as the field `events` of a `ChatResponse`. The encoding of a repeated field is the encodings
//! of its elements joined, so any run of entries, and any runs joined, are a valid `ChatResponse`; the same bytes are
//! stored, sent live and sent as history. Entries in the log are canonical: fields in order, each once, none empty.

use protobuf::Message as _;
use thiserror::Error;

use super::v1;
use crate::limits::MENTIONS_MAX;
use crate::names::{Body, ClientId, Kind, Mentions, MessageId, RoomId, Sender, Seq};

/// `ChatResponse.events`, and the first field of `Message`: field 1, length-delimited.
const EVENTS: u8 = 0x0a;
/// `Event.room_id`, `seq` and `time_ms`: fields 1 to 3, varints.
const ROOM_ID: u8 = 0x08;
const SEQ: u8 = 0x10;
const TIME_MS: u8 = 0x18;
/// `Message.message_id`, `sender` and `body`: fields 1 to 3, length-delimited.
const MESSAGE_ID: u8 = 0x0a;
const SENDER: u8 = 0x12;
const BODY: u8 = 0x1a;
/// `Message.kind`: field 4, a varint.
const KIND: u8 = 0x20;
/// `Message.reply_to_seq`: field 5, a varint; `mentions`: field 6, length-delimited, repeated.
const REPLY_TO: u8 = 0x28;
const MENTIONS: u8 = 0x32;
/// `Message.changed_seq`, `edited_seq` and `edited_ms`: fields 7 to 9, varints.
const CHANGED: u8 = 0x38;
const EDITED: u8 = 0x40;
const EDITED_MS: u8 = 0x48;
/// `Message.deleted_by` and `reactions`: fields 10 and 11, length-delimited; the second is repeated.
const DELETED_BY: u8 = 0x52;
const REACTIONS: u8 = 0x5a;
/// `Message.client_id`: field 12, a varint.
const CLIENT_ID: u8 = 0x60;
/// `Message.authenticated`: field 13, a varint.
const AUTHENTICATED: u8 = 0x68;

/// `message_seq` of the events that change a message: field 1, a varint.
const MESSAGE_SEQ: u8 = 0x08;

/// The maximum number of bytes that [`content`] adds to the sender's name, the body and the mentions: the id, two lengths
/// of at most three bytes each with its tag, the kind, a seq with its tag, a client id of eight bytes with its tag, and
/// the mark of a login.
const CONTENT_BYTES_AROUND: usize = 18 + 2 * (1 + 3) + 2 + (1 + 10) + (1 + 8) + 2;

/// The highest number of a field of `Event` that is not in the log, besides `message`: `goodbye`. Later fields are those of
/// changes, and those that are newer than this program.
const CONTROL_FIELDS_LAST: u64 = 13;

/// The maximum number of bytes that an entry has around its content: four tags of one byte and one of five, three
/// varints of ten bytes at most, and two lengths of three.
pub const ENVELOPE_BYTES_MAX: usize = 9 + 30 + 6;

/// The bytes of an entry are invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the bytes at offset {0} are not an event of the log")]
pub struct Malformed(pub usize);

/// The kind of an entry of the log: the number of the field of `Event` that holds its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryKind(u32);

impl EntryKind {
    /// `Event.message`.
    pub const MESSAGE: Self = Self(4);
    /// `Event.edited` and so on: the events that change a message, or its room.
    pub const EDITED: Self = Self(14);
    pub const REACTED: Self = Self(15);
    pub const DELETED: Self = Self(16);
    pub const PINNED: Self = Self(17);
    pub const ROOM_CHANGED: Self = Self(18);

    /// Whether the content begins with the seq of the message that the event concerns.
    fn concerns_message(self) -> bool {
        (Self::EDITED.0..=Self::PINNED.0).contains(&self.0)
    }
}

/// An entry of the log, encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    pub room: RoomId,
    pub seq: Seq,
    pub time_ms: u64,
    pub kind: EntryKind,
    /// The encoded content, such as a `Message`. Opaque for a kind that a newer program wrote.
    pub content: &'a [u8],
}

impl<'a> Entry<'a> {
    /// The content of a message. `None` for an entry of another kind, and for one that can't be decoded.
    pub fn message(&self) -> Option<Content<'a>> {
        if self.kind == EntryKind::MESSAGE { read_content(self.content).ok() } else { None }
    }

    /// The message that the event has changed.
    pub fn changed_message(&self) -> Option<Seq> {
        if self.kind.concerns_message() { number(self.content, &mut 0, MESSAGE_SEQ).map(Seq) } else { None }
    }
}

/// The content of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content<'a> {
    pub id: MessageId,
    pub sender: &'a str,
    /// The text; empty if the message was deleted.
    pub body: &'a str,
    pub kind: Kind,
    /// The message that it replies to; [`Seq::ZERO`] for none.
    pub reply_to: Seq,
    /// The newest event that it includes, and the event that set its text; [`Seq::ZERO`] if it never changed.
    pub changed: Seq,
    pub edited: Seq,
    pub is_deleted: bool,
    /// Whether it has fields that only the generated code reads: mentions, reactions, or who deleted it.
    pub has_more: bool,
    /// The client that posted it, if known: not for a call, nor for messages that were stored before client ids
    /// existed.
    pub client: Option<ClientId>,
    /// Whether the sender had logged in.
    pub authenticated: bool,
}

impl Content<'_> {
    /// Whether it is a plain message, as nearly all are: no reply, no mentions, and never changed.
    pub fn is_plain(&self) -> bool {
        !self.has_more && self.reply_to == Seq::ZERO && self.changed == Seq::ZERO
    }
}

/// A message that was not posted yet.
#[derive(Clone, Copy, Debug)]
pub struct NewMessage<'a> {
    pub id: &'a MessageId,
    pub sender: &'a Sender,
    pub client: Option<ClientId>,
    pub body: &'a Body,
    pub kind: Kind,
    /// The message that it replies to; [`Seq::ZERO`] for none.
    pub reply_to: Seq,
    pub mentions: &'a Mentions,
}

impl<'a> NewMessage<'a> {
    /// A message that replies to none and mentions nobody.
    pub fn plain(id: &'a MessageId, sender: &'a Sender, client: Option<ClientId>, body: &'a Body, kind: Kind) -> Self {
        Self { id, sender, client, body, kind, reply_to: Seq::ZERO, mentions: Mentions::NONE }
    }
}

/// Encodes a message's content: a `Message`.
pub fn content(message: &NewMessage<'_>) -> Vec<u8> {
    let NewMessage { id, sender: Sender { name, authenticated }, client, body, kind, reply_to, mentions } = *message;
    let (sender, body) = (name.as_str().as_bytes(), body.as_str().as_bytes());
    let mentioned = if mentions.is_empty() { 0 } else { mentions.bytes() + MENTIONS_MAX * (1 + 2) };
    let mut bytes = Vec::with_capacity(CONTENT_BYTES_AROUND + sender.len() + body.len() + mentioned);
    push_field(&mut bytes, MESSAGE_ID, id.as_bytes());
    push_field(&mut bytes, SENDER, sender);
    push_field(&mut bytes, BODY, body);
    if kind == Kind::Action {
        bytes.extend([KIND, v1::Kind::KIND_ACTION as u8]);
    }
    if reply_to != Seq::ZERO {
        bytes.push(REPLY_TO);
        push_varint(&mut bytes, reply_to.0);
    }
    mentions.iter().for_each(|name| push_field(&mut bytes, MENTIONS, name.as_bytes()));
    if let Some(ClientId(client)) = client.filter(|client| client.0 != 0) {
        bytes.push(CLIENT_ID);
        push_varint(&mut bytes, client);
    }
    if *authenticated {
        bytes.extend([AUTHENTICATED, 1]);
    }
    bytes
}

/// Appends an entry.
pub fn push(bytes: &mut Vec<u8>, entry: &Entry<'_>) {
    let mut head = [0; ENVELOPE_BYTES_MAX];
    let mut at = 0;
    for (tag, value) in [(ROOM_ID, entry.room.0), (SEQ, entry.seq.0), (TIME_MS, entry.time_ms)] {
        head[at] = tag;
        at += 1 + put_varint(&mut head[at + 1..], value);
    }
    at += put_varint(&mut head[at..], key(entry.kind));
    at += put_varint(&mut head[at..], entry.content.len() as u64);
    bytes.push(EVENTS);
    push_varint(bytes, (at + entry.content.len()) as u64);
    bytes.extend_from_slice(&head[..at]);
    bytes.extend_from_slice(entry.content);
}

/// Encodes an event that is not in the log as an entry.
pub fn control(event: &v1::Event) -> Vec<u8> {
    // Invariant: writing into a vector can't fail, and all fields are bounded far below protobuf's 2 GiB.
    let encoded = event.write_to_bytes().expect("encoding into memory succeeds");
    let mut bytes = Vec::with_capacity(encoded.len() + 6);
    push_field(&mut bytes, EVENTS, &encoded);
    bytes
}

/// The entries of a run of the log's messages, each with the offset at which it ends.
pub fn entries(bytes: &[u8]) -> Entries<'_> {
    Entries { bytes, at: 0 }
}

pub struct Entries<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<(Entry<'a>, usize), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at == self.bytes.len() {
            return None;
        }
        let start = self.at;
        match read_entry(self.bytes, start) {
            Some((entry, end)) => {
                self.at = end;
                Some(Ok((entry, end)))
            }
            None => {
                // The rest can't be separated from the invalid part.
                self.at = self.bytes.len();
                Some(Err(Malformed(start)))
            }
        }
    }
}

/// Reads the content of a message.
pub fn read_content(bytes: &[u8]) -> Result<Content<'_>, Malformed> {
    let read = || {
        let mut at = 0;
        let id = MessageId::from_bytes(field(bytes, &mut at, MESSAGE_ID)?.try_into().ok()?);
        let sender = std::str::from_utf8(field(bytes, &mut at, SENDER)?).ok()?;
        let mut content = Content {
            id,
            sender,
            body: "",
            kind: Kind::Text,
            reply_to: Seq::ZERO,
            changed: Seq::ZERO,
            edited: Seq::ZERO,
            is_deleted: false,
            has_more: false,
            client: None,
            authenticated: false,
        };
        let mut last_tag = SENDER;
        while let Some(&tag) = bytes.get(at) {
            let may_repeat = matches!(tag, MENTIONS | REACTIONS);
            if tag < last_tag || (tag == last_tag && !may_repeat) {
                return None;
            }
            last_tag = tag;
            match tag {
                BODY => content.body = std::str::from_utf8(field(bytes, &mut at, tag)?).ok()?,
                MENTIONS | REACTIONS | DELETED_BY => {
                    field(bytes, &mut at, tag)?;
                    content.has_more = true;
                    content.is_deleted |= tag == DELETED_BY;
                }
                _ => {
                    let value = number(bytes, &mut at, tag).filter(|value| *value > 0)?;
                    match tag {
                        KIND if value == v1::Kind::KIND_ACTION as u64 => content.kind = Kind::Action,
                        REPLY_TO => content.reply_to = Seq(value),
                        CHANGED => content.changed = Seq(value),
                        EDITED => content.edited = Seq(value),
                        EDITED_MS => {}
                        CLIENT_ID => content.client = Some(ClientId(value)),
                        AUTHENTICATED if value == 1 => content.authenticated = true,
                        _ => return None,
                    }
                }
            }
        }
        // A message has no text if and only if it was deleted.
        (content.body.is_empty() == content.is_deleted).then_some(content)
    };
    read().ok_or(Malformed(0))
}

fn read_entry(bytes: &[u8], start: usize) -> Option<(Entry<'_>, usize)> {
    let mut end = start;
    let event = field(bytes, &mut end, EVENTS)?;
    let mut at = 0;
    let room = RoomId(number(event, &mut at, ROOM_ID)?);
    let seq = Seq(number(event, &mut at, SEQ)?);
    let time_ms = number(event, &mut at, TIME_MS)?;
    let (kind, content) = kind_and_content(event, &mut at)?;
    (at == event.len()).then_some((Entry { room, seq, time_ms, kind, content }, end))
}

/// Reads a length-delimited field: a message, a change, or one of a number above all known ones.
fn kind_and_content<'a>(event: &'a [u8], at: &mut usize) -> Option<(EntryKind, &'a [u8])> {
    let found = varint(event, at)?;
    let kind = EntryKind(u32::try_from(found >> 3).ok()?);
    let len = usize::try_from(varint(event, at)?).ok()?;
    let content = event.get(*at..at.checked_add(len)?)?;
    *at += len;
    let is_valid = match kind {
        EntryKind::MESSAGE => !content.is_empty(),
        EntryKind(number) => u64::from(number) > CONTROL_FIELDS_LAST && number < 1 << 29,
    };
    (found == key(kind) && is_valid).then_some((kind, content))
}

/// The key of a kind's field on the wire: its number, and that it is length-delimited.
fn key(kind: EntryKind) -> u64 {
    u64::from(kind.0) << 3 | 2
}

fn push_field(bytes: &mut Vec<u8>, tag: u8, value: &[u8]) {
    bytes.push(tag);
    push_varint(bytes, value.len() as u64);
    bytes.extend_from_slice(value);
}

fn push_varint(bytes: &mut Vec<u8>, value: u64) {
    let mut varint = [0; 10];
    let len = put_varint(&mut varint, value);
    bytes.extend_from_slice(&varint[..len]);
}

/// Writes a varint, and returns its length.
fn put_varint(bytes: &mut [u8], mut value: u64) -> usize {
    let mut at = 0;
    while value >= 0x80 {
        bytes[at] = value as u8 | 0x80;
        value >>= 7;
        at += 1;
    }
    bytes[at] = value as u8;
    at + 1
}

fn field<'a>(bytes: &'a [u8], at: &mut usize, tag: u8) -> Option<&'a [u8]> {
    let len = usize::try_from(number(bytes, at, tag)?).ok()?;
    let value = bytes.get(*at..at.checked_add(len)?)?;
    *at += len;
    Some(value)
}

/// Reads a tag and the varint that follows it.
fn number(bytes: &[u8], at: &mut usize, tag: u8) -> Option<u64> {
    if *bytes.get(*at)? != tag {
        return None;
    }
    *at += 1;
    varint(bytes, at)
}

fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::names::UserName;

    /// The client of the message with this index. Every other message has none.
    fn client_of(index: usize) -> Option<ClientId> {
        (index % 2 == 1).then_some(ClientId(index as u64 * 0x1234_5678_9abc))
    }

    /// Whether the sender of the message with this index had logged in.
    fn is_user(index: usize) -> bool {
        index % 4 >= 2
    }

    fn encode(room: RoomId, first: u64, time_ms: u64, bodies: &[String]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (index, body) in bodies.iter().enumerate() {
            let kind = if index % 3 == 2 { Kind::Action } else { Kind::Text };
            let id = MessageId::from_bytes([index as u8 + 1; 16]);
            let name = UserName::new("änn").unwrap();
            let (sender, body) = (Sender { name, authenticated: is_user(index) }, Body::new(body.as_str()).unwrap());
            let content = content(&NewMessage::plain(&id, &sender, client_of(index), &body, kind));
            push(
                &mut bytes,
                &Entry { room, seq: Seq(first + index as u64), time_ms, kind: EntryKind::MESSAGE, content: &content },
            );
        }
        bytes
    }

    proptest! {
        /// The generated code and ours decode the hand-written encoding to the same messages.
        #[test]
        fn encoded_entries_are_a_response(
            room in 1..u64::MAX, first in 1..u64::MAX / 2, time_ms in 1..u64::MAX,
            bodies in proptest::collection::vec("[a-zé]{1,300}", 1..9),
        ) {
            let bytes = encode(RoomId(room), first, time_ms, &bodies);
            let response = v1::ChatResponse::parse_from_bytes(&bytes).unwrap();
            prop_assert_eq!(response.write_to_bytes().unwrap(), bytes.clone());
            prop_assert_eq!(response.events.len(), bodies.len());
            let mut last_end = 0;
            for (index, (event, entry)) in response.events.iter().zip(entries(&bytes)).enumerate() {
                let (entry, end) = entry.unwrap();
                let read = read_content(entry.content).unwrap();
                prop_assert_eq!((event.room_id, event.seq, event.time_ms), (room, first + index as u64, time_ms));
                prop_assert_eq!((entry.room.0, entry.seq.0, entry.time_ms), (room, first + index as u64, time_ms));
                prop_assert_eq!(event.message().body.as_str(), bodies[index].as_str());
                prop_assert_eq!((read.sender, read.body), ("änn", bodies[index].as_str()));
                prop_assert_eq!(read.id.as_bytes().as_slice(), event.message().message_id.as_slice());
                let action = event.message().kind.enum_value() == Ok(v1::Kind::KIND_ACTION);
                prop_assert_eq!(read.kind == Kind::Action, action);
                prop_assert_eq!(read.client, client_of(index));
                prop_assert_eq!((read.authenticated, event.message().authenticated), (is_user(index), is_user(index)));
                prop_assert_eq!(event.message().client_id, client_of(index).map_or(0, |client| client.0));
                prop_assert!(end > last_end);
                last_end = end;
            }
            prop_assert_eq!(last_end, bytes.len());
        }

        /// Any bytes of a damaged file are either read or refused, without a panic.
        #[test]
        fn broken_bytes_are_refused(cut in 0..200usize, flip in 0..200usize, bit in 0..8u8) {
            let mut bytes = encode(RoomId(3), 9, 1_700_000_000_000, &["hello".to_owned(), "there".to_owned()]);
            let at = flip % bytes.len();
            bytes[at] ^= 1 << bit;
            bytes.truncate(bytes.len() - cut % bytes.len());
            for entry in entries(&bytes).flatten() {
                let _ = read_content(entry.0.content);
            }
        }
    }

    /// An entry that a newer program wrote was mistaken for damage.
    #[test]
    fn an_event_of_an_unknown_kind_is_an_entry() {
        for (field, is_entry) in [(14, true), (100, true), (5, false), (13, false)] {
            let mut event = vec![ROOM_ID, 3, SEQ, 9, TIME_MS, 1];
            push_varint(&mut event, field << 3 | 2);
            event.extend([4, b'w', b'h', b'a', b't']);
            let mut bytes = Vec::new();
            push_field(&mut bytes, EVENTS, &event);
            let entry = entries(&bytes).next().unwrap();
            assert_eq!(entry.is_ok(), is_entry, "field {field}");
            if let Ok((entry, end)) = entry {
                assert_eq!((entry.seq, entry.message(), end), (Seq(9), None, bytes.len()));
            }
            assert!(entries(&bytes[..bytes.len() - 1]).next().unwrap().is_err());
        }
    }

    #[test]
    fn truncated_entries_are_refused() {
        let bytes = encode(RoomId(3), 9, 1, &["hello".to_owned()]);
        assert_eq!(entries(&bytes[..bytes.len() - 1]).next(), Some(Err(Malformed(0))));
        assert_eq!(entries(&[]).next(), None);
    }
}
