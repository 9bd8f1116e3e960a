//! Checks that the open files of a log are still those in its folder: after another program deletes or moves them, the
//! server would write to files without a name.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::folder::LOCK;

/// The files, as they were when the log was opened: each with its device and inode number.
pub struct Files(Vec<(PathBuf, (u64, u64))>);

impl Files {
    /// Records the files of an open database.
    pub fn of(database: &Path) -> io::Result<Self> {
        let beside = |ending: &str| {
            let mut path = database.as_os_str().to_owned();
            path.push(ending);
            PathBuf::from(path)
        };
        let paths = [database.to_owned(), beside("-wal"), beside("-shm"), database.with_file_name(LOCK)];
        let noted = paths.into_iter().map(|path| identity(&path).map(|identity| (path, identity)));
        noted.collect::<io::Result<_>>().map(Self)
    }

    /// What happened to a file that is not in its place.
    pub fn check(&self) -> Result<(), String> {
        for (path, noted) in &self.0 {
            let fate = match identity(path) {
                Ok(found) if found == *noted => continue,
                Ok(_) => "was replaced".to_owned(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => "was deleted or moved".to_owned(),
                Err(error) => format!("can't be found ({error})"),
            };
            return Err(format!(
                "{} {fate} while the server runs: the newest messages may be lost; move it back, or stop the server \
                 and restore a backup",
                path.display()
            ));
        }
        Ok(())
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

/// The path of a file that SQLite creates next to the database.
pub fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(suffix);
    PathBuf::from(path)
}
