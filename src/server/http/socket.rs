//! A connection's socket: reads and writes that end at a deadline for the whole request or response. With a deadline for
//! each read, a client that sends one byte at a time would keep its thread for ever.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};

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

    /// Waits for bytes. Returns how many were read; 0 at the end of the input.
    pub fn receive(&self, into: &mut [u8], until: Instant) -> Result<usize, Interrupted> {
        loop {
            match recv(&self.0, &mut *into, RecvFlags::empty()) {
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
        let mut discarded = [0; 4096];
        while bytes_max > 0 {
            match self.receive(&mut discarded, until) {
                Ok(1..) => bytes_max = bytes_max.saturating_sub(discarded.len()),
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
