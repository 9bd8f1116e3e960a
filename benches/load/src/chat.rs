//! The parts of `hubbub.v1` (proto/hubbub/v1/chat.proto) that the clients send and receive, without copying.

use crate::message::{Mark, PADDING, Purpose};
use crate::protobuf::{self, Value, bytes_tag, take_bytes, write_bytes};

/// The prefix of the rooms' names; the room's index follows, in this many digits.
const ROOM: &str = "bench-";
const ROOM_DIGITS: usize = 6;
pub const ROOMS_MAX: usize = 100_000;
pub const ID_BYTES: usize = 16;
/// The user of `--token-file`.
const USER: &[u8] = b"load";

/// `ChatRequest.commands`.
const COMMANDS: u8 = 1;
/// The commands: fields of `Command`.
const HELLO: u8 = 1;
const JOIN: u8 = 2;
const POST: u8 = 4;
/// `ChatResponse.events`.
const EVENTS: u8 = 1;
const CLIENT_VERSION: &str = concat!("hubbub-load ", env!("CARGO_PKG_VERSION"));

/// A client's start position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    Head,
    /// The room's first message.
    Start,
}

/// A received event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    pub room_id: u64,
    /// 0 if it is not in the log.
    pub seq: u64,
    pub time_ms: u64,
    pub what: What<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What<'a> {
    Message(Message<'a>),
    Welcome,
    Joined {
        room: &'a [u8],
        head_seq: u64,
    },
    CaughtUp,
    Presence,
    /// An event that a correct client must not get in a room without losses.
    Unwelcome {
        name: &'static str,
        content: &'a [u8],
    },
    /// An unknown event, which clients skip.
    Unknown,
}

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    pub id: &'a [u8],
    pub sender: &'a [u8],
    pub body: &'a [u8],
}

/// A sender's `Post`, encoded once as a command of a request; only its room, its id and its mark change.
pub struct Post {
    bytes: Vec<u8>,
    /// The room of `bytes`, and the position of its name's digits.
    room: usize,
    digits_at: usize,
    id_at: usize,
    body_at: usize,
    sender: u32,
    start_unix_ms: u64,
}

/// The name of a room, whose index is below [`ROOMS_MAX`].
pub fn room_name(room: usize) -> String {
    format!("{ROOM}{room:0ROOM_DIGITS$}")
}

/// The index of a room with one of our names.
pub fn room_index(name: &[u8]) -> Option<usize> {
    let digits = name.strip_prefix(ROOM.as_bytes()).filter(|digits| digits.len() == ROOM_DIGITS)?;
    digits
        .iter()
        .try_fold(0, |index, digit| Some(index * 10 + usize::from(digit.checked_sub(b'0').filter(|n| *n < 10)?)))
}

/// The first command of a client. With an empty name, the server uses that of the login.
pub fn hello(name: &str) -> Vec<u8> {
    command(HELLO, &hello_content(name))
}

pub fn hello_content(name: &str) -> Vec<u8> {
    let mut hello = Vec::new();
    write_bytes(&mut hello, 1, name.as_bytes());
    write_bytes(&mut hello, 2, CLIENT_VERSION.as_bytes());
    hello
}

/// The command that joins a room.
pub fn join(room: usize, from: From) -> Vec<u8> {
    command(JOIN, &join_content(room, from))
}

pub fn join_content(room: usize, from: From) -> Vec<u8> {
    let mut join = Vec::new();
    write_bytes(&mut join, 1, room_name(room).as_bytes());
    if from == From::Start {
        // After seq 0 of any epoch: a position whose fields all have their defaults.
        write_bytes(&mut join, 2, &[]);
    }
    join
}

/// A command as an element of a request; such elements, joined, are a request.
fn command(field: u8, content: &[u8]) -> Vec<u8> {
    let (mut command, mut element) = (Vec::new(), Vec::new());
    write_bytes(&mut command, field, content);
    write_bytes(&mut element, COMMANDS, &command);
    element
}

