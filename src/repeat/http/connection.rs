//! A connection to a server's HTTP address: calls of Connect, and the stream of `Follow`.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use protobuf::Message;
use thiserror::Error;

use crate::address::Address;
use crate::client::CALL_TIMEOUT;
use crate::names::RoomName;
use crate::wire::v1;

/// The longest line of a head, and the most bytes of a body or a message: far above what a server sends.
const LINE_BYTES_MAX: u64 = 16 * 1024;
const BODY_BYTES_MAX: usize = 16 << 20;

/// How long a stream may be silent: a server sends something each 20 s.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// The fields of a head, at most.
const FIELDS_MAX: usize = 100;

/// The header fields that show who the client is; empty without a login.
#[derive(Clone, Default)]
pub struct Credentials(pub String);

/// Why a call failed.
#[derive(Debug, Error)]
pub enum HttpError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it does not speak Connect over HTTP/1.1 ({0}): give the address of the server's --http")]
    Protocol(&'static str),
    /// The server has refused it.
    #[error("{status} {text}")]
    Refused { status: u16, text: String },
}

impl HttpError {
    /// Whether the same call may succeed later.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Io(_) => true,
            Self::Protocol(_) => false,
            Self::Refused { status, .. } => matches!(status, 408 | 429 | 499..=504),
        }
    }
}

/// A connection.
pub struct Connection {
    input: BufReader<Socket>,
    output: Socket,
    credentials: Credentials,
}

/// Ends a connection from another thread: what waits for it gets an error.
pub struct Ender(Socket);

/// The stream of a follower, after the head of the response.
pub struct Stream {
    input: BufReader<Socket>,
    is_chunked: bool,
    /// What is left of the current chunk.
    left: u64,
}

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// The status of a response, and how its body is framed.
struct Head {
    status: u16,
    length: Option<usize>,
    is_chunked: bool,
}

impl Connection {
    pub fn open(address: &Address, credentials: &Credentials) -> Result<Self, HttpError> {
        let output = Socket::open(address)?;
        output.set_timeout(Some(CALL_TIMEOUT))?;
        Ok(Self { input: BufReader::new(output.share()?), output, credentials: credentials.clone() })
    }

    pub fn ender(&self) -> io::Result<Ender> {
        self.output.share().map(Ender)
    }

    /// Checks that there is a server for HTTP at the other end.
    pub fn check(&mut self) -> Result<(), HttpError> {
        self.output.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        match self.response() {
            Ok((Head { status: 200 | 503, .. }, _)) => Ok(()),
            Ok(_) => Err(HttpError::Protocol("it has no /healthz")),
            Err(HttpError::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(HttpError::Protocol("it closes the connection"))
            }
            Err(error) => Err(error),
        }
    }

    /// Calls a method.
    pub fn call<P: Message>(&mut self, method: &str, request: &impl Message) -> Result<P, HttpError> {
        let bytes = request.write_to_bytes().map_err(|_| HttpError::Protocol("the request can't be encoded"))?;
        self.post(method, "application/proto", &bytes)?;
        let (head, body) = self.response()?;
        match head.status {
            200 => P::parse_from_bytes(&body).map_err(|_| HttpError::Protocol("the response is not of the contract")),
            status => Err(HttpError::Refused { status, text: String::from_utf8_lossy(&body).trim().to_owned() }),
        }
    }

    /// Follows rooms.
    pub fn follow(mut self, request: &v1::FollowRequest) -> Result<Stream, HttpError> {
        let message = request.write_to_bytes().map_err(|_| HttpError::Protocol("the request can't be encoded"))?;
        self.output.set_timeout(Some(SILENCE_MAX))?;
        let envelope = [&[0], (message.len() as u32).to_be_bytes().as_slice(), &message].concat();
        self.post("Follow", "application/connect+proto", &envelope)?;
        let head = read_head(&mut self.input)?;
        if head.status != 200 {
            return Err(HttpError::Refused { status: head.status, text: "in place of a stream".to_owned() });
        }
        Ok(Stream { input: self.input, is_chunked: head.is_chunked, left: head.length.unwrap_or(usize::MAX) as u64 })
    }

    fn post(&mut self, method: &str, content_type: &str, body: &[u8]) -> io::Result<()> {
        let Credentials(credentials) = &self.credentials;
        let head = format!(
            "POST /hubbub.v1.ChatService/{method} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n\
             Connect-Protocol-Version: 1\r\nContent-Length: {}\r\n{credentials}\r\n",
            body.len()
        );
        self.output.write_all(&[head.as_bytes(), body].concat())
    }

    fn response(&mut self) -> Result<(Head, Vec<u8>), HttpError> {
        let head = read_head(&mut self.input)?;
        let length = head.length.ok_or(HttpError::Protocol("a response has no length"))?;
        if length > BODY_BYTES_MAX {
            return Err(HttpError::Protocol("a response is too long"));
        }
        let mut body = vec![0; length];
        self.input.read_exact(&mut body)?;
        Ok((head, body))
    }
}

