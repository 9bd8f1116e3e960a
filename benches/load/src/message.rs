//! The messages of the tutorial's contract, and the mark that each of ours carries in its body.
//!
//! `FromClient` and `FromServer` have the same fields: `string name = 1; string body = 2`. The body is text of a fixed
//! size: what it is for, its sender, its number and when it was sent, then dots:
//! `L 0007 00000000002a 0000003b9aca ......`.

use crate::grpc::{PREFIX_BYTES, write_prefix};
use crate::http2::frames::{Head, STREAM, kind};

/// The length of a mark without dots.
pub const BODY_BYTES_MIN: usize = 32;
/// So that a message fits into one frame, whatever the server's settings.
pub const BODY_BYTES_MAX: usize = 16_000;
/// So that a sender's index fits into four digits.
pub const SENDERS_MAX: usize = 1 << 16;

const TAG_NAME: u8 = 0x0a;
const TAG_BODY: u8 = 0x12;
const PADDING: u8 = b'.';

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be delivered and counted.
    Load,
    /// To learn who has joined; not part of what is checked.
    Probe,
}

/// What a body says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub purpose: Purpose,
    /// The index of the connection (or, in churn, of the slot) that sent it.
    pub sender: u32,
    /// Which of its sender's messages this is, from 0. Less than 2^48.
    pub seq: u64,
    /// Since the clock started. Less than 2^48, which is three days.
    pub sent_ns: u64,
}

/// A message as it was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChatMessage<'a> {
    pub name: &'a [u8],
    pub body: &'a [u8],
}

/// A sender's message, framed and encoded once; sending it copies it and fills in the mark.
pub struct Template {
    bytes: Vec<u8>,
    body_at: usize,
    sender: u32,
}

impl Mark {
    fn write(&self, body: &mut [u8]) {
        body[0] = match self.purpose {
            Purpose::Load => b'L',
            Purpose::Probe => b'P',
        };
        body[1] = b' ';
        write_hex(&mut body[2..6], self.sender.into());
        body[6] = b' ';
        write_hex(&mut body[7..19], self.seq);
        body[19] = b' ';
        write_hex(&mut body[20..32], self.sent_ns);
    }

    /// Reads a body, every byte of it: `None` if it is not as one of ours should be.
    pub fn read(body: &[u8]) -> Option<Mark> {
        let (mark, padding) = body.split_at_checked(BODY_BYTES_MIN)?;
        let purpose = match mark[0] {
            b'L' => Purpose::Load,
            b'P' => Purpose::Probe,
            _ => return None,
        };
        let spaced = [mark[1], mark[6], mark[19]] == [b' '; 3];
        if !spaced || padding.iter().any(|byte| *byte != PADDING) {
            return None;
        }
        Some(Mark {
            purpose,
            sender: read_hex(&mark[2..6])? as u32,
            seq: read_hex(&mark[7..19])?,
            sent_ns: read_hex(&mark[20..32])?,
        })
    }
}

impl<'a> ChatMessage<'a> {
    /// Decodes a `FromServer`: fields in any order, unknown ones skipped. `None` if it is not valid protobuf.
    pub fn read(mut bytes: &'a [u8]) -> Option<ChatMessage<'a>> {
        let mut message = ChatMessage { name: &[], body: &[] };
        while !bytes.is_empty() {
            let key = take_varint(&mut bytes)?;
            match key & 7 {
                0 => drop(take_varint(&mut bytes)?),
                1 => drop(take(&mut bytes, 8)?),
                5 => drop(take(&mut bytes, 4)?),
                2 => {
                    let length = usize::try_from(take_varint(&mut bytes)?).ok()?;
                    let value = take(&mut bytes, length)?;
                    match key >> 3 {
                        1 => message.name = value,
                        2 => message.body = value,
                        _ => {}
                    }
                }
                _ => return None,
            }
        }
        Some(message)
    }
}

impl Template {
    /// `sender` is below [`SENDERS_MAX`], `body_bytes` between [`BODY_BYTES_MIN`] and [`BODY_BYTES_MAX`].
    pub fn new(sender: u32, body_bytes: usize) -> Template {
        let name = sender_name(sender);
        let mut message = Vec::with_capacity(body_bytes + 32);
        message.push(TAG_NAME);
        write_varint(&mut message, name.len());
        message.extend_from_slice(name.as_bytes());
        message.push(TAG_BODY);
        write_varint(&mut message, body_bytes);
        let body_in_message = message.len();
        message.resize(body_in_message + body_bytes, PADDING);

        let mut bytes = Vec::with_capacity(message.len() + 16);
        Head { length: PREFIX_BYTES + message.len(), kind: kind::DATA, flags: 0, stream: STREAM }.write(&mut bytes);
        write_prefix(&mut bytes, message.len());
        let body_at = bytes.len() + body_in_message;
        bytes.extend_from_slice(&message);
        Template { bytes, body_at, sender }
    }

