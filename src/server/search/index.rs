//! The write side of the index file.
//!
//! Messages and read positions are stored in one transaction, so the index never contains a message twice and never
//! misses one. Removed text is erased in two steps: FTS5 overwrites each word in place (or, after many removals, all
//! segments are merged into new ones without the removed words), and the write-ahead log is emptied later. The rest is
//! the same as for the log: `secure_delete`, and a VFS that erases the unused bytes of each page.

use std::collections::{BTreeSet, HashMap};

use rusqlite::{Connection, OptionalExtension as _, Row};

use super::fault::Fault;
use super::place::Place;
use super::schema;
use super::separators;
use super::words::push_terms;
use crate::limits::{
    INDEX_BLOCK_MESSAGES, INDEX_HASH_BYTES, INDEX_MERGE_PAGES, INDEX_MERGED_SEGMENTS, INDEX_SECURE_REMOVALS,
    INDEX_SECURE_SHARE,
};
use crate::names::{Epoch, RoomId, Seq};

/// How far a room is indexed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub epoch: Epoch,
    pub seq: Seq,
}

/// A message to index.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    pub room: RoomId,
    pub seq: Seq,
    pub time_ms: u64,
    /// The event that set its text; [`Seq::ZERO`] for the original text.
    pub edited: Seq,
    pub sender: &'a str,
    pub body: &'a str,
}

/// The index, open for writing.
pub struct Index {
    connection: Connection,
    /// The key of page tokens.
    key: [u8; KEY_BYTES],
    /// Whether removed words stay in the file until all segments are merged.
    unmerged: bool,
    /// Whether a merge of all segments has begun, and whether words were removed since.
    merging: bool,
    removed_since: bool,
    /// Whether FTS5 overwrites removed words in place, if known.
    is_secure: Option<bool>,
    /// How many more removals it may overwrite in place before the next erasure.
    secure_left: u64,
    /// Whether text was removed since the last erasure.
    has_remains: bool,
    /// The words that this transaction has overwritten in place.
    removed: BTreeSet<String>,
    last_id: i64,
    block: Option<Block>,
    /// Reused for the terms of each text.
    terms: String,
}

pub const KEY_BYTES: usize = 32;

/// The times of consecutive messages.
#[derive(Clone, Copy, Debug)]
struct Block {
    first: i64,
    last: i64,
    min_ms: i64,
    max_ms: i64,
}

/// A message in the index.
struct Stored {
    id: i64,
    room: RoomId,
    edited: Seq,
    sender: u32,
    body: String,
}

impl Index {
    /// Opens the index, and creates it if it is missing. The write-ahead log of an earlier process is copied and
    /// emptied, so that it holds no removed text, unless removed words in the file still wait for a merge.
    pub fn open(place: &Place) -> Result<Self, Fault> {
        let connection = place.connect()?;
        let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
        let header = (number("application_id")?, number("user_version")?);
        let tables: i64 = connection.query_row(schema::TABLE_COUNT, (), |row| row.get(0))?;
        match header {
            (schema::APPLICATION_ID, schema::VERSION) => {}
            (0, 0) if tables == 0 => set_up(&connection)?,
            (schema::APPLICATION_ID, version) => {
                return Err(Fault::Damaged(format!(
                    "it has version {version}, and this server uses {}",
                    schema::VERSION
                )));
            }
            _ => return Err(Fault::Damaged("it is another program's file".to_owned())),
        }
        let state = |row: &Row<'_>| Ok((row.get::<_, [u8; KEY_BYTES]>(0)?, row.get::<_, bool>(1)?));
        let (key, unmerged) = connection.query_row(schema::STATE, (), state)?;
        let mut index = Self {
            connection,
            key,
            unmerged,
            merging: false,
            removed_since: false,
            is_secure: None,
            secure_left: 0,
            has_remains: true,
            removed: BTreeSet::new(),
            last_id: 0,
            block: None,
            terms: String::new(),
        };
        index.reload()?;
        if !unmerged {
            index.erase()?;
        }
        Ok(index)
    }

    pub fn key(&self) -> [u8; KEY_BYTES] {
        self.key
    }

