use super::*;
use crate::client::Extras;
use crate::names::Kind;

/// A message, at a time of its own.
pub fn message(seq: u64, sender: &str, body: &str) -> StoredMessage {
    StoredMessage {
        seq,
        // 26 November 2026, 20:00 UTC, and a minute for each message.
        time_ms: 1_795_723_200_000 + seq * 60_000,
        id: MessageId::from_bytes([u8::try_from(seq % 250).unwrap() + 1; 16]),
        sender: sender.to_owned(),
        body: body.to_owned(),
        kind: Kind::Text,
        client_id: None,
        authenticated: false,
        extras: Extras::default(),
    }
}
