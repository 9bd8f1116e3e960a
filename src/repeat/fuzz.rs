//! The decoder of bodies, for [`crate::fuzz`].

use super::payload::{Kind, Payload, RunId};

/// A body that is read is written the same, up to its padding.
pub fn payloads(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Some(payload) = Payload::decode(&text) {
        assert_eq!(Payload::decode(&payload.encode(0)), Some(payload));
    }
}

pub fn payload_seeds() -> Vec<Vec<u8>> {
    let payload =
        |kind| Payload { kind, name: "repeat-4", of: 100, run: RunId(12), sender: 3, number: 17, sent_ns: 9999 };
    [Kind::Message, Kind::Probe].map(|kind| payload(kind).encode(150).into_bytes()).to_vec()
}