    /// How far each room is indexed.
    pub fn positions(&self) -> Result<HashMap<RoomId, Position>, Fault> {
        let mut statement = self.connection.prepare(schema::POSITIONS)?;
        let mut rows = statement.query(())?;
        let mut positions = HashMap::new();
        while let Some(row) = rows.next()? {
            let epoch = Epoch::new(row.get::<_, i64>(1)?.cast_unsigned());
            let epoch = epoch.ok_or_else(|| Fault::Damaged("a room has no epoch".to_owned()))?;
            positions.insert(RoomId(number(row, 0)?), Position { epoch, seq: Seq(number(row, 2)?) });
        }
        Ok(positions)
    }

    /// Runs `act` in one transaction, which is rolled back on an error.
    pub fn change<T>(&mut self, act: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        self.connection.execute_batch(schema::BEGIN)?;
        let (unmerged, merging) = (self.unmerged, self.merging);
        self.removed.clear();
        let done = act(self).and_then(|value| {
            if !self.removed.is_empty() && !separators::erase(&self.connection, &self.removed)? {
                self.leave_to_merge()?;
            }
            if let Some(Block { first, last, min_ms, max_ms }) = self.block {
                self.connection.prepare_cached(schema::SET_BLOCK)?.execute((first, last, min_ms, max_ms))?;
            }
            self.connection.execute_batch(schema::COMMIT)?;
            Ok(value)
        });
        if done.is_err() {
            // SQLite has rolled back already after some errors.
            let _ = self.connection.execute_batch(schema::ROLLBACK);
            (self.unmerged, self.merging, self.is_secure) = (unmerged, merging, None);
            self.reload()?;
        }
        done
    }

    /// Adds a message. It MUST be newer than all messages of its room that were added.
    pub fn add(&mut self, text: &Text<'_>) -> Result<(), Fault> {
        let id = self.last_id + 1;
        let sender = sender_number(text.sender);
        let (room, seq, edited) = (text.room.0 as i64, text.seq.0 as i64, text.edited.0 as i64);
        let row = (id, room, seq, edited, sender, text.body);
        self.connection.prepare_cached(schema::INSERT_MESSAGE)?.execute(row)?;
        write_terms(&mut self.terms, text.body, text.room, sender);
        self.connection.prepare_cached(schema::ADD_TERMS)?.execute((id, &self.terms))?;
        self.last_id = id;
        self.extend_block(id, text.time_ms as i64)
    }

    /// Replaces the text of a message. Adds the message if it is not in the index.
    pub fn replace(&mut self, text: &Text<'_>) -> Result<(), Fault> {
        let Some(stored) = self.find(text.room, text.seq)? else { return self.add(text) };
        if stored.edited == text.edited {
            return Ok(());
        }
        self.remove_terms(&stored)?;
        let row = (stored.id, text.edited.0 as i64, text.body);
        self.connection.prepare_cached(schema::EDIT_MESSAGE)?.execute(row)?;
        write_terms(&mut self.terms, text.body, text.room, stored.sender);
        self.connection.prepare_cached(schema::ADD_TERMS)?.execute((stored.id, &self.terms))?;
        Ok(())
    }

    /// Removes a message, if it is in the index.
    pub fn remove(&mut self, room: RoomId, seq: Seq) -> Result<(), Fault> {
        self.find(room, seq)?.map_or(Ok(()), |stored| self.remove_stored(&stored))
    }