/// A message's id: a UUID of version 7, as the contract recommends, with the time, the sender and the number.
pub fn message_id(start_unix_ms: u64, sender: u32, seq: u64, sent_ns: u64) -> [u8; ID_BYTES] {
    let mut id = [0; ID_BYTES];
    id[..6].copy_from_slice(&(start_unix_ms + sent_ns / 1_000_000).to_be_bytes()[2..]);
    // The version and the variant.
    id[6] = 0x70;
    id[8] = 0x80;
    id[9..11].copy_from_slice(&(sender as u16).to_be_bytes());
    id[11..].copy_from_slice(&seq.to_be_bytes()[3..]);
    id
}

/// Takes the next entry, an event with its tag and length, from the start of a `ChatResponse`. `None` if it is
/// malformed.
#[inline]
pub fn take_entry<'a>(bytes: &mut &'a [u8]) -> Option<(&'a [u8], Event<'a>)> {
    let whole = *bytes;
    let (&tag, rest) = whole.split_first()?;
    if tag != bytes_tag(EVENTS) {
        return None;
    }
    *bytes = rest;
    let event = Event::read(take_bytes(bytes)?)?;
    Some((&whole[..whole.len() - bytes.len()], event))
}

impl<'a> Event<'a> {
    fn read(bytes: &'a [u8]) -> Option<Event<'a>> {
        let mut event = Event { room_id: 0, seq: 0, time_ms: 0, what: What::Unknown };
        // A field was invalid.
        let mut broken = false;
        protobuf::read(bytes, |field, value| match (field, value) {
            (1, Value::Number(room_id)) => event.room_id = room_id,
            (2, Value::Number(seq)) => event.seq = seq,
            (3, Value::Number(time_ms)) => event.time_ms = time_ms,
            (_, Value::Bytes(content)) => match What::read(field, content) {
                Some(what) => event.what = what,
                None => broken = true,
            },
            _ => {}
        })?;
        (!broken).then_some(event)
    }
}

impl<'a> What<'a> {
    fn read(field: u64, content: &'a [u8]) -> Option<What<'a>> {
        Some(match field {
            4 => What::Message(Message::read(content)?),
            5 => What::Welcome,
            6 => {
                let (mut room, mut head_seq) = (&[][..], 0);
                protobuf::read(content, |field, value| match (field, value) {
                    (1, Value::Bytes(name)) => room = name,
                    (3, Value::Number(number)) => head_seq = number,
                    _ => {}
                })?;
                What::Joined { room, head_seq }
            }
            7 => What::CaughtUp,
            8 => What::Unwelcome { name: "Gap", content },
            9 => What::Presence,
            10 => What::Unwelcome { name: "Posted", content },
            11 => What::Unwelcome { name: "Rejected", content },
            12 => What::Unwelcome { name: "Left", content },
            13 => What::Unwelcome { name: "Goodbye", content },
            _ => What::Unknown,
        })
    }
}

impl<'a> Message<'a> {
    /// Also `None` for a message of another kind than text, which we do not send.
    fn read(content: &'a [u8]) -> Option<Message<'a>> {
        let mut message = Message { id: &[], sender: &[], body: &[] };
        let mut kind = 0;
        protobuf::read(content, |field, value| match (field, value) {
            (1, Value::Bytes(id)) => message.id = id,
            (2, Value::Bytes(sender)) => message.sender = sender,
            (3, Value::Bytes(body)) => message.body = body,
            (4, Value::Number(number)) => kind = number,
            _ => {}
        })?;
        (kind <= 1).then_some(message)
    }

    /// Checks the whole message. `None` if it is not one of ours, or damaged.
    pub fn mark(&self, start_unix_ms: u64, body_bytes: usize) -> Option<Mark> {
        let mark = Mark::read(self.body)?;
        let id = message_id(start_unix_ms, mark.sender, mark.seq, mark.sent_ns);
        let intact = mark.purpose == Purpose::Load
            && self.body.len() == body_bytes
            && self.id == id
            && is_name_of(mark.sender, self.sender);
        intact.then_some(mark)
    }
}

/// Whether `name` is the name of `sender`, or that of the user as whom all clients have logged in.
fn is_name_of(sender: u32, name: &[u8]) -> bool {
    if name == USER {
        return true;
    }
    let digits = name.strip_prefix(b"load-").and_then(|digits| std::str::from_utf8(digits).ok());
    digits.is_some_and(|digits| digits.parse() == Ok(sender) && (digits == "0" || !digits.starts_with(['0', '+'])))
}

impl Post {
    /// `sender` is below [`crate::message::SENDERS_MAX`]; `body_bytes` between the bounds in [`crate::message`].
    pub fn new(sender: u32, body_bytes: usize, start_unix_ms: u64) -> Post {
        let mut post = Vec::with_capacity(body_bytes + 48);
        write_bytes(&mut post, 1, room_name(0).as_bytes());
        let room_end = post.len();
        write_bytes(&mut post, 2, &[0; ID_BYTES]);
        let id_end = post.len();
        write_bytes(&mut post, 3, &vec![PADDING; body_bytes]);
        let bytes = command(POST, &post);
        // The post is the last field of the command, and the body the last of the post.
        let post_at = bytes.len() - post.len();
        let digits_at = post_at + room_end - ROOM_DIGITS;
        let (id_at, body_at) = (post_at + id_end - ID_BYTES, bytes.len() - body_bytes);
        Post { bytes, room: 0, digits_at, id_at, body_at, sender, start_unix_ms }
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The command, for this room, number and time.
    pub fn fill(&mut self, room: usize, seq: u64, sent_ns: u64) -> &[u8] {
        if room != self.room {
            self.bytes[self.digits_at..][..ROOM_DIGITS].copy_from_slice(&room_name(room).as_bytes()[ROOM.len()..]);
            self.room = room;
        }
        let id = message_id(self.start_unix_ms, self.sender, seq, sent_ns);
        self.bytes[self.id_at..][..ID_BYTES].copy_from_slice(&id);
        let mark = Mark { purpose: Purpose::Load, sender: self.sender, seq, sent_ns };
        mark.write(&mut self.bytes[self.body_at..]);
        &self.bytes
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::message::{BODY_BYTES_MAX, BODY_BYTES_MIN, sender_name};
    use crate::protobuf::write_varint;

    pub const START_UNIX_MS: u64 = 1_700_000_000_000;
    pub const BODY_BYTES: usize = 40;

    /// An entry with these fields, as a server encodes it.
    pub fn entry(room_id: u64, seq: u64, time_ms: u64, field: u8, content: &[u8]) -> Vec<u8> {
        let mut event = Vec::new();
        for (tag, value) in [(0x08, room_id), (0x10, seq), (0x18, time_ms)] {
            if value != 0 {
                event.push(tag);
                write_varint(&mut event, value);
            }
        }
        write_bytes(&mut event, field, content);
        let mut entry = Vec::new();
        write_bytes(&mut entry, EVENTS, &event);
        entry
    }

    /// `Joined` for the room with this number and index, whose head is below 128.
    pub fn joined_entry(room_id: u64, room: usize, head_seq: u64) -> Vec<u8> {
        let mut content = Vec::new();
        write_bytes(&mut content, 1, room_name(room).as_bytes());
        content.extend([0x18, head_seq as u8]);
        entry(room_id, 0, 1, 6, &content)
    }

    /// The entry of a message of ours. Its time is its number.
    pub fn message_entry(room_id: u64, seq: u64, sender: u32, number: u64) -> Vec<u8> {
        let mut content = Vec::new();
        write_bytes(&mut content, 1, &message_id(START_UNIX_MS, sender, number, number));
        write_bytes(&mut content, 2, sender_name(sender).as_bytes());
        let mut body = [PADDING; BODY_BYTES];
        Mark { purpose: Purpose::Load, sender, seq: number, sent_ns: number }.write(&mut body);
        write_bytes(&mut content, 3, &body);
        entry(room_id, seq, START_UNIX_MS, 4, &content)
    }

    fn bytes_in(bytes: &[u8], field: u64) -> &[u8] {
        let mut found = None;
        protobuf::read(bytes, |number, value| {
            if let (true, Value::Bytes(bytes)) = (number == field, value) {
                found = Some(bytes);
            }
        });
        found.unwrap()
    }

    #[test]
    fn a_post_is_encoded_as_the_contract_requires() {
        for body_bytes in [BODY_BYTES_MIN, 64, 128, BODY_BYTES_MAX] {
            let mut post = Post::new(515, body_bytes, START_UNIX_MS);
            post.fill(99_999, 0x2b, 3_000_000);
            let command = post.fill(4_321, 0x2a, 3_000_000).to_vec();
            assert_eq!(command.len(), post.len());
            let post = bytes_in(bytes_in(&command, 1), 4);
            assert_eq!(bytes_in(post, 1), b"bench-004321");
            let message = Message { id: bytes_in(post, 2), sender: b"load-515", body: bytes_in(post, 3) };
            let mark = Mark { purpose: Purpose::Load, sender: 515, seq: 0x2a, sent_ns: 3_000_000 };
            assert_eq!(message.mark(START_UNIX_MS, body_bytes), Some(mark));
            assert_eq!(Message { sender: b"load", ..message }.mark(START_UNIX_MS, body_bytes), Some(mark));
            assert_eq!(Message { sender: b"load-51", ..message }.mark(START_UNIX_MS, body_bytes), None);
        }
    }

    #[test]
    fn hello_and_join_are_encoded() {
        assert_eq!(hello("load-7")[4..], *[b"\x0a\x06load-7\x12\x11", CLIENT_VERSION.as_bytes()].concat());
        assert_eq!(join(0, From::Start), b"\x0a\x12\x12\x10\x0a\x0cbench-000000\x12\x00");
        assert_eq!(join(99_999, From::Head), b"\x0a\x10\x12\x0e\x0a\x0cbench-099999");
    }

    #[test]
    fn rooms_are_known_by_their_names() {
        for room in [0, 7, 1_234, ROOMS_MAX - 1] {
            assert_eq!(room_index(room_name(room).as_bytes()), Some(room));
        }
        for name in
            [&b""[..], b"bench-", b"bench-12345", b"bench-1234567", b"bench-00000/", b"bench-+00001", b"hench-000001"]
        {
            assert_eq!(room_index(name), None);
        }
    }

    #[test]
    fn ids_are_uuids_and_all_different() {
        let id = message_id(START_UNIX_MS, 0xabcd, 0x01_0203_0405, 5_000_000);
        assert_eq!(id[..6], (START_UNIX_MS + 5).to_be_bytes()[2..]);
        assert_eq!(id[6..], [0x70, 0, 0x80, 0xab, 0xcd, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn events_are_read() {
        let mut response = message_entry(3, 9, 2, 5);
        let first = response.clone();
        response.extend(entry(3, 0, 1, 6, b"\x0a\x05bench\x11........\x18\x07"));
        response.extend(entry(3, 0, 1, 11, b"\x22\x02no"));
        let mut rest = &response[..];
        let (bytes, event) = take_entry(&mut rest).unwrap();
        assert_eq!((bytes, event.room_id, event.seq, event.time_ms), (&first[..], 3, 9, START_UNIX_MS));
        let What::Message(message) = event.what else { panic!("it is a message") };
        assert_eq!(message.mark(START_UNIX_MS, BODY_BYTES).map(|mark| (mark.sender, mark.seq)), Some((2, 5)));
        assert_eq!(take_entry(&mut rest).unwrap().1.what, What::Joined { room: b"bench", head_seq: 7 });
        let rejected = What::Unwelcome { name: "Rejected", content: b"\x22\x02no" };
        assert_eq!(take_entry(&mut rest).unwrap().1.what, rejected);
        assert!(rest.is_empty());
    }

    #[test]
    fn damage_of_any_byte_is_detected() {
        let intact = message_entry(3, 9, 2, 5);
        let read = |mut bytes: &[u8]| {
            let (_, event) = take_entry(&mut bytes).filter(|_| bytes.is_empty())?;
            let What::Message(message) = event.what else { return None };
            let mark = message.mark(START_UNIX_MS, BODY_BYTES)?;
            Some((event.room_id, event.seq, event.time_ms, mark))
        };
        let expected = read(&intact);
        assert!(expected.is_some());
        for at in 0..intact.len() {
            let mut damaged = intact.clone();
            damaged[at] ^= 0x15;
            assert_ne!(read(&damaged), expected, "byte {at}");
            assert_eq!(read(&intact[..at]), None, "{at} bytes");
        }
    }
}
