//! Finds the frames in the bytes of an HTTP/2 connection, without looking into them.

/// The length of what a client sends before its first frame.
const PREFACE_BYTES: usize = 24;

const HEADER_BYTES: usize = 9;

// Kinds of frames (RFC 9113, section 6).
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;

// Flags of frames.
pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;

/// The beginning of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    /// The length of its payload.
    pub length: u32,
}

/// The place in a connection's bytes. It goes on where the last bytes ended.
#[derive(Debug)]
pub struct Frames {
    /// How many bytes come before the next frame.
    skipped: usize,
    header: [u8; HEADER_BYTES],
    /// How much of the header is there.
    filled: usize,
}

impl Frames {
    /// At the beginning of a connection.
    pub fn at_preface() -> Self {
        Self { skipped: PREFACE_BYTES, header: [0; HEADER_BYTES], filled: 0 }
    }

    /// The next frame whose header ends in these bytes, which become the rest of them.
    pub fn next(&mut self, bytes: &mut &[u8]) -> Option<Frame> {
        let skipped = self.skipped.min(bytes.len());
        self.skipped -= skipped;
        *bytes = &bytes[skipped..];
        let taken = (HEADER_BYTES - self.filled).min(bytes.len());
        self.header[self.filled..][..taken].copy_from_slice(&bytes[..taken]);
        *bytes = &bytes[taken..];
        self.filled += taken;
        if self.filled < HEADER_BYTES {
            return None;
        }
        self.filled = 0;
        let [a, b, c, kind, flags, ..] = self.header;
        let length = u32::from_be_bytes([0, a, b, c]);
        self.skipped = length as usize;
        Some(Frame { kind, flags, length })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(pieces: &[&[u8]]) -> Vec<Frame> {
        let mut frames = Frames::at_preface();
        let mut found = Vec::new();
        for mut bytes in pieces.iter().copied() {
            while let Some(frame) = frames.next(&mut bytes) {
                found.push(frame);
            }
            assert!(bytes.is_empty());
        }
        found
    }

    fn encode(frames: &[(u8, u8, u32)]) -> (Vec<u8>, Vec<Frame>) {
        let mut bytes = vec![b'p'; PREFACE_BYTES];
        for (kind, flags, length) in frames {
            bytes.extend(&length.to_be_bytes()[1..]);
            bytes.extend([*kind, *flags, 0, 0, 0, 1]);
            bytes.extend(vec![b'x'; *length as usize]);
        }
        let frames = frames.iter().map(|&(kind, flags, length)| Frame { kind, flags, length });
        (bytes, frames.collect())
    }

    proptest! {
        #[test]
        fn frames_are_found_however_the_bytes_are_cut(
            frames in prop::collection::vec((any::<u8>(), any::<u8>(), 0_u32..300), 0..20),
            cuts in prop::collection::vec(1_usize..40, 1..50),
        ) {
            let (bytes, expected) = encode(&frames);
            let (mut pieces, mut rest, mut cuts) = (Vec::new(), &bytes[..], cuts.into_iter().cycle());
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(cuts.next().unwrap_or(1).min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            prop_assert_eq!(all(&pieces), expected);
        }
    }

    #[test]
    fn an_empty_read_finds_nothing() {
        assert_eq!(all(&[&[]]), []);
    }
}