impl Stream {
    /// The next message, which may be empty. `Err` with the server's reason at the end.
    pub fn next(&mut self) -> Result<Vec<u8>, HttpError> {
        let mut envelope = [0; 5];
        self.read_exact(&mut envelope)?;
        let length = u32::from_be_bytes([envelope[1], envelope[2], envelope[3], envelope[4]]) as usize;
        if length > BODY_BYTES_MAX {
            return Err(HttpError::Protocol("a message is too long"));
        }
        let mut message = vec![0; length];
        self.read_exact(&mut message)?;
        match envelope[0] {
            0 => Ok(message),
            2 => {
                let text = String::from_utf8_lossy(&message).into_owned();
                let is_temporary = text.contains("\"unavailable\"") || text.contains("\"resource_exhausted\"");
                Err(HttpError::Refused { status: if is_temporary { 503 } else { 400 }, text })
            }
            _ => Err(HttpError::Protocol("an envelope has unknown flags")),
        }
    }

    /// Reads from the chunks.
    fn read_exact(&mut self, mut into: &mut [u8]) -> Result<(), HttpError> {
        while !into.is_empty() {
            if self.left == 0 && self.is_chunked {
                self.left = self.next_chunk()?;
            }
            let now = into.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
            if now == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            let (part, rest) = into.split_at_mut(now);
            self.input.read_exact(part)?;
            self.left -= now as u64;
            if self.left == 0 && self.is_chunked {
                read_line(&mut self.input)?;
            }
            into = rest;
        }
        Ok(())
    }

    /// The size of the next chunk; 0 at the end.
    fn next_chunk(&mut self) -> Result<u64, HttpError> {
        let line = read_line(&mut self.input)?;
        u64::from_str_radix(&line, 16).map_err(|_| HttpError::Protocol("the size of a chunk is not a number"))
    }
}

fn read_head(input: &mut impl BufRead) -> Result<Head, HttpError> {
    let line = read_line(input)?;
    let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
    let status = status.ok_or(HttpError::Protocol("no status line"))?;
    let mut head = Head { status, length: None, is_chunked: false };
    for _ in 0..FIELDS_MAX {
        let line = read_line(input)?.to_ascii_lowercase();
        match line.split_once(':') {
            None if line.is_empty() => return Ok(head),
            Some(("content-length", length)) => head.length = length.trim().parse().ok(),
            Some(("transfer-encoding", coding)) => head.is_chunked = coding.trim() == "chunked",
            _ => {}
        }
        if head.is_chunked {
            head.length = Some(0);
        }
    }
    Err(HttpError::Protocol("a head has too many fields"))
}

/// A line, without its end.
fn read_line(input: &mut impl BufRead) -> Result<String, HttpError> {
    let mut line = String::new();
    match input.take(LINE_BYTES_MAX).read_line(&mut line) {
        Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(HttpError::Protocol("its answer is not text"));
        }
        Err(error) => return Err(error.into()),
    }
    match line.strip_suffix("\r\n") {
        Some(line) => Ok(line.to_owned()),
        None => Err(HttpError::Protocol("a line has no end")),
    }
}

impl Ender {
    pub fn end(&self) {
        // It fails if the connection is lost already.
        let _ = match &self.0 {
            Socket::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Socket::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}

impl Socket {
    fn open(address: &Address) -> io::Result<Self> {
        Ok(match address {
            Address::Tcp { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port))?;
                stream.set_nodelay(true)?;
                Self::Tcp(stream)
            }
            Address::Unix(path) => Self::Unix(UnixStream::connect(path)?),
        })
    }

    fn share(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(stream) => Self::Tcp(stream.try_clone()?),
            Self::Unix(stream) => Self::Unix(stream.try_clone()?),
        })
    }

    fn set_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(timeout).and_then(|()| stream.set_write_timeout(timeout)),
            Self::Unix(stream) => stream.set_read_timeout(timeout).and_then(|()| stream.set_write_timeout(timeout)),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(into),
            Self::Unix(stream) => stream.read(into),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The seq of the newest event of a room.
pub fn newest_seq(address: &Address, credentials: &Credentials, room: &RoomName) -> Result<u64, HttpError> {
    let request = v1::ListMessagesRequest { room: room.as_str().to_owned(), page_size: 1, ..Default::default() };
    let page: v1::ListMessagesResponse = Connection::open(address, credentials)?.call("ListMessages", &request)?;
    Ok(page.head_seq)
}

/// The name of the user that the login is of; `None` if the server has no logins.
pub fn own_name(address: &Address, credentials: &Credentials) -> Result<Option<String>, HttpError> {
    let mut connection = Connection::open(address, credentials)?;
    let Credentials(fields) = credentials;
    let request = format!("GET /session HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
    connection.output.write_all(request.as_bytes())?;
    let (head, body) = connection.response()?;
    let session: serde_json::Value =
        serde_json::from_slice(&body).map_err(|_| HttpError::Protocol("the answer about the login is not JSON"))?;
    match (head.status, session["accounts"].as_bool(), session["name"].as_str()) {
        (200, Some(false), _) => Ok(None),
        (200, Some(true), Some(name)) => Ok(Some(name.to_owned())),
        (200, ..) => Err(HttpError::Refused { status: 401, text: "the server needs a valid token".to_owned() }),
        (status, ..) => Err(HttpError::Refused { status, text: String::from_utf8_lossy(&body).into_owned() }),
    }
}
