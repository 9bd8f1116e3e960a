//! A connection's socket: reads and writes that end at a deadline for the whole request or response. With a deadline for
//! each read, a client that sends one byte at a time would keep its thread for ever.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, recv, send, sendmsg, shutdown, sockopt};

use crate::limits::{
    HTTP_KEEPALIVE_COUNT, HTTP_KEEPALIVE_IDLE, HTTP_KEEPALIVE_INTERVAL, HTTP_LINGER_BYTES_MAX, HTTP_RECEIVE_BYTES,
    HTTP_UNSENT_BYTES_MAX,
};

/// A connected socket, which does not block.
#[derive(Debug)]
pub struct Socket(OwnedFd);

/// Why a read or a write ended without success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupted {
    /// The deadline has passed.
    Late,
    /// The connection is lost, or was shut down.
    Gone,
}

impl Socket {
    /// The descriptor must be set not to block.
    pub fn new(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }

    /// The descriptor.
    pub fn into_descriptor(self) -> OwnedFd {
        self.0
    }

    /// Waits for bytes, and appends as many as there is capacity for. Returns how many; 0 at the end of the input.
    pub fn receive(&self, into: &mut Vec<u8>, until: Instant) -> Result<usize, Interrupted> {
        loop {
            match recv(&self.0, spare_capacity(into), RecvFlags::empty()) {
                Ok((count, _)) => return Ok(count),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.wait(PollFlags::IN, until)?,
                Err(_) => return Err(Interrupted::Gone),
            }
        }
    }

    /// Writes all of it.
    pub fn send_all(&self, mut bytes: &[u8], until: Instant) -> Result<(), Interrupted> {
        while !bytes.is_empty() {
            match send(&self.0, bytes, SendFlags::NOSIGNAL) {
                Ok(count) => bytes = &bytes[count..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.wait(PollFlags::OUT, until)?,
                Err(_) => return Err(Interrupted::Gone),
            }
        }
        Ok(())
    }

    /// Writes as many bytes of these parts as the socket takes at once. `None` if it takes none.
    pub fn send_parts(&self, parts: &[IoSlice<'_>]) -> Result<Option<usize>, Interrupted> {
        loop {
            let mut no_control = SendAncillaryBuffer::default();
            match sendmsg(&self.0, parts, &mut no_control, SendFlags::NOSIGNAL) {
                Ok(count) => return Ok(Some(count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(_) => return Err(Interrupted::Gone),
            }
        }
    }

    /// Discards the bytes that have come, at most `bytes_max`. Returns how many. Fails if the peer has ended its output.
    pub fn discard(&self, bytes_max: usize) -> Result<usize, Interrupted> {
        let (mut buffer, mut discarded) = ([0; 4096], 0);
        while discarded < bytes_max {
            let length = buffer.len().min(bytes_max - discarded);
            match recv(&self.0, &mut buffer[..length], RecvFlags::empty()) {
                Ok((0, _)) => return Err(Interrupted::Gone),
                Ok((count, _)) => discarded += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => return Err(Interrupted::Gone),
            }
        }
        Ok(discarded)
    }

    /// Prepares a connection for a long response, of which a slow reader must not fill the kernel's memory, and whose
    /// client may vanish. It is not ended because its client does not read: being slow is not a fault.
    pub fn prepare_for_stream(&self) {
        let descriptor = self.0.as_raw_fd();
        let unsent: libc::c_int = HTTP_UNSENT_BYTES_MAX;
        // SAFETY: the option's value is an integer that lives until the call returns, and its size is right. It fails, without
        // an effect, for a Unix socket, whose buffer is small anyway.
        unsafe {
            let (value, size) = (std::ptr::from_ref(&unsent).cast(), size_of_val(&unsent) as libc::socklen_t);
            libc::setsockopt(descriptor, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, value, size);
        }
        // Each fails for a Unix socket, which does not need it.
        let _ = sockopt::set_socket_keepalive(&self.0, true);
        let _ = sockopt::set_tcp_keepidle(&self.0, HTTP_KEEPALIVE_IDLE);
        let _ = sockopt::set_tcp_keepintvl(&self.0, HTTP_KEEPALIVE_INTERVAL);
        let _ = sockopt::set_tcp_keepcnt(&self.0, HTTP_KEEPALIVE_COUNT);
    }

    /// Ends the output, after which nothing is written any more. Does not wait for the peer.
    pub fn end_output(&self) {
        // Closing a socket with unread input resets the connection, and the peer may then lose what it has not read yet.
        let _ = self.discard(HTTP_LINGER_BYTES_MAX);
        // It fails if the connection is lost, which has the same effect.
        let _ = shutdown(&self.0, Shutdown::Write);
    }

    /// Ends what the peer may send: a thread that waits for a request gets the end of the input.
    pub fn end_input(&self) {
        // It fails if the connection is lost, which has the same effect.
        let _ = shutdown(&self.0, Shutdown::Read);
    }

    /// Ends the output, and discards input for a while. Closing a socket with unread input resets the connection, and a
    /// client may then lose the response that it has not read yet.
    pub fn linger(&self, until: Instant, mut bytes_max: usize) {
        if shutdown(&self.0, Shutdown::Write).is_err() {
            return;
        }
        let mut discarded = Vec::with_capacity(HTTP_RECEIVE_BYTES);
        while bytes_max > 0 {
            discarded.clear();
            match self.receive(&mut discarded, until) {
                Ok(count @ 1..) => bytes_max = bytes_max.saturating_sub(count),
                Ok(0) | Err(_) => return,
            }
        }
    }

    fn wait(&self, events: PollFlags, until: Instant) -> Result<(), Interrupted> {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Interrupted::Late);
        }
        match wait_for(&mut [PollFd::new(&self.0, events)], Some(left)) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Interrupted::Late),
            Err(_) => Err(Interrupted::Gone),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Waits for an event on some descriptors. `false` if the time has passed first.
pub fn wait_for(descriptors: &mut [PollFd<'_>], time: Option<Duration>) -> io::Result<bool> {
    // Rounded up: a wait of less than a millisecond must not become none.
    let time = time.map(|time| time + Duration::from_millis(1));
    let time = time.and_then(|time| Timespec::try_from(time).ok());
    match poll(descriptors, time.as_ref()) {
        Ok(count) => Ok(count > 0),
        // The caller looks again.
        Err(Errno::INTR) => Ok(true),
        Err(error) => Err(error.into()),
    }
}
