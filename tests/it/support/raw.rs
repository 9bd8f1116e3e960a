//! A client made of bytes: it joins like any other, and then does what no gRPC library lets a client do.
//!
//! It also reads everything that comes before the end of a stream. The library's own client does not: it reports a
//! status other than OK as soon as it is there, even where a message before it was not handed out yet.

use std::io::{self, Read as _, Write as _};
use std::mem;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd as _, FromRawFd as _};

use hubbub::wire::TUTORIAL_CHAT_CLIENT;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// Kinds of frames.
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

// Flags of frames.
pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;

/// A connection with one open stream.
pub struct Raw {
    connection: TcpStream,
}

impl Raw {
    /// Joins. Until it reads on, the server can send it 64 KiB.
    pub fn join(target: &str) -> Self {
        Self::join_with(target, None)
    }

    /// Joins with a further header.
    pub fn join_with(target: &str, header: Option<(&str, &str)>) -> Self {
        let mut connection = TcpStream::connect(target).expect("the server listens");
        let mut hello = PREFACE.to_vec();
        hello.extend(frame(SETTINGS, 0, 0, &[]));
        let block = headers(TUTORIAL_CHAT_CLIENT.name, header);
        hello.extend(frame(HEADERS, END_HEADERS, 1, &block));
        connection.write_all(&hello).expect("the server reads");
        let mut raw = Self { connection };
        // The server speaks first of all: from then on the connection is in its hands, not in a queue of the system's.
        assert_eq!(raw.read_frame().0, SETTINGS);
        raw
    }

    /// Connects, and opens no stream.
    pub fn open(target: &str) -> Self {
        let mut raw = Self { connection: TcpStream::connect(target).expect("the server listens") };
        raw.write(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
        assert_eq!(raw.read_frame().0, SETTINGS);
        raw
    }

    /// Sends bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) {
        self.connection.write_all(bytes).expect("the server reads");
    }

    /// Reads until a frame of this kind: its stream and its payload.
    pub fn next_of(&mut self, kind: u8) -> (u32, Vec<u8>) {
        loop {
            let (header, payload) = self.read_whole_frame();
            if header[3] == kind {
                return (u32::from_be_bytes([header[5], header[6], header[7], header[8]]), payload);
            }
        }
    }

    /// Reads until the headers that end a stream.
    pub fn read_trailers(&mut self) -> String {
        loop {
            let (kind, flags, payload) = self.read_frame();
            if kind == HEADERS && flags & END_STREAM != 0 {
                return String::from_utf8_lossy(&payload).into_owned();
            }
        }
    }

    /// Sends bytes as one gRPC message, whatever they are.
    pub fn send(&mut self, message: &[u8]) {
        self.connection.write_all(&frame(DATA, 0, 1, &prefixed(0, message))).expect("the server reads");
    }

    /// Ends the sending side.
    pub fn half_close(&mut self) {
        self.connection.write_all(&frame(DATA, END_STREAM, 1, &[])).expect("the server reads");
    }

    /// Reads until the stream ends. Returns the gRPC messages that came before the end, and the trailers as they are.
    pub fn read_to_end(mut self) -> (Vec<Vec<u8>>, String) {
        let mut data = Vec::new();
        loop {
            let (kind, flags, payload) = self.read_frame();
            match kind {
                DATA => data.extend(payload),
                HEADERS if flags & END_STREAM != 0 => {
                    return (messages(&data), String::from_utf8_lossy(&payload).into_owned());
                }
                RST_STREAM => panic!("the server reset the stream"),
                _ => {}
            }
        }
    }

    /// Reads until so many gRPC messages came. Nothing may come after them.
    pub fn read_messages(&mut self, count: usize) -> Vec<Vec<u8>> {
        let mut data = Vec::new();
        loop {
            // Messages are only counted where they end with a frame, as the last one does.
            let whole = whole_messages(&data);
            if whole == Some(count) {
                return messages(&data);
            }
            let (kind, _, payload) = self.read_frame();
            if kind == DATA {
                data.extend(payload);
            }
        }
    }

    /// Pings. Fails where the connection is closed.
    pub fn ping(&mut self) -> std::io::Result<()> {
        self.connection.write_all(&frame(PING, 0, 0, &[0; 8]))
    }

    /// Reads until the answer to a ping; false if the server says goodbye or hangs up instead.
    pub fn is_ping_answered(&mut self) -> bool {
        self.connection.set_read_timeout(Some(super::DEADLINE)).expect("a timeout is set");
        loop {
            let mut header = [0; 9];
            if self.connection.read_exact(&mut header).is_err() {
                return false;
            }
            let mut payload = vec![0; u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize];
            if self.connection.read_exact(&mut payload).is_err() || header[3] == GOAWAY {
                return false;
            }
            if header[3] == PING && header[4] & ACK != 0 {
                return true;
            }
        }
    }

    /// Reads one frame, and lets the server send as much again: its kind, its flags and its payload.
    pub fn read_frame(&mut self) -> (u8, u8, Vec<u8>) {
        let (header, payload) = self.read_whole_frame();
        (header[3], header[4], payload)
    }

    fn read_whole_frame(&mut self) -> ([u8; 9], Vec<u8>) {
        self.try_read_whole_frame().expect("the server sends another frame")
    }

