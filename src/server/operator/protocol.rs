//! The protocol of the operator's socket: one JSON request a line, one JSON response a line.
//!
//! Both sides bound the lengths of lines and the time that one takes.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};

use crate::server::auth::accounts::command::{OperatorCommand, OperatorReply};

const CHUNK: usize = 16 * 1024;

/// A request to the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    Status,
    Execute { command: OperatorCommand },
}

/// The server's response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "response", rename_all = "snake_case")]
pub enum Response {
    Status { status: Status },
    Done { reply: OperatorReply },
    Failed { error: String },
}

/// What a running server says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// How clients log in, such as `open` or `accounts`.
    pub modes: Vec<String>,
    /// Where it listens.
    pub addresses: Vec<String>,
    /// Whether it accepts tokens and invitations.
    pub accounts: bool,
    /// The address for invitation links, `HOST` or `HOST:PORT`.
    pub public: Option<String>,
    /// The fingerprint of the authority of the server's certificate, if it is not a public one.
    #[serde(default)]
    pub authority: Option<String>,
}

/// A connection of the socket, for lines.
pub struct Lines<'a> {
    stream: &'a UnixStream,
    /// Readable when the connection must end.
    stop: Option<BorrowedFd<'a>>,
    received: Vec<u8>,
}

impl<'a> Lines<'a> {
    pub fn new(stream: &'a UnixStream, stop: Option<BorrowedFd<'a>>) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, stop, received: Vec::new() })
    }

    /// The next line, of this length at most; `None` at the end.
    pub fn read(&mut self, bytes_max: usize, time: Duration) -> io::Result<Option<String>> {
        let deadline = Instant::now() + time;
        let mut searched = 0;
        loop {
            if let Some(end) = self.received[searched..].iter().position(|byte| *byte == b'\n') {
                let rest = self.received.split_off(searched + end + 1);
                let mut line = std::mem::replace(&mut self.received, rest);
                line.pop();
                let text = String::from_utf8(line).map_err(|_| invalid("the line is not UTF-8"))?;
                return Ok(Some(text));
            }
            searched = self.received.len();
            if searched > bytes_max {
                return Err(invalid("the line is too long"));
            }
            let mut chunk = [0; CHUNK];
            match (&mut &*self.stream).read(&mut chunk) {
                Ok(0) if self.received.is_empty() => return Ok(None),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.received.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait(PollFlags::IN, deadline)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends a line.
    pub fn write(&mut self, text: &str, time: Duration) -> io::Result<()> {
        let deadline = Instant::now() + time;
        let mut rest = text.as_bytes();
        let mut is_ended = false;
        loop {
            if rest.is_empty() {
                if is_ended {
                    return Ok(());
                }
                (rest, is_ended) = (b"\n", true);
            }
            match (&mut &*self.stream).write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait(PollFlags::OUT, deadline)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn wait(&self, what: PollFlags, deadline: Instant) -> io::Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match wait_for(self.stream.as_fd(), what, self.stop, Some(left))? {
            true => Err(io::Error::other("the server is stopping")),
            false => Ok(()),
        }
    }
}

/// Waits until a descriptor is ready, or the time is over. Whether `stop` has become readable.
pub fn wait_for(
    fd: BorrowedFd<'_>,
    what: PollFlags,
    stop: Option<BorrowedFd<'_>>,
    time: Option<Duration>,
) -> io::Result<bool> {
    let time = time.map(|time| Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() });
    let mut fds = [PollFd::from_borrowed_fd(fd, what), PollFd::from_borrowed_fd(stop.unwrap_or(fd), PollFlags::IN)];
    let count = if stop.is_some() { 2 } else { 1 };
    match poll(&mut fds[..count], time.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(stop.is_some() && !fds[1].revents().is_empty()),
        Err(error) => Err(error.into()),
    }
}

fn invalid(fault: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, fault)
}
