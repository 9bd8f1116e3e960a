//! Writes to a descriptor, whatever it is.

use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, write};

/// A write that has failed.
#[derive(Debug)]
pub struct Failed {
    /// How many bytes were written before.
    pub written: usize,
    pub error: Errno,
}

/// Writes all bytes. Waits while the descriptor takes none, also if it was set not to block: another program that has it
/// too may have done that.
///
/// Rust's own standard error is locked while it is written: a panic on another thread would wait for a pipe that nobody
/// reads.
pub fn write_all(descriptor: impl AsFd, bytes: &[u8]) -> Result<(), Failed> {
    let mut written = 0;
    while written < bytes.len() {
        match write(&descriptor, &bytes[written..]) {
            Ok(0) => return Err(Failed { written, error: Errno::IO }),
            Ok(count) => written += count,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut polled = [PollFd::new(&descriptor, PollFlags::OUT)];
                // If it fails, the next write reports why.
                let _ = poll(&mut polled, None);
            }
            Err(error) => return Err(Failed { written, error }),
        }
    }
    Ok(())
}
