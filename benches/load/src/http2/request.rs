//! The head of the call: a HEADERS frame whose fields are literals without indexing (RFC 7541, section 6.2.2), so that
//! neither side keeps a table for it.

use super::frames::{STREAM, flag, kind, write_frame};
use crate::endpoint::Endpoint;
use crate::protobuf::write_varint;

/// The representations of a field (RFC 7541, sections 6.2.2 and 6.2.3), with a new name; nothing is Huffman-coded.
const WITHOUT_INDEXING: u8 = 0;
/// No proxy may index it either: for secrets.
const NEVER_INDEXED: u8 = 0x10;
/// A length from this on has further bytes: it does not fit into the seven bits of the first one.
const LENGTH_MASK: usize = 0x7f;

/// Starts a gRPC call of `path` on the connection's stream.
pub fn write_request(out: &mut Vec<u8>, server: &Endpoint, path: &str) {
    let authority = server.address.to_string();
    let fields = [
        (":method", "POST"),
        (":scheme", server.scheme()),
        (":path", path),
        (":authority", &authority),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", "hubbub-load"),
    ];
    let mut block = Vec::with_capacity(192);
    for (name, value) in fields {
        write_field(&mut block, WITHOUT_INDEXING, name, value);
    }
    if let Some(login) = &server.login {
        write_field(&mut block, NEVER_INDEXED, "authorization", &login.authorization());
    }
    write_frame(out, kind::HEADERS, flag::END_HEADERS, STREAM, &block);
}

fn write_field(block: &mut Vec<u8>, representation: u8, name: &str, value: &str) {
    block.push(representation);
    write_literal(block, name);
    write_literal(block, value);
}

/// A text with its length before it, as an integer with a prefix of seven bits (RFC 7541, section 5.1).
fn write_literal(block: &mut Vec<u8>, text: &str) {
    if text.len() < LENGTH_MASK {
        block.push(text.len() as u8);
    } else {
        block.push(LENGTH_MASK as u8);
        write_varint(block, (text.len() - LENGTH_MASK) as u64);
    }
    block.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http2::frames::HEAD_BYTES;

    #[test]
    fn fields_are_plain_literals() {
        let mut out = Vec::new();
        let server = Endpoint { address: "127.0.0.1:1".parse().unwrap(), tls: None, login: None };
        write_request(&mut out, &server, "/a/b");
        assert_eq!(&out[HEAD_BYTES..HEAD_BYTES + 14], b"\0\x07:method\x04POST");
        assert!(out.windows(11).any(|bytes| bytes == b"\x05:path\x04/a/b"));
        assert!(out.windows(13).any(|bytes| bytes == b"\x07:scheme\x04http"));
    }

    #[test]
    fn long_literals_have_longer_lengths() {
        for (length, expected) in [(126, &[126][..]), (127, &[127, 0]), (1_337, &[127, 0xba, 0x09])] {
            let mut block = Vec::new();
            write_literal(&mut block, &"a".repeat(length));
            assert_eq!(block[..expected.len()], *expected);
            assert_eq!(block.len(), expected.len() + length);
        }
    }
}
