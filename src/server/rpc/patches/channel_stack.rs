//! The filters that each call passes in the C core, reduced to those that this server needs.
//!
//! Between a call and the HTTP/2 transport, the C core has a stack of filters, and every message passes all of them.
//! Two of them cost more for each message than all other work of the library to send it (docs/performance-notes.md):
//! one would compress it, one compares its size with a bound on sent messages. No setting removes them, so
//! `channel_stack.cc` does. `transport.cc` bounds received messages. The filter that tells a call who is at the other end
//! of its connection is left out only where the connection is known to be without TLS.
//!
//! Without the feature `core-patches` the C core's own stack is used, and its listening sockets are unchanged.

#[cfg(feature = "core-patches")]
use std::ffi::{CStr, c_char, c_int};

use grpcio::ChannelBuilder;

use super::servers::Registration;

#[cfg(feature = "core-patches")]
unsafe extern "C" {
    fn hubbub_server_argument() -> *const c_char;
    fn hubbub_restrict_listeners(server: c_int, restriction: c_int);
}

/// Marks a server as ours: its calls pass only the needed filters, and its connections have budgets.
#[cfg(feature = "core-patches")]
pub fn mark(settings: ChannelBuilder, server: &Registration) -> ChannelBuilder {
    // SAFETY: the function returns a constant, which is a C string.
    let argument = unsafe { CStr::from_ptr(hubbub_server_argument()) };
    settings.raw_cfg_int(argument.to_owned(), server.number())
}

#[cfg(not(feature = "core-patches"))]
pub fn mark(settings: ChannelBuilder, _server: &Registration) -> ChannelBuilder {
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

/// Runs `bind` with this restriction of its listening sockets, which are a server's. It binds on this thread.
#[cfg(feature = "core-patches")]
pub fn listening<T>(server: &Registration, listener: Listener, bind: impl FnOnce() -> T) -> T {
    // SAFETY: the function sets integers of this thread.
    unsafe { hubbub_restrict_listeners(server.number(), listener as c_int) };
    let bound = bind();
    // SAFETY: as above.
    unsafe { hubbub_restrict_listeners(0, Listener::Any as c_int) };
    bound
}

#[cfg(not(feature = "core-patches"))]
pub fn listening<T>(_server: &Registration, _listener: Listener, bind: impl FnOnce() -> T) -> T {
    bind()
}
