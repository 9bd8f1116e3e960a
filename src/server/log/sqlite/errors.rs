//! The errors of a log on a disk, with the remedies.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use thiserror::Error;

use super::schema;
use crate::server::log::LogError;

/// The mode bit of a folder that all users share, in which each can remove only their own files.
const STICKY: u32 = 0o1000;

/// Why a log can't be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    #[error("the data folder {} can't be used: {fault}; free space, check its owner, or name another with --data", .path.display())]
    Folder { path: PathBuf, fault: io::Error },
    #[error(
        "other users may write to the data folder {} (mode {mode:04o}), and so replace its files: {}name a folder in it with \
         --data, which is then created for its user alone",
        .path.display(), chmod_or(*mode, *chown, path)
    )]
    Shared {
        path: PathBuf,
        mode: u32,
        /// The user who must own it first.
        chown: Option<u32>,
    },
    #[error(
        "{} is a symbolic link: the files of a data folder must not be links; move the file itself there, or name its \
         folder with --data (the folder may be a link)",
        .path.display()
    )]
    Link { path: PathBuf },
    #[error("{} is not a file: move it away", .path.display())]
    NotFile { path: PathBuf },
    #[error("the data folder {} is in use by another server: stop that one, or name another folder with --data", .path.display())]
    Locked { path: PathBuf },
    #[error(
        "{} was created by a newer hubbub-server (its version is {found}, this one supports {}): use that one, or name another \
         folder with --data",
        .path.display(), schema::VERSION
    )]
    Newer { path: PathBuf, found: i64 },
    #[error(
        "{} is damaged, or not a log of hubbub-server ({fault}): restore the folder from a backup, or move it away to start with an empty log",
        .path.display()
    )]
    Damaged { path: PathBuf, fault: String },
    #[error(
        "{} belongs to another database than {}: that one was replaced by hand; run hubbub-server restore with the backup \
         instead, or move the -wal and -shm files away",
        .log.display(), .path.display()
    )]
    ForeignLog { path: PathBuf, log: PathBuf },
    #[error(
        "{} is missing, although its folder was in use: run hubbub-server restore with a backup, or name an empty folder \
         with --data to start with an empty log",
        .path.display()
    )]
    Missing { path: PathBuf },
    #[error("{} can't be opened: {fault}; free space, check its owner, or name another folder with --data", .path.display())]
    Database { path: PathBuf, fault: String },
    #[error("can't start a thread for the log ({0}): raise ulimit -u or the limit of tasks (systemd's TasksMax)")]
    Thread(io::Error),
}

impl OpenError {
    pub(super) fn of(path: PathBuf, error: &rusqlite::Error) -> Self {
        let fault = text(error);
        if is_damage(error) { Self::Damaged { path, fault } } else { Self::Database { path, fault } }
    }
}

/// The command that makes a shared folder private. A folder such as /tmp must stay as it is.
fn chmod_or(mode: u32, chown: Option<u32>, folder: &Path) -> String {
    let folder = folder.display();
    match chown {
        _ if mode & STICKY != 0 => String::new(),
        Some(user) => format!("run chown {user} {folder} and chmod go-w {folder}, or "),
        None => format!("run chmod go-w {folder}, or "),
    }
}

/// Converts an error of the database to one of the log.
pub fn log_error(error: &rusqlite::Error) -> LogError {
    if is_damage(error) {
        return LogError::Damaged(format!("the log's file is damaged: {}", text(error)));
    }
    let unavailable = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => return LogError::Full,
        Some(ErrorCode::SystemIoFailure) => format!("disk error: {}", text(error)),
        _ => format!("the log's file can't be used: {}", text(error)),
    };
    LogError::Unavailable(unavailable)
}

/// Whether an error means damaged data rather than a failing disk.
pub fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
        || matches!(
            error,
            rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::FromSqlConversionFailure(..)
        )
}

/// SQLite's text, with its own code for the cause.
pub fn text(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(failure, Some(message)) => format!("{message}, code {}", failure.extended_code),
        other => other.to_string(),
    }
}
