//! Whether the files that a log has open are still those in its folder: a program that deletes or moves them leaves the
//! server writing to files that nobody will find again.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::folder::LOCK;

/// The files, as they were when the log was opened: each with the device and the number that the file system has for it.
pub struct Files(Vec<(PathBuf, (u64, u64))>);

impl Files {
    /// Notes the files of an open database.
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

    /// What happened to one that is not where it was.
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

/// A file that SQLite puts beside the database.
pub fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(suffix);
    PathBuf::from(path)
}
