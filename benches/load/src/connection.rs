//! One connection to the server, without blocking: with one chat stream over gRPC, or with one stream or calls over
//! HTTP/1.1.

use std::io::{self, Read, Write};

use crate::check::Fault;
use crate::clock::Clock;
use crate::endpoint::Endpoint;
use crate::http1::calls::Calls;
use crate::http1::chunks::ChunkError;
use crate::http1::head::HeadError;
use crate::http1::request::greeting;
use crate::http1::stream::Stream as HttpStream;
use crate::http2::parser::FrameError;
use crate::http2::stream::Stream as GrpcStream;
use crate::socket::Socket;

/// The maximum number of bytes that wait for the socket before a connection accepts no more messages.
const OUT_BYTES_MAX: usize = 256 << 10;

/// A connection, and what it carries.
pub struct Connection {
    pub socket: Socket,
    out: Vec<u8>,
    /// How much of `out` the socket has taken.
    written: usize,
    carried: Carried,
    /// The call has a token, so that the server knows the client's name.
    pub logged_in: bool,
}

/// What a connection carries: only this.
enum Carried {
    Grpc(GrpcStream),
    Http(HttpStream),
    Calls(Calls),
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
    #[error("the server ended the stream: {0}")]
    StreamEnded(String),
    #[error("the server answered with status {0}: {1}")]
    Status(u16, String),
    #[error("the server reset the stream: {0}")]
    Reset(&'static str),
    #[error("the server is closing the connection: {0} {1}")]
    GoAway(&'static str, String),
    #[error("the server broke the protocol: {0}")]
    Protocol(&'static str),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Head(#[from] HeadError),
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Connection {
    /// Starts to connect, and calls gRPC's method at `path` when connected.
    pub fn open(server: &Endpoint, path: &str) -> io::Result<Connection> {
        let mut out = Vec::with_capacity(512);
        let stream = GrpcStream::begin(&mut out, server, path, false);
        Connection::begin(server, out, Carried::Grpc(stream))
    }

    /// The same for a client that does not read: the windows stay at HTTP/2's initial values until
    /// [`Connection::let_go`]. The connection still reads the available data, and answers pings, as gRPC's own clients
    /// do.
    pub fn open_held(server: &Endpoint, path: &str) -> io::Result<Connection> {
        let mut out = Vec::with_capacity(512);
        let stream = GrpcStream::begin(&mut out, server, path, true);
        Connection::begin(server, out, Carried::Grpc(stream))
    }

    /// Starts to connect, and sends a request over HTTP/1.1 whose response is a stream.
    pub fn open_stream(server: &Endpoint, request: Vec<u8>) -> io::Result<Connection> {
        Connection::begin(server, request, Carried::Http(HttpStream::default()))
    }

    /// Starts to connect, for calls over HTTP/1.1.
    pub fn open_calls(server: &Endpoint) -> io::Result<Connection> {
        Connection::begin(server, Vec::new(), Carried::Calls(Calls::default()))
    }

    /// The same with a first request that only shows that the server serves the connection.
    pub fn open_greeted_calls(server: &Endpoint) -> io::Result<Connection> {
        Connection::begin(server, greeting(server), Carried::Calls(Calls::after_greeting()))
    }

    fn begin(server: &Endpoint, out: Vec<u8>, carried: Carried) -> io::Result<Connection> {
        let socket = Socket::connect(server)?;
        Ok(Connection { socket, out, written: 0, carried, logged_in: server.login.is_some() })
    }

    pub fn is_held(&self) -> bool {
        matches!(&self.carried, Carried::Grpc(stream) if stream.held)
    }

    /// Removes the limit of the windows.
    pub fn let_go(&mut self) -> io::Result<()> {
        if let Carried::Grpc(stream) = &mut self.carried {
            stream.held = false;
            stream.top_up(&mut self.out);
        }
        self.flush()
    }

    /// The server has answered: it has accepted the connection.
    pub fn greeted(&self) -> bool {
        match &self.carried {
            Carried::Grpc(stream) => stream.greeted(),
            Carried::Http(stream) => stream.greeted,
            Carried::Calls(calls) => calls.greeted(),
        }
    }

    /// Whether the server's windows, and our own bound, allow a message of this many bytes.
    pub fn has_room(&self, message_bytes: usize) -> bool {
        let allows = match &self.carried {
            Carried::Grpc(stream) => stream.has_room(message_bytes),
            // TCP's window is the only one.
            Carried::Http(_) | Carried::Calls(_) => true,
        };
        allows && self.out.len() < OUT_BYTES_MAX
    }

    /// Queues a message of the stream, or a request, for the next [`Connection::flush`]. There must be space for it.
    pub fn send(&mut self, message: &[u8]) {
        debug_assert!(self.has_room(message.len()));
        match &mut self.carried {
            Carried::Grpc(stream) => stream.write(&mut self.out, message),
            Carried::Http(_) | Carried::Calls(_) => self.out.extend_from_slice(message),
        }
    }

    /// Writes the queued bytes that the socket accepts. The rest is written when the socket is writable again.
    pub fn flush(&mut self) -> io::Result<()> {
        while self.written < self.out.len() {
            match self.socket.write(&self.out[self.written..]) {
                Ok(bytes) => self.written += bytes,
                Err(error) => match error.kind() {
                    // Not connected: still connecting.
                    io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected => return settle(self.socket.flush()),
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
        self.out.clear();
        self.written = 0;
        settle(self.socket.flush())
    }

    /// Reads all available data through `buffer`, and calls `on_data` with the time and each piece of the stream, or
    /// each response to a call.
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
        let (now_ns, input) = (clock.now_ns(), &buffer[..length]);
        let on_data = |bytes: &[u8]| on_data(now_ns, bytes);
        match &mut self.carried {
            Carried::Grpc(stream) => {
                stream.take(&mut self.out, input, on_data)?;
                if !more {
                    stream.top_up(&mut self.out);
                }
            }
            Carried::Http(stream) => stream.take(input, on_data)?,
            Carried::Calls(calls) => calls.take(input, on_data)?,
        }
        if !more {
            self.flush()?;
        }
        Ok(more)
    }

    /// Resets a gRPC stream, if the socket accepts the frame, before the connection is dropped.
    pub fn leave(mut self) -> io::Result<()> {
        if let Carried::Grpc(_) = self.carried {
            GrpcStream::write_reset(&mut self.out);
        }
        self.flush()?;
        settle(self.socket.close())
    }

    fn closed(&self) -> ConnectionError {
        match (&self.socket, &self.carried) {
            (Socket::Plain(_), Carried::Grpc(stream)) if !stream.greeted() => ConnectionError::NotGreeted,
            _ => ConnectionError::Closed,
        }
    }
}

/// The result of a write, of which the rest follows when the socket is writable, or connected.
fn settle(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) => Ok(()),
        written => written,
    }
}
