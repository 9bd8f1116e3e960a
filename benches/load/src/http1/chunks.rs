//! The chunks of a response without an end, for any split of the bytes into reads. Their content is returned in place.

/// A longer chunk is refused.
const CHUNK_BYTES_MAX: usize = 16 << 20;

/// The state of the parser between two reads.
#[derive(Default)]
pub struct Chunks {
    state: State,
}

#[derive(Clone, Copy, Default)]
enum State {
    /// Before a chunk.
    #[default]
    Start,
    /// In the first line of a chunk, whose size begins so.
    Size(usize),
    /// The line's end is missing.
    SizeEnd(usize),
    /// In a chunk, of which this many bytes are missing.
    Content(usize),
    /// The end of a chunk's last line, or its second byte, is missing.
    ContentEnd,
    ContentEndLf,
    /// The chunk of size 0 was there: the response has ended.
    Over,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    #[error("the server sent a chunk of more than {CHUNK_BYTES_MAX} bytes")]
    TooLarge,
    #[error("the server sent a malformed chunk")]
    Malformed,
}

impl Chunks {
    /// Takes the next piece of content from the start of `input`. `None`: all of it was taken, and more is needed; or
    /// the response is over.
    #[inline]
    pub fn next<'i>(&mut self, input: &mut &'i [u8]) -> Result<Option<&'i [u8]>, ChunkError> {
        loop {
            if let State::Content(missing) = self.state {
                if input.is_empty() {
                    return Ok(None);
                }
                let (piece, rest) = input.split_at(missing.min(input.len()));
                *input = rest;
                let left = missing - piece.len();
                self.state = if left > 0 { State::Content(left) } else { State::ContentEnd };
                return Ok(Some(piece));
            }
            if let State::Over = self.state {
                *input = &[];
                return Ok(None);
            }
            let Some((&byte, rest)) = input.split_first() else { return Ok(None) };
            *input = rest;
            self.state = self.state.after(byte)?;
        }
    }

    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }
}

impl State {
    /// The state after a byte that is not content.
    #[inline]
    fn after(self, byte: u8) -> Result<State, ChunkError> {
        Ok(match (self, byte) {
            (State::Size(size), b'\r') => State::SizeEnd(size),
            (State::Start | State::Size(_), _) => {
                let size = if let State::Size(size) = self { size } else { 0 };
                let digit = (byte as char).to_digit(16).ok_or(ChunkError::Malformed)?;
                match size << 4 | digit as usize {
                    size if size > CHUNK_BYTES_MAX => return Err(ChunkError::TooLarge),
                    size => State::Size(size),
                }
            }
            (State::SizeEnd(0), b'\n') => State::Over,
            (State::SizeEnd(size), b'\n') => State::Content(size),
            (State::ContentEnd, b'\r') => State::ContentEndLf,
            (State::ContentEndLf, b'\n') => State::Start,
            _ => return Err(ChunkError::Malformed),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(chunks: &mut Chunks, mut input: &[u8], content: &mut Vec<u8>) -> Result<(), ChunkError> {
        while let Some(piece) = chunks.next(&mut input)? {
            assert!(!piece.is_empty());
            content.extend_from_slice(piece);
        }
        assert!(input.is_empty());
        Ok(())
    }

    #[test]
    fn content_does_not_depend_on_where_reads_end() {
        let bytes = b"5\r\nhello\r\n10\r\n, and 16 bytes..\r\n01\r\n!\r\n0\r\n\r\n";
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let (mut chunks, mut content) = (Chunks::default(), Vec::new());
                for part in [&bytes[..first], &bytes[first..second], &bytes[second..]] {
                    read(&mut chunks, part, &mut content).unwrap();
                }
                assert_eq!(content, b"hello, and 16 bytes..!", "split at {first} and {second}");
                assert!(chunks.is_over());
            }
        }
    }

    #[test]
    fn malformed_chunks_are_refused() {
        let fault = |bytes: &[u8]| read(&mut Chunks::default(), bytes, &mut Vec::new()).err();
        for bytes in [&b"\r\n"[..], b"x", b"-1", b"1;a", b"1\n", b"1\r\r", b"1\r\nab", b"1\r\na\n", b"1\r\na\r\r"] {
            assert_eq!(fault(bytes), Some(ChunkError::Malformed), "{}", bytes.escape_ascii());
        }
        assert_eq!(fault(b"1000001"), Some(ChunkError::TooLarge));
        assert_eq!(fault(b"1000000\r\n"), None);
    }
}
