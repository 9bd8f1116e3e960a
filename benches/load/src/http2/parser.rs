//! Splits the bytes of a server into frames, for any split of the bytes into reads.
//!
//! The payload of DATA is passed on in place, piece by piece, without a copy. Other frames are small and rare, and are
//! collected until they are complete.

use super::frames::{FRAME_BYTES_MAX, HEAD_BYTES, Head, flag, kind};

/// The state of the parser between two reads.
#[derive(Default)]
pub struct FrameParser {
    /// The start of an incomplete head.
    head: [u8; HEAD_BYTES],
    head_filled: usize,
    /// The frame whose payload is being read.
    current: Option<Head>,
    /// The number of missing bytes of that payload.
    missing: usize,
    /// The collected bytes of an incomplete payload.
    collected: Vec<u8>,
    /// Payload bytes of DATA frames so far, which count against our windows.
    pub data_bytes: u64,
}

/// A result of the parser.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Some bytes of a DATA frame; `end`: the stream ends with them.
    Data { stream: u32, bytes: &'a [u8], end: bool },
    /// A complete frame of another kind.
    Frame { head: Head, payload: &'a [u8] },
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("the server sent a frame of {0} bytes, more than the {FRAME_BYTES_MAX} it may")]
    TooLarge(usize),
    #[error("the server sent a DATA frame with more padding than payload")]
    Padding,
}

impl FrameParser {
    /// Takes the next piece from the start of `input`. `None`: all of it was taken, and more is needed.
    pub fn next<'s, 'i: 's>(&'s mut self, input: &mut &'i [u8]) -> Result<Option<Piece<'s>>, FrameError> {
        let head = match self.current {
            Some(head) => head,
            None => {
                let Some(head) = self.take_head(input) else { return Ok(None) };
                self.start(head)?;
                head
            }
        };
        let (bytes, rest) = input.split_at(self.missing.min(input.len()));
        *input = rest;
        self.missing -= bytes.len();
        let whole = self.missing == 0;
        if whole {
            self.current = None;
        }
        if head.kind == kind::DATA && !head.has(flag::PADDED) {
            if bytes.is_empty() && !whole {
                return Ok(None);
            }
            return Ok(Some(Piece::Data { stream: head.stream, bytes, end: whole && head.has(flag::END_STREAM) }));
        }
        self.collected.extend_from_slice(bytes);
        if !whole {
            return Ok(None);
        }
        if head.kind == kind::DATA {
            let bytes = without_padding(&self.collected)?;
            return Ok(Some(Piece::Data { stream: head.stream, bytes, end: head.has(flag::END_STREAM) }));
        }
        Ok(Some(Piece::Frame { head, payload: &self.collected }))
    }

    fn take_head(&mut self, input: &mut &[u8]) -> Option<Head> {
        if self.head_filled == 0
            && let Some((head, rest)) = input.split_first_chunk::<HEAD_BYTES>()
        {
            *input = rest;
            return Some(Head::parse(*head));
        }
        let (bytes, rest) = input.split_at(input.len().min(HEAD_BYTES - self.head_filled));
        *input = rest;
        self.head[self.head_filled..self.head_filled + bytes.len()].copy_from_slice(bytes);
        self.head_filled += bytes.len();
        if self.head_filled < HEAD_BYTES {
            return None;
        }
        self.head_filled = 0;
        Some(Head::parse(self.head))
    }

    fn start(&mut self, head: Head) -> Result<(), FrameError> {
        if head.length > FRAME_BYTES_MAX {
            return Err(FrameError::TooLarge(head.length));
        }
        if head.kind == kind::DATA {
            self.data_bytes += head.length as u64;
        }
        self.current = Some(head);
        self.missing = head.length;
        self.collected.clear();
        Ok(())
    }
}

fn without_padding(payload: &[u8]) -> Result<&[u8], FrameError> {
    let (&padding, bytes) = payload.split_first().ok_or(FrameError::Padding)?;
    let length = bytes.len().checked_sub(padding.into()).ok_or(FrameError::Padding)?;
    Ok(&bytes[..length])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http2::frames::{STREAM, write_frame, write_settings, write_window_update};

    /// The results for a stream of bytes: the joined bytes of DATA, the other frames, and whether the stream ended.
    #[derive(Debug, Default, PartialEq)]
    struct Seen {
        data: Vec<u8>,
        frames: Vec<(Head, Vec<u8>)>,
        ends: usize,
    }

    impl Seen {
        fn read(&mut self, parser: &mut FrameParser, mut input: &[u8]) {
            while let Some(piece) = parser.next(&mut input).unwrap() {
                match piece {
                    Piece::Data { stream, bytes, end } => {
                        assert_eq!(stream, STREAM);
                        self.data.extend_from_slice(bytes);
                        self.ends += usize::from(end);
                    }
                    Piece::Frame { head, payload } => self.frames.push((head, payload.to_vec())),
                }
            }
            assert!(input.is_empty());
        }
    }

    fn conversation() -> Vec<u8> {
        let mut bytes = Vec::new();
        write_settings(&mut bytes, 77);
        write_frame(&mut bytes, kind::SETTINGS, flag::ACK, 0, &[]);
        write_frame(&mut bytes, kind::DATA, 0, STREAM, b"hello, ");
        write_window_update(&mut bytes, 0, 77);
        write_frame(&mut bytes, kind::DATA, 0, STREAM, b"");
        write_frame(&mut bytes, kind::DATA, flag::PADDED, STREAM, b"\x02worlds\0\0");
        write_frame(&mut bytes, kind::DATA, flag::END_STREAM, STREAM, b"!");
        bytes
    }

    #[test]
    fn pieces_do_not_depend_on_where_reads_end() {
        let bytes = conversation();
        let mut whole = Seen::default();
        let mut parser = FrameParser::default();
        whole.read(&mut parser, &bytes);
        assert_eq!(whole.data, b"hello, worlds!");
        assert_eq!((whole.frames.len(), whole.ends, parser.data_bytes), (3, 1, 17));
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let mut seen = Seen::default();
                let mut parser = FrameParser::default();
                for part in [&bytes[..first], &bytes[first..second], &bytes[second..]] {
                    seen.read(&mut parser, part);
                }
                assert_eq!(seen, whole, "split at {first} and {second}");
            }
        }
    }

    #[test]
    fn byte_by_byte_is_the_same() {
        let (mut seen, mut whole) = (Seen::default(), Seen::default());
        let mut parser = FrameParser::default();
        for byte in conversation() {
            seen.read(&mut parser, &[byte]);
        }
        whole.read(&mut FrameParser::default(), &conversation());
        assert_eq!(seen, whole);
    }

    #[test]
    fn a_frame_that_is_too_large_is_refused_at_its_head() {
        let mut input: &[u8] = &[0, 0x40, 1, kind::HEADERS, 0, 0, 0, 0, 1];
        assert_eq!(FrameParser::default().next(&mut input), Err(FrameError::TooLarge(16_385)));
    }

    #[test]
    fn padding_beyond_the_payload_is_refused() {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, kind::DATA, flag::PADDED, STREAM, b"\x03ab");
        assert_eq!(FrameParser::default().next(&mut &bytes[..]), Err(FrameError::Padding));
    }
}
