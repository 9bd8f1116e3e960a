//! What a connection has sent: heads and bodies of requests, one after another. A client may send several requests before
//! it reads a response.

use std::sync::Arc;
use std::time::Instant;

use memchr::memmem;
use thiserror::Error;

use super::head::{BodyLength, Head, HeadFault, check_lines};
use super::idle::Idle;
use super::socket::{Interrupted, Socket};
use crate::limits::{
    HTTP_BODY_BYTES_MAX, HTTP_CHUNK_LINE_BYTES_MAX, HTTP_HEAD_BYTES_MAX, HTTP_HEAD_TIME, HTTP_RECEIVE_BYTES,
};

/// The input of a connection.
pub struct Input {
    socket: Arc<Socket>,
    idle: Arc<Idle>,
    /// Bytes that were received and not used yet: those from `start` on.
    buffer: Vec<u8>,
    start: usize,
    /// Where the head of the next request ends, if that is known.
    head_end: Option<usize>,
}

/// Why there is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NoRequest {
    /// The client has closed the connection, or has sent nothing for too long.
    #[error("there is no request")]
    Idle,
    #[error("the head of the request did not arrive within {} s", HTTP_HEAD_TIME.as_secs())]
    Late,
    #[error("the head of the request has more than {HTTP_HEAD_BYTES_MAX} bytes")]
    TooLong,
    #[error(transparent)]
    Fault(#[from] HeadFault),
}

/// Why a body can't be read. The connection has no use after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BodyFault {
    #[error("the request has more than {bytes_max} bytes, the maximum: send a shorter message")]
    TooLong { bytes_max: usize },
    #[error("the request did not arrive in time: send it faster")]
    Late,
    #[error("the body of the request is malformed: {0}")]
    Syntax(&'static str),
    #[error("the connection is lost")]
    Gone,
}

impl From<Interrupted> for BodyFault {
    fn from(interrupted: Interrupted) -> Self {
        match interrupted {
            Interrupted::Late => Self::Late,
            Interrupted::Gone => Self::Gone,
        }
    }
}

impl Input {
    /// The input of a connection of which nobody asks since when it is idle.
    pub fn alone(socket: Arc<Socket>) -> Self {
        Self::new(socket, Arc::default())
    }

    pub fn new(socket: Arc<Socket>, idle: Arc<Idle>) -> Self {
        Self { socket, idle, buffer: Vec::new(), start: 0, head_end: None }
    }

    /// Waits for a request until then, and for the rest of its head for [`HTTP_HEAD_TIME`].
    pub fn head(&mut self, idle_until: Instant) -> Result<Head, NoRequest> {
        let (mut searched, mut until) = (0, None);
        loop {
            self.skip_empty_lines();
            let known = self.head_end.take();
            let rest = self.rest();
            if let Some(end) = known.or_else(|| end_of_head(rest, searched)) {
                if end > HTTP_HEAD_BYTES_MAX {
                    return Err(NoRequest::TooLong);
                }
                let head = Head::parse(&rest[..end])?;
                self.start += end;
                return Ok(head);
            }
            // At once: a client that means another protocol would wait for the rest of its own.
            if rest.first().is_some_and(|byte| !byte.is_ascii_uppercase() && *byte != b'\r') {
                return Err(HeadFault::Syntax("it does not begin with a method").into());
            }
            check_lines(rest)?;
            if rest.len() >= HTTP_HEAD_BYTES_MAX {
                return Err(NoRequest::TooLong);
            }
            searched = rest.len().saturating_sub(3);
            match until {
                None if rest.is_empty() => self.idle.begin(),
                None => until = Some(Instant::now() + HTTP_HEAD_TIME),
                Some(_) => {}
            }
            match (self.fill(HTTP_RECEIVE_BYTES, until.unwrap_or(idle_until)), until) {
                (Ok(1..), _) => self.idle.end(),
                (Err(Interrupted::Late), Some(_)) => return Err(NoRequest::Late),
                (Ok(0) | Err(_), _) => return Err(NoRequest::Idle),
            }
        }
    }

    /// Whether the head of the next request is there.
    pub fn has_head(&mut self) -> bool {
        self.skip_empty_lines();
        self.head_end = end_of_head(self.rest(), 0);
        self.head_end.is_some()
    }

    /// Whether the body of this request is there.
    pub fn has_body(&self, length: BodyLength) -> bool {
        matches!(length, BodyLength::Bytes(length) if length <= self.rest().len() as u64)
    }

