//! The schema of the database: its tables, their migrations, and all statements.

/// The version of the tables, which is stored in the database. A database of a later version is refused.
pub const VERSION: i64 = MIGRATIONS.len() as i64;

/// Identifies the program in the database's header: "HbBb".
pub const APPLICATION_ID: i64 = 0x4862_4262;

/// The migration from each version to the next. A released version never changes.
pub const MIGRATIONS: &[&str] = &[
    // 1: rooms; their messages, a segment a row; and the ids that clients have chosen. `trimmed` is the last seq that
    // retention deleted. All but `rooms` are their own index, in the order in which they are written and read.
    "CREATE TABLE rooms (
         id INTEGER PRIMARY KEY AUTOINCREMENT,
         name TEXT NOT NULL UNIQUE,
         epoch INTEGER NOT NULL,
         trimmed INTEGER NOT NULL DEFAULT 0
     ) STRICT;
     CREATE TABLE segments (
         room INTEGER NOT NULL,
         first INTEGER NOT NULL,
         last INTEGER NOT NULL,
         time_ms INTEGER NOT NULL,
         entries BLOB NOT NULL,
         PRIMARY KEY (room, first)
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE ids (
         room INTEGER NOT NULL,
         id BLOB NOT NULL,
         sender TEXT NOT NULL,
         seq INTEGER NOT NULL,
         PRIMARY KEY (room, id, sender)
     ) STRICT, WITHOUT ROWID;",
    // 2: the first seq that may have been assigned in more than one epoch, 0 if there was only one; and the last life
    // of the log: one row. `boot` is the boot id of the machine when a server opened the log, and `ended` whether it
    // closed it cleanly.
    "ALTER TABLE rooms ADD COLUMN epoch_first INTEGER NOT NULL DEFAULT 0;
     CREATE TABLE life (boot TEXT NOT NULL, synced INTEGER NOT NULL, ended INTEGER NOT NULL) STRICT;
     INSERT INTO life (boot, synced, ended) VALUES ('', 1, 1);",
    // Then: the time of a room's newest trimmed message; and the ids of trimmed messages, a segment a row, with the
    // time at which they are deleted. For each id: the message's seq, the id and the sender, in the format of
    // `expiring.rs`.
    "ALTER TABLE rooms ADD COLUMN time_ms INTEGER NOT NULL DEFAULT 0;
     CREATE TABLE expiring (
         due_ms INTEGER NOT NULL,
         room INTEGER NOT NULL,
         first INTEGER NOT NULL,
         count INTEGER NOT NULL,
         ids BLOB NOT NULL,
         PRIMARY KEY (due_ms, room, first)
     ) STRICT, WITHOUT ROWID;",
    // Then: the log's time, 0 if unknown (see `log/clock.rs`).
    "ALTER TABLE life ADD COLUMN time_ms INTEGER NOT NULL DEFAULT 0;
     ALTER TABLE life ADD COLUMN age_ms INTEGER NOT NULL DEFAULT 0;
     ALTER TABLE life ADD COLUMN doubted_ms INTEGER NOT NULL DEFAULT 0;
     ALTER TABLE life ADD COLUMN held_ms INTEGER NOT NULL DEFAULT 0;",
    // Then: the CRC-32 of a segment's entries, NULL in rows of earlier versions; the random id of the log's last life,
    // which is also stored in the folder (see `identity.rs`); and whether this database is a backup that no server has
    // used yet.
    "ALTER TABLE segments ADD COLUMN checksum INTEGER;
     ALTER TABLE life ADD COLUMN id INTEGER;
     ALTER TABLE life ADD COLUMN restored INTEGER NOT NULL DEFAULT 0;",
    // Then: how often deleted messages were erased from the files; not above 0 until the messages that earlier versions
    // deleted were erased.
    "ALTER TABLE life ADD COLUMN erasures INTEGER NOT NULL DEFAULT 0;",
    // Then: the names of rooms are normalized.
    NORMALISE_NAMES,
    // Then: a segment's key is one number, with the room's number in the upper bits and the first seq in the lower 36
    // (see `key.rs`). With a key of two columns, SQLite read the entries of each row that a search compared: 9 MB for a
    // page of 32 KB.
    "ALTER TABLE segments RENAME TO segments_before;
     CREATE TABLE segments (
         id INTEGER PRIMARY KEY,
         last INTEGER NOT NULL,
         time_ms INTEGER NOT NULL,
         checksum INTEGER,
         entries BLOB NOT NULL,
         room INTEGER AS (id >> 36 & 268435455) VIRTUAL,
         first INTEGER AS (id & 68719476735) VIRTUAL
     ) STRICT;
     INSERT INTO segments (id, last, time_ms, checksum, entries)
         SELECT room << 36 | first, last, time_ms, checksum, entries FROM segments_before
         WHERE room BETWEEN 1 AND 268435455 AND first BETWEEN 1 AND 68719476735 ORDER BY room, first;
     DROP TABLE segments_before;",
    // Then: the generation of the log, from which the first epochs of rooms are derived; 0 if it has none yet.
    "ALTER TABLE life ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;",
    // Then: events that change messages, or their room. How many events before a segment, and of it, are no messages:
    // before the entries, since SQLite finds a column behind a large one only by following all pages of that. The same
    // for the events of a room that retention has deleted; the room's topic and pins; and who reacted, by the event of
    // the reaction.
    "ALTER TABLE segments RENAME TO segments_before;
     CREATE TABLE segments (
         id INTEGER PRIMARY KEY,
         last INTEGER NOT NULL,
         time_ms INTEGER NOT NULL,
         changes_before INTEGER NOT NULL,
         changes INTEGER NOT NULL,
         checksum INTEGER,
         entries BLOB NOT NULL,
         room INTEGER AS (id >> 36 & 268435455) VIRTUAL,
         first INTEGER AS (id & 68719476735) VIRTUAL
     ) STRICT;
     INSERT INTO segments (id, last, time_ms, changes_before, changes, checksum, entries)
         SELECT id, last, time_ms, 0, 0, checksum, entries FROM segments_before ORDER BY id;
     DROP TABLE segments_before;
     ALTER TABLE rooms ADD COLUMN trimmed_changes INTEGER NOT NULL DEFAULT 0;
     ALTER TABLE rooms ADD COLUMN topic TEXT NOT NULL DEFAULT '';
     ALTER TABLE rooms ADD COLUMN topic_seq INTEGER NOT NULL DEFAULT 0;
     ALTER TABLE rooms ADD COLUMN pins BLOB NOT NULL DEFAULT x'';
     CREATE TABLE reactions (
         room INTEGER NOT NULL,
         message INTEGER NOT NULL,
         emoji TEXT NOT NULL,
         seq INTEGER NOT NULL,
         user TEXT NOT NULL,
         authenticated INTEGER NOT NULL,
         PRIMARY KEY (room, message, emoji, seq)
     ) STRICT, WITHOUT ROWID;
     CREATE UNIQUE INDEX reactors ON reactions (room, message, emoji, user, authenticated);",
    // Then: how many rooms there may be.
    "ALTER TABLE life ADD COLUMN rooms_max INTEGER NOT NULL DEFAULT 100000;",
];

