//! Checks a whole log: the database's structure, and the properties of each room that readers and posters rely on.

use std::fs;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _};

use super::database;
use super::errors::OpenError;
use super::key;
use super::offline::{BackupError, check_log, check_readable, hold_unused, open_to_read};
use super::progress::Progress;
use super::schema;
use crate::names::{RoomId, Seq};
use crate::server::log::Segment;
use crate::wire::event;

/// The result of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub rooms: u64,
    pub messages: u64,
    /// Segments without a checksum, which an earlier version stored.
    pub unchecked: u64,
    /// Every fault, with the room and the seqs.
    pub faults: Vec<String>,
}

/// Checks the log at a path: a data folder, which a server may be using, or a backup's file. Changes no message. On the
/// folder of a killed server it records the losses of the write-ahead log, since reading the database makes SQLite
/// discard the evidence.
pub fn verify(path: &Path, progress: &mut dyn Progress) -> Result<Report, BackupError> {
    let (database, _lock) = if path.is_dir() {
        (check_log(path)?, hold_unused(path)?)
    } else if !path.exists() {
        let fault = "it does not exist; give a backup's file, or the server's data folder with --data".to_owned();
        return Err(BackupError::Read { path: path.to_owned(), fault });
    } else {
        let unreadable = |fault: std::io::Error| BackupError::Read { path: path.to_owned(), fault: fault.to_string() };
        check_readable(path).map_err(unreadable)?;
        // A backup may be reached through links.
        (fs::canonicalize(path).map_err(unreadable)?, None)
    };
    let fault = |error: rusqlite::Error| BackupError::from(OpenError::of(database.clone(), &error));
    walk(&open_to_read(&database)?, progress).map_err(fault)
}

/// Checks a log of the current version, in one state.
pub fn walk(connection: &Connection, progress: &mut dyn Progress) -> rusqlite::Result<Report> {
    connection.execute_batch("BEGIN")?;
    let report = walk_state(connection, progress);
    // SQLite can't commit a transaction in which it found damage.
    connection.execute_batch("ROLLBACK")?;
    report
}

fn walk_state(connection: &Connection, progress: &mut dyn Progress) -> rusqlite::Result<Report> {
    let mut report = Report::default();
    progress.begin("checking the database", 0);
    match database::check(connection, "PRAGMA integrity_check(20)") {
        Ok(faults) => report.faults.extend(faults.into_iter().map(|fault| format!("database: {fault}"))),
        Err(error) => report.faults.push(format!("database: {error}")),
    }
    // In a damaged database the sum may not be known.
    let bytes = connection.query_row(schema::ALL_BYTES, (), |row| row.get::<_, i64>(0)).unwrap_or(0);
    progress.begin("checking messages", bytes.unsigned_abs());
    let mut walked = 0;
    let mut statement = connection.prepare("SELECT id, name, trimmed, trimmed_changes FROM rooms ORDER BY name")?;
    let mut rows = statement.query(())?;
    loop {
        let row = match rows.next() {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(report),
            Err(error) => {
                report.faults.push(format!("the list of rooms: {error}"));
                return Ok(report);
            }
        };
        let (id, name, trimmed): (i64, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        report.rooms += 1;
        let (next, changes) = (trimmed + 1, row.get(3)?);
        let mut room = Walk {
            connection,
            id,
            name: &name,
            report: &mut report,
            next,
            changes,
            ids: 0,
            progress: &mut *progress,
            walked: &mut walked,
        };
        if let Err(error) = room.segments() {
            room.fault(&format!("from message {} on: {error}", room.next));
        }
    }
}

/// The check of one room.
struct Walk<'a> {
    connection: &'a Connection,
    id: i64,
    name: &'a str,
    report: &'a mut Report,
    /// The next seq.
    next: i64,
    /// How many events so far are not messages.
    changes: i64,
    /// How many chosen ids were found in messages and in the index.
    ids: i64,
    progress: &'a mut dyn Progress,
    /// How many bytes of all rooms were checked.
    walked: &'a mut u64,
}