    /// What was received and not used.
    fn rest(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Empty lines before a request are skipped, as RFC 9112 wants it.
    fn skip_empty_lines(&mut self) {
        while self.rest().starts_with(b"\r\n") {
            self.start += 2;
        }
    }

    /// Whether the next request has begun to arrive.
    pub fn has_more(&self) -> bool {
        self.start < self.buffer.len()
    }

    /// Reads a body of at most `bytes_max` bytes, which must arrive until then.
    pub fn body(&mut self, length: BodyLength, bytes_max: usize, until: Instant) -> Result<Vec<u8>, BodyFault> {
        match length {
            BodyLength::Bytes(length) => match usize::try_from(length) {
                Ok(length) if length <= bytes_max => {
                    let mut body = Vec::with_capacity(length);
                    self.take(length, &mut body, until)?;
                    Ok(body)
                }
                _ => Err(BodyFault::TooLong { bytes_max }),
            },
            BodyLength::Chunked => self.chunks(bytes_max, until),
        }
    }

    fn chunks(&mut self, bytes_max: usize, until: Instant) -> Result<Vec<u8>, BodyFault> {
        let mut body = Vec::new();
        loop {
            let size = chunk_size(&self.line(until)?)?;
            if size == 0 {
                break;
            }
            if size > bytes_max - body.len() {
                return Err(BodyFault::TooLong { bytes_max });
            }
            self.take(size, &mut body, until)?;
            if !self.line(until)?.is_empty() {
                return Err(BodyFault::Syntax("a chunk is longer than it says"));
            }
        }
        // Trailers are of no use here. Their number is bounded by the time and by the size.
        let mut bytes = 0;
        loop {
            let line = self.line(until)?;
            bytes += line.len();
            match () {
                () if line.is_empty() => return Ok(body),
                () if bytes > HTTP_HEAD_BYTES_MAX => return Err(BodyFault::Syntax("its trailers are too long")),
                () => {}
            }
        }
    }

    /// The next line of a chunked body, without its end.
    fn line(&mut self, until: Instant) -> Result<Vec<u8>, BodyFault> {
        loop {
            let rest = self.rest();
            if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line = rest[..end].strip_suffix(b"\r").map(<[u8]>::to_vec);
                self.start += end + 1;
                let line = line.filter(|line| line.len() <= HTTP_CHUNK_LINE_BYTES_MAX && !line.contains(&b'\r'));
                return line.ok_or(BodyFault::Syntax("a line of a chunk is malformed"));
            }
            if rest.len() > HTTP_CHUNK_LINE_BYTES_MAX + 1 {
                return Err(BodyFault::Syntax("a line of a chunk is too long"));
            }
            self.fill(HTTP_CHUNK_LINE_BYTES_MAX + 2, until).map_err(BodyFault::from).and_then(some)?;
        }
    }

    /// Takes exactly this number of bytes.
    fn take(&mut self, count: usize, into: &mut Vec<u8>, until: Instant) -> Result<(), BodyFault> {
        let wanted = into.len() + count;
        loop {
            let rest = self.rest();
            let now = rest.len().min(wanted - into.len());
            into.extend_from_slice(&rest[..now]);
            self.start += now;
            if into.len() == wanted {
                return Ok(());
            }
            self.fill(HTTP_BODY_BYTES_MAX, until).map_err(BodyFault::from).and_then(some)?;
        }
    }

    /// Receives more bytes, while fewer than `max` are unused. Returns how many.
    fn fill(&mut self, max: usize, until: Instant) -> Result<usize, Interrupted> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let wanted = max.saturating_sub(self.buffer.len()).clamp(1, HTTP_RECEIVE_BYTES);
        self.buffer.reserve(wanted);
        self.socket.receive(&mut self.buffer, until)
    }
}

fn some(count: usize) -> Result<(), BodyFault> {
    if count > 0 { Ok(()) } else { Err(BodyFault::Gone) }
}

/// Where a head ends: after its empty line. Bytes before `searched` have no end of a head.
fn end_of_head(bytes: &[u8], searched: usize) -> Option<usize> {
    memmem::find(bytes.get(searched..)?, b"\r\n\r\n").map(|at| searched + at + 4)
}

