//! Creates a sound database from a damaged one of an earlier version, so that it can be upgraded to the current
//! version.
//!
//! A migration reads whole tables, so a single unreadable page would make all rooms unusable. Here every readable row
//! is copied to a new database, which replaces the damaged one; that is kept under another name. Missing rows become
//! gaps between messages, which are reported to clients like all damage. A room whose newest messages may be missing
//! gets another epoch: its seqs may be assigned again.
//!
//! The rooms themselves and the log's life must be readable. Without them the rows can't be assigned to rooms.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, Params, Row};

use super::columns::number;
use super::connection::{open_beside, write_carefully};
use super::errors::{OpenError, is_damage, text};
use super::expiring;
use super::files::beside;
use super::migration::migrate;
use super::rooms::all_rooms;
use super::rows::{first_beyond, unless_damaged};
use super::schema::{self, MIGRATIONS, NORMALISE_NAMES, VERSION};
use super::{identity, recovery};
use crate::limits::DAMAGED_DATABASES_MAX;
use crate::names::{Epoch, Seq};

/// The position of a segment in the table: the number of its room, and its first seq.
type Place = (i64, i64);

/// The rows that could not be copied.
struct Loss {
    /// The rooms that may lack messages.
    rooms: Vec<i64>,
    /// Those of them whose newest messages may be missing.
    open_ended: Vec<i64>,
    /// Whether ids of messages are missing.
    ids: bool,
}

/// Whether damage to the database may be the reason why a migration failed. The statements are correct, and so were the
/// rows that they change.
pub fn may_be_damage(error: &rusqlite::Error) -> bool {
    let doubtful = [ErrorCode::ConstraintViolation, ErrorCode::Unknown, ErrorCode::TypeMismatch];
    is_damage(error) || error.sqlite_error_code().is_some_and(|code| doubtful.contains(&code))
}

/// Replaces a damaged database, which must not be open and whose write-ahead log was copied, with a sound one of the
/// current version. Until that is done, the damaged one is unchanged.
pub fn salvage(path: &Path, version: i64, fault: &rusqlite::Error) -> Result<(), OpenError> {
    log::error!(
        "{} is damaged ({}) and can't be upgraded in place from version {version} to {VERSION}: copying its readable rows",
        path.display(),
        text(fault)
    );
    let copy = beside(path, "-salvaged");
    let failed = |fault: io::Error| OpenError::Database { path: copy.clone(), fault: fault.to_string() };
    create(&copy).map_err(failed)?;
    let outcome = copy_readable(path, &copy, version)
        .map_err(|error| OpenError::of(path.to_owned(), &error))
        .and_then(|loss| replace(path, &copy).map(|kept| (loss, kept)).map_err(failed));
    if outcome.is_err() {
        // The known error is more informative.
        let _ = recovery::remove(&copy);
    }
    let (loss, kept) = outcome?;
    log::error!(
        "the readable part of the log was upgraded to version {VERSION}; {} of its rooms may lack messages, and clients learn which \
         (hubbub-server verify lists them). The damaged database is {}: delete it when no further repair is planned, \
         because messages that are deleted from the log stay in it",
        loss.rooms.len(),
        kept.display()
    );
    Ok(())
}

/// Creates an empty file that only its owner may read, in place of one that a killed start has left.
fn create(copy: &Path) -> io::Result<()> {
    recovery::remove(copy)?;
    File::options().write(true).create_new(true).mode(0o600).open(copy).map(drop)
}

/// Fills the new database, completely on the disk.
fn copy_readable(path: &Path, copy: &Path, version: i64) -> rusqlite::Result<Loss> {
    let source = open_beside(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut target = Connection::open(copy)?;
    // It is not used before it is complete.
    target.pragma_update(None, "journal_mode", "OFF")?;
    target.pragma_update(None, "synchronous", "OFF")?;
    write_carefully(&target)?;
    for migration in MIGRATIONS[..version as usize].iter().filter(|migration| **migration != NORMALISE_NAMES) {
        target.execute_batch(migration)?;
    }
    let loss = Copying { source: &source, target: &target, version }.run()?;
    migrate(&mut target, version)?;
    settle(&mut target, &loss)?;
    target.close().map_err(|(_, error)| error)?;
    let synced = File::open(copy).and_then(|file| file.sync_all());
    synced.map_err(|error| {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR);
        rusqlite::Error::SqliteFailure(code, Some(error.to_string()))
    })?;
    Ok(loss)
}

