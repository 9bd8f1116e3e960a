//! How SQLite reads its files.
//!
//! It reports a read that fails with EIO or ENXIO as a damaged database (`SQLITE_CORRUPT`), as if its own checks had
//! failed. So a temporary disk failure could not be distinguished from damage, which readers skip permanently. Its VFS
//! allows system calls to be replaced: these report another error number, which SQLite treats as an I/O error.

use std::ffi::CStr;
use std::mem::transmute;
use std::sync::Once;

use libc::{c_int, c_void, off_t, off64_t, size_t, ssize_t};
use rusqlite::ffi;

/// Makes all connections of this process distinguish I/O errors from damage. Must be called before the first one is
/// opened.
pub fn tell_errors_apart() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        replace(c"pread", pread as *const c_void);
        replace(c"pread64", pread64 as *const c_void);
    });
}

fn replace(name: &CStr, call: *const c_void) {
    // SAFETY: the default VFS lives as long as the process. It casts the pointer back to the type of the call of that
    // name, which both functions have. It has one table of calls for all connections; none is open yet.
    unsafe {
        let vfs = ffi::sqlite3_vfs_find(std::ptr::null());
        if let Some(set) = vfs.as_ref().and_then(|vfs| vfs.xSetSystemCall) {
            set(vfs, name.as_ptr(), transmute::<*const c_void, ffi::sqlite3_syscall_ptr>(call));
        }
    }
}

/// The error number that is reported to SQLite instead of EIO and ENXIO.
const IO_ERROR: c_int = libc::EREMOTEIO;

extern "C" fn pread(file: c_int, to: *mut c_void, size: size_t, at: off_t) -> ssize_t {
    // SAFETY: the arguments are those of SQLite's own call.
    checked(unsafe { libc::pread(file, to, size, at) })
}

extern "C" fn pread64(file: c_int, to: *mut c_void, size: size_t, at: off64_t) -> ssize_t {
    // SAFETY: the arguments are those of SQLite's own call.
    checked(unsafe { libc::pread64(file, to, size, at) })
}

fn checked(read: ssize_t) -> ssize_t {
    // SAFETY: the location of errno is valid for this thread.
    let errno = unsafe { &mut *libc::__errno_location() };
    if read < 0 && matches!(*errno, libc::EIO | libc::ENXIO) {
        *errno = IO_ERROR;
    }
    read
}
