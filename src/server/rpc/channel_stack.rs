//! The filters that each call passes in the C core, made as few as this server needs.
//!
//! Between the call that we write to and the HTTP/2 transport, the C core has a stack of filters, and every message passes
//! all of them. Two look at each message in a way that costs more than everything else the library does to send it
//! (docs/performance-notes.md): one would compress it, one compares its size with a bound on what is sent. No setting leaves them
//! out, so `channel_stack.cc` does, and bounds what is received in a few instructions.
//!
//! Without the feature `core-patches` the C core's own stack is used, and listening sockets are as it makes them.

#[cfg(feature = "core-patches")]
use std::ffi::{CStr, c_char, c_int};

use grpcio::ChannelBuilder;

#[cfg(feature = "core-patches")]
unsafe extern "C" {
    fn hubbub_lean_stack_argument() -> *const c_char;
    fn hubbub_restrict_listeners(restriction: c_int);
}

/// Has a server's calls pass only what is needed.
#[cfg(feature = "core-patches")]
pub fn lean(settings: ChannelBuilder) -> ChannelBuilder {
    // SAFETY: the function returns a constant, which is a C string.
    let argument = unsafe { CStr::from_ptr(hubbub_lean_stack_argument()) };
    settings.raw_cfg_int(argument.to_owned(), 1)
}

#[cfg(not(feature = "core-patches"))]
pub fn lean(settings: ChannelBuilder) -> ChannelBuilder {
    settings
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
#[cfg(feature = "core-patches")]
pub fn listening<T>(listener: Listener, bind: impl FnOnce() -> T) -> T {
    // SAFETY: the function sets an integer of this thread.
    unsafe { hubbub_restrict_listeners(listener as c_int) };
    let bound = bind();
    // SAFETY: as above.
    unsafe { hubbub_restrict_listeners(Listener::Any as c_int) };
    bound
}

#[cfg(not(feature = "core-patches"))]
pub fn listening<T>(_listener: Listener, bind: impl FnOnce() -> T) -> T {
    bind()
}
