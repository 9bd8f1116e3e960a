//! The file of the accounts: `accounts.db` in the data folder, beside the log and not in it.
//!
//! So a backup of the log, or a copy of `hubbub.db`, has no login in it. The table `events` only grows: a change is one
//! transaction, which is on the disk when it ends. Each row has a checksum that covers the row before, so a changed,
//! missing or moved row is found. The table `uses` has the day on which each token was last used; it is an observation
//! and not part of the accounts.
//!
//! The file has a rollback journal, not a write-ahead log: it is written rarely, and one file can be copied by hand.
//! Between changes it is not locked, and each change first compares the newest row with the one that this process
//! wrote last: a file that another program changed, replaced or damaged is not written to.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, TransactionBehavior};

use super::error::AccountsError;
use super::event::AccountEvent;
use crate::limits::{ACCOUNT_EVENTS_MAX, ACCOUNTS_WAIT};
use crate::server::auth::token::TokenId;
use crate::server::log::sqlite::privacy;

/// The file's name in the data folder.
pub const FILE: &str = "accounts.db";

/// The version of the tables. A file of a later version is refused.
const VERSION: i64 = 1;

/// Identifies the file in its header: "HbAc".
const APPLICATION_ID: i64 = 0x4862_4163;

const TABLES: &str = "
    CREATE TABLE events (
        seq INTEGER PRIMARY KEY,
        time_ms INTEGER NOT NULL,
        event TEXT NOT NULL,
        checksum INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE uses (token TEXT PRIMARY KEY, day INTEGER NOT NULL) STRICT, WITHOUT ROWID;";
const TABLE_COUNT: &str = "SELECT count(*) FROM sqlite_schema";
const ALL_EVENTS: &str = "SELECT seq, time_ms, event, checksum FROM events ORDER BY seq";
const LAST_EVENT: &str = "SELECT seq, checksum FROM events ORDER BY seq DESC LIMIT 1";
const ADD_EVENT: &str = "INSERT INTO events (seq, time_ms, event, checksum) VALUES (?1, ?2, ?3, ?4)";
const ALL_USES: &str = "SELECT token, day FROM uses";
const SET_USE: &str = "INSERT INTO uses (token, day) VALUES (?1, ?2)
    ON CONFLICT (token) DO UPDATE SET day = excluded.day";
const FORGET_USE: &str = "DELETE FROM uses WHERE token = ?1";

/// The open file. One thread writes it.
pub struct Store {
    path: PathBuf,
    connection: Connection,
    /// The file's device and inode number.
    identity: (u64, u64),
    head: Head,
    /// Why it is not written any more.
    failed: Option<String>,
}

/// The newest event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Head {
    seq: u64,
    checksum: u32,
}

impl Head {
    /// The head after the next event.
    fn next(self, time_ms: u64, event: &str) -> Self {
        let seq = self.seq + 1;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.checksum.to_le_bytes());
        hasher.update(&seq.to_le_bytes());
        hasher.update(&time_ms.to_le_bytes());
        hasher.update(event.as_bytes());
        Self { seq, checksum: hasher.finalize() }
    }
}

impl Store {
    /// Opens the file in a folder, and calls `take` with each event, in order, and its time. Both are created if
    /// missing. An error of `take` means that the file is damaged.
    pub fn open(
        folder: &Path,
        mut take: impl FnMut(u64, &AccountEvent) -> Result<(), String>,
    ) -> Result<Self, AccountsError> {
        privacy::check_folder(folder)?;
        privacy::check_files(folder)?;
        let file_fault =
            |path: &Path, fault: io::Error| AccountsError::File { path: path.to_owned(), fault: fault.to_string() };
        // SQLite refuses a link in the whole path.
        let path = fs::canonicalize(folder).map_err(|fault| file_fault(folder, fault))?.join(FILE);
        create(&path, folder).map_err(|fault| file_fault(&path, fault))?;
        privacy::close_files(folder)?;
        let identity = identity(&path).map_err(|fault| file_fault(&path, fault))?;
        let fault = |error: rusqlite::Error| fault(&path, &error);
        let mut connection = connect(&path).map_err(fault)?;
        let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let header = (pragma("application_id").map_err(fault)?, pragma("user_version").map_err(fault)?);
        let tables: i64 = connection.query_row(TABLE_COUNT, (), |row| row.get(0)).map_err(fault)?;
        match header {
            (0, 0) if tables == 0 => set_up(&mut connection).map_err(fault)?,
            (APPLICATION_ID, VERSION) => {}
            (APPLICATION_ID, found) if found > VERSION => {
                return Err(AccountsError::Newer { path, found, supported: VERSION });
            }
            _ => return Err(AccountsError::Damaged { path, fault: "it is another program's database".to_owned() }),
        }
        let head = read(&connection, &path, &mut take)?;
        Ok(Self { path, connection, identity, head, failed: None })
    }

    /// The days of last uses. They are not needed: what can't be read is left out.
    pub fn uses(&self) -> HashMap<TokenId, u32> {
        let read = || -> rusqlite::Result<HashMap<_, _>> {
            let mut statement = self.connection.prepare(ALL_USES)?;
            let rows = statement.query_map((), |row| Ok((row.get::<_, String>(0)?, row.get::<_, u32>(1)?)))?;
            Ok(rows.flatten().filter_map(|(id, day)| Some((TokenId::parse(&id)?, day))).collect())
        };
        read().unwrap_or_else(|error| {
            log::warn!("the last uses of tokens can't be read from {}: {error}", self.path.display());
            HashMap::new()
        })
    }

