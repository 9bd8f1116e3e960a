//! Lines from an input that is not a terminal, each of bounded length.

use std::io::{self, BufRead};

use super::editor::LINE_BYTES_MAX;

/// A raw line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub enum RawLine {
    Text(String),
    /// The number of skipped bytes of a line that is too long to send.
    TooLong(u64),
    NotUtf8,
}

/// Reads the next line. `None` is the end of the input; a last line without an end counts.
pub fn read_line(input: &mut impl BufRead) -> io::Result<Option<RawLine>> {
    let mut line = Vec::new();
    let mut bytes = 0_u64;
    loop {
        let chunk = match input.fill_buf() {
            Ok(chunk) => chunk,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        if chunk.is_empty() && bytes == 0 {
            return Ok(None);
        }
        let end = chunk.iter().position(|&byte| byte == b'\n');
        let part = &chunk[..end.unwrap_or(chunk.len())];
        let room = LINE_BYTES_MAX.saturating_sub(line.len());
        line.extend_from_slice(&part[..part.len().min(room)]);
        bytes += part.len() as u64;
        let ended = end.is_some() || chunk.is_empty();
        let used = part.len() + usize::from(end.is_some());
        input.consume(used);
        if ended {
            break;
        }
    }
    if bytes > LINE_BYTES_MAX as u64 {
        return Ok(Some(RawLine::TooLong(bytes)));
    }
    Ok(Some(String::from_utf8(line).map_or(RawLine::NotUtf8, RawLine::Text)))
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn lines(input: &[u8], buffer: usize) -> Vec<RawLine> {
        let mut reader = BufReader::with_capacity(buffer, input);
        std::iter::from_fn(|| read_line(&mut reader).unwrap()).collect()
    }

    #[test]
    fn lines_are_read_whole_for_any_split_of_the_input() {
        let text = |t: &str| RawLine::Text(t.to_owned());
        for buffer in [1, 2, 3, 100] {
            assert_eq!(
                lines("one\r\n\n世\nlast".as_bytes(), buffer),
                [text("one\r"), text(""), text("世"), text("last")]
            );
        }
        assert_eq!(lines(b"", 10), []);
    }

    #[test]
    fn an_invalid_line_does_not_affect_others() {
        let mut input = vec![b'x'; LINE_BYTES_MAX + 1];
        input.extend_from_slice(b"\nok\n\xff\nok\n");
        let ok = || RawLine::Text("ok".to_owned());
        assert_eq!(lines(&input, 1000), [RawLine::TooLong(LINE_BYTES_MAX as u64 + 1), ok(), RawLine::NotUtf8, ok()]);
    }
}