    /// Removes messages of a room before a seq, the oldest first, at most `max`. Returns how many there were.
    pub fn remove_before(&mut self, room: RoomId, seq: Seq, max: usize) -> Result<usize, Fault> {
        let found: Vec<_> = {
            let mut statement = self.connection.prepare_cached(schema::MESSAGES_BEFORE)?;
            let rows = statement.query_map((room.0 as i64, bounded(seq), max as i64), stored)?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        for stored in &found {
            self.remove_stored(stored)?;
        }
        Ok(found.len())
    }

    /// How many messages of a room before a seq are in the index.
    pub fn count_before(&self, room: RoomId, seq: Seq) -> Result<u64, Fault> {
        let mut statement = self.connection.prepare_cached(schema::COUNT_BEFORE)?;
        let count: i64 = statement.query_row((room.0 as i64, bounded(seq)), |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }

    /// Prepares for this many removals. If they are too many, words are not overwritten in place until the next
    /// erasure.
    pub fn expect_removals(&mut self, count: u64) {
        if count > self.secure_left {
            self.secure_left = 0;
        }
    }

    pub fn set_position(&mut self, room: RoomId, position: Position) -> Result<(), Fault> {
        let (epoch, seq) = (position.epoch.get().cast_signed(), position.seq.0 as i64);
        self.connection.prepare_cached(schema::SET_POSITION)?.execute((room.0 as i64, epoch, seq))?;
        Ok(())
    }

    pub fn forget_room(&mut self, room: RoomId) -> Result<(), Fault> {
        self.connection.prepare_cached(schema::DELETE_POSITION)?.execute([room.0 as i64])?;
        Ok(())
    }

    /// Whether removed text may still be in the files.
    pub fn has_remains(&self) -> bool {
        self.has_remains || self.unmerged
    }

    /// Does one step of a merge of all segments, if the file contains removed words that only a merge erases. Returns
    /// whether there is more to do.
    pub fn merge(&mut self) -> Result<bool, Fault> {
        if !self.unmerged {
            return Ok(false);
        }
        let (is_first, pages) = (!self.merging, INDEX_MERGE_PAGES);
        if is_first {
            (self.merging, self.removed_since) = (true, false);
        }
        self.change(|index| {
            let before = index.connection.total_changes();
            index.connection.prepare_cached(schema::MERGE)?.execute([if is_first { -pages } else { pages }])?;
            // The statement itself counts as one change.
            let is_done = !is_first && index.connection.total_changes() - before < 2;
            if is_done {
                index.merging = false;
                if !index.removed_since {
                    index.connection.prepare_cached(schema::SET_UNMERGED)?.execute([false])?;
                    index.unmerged = false;
                }
            }
            Ok(!is_done)
        })
    }

    /// Copies the write-ahead log into the file, as far as readers allow.
    pub fn checkpoint(&self) -> Result<(), Fault> {
        Ok(self.connection.query_row(schema::CHECKPOINT, (), |_| Ok(()))?)
    }

    /// Erases removed text from the files. Returns whether that is done: readers may prevent it.
    pub fn erase(&mut self) -> Result<bool, Fault> {
        let is_busy = self.connection.query_row(schema::CHECKPOINT_END, (), |row| row.get::<_, bool>(0))?;
        // Cached pages may have removed text in their unused bytes.
        self.connection.release_memory()?;
        if !is_busy {
            self.has_remains = false;
            self.secure_left = INDEX_SECURE_REMOVALS + self.last_id.unsigned_abs() / INDEX_SECURE_SHARE;
        }
        Ok(!is_busy)
    }

    /// Empties the caches of the database.
    pub fn release_memory(&self) {
        // Without it, the memory stays in use, up to the size of the cache.
        let _ = self.connection.release_memory();
    }

    /// Reloads the fields that a failed transaction may have changed.
    fn reload(&mut self) -> Result<(), Fault> {
        self.last_id = self.connection.query_row(schema::LAST_ID, (), |row| row.get(0))?;
        let block = |row: &Row<'_>| {
            Ok(Block { first: row.get(0)?, last: row.get(1)?, min_ms: row.get(2)?, max_ms: row.get(3)? })
        };
        self.block = self.connection.query_row(schema::LAST_BLOCK, (), block).optional()?;
        Ok(())
    }

    fn find(&self, room: RoomId, seq: Seq) -> Result<Option<Stored>, Fault> {
        let mut statement = self.connection.prepare_cached(schema::MESSAGE)?;
        Ok(statement.query_row((room.0 as i64, bounded(seq)), stored).optional()?)
    }

    fn remove_stored(&mut self, stored: &Stored) -> Result<(), Fault> {
        self.remove_terms(stored)?;
        self.connection.prepare_cached(schema::DELETE_MESSAGE)?.execute([stored.id])?;
        Ok(())
    }

    fn remove_terms(&mut self, stored: &Stored) -> Result<(), Fault> {
        self.has_remains = true;
        let is_secure = !self.unmerged && self.secure_left > 0;
        self.secure_left = self.secure_left.saturating_sub(1);
        if self.is_secure != Some(is_secure) {
            self.connection.prepare_cached(schema::SECURE_DELETE)?.execute([is_secure])?;
            self.is_secure = Some(is_secure);
        }
        write_terms(&mut self.terms, &stored.body, stored.room, stored.sender);
        if is_secure {
            let words = self.terms.split(' ').skip(1).filter(|term| !term.starts_with(MARK));
            self.removed.extend(words.map(str::to_owned));
        } else {
            self.leave_to_merge()?;
        }
        self.connection.prepare_cached(schema::REMOVE_TERMS)?.execute((stored.id, &self.terms))?;
        Ok(())
    }

    /// Removed words stay in the file until all segments are merged.
    fn leave_to_merge(&mut self) -> Result<(), Fault> {
        // A merge that has begun may have passed these words.
        self.removed_since = true;
        if !self.unmerged {
            self.connection.prepare_cached(schema::SET_UNMERGED)?.execute([true])?;
            self.unmerged = true;
        }
        Ok(())
    }

    /// Records the time of a new message.
    fn extend_block(&mut self, id: i64, time_ms: i64) -> Result<(), Fault> {
        match &mut self.block {
            Some(block) if id - block.first < INDEX_BLOCK_MESSAGES => {
                block.last = id;
                block.min_ms = block.min_ms.min(time_ms);
                block.max_ms = block.max_ms.max(time_ms);
            }
            block => {
                let full = block.replace(Block { first: id, last: id, min_ms: time_ms, max_ms: time_ms });
                if let Some(Block { first, last, min_ms, max_ms }) = full {
                    self.connection.prepare_cached(schema::SET_BLOCK)?.execute((first, last, min_ms, max_ms))?;
                }
            }
        }
        Ok(())
    }
}

fn set_up(connection: &Connection) -> Result<(), Fault> {
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key)
        .map_err(|error| Fault::Unavailable(format!("the system gives no random bytes: {error}")))?;
    connection.execute_batch(schema::BEGIN)?;
    connection.execute_batch(schema::TABLES)?;
    connection.execute(schema::INSERT_STATE, [key])?;
    connection.execute(schema::SECURE_DELETE, [true])?;
    connection.execute(schema::HASH_SIZE, [INDEX_HASH_BYTES])?;
    connection.execute(schema::AUTOMERGE, [INDEX_MERGED_SEGMENTS])?;
    connection.pragma_update(None, "application_id", schema::APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", schema::VERSION)?;
    Ok(connection.execute_batch(schema::COMMIT)?)
}

/// Marks the terms that are not words: no text has a term that begins with it.
const MARK: char = '\u{e000}';

/// The term of all messages of a room.
pub fn room_term(room: RoomId) -> String {
    format!("{MARK}r{:x}", room.0)
}

/// The term of all messages of a sender. Two senders may have the same one.
pub fn sender_term(sender: &str) -> String {
    numbered_sender_term(sender_number(sender))
}

fn numbered_sender_term(sender: u32) -> String {
    format!("{MARK}s{sender:x}")
}

/// A number that stands for a name, so that the file does not contain the name.
fn sender_number(sender: &str) -> u32 {
    crc32fast::hash(sender.as_bytes())
}

fn write_terms(terms: &mut String, body: &str, room: RoomId, sender: u32) {
    terms.clear();
    push_terms(body, terms);
    terms.push(' ');
    terms.push_str(&room_term(room));
    terms.push(' ');
    terms.push_str(&numbered_sender_term(sender));
}

fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    let (room, edited) = (RoomId(number(row, 1)?), Seq(number(row, 2)?));
    Ok(Stored { id: row.get(0)?, room, edited, sender: row.get(3)?, body: row.get(4)? })
}

fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)?.unsigned_abs())
}

/// A seq as a column value. A seq above all stored ones stays above them.
fn bounded(seq: Seq) -> i64 {
    i64::try_from(seq.0).unwrap_or(i64::MAX)
}
