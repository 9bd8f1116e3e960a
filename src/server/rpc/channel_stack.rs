//! The filters that each call passes in the C core, made as few as this server needs.
//!
//! Between the call that we write to and the HTTP/2 transport, the C core has a stack of filters, and every message passes
//! all of them. Two look at each message in a way that costs more than everything else the library does to send it
//! (docs/performance.md): one would compress it, one compares its size with a bound on what is sent. No setting leaves them
//! out, so `channel_stack.cc` does, and bounds what is received in a few instructions.

use std::ffi::{CStr, c_char};

unsafe extern "C" {
    fn hubbub_lean_stack_argument() -> *const c_char;
}

/// The channel argument that has a server's calls pass only what is needed, where it is 1.
pub fn lean_argument() -> &'static CStr {
    // SAFETY: the function returns a constant, which is a C string.
    unsafe { CStr::from_ptr(hubbub_lean_stack_argument()) }
}