    fn try_read_whole_frame(&mut self) -> io::Result<([u8; 9], Vec<u8>)> {
        self.connection.set_read_timeout(Some(super::DEADLINE)).expect("a timeout is set");
        let mut header = [0; 9];
        self.connection.read_exact(&mut header)?;
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
        let mut payload = vec![0; length as usize];
        self.connection.read_exact(&mut payload)?;
        if header[3] == DATA && length > 0 {
            for stream in [0, 1] {
                // The server may have closed its end already, having sent all it wanted to.
                let _ = self.connection.write_all(&frame(WINDOW_UPDATE, 0, stream, &length.to_be_bytes()));
            }
        }
        Ok((header, payload))
    }

    /// Cancels the stream and closes the connection, as a client that leaves does.
    pub fn leave(mut self) {
        let cancel = 8u32.to_be_bytes();
        self.connection.write_all(&frame(RST_STREAM, 0, 1, &cancel)).expect("the server reads");
    }

    /// Resets the connection, as the system does for a client that was killed.
    pub fn vanish(self) {
        reset(self.connection);
    }

    /// Answers pings until the server closes the connection. Returns what its GOAWAY says.
    pub fn wait_for_close(&mut self) -> String {
        let mut reason = String::new();
        loop {
            match self.try_read_whole_frame() {
                Ok((header, payload)) => match header[3] {
                    PING if header[4] & ACK == 0 => drop(self.connection.write_all(&frame(PING, ACK, 0, &payload))),
                    GOAWAY => reason = String::from_utf8_lossy(&payload[8..]).into_owned(),
                    _ => {}
                },
                Err(error)
                    if [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset].contains(&error.kind()) =>
                {
                    return reason;
                }
                Err(error) => panic!("the server did not close the connection: {error}"),
            }
        }
    }
}

/// Takes the gRPC messages apart: one byte of flags and four of length stand before each.
fn messages(mut data: &[u8]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    while let Some((message, rest)) = split_message(data) {
        messages.push(message.to_vec());
        data = rest;
    }
    assert!(data.is_empty(), "the stream ends within a message");
    messages
}

/// How many messages these are, if the last one is whole.
fn whole_messages(mut data: &[u8]) -> Option<usize> {
    let mut count = 0;
    while let Some((_, rest)) = split_message(data) {
        data = rest;
        count += 1;
    }
    data.is_empty().then_some(count)
}

fn split_message(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let [_, a, b, c, d, rest @ ..] = data else { return None };
    rest.split_at_checked(u32::from_be_bytes([*a, *b, *c, *d]) as usize)
}

/// The encoding of a message with this name and body, which both directions share.
pub fn encode(name: &str, body: &str) -> Vec<u8> {
    [field(1, name.as_bytes()), field(2, body.as_bytes())].concat()
}

/// The encoding of a protobuf field that has a length: the number is at most 15.
pub fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    const LENGTH_DELIMITED: u8 = 2;
    let mut field = vec![number << 3 | LENGTH_DELIMITED];
    let mut length = bytes.len();
    while length >= 0x80 {
        field.push(length as u8 | 0x80);
        length >>= 7;
    }
    field.push(length as u8);
    field.extend(bytes);
    field
}

/// A gRPC message: the flag says whether it is compressed, if it is 0 or 1.
pub fn prefixed(flag: u8, message: &[u8]) -> Vec<u8> {
    let mut prefixed = vec![flag];
    prefixed.extend((message.len() as u32).to_be_bytes());
    prefixed.extend(message);
    prefixed
}

/// The header block that begins a call.
pub fn headers<'a>(path: &'a str, more: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let fixed = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ];
    let mut block = Vec::new();
    for (name, value) in fixed.into_iter().chain(more) {
        // A literal header field that is never indexed: name and value as they are.
        block.extend([0x10, name.len() as u8]);
        block.extend(name.bytes());
        block.push(value.len() as u8);
        block.extend(value.bytes());
    }
    block
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Closes a connection so that its other end is told of a reset.
pub fn reset(connection: TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let size = size_of::<libc::linger>() as libc::socklen_t;
    // SAFETY: the descriptor is open, and the option's value is a `linger` of that size.
    let result = unsafe {
        let value = (&raw const linger).cast();
        libc::setsockopt(connection.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, value, size)
    };
    assert_eq!(result, 0, "SO_LINGER is set");
}

/// Connects from this address, which is one of this machine's.
pub fn connect_from(source: Ipv4Addr, target: &str) -> io::Result<TcpStream> {
    let SocketAddr::V4(target) = target.parse().expect("an address") else { panic!("{target} is IPv4") };
    let name = |address: Ipv4Addr, port: u16| {
        // SAFETY: zeros are valid for unset fields.
        let mut name: libc::sockaddr_in = unsafe { mem::zeroed() };
        name.sin_family = libc::AF_INET as libc::sa_family_t;
        name.sin_port = port.to_be();
        name.sin_addr.s_addr = u32::from(address).to_be();
        name
    };
    let (source, target) = (name(source, 0), name(*target.ip(), target.port()));
    let size = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    // SAFETY: the descriptor is new and owned here, and the names have the size that is passed.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        if socket < 0 {
            return Err(io::Error::last_os_error());
        }
        let connection = TcpStream::from_raw_fd(socket);
        let bound = libc::bind(socket, (&raw const source).cast(), size);
        if bound != 0 || libc::connect(socket, (&raw const target).cast(), size) != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(connection)
    }
}
