//! The tables of the index, and all statements on them.

/// The version of the tables, and of the terms (`words.rs`). A file of another version is made again.
pub const VERSION: i64 = 1;

/// Identifies the file in its header: "HbSe".
pub const APPLICATION_ID: i64 = 0x4862_5365;

/// `messages` has a copy of each text, because FTS5 needs a text to remove it, and the log no longer has that text. Its
/// ids are in the order in which messages were indexed, which is that of their times. `words` stores no texts, and no
/// lengths of them, which only a ranking needs. Its tokenizer keeps the terms as they are: it separates at spaces, since
/// terms have no other ASCII characters than letters and digits.
pub const TABLES: &str = "
    CREATE TABLE state (key BLOB NOT NULL, unmerged INTEGER NOT NULL) STRICT;
    CREATE TABLE positions (room INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, seq INTEGER NOT NULL) STRICT;
    CREATE TABLE messages (
        id INTEGER PRIMARY KEY,
        room INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        edited INTEGER NOT NULL,
        sender INTEGER NOT NULL,
        body TEXT NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX places ON messages (room, seq);
    CREATE TABLE blocks (
        first INTEGER PRIMARY KEY,
        last INTEGER NOT NULL,
        min_ms INTEGER NOT NULL,
        max_ms INTEGER NOT NULL
    ) STRICT;
    CREATE VIRTUAL TABLE words USING fts5 (terms, content='', columnsize=0, tokenize='ascii');";

pub const TABLE_COUNT: &str = "SELECT count(*) FROM sqlite_schema";
pub const BEGIN: &str = "BEGIN IMMEDIATE";
pub const COMMIT: &str = "COMMIT";
pub const ROLLBACK: &str = "ROLLBACK";

pub const INSERT_STATE: &str = "INSERT INTO state (key, unmerged) VALUES (?1, 0)";
/// The key of the page tokens, and whether words that were removed are still in the file until everything is merged.
pub const STATE: &str = "SELECT key, unmerged FROM state";
pub const SET_UNMERGED: &str = "UPDATE state SET unmerged = ?1";

pub const POSITIONS: &str = "SELECT room, epoch, seq FROM positions";
pub const SET_POSITION: &str = "INSERT INTO positions (room, epoch, seq) VALUES (?1, ?2, ?3)
    ON CONFLICT (room) DO UPDATE SET seq = excluded.seq";
pub const DELETE_POSITION: &str = "DELETE FROM positions WHERE room = ?1";

pub const LAST_ID: &str =
    "SELECT max(coalesce((SELECT max(id) FROM messages), 0), coalesce((SELECT max(last) FROM blocks), 0))";
pub const INSERT_MESSAGE: &str =
    "INSERT INTO messages (id, room, seq, edited, sender, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
pub const MESSAGE: &str = "SELECT id, room, edited, sender, body FROM messages WHERE room = ?1 AND seq = ?2";
pub const EDIT_MESSAGE: &str = "UPDATE messages SET edited = ?2, body = ?3 WHERE id = ?1";
pub const DELETE_MESSAGE: &str = "DELETE FROM messages WHERE id = ?1";
/// Some of the messages of a room before a seq.
pub const MESSAGES_BEFORE: &str =
    "SELECT id, room, edited, sender, body FROM messages WHERE room = ?1 AND seq < ?2 ORDER BY seq LIMIT ?3";
pub const COUNT_BEFORE: &str = "SELECT count(*) FROM messages WHERE room = ?1 AND seq < ?2";

pub const LAST_BLOCK: &str = "SELECT first, last, min_ms, max_ms FROM blocks ORDER BY first DESC LIMIT 1";
pub const SET_BLOCK: &str = "INSERT OR REPLACE INTO blocks (first, last, min_ms, max_ms) VALUES (?1, ?2, ?3, ?4)";
/// The range of ids that contains all messages of a time.
pub const FIRST_FROM_TIME: &str = "SELECT min(first) FROM blocks WHERE max_ms >= ?1";
pub const LAST_BEFORE_TIME: &str = "SELECT max(last) FROM blocks WHERE min_ms < ?1";

pub const ADD_TERMS: &str = "INSERT INTO words (rowid, terms) VALUES (?1, ?2)";
pub const REMOVE_TERMS: &str = "INSERT INTO words (words, rowid, terms) VALUES ('delete', ?1, ?2)";
/// Whether a removal overwrites the terms in place. Otherwise they are removed when segments are merged.
pub const SECURE_DELETE: &str = "INSERT INTO words (words, rank) VALUES ('secure-delete', ?1)";
/// How many segments are merged into one.
pub const AUTOMERGE: &str = "INSERT INTO words (words, rank) VALUES ('automerge', ?1)";
/// How much memory the words of a transaction may take before they are written.
pub const HASH_SIZE: &str = "INSERT INTO words (words, rank) VALUES ('hashsize', ?1)";
/// With a negative number of pages, merges all segments into one, and goes on with a positive one.
pub const MERGE: &str = "INSERT INTO words (words, rank) VALUES ('merge', ?1)";

/// Writes what was added and removed in this transaction.
pub const FLUSH: &str = "INSERT INTO words (words) VALUES ('flush')";
/// The tables of FTS5, for `separators.rs`: the segments; the page of a segment on which a term would be; a page.
pub const SEGMENTS: &str = "WITH RECURSIVE segments (id) AS (
        SELECT min(segid) FROM words_idx
        UNION ALL SELECT (SELECT min(segid) FROM words_idx WHERE segid > id) FROM segments WHERE id IS NOT NULL
    ) SELECT id FROM segments WHERE id IS NOT NULL";
pub const SEPARATOR: &str =
    "SELECT CAST(term AS BLOB), pgno FROM words_idx WHERE segid = ?1 AND term <= ?2 ORDER BY term DESC LIMIT 1";
pub const SET_SEPARATOR: &str = "UPDATE words_idx SET term = ?3 WHERE segid = ?1 AND term = ?2";
pub const SEGMENT_PAGE: &str = "SELECT block FROM words_data WHERE id = ?1";

/// Newest first, in a range of ids.
pub const FIND: &str = "SELECT words.rowid, room, seq FROM words CROSS JOIN messages ON messages.id = words.rowid
    WHERE words MATCH ?1 AND words.rowid BETWEEN ?2 AND ?3 ORDER BY words.rowid DESC LIMIT ?4";

/// Copies as much of the write-ahead log as possible, without waiting.
pub const CHECKPOINT: &str = "PRAGMA wal_checkpoint(PASSIVE)";
/// Copies all of it, and leaves it empty.
pub const CHECKPOINT_END: &str = "PRAGMA wal_checkpoint(TRUNCATE)";
