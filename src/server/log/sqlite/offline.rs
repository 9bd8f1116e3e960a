//! The common part of the commands on a log's files: backup, restore, verify, and the commands on rooms.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use rustix::fs::{Access, access};
use thiserror::Error;

use super::connection::{check_header, header, open_beside};
use super::errors::OpenError;
use super::folder::{DATABASE, Folder};
use super::identity::{self, Mark};
use super::recovery;
use super::schema;

/// Why a backup or a restore failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BackupError {
    #[error("no log in {}: {} is missing; name the server's data folder with --data", .0.display(), DATABASE)]
    NoLog(PathBuf),
    #[error("{} exists: choose another name, or replace it with --force", .0.display())]
    Exists(PathBuf),
    #[error("can't write a backup to {}: {fault}", .path.display())]
    Place { path: PathBuf, fault: &'static str },
    #[error("can't write {}: {fault}; free space, check its owner, or choose another folder", .path.display())]
    Write { path: PathBuf, fault: String },
    #[error("can't read {}: {fault}; check its name and its permissions", .path.display())]
    Read { path: PathBuf, fault: String },
    #[error("{} is of version {version}: start hubbub-server on it once to upgrade it", .path.display())]
    Older { path: PathBuf, version: i64 },
    #[error("{} is not a complete backup: {} lies beside it; create one with hubbub-server backup", .0.display(), .1.display())]
    Live(PathBuf, PathBuf),
    #[error("{} is damaged, so nothing was changed: {fault}; use another backup", .path.display())]
    Faulty { path: PathBuf, fault: String },
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// The database of a folder, which must exist.
pub fn check_log(folder: &Path) -> Result<PathBuf, BackupError> {
    let database = folder.join(DATABASE);
    match check_readable(&database) {
        Ok(()) if database.is_file() => Ok(database),
        Err(fault) if fault.kind() == io::ErrorKind::PermissionDenied => {
            Err(BackupError::Read { path: database, fault: fault.to_string() })
        }
        _ => Err(BackupError::NoLog(folder.to_owned())),
    }
}

/// Whether this user may read a file. SQLite does not report why it can't open one, and opening a database separately
/// would release this process's locks on it when that descriptor is closed.
pub fn check_readable(path: &Path) -> io::Result<()> {
    Ok(access(path, Access::READ_OK)?)
}

/// The lock of a folder that no server uses; `None` if one does. A write-ahead log that lost messages is recorded then,
/// because reading the database makes SQLite discard the evidence.
pub fn hold_unused(folder: &Path) -> Result<Option<Folder>, OpenError> {
    match Folder::hold(folder) {
        Ok(held) => {
            record_losses(&held)?;
            Ok(Some(held))
        }
        Err(OpenError::Locked { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Records the losses of a write-ahead log, because reading the database makes SQLite discard the evidence.
pub fn record_losses(held: &Folder) -> Result<(), OpenError> {
    let findings = recovery::inspect(&held.path, &held.path.join(DATABASE))?;
    if findings.changed && findings.last != 0 {
        let mark = Mark::Beginning { last: findings.last, next: identity::random_id(), changed: true };
        let fault = |fault| OpenError::Folder { path: held.path.clone(), fault };
        identity::write(&held.path, mark).map_err(fault)?;
    }
    Ok(())
}

/// Opens the database of a log for reading. It must be of the current version.
pub fn open_to_read(database: &Path) -> Result<Connection, BackupError> {
    let fault = |error: rusqlite::Error| BackupError::from(OpenError::of(database.to_owned(), &error));
    let connection = open_beside(database, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(fault)?;
    let (application, version) = header(&connection).map_err(fault)?;
    check_header(database, application, version)?;
    if version < schema::VERSION {
        return Err(BackupError::Older { path: database.to_owned(), version });
    }
    Ok(connection)
}