    /// The bytes that a message takes from the send windows.
    pub fn window_bytes(&self) -> i64 {
        (self.bytes.len() - crate::http2::frames::HEAD_BYTES) as i64
    }

    /// Writes the message as one DATA frame.
    pub fn write(&self, out: &mut Vec<u8>, purpose: Purpose, seq: u64, sent_ns: u64) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        Mark { purpose, sender: self.sender, seq, sent_ns }.write(&mut out[start + self.body_at..]);
    }
}

/// The name under which a connection sends.
pub fn sender_name(sender: u32) -> String {
    format!("load-{sender}")
}

fn write_hex(digits: &mut [u8], mut value: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(value & 15) as usize];
        value >>= 4;
    }
}

fn read_hex(digits: &[u8]) -> Option<u64> {
    let mut value = 0;
    for digit in digits {
        let nibble = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        value = value << 4 | u64::from(nibble);
    }
    Some(value)
}

fn write_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http2::frames::HEAD_BYTES;

    #[test]
    fn what_is_written_reads_back() {
        for body_bytes in [BODY_BYTES_MIN, 64, 127, 128, BODY_BYTES_MAX] {
            let template = Template::new(4_242, body_bytes);
            let mut out = Vec::new();
            template.write(&mut out, Purpose::Load, 7, 1_000_000_007);
            let head = Head::parse(out[..HEAD_BYTES].try_into().unwrap());
            assert_eq!((head.length, head.length as i64), (out.len() - HEAD_BYTES, template.window_bytes()));
            let message = ChatMessage::read(&out[HEAD_BYTES + PREFIX_BYTES..]).unwrap();
            assert_eq!((message.name, message.body.len()), (&b"load-4242"[..], body_bytes));
            let mark = Mark { purpose: Purpose::Load, sender: 4_242, seq: 7, sent_ns: 1_000_000_007 };
            assert_eq!(Mark::read(message.body), Some(mark));
        }
    }

    #[test]
    fn the_encoding_is_the_contracts() {
        let mut out = Vec::new();
        Template::new(1, 34).write(&mut out, Purpose::Probe, 0x2a, 0xff);
        let expected = b"\x0a\x06load-1\x12\x22P 0001 00000000002a 0000000000ff..";
        assert_eq!(&out[HEAD_BYTES + PREFIX_BYTES..], expected);
    }

    #[test]
    fn unknown_fields_and_other_orders_are_read() {
        let bytes = b"\x12\x01b\x18\x96\x01\x0a\x01a\x25....\x31........\x3a\x02no";
        assert_eq!(ChatMessage::read(bytes), Some(ChatMessage { name: b"a", body: b"b" }));
    }

    #[test]
    fn what_is_cut_short_is_refused_and_nothing_panics() {
        let bytes = b"\x0a\x06load-1\x12\x04body\x18\x96\x01";
        for length in 0..bytes.len() {
            let whole_fields = [0, 8, 14].contains(&length);
            assert_eq!(ChatMessage::read(&bytes[..length]).is_some(), whole_fields, "{length} bytes");
        }
        assert_eq!(ChatMessage::read(&[0xff; 20]), None);
        assert_eq!(ChatMessage::read(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), None);
    }

    #[test]
    fn a_damaged_body_is_refused() {
        let body = b"L 0001 00000000002a 0000000000ff..";
        assert!(Mark::read(body).is_some());
        for at in 0..body.len() {
            let mut damaged = *body;
            damaged[at] = b'#';
            assert_eq!(Mark::read(&damaged), None, "byte {at}");
        }
    }
}
