//! Opens the database: checks it, upgrades it to the current version, and sets it up.

use std::path::Path;

use rusqlite::Connection;

use super::connection::{check_header, connect, header};
use super::errors::{OpenError, is_damage};
use super::migration::migrate;
use super::recovery::Findings;
use super::schema::{CHECKPOINT_END, IS_CLEAN, SET_CLEAN, VERSION};
use super::{clean, privacy, salvage, write_ahead};
use crate::limits::{CLEANED_SILENTLY_BYTES_MAX, QUICK_CHECK_BYTES_MAX};

/// Opens the database for writing, and upgrades it to the current version.
pub fn open(path: &Path) -> Result<Connection, OpenError> {
    let fault = |error: &rusqlite::Error| OpenError::of(path.to_owned(), error);
    // SQLite would create it, and the files beside it, as the umask says.
    let created = privacy::options().write(true).create(true).truncate(false).open(path);
    created.map_err(|fault| OpenError::Folder { path: path.to_owned(), fault })?;
    let mut connection = connect(path).map_err(|error| fault(&error))?;
    let (application, version) = header(&connection).map_err(|error| fault(&error))?;
    if (application, version) != (0, 0) {
        check_header(path, application, version)?;
    }
    if let Err(error) = prepare(&mut connection, version) {
        // A failed attempt must not leave the disk full.
        let is_all_copied =
            connection.query_row(CHECKPOINT_END, (), |row| row.get(0)).is_ok_and(|is_busy: bool| !is_busy);
        if !(1..VERSION).contains(&version) || !is_all_copied || !salvage::may_be_damage(&error) {
            return Err(fault(&error));
        }
        connection.close().map_err(|(_, error)| fault(&error))?;
        salvage::salvage(path, version, &error)?;
        connection = connect(path).map_err(|error| fault(&error))?;
        prepare(&mut connection, VERSION).map_err(|error| fault(&error))?;
    }
    // A write-ahead log that was copied and restarted can be laid out. After an I/O error the state of the disk is
    // unknown: the next start copies again. Any other error, such as a full disk, changes nothing.
    let is_all_copied = match connection.query_row(CHECKPOINT_END, (), |row| row.get(0)) {
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::SystemIoFailure) => {
            return Err(fault(&error));
        }
        outcome => outcome.is_ok_and(|is_busy: bool| !is_busy),
    };
    let is_clean: bool = connection.query_row(IS_CLEAN, (), |row| row.get(0)).map_err(|error| fault(&error))?;
    connection.close().map_err(|(_, error)| fault(&error))?;
    let is_cleaned = !is_clean && is_all_copied && clean(path);
    write_ahead::lay_out(path);
    let connection = connect(path).map_err(|error| fault(&error))?;
    if is_cleaned {
        connection.execute(SET_CLEAN, ()).map_err(|error| fault(&error))?;
    }
    Ok(connection)
}

/// Erases the remains of deleted messages that earlier versions or other programs left. Returns whether that is done.
fn clean(path: &Path) -> bool {
    let size = path.metadata().map_or(0, |file| file.len());
    if size > CLEANED_SILENTLY_BYTES_MAX {
        log::info!("erasing deleted messages from {}, {} MB, once", path.display(), size / 1_000_000);
    }
    match clean::clean(path) {
        Ok(0) => true,
        Ok(pages) => {
            log::info!(
                "the remains of deleted messages from earlier versions were erased, in {pages} pages of the database"
            );
            true
        }
        Err(error) => {
            log::warn!(
                "the remains of deleted messages from earlier versions can't be erased from {}: {error}",
                path.display()
            );
            false
        }
    }
}

/// Checks a database whose state is in doubt before it is served. A database that replaced another is refused if it is
/// damaged. After a kill, a small one is checked too: damage is logged, and the rest is served. Returns whether there is
/// damage.
pub fn check_after(
    connection: &Connection,
    path: &Path,
    findings: &Findings,
    restored: bool,
) -> Result<bool, OpenError> {
    let fault = |error: &rusqlite::Error| OpenError::of(path.to_owned(), error);
    let is_backup: bool =
        connection.query_row("SELECT restored FROM life", (), |row| row.get(0)).map_err(|error| fault(&error))?;
    let is_replaced = findings.changed || restored || is_backup;
    let size = path.metadata().map_or(u64::MAX, |file| file.len());
    let is_doubtful = findings.doubtful && size <= QUICK_CHECK_BYTES_MAX;
    if !is_replaced && !is_doubtful {
        return Ok(false);
    }
    let faults = match check(connection, "PRAGMA quick_check(5)") {
        Ok(faults) => faults,
        Err(error) if is_damage(&error) => vec![error.to_string()],
        Err(error) => return Err(fault(&error)),
    };
    match faults.as_slice() {
        [] => Ok(false),
        faults if restored || is_backup || findings.replaced => {
            Err(OpenError::Damaged { path: path.to_owned(), fault: faults.join("; ") })
        }
        faults => {
            log::error!("{} is damaged ({}); run hubbub-server verify", path.display(), faults.join("; "));
            Ok(true)
        }
    }
}

/// The result of SQLite's own check.
pub fn check(connection: &Connection, statement: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(statement)?;
    let faults: rusqlite::Result<Vec<String>> = statement.query_map((), |row| row.get(0))?.collect();
    Ok(faults?.into_iter().filter(|fault| fault != "ok").collect())
}

fn prepare(connection: &mut Connection, version: i64) -> rusqlite::Result<()> {
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
        let text = "its file system does not support shared memory, as is usual for network file systems: use another"
            .to_owned();
        return Err(rusqlite::Error::SqliteFailure(code, Some(text)));
    }
    migrate(connection, version)
}
