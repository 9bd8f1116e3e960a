//! Accepts connections when file descriptors or memory are short.
//!
//! The C core accepts connections until the process has no descriptor left. Later clients then wait without an answer
//! in the system's queue, and the log's reader could not open a file. Other temporary errors, such as a full file table
//! of the system, permanently end its listener. No setting changes that, so `accept.cc` replaces accept4(2) in this
//! program:
//!
//! - The last [`DESCRIPTORS_KEPT`] descriptors are not used for connections. A client whose connection would take one
//!   is refused with HTTP/2's GOAWAY, whose text gives the reason, and disconnected.
//! - A temporary error is reported to the C core as the one after which it retries within a second.
//!
//! Without the feature `core-patches` the C core's own behaviour applies.
//!
//! Descriptors belong to the process, so this is global: each registered server of the process is notified.

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Weak};

use libc::c_int;
use parking_lot::Mutex;

use crate::descriptors;
use crate::limits::DESCRIPTORS_KEPT;
use crate::server::refusals::{Refusals, Shortage};

/// The text for a refused client.
pub const NO_DESCRIPTOR: &str =
    "the server is full: it has no file descriptor left for another connection; try again later";

/// The first descriptor that is not used for connections.
static FIRST_KEPT: AtomicI32 = AtomicI32::new(c_int::MAX);

// lock order: 2 (held for one lookup or push)
static SERVERS: Mutex<Vec<Weak<Refusals>>> = Mutex::new(Vec::new());

#[cfg(feature = "core-patches")]
unsafe extern "C" {
    fn hubbub_link_accept();
}

/// From now on, connections are refused while descriptors are short, and these are notified of that.
pub fn watch(refusals: &Arc<Refusals>) {
    #[cfg(feature = "core-patches")]
    // SAFETY: the function does nothing.
    unsafe {
        hubbub_link_accept();
    }
    let first_kept = descriptors::limit().saturating_sub(DESCRIPTORS_KEPT);
    FIRST_KEPT.store(c_int::try_from(first_kept).unwrap_or(c_int::MAX), Ordering::Relaxed);
    let mut servers = SERVERS.lock();
    servers.retain(|server| server.strong_count() > 0);
    servers.push(Arc::downgrade(refusals));
}

fn count(shortage: Shortage) {
    let servers: Vec<_> = SERVERS.lock().iter().filter_map(Weak::upgrade).collect();
    servers.iter().for_each(|refusals| refusals.count(shortage));
}

/// Whether a connection may use this descriptor. Closes it if not. Called on a poller: MUST NOT block.
#[unsafe(no_mangle)]
extern "C" fn hubbub_keep_connection(connection: c_int) -> bool {
    if connection < FIRST_KEPT.load(Ordering::Relaxed) {
        return true;
    }
    refuse(connection, NO_DESCRIPTOR);
    count(Shortage::Descriptors);
    false
}

/// The error that is reported to the C core: 0 if it concerns only one connection, which is gone.
#[unsafe(no_mangle)]
extern "C" fn hubbub_accept_error(error: c_int) -> c_int {
    match error {
        // accept(2) reports errors of a connection that was waiting.
        libc::ECONNABORTED
        | libc::ENETDOWN
        | libc::EPROTO
        | libc::ENOPROTOOPT
        | libc::EHOSTDOWN
        | libc::EHOSTUNREACH
        | libc::ENETUNREACH => 0,
        libc::EMFILE => {
            count(Shortage::Descriptors);
            libc::EMFILE
        }
        libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::EPERM => {
            count(Shortage::System(error));
            libc::EMFILE
        }
        _ => error,
    }
}

/// Sends GOAWAY to a client that has just connected, and closes its connection.
fn refuse(connection: c_int, reason: &str) {
    let goodbye = goodbye(reason);
    let mut read = MaybeUninit::<[u8; 4096]>::uninit();
    let without_waiting = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the descriptor is new and owned here; the buffers have the sizes that are passed, and the data is
    // ignored.
    unsafe {
        libc::send(connection, goodbye.as_ptr().cast(), goodbye.len(), without_waiting);
        // Unread data would turn the close into a reset.
        libc::recv(connection, read.as_mut_ptr().cast(), size_of_val(&read), without_waiting);
        libc::shutdown(connection, libc::SHUT_RDWR);
        libc::close(connection);
    }
}

/// HTTP/2's first frame of a server, empty, and its last one, with a text.
fn goodbye(reason: &str) -> Vec<u8> {
    const SETTINGS: u8 = 4;
    const GOAWAY: u8 = 7;
    const ENHANCE_YOUR_CALM: u32 = 11;
    let frame = |kind: u8, payload: &[u8]| {
        // Invariant: payloads here have less than 16 MiB. Neither flags nor a stream.
        let length = (payload.len() as u32).to_be_bytes();
        [&length[1..], &[kind, 0, 0, 0, 0, 0], payload].concat()
    };
    let no_stream = 0_u32.to_be_bytes();
    let goodbye = [&no_stream, &ENHANCE_YOUR_CALM.to_be_bytes(), reason.as_bytes()].concat();
    [frame(SETTINGS, &[]), frame(GOAWAY, &goodbye)].concat()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::fd::IntoRawFd as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_refused_client_reads_why() {
        let (mut client, server) = UnixStream::pair().unwrap();
        refuse(server.into_raw_fd(), "no room");
        let mut said = Vec::new();
        client.read_to_end(&mut said).unwrap();
        assert_eq!(&said[..9], [0, 0, 0, 4, 0, 0, 0, 0, 0]);
        assert_eq!(&said[9..18], [0, 0, 15, 7, 0, 0, 0, 0, 0]);
        assert_eq!(&said[18..26], [0, 0, 0, 0, 0, 0, 0, 11]);
        assert_eq!(&said[26..], b"no room");
    }

    /// All errors but three ended the C core's listener: the server continued to run and accepted no client.
    #[test]
    fn an_error_that_passes_ends_no_listener() {
        for error in [libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::EMFILE] {
            assert_eq!(hubbub_accept_error(error), libc::EMFILE);
        }
        assert_eq!((hubbub_accept_error(libc::EPROTO), hubbub_accept_error(libc::EAGAIN)), (0, libc::EAGAIN));
        assert_eq!(hubbub_accept_error(libc::EBADF), libc::EBADF);
    }
}
