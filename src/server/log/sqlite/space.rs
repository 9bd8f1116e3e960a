//! Allocates disk space before a commit: the database's file is always long enough for the contents of the write-ahead
//! log.
//!
//! A commit goes to the write-ahead log, whose file is laid out, and is copied into the database later. If the database
//! could not grow then, the log could never restart, and no message could be stored or deleted any more, even if
//! retention has much to delete. So before a commit that makes the database longer, the file system allocates the
//! space. A full disk is thus detected before a commit; copying needs no space, and neither does deleting. A few more
//! pages stay allocated for deletions, since storing the ids of deleted messages can take some.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

use super::page::PAGE_BYTES;
use crate::limits::SPACE_STEP_PAGES;

/// The database's file, and how long it is. The descriptor MUST NOT be closed while any connection to the database is
/// open in this process: the system would release that connection's locks.
pub struct Space {
    file: File,
    pages: u64,
}

impl Space {
    pub fn new(file: File) -> io::Result<Self> {
        let pages = file.metadata()?.len() / PAGE_BYTES as u64;
        Ok(Self { file, pages })
    }

    /// Makes sure that the file has this many pages.
    pub fn reserve(&mut self, pages: u64) -> io::Result<()> {
        if pages <= self.pages {
            return Ok(());
        }
        let step = pages.next_multiple_of(SPACE_STEP_PAGES);
        let allocated = self.allocate(step).map(|()| step).or_else(|_| self.allocate(pages).map(|()| pages));
        self.pages = allocated?;
        Ok(())
    }

    fn allocate(&self, pages: u64) -> io::Result<()> {
        let bytes = |pages: u64| (pages * PAGE_BYTES as u64) as libc::off_t;
        let (from, to) = (bytes(self.pages), bytes(pages));
        // SAFETY: the descriptor is open, and the call takes only numbers.
        match unsafe { libc::posix_fallocate(self.file.as_raw_fd(), from, to - from) } {
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}