/// The size in the first line of a chunk, which may have extensions.
fn chunk_size(line: &[u8]) -> Result<usize, BodyFault> {
    let fault = BodyFault::Syntax("the size of a chunk is not a hexadecimal number");
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
    let digits = digits.trim_ascii_end();
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(fault);
    }
    let digits = std::str::from_utf8(digits).map_err(|_| fault)?;
    usize::from_str_radix(digits, 16).map_err(|_| fault)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;
    use std::thread;
    use std::time::Duration;

    use super::*;

    const SOON: Duration = Duration::from_secs(20);
    const MAX: usize = HTTP_BODY_BYTES_MAX;
    const TOO_LONG: BodyFault = BodyFault::TooLong { bytes_max: MAX };

    /// The input of a connection over which these bytes come, and whose client then closes it.
    fn input(bytes: &[u8]) -> Input {
        let (mut client, server) = UnixStream::pair().unwrap();
        server.set_nonblocking(true).unwrap();
        client.write_all(bytes).unwrap();
        Input::new(Arc::new(Socket::new(server.into())), Arc::default())
    }

    fn soon() -> Instant {
        Instant::now() + SOON
    }

    fn chunked(body: &str) -> Result<Vec<u8>, BodyFault> {
        input(body.replace('\n', "\r\n").as_bytes()).body(BodyLength::Chunked, MAX, soon())
    }

    #[test]
    fn requests_follow_each_other() {
        let bytes =
            b"\r\nPOST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n";
        let mut input = input(bytes);
        let head = input.head(soon()).unwrap();
        assert_eq!((head.path.as_str(), input.body(head.body, MAX, soon())), ("/a", Ok(b"abc".to_vec())));
        assert!(input.has_more());
        assert_eq!(input.head(soon()).unwrap().path, "/b");
        assert!(!input.has_more());
        assert_eq!(input.head(soon()), Err(NoRequest::Idle));
    }

    #[test]
    fn a_chunked_body_is_joined() {
        assert_eq!(chunked("3\nabc\n0A;x=y\n0123456789\n0\n\n"), Ok(b"abc0123456789".to_vec()));
        assert_eq!(chunked("0\nTrailer: x\n\n"), Ok(Vec::new()));
        for body in ["3\nabcd\n0\n\n", "x\n", "-1\n", "+1\n", "0x1\na\n0\n\n", "123456789\n", " 1\na\n0\n\n", "\n"] {
            assert!(matches!(chunked(body), Err(BodyFault::Syntax(_))), "{body:?}: {:?}", chunked(body));
        }
        assert!(matches!(input(b"1\na\n0\n\n").body(BodyLength::Chunked, MAX, soon()), Err(BodyFault::Syntax(_))));
        let long = format!("1;{}\na\n0\n\n", "x".repeat(HTTP_CHUNK_LINE_BYTES_MAX));
        assert!(matches!(chunked(&long), Err(BodyFault::Syntax(_))));
        assert_eq!(chunked("3\nab"), Err(BodyFault::Gone));
        assert_eq!(chunked("fffffff\n"), Err(TOO_LONG));
    }

    #[test]
    fn bounds_hold() {
        let body = |length| input(b"abc").body(BodyLength::Bytes(length), MAX, soon());
        assert_eq!(body(HTTP_BODY_BYTES_MAX as u64 + 1), Err(TOO_LONG));
        assert_eq!(body(u64::MAX), Err(TOO_LONG));
        assert_eq!(body(4), Err(BodyFault::Gone));
        let long = [b"GET / HTTP/1.1\r\nHost: ".as_slice(), &vec![b'x'; HTTP_HEAD_BYTES_MAX]].concat();
        assert_eq!(input(&long).head(soon()), Err(NoRequest::TooLong));
        assert_eq!(input(b"").head(soon()), Err(NoRequest::Idle));
    }

    #[test]
    fn bytes_may_come_one_by_one_but_in_time() {
        let (mut client, server) = UnixStream::pair().unwrap();
        server.set_nonblocking(true).unwrap();
        let mut input = Input::new(Arc::new(Socket::new(server.into())), Arc::default());
        let sender = thread::spawn(move || {
            for byte in b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n" {
                client.write_all(&[*byte]).unwrap();
                thread::yield_now();
            }
            client
        });
        let head = input.head(soon()).unwrap();
        assert_eq!(input.body(head.body, MAX, soon()), Ok(b"ab".to_vec()));
        let _client = sender.join().unwrap();
        let now = Instant::now();
        assert_eq!(input.body(BodyLength::Bytes(1), MAX, now), Err(BodyFault::Late));
        assert_eq!(input.head(now), Err(NoRequest::Idle));
    }
}
