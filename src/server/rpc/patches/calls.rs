//! The functions of this library that the C++ files call.

use std::ffi::{c_char, c_int, c_void};

use super::{accept, servers, transport};

/// `HubbubCalls` in `patches.h`.
#[repr(C)]
struct Calls {
    listens: extern "C" fn(c_int, c_int),
    keeps: extern "C" fn(c_int, c_int) -> bool,
    fails: extern "C" fn(c_int) -> c_int,
    closes: extern "C" fn(c_int),
    begins: extern "C" fn(c_int, c_int) -> *mut c_void,
    ends: unsafe extern "C" fn(*mut c_void),
    reads: unsafe extern "C" fn(*mut c_void, *const u8, usize, usize) -> c_int,
    wastes: unsafe extern "C" fn(*mut c_void) -> bool,
    reason: unsafe extern "C" fn(*const c_void) -> *const c_char,
}

static CALLS: Calls = Calls {
    listens,
    keeps: accept::keeps,
    fails: accept::fails,
    closes: accept::closes,
    begins: transport::begins,
    ends: transport::ends,
    reads: transport::reads,
    wastes: transport::wastes,
    reason: transport::reason,
};

extern "C" fn listens(server: c_int, listener: c_int) {
    servers::listens(server, listener);
}

#[cfg(feature = "core-patches")]
unsafe extern "C" {
    fn hubbub_set_calls(calls: *const Calls);
}

/// Makes the C++ files call this library: before the first server is created.
pub fn install() {
    #[cfg(feature = "core-patches")]
    // SAFETY: the table is static.
    unsafe {
        hubbub_set_calls(&raw const CALLS);
    }
}
