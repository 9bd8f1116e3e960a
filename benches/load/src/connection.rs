//! One connection to the server with one chat stream on it, without blocking.

use std::io::{self, Read, Write};

use crate::check::Fault;
use crate::clock::Clock;
use crate::endpoint::Endpoint;
use crate::grpc::{PREFIX_BYTES, write_prefix};
use crate::http2::frames::{
    self, CANCEL, Head, INITIAL_WINDOW_BYTES, PREFACE, STREAM, WINDOW_BYTES_MAX, flag, kind, setting,
};
use crate::http2::parser::{FrameError, FrameParser, Piece};
use crate::http2::request::write_request;
use crate::socket::Socket;

/// When the server may send less than this, the window is increased by as much: the sum is below the largest window.
const TOP_UP_BYTES: u32 = 1 << 30;
/// The maximum number of bytes that wait for the socket before a connection accepts no more messages.
const OUT_BYTES_MAX: usize = 256 << 10;
/// How much of a server's final text is shown.
const SHOWN_BYTES_MAX: usize = 400;

/// A chat stream and the connection that carries only it.
pub struct Connection {
    pub socket: Socket,
    frames: FrameParser,
    /// DATA bytes that the server may have sent in all, by our windows.
    granted_bytes: u64,
    /// The windows are not increased.
    held: bool,
    /// The call has a token, so that the server knows the client's name.
    pub logged_in: bool,
    sending: Sending,
}

