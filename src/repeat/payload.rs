//! The body of a repeat client's message: what a receiver needs for its checks, readable by people, and padding.
//!
//! `#0000000017 s00003 r00c0ffee00c0ffee t000000000001e240 m`: the number from 1, the sender's index, the run, the
//! time of sending in nanoseconds since the run's start (one process, so one clock), the kind, and then as many `x`
//! as the size asks for. Fixed columns make it cheap to read, a million times a second.

use std::ops::Range;

/// The shortest body: one without padding, in bytes.
pub const BYTES_MIN: usize = 56;

const NUMBER: Range<usize> = 1..11;
const SENDER: Range<usize> = 13..18;
const RUN: Range<usize> = 20..36;
const TIME: Range<usize> = 38..54;
const KIND: usize = 55;

/// What stands between the columns.
const MARKS: [(usize, u8); 8] =
    [(0, b'#'), (11, b' '), (12, b's'), (18, b' '), (19, b'r'), (36, b' '), (37, b't'), (54, b' ')];

/// A run of the repeat client, told from other runs and other people in the same room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunId(pub u64);

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It counts.
    Message,
    /// It only shows whether a receiver has joined.
    Probe,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    pub kind: Kind,
    pub run: RunId,
    pub sender: u16,
    pub number: u32,
    /// Nanoseconds since the run's start.
    pub sent_ns: u64,
}

impl Payload {
    /// The body, `bytes` long but at least [`BYTES_MIN`].
    pub fn encode(&self, bytes: usize) -> String {
        let kind = match self.kind {
            Kind::Message => 'm',
            Kind::Probe => 'p',
        };
        let Self { run: RunId(run), sender, number, sent_ns, .. } = self;
        let mut body = String::with_capacity(bytes.max(BYTES_MIN));
        body.push_str(&format!("#{number:010} s{sender:05} r{run:016x} t{sent_ns:016x} {kind}"));
        body.extend(std::iter::repeat_n('x', bytes.saturating_sub(BYTES_MIN)));
        body
    }

    /// Reads a body. `None` says that somebody else wrote it, or that it was changed on the way.
    pub fn decode(body: &str) -> Option<Self> {
        let bytes = body.as_bytes();
        if bytes.len() < BYTES_MIN || MARKS.iter().any(|&(at, mark)| bytes[at] != mark) {
            return None;
        }
        let kind = match bytes[KIND] {
            b'm' => Kind::Message,
            b'p' => Kind::Probe,
            _ => return None,
        };
        let padded = bytes[BYTES_MIN..].iter().all(|&byte| byte == b'x');
        padded.then_some(())?;
        Some(Self {
            kind,
            run: RunId(digits(&bytes[RUN], 16)?),
            sender: digits(&bytes[SENDER], 10)?.try_into().ok()?,
            number: digits(&bytes[NUMBER], 10)?.try_into().ok()?,
            sent_ns: digits(&bytes[TIME], 16)?,
        })
    }
}

/// Reads digits only: no sign, no space.
fn digits(bytes: &[u8], radix: u32) -> Option<u64> {
    // Invariant: no column is wide enough to overflow: 16 digits of base 16, or 10 of base 10.
    bytes
        .iter()
        .try_fold(0, |value: u64, &byte| Some(value * u64::from(radix) + u64::from((byte as char).to_digit(radix)?)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_body_is_readable() {
        let payload = Payload { kind: Kind::Message, run: RunId(0xc0ffee), sender: 3, number: 17, sent_ns: 123_456 };
        let body = payload.encode(58);
        assert_eq!(body, "#0000000017 s00003 r0000000000c0ffee t000000000001e240 mxx");
    }

    #[test]
    fn what_others_write_is_not_ours() {
        let payload = Payload { kind: Kind::Probe, run: RunId(1), sender: 0, number: 1, sent_ns: 0 };
        let body = payload.encode(60);
        assert!(Payload::decode("hello").is_none());
        assert!(Payload::decode(&"é".repeat(40)).is_none());
        assert!(Payload::decode(&body[..BYTES_MIN - 1]).is_none());
        assert!(Payload::decode(&body.replace('x', "y")).is_none());
        assert!(Payload::decode(&body.replace("s0", "s+")).is_none());
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(run: u64, sender: u16, number: u32, sent_ns: u64, probe: bool, bytes in 0..200usize) {
            let kind = if probe { Kind::Probe } else { Kind::Message };
            let payload = Payload { kind, run: RunId(run), sender, number, sent_ns };
            let body = payload.encode(bytes);
            prop_assert_eq!(body.len(), bytes.max(BYTES_MIN));
            prop_assert_eq!(Payload::decode(&body), Some(payload));
        }

        #[test]
        fn no_text_brings_it_down(text in any::<String>(), prefix in 0..BYTES_MIN) {
            let payload = Payload { kind: Kind::Probe, run: RunId(1), sender: 0, number: 1, sent_ns: 0 };
            let _ = Payload::decode(&text);
            let _ = Payload::decode(&format!("{}{text}", &payload.encode(0)[..prefix]));
        }
    }
}
