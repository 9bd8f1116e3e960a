//! The filters that each call passes in the C core, reduced to those that this server needs.
//!
//! Between a call and the HTTP/2 transport, the C core has a stack of filters, and every message passes all of them.
//! Two of them cost more for each message than all other work of the library to send it (docs/performance-notes.md):
//! one would compress it, one compares its size with a bound on sent messages. No setting removes them, so
//! `channel_stack.cc` does, and bounds received messages in a few instructions.
//!
//! Without the feature `core-patches` the C core's own stack is used, and its listening sockets are unchanged.

#[cfg(feature = "core-patches")]
use std::ffi::{CStr, c_char, c_int};

use grpcio::ChannelBuilder;

#[cfg(feature = "core-patches")]
unsafe extern "C" {
    fn hubbub_lean_stack_argument() -> *const c_char;
    fn hubbub_restrict_listeners(restriction: c_int);
}

/// Lets a server's calls pass only the needed filters.
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

/// How the C core's listening sockets are restricted.
#[derive(Clone, Copy, Debug)]
pub enum Listener {
    /// Not restricted: right for all but these:
    Any = 0,
    /// It tries IPv6 first, for both families.
    Ipv4Wildcard = 4,
    /// It lets IPv4 in, and falls back to it.
    Ipv6 = 6,
    /// A Unix socket to which no user can connect until its mode is set.
    ClosedSocket = 1,
}

/// Runs `bind` with this restriction of its listening sockets. It binds on this thread.
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