/// The output, and the server's limits for it.
struct Sending {
    out: Vec<u8>,
    /// How much of `out` the socket has taken.
    written: usize,
    /// How much may still be sent on the connection and on the stream.
    connection_window: i64,
    stream_window: i64,
    /// The server's INITIAL_WINDOW_SIZE, the initial value of `stream_window`.
    initial_window: i64,
    /// The server's SETTINGS have arrived.
    greeted: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the server closed the connection")]
    Closed,
    #[error("the server closed the connection before its first frame: if it speaks TLS, name its authority with --ca")]
    NotGreeted,
    #[error(
        "the server ended the stream: if it does not know the contract, choose another with --contract; trailers: {0}"
    )]
    Ended(String),
    #[error("the server reset the stream: {0}")]
    Reset(&'static str),
    #[error("the server is closing the connection: {0} {1}")]
    GoAway(&'static str, String),
    #[error("the server broke HTTP/2: {0}")]
    Protocol(&'static str),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Connection {
    /// Starts to connect, and calls the method at `path` when connected.
    pub fn open(server: &Endpoint, path: &str) -> io::Result<Connection> {
        Connection::with_window(server, path, WINDOW_BYTES_MAX)
    }

    /// The same for a client that does not read: the windows stay at HTTP/2's initial values until
    /// [`Connection::let_go`]. The connection still reads the available data, and answers pings, as gRPC's own clients
    /// do.
    pub fn open_held(server: &Endpoint, path: &str) -> io::Result<Connection> {
        let mut connection = Connection::with_window(server, path, INITIAL_WINDOW_BYTES as u32)?;
        connection.held = true;
        Ok(connection)
    }

    fn with_window(server: &Endpoint, path: &str, window_bytes: u32) -> io::Result<Connection> {
        let socket = Socket::connect(server)?;
        let mut out = Vec::with_capacity(512);
        out.extend_from_slice(PREFACE);
        frames::write_settings(&mut out, window_bytes);
        if window_bytes > INITIAL_WINDOW_BYTES as u32 {
            frames::write_window_update(&mut out, 0, window_bytes - INITIAL_WINDOW_BYTES as u32);
        }
        write_request(&mut out, server, path);
        let sending = Sending {
            out,
            written: 0,
            connection_window: INITIAL_WINDOW_BYTES,
            stream_window: INITIAL_WINDOW_BYTES,
            initial_window: INITIAL_WINDOW_BYTES,
            greeted: false,
        };
        let frames = FrameParser::default();
        let (granted_bytes, logged_in) = (window_bytes.into(), server.login.is_some());
        Ok(Connection { socket, frames, granted_bytes, held: false, logged_in, sending })
    }

    pub fn is_held(&self) -> bool {
        self.held
    }

    /// Removes the limit of the windows.
    pub fn let_go(&mut self) -> io::Result<()> {
        self.held = false;
        self.top_up();
        self.flush()
    }

    /// The server has answered: it has accepted the connection.
    pub fn greeted(&self) -> bool {
        self.sending.greeted
    }

    /// Whether the server's windows, and our own bound, allow a message of this many bytes.
    pub fn has_room(&self, message_bytes: usize) -> bool {
        let window = self.sending.connection_window.min(self.sending.stream_window);
        window >= (PREFIX_BYTES + message_bytes) as i64 && self.sending.out.len() < OUT_BYTES_MAX
    }

    /// Queues a message as one DATA frame, for the next [`Connection::flush`]. There must be space for it.
    pub fn send(&mut self, message: &[u8]) {
        debug_assert!(self.has_room(message.len()));
        let length = PREFIX_BYTES + message.len();
        let Sending { out, connection_window, stream_window, .. } = &mut self.sending;
        Head { length, kind: kind::DATA, flags: 0, stream: STREAM }.write(out);
        write_prefix(out, message.len());
        out.extend_from_slice(message);
        *connection_window -= length as i64;
        *stream_window -= length as i64;
    }

    /// Writes the queued bytes that the socket accepts. The rest is written when the socket is writable again.
    pub fn flush(&mut self) -> io::Result<()> {
        let sending = &mut self.sending;
        while sending.written < sending.out.len() {
            match self.socket.write(&sending.out[sending.written..]) {
                Ok(bytes) => sending.written += bytes,
                Err(error) => match error.kind() {
                    // Not connected: still connecting.
                    io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected => return settle(self.socket.flush()),
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
        sending.out.clear();
        sending.written = 0;
        settle(self.socket.flush())
    }

    /// Reads all available data through `buffer`, and calls `on_data` with the time and each piece of the stream.
    pub fn receive(
        &mut self,
        buffer: &mut [u8],
        clock: &Clock,
        mut on_data: impl FnMut(u64, &[u8]) -> Result<(), Fault>,
    ) -> Result<(), ConnectionError> {
        while self.read_once(buffer, clock, &mut on_data)? {}
        Ok(())
    }

    /// The same with one read. Returns whether more data may be available.
    pub fn read_once(
        &mut self,
        buffer: &mut [u8],
        clock: &Clock,
        mut on_data: impl FnMut(u64, &[u8]) -> Result<(), Fault>,
    ) -> Result<bool, ConnectionError> {
        let (length, more) = match self.socket.read(buffer) {
            Ok(0) => return Err(self.closed()),
            Ok(length) => (length, self.socket.may_have_more(length, buffer.len())),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected => (0, false),
                io::ErrorKind::Interrupted => return Ok(true),
                // A server that closes with unread data resets the connection.
                io::ErrorKind::ConnectionReset => return Err(self.closed()),
                _ => return Err(error.into()),
            },
        };
        let now_ns = clock.now_ns();
        self.take(&buffer[..length], |bytes| on_data(now_ns, bytes))?;
        if !more {
            self.top_up();
            self.flush()?;
        }
        Ok(more)
    }

    /// Resets the stream, if the socket accepts the frame, before the connection is dropped.
    pub fn leave(mut self) -> io::Result<()> {
        frames::write_reset(&mut self.sending.out, STREAM, CANCEL);
        self.flush()?;
        settle(self.socket.close())
    }

    fn closed(&self) -> ConnectionError {
        match self.socket {
            Socket::Plain(_) if !self.greeted() => ConnectionError::NotGreeted,
            _ => ConnectionError::Closed,
        }
    }

    #[inline]
    fn take(
        &mut self,
        mut input: &[u8],
        mut on_data: impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), ConnectionError> {
        while let Some(piece) = self.frames.next(&mut input)? {
            match piece {
                Piece::Data { stream, bytes, end } => {
                    if stream != STREAM {
                        return Err(ConnectionError::Protocol("DATA for a stream that we did not open"));
                    }
                    on_data(bytes)?;
                    if end {
                        return Err(ConnectionError::Ended("nothing, there are none".into()));
                    }
                }
                Piece::Frame { head, payload } => self.sending.heed(head, payload)?,
            }
        }
        Ok(())
    }

    fn top_up(&mut self) {
        let left = self.granted_bytes.saturating_sub(self.frames.data_bytes);
        if !self.held && left < TOP_UP_BYTES.into() {
            frames::write_window_update(&mut self.sending.out, 0, TOP_UP_BYTES);
            frames::write_window_update(&mut self.sending.out, STREAM, TOP_UP_BYTES);
            self.granted_bytes += u64::from(TOP_UP_BYTES);
        }
    }
}

impl Sending {
    /// Handles a frame other than DATA. Irrelevant ones are ignored, as HTTP/2 requires.
    fn heed(&mut self, head: Head, payload: &[u8]) -> Result<(), ConnectionError> {
        match head.kind {
            kind::SETTINGS if !head.has(flag::ACK) => {
                self.settings(payload)?;
                frames::write_frame(&mut self.out, kind::SETTINGS, flag::ACK, 0, &[]);
            }
            kind::PING if !head.has(flag::ACK) => {
                frames::write_frame(&mut self.out, kind::PING, flag::ACK, 0, payload);
            }
            kind::WINDOW_UPDATE => {
                let bytes = i64::from(number(payload, 0)? & WINDOW_BYTES_MAX);
                match head.stream {
                    0 => self.connection_window += bytes,
                    _ => self.stream_window += bytes,
                }
            }
            kind::HEADERS if head.has(flag::END_STREAM) => {
                return Err(ConnectionError::Ended(printable(payload)));
            }
            kind::RST_STREAM => return Err(ConnectionError::Reset(frames::error_name(number(payload, 0)?))),
            kind::GOAWAY => {
                let name = frames::error_name(number(payload, 4)?);
                return Err(ConnectionError::GoAway(name, printable(&payload[8..])));
            }
            _ => {}
        }
        Ok(())
    }

    fn settings(&mut self, payload: &[u8]) -> Result<(), ConnectionError> {
        for entry in payload.chunks(6) {
            let [i0, i1, ..] = *entry else { return Err(SHORT) };
            if u16::from_be_bytes([i0, i1]) == setting::INITIAL_WINDOW_SIZE {
                let window = i64::from(number(entry, 2)?);
                // It also changes the windows of streams that are open.
                self.stream_window += window - self.initial_window;
                self.initial_window = window;
            }
        }
        self.greeted = true;
        Ok(())
    }
}

const SHORT: ConnectionError = ConnectionError::Protocol("a frame ends too early");

fn number(payload: &[u8], at: usize) -> Result<u32, ConnectionError> {
    let bytes = payload.get(at..).and_then(|rest| rest.first_chunk()).ok_or(SHORT)?;
    Ok(u32::from_be_bytes(*bytes))
}

/// The result of a write, of which the rest follows when the socket is writable, or connected.
fn settle(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) => Ok(()),
        written => written,
    }
}

/// The readable text of a header block without decoding: enough to recognise a status message, if the server did not
/// compress it.
fn printable(payload: &[u8]) -> String {
    let is_text = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    payload
        .split(|byte| !is_text(byte))
        .filter(|run| run.len() > 2)
        .map(|run| String::from_utf8_lossy(&run[..run.len().min(SHOWN_BYTES_MAX)]))
        .collect::<Vec<_>>()
        .join(" ")
}
