//! One connection to the server with one chat stream on it, without blocking.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::net::TcpStream;

use crate::check::Fault;
use crate::clock::Clock;
use crate::grpc::{Deframer, MessageError};
use crate::http2::frames::{
    self, CANCEL, Head, INITIAL_WINDOW_BYTES, PREFACE, STREAM, WINDOW_BYTES_MAX, flag, kind, setting,
};
use crate::http2::parser::{FrameError, FrameParser, Piece};
use crate::http2::request::write_request;
use crate::message::{Purpose, Template};

const CHAT_PATH: &str = "/chatserver.Services/ChatService";
/// When the server may send less than this, we let it send as much more: together below the largest window.
const TOP_UP_BYTES: u32 = 1 << 30;
/// What may wait for the socket before a connection takes no more messages.
const OUT_BYTES_MAX: usize = 256 << 10;
/// How much of what a server says at the end is shown.
const SHOWN_BYTES_MAX: usize = 400;

/// A chat stream and the connection that carries only it.
pub struct Connection {
    pub socket: TcpStream,
    frames: FrameParser,
    messages: Deframer,
    /// DATA bytes that the server may have sent in all, by the windows we gave it.
    granted_bytes: u64,
    sending: Sending,
}

/// The way out, and what the server said about it.
struct Sending {
    out: Vec<u8>,
    /// How much of `out` the socket has taken.
    written: usize,
    /// What we may still send on the connection and on the stream.
    connection_window: i64,
    stream_window: i64,
    /// The server's INITIAL_WINDOW_SIZE, with which `stream_window` began.
    initial_window: i64,
    /// The server's SETTINGS have come.
    greeted: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the server closed the connection")]
    Closed,
    #[error("the server ended the stream; in its trailers stands: {0}")]
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
    Message(#[from] MessageError),
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Connection {
    /// Begins to connect, and to open the stream as soon as the connection stands.
    pub fn open(server: SocketAddr) -> io::Result<Connection> {
        let socket = TcpStream::connect(server)?;
        socket.set_nodelay(true)?;
        let mut out = Vec::with_capacity(512);
        out.extend_from_slice(PREFACE);
        frames::write_settings(&mut out);
        frames::write_window_update(&mut out, 0, WINDOW_BYTES_MAX - INITIAL_WINDOW_BYTES as u32);
        write_request(&mut out, &server.to_string(), CHAT_PATH);
        let sending = Sending {
            out,
            written: 0,
            connection_window: INITIAL_WINDOW_BYTES,
            stream_window: INITIAL_WINDOW_BYTES,
            initial_window: INITIAL_WINDOW_BYTES,
            greeted: false,
        };
        Ok(Connection {
            socket,
            frames: FrameParser::default(),
            messages: Deframer::default(),
            granted_bytes: WINDOW_BYTES_MAX.into(),
            sending,
        })
    }

    /// The server has answered: it has accepted the connection.
    pub fn greeted(&self) -> bool {
        self.sending.greeted
    }

    /// Whether the server's windows, and our own bound, have room for the message.
    pub fn has_room(&self, template: &Template) -> bool {
        let window = self.sending.connection_window.min(self.sending.stream_window);
        window >= template.window_bytes() && self.sending.out.len() < OUT_BYTES_MAX
    }

    /// Puts a message on its way; it leaves with the next [`Connection::flush`]. There must be room for it.
    pub fn send(&mut self, template: &Template, purpose: Purpose, seq: u64, sent_ns: u64) {
        debug_assert!(self.has_room(template));
        template.write(&mut self.sending.out, purpose, seq, sent_ns);
        self.sending.connection_window -= template.window_bytes();
        self.sending.stream_window -= template.window_bytes();
    }

    /// Writes what waits, as far as the socket takes it. The rest goes when it is writable again.
    pub fn flush(&mut self) -> io::Result<()> {
        let sending = &mut self.sending;
        while sending.written < sending.out.len() {
            match self.socket.write(&sending.out[sending.written..]) {
                Ok(bytes) => sending.written += bytes,
                Err(error) => match error.kind() {
                    // Not connected: still connecting.
                    io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected => return Ok(()),
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
        sending.out.clear();
        sending.written = 0;
        Ok(())
    }

    /// Reads all that has come, through `buffer`, and calls `on_message` with the time and each message.
    pub fn receive(
        &mut self,
        buffer: &mut [u8],
        clock: &Clock,
        mut on_message: impl FnMut(u64, &[u8]) -> Result<(), Fault>,
    ) -> Result<(), ConnectionError> {
        loop {
            let length = match self.socket.read(buffer) {
                Ok(0) => return Err(ConnectionError::Closed),
                Ok(length) => length,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected => break,
                    io::ErrorKind::Interrupted => continue,
                    _ => return Err(error.into()),
                },
            };
            let now_ns = clock.now_ns();
            self.take(&buffer[..length], |message| on_message(now_ns, message))?;
            // A read that did not fill the buffer has emptied the socket: epoll reports whatever comes after it.
            if length < buffer.len() {
                break;
            }
        }
        self.top_up();
        Ok(self.flush()?)
    }

    /// Says that the stream is no longer needed, as far as the socket takes it, before the connection is dropped.
    pub fn leave(mut self) -> io::Result<()> {
        frames::write_reset(&mut self.sending.out, STREAM, CANCEL);
        self.flush()
    }

    #[inline]
    fn take(
        &mut self,
        mut input: &[u8],
        mut on_message: impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), ConnectionError> {
        while let Some(piece) = self.frames.next(&mut input)? {
            match piece {
                Piece::Data { stream, mut bytes, end } => {
                    if stream != STREAM {
                        return Err(ConnectionError::Protocol("DATA for a stream that we did not open"));
                    }
                    while let Some(message) = self.messages.next(&mut bytes)? {
                        on_message(message)?;
                    }
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
        if left < TOP_UP_BYTES.into() {
            frames::write_window_update(&mut self.sending.out, 0, TOP_UP_BYTES);
            frames::write_window_update(&mut self.sending.out, STREAM, TOP_UP_BYTES);
            self.granted_bytes += u64::from(TOP_UP_BYTES);
        }
    }
}

impl Sending {
    /// Does what a frame other than DATA asks for. What concerns us not is ignored, as HTTP/2 demands.
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

/// What can be read in a header block that is not decoded: enough to recognise a status message, where the server did
/// not compress it.
fn printable(payload: &[u8]) -> String {
    let is_text = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    payload
        .split(|byte| !is_text(byte))
        .filter(|run| run.len() > 2)
        .map(|run| String::from_utf8_lossy(&run[..run.len().min(SHOWN_BYTES_MAX)]))
        .collect::<Vec<_>>()
        .join(" ")
}