/// A step that SQL can't do: see `room_names.rs`.
pub const NORMALISE_NAMES: &str = "";

pub const PAGE_COUNT: &str = "PRAGMA page_count";
pub const FREE_PAGE_COUNT: &str = "PRAGMA freelist_count";
pub const BEGIN: &str = "BEGIN IMMEDIATE";
pub const COMMIT: &str = "COMMIT";
pub const ROLLBACK: &str = "ROLLBACK";

pub const INSERT_ROOM: &str = "INSERT INTO rooms (id, name, epoch) VALUES (?1, ?2, ?3)";
/// The greatest number that a room ever had.
pub const LAST_ROOM: &str =
    "SELECT max(coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'rooms'), 0), coalesce(max(id), 0)) FROM rooms";
pub const COUNT_ROOMS: &str = "SELECT count(*) FROM rooms";

/// The keys of the segments that a room has now: from the message after the newest trimmed one on.
macro_rules! kept {
    () => {
        "BETWEEN rooms.id << 36 | min(max(trimmed, 0) + 1, 68719476735) AND rooms.id << 36 | 68719476735"
    };
}

/// The columns of a room's own row.
macro_rules! bare_room {
    () => {
        "rooms.id, name, epoch, epoch_first, trimmed, rooms.time_ms, trimmed_changes, topic, topic_seq, pins"
    };
}

