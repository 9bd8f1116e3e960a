//! Splits the bytes of a stream into messages: each is preceded by flags and a length, over gRPC as over Connect.

/// The flags and the length.
pub const PREFIX_BYTES: usize = 5;
/// The flags of a message that is compressed, and, over Connect, of the last one, which has the reason of the end.
const COMPRESSED: u8 = 1;
const END: u8 = 2;
/// More than the contracts' longest message.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Returns complete messages, and joins those that arrive in pieces.
#[derive(Default)]
pub struct Deframer {
    /// An incomplete message, with its prefix.
    partial: Vec<u8>,
    /// `partial` is complete and was returned: the next call clears it.
    handed_out: bool,
}

/// Returns messages in the pieces in which they arrive, without a copy.
#[derive(Default)]
pub struct Splitter {
    /// The start of an incomplete prefix.
    prefix: [u8; PREFIX_BYTES],
    prefix_filled: usize,
    /// Within a message: the number of its missing bytes.
    missing: Option<usize>,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    #[error("the server compressed a message though we accept none that are")]
    Compressed,
    #[error("the server ended the stream")]
    Ended,
    #[error("the server sent a message with the unknown flags {0:#x}")]
    Flags(u8),
    #[error("the server sent a message of {0} bytes, more than the {MESSAGE_BYTES_MAX} this program takes")]
    TooLarge(usize),
}

impl Deframer {
    /// Takes the next message from the start of `input`. `None`: all of it was taken, and more is needed.
    ///
    /// A message that is complete in `input` is returned in place; only one in pieces is copied.
    pub fn next<'s, 'i: 's>(&'s mut self, input: &mut &'i [u8]) -> Result<Option<&'s [u8]>, MessageError> {
        if self.handed_out {
            self.partial.clear();
            self.handed_out = false;
        }
        if self.partial.is_empty() {
            let Some(end) = message_end(input)?.filter(|end| *end <= input.len()) else {
                self.partial.extend_from_slice(input);
                *input = &[];
                return Ok(None);
            };
            let (message, rest) = input.split_at(end);
            *input = rest;
            return Ok(Some(&message[PREFIX_BYTES..]));
        }
        self.fill_to(PREFIX_BYTES, input);
        let Some(end) = message_end(&self.partial)? else { return Ok(None) };
        self.fill_to(end, input);
        if self.partial.len() < end {
            return Ok(None);
        }
        self.handed_out = true;
        Ok(Some(&self.partial[PREFIX_BYTES..]))
    }

    fn fill_to(&mut self, length: usize, input: &mut &[u8]) {
        let wanted = length.saturating_sub(self.partial.len());
        let (bytes, rest) = input.split_at(wanted.min(input.len()));
        self.partial.extend_from_slice(bytes);
        *input = rest;
    }
}

impl Splitter {
    /// Takes the next piece from the start of `input`, with whether its message ends there. `None`: all of it was
    /// taken, and more is needed.
    #[inline]
    pub fn next<'i>(&mut self, input: &mut &'i [u8]) -> Result<Option<(&'i [u8], bool)>, MessageError> {
        let missing = match self.missing {
            Some(_) if input.is_empty() => return Ok(None),
            Some(missing) => missing,
            None => match self.take_prefix(input)? {
                Some(length) => length,
                None => return Ok(None),
            },
        };
        let (piece, rest) = input.split_at(missing.min(input.len()));
        *input = rest;
        let left = missing - piece.len();
        self.missing = (left > 0).then_some(left);
        Ok(Some((piece, left == 0)))
    }

    /// Takes a prefix, or its available part. Returns the length of the message, if the prefix is complete.
    fn take_prefix(&mut self, input: &mut &[u8]) -> Result<Option<usize>, MessageError> {
        let (bytes, rest) = input.split_at(input.len().min(PREFIX_BYTES - self.prefix_filled));
        *input = rest;
        self.prefix[self.prefix_filled..][..bytes.len()].copy_from_slice(bytes);
        self.prefix_filled += bytes.len();
        if self.prefix_filled < PREFIX_BYTES {
            return Ok(None);
        }
        self.prefix_filled = 0;
        Ok(message_end(&self.prefix)?.map(|end| end - PREFIX_BYTES))
    }
}

/// Writes the prefix of a message of `length` bytes.
pub fn write_prefix(out: &mut Vec<u8>, length: usize) {
    debug_assert!(length <= MESSAGE_BYTES_MAX);
    out.push(0);
    out.extend_from_slice(&(length as u32).to_be_bytes());
}

/// The end of the first message, if its prefix is complete.
fn message_end(bytes: &[u8]) -> Result<Option<usize>, MessageError> {
    let Some((&[flags, l0, l1, l2, l3], _)) = bytes.split_first_chunk::<PREFIX_BYTES>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
    match flags {
        0 => {}
        COMPRESSED => return Err(MessageError::Compressed),
        END => return Err(MessageError::Ended),
        flags => return Err(MessageError::Flags(flags)),
    }
    if length > MESSAGE_BYTES_MAX {
        return Err(MessageError::TooLarge(length));
    }
    Ok(Some(PREFIX_BYTES + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(messages: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for message in messages {
            write_prefix(&mut bytes, message.len());
            bytes.extend_from_slice(message);
        }
        bytes
    }

    fn read(deframer: &mut Deframer, mut input: &[u8], messages: &mut Vec<Vec<u8>>) {
        while let Some(message) = deframer.next(&mut input).unwrap() {
            messages.push(message.to_vec());
        }
        assert!(input.is_empty());
    }

    fn split(splitter: &mut Splitter, mut input: &[u8], pieces: &mut Vec<(Vec<u8>, bool)>) {
        while let Some((piece, end)) = splitter.next(&mut input).unwrap() {
            pieces.push((piece.to_vec(), end));
        }
        assert!(input.is_empty());
    }

    #[test]
    fn messages_do_not_depend_on_where_pieces_end() {
        let expected: [&[u8]; 4] = [b"one", b"", b"three and more", b"4"];
        let bytes = framed(&expected);
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let (mut deframer, mut splitter) = (Deframer::default(), Splitter::default());
                let (mut messages, mut pieces) = (Vec::new(), Vec::new());
                let mut joined = vec![Vec::new()];
                for part in [&bytes[..first], &bytes[first..second], &bytes[second..]] {
                    read(&mut deframer, part, &mut messages);
                    split(&mut splitter, part, &mut pieces);
                }
                for (piece, end) in pieces {
                    joined.last_mut().unwrap().extend(piece);
                    if end {
                        joined.push(Vec::new());
                    }
                }
                assert_eq!(messages, expected, "split at {first} and {second}");
                assert_eq!(joined.pop(), Some(Vec::new()));
                assert_eq!(joined, expected, "split at {first} and {second}");
            }
        }
    }

    #[test]
    fn messages_of_other_kinds_and_huge_ones_are_refused() {
        assert_eq!(Deframer::default().next(&mut &[1, 0, 0, 0, 0][..]), Err(MessageError::Compressed));
        assert_eq!(Splitter::default().next(&mut &[1, 0, 0, 0, 0][..]), Err(MessageError::Compressed));
        assert_eq!(Deframer::default().next(&mut &[2, 0, 0, 0, 0][..]), Err(MessageError::Ended));
        assert_eq!(Deframer::default().next(&mut &[4, 0, 0, 0, 0][..]), Err(MessageError::Flags(4)));
        let huge = [0, 0x7f, 0xff, 0xff, 0xff];
        assert_eq!(Deframer::default().next(&mut &huge[..]), Err(MessageError::TooLarge(0x7fff_ffff)));
    }
}
