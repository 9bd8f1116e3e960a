//! The frames that the generator writes, and the head that every frame has (RFC 9113, section 4).

/// The preface of a client with prior knowledge.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub const HEAD_BYTES: usize = 9;
/// The maximum payload of a frame until the peer allows more. We never allow more.
pub const FRAME_BYTES_MAX: usize = 16_384;
/// The window that each side has on a connection, and on a stream unless SETTINGS say otherwise.
pub const INITIAL_WINDOW_BYTES: i64 = 65_535;
/// The largest possible window.
pub const WINDOW_BYTES_MAX: u32 = i32::MAX as u32;
/// The only stream that we open on a connection.
pub const STREAM: u32 = 1;
/// The error code for a stream that is no longer needed.
pub const CANCEL: u32 = 8;

/// Frame types.
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
}

/// Frame flags. `ACK` is for SETTINGS and PING, the others for DATA and HEADERS.
pub mod flag {
    pub const ACK: u8 = 0x1;
    pub const END_STREAM: u8 = 0x1;
    pub const END_HEADERS: u8 = 0x4;
    pub const PADDED: u8 = 0x8;
}

/// Settings.
pub mod setting {
    pub const ENABLE_PUSH: u16 = 2;
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
}

/// The nine bytes before each frame's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Bytes of payload that follow.
    pub length: usize,
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
}

impl Head {
    pub fn parse(bytes: [u8; HEAD_BYTES]) -> Head {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = bytes;
        Head {
            length: u32::from_be_bytes([0, l0, l1, l2]) as usize,
            kind,
            flags,
            // The first bit is reserved: receivers ignore it.
            stream: u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff,
        }
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        debug_assert!(self.length <= FRAME_BYTES_MAX, "the frame is larger than any server must accept");
        out.extend_from_slice(&(self.length as u32).to_be_bytes()[1..]);
        out.extend_from_slice(&[self.kind, self.flags]);
        out.extend_from_slice(&self.stream.to_be_bytes());
    }

    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

pub fn write_frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    Head { length: payload.len(), kind, flags, stream }.write(out);
    out.extend_from_slice(payload);
}

/// Our settings: no push, and the window that the server has on each stream.
pub fn write_settings(out: &mut Vec<u8>, window_bytes: u32) {
    let mut payload = Vec::with_capacity(12);
    for (id, value) in [(setting::ENABLE_PUSH, 0), (setting::INITIAL_WINDOW_SIZE, window_bytes)] {
        payload.extend_from_slice(&id.to_be_bytes());
        payload.extend_from_slice(&u32::to_be_bytes(value));
    }
    write_frame(out, kind::SETTINGS, 0, 0, &payload);
}

/// Allows the server `bytes` more on a stream, or on the whole connection (stream 0).
pub fn write_window_update(out: &mut Vec<u8>, stream: u32, bytes: u32) {
    write_frame(out, kind::WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes());
}

pub fn write_reset(out: &mut Vec<u8>, stream: u32, code: u32) {
    write_frame(out, kind::RST_STREAM, 0, stream, &code.to_be_bytes());
}

/// The name of an error code in RST_STREAM and GOAWAY.
pub fn error_name(code: u32) -> &'static str {
    const NAMES: [&str; 14] = [
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    ];
    NAMES.get(code as usize).unwrap_or(&"an unknown code")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_comes_back_as_it_was_written() {
        let head = Head { length: 0x3fff, kind: kind::DATA, flags: flag::END_STREAM, stream: 0x7654_3210 };
        let mut bytes = Vec::new();
        head.write(&mut bytes);
        assert_eq!(Head::parse(bytes.try_into().unwrap()), head);
    }

    #[test]
    fn the_reserved_bit_is_ignored() {
        assert_eq!(Head::parse([0, 0, 1, 0, 0, 0x80, 0, 0, 1]).stream, 1);
    }
}