    /// Appends events. They are on the disk when this returns, or none of them is.
    pub fn append(&mut self, time_ms: u64, events: &[AccountEvent]) -> Result<(), AccountsError> {
        self.check()?;
        if self.head.seq + events.len() as u64 > ACCOUNT_EVENTS_MAX {
            return Err(AccountsError::TooManyEvents);
        }
        let mut head = self.head;
        let rows: Vec<_> = events
            .iter()
            .map(|event| {
                let text = serde_json::to_string(event).expect("an event has only texts and numbers");
                head = head.next(time_ms, &text);
                (head, text)
            })
            .collect();
        let expected = self.head;
        let written = self.transaction(|transaction| {
            if last(transaction)? != expected {
                return Ok(false);
            }
            let mut statement = transaction.prepare_cached(ADD_EVENT)?;
            for (head, text) in &rows {
                statement.execute((head.seq as i64, time_ms as i64, text, head.checksum))?;
            }
            Ok(true)
        })?;
        if !written {
            return Err(AccountsError::Changed { path: self.path.clone() });
        }
        self.head = head;
        Ok(())
    }

    /// Stores the days of last uses, and forgets those of tokens that are gone.
    pub fn set_uses(&mut self, uses: &[(TokenId, u32)], gone: &[TokenId]) -> Result<(), AccountsError> {
        self.check()?;
        self.transaction(|transaction| {
            let mut set = transaction.prepare_cached(SET_USE)?;
            for (id, day) in uses {
                set.execute((id.as_str(), day))?;
            }
            let mut forget = transaction.prepare_cached(FORGET_USE)?;
            for id in gone {
                forget.execute([id.as_str()])?;
            }
            Ok(())
        })
    }

    /// Refuses to write to a file without a name, or after a failure.
    fn check(&self) -> Result<(), AccountsError> {
        if let Some(fault) = &self.failed {
            return Err(AccountsError::Failed { path: self.path.clone(), fault: fault.clone() });
        }
        let fate = match identity(&self.path) {
            Ok(found) if found == self.identity => return Ok(()),
            Ok(_) => "was replaced".to_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => "was deleted or moved".to_owned(),
            Err(error) => format!("can't be found ({error})"),
        };
        Err(AccountsError::Moved { path: self.path.clone(), fate })
    }

    fn transaction<T>(&mut self, act: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, AccountsError> {
        let outcome = (|| {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = act(&transaction)?;
            transaction.commit()?;
            Ok(value)
        })();
        outcome.map_err(|error: rusqlite::Error| {
            // After it, nobody knows what is on the disk.
            if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) {
                self.failed = Some(error.to_string());
            }
            fault(&self.path, &error)
        })
    }
}

/// Creates the file if it is missing. SQLite would create it as the umask says.
fn create(path: &Path, folder: &Path) -> io::Result<()> {
    match privacy::options().write(true).create_new(true).open(path) {
        Ok(file) => privacy::give_to_owner(&file, folder),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(ACCOUNTS_WAIT)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update_and_check(None, "journal_mode", "DELETE", |row| row.get::<_, String>(0))?;
    // The folder is synced too when the journal is deleted, so a commit survives a power cut.
    connection.pragma_update(None, "synchronous", "EXTRA")?;
    Ok(connection)
}

fn set_up(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(TABLES)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}

/// Reads all events.
fn read(
    connection: &Connection,
    path: &Path,
    take: &mut impl FnMut(u64, &AccountEvent) -> Result<(), String>,
) -> Result<Head, AccountsError> {
    let fault = |error: rusqlite::Error| fault(path, &error);
    let damaged = |fault: String| AccountsError::Damaged { path: path.to_owned(), fault };
    let mut statement = connection.prepare(ALL_EVENTS).map_err(fault)?;
    let mut rows = statement.query(()).map_err(fault)?;
    let mut head = Head::default();
    while let Some(row) = rows.next().map_err(fault)? {
        let number = |at| row.get::<_, i64>(at).map(i64::cast_unsigned).map_err(fault);
        let (seq, time_ms, checksum) = (number(0)?, number(1)?, number(3)?);
        let text = row.get_ref(2).and_then(|text| Ok(text.as_str()?)).map_err(fault)?;
        head = head.next(time_ms, text);
        if (head.seq, u64::from(head.checksum)) != (seq, checksum) {
            return Err(damaged(format!("event {} is missing or has a wrong checksum", head.seq)));
        }
        let event = serde_json::from_str(text).map_err(|error| damaged(format!("event {seq}: {error}")))?;
        take(time_ms, &event).map_err(|fault| damaged(format!("event {seq}: {fault}")))?;
    }
    Ok(head)
}

fn last(connection: &Connection) -> rusqlite::Result<Head> {
    let head = |row: &rusqlite::Row<'_>| Ok(Head { seq: row.get::<_, i64>(0)?.cast_unsigned(), checksum: row.get(1)? });
    Ok(connection.query_row(LAST_EVENT, (), head).optional()?.unwrap_or_default())
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

fn fault(path: &Path, error: &rusqlite::Error) -> AccountsError {
    let path = path.to_owned();
    let text = match error {
        rusqlite::Error::SqliteFailure(failure, Some(text)) => format!("{text}, code {}", failure.extended_code),
        other => other.to_string(),
    };
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => AccountsError::InUse { path },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => AccountsError::Damaged { path, fault: text },
        // A table is missing, or a value has a wrong type.
        Some(ErrorCode::Unknown) | None => AccountsError::Damaged { path, fault: text },
        Some(ErrorCode::SystemIoFailure) => AccountsError::Failed { path, fault: text },
        Some(_) => AccountsError::File { path, fault: text },
    }
}
