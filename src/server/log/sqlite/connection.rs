//! Connections to the database, set up for their purpose.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::errors::OpenError;
use super::schema::{APPLICATION_ID, VERSION};
use super::{disk, vfs};
use crate::limits::LOG_WAIT;

/// Opens the database for writing.
pub fn connect(path: &Path) -> rusqlite::Result<Connection> {
    open_beside(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)
}

/// Opens the database for a reader, or for the log keeper.
pub fn open_beside(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    disk::tell_errors_apart();
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    // SQLite follows no link to the files beside the database. For the database it refuses a link in the whole path.
    let connection = Connection::open_with_flags(resolved(path), flags)?;
    connection.busy_timeout(LOG_WAIT)?;
    // Only the keeper and the closing appender copy the write-ahead log, because they know when it is unsafe.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // Its files are open from the start: descriptors may run out later. The read opens the files of the write-ahead
    // log.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_query_value(None, "schema_version", |row| row.get::<_, i64>(0))?;
    if flags.contains(OpenFlags::SQLITE_OPEN_READ_WRITE) {
        write_carefully(&connection)?;
    }
    Ok(connection)
}

/// The path of a file, whose folder may be reached through links.
fn resolved(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (fs::canonicalize(folder), path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        // Opening it reports the reason.
        _ => path.to_owned(),
    }
}

/// Sets up a connection that writes.
pub fn write_carefully(connection: &Connection) -> rusqlite::Result<()> {
    // The keeper copies the write-ahead log, not the committing thread.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    // Overwrites deleted rows, and pages that become free. `fast` would leave the text in free pages.
    connection.pragma_update(None, "secure_delete", true)?;
    vfs::attach(connection)
}

/// Refuses a file that is not a log of this version or an earlier one.
pub fn check_header(path: &Path, application: i64, version: i64) -> Result<(), OpenError> {
    if application != APPLICATION_ID || version < 0 {
        let fault = "it is another program's database".to_owned();
        return Err(OpenError::Damaged { path: path.to_owned(), fault });
    }
    if version > VERSION {
        return Err(OpenError::Newer { path: path.to_owned(), found: version });
    }
    Ok(())
}

/// The application id and the version.
pub fn header(connection: &Connection) -> rusqlite::Result<(i64, i64)> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get(0));
    Ok((number("application_id")?, number("user_version")?))
}
