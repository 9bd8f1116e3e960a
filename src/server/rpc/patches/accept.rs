//! Accepts connections while file descriptors, memory and the bounds on connections allow it.
//!
//! The C core accepts connections until the process has no descriptor left. Later clients then wait without an answer
//! in the system's queue, and the log's reader could not open a file. Other temporary errors, such as a full file table
//! of the system, permanently end its listener. No setting changes that, so `accept.cc` replaces accept4(2) in this
//! program:
//!
//! - The last [`DESCRIPTORS_KEPT`] descriptors are not used for connections. A client whose connection would take one
//!   is refused with HTTP/2's GOAWAY, whose text gives the reason, and disconnected.
//! - So is a client that exceeds a bound on connections (`guard/connections.rs`). What a connection counts for is
//!   released when its descriptor is closed, so `accept.cc` replaces close(2) as well: the count is exact however a
//!   connection ends, also before HTTP/2 has begun.
//! - A temporary error is reported to the C core as the one after which it retries within a second.
//!
//! Without the feature `core-patches` the C core's own behaviour applies.
//!
//! Descriptors belong to the process, so this is global: each server of the process is notified of a shortage.

use std::collections::HashMap;
use std::mem::{self, MaybeUninit};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use libc::c_int;
use parking_lot::Mutex;

use super::servers::{self, Guard};
use crate::descriptors;
use crate::limits::DESCRIPTORS_KEPT;
use crate::server::connections::Place;
use crate::server::gauges::Resource;
use crate::server::network::Source;
use crate::server::refusals::Shortage;

/// The text for a refused client.
pub const NO_DESCRIPTOR: &str =
    "the server is full: it has no file descriptor left for another connection; try again later";

/// The first descriptor that is not used for connections.
static FIRST_KEPT: AtomicI32 = AtomicI32::new(c_int::MAX);

/// A bit for each descriptor that is a counted connection. Closing any other one must not take a lock: a child process
/// closes descriptors between fork and exec.
static COUNTED: [AtomicU64; COUNTED_MAX / 64] = [const { AtomicU64::new(0) }; COUNTED_MAX / 64];

/// How many descriptors have a bit: Linux's own default for the maximum of a process (fs.nr_open).
const COUNTED_MAX: usize = 1024 * 1024;

/// What the counted connections count for, and for which server.
type Places = HashMap<c_int, (Arc<Guard>, Place)>;

// lock order: 2 (held for one insertion or removal)
static PLACES: Mutex<Option<Places>> = Mutex::new(None);

/// From now on, connections are refused while descriptors are short.
pub fn keep_descriptors() {
    let first_kept = descriptors::limit().saturating_sub(DESCRIPTORS_KEPT);
    FIRST_KEPT.store(c_int::try_from(first_kept).unwrap_or(c_int::MAX), Ordering::Relaxed);
}

fn count(shortage: Shortage) {
    servers::all().iter().for_each(|guard| guard.refusals.count(shortage));
}

/// Whether the server of this listening socket serves a connection. Closes it if not. Called on a poller: MUST NOT
/// block.
pub extern "C" fn keeps(listener: c_int, connection: c_int) -> bool {
    if connection >= FIRST_KEPT.load(Ordering::Relaxed) {
        refuse(connection, NO_DESCRIPTOR);
        count(Shortage::Descriptors);
        return false;
    }
    let (Some(guard), Some((word, bit))) = (servers::by_listener(listener), counted(connection)) else { return true };
    let peer = peer(connection);
    match guard.connections.admit(peer) {
        Ok(place) => {
            let (open, max) = guard.connections.open();
            guard.gauges.report(Resource::Connections, open, max);
            PLACES.lock().get_or_insert_default().insert(connection, (guard, place));
            word.fetch_or(bit, Ordering::Release);
            true
        }
        Err(limit) => {
            refuse(connection, &guard.connections.reason(limit));
            guard.refusals.exceeded(limit, peer.map(Source::of));
            false
        }
    }
}

/// Gives back the place of a connection that closes.
pub extern "C" fn closes(descriptor: c_int) {
    let Some((word, bit)) = counted(descriptor) else { return };
    if word.load(Ordering::Relaxed) & bit == 0 || word.fetch_and(!bit, Ordering::Acquire) & bit == 0 {
        return;
    }
    let place = PLACES.lock().as_mut().and_then(|places| places.remove(&descriptor));
    if let Some((guard, place)) = place {
        guard.connections.release(&place);
    }
}

/// The bit of a descriptor. Those without one are not counted.
fn counted(descriptor: c_int) -> Option<(&'static AtomicU64, u64)> {
    let descriptor = usize::try_from(descriptor).ok()?;
    COUNTED.get(descriptor / 64).map(|word| (word, 1 << (descriptor % 64)))
}

/// The address at the other end of a connection; `None` for a Unix socket.
pub fn peer(connection: c_int) -> Option<IpAddr> {
    // SAFETY: zeros are valid for every kind of name. The size is that of the storage, which is large and aligned
    // enough for the names of both families.
    unsafe {
        let mut name: libc::sockaddr_storage = mem::zeroed();
        let mut size = size_of_val(&name) as libc::socklen_t;
        if libc::getpeername(connection, (&raw mut name).cast(), &raw mut size) != 0 {
            return None;
        }
        match c_int::from(name.ss_family) {
            libc::AF_INET => {
                let name = &*(&raw const name).cast::<libc::sockaddr_in>();
                Some(Ipv4Addr::from_bits(u32::from_be(name.sin_addr.s_addr)).into())
            }
            libc::AF_INET6 => {
                let name = &*(&raw const name).cast::<libc::sockaddr_in6>();
                Some(Ipv6Addr::from(name.sin6_addr.s6_addr).into())
            }
            _ => None,
        }
    }
}

/// The error that is reported to the C core: 0 if it concerns only one connection, which is gone.
pub extern "C" fn fails(error: c_int) -> c_int {
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

/// HTTP/2's last frame of a server, with a text. Without its first one, SETTINGS, gRPC's clients take the attempt to
/// connect for failed, and wait before the next one. With it, they take the connection for made, and try again at once.
fn goodbye(reason: &str) -> Vec<u8> {
    const GOAWAY: u8 = 7;
    const ENHANCE_YOUR_CALM: u32 = 11;
    const NO_STREAM: u32 = 0;
    let payload = [&NO_STREAM.to_be_bytes(), &ENHANCE_YOUR_CALM.to_be_bytes(), reason.as_bytes()].concat();
    // Invariant: the text has less than 16 MiB. Neither flags nor a stream.
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[GOAWAY, 0, 0, 0, 0, 0], &payload].concat()
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
        assert_eq!(&said[..9], [0, 0, 15, 7, 0, 0, 0, 0, 0]);
        assert_eq!(&said[9..17], [0, 0, 0, 0, 0, 0, 0, 11]);
        assert_eq!(&said[17..], b"no room");
    }

    /// All errors but three ended the C core's listener: the server continued to run and accepted no client.
    #[test]
    fn an_error_that_passes_ends_no_listener() {
        for error in [libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::EMFILE] {
            assert_eq!(fails(error), libc::EMFILE);
        }
        assert_eq!((fails(libc::EPROTO), fails(libc::EAGAIN)), (0, libc::EAGAIN));
        assert_eq!(fails(libc::EBADF), libc::EBADF);
    }
}