impl Walk<'_> {
    fn fault(&mut self, text: &str) {
        self.report.faults.push(format!("room {}: {text}", self.name));
    }

    fn segments(&mut self) -> rusqlite::Result<()> {
        let begin = self.next;
        let connection = self.connection;
        let mut statement = connection.prepare_cached(
            "SELECT first, last, changes_before, changes, entries, checksum FROM segments WHERE id BETWEEN ?1 AND ?2 ORDER BY id",
        )?;
        let mut rows = statement.query(key::from(RoomId(self.id as u64), Seq::ZERO))?;
        while let Some(row) = rows.next()? {
            let (first, last): (i64, i64) = (row.get(0)?, row.get(1)?);
            let (before, changes): (i64, i64) = (row.get(2)?, row.get(3)?);
            if first > self.next {
                self.fault(&format!("messages {} to {} are missing", self.next, first - 1));
            } else if before != self.changes {
                let expected = self.changes;
                self.fault(&format!(
                    "{before} events before event {first} count as no messages, instead of {expected}"
                ));
            }
            self.changes = before.saturating_add(changes);
            if first < self.next {
                self.fault(&format!("a segment begins at message {first} instead of {}", self.next));
            }
            self.next = last.max(first).saturating_add(1);
            match row.get_ref(4)?.as_blob() {
                Ok(entries) => {
                    self.segment((first, last, changes), entries, row.get(5)?)?;
                    *self.walked += entries.len() as u64;
                    self.progress.at(*self.walked);
                }
                Err(_) => self.fault(&format!("messages {first} to {last} can't be read")),
            }
        }
        // Ids of messages that retention deleted are kept for some time, and are below the beginning.
        let stored: i64 = connection
            .prepare_cached("SELECT count(*) FROM ids WHERE room = ?1 AND seq >= ?2")?
            .query_row((self.id, begin), |row| row.get(0))?;
        if stored != self.ids {
            let found = self.ids;
            self.fault(&format!("the index has {stored} message ids, but {found} messages match it"));
        }
        Ok(())
    }

    fn segment(
        &mut self,
        (first, last, changes): (i64, i64, i64),
        entries: &[u8],
        checksum: Option<i64>,
    ) -> rusqlite::Result<()> {
        match checksum {
            None => self.report.unchecked += 1,
            Some(checksum) if checksum != i64::from(crc32fast::hash(entries)) => {
                self.fault(&format!("messages {first} to {last} are damaged: their checksum differs"));
                // Its ids count as found, so that damage is reported once.
                let mut count = self
                    .connection
                    .prepare_cached("SELECT count(*) FROM ids WHERE room = ?1 AND seq BETWEEN ?2 AND ?3")?;
                self.ids += count.query_row((self.id, first, last), |row| row.get::<_, i64>(0))?;
                return Ok(());
            }
            Some(_) => {}
        }
        match Segment::check(RoomId(self.id as u64), Seq(first as u64), entries) {
            Ok(found) if found.last.0 as i64 != last => {
                let end = found.last;
                self.fault(&format!("the segment of messages {first} to {end} is recorded to end at {last}"));
            }
            Ok(found) if found.changes as i64 != changes => {
                let found = found.changes;
                self.fault(&format!(
                    "of messages {first} to {last}, {changes} count as no messages, instead of {found}"
                ));
            }
            Ok(_) => {}
            Err(_) => self.fault(&format!("messages {first} to {last} can't be decoded")),
        }
        let mut claimed = self.connection.prepare_cached(schema::CLAIMED)?;
        for (entry, _) in event::entries(entries).map_while(Result::ok) {
            let Some(content) = entry.message() else { continue };
            self.report.messages += 1;
            let key = (self.id, content.id.as_bytes(), content.sender);
            let seq: Option<i64> = claimed.query_row(key, |row| row.get(0)).optional()?;
            match seq {
                Some(seq) if seq == entry.seq.0 as i64 => self.ids += 1,
                None if !content.id.is_chosen() => {}
                None => self.fault(&format!("the id of message {} is not in the index", entry.seq)),
                Some(seq) => self.fault(&format!("the index has the id of message {} at {seq}", entry.seq)),
            }
        }
        Ok(())
    }
}