/// Adjusts the new database, of the current version, to the lost rows.
fn settle(target: &mut Connection, loss: &Loss) -> rusqlite::Result<()> {
    let transaction = target.transaction()?;
    for (id, room) in all_rooms(&transaction)?.into_iter().filter(|(id, _)| loss.open_ended.contains(id)) {
        let (epoch, head) = match room {
            Some(room) => (room.state.epoch.renewed(), room.state.head),
            None => (Epoch::random(), Seq::ZERO),
        };
        transaction.execute(schema::SET_EPOCH, (id, epoch.get() as i64, number(head.0 + 1)))?;
        // A client that posts a lost message again must not get the answer that it is stored.
        transaction.execute("DELETE FROM ids WHERE room = ?1 AND seq > ?2", (id, number(head.0)))?;
    }
    if loss.ids {
        let mut insert = transaction.prepare(schema::CLAIM_ID)?;
        let mut claim = |room: i64, packed: &[u8]| -> rusqlite::Result<()> {
            for (id, sender, seq) in expiring::unpack(packed) {
                insert.execute((room, id, sender, number(seq)))?;
            }
            Ok(())
        };
        let mut segments = transaction.prepare("SELECT room, entries FROM segments ORDER BY id")?;
        let mut rows = segments.query(())?;
        while let Some(row) = rows.next()? {
            claim(row.get(0)?, &expiring::pack(row.get_ref(1)?.as_blob()?).1)?;
        }
        let mut deleted = transaction.prepare("SELECT room, ids FROM expiring")?;
        let mut rows = deleted.query(())?;
        while let Some(row) = rows.next()? {
            claim(row.get(0)?, row.get_ref(1)?.as_blob()?)?;
        }
    }
    transaction.commit()
}

/// Renames the damaged database, and gives its name to the new one. Returns the new name of the damaged one.
fn replace(path: &Path, copy: &Path) -> io::Result<PathBuf> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let kept = keep(path)?;
    // Its contents are in the database. If it stayed, it would be applied to the new database.
    recovery::remove(&beside(path, "-wal"))?;
    recovery::remove(&beside(path, "-shm"))?;
    identity::sync_folder(folder)?;
    fs::rename(copy, path)?;
    identity::sync_folder(folder)?;
    Ok(kept)
}

/// Gives a file a second, unused name.
fn keep(path: &Path) -> io::Result<PathBuf> {
    let mut names = (1..=DAMAGED_DATABASES_MAX)
        .map(|n| beside(path, &if n == 1 { ".damaged".into() } else { format!(".damaged-{n}") }));
    let is_free = |name: &PathBuf| !name.exists();
    let name = names.find(is_free).ok_or_else(|| io::Error::other("it has too many damaged databases beside it"))?;
    fs::hard_link(path, &name)?;
    Ok(name)
}

/// Copies rows between two databases of the same version.
struct Copying<'a> {
    source: &'a Connection,
    target: &'a Connection,
    version: i64,
}

