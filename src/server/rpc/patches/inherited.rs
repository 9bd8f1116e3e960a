//! Listens on sockets that the service manager opened.
//!
//! The C core can do that if it is built with libsystemd: before it binds an address, it looks for an inherited socket of
//! that address, and then neither binds nor closes that socket, and deletes no file of it. It is built without libsystemd
//! here. So `inherited.cc` takes the place of the function that looks, and names the socket that this module is given.
//! From then on, a connection is accepted, counted and refused as on every other listening socket.
//!
//! Without the feature `core-patches`, and on other systems, that is impossible.

use std::os::fd::BorrowedFd;

#[cfg(all(feature = "core-patches", target_os = "linux"))]
unsafe extern "C" {
    fn hubbub_inherit(descriptor: std::ffi::c_int);
}

/// Runs `bind`, which makes the C core listen on this socket instead of the address that it names. `None` if that is
/// impossible in this build.
///
/// The C core does not close the socket: it MUST stay open until the server is gone.
#[cfg(all(feature = "core-patches", target_os = "linux"))]
pub fn inheriting<T>(socket: BorrowedFd<'_>, bind: impl FnOnce() -> T) -> Option<T> {
    use std::os::fd::AsRawFd as _;
    // SAFETY: the function sets an integer of this thread.
    unsafe { hubbub_inherit(socket.as_raw_fd()) };
    let bound = bind();
    // SAFETY: as above.
    unsafe { hubbub_inherit(-1) };
    Some(bound)
}

#[cfg(not(all(feature = "core-patches", target_os = "linux")))]
pub fn inheriting<T>(_socket: BorrowedFd<'_>, _bind: impl FnOnce() -> T) -> Option<T> {
    None
}
