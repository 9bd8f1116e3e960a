//! The data folder: how large its files are, and how much of its disk is free.
//!
//! A disk may hang, and whoever asks it then hangs too. So only one thread asks at a time, and others go without an answer
//! meanwhile: at most one thread of this face is lost.

use std::path::PathBuf;
use std::time::Instant;

use parking_lot::Mutex;

use crate::server::log::sqlite;
use crate::server::reserve::DiskReserve;
use crate::server::search::place;

/// The data folder of a server.
pub struct Folder {
    path: PathBuf,
    // lock order: 3 (a leaf; held while the disk is asked, and never waited for)
    reserve: Mutex<DiskReserve>,
}

/// What was found, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    pub log: u64,
    pub write_ahead_log: u64,
    /// 0 without search.
    pub search_index: u64,
    /// How much of the disk is free, and how much must stay free; `None` if the file system does not say.
    pub disk: Option<(u64, u64)>,
}

impl Folder {
    pub fn new(path: PathBuf, reserve: DiskReserve) -> Self {
        Self { path, reserve: Mutex::new(reserve) }
    }

    /// Asks the disk. `None` if another thread does just now.
    pub fn sizes(&self) -> Option<Sizes> {
        let mut reserve = self.reserve.try_lock()?;
        // Only for what it finds.
        let _ = reserve.check(0, || 0, Instant::now());
        let (log, write_ahead_log) = sqlite::file_bytes(&self.path);
        let search_index = self.path.join(place::FILE).metadata().map_or(0, |file| file.len());
        Some(Sizes { log, write_ahead_log, search_index, disk: reserve.found() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::reserve::ReserveSize;

    #[test]
    fn files_are_measured_and_a_busy_disk_is_not_waited_for() {
        let path = tempfile::tempdir().unwrap();
        let folder =
            Folder::new(path.path().to_owned(), DiskReserve::new(path.path().to_owned(), ReserveSize::new(Some(7))));
        for (name, bytes) in [("hubbub.db", 10), ("hubbub.db-wal", 20)] {
            std::fs::write(path.path().join(name), vec![1; bytes]).unwrap();
        }
        let found = folder.sizes().unwrap();
        assert_eq!((found.log, found.write_ahead_log, found.search_index), (10, 20, 0));
        assert!(found.disk.is_some_and(|(free, reserve)| free > 0 && reserve == 7), "{found:?}");
        let _busy = folder.reserve.lock();
        assert_eq!(folder.sizes(), None);
    }
}
