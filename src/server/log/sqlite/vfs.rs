//! Changes to SQLite's writes of the files of a log, attached to the files of each connection that writes:
//!
//! 1. **A page is cleaned on its way into the database file** ([`super::page`]), so the file never holds the copies of
//!    rows that SQLite leaves in unused bytes. SQLite may keep them in its cache, and write them to the write-ahead
//!    log, until the keeper erases that (`keeper.rs`).
//! 2. **A quota or a limit of the file size counts as a full disk.** SQLite treats only `ENOSPC` as that, and all other
//!    errors as a failing disk. The failed write itself reports all three, so the state is known.
//! 3. **The database file never becomes shorter.** SQLite would cut off the space that is allocated in advance
//!    (`space.rs`). The database itself never shrinks.
//!
//! SQLite's files are structures that begin with a pointer to a table of functions. This replaces the pointer with one
//! to a copy of that table in which one or two functions are replaced by wrappers of the original ones. All of this is
//! SQLite's public interface.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::OnceLock;

use rusqlite::{Connection, ffi};

use super::page::{self, PAGE_BYTES};

/// Beyond this size of a database, in bytes, pages are not cleaned: the number at the beginning of an overflow page
/// could look like a b-tree's page. From 128 GiB on, minus the maximum of a write-ahead log.
const CLEANED_BYTES_MAX: i64 = (1 << 37) - (1 << 32);

type Write = unsafe extern "C" fn(*mut ffi::sqlite3_file, *const c_void, c_int, ffi::sqlite3_int64) -> c_int;

type Truncate = unsafe extern "C" fn(*mut ffi::sqlite3_file, ffi::sqlite3_int64) -> c_int;

/// A table of functions, and the original of the one that was replaced.
#[repr(C)]
struct Methods {
    // Invariant: the first field, so that a file's pointer to its table is also one to this.
    table: ffi::sqlite3_io_methods,
    original: *const ffi::sqlite3_io_methods,
    write: Write,
}

// SAFETY: it is never changed, and the original table is a constant of SQLite's.
unsafe impl Send for Methods {}
// SAFETY: as above.
unsafe impl Sync for Methods {}

static DATABASE: OnceLock<Methods> = OnceLock::new();
static LOG: OnceLock<Methods> = OnceLock::new();

/// Attaches to the files that a connection has open. Its write-ahead log must be open, if it is to have one.
pub fn attach(connection: &Connection) -> rusqlite::Result<()> {
    let database = file(connection, ffi::SQLITE_FCNTL_FILE_POINTER)?;
    let log = file(connection, ffi::SQLITE_FCNTL_JOURNAL_POINTER)?;
    // SAFETY: both point to files of the connection, which are open as long as it is; nothing else uses them now. A
    // file that is not open has no table.
    unsafe {
        let original = (*database).pMethods;
        replace(database, original, &DATABASE, write_page, Some(keep_length))?;
        // It has another table, since it is not locked. Without a write-ahead log, it is a file that is not open.
        if !log.is_null() && !(*log).pMethods.is_null() {
            replace(log, (*log).pMethods, &LOG, write_log, None)?;
        }
    }
    Ok(())
}

fn file(connection: &Connection, which: c_int) -> rusqlite::Result<*mut ffi::sqlite3_file> {
    let mut file: *mut ffi::sqlite3_file = ptr::null_mut();
    // SAFETY: the connection is open, and SQLite writes one pointer to the given address.
    let code = unsafe {
        ffi::sqlite3_file_control(connection.handle(), c"main".as_ptr(), which, (&raw mut file).cast::<c_void>())
    };
    if code == ffi::SQLITE_OK { Ok(file) } else { Err(unusable()) }
}

fn unusable() -> rusqlite::Error {
    let text = "SQLite was built with a VFS other than its usual one".to_owned();
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_INTERNAL), Some(text))
}

/// # Safety
///
/// The file must be open and unused by other threads, and `original` its table.
unsafe fn replace(
    file: *mut ffi::sqlite3_file,
    original: *const ffi::sqlite3_io_methods,
    methods: &'static OnceLock<Methods>,
    write: Write,
    truncate: Option<Truncate>,
) -> rusqlite::Result<()> {
    // SAFETY: an open file has a table, which is constant.
    let table = unsafe { original.as_ref() }.ok_or_else(unusable)?;
    let original_write = table.xWrite.ok_or_else(unusable)?;
    let methods = methods.get_or_init(|| Methods {
        table: ffi::sqlite3_io_methods { xWrite: Some(write), xTruncate: truncate.or(table.xTruncate), ..*table },
        original,
        write: original_write,
    });
    if !ptr::eq(methods.original, original) {
        return Err(unusable());
    }
    // SAFETY: the file is open, and the new table is never freed.
    unsafe { (*file).pMethods = &raw const methods.table };
    Ok(())
}

unsafe extern "C" fn keep_length(_file: *mut ffi::sqlite3_file, _bytes: ffi::sqlite3_int64) -> c_int {
    ffi::SQLITE_OK
}

unsafe extern "C" fn write_page(
    file: *mut ffi::sqlite3_file,
    data: *const c_void,
    count: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite passes a file to which this was attached, and `count` bytes of data.
    unsafe {
        let is_page = count as usize == PAGE_BYTES && offset % PAGE_BYTES as i64 == 0;
        if is_page && is_cleanable(file) {
            let mut page = *data.cast::<[u8; PAGE_BYTES]>();
            page::erase_unused(&mut page, page::header_at(offset as u64));
            return write_log(file, page.as_ptr().cast(), count, offset);
        }
        write_log(file, data, count, offset)
    }
}

unsafe fn is_cleanable(file: *mut ffi::sqlite3_file) -> bool {
    let mut bytes = 0;
    // SAFETY: it is an open file with a table, and the size is written to the given address.
    let is_known =
        unsafe { (*(*file).pMethods).xFileSize.is_some_and(|size| size(file, &raw mut bytes) == ffi::SQLITE_OK) };
    is_known && bytes < CLEANED_BYTES_MAX
}

unsafe extern "C" fn write_log(
    file: *mut ffi::sqlite3_file,
    data: *const c_void,
    count: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: the file's table is the first field of one of our own, since SQLite called this; and it passes what the
    // original function expects.
    unsafe {
        let code = ((*(*file).pMethods.cast::<Methods>()).write)(file, data, count, offset);
        if code == ffi::SQLITE_IOERR_WRITE && is_full(file) { ffi::SQLITE_FULL } else { code }
    }
}

/// Whether the last write failed because of a quota or a size limit.
unsafe fn is_full(file: *mut ffi::sqlite3_file) -> bool {
    let mut errno: c_int = 0;
    // SAFETY: it is an open file with a table, and its last error is written to the given address.
    let code = unsafe {
        let control = (*(*file).pMethods).xFileControl;
        control.map(|control| control(file, ffi::SQLITE_FCNTL_LAST_ERRNO, (&raw mut errno).cast::<c_void>()))
    };
    code == Some(ffi::SQLITE_OK) && matches!(errno, libc::EDQUOT | libc::EFBIG)
}
