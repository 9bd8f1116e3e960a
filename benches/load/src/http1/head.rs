//! The heads of responses, for any split of the bytes into reads.

/// A longer head is refused.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Reads the heads of a connection's responses, one after another.
#[derive(Default)]
pub struct HeadParser {
    /// The start of an incomplete head.
    partial: Vec<u8>,
    /// The last complete head. A server's heads differ once a second, by their date, so most of them are equal to the
    /// head before and need not be parsed.
    last: Vec<u8>,
    parsed: Option<Head>,
}

/// What matters of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub status: u16,
    pub body: Body,
}

/// How the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    Bytes(usize),
    Chunked,
    /// With the connection.
    Open,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    #[error("the server sent a head of more than {HEAD_BYTES_MAX} bytes")]
    TooLong,
    #[error("the server does not speak HTTP/1.1: {0}")]
    Status(String),
    #[error("the server sent a malformed head: {0}")]
    Field(String),
}

impl HeadParser {
    /// Takes a head from the start of `input`. `None`: all of it was taken, and more is needed.
    #[inline]
    pub fn take(&mut self, input: &mut &[u8]) -> Result<Option<Head>, HeadError> {
        if self.partial.is_empty()
            && let (Some(rest), Some(head)) = (input.strip_prefix(&self.last[..]), self.parsed)
        {
            *input = rest;
            return Ok(Some(head));
        }
        self.read(input)
    }

    fn read(&mut self, input: &mut &[u8]) -> Result<Option<Head>, HeadError> {
        // Its end may begin in what came before.
        let (before, searched) = (self.partial.len(), self.partial.len().saturating_sub(3));
        self.partial.extend_from_slice(input);
        let Some(end) = self.partial[searched..].windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            *input = &[];
            return if self.partial.len() > HEAD_BYTES_MAX { Err(HeadError::TooLong) } else { Ok(None) };
        };
        let end = searched + end + 4;
        *input = &input[end - before..];
        self.partial.truncate(end);
        let head = Head::parse(&self.partial)?;
        self.parsed = Some(head);
        std::mem::swap(&mut self.last, &mut self.partial);
        self.partial.clear();
        Ok(Some(head))
    }
}

impl Head {
    fn parse(bytes: &[u8]) -> Result<Head, HeadError> {
        let mut lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
        let first = lines.next().unwrap_or_default();
        let status = first.strip_prefix(b"HTTP/1.1 ").and_then(|rest| number(rest.get(..3)?));
        let status = status.ok_or_else(|| HeadError::Status(shown(first)))? as u16;
        let mut body = Body::Open;
        for line in lines.take_while(|line| !line.is_empty()) {
            let fault = || HeadError::Field(shown(line));
            let colon = line.iter().position(|byte| *byte == b':').ok_or_else(fault)?;
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            if name.eq_ignore_ascii_case(b"content-length") {
                body = Body::Bytes(number(value).ok_or_else(fault)?);
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                body = Body::Chunked;
            }
        }
        Ok(Head { status, body })
    }
}

fn number(digits: &[u8]) -> Option<usize> {
    let all_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| all_digits)?.parse().ok()
}

/// The start of a server's text, escaped for a terminal.
pub fn shown(bytes: &[u8]) -> String {
    const SHOWN_BYTES_MAX: usize = 400;
    bytes[..bytes.len().min(SHOWN_BYTES_MAX)].escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: &[u8] = b"HTTP/1.1 200 OK\r\ndate: now\r\nContent-Length: 5\r\n\r\n";
    const STREAM: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

    #[test]
    fn heads_do_not_depend_on_where_reads_end() {
        let bytes = [OK, STREAM, STREAM, b"HTTP/1.1 503 \r\n\r\n", b"rest"].concat();
        let (ok, chunked) = (Head { status: 200, body: Body::Bytes(5) }, Head { status: 200, body: Body::Chunked });
        let expected = [ok, chunked, chunked, Head { status: 503, body: Body::Open }];
        for split in 0..=bytes.len() {
            let mut parser = HeadParser::default();
            let (mut heads, mut rest) = (Vec::new(), 0);
            for mut part in [&bytes[..split], &bytes[split..]] {
                while heads.len() < expected.len()
                    && let Some(head) = parser.take(&mut part).unwrap()
                {
                    heads.push(head);
                }
                rest += part.len();
            }
            assert_eq!((&heads[..], rest), (&expected[..], 4), "split at {split}");
        }
    }

    #[test]
    fn what_is_not_http_is_refused() {
        let take = |mut bytes: &[u8]| HeadParser::default().take(&mut bytes);
        for bytes in [&b"HTTP/2 200\r\n\r\n"[..], b"HTTP/1.1 2x0\r\n\r\n", b"HTTP/1.1 20\r\n\r\n", b"\r\n\r\n"] {
            assert!(matches!(take(bytes), Err(HeadError::Status(_))), "{}", shown(bytes));
        }
        for field in ["nothing", "content-length: -1", "content-length:"] {
            let bytes = format!("HTTP/1.1 200 OK\r\n{field}\r\n\r\n");
            assert_eq!(take(bytes.as_bytes()), Err(HeadError::Field(field.to_owned())));
        }
        assert_eq!(take(&[b'a'; HEAD_BYTES_MAX]), Ok(None));
        assert_eq!(take(&[b'a'; HEAD_BYTES_MAX + 1]), Err(HeadError::TooLong));
    }
}
