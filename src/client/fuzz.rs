//! The decoders of what servers send, for [`crate::fuzz`].

pub use super::v1::fuzz::{event_seeds, events, session, session_seeds};

use super::diagnosis::{protocol_of, refusal_of};
use crate::escape::acts;

/// What is shown of a peer's first data does nothing on a terminal.
pub fn peers(input: &[u8]) {
    for shown in [protocol_of(input), refusal_of(input)].into_iter().flatten() {
        assert!(!shown.chars().any(acts) && shown.chars().count() < 3000, "{shown:?}");
    }
}

pub fn peer_seeds() -> Vec<Vec<u8>> {
    let goaway = [&[0, 0, 12, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11][..], b"calm"].concat();
    let texts: [&[u8]; 3] = [b"SSH-2.0-OpenSSH_9\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", &[0x15, 3, 3, 0, 2, 2, 70]];
    [vec![goaway], texts.map(<[u8]>::to_vec).to_vec()].concat()
}
