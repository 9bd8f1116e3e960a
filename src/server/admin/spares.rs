//! Descriptors that are kept for the admin face: when the process has no others left, its connections get these, so that
//! the server can still be watched.
//!
//! With the feature `core-patches`, connections of clients never take the last descriptors, and accept4(2) is replaced in
//! the whole program for that (`rpc/patches/accept.rs`). So here the system is called directly. A connection that gets one
//! of the last descriptors, which are for the log, is moved to a spare one. Without the feature there may be none left;
//! then a spare one is freed.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};

use parking_lot::Mutex;
use rustix::io::{DupFlags, dup3, fcntl_dupfd_cloexec};

use crate::descriptors;
use crate::limits::{ADMIN_SPARE_DESCRIPTORS, DESCRIPTORS_KEPT};

/// Descriptors that stand for nothing.
pub struct Spares {
    null: File,
    // lock order: 3 (a leaf, held to take one or put one back)
    kept: Mutex<Vec<OwnedFd>>,
}

impl Spares {
    pub fn new() -> io::Result<Self> {
        let spares = Self { null: File::open("/dev/null")?, kept: Mutex::default() };
        spares.fill();
        Ok(spares)
    }

    /// Accepts a connection of a listening socket, if one waits.
    pub fn accept(&self, listener: RawFd) -> io::Result<OwnedFd> {
        let connection = loop {
            match accept(listener) {
                // Another thread may take it first. Then there are others, and they come back.
                Err(error) if is_shortage(&error) && self.take().is_some() => {}
                accepted => break accepted?,
            }
        };
        let is_last = |descriptor: RawFd| {
            usize::try_from(descriptor).is_ok_and(|number| number + DESCRIPTORS_KEPT >= descriptors::limit())
        };
        if !is_last(connection.as_raw_fd()) {
            return Ok(connection);
        }
        // As many connections as there are spares at once; the others are closed.
        let mut spare = self.take().ok_or(io::ErrorKind::ConnectionAborted)?;
        dup3(&connection, &mut spare, DupFlags::CLOEXEC)?;
        Ok(spare)
    }

    /// Closes a connection. While some are missing, its descriptor becomes one, and nobody else can take it.
    pub fn close(&self, mut connection: OwnedFd) {
        {
            let mut kept = self.kept.lock();
            if kept.len() < ADMIN_SPARE_DESCRIPTORS && dup3(&self.null, &mut connection, DupFlags::CLOEXEC).is_ok() {
                kept.push(connection);
            }
        }
        self.fill();
    }

    fn take(&self) -> Option<OwnedFd> {
        self.kept.lock().pop()
    }

    /// Replaces those that other threads have taken, as far as the process may have more.
    fn fill(&self) {
        let mut kept = self.kept.lock();
        while kept.len() < ADMIN_SPARE_DESCRIPTORS {
            match fcntl_dupfd_cloexec(&self.null, 0) {
                Ok(spare) => kept.push(spare),
                Err(_) => break,
            }
        }
    }
}

/// Calls accept4(2), and not what replaces it.
fn accept(listener: RawFd) -> io::Result<OwnedFd> {
    let (no_name, no_size) = (std::ptr::null_mut::<libc::sockaddr>(), std::ptr::null_mut::<libc::socklen_t>());
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: nothing is written without a place for the name.
    let result = unsafe { libc::syscall(libc::SYS_accept4, listener, no_name, no_size, flags) };
    match RawFd::try_from(result) {
        // SAFETY: it is new, and owned by nobody else.
        Ok(descriptor) if descriptor >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether there is no descriptor for a connection.
fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_connection_that_ends_becomes_a_spare_while_some_are_missing() {
        let spares = Spares::new().unwrap();
        let taken = std::iter::from_fn(|| spares.take()).count();
        assert_eq!(taken, ADMIN_SPARE_DESCRIPTORS);
        let (ours, theirs) = UnixStream::pair().unwrap();
        let number = ours.as_raw_fd();
        spares.close(ours.into());
        assert!(spares.kept.lock().iter().any(|spare| spare.as_raw_fd() == number));
        // It is closed for its peer, and the others were replaced.
        assert_eq!(io::Read::read(&mut &theirs, &mut [0]).unwrap(), 0);
        assert_eq!(spares.kept.lock().len(), ADMIN_SPARE_DESCRIPTORS);
        let (ours, _theirs) = UnixStream::pair().unwrap();
        spares.close(ours.into());
        assert_eq!(spares.kept.lock().len(), ADMIN_SPARE_DESCRIPTORS);
    }
}