/// Columns: those of the room's own row; first, last, time and size of the newest segment, and how many events up to its
/// end are no messages; first and time of the oldest that is not trimmed, how many events up to its end are no messages,
/// and the first of the next one.
macro_rules! room_states {
    ($rest:literal) => {
        concat!(
            "SELECT ",
            bare_room!(),
            ", newest.first, newest.last, newest.time_ms, length(newest.entries),
                 newest.changes_before + newest.changes,
                 oldest.first, oldest.time_ms, oldest.changes_before + oldest.changes,
                 (SELECT first FROM segments WHERE segments.id > oldest.id
                     AND segments.id <= rooms.id << 36 | 68719476735 ORDER BY segments.id LIMIT 1)
             FROM rooms
             LEFT JOIN segments newest ON newest.id = (SELECT max(segments.id) FROM segments WHERE segments.id ",
            kept!(),
            ")
             LEFT JOIN segments oldest ON oldest.id = (SELECT min(segments.id) FROM segments WHERE segments.id ",
            kept!(),
            ") ",
            $rest
        )
    };
}
pub const ROOM_BY_NAME: &str = room_states!("WHERE name = ?1");
pub const ROOMS_AFTER: &str = room_states!("WHERE name > ?1 ORDER BY name LIMIT ?2");
pub const BARE_ROOM: &str = concat!("SELECT ", bare_room!(), " FROM rooms WHERE name = ?1");
pub const NAMES_AFTER: &str = "SELECT name FROM rooms WHERE name > ?1 ORDER BY name LIMIT ?2";
/// The number of a room by its name, and another name for it.
pub const ROOM_ID: &str = "SELECT id FROM rooms WHERE name = ?1";
pub const RENAME_ROOM: &str = "UPDATE rooms SET name = ?2 WHERE id = ?1";
pub const ROOM_NAMES: &str = "SELECT id, name FROM rooms ORDER BY id";
pub const ROOM_NAME: &str = "SELECT name FROM rooms WHERE id = ?1";

pub const INSERT_SEGMENT: &str = "INSERT INTO segments (id, last, time_ms, changes_before, changes, checksum, entries)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
/// Another content for a segment, which may end earlier.
pub const UPDATE_SEGMENT: &str =
    "UPDATE segments SET last = ?2, changes_before = ?3, changes = ?4, checksum = ?5, entries = ?6 WHERE id = ?1";
/// From the segment that contains a seq on, or else from the next one: given the keys of the room's begin, of the seq
/// and of the room's end.
pub const SEGMENTS_FROM: &str = "SELECT first, last, changes_before, entries, checksum FROM segments WHERE id BETWEEN
     coalesce((SELECT max(id) FROM segments WHERE id BETWEEN ?1 AND ?2), ?2) AND ?3 ORDER BY id";
/// The parameters of the statements below are the keys of the searched range: of a room's begin or a seq, and of a seq
/// or the room's end.
///
/// The segments, newest first, with the sizes of their entries, without reading the entries.
pub const SEGMENTS_BACKWARDS: &str =
    "SELECT first, length(entries) FROM segments WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC";
/// The time of the oldest segment that is not dated later than this.
pub const TIME_NOT_AFTER: &str =
    "SELECT time_ms FROM segments WHERE id BETWEEN ?1 AND ?2 AND time_ms <= ?3 ORDER BY id LIMIT 1";
/// The two oldest segments in a range of keys.
pub const TWO_SEGMENTS: &str =
    "SELECT first, time_ms, changes_before + changes FROM segments WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT 2";
/// The columns of a segment without its entries.
macro_rules! span {
    ($rest:literal) => {
        concat!("SELECT first, last, time_ms, changes_before, changes, length(entries) FROM segments ", $rest)
    };
}
/// The newest segment without its entries.
pub const NEWEST_SPAN: &str = span!("WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT 1");
/// Where the newest segment begins, and where the oldest does.
pub const NEWEST_FIRST: &str = "SELECT first FROM segments WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT 1";
pub const OLDEST_FIRST: &str = "SELECT first FROM segments WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT 1";

/// A segment by its key, without its entries and with them.
pub const SPAN: &str = span!("WHERE id = ?1");
pub const SEGMENT: &str = "SELECT last, changes_before, entries, checksum FROM segments WHERE id = ?1";
pub const DELETE_SEGMENT: &str = "DELETE FROM segments WHERE id = ?1";
/// The last deleted seq of a room, and the next segment.
pub const OLDEST_SEGMENT: &str = concat!(
    "SELECT trimmed, first, last, segments.time_ms, changes_before, entries, checksum FROM rooms JOIN segments ON segments.id ",
    kept!(),
    " WHERE rooms.id = ?1 ORDER BY segments.id LIMIT 1"
);
pub const TRIMMED: &str = "SELECT trimmed FROM rooms WHERE id = ?1";
/// Of events that are deleted: the last one, its time, and how many up to it were no messages.
pub const SET_TRIMMED: &str =
    "UPDATE rooms SET trimmed = ?2, time_ms = max(time_ms, ?3), trimmed_changes = ?4 WHERE id = ?1";

pub const PROFILE: &str = "SELECT topic, topic_seq, pins FROM rooms WHERE id = ?1";
pub const SET_PROFILE: &str = "UPDATE rooms SET topic = ?2, topic_seq = ?3, pins = ?4 WHERE id = ?1";

pub const HAS_REACTED: &str = "SELECT 1 FROM reactions
     WHERE room = ?1 AND message = ?2 AND emoji = ?3 AND user = ?4 AND authenticated = ?5";
pub const INSERT_REACTION: &str =
    "INSERT INTO reactions (room, message, emoji, user, authenticated, seq) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
pub const DELETE_REACTION: &str = "DELETE FROM reactions
     WHERE room = ?1 AND message = ?2 AND emoji = ?3 AND user = ?4 AND authenticated = ?5";
/// The reactions to a message with one emoji, in the order of their events: after an event, without the first ones.
pub const REACTORS: &str = "SELECT seq, user, authenticated FROM reactions
     WHERE room = ?1 AND message = ?2 AND emoji = ?3 AND seq > ?4 ORDER BY seq LIMIT ?5 OFFSET ?6";
pub const DELETE_REACTIONS: &str = "DELETE FROM reactions WHERE room = ?1 AND message BETWEEN ?2 AND ?3";
/// Deletes some of a room's reactions.
pub const DELETE_SOME_REACTIONS: &str = "DELETE FROM reactions WHERE (room, message, emoji, seq) IN
     (SELECT room, message, emoji, seq FROM reactions WHERE room = ?1 LIMIT ?2)";

pub const CLOCK: &str = "SELECT time_ms, age_ms, doubted_ms, held_ms FROM life";
pub const KEEP_CLOCK: &str = "UPDATE life SET time_ms = ?1, age_ms = ?2, doubted_ms = ?3, held_ms = ?4";
/// Whether deleted messages were erased since this database was put in this folder.
pub const IS_CLEAN: &str = "SELECT erasures > 0 FROM life";
pub const SET_CLEAN: &str = "UPDATE life SET erasures = 1";
/// Counts below 0 until they were.
pub const COUNT_ERASURE: &str = "UPDATE life SET erasures = erasures + CASE WHEN erasures > 0 THEN 1 ELSE -1 END";
pub const LIFE: &str = "SELECT boot, synced, ended, id, restored, generation FROM life";
pub const ROOMS_MAX: &str = "SELECT rooms_max FROM life";
pub const SET_ROOMS_MAX: &str = "UPDATE life SET rooms_max = ?1";
pub const GENERATION: &str = "SELECT generation FROM life";
pub const SET_GENERATION: &str = "UPDATE life SET generation = ?1";
pub const BEGIN_LIFE: &str = "UPDATE life SET boot = ?1, synced = ?2, ended = 0, id = ?3, restored = 0";
/// Turns a copy of a database into a backup, with a new identity. Another program may have created it, without
/// cleaning.
pub const MAKE_BACKUP: &str = "UPDATE life SET ended = 1, id = ?1, restored = 1, erasures = 0";
pub const END_LIFE: &str = "UPDATE life SET ended = 1";
/// A new epoch covers the losses of all earlier ones, so that a client from the first epoch does not miss any.
pub const SET_EPOCH: &str = "UPDATE rooms SET epoch = ?2,
     epoch_first = CASE epoch_first WHEN 0 THEN ?3 ELSE min(epoch_first, ?3) END WHERE id = ?1";

/// The rooms in the order of their names' bytes, from the one after a name on: number, name, and the last deleted seq.
pub const NUMBERS_AFTER: &str =
    "SELECT id, name, trimmed, trimmed_changes FROM rooms WHERE name > ?1 ORDER BY name LIMIT ?2";
/// The last seq, the bytes and the newest time of the segments in a range of keys, and how many events up to the last one
/// are no messages.
pub const CONTENTS: &str = "SELECT max(last), coalesce(sum(length(entries)), 0), max(time_ms),
         coalesce(max(changes_before + changes), 0) FROM segments WHERE id BETWEEN ?1 AND ?2";

/// Of the segments in a range of keys: messages and bytes, the oldest and the newest time, and messages and bytes since two
/// times.
pub const STATISTICS: &str = "SELECT coalesce(sum(last - first + 1 - changes), 0), coalesce(sum(length(entries)), 0),
         min(time_ms), max(time_ms),
         coalesce(sum(iif(time_ms >= ?3, last - first + 1 - changes, 0)), 0),
         coalesce(sum(iif(time_ms >= ?3, length(entries), 0)), 0),
         coalesce(sum(iif(time_ms >= ?4, last - first + 1 - changes, 0)), 0),
         coalesce(sum(iif(time_ms >= ?4, length(entries), 0)), 0)
     FROM segments WHERE id BETWEEN ?1 AND ?2";
/// How many ids a room has.
pub const COUNT_IDS: &str = "SELECT count(*) FROM ids WHERE room = ?1";
/// The size of all segments. Their entries are not read.
pub const ALL_BYTES: &str = "SELECT coalesce(sum(length(entries)), 0) FROM segments";

/// The oldest segment without its entries.
pub const OLDEST_SPAN: &str = span!("WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT 1");
/// Deletes some of a room's ids.
pub const DELETE_SOME_IDS: &str = "DELETE FROM ids WHERE (room, id, sender) IN
     (SELECT room, id, sender FROM ids WHERE room = ?1 LIMIT ?2)";
pub const DELETE_ROOM: &str = "DELETE FROM rooms WHERE id = ?1";
pub const EXPIRING_ROOMS: &str = "SELECT due_ms, room, first FROM expiring";

pub const CLAIM_ID: &str = "INSERT INTO ids (room, id, sender, seq) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
pub const NEWEST_CLAIM: &str = "SELECT max(seq) FROM ids WHERE room = ?1";
pub const CLAIMED: &str = "SELECT seq FROM ids WHERE room = ?1 AND id = ?2 AND sender = ?3";
pub const INSERT_EXPIRING: &str =
    "INSERT OR REPLACE INTO expiring (due_ms, room, first, count, ids) VALUES (?1, ?2, ?3, ?4, ?5)";
pub const COUNT_EXPIRING: &str = "SELECT coalesce(sum(count), 0), min(due_ms) FROM expiring";
/// In the order in which they are forgotten.
pub const NEXT_EXPIRING: &str =
    "SELECT due_ms, room, first, count, ids FROM expiring ORDER BY due_ms, room, first LIMIT 1";
pub const EXPIRING: &str = "SELECT due_ms, room, first, count FROM expiring ORDER BY due_ms, room, first";
pub const DELETE_EXPIRING: &str = "DELETE FROM expiring WHERE due_ms = ?1 AND room = ?2 AND first = ?3";
pub const DELETE_ID: &str = "DELETE FROM ids WHERE room = ?1 AND id = ?2 AND sender = ?3 AND seq = ?4";

/// Copies as much of the write-ahead log as possible, without blocking.
pub const CHECKPOINT: &str = "PRAGMA wal_checkpoint(PASSIVE)";
/// Blocks the writer until everything is copied, so that the write-ahead log restarts.
pub const CHECKPOINT_ALL: &str = "PRAGMA wal_checkpoint(RESTART)";
/// The same, and leaves the write-ahead log empty.
pub const CHECKPOINT_END: &str = "PRAGMA wal_checkpoint(TRUNCATE)";
