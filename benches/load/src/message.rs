//! The mark that each of our messages carries in its body, and the messages of the tutorial's contract.
//!
//! A body is text of a fixed size: its purpose, its sender, its number and its send time, then dots:
//! `L 0007 00000000002a 0000003b9aca ......`. In the tutorial's contract `FromClient` and `FromServer` have the same
//! fields: `string name = 1; string body = 2`.

use crate::protobuf::{self, Value, bytes_tag, write_bytes, write_varint};

/// The length of a mark without dots.
pub const BODY_BYTES_MIN: usize = 32;
/// A message of this size fits into one frame with any settings of the server.
pub const BODY_BYTES_MAX: usize = 16_000;
/// A sender's index fits into four digits.
pub const SENDERS_MAX: usize = 1 << 16;

pub const PADDING: u8 = b'.';

/// The fields of the tutorial's messages.
const NAME: u8 = 1;
const BODY: u8 = 2;

/// The purpose of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be delivered and counted.
    Load,
    /// It shows which clients have joined; it is not checked.
    Probe,
}

/// The contents of a body.
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

/// A message of the tutorial's contract as it was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChatMessage<'a> {
    pub name: &'a [u8],
    pub body: &'a [u8],
}

/// A sender's message of the tutorial's contract, encoded once; only the mark changes.
pub struct Template {
    bytes: Vec<u8>,
    body_at: usize,
    sender: u32,
}

impl Mark {
    /// Writes the mark to the start of a body.
    pub fn write(&self, body: &mut [u8]) {
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

    /// Reads a whole body. `None` if it is not one of ours, or damaged.
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
    pub fn read(bytes: &'a [u8]) -> Option<ChatMessage<'a>> {
        let mut message = ChatMessage { name: &[], body: &[] };
        protobuf::read(bytes, |field, value| match (u8::try_from(field), value) {
            (Ok(NAME), Value::Bytes(name)) => message.name = name,
            (Ok(BODY), Value::Bytes(body)) => message.body = body,
            _ => {}
        })?;
        Some(message)
    }
}

impl Template {
    /// `sender` is below [`SENDERS_MAX`], `body_bytes` between [`BODY_BYTES_MIN`] and [`BODY_BYTES_MAX`].
    pub fn new(sender: u32, body_bytes: usize) -> Template {
        let mut bytes = Vec::with_capacity(body_bytes + 32);
        write_bytes(&mut bytes, NAME, sender_name(sender).as_bytes());
        bytes.push(bytes_tag(BODY));
        write_varint(&mut bytes, body_bytes as u64);
        let body_at = bytes.len();
        bytes.resize(body_at + body_bytes, PADDING);
        Template { bytes, body_at, sender }
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The message, with this mark.
    pub fn fill(&mut self, purpose: Purpose, seq: u64, sent_ns: u64) -> &[u8] {
        Mark { purpose, sender: self.sender, seq, sent_ns }.write(&mut self.bytes[self.body_at..]);
        &self.bytes
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for body_bytes in [BODY_BYTES_MIN, 64, 127, 128, BODY_BYTES_MAX] {
            let mut template = Template::new(4_242, body_bytes);
            let message = ChatMessage::read(template.fill(Purpose::Load, 7, 1_000_000_007)).unwrap();
            assert_eq!((message.name, message.body.len()), (&b"load-4242"[..], body_bytes));
            let mark = Mark { purpose: Purpose::Load, sender: 4_242, seq: 7, sent_ns: 1_000_000_007 };
            assert_eq!(Mark::read(message.body), Some(mark));
        }
    }

    #[test]
    fn the_encoding_is_the_contracts() {
        let expected = b"\x0a\x06load-1\x12\x22P 0001 00000000002a 0000000000ff..";
        assert_eq!(Template::new(1, 34).fill(Purpose::Probe, 0x2a, 0xff), expected);
    }

    #[test]
    fn unknown_fields_and_other_orders_are_read() {
        let bytes = b"\x12\x01b\x18\x96\x01\x0a\x01a\x25....\x31........\x3a\x02no";
        assert_eq!(ChatMessage::read(bytes), Some(ChatMessage { name: b"a", body: b"b" }));
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
