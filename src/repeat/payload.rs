//! The body of a repeat client's message: text for people, columns for a receiver's checks, and padding.
//!
//! `repeat-4: message 17 of 100 ` is for people. Then come fixed columns, which are cheap to read a million times a
//! second: `#0000000017 s00003 r00c0ffee00c0ffee t000000000001e240 m`: the number from 1, the sender's index, the run,
//! the time of sending in nanoseconds since the run's start (one process, so one clock), and the kind. `x` fills up the
//! size.

use std::fmt::Write as _;
use std::ops::Range;

/// How long the columns are, in bytes.
const COLUMN_BYTES: usize = 56;

const NUMBER: Range<usize> = 1..11;
const SENDER: Range<usize> = 13..18;
const RUN: Range<usize> = 20..36;
const TIME: Range<usize> = 38..54;
const KIND: usize = 55;

/// The separators between the columns.
const MARKS: [(usize, u8); 8] =
    [(0, b'#'), (11, b' '), (12, b's'), (18, b' '), (19, b'r'), (36, b' '), (37, b't'), (54, b' ')];

/// Identifies a run of the repeat client among other messages in the same room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunId(pub u64);

/// The purpose of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It counts.
    Message,
    /// It only shows whether a receiver has joined.
    Probe,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload<'a> {
    pub kind: Kind,
    /// The sender's name.
    pub name: &'a str,
    /// How many messages the sender sends.
    pub of: u32,
    pub run: RunId,
    pub sender: u16,
    pub number: u32,
    /// Nanoseconds since the run's start.
    pub sent_ns: u64,
}

/// The size of a body of this sender without padding, in bytes.
pub fn bytes_min(name: &str, of: u32) -> usize {
    name.len() + ": message  of  ".len() + 2 * of.to_string().len() + COLUMN_BYTES
}

impl<'a> Payload<'a> {
    /// The body, `bytes` long, or longer where [`bytes_min`] is.
    pub fn encode(&self, bytes: usize) -> String {
        let kind = match self.kind {
            Kind::Message => 'm',
            Kind::Probe => 'p',
        };
        let Self { name, of, run: RunId(run), sender, number, sent_ns, .. } = self;
        let mut body = String::with_capacity(bytes.max(bytes_min(name, *of)));
        // Writing into a string can't fail.
        let _ = match self.kind {
            Kind::Message => write!(body, "{name}: message {number} of {of} "),
            Kind::Probe => write!(body, "{name}: is anybody here? "),
        };
        let _ = write!(body, "#{number:010} s{sender:05} r{run:016x} t{sent_ns:016x} {kind}");
        body.extend(std::iter::repeat_n('x', bytes.saturating_sub(body.len())));
        body
    }

    /// Reads a body. `None` means that another program wrote it, or that it was changed.
    pub fn decode(body: &'a str) -> Option<Self> {
        // No kind is an `x`, so the padding ends at the columns.
        let body = body.trim_end_matches('x');
        let (text, columns) = body.split_at_checked(body.len().checked_sub(COLUMN_BYTES)?)?;
        let bytes = columns.as_bytes();
        if MARKS.iter().any(|&(at, mark)| bytes[at] != mark) {
            return None;
        }
        let kind = match bytes[KIND] {
            b'm' => Kind::Message,
            b'p' => Kind::Probe,
            _ => return None,
        };
        let number = digits(&bytes[NUMBER], 10)?.try_into().ok()?;
        let (name, of) = match kind {
            Kind::Message => read_text(text, number)?,
            Kind::Probe => (text.strip_suffix(": is anybody here? ")?, 0),
        };
        Some(Self {
            kind,
            name,
            of,
            run: RunId(digits(&bytes[RUN], 16)?),
            sender: digits(&bytes[SENDER], 10)?.try_into().ok()?,
            number,
            sent_ns: digits(&bytes[TIME], 16)?,
        })
    }
}

/// Reads the text for people: the sender's name, and the total number of messages.
fn read_text(text: &str, number: u32) -> Option<(&str, u32)> {
    let (rest, of) = text.strip_suffix(' ')?.rsplit_once(" of ")?;
    let (name, stated) = rest.rsplit_once(": message ")?;
    let read = |text: &str| digits(text.as_bytes(), 10).and_then(|value| u32::try_from(value).ok());
    (read(stated)? == number).then_some((name, read(of)?))
}

/// Reads digits only: no sign, no space.
fn digits(bytes: &[u8], radix: u32) -> Option<u64> {
    // No column is wide enough to overflow, but the text before them is from a peer.
    let next = |value: u64, &byte: &u8| {
        let digit = (byte as char).to_digit(radix)?;
        value.checked_mul(radix.into())?.checked_add(digit.into())
    };
    bytes.iter().try_fold(0, next)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn payload(kind: Kind) -> Payload<'static> {
        let of = if kind == Kind::Message { 100 } else { 0 };
        Payload { kind, name: "repeat-4", of, run: RunId(0xc0ffee), sender: 3, number: 17, sent_ns: 123_456 }
    }

    /// A regression: a user in the room read `#0000000017 s00003 r…`, without the sender's name or the total number of
    /// messages.
    #[test]
    fn a_body_is_readable() {
        let text = "repeat-4: message 17 of 100 #0000000017 s00003 r0000000000c0ffee t000000000001e240 mxx";
        assert_eq!(payload(Kind::Message).encode(text.len()), text);
    }

    #[test]
    fn other_texts_are_not_payloads() {
        let body = payload(Kind::Message).encode(100);
        assert!(Payload::decode(&body).is_some());
        assert!(Payload::decode("hello").is_none());
        assert!(Payload::decode(&"é".repeat(60)).is_none());
        for (from, to) in [("xx", "xy"), ("s0", "s+"), ("17 of", "18 of"), (" of 100", " of many"), (": m", " m")] {
            assert!(Payload::decode(&body.replacen(from, to, 1)).is_none(), "{from}");
        }
        assert!(Payload::decode(&body[..body.find(" m").unwrap() + 2]).is_none());
    }

    proptest! {
        #[test]
        fn a_body_reads_back(
            run: u64, sender: u16, number: u32, of in 1..u32::MAX, sent_ns: u64, probe: bool, bytes in 0..300usize,
            name in "[a-zé#: x]{1,20}",
        ) {
            let kind = if probe { Kind::Probe } else { Kind::Message };
            let of = if probe { 0 } else { of };
            let payload = Payload { kind, name: &name, of, run: RunId(run), sender, number, sent_ns };
            let body = payload.encode(bytes);
            prop_assert!(body.len() >= bytes);
            if !probe && number <= of {
                prop_assert!(body.len() <= bytes.max(bytes_min(&name, of)));
            }
            prop_assert_eq!(Payload::decode(&body), Some(payload));
        }

        #[test]
        fn any_text_is_read_or_refused(text in any::<String>(), prefix in 0..60usize) {
            let _ = Payload::decode(&text);
            let _ = Payload::decode(&format!("{}{text}", &payload(Kind::Probe).encode(0)[..prefix]));
        }
    }
}
