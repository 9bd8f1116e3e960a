//! How the database is opened: checked, brought to the present version, and set up for whoever uses it.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::errors::{OpenError, is_damage};
use super::page::PAGE_BYTES;
use super::recovery::Findings;
use super::schema::{
    APPLICATION_ID, CHECKPOINT_END, IS_CLEAN, MIGRATIONS, NORMALISE_NAMES, PAGE_COUNT, SET_CLEAN, VERSION,
};
use super::{clean, disk, room_names, vfs, write_ahead};
use crate::limits::{LOG_WAIT, QUICK_CHECK_BYTES_MAX};

/// From this size on a database that is cleaned is logged before, in bytes: it takes some seconds a gigabyte.
const CLEANED_SILENTLY_MAX: u64 = 100_000_000;

/// Opens the database for the one who changes it, and brings it to the present version.
pub fn open(path: &Path) -> Result<Connection, OpenError> {
    let fault = |error: &rusqlite::Error| OpenError::of(path.to_owned(), error);
    let mut connection = connect(path).map_err(|error| fault(&error))?;
    let (application, version) = header(&connection).map_err(|error| fault(&error))?;
    if (application, version) != (0, 0) {
        check_header(path, application, version)?;
    }
    if let Err(error) = prepare(&mut connection, version) {
        if error.sqlite_error_code() == Some(ErrorCode::DiskFull) {
            // What was written in vain must not keep the disk full.
            let _ = connection.query_row(CHECKPOINT_END, (), |_| Ok(()));
        }
        return Err(fault(&error));
    }
    // What is copied of the write-ahead log and begun anew can be laid out. An I/O error leaves unknown what the disk has: the
    // next start copies it again. Any other one, such as a full disk, leaves it as it is.
    let is_all_copied = match connection.query_row(CHECKPOINT_END, (), |row| row.get(0)) {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) => return Err(fault(&error)),
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

/// Erases what earlier versions or other programs left of deleted messages. Returns whether that is done.
fn clean(path: &Path) -> bool {
    let size = path.metadata().map_or(0, |file| file.len());
    if size > CLEANED_SILENTLY_MAX {
        log::info!("erasing deleted messages from {}, {} MB, once", path.display(), size / 1_000_000);
    }
    match clean::clean(path) {
        Ok(0) => true,
        Ok(pages) => {
            log::info!("what earlier versions left of deleted messages was erased, in {pages} pages of the database");
            true
        }
        Err(error) => {
            log::warn!(
                "what earlier versions left of deleted messages can't be erased from {}: {error}",
                path.display()
            );
            false
        }
    }
}

/// Checks a database whose state is in doubt before it is served. A database that was put in place of another is refused if it
/// is damaged. After a server that was killed, a small one is checked too: damage is logged, and the rest is served.
pub fn check_after(connection: &Connection, path: &Path, findings: &Findings, restored: bool) -> Result<(), OpenError> {
    let fault = |error: &rusqlite::Error| OpenError::of(path.to_owned(), error);
    let is_backup: bool =
        connection.query_row("SELECT restored FROM life", (), |row| row.get(0)).map_err(|error| fault(&error))?;
    let is_replaced = findings.changed || restored || is_backup;
    let size = path.metadata().map_or(u64::MAX, |file| file.len());
    let is_doubtful = findings.doubtful && size <= QUICK_CHECK_BYTES_MAX;
    if !is_replaced && !is_doubtful {
        return Ok(());
    }
    let faults = match check(connection, "PRAGMA quick_check(5)") {
        Ok(faults) => faults,
        Err(error) if is_damage(&error) => vec![error.to_string()],
        Err(error) => return Err(fault(&error)),
    };
    match faults.as_slice() {
        [] => Ok(()),
        faults if restored || is_backup || findings.replaced => {
            Err(OpenError::Damaged { path: path.to_owned(), fault: faults.join("; ") })
        }
        faults => {
            log::error!("{} is damaged ({}); run hubbub-server verify", path.display(), faults.join("; "));
            Ok(())
        }
    }
}

/// What SQLite's own check finds.
pub fn check(connection: &Connection, statement: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(statement)?;
    let faults: rusqlite::Result<Vec<String>> = statement.query_map((), |row| row.get(0))?.collect();
    Ok(faults?.into_iter().filter(|fault| fault != "ok").collect())
}

/// Opens the database for the one who changes it.
pub fn connect(path: &Path) -> rusqlite::Result<Connection> {
    open_beside(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)
}

/// Opens the database for one who reads, or who keeps the write-ahead log short.
pub fn open_beside(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    disk::tell_errors_apart();
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(LOG_WAIT)?;
    // Only the keeper and the appender's end copy the write-ahead log, and they know when not to.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // What it needs is open from the start: descriptors may run out later. The read opens the files of the write-ahead log.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_query_value(None, "schema_version", |row| row.get::<_, i64>(0))?;
    if flags.contains(OpenFlags::SQLITE_OPEN_READ_WRITE) {
        write_carefully(&connection)?;
    }
    Ok(connection)
}

/// Sets up a connection that writes.
pub fn write_carefully(connection: &Connection) -> rusqlite::Result<()> {
    // The write-ahead log is copied by the keeper, not by whoever happens to commit.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    // Overwrites deleted rows, and pages that become free. "fast" would leave the text in free pages.
    connection.pragma_update(None, "secure_delete", true)?;
    vfs::attach(connection)
}

/// Refuses what is not a log of this version or an earlier one.
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

fn prepare(connection: &mut Connection, version: i64) -> rusqlite::Result<()> {
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
        let text = "its file system can't share memory, as network file systems can't: use another".to_owned();
        return Err(rusqlite::Error::SqliteFailure(code, Some(text)));
    }
    migrate(connection, version)
}

/// Brings a database to the present version.
pub fn migrate(connection: &mut Connection, version: i64) -> rusqlite::Result<()> {
    if version < VERSION {
        connection.pragma_update(None, "synchronous", "FULL")?;
        if version > 0 {
            let pages: i64 = connection.query_row(PAGE_COUNT, (), |row| row.get(0))?;
            let bytes = pages * PAGE_BYTES as i64;
            log::info!(
                "bringing the log from version {version} to {VERSION}: its database is copied within itself, which needs {} MB of free \
                 space",
                3 * bytes / 1_000_000
            );
        }
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for migration in &MIGRATIONS[version as usize..] {
            match *migration {
                NORMALISE_NAMES => room_names::normalise(&transaction)?,
                statements => transaction.execute_batch(statements)?,
            }
        }
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        transaction.commit()?;
        if version > 0 {
            log::info!("the log was brought from version {version} to {VERSION}");
        }
    }
    Ok(())
}
