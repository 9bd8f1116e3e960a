//! Backup of a log, also while it is in use, and restore.
//!
//! A backup is one SQLite file. All its pages are copied within a single read transaction, so it is one state of the
//! log, regardless of commits meanwhile, and the copy completes. (Without that transaction, SQLite's backup would start
//! again with each commit of another process.) While the transaction lasts, the write-ahead log can't restart and grows; copying takes about as
//! long as reading the file.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Instant;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::connection::{check_header, header, open_beside, write_carefully};
use super::errors::{OpenError, log_error};
use super::files::beside;
use super::folder::{DATABASE, Folder, LOCK};
use super::identity::{self, Mark};
use super::life;
use super::migration::migrate;
use super::offline::{BackupError, check_log, hold_unused};
use super::progress::Progress;
use super::recovery;
use super::schema;
use super::verify;
use crate::limits::LOG_WAIT;
use crate::server::log::LogError;

/// How much is copied between two reports of the progress.
const PIECE_BYTES: u64 = 4 * 1024 * 1024;

/// The copy of a backup in the data folder, until it takes the database's place.
const RESTORING: &str = "restoring.db";

/// Writes a backup of the log in a folder; a server may be using it. It contains everything that was acknowledged
/// before the call. The file appears complete or not at all. Returns its size in bytes.
pub fn backup(folder: &Path, file: &Path, force: bool, progress: &mut dyn Progress) -> Result<u64, BackupError> {
    let database = check_log(folder)?;
    check_place(folder, file)?;
    if file.exists() && !force {
        return Err(BackupError::Exists(file.to_owned()));
    }
    let unwritable = |fault: io::Error| BackupError::Write { path: file.to_owned(), fault: fault.to_string() };
    let _lock = hold_unused(folder)?;
    let temporary = beside(file, &format!(".{}.tmp", std::process::id()));
    let result = copy(&database, &temporary, file, progress).and_then(|()| {
        if file.exists() && !force {
            return Err(BackupError::Exists(file.to_owned()));
        }
        let size = File::open(&temporary).and_then(|copy| copy.sync_all().and_then(|()| copy.metadata()));
        let size = size.map_err(unwritable)?.len();
        fs::rename(&temporary, file).and_then(|()| identity::sync_folder(parent(file))).map_err(unwritable)?;
        Ok(size)
    });
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
        let _ = fs::remove_file(beside(&temporary, "-journal"));
    }
    result
}

/// Refuses targets where a backup would be lost with the log, or would overwrite a part of it.
fn check_place(folder: &Path, file: &Path) -> Result<(), BackupError> {
    let fault = |fault| Err(BackupError::Place { path: file.to_owned(), fault });
    if file.is_dir() {
        return fault("it is a folder; name a file in it");
    }
    match fs::canonicalize(parent(file)) {
        Ok(place) if fs::canonicalize(folder).is_ok_and(|folder| place.starts_with(folder)) => {
            fault("it is in the server's data folder; choose another one, preferably on another disk")
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => fault("its folder does not exist; create it first"),
        // The write reports other faults.
        _ => Ok(()),
    }
}

/// Replaces the log in a folder with a backup, after a complete check. The folder is created if missing. If this is
/// killed, the folder has the old log or the new one. After the next start, clients learn which messages they have seen
/// are lost.
pub fn restore(folder: &Path, file: &Path, progress: &mut dyn Progress) -> Result<verify::Report, BackupError> {
    let unreadable = |fault: io::Error| BackupError::Read { path: file.to_owned(), fault: fault.to_string() };
    if !fs::metadata(file).map_err(unreadable)?.is_file() {
        return Err(unreadable(io::Error::other("it is not a file")));
    }
    let log = beside(file, "-wal");
    if fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        return Err(BackupError::Live(file.to_owned(), log));
    }
    let is_new = !folder.exists();
    let mut backup = File::open(file).map_err(unreadable)?;
    let folder = Folder::open(folder)?;
    let database = folder.path.join(DATABASE);
    let temporary = folder.path.join(RESTORING);
    let unwritable = |fault: io::Error| BackupError::Write { path: temporary.clone(), fault: fault.to_string() };
    remove_unfinished(&folder.path).map_err(unwritable)?;
    let result = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut copy| copy_file(&mut backup, &mut copy, progress))
        .map_err(unwritable)
        .and_then(|()| install(&folder, file, &temporary, &database, progress));
    if result.is_err() {
        let _ = remove_unfinished(&folder.path);
        if is_new {
            // A folder with a mistyped name is removed again, unless it has contents.
            let _ = recovery::remove(&folder.path.join(LOCK)).and_then(|()| fs::remove_dir(&folder.path));
        }
    }
    result
}

/// Copies a file, in pieces.
fn copy_file(from: &mut File, to: &mut File, progress: &mut dyn Progress) -> io::Result<()> {
    progress.begin("copying", from.metadata()?.len());
    let mut copied = 0;
    loop {
        match io::copy(&mut from.by_ref().take(PIECE_BYTES), to)? {
            0 => return Ok(()),
            count => copied += count,
        }
        progress.at(copied);
    }
}

/// Makes a folder ready for a program that writes its log: removes the files of an unfinished restore, and has the
/// whole write-ahead log copied again.
pub(super) fn make_ready(folder: &Folder) -> Result<(), OpenError> {
    let made = remove_unfinished(&folder.path).and_then(|()| life::forget_copied(&folder.path.join(DATABASE)));
    made.map_err(|fault| OpenError::Folder { path: folder.path.clone(), fault })
}

