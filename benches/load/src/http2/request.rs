//! The head of the call: a HEADERS frame whose fields are literals without indexing (RFC 7541, section 6.2.2), so that
//! neither side keeps a table for it.

use super::frames::{STREAM, flag, kind, write_frame};

/// The longest name or value whose length fits into the seven bits of one byte.
const LITERAL_BYTES_MAX: usize = 126;

/// Starts a gRPC call of `path` on the connection's stream.
pub fn write_request(out: &mut Vec<u8>, authority: &str, path: &str) {
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", authority),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", "hubbub-load"),
    ];
    let mut block = Vec::with_capacity(192);
    for (name, value) in fields {
        // Literal without indexing, with a new name; nothing is Huffman-coded.
        block.push(0);
        write_literal(&mut block, name);
        write_literal(&mut block, value);
    }
    write_frame(out, kind::HEADERS, flag::END_HEADERS, STREAM, &block);
}

fn write_literal(block: &mut Vec<u8>, text: &str) {
    assert!(text.len() <= LITERAL_BYTES_MAX, "header fields of this program are short");
    block.push(text.len() as u8);
    block.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http2::frames::HEAD_BYTES;

    #[test]
    fn fields_are_plain_literals() {
        let mut out = Vec::new();
        write_request(&mut out, "127.0.0.1:1", "/a/b");
        assert_eq!(&out[HEAD_BYTES..HEAD_BYTES + 14], b"\0\x07:method\x04POST");
        assert!(out.windows(11).any(|bytes| bytes == b"\x05:path\x04/a/b"));
    }
}
