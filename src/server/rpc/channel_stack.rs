//! The filters that each call passes in the C core, made as few as this server needs.
//!
//! Between the call that we write to and the HTTP/2 transport, the C core has a stack of filters, and every message passes
//! all of them. Two look at each message in a way that costs more than everything else the library does to send it
//! (docs/performance.md): one would compress it, one compares its size with a bound on what is sent. No setting leaves them
//! out, so `channel_stack.cc` does, and bounds what is received in a few instructions.

use std::ffi::{CStr, c_char, c_int};

unsafe extern "C" {
    fn hubbub_lean_stack_argument() -> *const c_char;
    fn hubbub_restrict_listeners(restriction: c_int);
}

/// The channel argument that has a server's calls pass only what is needed, where it is 1.
pub fn lean_argument() -> &'static CStr {
    // SAFETY: the function returns a constant, which is a C string.
    unsafe { CStr::from_ptr(hubbub_lean_stack_argument()) }
}

/// What the C core may make of the listening sockets that it opens.
#[derive(Clone, Copy, Debug)]
pub enum Listener {
    /// What it likes, which is right but for these:
    Any = 0,
    /// It tries IPv6 first, for both families.
    Ipv4Wildcard = 4,
    /// It lets IPv4 in, and falls back to it.
    Ipv6 = 6,
    /// A Unix socket that nobody may connect to until its mode is set.
    ClosedSocket = 1,
}

/// Runs `bind`, whose listening sockets are restricted so. It binds on this thread.
pub fn listening<T>(listener: Listener, bind: impl FnOnce() -> T) -> T {
    // SAFETY: the function sets an integer of this thread.
    unsafe { hubbub_restrict_listeners(listener as c_int) };
    let bound = bind();
    // SAFETY: as above.
    unsafe { hubbub_restrict_listeners(Listener::Any as c_int) };
    bound
}
