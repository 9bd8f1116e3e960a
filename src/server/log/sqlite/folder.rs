//! The folder of a log: locked against other servers, with a database of a fixed name in it.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;
use std::time::Instant;

use clap::ValueEnum;
use parking_lot::Mutex;

use super::errors::OpenError;
use super::privacy;
use super::space::Space;
use crate::limits::{FOLDER_LOCK_RETRY, FOLDER_LOCK_WAIT};

/// The database's name in its folder. SQLite creates files next to it whose names begin with it.
pub const DATABASE: &str = "hubbub.db";

/// The file that a running server keeps locked.
pub const LOCK: &str = "lock";

/// When a message counts as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SyncMode {
    /// When the disk has it: it survives a power cut.
    Full,
    /// When the operating system has it: it survives any end of the server.
    Os,
}

/// What a folder is to a server that would start with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FolderState {
    Missing,
    Free,
    /// Another server has locked it.
    InUse,
}

/// Looks whether a server could start with a folder, and changes nothing.
pub fn inspect(path: &Path) -> Result<FolderState, OpenError> {
    let fault = |fault| OpenError::Folder { path: path.to_owned(), fault };
    match fs::metadata(path) {
        Ok(folder) if !folder.is_dir() => return Err(fault(io::ErrorKind::NotADirectory.into())),
        Ok(_) => {}
        // A link that leads nowhere can't be created.
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.symlink_metadata().is_err() => {
            return Ok(FolderState::Missing);
        }
        // A part of the path above it is a file: the caller says which.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(FolderState::Missing),
        Err(error) => return Err(fault(error)),
    }
    privacy::check_existing(path)?;
    privacy::check_files(path)?;
    let lock = match File::open(path.join(LOCK)) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(FolderState::Free),
        Err(error) => return Err(fault(error)),
    };
    // Closing the file gives the lock back.
    match lock.try_lock_shared() {
        Ok(()) => Ok(FolderState::Free),
        Err(TryLockError::WouldBlock) => Ok(FolderState::InUse),
        Err(TryLockError::Error(error)) => Err(fault(error)),
    }
}

/// The folder of a log, locked against other servers while this value exists.
pub struct Folder {
    pub path: PathBuf,
    _lock: File,
    // The database's file. Closed with the folder, after all connections.
    // lock order: 3 (a leaf, held while space is allocated)
    space: OnceLock<Mutex<Space>>,
}

impl Folder {
    /// Keeps the database's file open to allocate space in it. Called once, when the database exists.
    pub fn open_space(&self) -> io::Result<()> {
        let file = privacy::options().read(true).write(true).open(self.path.join(DATABASE))?;
        // Invariant: a folder has one appender.
        let _ = self.space.set(Mutex::new(Space::new(file)?));
        Ok(())
    }

    /// Makes sure that the database's file has this many pages.
    pub fn reserve(&self, pages: u64) -> io::Result<()> {
        self.space.get().map_or(Ok(()), |space| space.lock().reserve(pages))
    }

    /// Locks a folder for a program that writes the log. It is created if missing, and its files are made private.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        privacy::prepare_folder(path)?;
        let folder = Self::hold(path)?;
        privacy::close_files(&folder.path)?;
        Ok(folder)
    }

    /// Locks a folder without a change to its files, for a program that only reads the log.
    pub fn hold(path: &Path) -> Result<Self, OpenError> {
        let fault = |fault| OpenError::Folder { path: path.to_owned(), fault };
        privacy::check_files(path)?;
        let lock = privacy::options().create(true).truncate(false).write(true).open(path.join(LOCK)).map_err(fault)?;
        privacy::give_to_owner(&lock, path).map_err(fault)?;
        let deadline = Instant::now() + FOLDER_LOCK_WAIT;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::park_timeout(FOLDER_LOCK_RETRY),
                Err(TryLockError::WouldBlock) => return Err(OpenError::Locked { path: path.to_owned() }),
                Err(TryLockError::Error(error)) => return Err(fault(error)),
            }
        }
        Ok(Self { path: fs::canonicalize(path).map_err(fault)?, _lock: lock, space: OnceLock::new() })
    }
}