impl Copying<'_> {
    fn run(&self) -> rusqlite::Result<Loss> {
        self.target.execute_batch(schema::BEGIN)?;
        self.copy_all("rooms")?;
        if self.version >= 2 {
            self.target.execute("DELETE FROM life", ())?;
            self.copy_all("life")?;
        }
        let mut loss = self.copy_segments()?;
        loss.ids = !self.copy_ends("ids", "room, id, sender", "room DESC, id DESC, sender DESC")?;
        if self.version >= 3 {
            self.copy_ends("expiring", "due_ms, room, first", "due_ms DESC, room DESC, first DESC")?;
        }
        self.target.execute_batch(schema::COMMIT)?;
        Ok(loss)
    }

    /// Copies a table that must be complete.
    fn copy_all(&self, table: &str) -> rusqlite::Result<()> {
        if self.copy(table, "", (), |_| Ok(()))? {
            return Ok(());
        }
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
        Err(rusqlite::Error::SqliteFailure(code, Some(format!("the table {table} can't be read"))))
    }

    /// Copies a table from both ends up to unreadable rows. Returns whether that is the whole table.
    fn copy_ends(&self, table: &str, forwards: &str, backwards: &str) -> rusqlite::Result<bool> {
        let is_whole = self.copy(table, &format!("ORDER BY {forwards}"), (), |_| Ok(()))?;
        if !is_whole {
            self.copy(table, &format!("ORDER BY {backwards}"), (), |_| Ok(()))?;
        }
        Ok(is_whole)
    }

    /// Copies the segments of all rooms, which are adjacent. If one can't be read, it searches for one beyond, and
    /// continues from there in both directions: a search reads rows on its path, so it may miss some that a walk can
    /// read.
    fn copy_segments(&self) -> rusqlite::Result<Loss> {
        let mut rooms = self.target.prepare("SELECT id FROM rooms ORDER BY id")?;
        let rooms = rooms.query_map((), |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
        let place = |row: &Row<'_>| Ok::<Place, rusqlite::Error>((row.get(0)?, row.get(1)?));
        let forwards = "WHERE (room, first) >= (?1, ?2) ORDER BY room, first";
        let backwards = "WHERE (room, first) BETWEEN (?1, ?2) AND (?3, ?4) ORDER BY room DESC, first DESC";
        let (mut from, mut losses) = ((0, 0), Vec::new());
        loop {
            let mut next = from;
            let follows = |row: &Row<'_>| place(row).map(|(room, first)| next = (room, first.saturating_add(1)));
            let is_read = match from {
                // Without a search.
                (0, 0) => self.copy("segments", "ORDER BY room, first", (), follows)?,
                from => self.copy("segments", forwards, from, follows)?,
            };
            if is_read {
                break;
            }
            // A row that was found, but can't be read, is skipped.
            let search = if next == from { (from.0, from.1.saturating_add(1)) } else { next };
            let found = self.first_beyond(search, &rooms)?;
            let mut end = found.unwrap_or((i64::MAX, 0));
            let precedes = |row: &Row<'_>| place(row).map(|place| end = end.min(place.max(next)));
            match found {
                Some(found) => self.copy("segments", backwards, (next.0, next.1, found.0, found.1), precedes)?,
                // From the end, without a search.
                None => self.copy("segments", "ORDER BY room DESC, first DESC", (), precedes)?,
            };
            losses.push((next, end));
            match found {
                Some(found) => from = found,
                None => break,
            }
        }
        let lost = |is_lost: fn(i64, Place, Place) -> bool| {
            let is_lost = |room: &i64| losses.iter().any(|(from, to)| is_lost(*room, *from, *to));
            rooms.iter().copied().filter(is_lost).collect()
        };
        Ok(Loss {
            rooms: lost(|room, from, to| (from.0..=to.0).contains(&room)),
            open_ended: lost(|room, from, to| (from.0..to.0).contains(&room)),
            ids: false,
        })
    }

    /// The first segment that can be found at or after a place.
    fn first_beyond(&self, from: Place, rooms: &[i64]) -> rusqlite::Result<Option<Place>> {
        for &room in rooms.iter().filter(|room| **room >= from.0) {
            let next = |from: Seq| {
                let mut next =
                    self.source.prepare_cached("SELECT min(first) FROM segments WHERE room = ?1 AND first >= ?2")?;
                let first: Option<i64> = next.query_row((room, number(from.0)), |row| row.get(0))?;
                Ok(first.and_then(|first| u64::try_from(first).ok()).map(Seq))
            };
            let first = if room == from.0 { u64::try_from(from.1).unwrap_or(0) } else { 0 };
            if let Some(first) = first_beyond(Seq(first), next)? {
                return Ok(Some((room, number(first.0))));
            }
        }
        Ok(None)
    }

    /// Copies rows up to the first unreadable one, and calls `copied` for each. Returns whether all were readable.
    fn copy(
        &self,
        table: &str,
        rest: &str,
        params: impl Params,
        mut copied: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<bool> {
        let mut select = self.source.prepare_cached(&format!("SELECT * FROM {table} {rest}"))?;
        let columns = select.column_count();
        let places = vec!["?"; columns].join(", ");
        let mut insert = self.target.prepare_cached(&format!("INSERT OR IGNORE INTO {table} VALUES ({places})"))?;
        let mut rows = select.query(params)?;
        loop {
            let Some(row) = unless_damaged(rows.next())? else { return Ok(false) };
            let Some(row) = row else { return Ok(true) };
            for column in 0..columns {
                let value: ValueRef<'_> = row.get_ref(column)?;
                insert.raw_bind_parameter(column + 1, ToSqlOutput::Borrowed(value))?;
            }
            match insert.raw_execute() {
                Ok(_) => {}
                // It has impossible values.
                Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => return Ok(false),
                Err(error) => return Err(error),
            }
            if unless_damaged(copied(row))?.is_none() {
                return Ok(false);
            }
        }
    }
}