/// Removes the files of an unfinished restore from a folder.
fn remove_unfinished(folder: &Path) -> io::Result<()> {
    let copy = folder.join(RESTORING);
    ["", "-journal", "-wal", "-shm"].into_iter().try_for_each(|suffix| recovery::remove(&beside(&copy, suffix)))
}

/// Checks a copy of the backup, and replaces the database with it.
fn install(
    folder: &Folder,
    file: &Path,
    copy: &Path,
    database: &Path,
    progress: &mut dyn Progress,
) -> Result<verify::Report, BackupError> {
    let fault = |error: rusqlite::Error| BackupError::from(OpenError::of(file.to_owned(), &error));
    let mut connection = Connection::open(copy).map_err(fault)?;
    let (application, version) = header(&connection).map_err(fault)?;
    check_header(file, application, version)?;
    // One file: a backup that was made by SQLite's own tools may ask for a write-ahead log.
    connection.pragma_update(None, "journal_mode", "DELETE").map_err(fault)?;
    migrate(&mut connection, version).map_err(fault)?;
    let report = verify::walk(&connection, progress).map_err(fault)?;
    if let Some(first) = report.faults.first() {
        return Err(BackupError::Faulty { path: file.to_owned(), fault: first.clone() });
    }
    let next = identity::random_id();
    connection.execute(schema::MAKE_BACKUP, [next]).map_err(fault)?;
    connection.close().map_err(|(_, error)| fault(error))?;
    // A database without an id, or a missing one, has id 0.
    let last = recovery::life_id(database);
    let replace = || {
        File::open(copy)?.sync_all()?;
        identity::write(&folder.path, Mark::Restoring { last, next })?;
        fs::rename(copy, database)?;
        identity::sync_folder(&folder.path)?;
        recovery::remove(&beside(database, "-wal"))?;
        recovery::remove(&beside(database, "-shm"))?;
        identity::sync_folder(&folder.path)?;
        identity::write(&folder.path, Mark::Running { id: next })
    };
    replace().map_err(|fault| BackupError::Write { path: database.to_owned(), fault: fault.to_string() })?;
    Ok(report)
}

fn copy(database: &Path, temporary: &Path, file: &Path, progress: &mut dyn Progress) -> Result<(), BackupError> {
    let unreadable = |fault: String| BackupError::Read { path: database.to_owned(), fault };
    let unwritable = |fault: String| BackupError::Write { path: file.to_owned(), fault };
    let created = File::options().write(true).create_new(true).mode(0o600).open(temporary);
    created.map_err(|fault| unwritable(fault.to_string()))?;
    let source = open_beside(database, OpenFlags::SQLITE_OPEN_READ_ONLY);
    let source = source.map_err(|error| unreadable(error.to_string()))?;
    let header = header(&source).map_err(|error| unreadable(log_error(&error).to_string()))?;
    check_header(database, header.0, header.1)?;
    let mut copy = Connection::open(temporary).map_err(|error| unwritable(error.to_string()))?;
    // Deleted messages must not be in the backup either.
    write_carefully(&copy).map_err(|error| unwritable(error.to_string()))?;
    // It is synced completely before it gets its name.
    copy.pragma_update(None, "synchronous", "OFF").map_err(|error| unwritable(error.to_string()))?;
    let fault = |error: rusqlite::Error| match log_error(&error) {
        LogError::Damaged(fault) => unreadable(fault),
        other => unwritable(other.to_string()),
    };
    // One state of the log: the steps use this transaction. Without it, each would begin one of its own, and start again
    // after a commit of the server.
    source.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema").map_err(fault)?;
    let page_bytes = source.pragma_query_value(None, "page_size", |row| row.get::<_, i64>(0)).map_err(fault)?;
    let page_bytes = page_bytes.unsigned_abs().max(1);
    let pages_per_step = i32::try_from(PIECE_BYTES / page_bytes).unwrap_or(i32::MAX).max(1);
    let bytes = |pages: i32| u64::from(pages.unsigned_abs()) * page_bytes;
    let (mut has_begun, mut last) = (false, Instant::now());
    let pages = Backup::new(&source, &mut copy).map_err(fault)?;
    loop {
        match pages.step(pages_per_step).map_err(fault)? {
            StepResult::Done => break,
            StepResult::More => {
                let step = pages.progress();
                if !std::mem::replace(&mut has_begun, true) {
                    progress.begin("copying", bytes(step.pagecount));
                }
                progress.at(bytes(step.pagecount - step.remaining));
                last = Instant::now();
            }
            _ if last.elapsed() >= LOG_WAIT => {
                return Err(unreadable("it is locked by another program".to_owned()));
            }
            _ => std::thread::park_timeout(std::time::Duration::from_millis(1)),
        }
    }
    drop(pages);
    source.execute_batch("ROLLBACK").map_err(fault)?;
    copy.pragma_update(None, "journal_mode", "DELETE").map_err(fault)?;
    if header.1 == schema::VERSION {
        copy.execute(schema::MAKE_BACKUP, [identity::random_id()]).map_err(fault)?;
    }
    copy.close().map_err(|(_, error)| fault(error))
}

fn parent(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
