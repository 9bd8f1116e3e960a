//! The budget of each connection, within the C core's HTTP/2 transport.
//!
//! The C core of this version lets a client reset streams, and send control frames, as fast as it can: a rapid reset
//! (CVE-2023-44487) of 10 MB/s took 2.5 GB of memory in 8 s, and all others waited for 20 s. It applies the maximum of
//! streams only once the client has acknowledged it, and opens the window for whatever length a client declares. No
//! setting changes that, and there is no later version for Rust. So the linker replaces the functions with which the
//! transport's parser calls others (`transport.cc`), and the budget is counted here.
//!
//! A connection without a call is closed from here too. The library's own filter for that would be passed by every
//! call, and takes 1 KiB a connection.
//!
//! A client that exceeds its budget reads the reason in GOAWAY and in the status of its calls, and is disconnected.

use std::ffi::{c_char, c_int, c_void};
use std::sync::Arc;
use std::time::Instant;

use super::{accept, servers};
use crate::server::network::Source;
use crate::server::rpc::guard::budget::{Budget, Verdict};

pub extern "C" fn begins(server: c_int, connection: c_int) -> *mut c_void {
    let Some(guard) = servers::by_number(server) else { return std::ptr::null_mut() };
    let source = accept::peer(connection).map(Source::of);
    Box::into_raw(Box::new(Budget::new(source, guard.idle_max, Arc::clone(&guard.refusals)))).cast()
}

/// # Safety
///
/// The budget is one that [`begins`] returned, and is not used afterwards.
pub unsafe extern "C" fn ends(budget: *mut c_void) {
    // SAFETY: as this function demands.
    drop(unsafe { Box::from_raw(budget.cast::<Budget>()) });
}

/// # Safety
///
/// The budget is one that [`begins`] returned; no other call uses it at the same time. There are as many bytes.
pub unsafe extern "C" fn reads(budget: *mut c_void, bytes: *const u8, length: usize, streams: usize) -> c_int {
    // SAFETY: as this function demands. The C core passes no empty slice without a pointer.
    let (budget, bytes) = unsafe { (&mut *budget.cast::<Budget>(), std::slice::from_raw_parts(bytes, length)) };
    match budget.reads(bytes, streams > 0, Instant::now()) {
        Verdict::Parse => 0,
        Verdict::Close => 1,
        Verdict::IsClosing => 2,
        Verdict::CloseIdle => 3,
    }
}

/// # Safety
///
/// As for [`reads`].
pub unsafe extern "C" fn wastes(budget: *mut c_void) -> bool {
    // SAFETY: as this function demands.
    unsafe { &mut *budget.cast::<Budget>() }.wastes()
}

/// # Safety
///
/// As for [`reads`].
pub unsafe extern "C" fn reason(budget: *const c_void) -> *const c_char {
    // SAFETY: as this function demands.
    unsafe { &*budget.cast::<Budget>() }.reason().as_ptr()
}
