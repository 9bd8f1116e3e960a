//! The disk reserve: free space that posts don't use.
//!
//! A full disk is more than a chat server's own trouble: other programs, the system's log and the operator's shell need
//! space too. So posts are refused while there is still some, and reading and deleting go on.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use super::log::LogError;
use crate::limits::{DISK_RESERVE_CHECK, DISK_RESERVE_MAX, DISK_RESERVE_SHARE, LOG_FREE_BYTES_MIN};

/// Keeps the reserve of the disk that the log is on.
pub struct DiskReserve {
    folder: PathBuf,
    size: Arc<ReserveSize>,
    checked: Option<Instant>,
    /// The free space and the reserve, as they were found last, in bytes.
    found: Option<(u64, u64)>,
    is_short: bool,
    /// How many bytes may be posted before the next check.
    left: u64,
}

/// How many bytes must stay free. It may change while the server runs.
#[derive(Debug, Default)]
pub struct ReserveSize {
    // lock order: 3 (a leaf, held to copy a number). `None` for the default.
    bytes: Mutex<Option<u64>>,
}

/// How often posted bytes are on the disk at most: in the write-ahead log, and in the database.
const COPIES: u64 = 2;

/// The space of a file system, in bytes.
#[derive(Clone, Copy)]
struct Space {
    free: u64,
    all: u64,
}

impl ReserveSize {
    pub fn new(bytes: Option<u64>) -> Arc<Self> {
        Arc::new(Self { bytes: Mutex::new(bytes) })
    }

    /// It holds from the next check on, which is at most [`DISK_RESERVE_CHECK`] away.
    pub fn set(&self, bytes: Option<u64>) {
        *self.bytes.lock() = bytes;
    }

    fn get(&self) -> Option<u64> {
        *self.bytes.lock()
    }
}

impl DiskReserve {
    pub fn new(folder: PathBuf, size: Arc<ReserveSize>) -> Self {
        Self { folder, size, checked: None, found: None, is_short: false, left: 0 }
    }

    /// An error while less than the reserve is free, for posts of this many bytes. Asks the system every
    /// [`DISK_RESERVE_CHECK`], and sooner if posts may have used what was free.
    ///
    /// `log_free` returns the bytes that deletions left in the log's own files. While they are enough for any batch,
    /// posts are stored there and use nothing of the disk.
    pub fn check(&mut self, posted: usize, log_free: impl FnOnce() -> u64, now: Instant) -> Result<(), LogError> {
        let is_old = self.checked.is_none_or(|checked| now.saturating_duration_since(checked) >= DISK_RESERVE_CHECK);
        let posted = posted as u64 * COPIES;
        if is_old || (posted > self.left && !self.is_short) {
            self.checked = Some(now);
            self.found = self.space().map(|space| (space.free, reserve(self.size.get(), space)));
            // A file system that does not say has no reserve.
            let left = self.found.map_or(Some(u64::MAX), |(free, reserve)| free.checked_sub(reserve));
            (self.is_short, self.left) = (left.is_none(), left.unwrap_or(0));
        }
        if self.is_short {
            return if log_free() >= LOG_FREE_BYTES_MIN { Ok(()) } else { Err(LogError::Reserve) };
        }
        self.left = self.left.saturating_sub(posted);
        Ok(())
    }

    /// The free space of the disk and its reserve, in bytes, as the last check found them; `None` if the file system
    /// does not say.
    pub fn found(&self) -> Option<(u64, u64)> {
        self.found
    }

    fn space(&self) -> Option<Space> {
        let found = rustix::fs::statvfs(&self.folder).ok()?;
        Some(Space {
            free: found.f_bavail.saturating_mul(found.f_frsize),
            all: found.f_blocks.saturating_mul(found.f_frsize),
        })
    }
}

fn reserve(bytes: Option<u64>, space: Space) -> u64 {
    bytes.unwrap_or_else(|| (space.all / DISK_RESERVE_SHARE).min(DISK_RESERVE_MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_reserve_is_a_share_of_a_small_disk() {
        let of = |all| reserve(None, Space { free: 0, all });
        assert_eq!(of(1 << 40), DISK_RESERVE_MAX);
        assert_eq!(of(2_000_000), 100_000);
        assert_eq!(reserve(Some(7), Space { free: 0, all: 2_000_000 }), 7);
    }

    #[test]
    fn posts_that_may_use_the_rest_are_checked_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut reserve = DiskReserve::new(folder.path().to_owned(), ReserveSize::new(Some(0)));
        let now = Instant::now();
        assert_eq!(reserve.check(1_000, || 0, now), Ok(()));
        reserve.left = 10_000;
        reserve.size.set(Some(u64::MAX));
        assert_eq!((reserve.check(4_000, || 0, now), reserve.check(1_000, || 0, now)), (Ok(()), Ok(())));
        assert_eq!(reserve.check(1, || 0, now), Err(LogError::Reserve));
    }

    #[test]
    fn posts_are_refused_while_less_than_the_reserve_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let (path, start) = (folder.path().to_owned(), Instant::now());
        assert_eq!(DiskReserve::new(path.clone(), ReserveSize::new(Some(0))).check(1, || 0, start), Ok(()));
        let mut reserve = DiskReserve::new(path, ReserveSize::new(Some(u64::MAX)));
        assert_eq!(reserve.check(1, || 0, start), Err(LogError::Reserve));
        // Now everything is enough.
        reserve.size.set(Some(0));
        assert_eq!(
            reserve.check(1, || 0, start + DISK_RESERVE_CHECK - Duration::from_millis(1)),
            Err(LogError::Reserve)
        );
        assert_eq!(reserve.check(1, || 0, start + DISK_RESERVE_CHECK), Ok(()));
        assert_eq!(DiskReserve::new(PathBuf::from("/no/such/folder"), Arc::default()).check(1, || 0, start), Ok(()));
    }
}
