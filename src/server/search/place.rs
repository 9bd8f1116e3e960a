//! Where the index is: in a file of the data folder, or in memory beside a log in memory.
//!
//! The file is derived from the log. So a file that is missing, damaged, or not an index of this version is deleted and
//! rebuilt, also if it is deleted or replaced while the server runs.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::fault::Fault;
use super::schema;
use crate::limits::{INDEX_CACHE_KIB, INDEX_WAIT};
use crate::server::log::sqlite::{connection, disk, privacy};

/// The file's name in the data folder. SQLite creates files next to it whose names begin with it.
pub const FILE: &str = "search.db";

/// Identifies a file on its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
}

/// Where the index is.
#[derive(Clone, Debug)]
pub enum Place {
    File {
        folder: PathBuf,
    },
    /// A database of this name in the memory of the process.
    Memory {
        name: String,
    },
}

impl Place {
    /// In a data folder, which exists.
    pub fn folder(folder: &Path) -> io::Result<Self> {
        // SQLite refuses a link in the whole path.
        Ok(Self::File { folder: fs::canonicalize(folder)? })
    }

    /// In memory, apart from all other indexes of the process.
    pub fn memory() -> Self {
        Self::Memory { name: format!("file:/hubbub-search-{:016x}?vfs=memdb", fastrand::u64(..)) }
    }

    /// The identity of the file that has the index's name now.
    pub fn identity(&self) -> Option<Identity> {
        match self {
            Self::File { folder } => fs::symlink_metadata(folder.join(FILE))
                .ok()
                .map(|file| Identity { device: file.dev(), inode: file.ino() }),
            Self::Memory { .. } => Some(Identity { device: 0, inode: 0 }),
        }
    }

    /// Opens the index for writing. It is created if it is missing, and has no tables then.
    pub fn connect(&self) -> Result<Connection, Fault> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
        let connection = match self {
            Self::File { folder } => {
                let path = folder.join(FILE);
                match privacy::options().write(true).create_new(true).open(&path) {
                    Ok(file) => privacy::give_to_owner(&file, folder),
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                    Err(error) => Err(error),
                }
                .map_err(|fault| of_io(&path, &fault))?;
                let connection = open(&path, flags)?;
                connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))?;
                // The log has everything that a power cut may lose here.
                connection.pragma_update(None, "synchronous", "NORMAL")?;
                // Opens the write-ahead log, to which the next call attaches.
                connection.pragma_query_value(None, "schema_version", |row| row.get::<_, i64>(0))?;
                connection::write_carefully(&connection)?;
                connection
            }
            Self::Memory { name } => {
                let flags = flags | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_URI;
                let connection = open(Path::new(name), flags)?;
                connection.pragma_update_and_check(None, "journal_mode", "MEMORY", |row| row.get::<_, String>(0))?;
                connection
            }
        };
        connection.pragma_update(None, "cache_size", -INDEX_CACHE_KIB)?;
        Ok(connection)
    }

    /// Opens an existing index for a reader.
    pub fn connect_reader(&self) -> Result<Connection, Fault> {
        let connection = match self {
            Self::File { folder } => open(&folder.join(FILE), OpenFlags::SQLITE_OPEN_READ_ONLY)?,
            Self::Memory { name } => {
                open(Path::new(name), OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI)?
            }
        };
        // Its files are open from the start: descriptors may run out later.
        connection.query_row(schema::TABLE_COUNT, (), |row| row.get::<_, i64>(0))?;
        Ok(connection)
    }

    /// Deletes the index. No connection may be open.
    pub fn remove(&self) -> io::Result<()> {
        match self {
            Self::File { folder } => remove(folder).map(drop),
            Self::Memory { .. } => Ok(()),
        }
    }

    /// The size of its write-ahead log, in bytes.
    pub fn wal_bytes(&self) -> u64 {
        match self {
            Self::File { folder } => fs::metadata(folder.join(FILE.to_owned() + "-wal")).map_or(0, |file| file.len()),
            Self::Memory { .. } => 0,
        }
    }
}

/// Deletes the index of a data folder. Returns whether there was one.
pub fn remove(folder: &Path) -> io::Result<bool> {
    let mut existed = false;
    // The database last: without it, the others are deleted at the next start.
    for ending in ["-shm", "-wal", "-journal", ""] {
        match fs::remove_file(folder.join(FILE.to_owned() + ending)) {
            Ok(()) => existed = true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(existed)
}

fn open(path: &Path, flags: OpenFlags) -> Result<Connection, Fault> {
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    disk::tell_errors_apart();
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(INDEX_WAIT)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(connection)
}

fn of_io(path: &Path, fault: &io::Error) -> Fault {
    match fault.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Fault::Full,
        _ => Fault::Unavailable(format!("can't create {}: {fault}", path.display())),
    }
}
