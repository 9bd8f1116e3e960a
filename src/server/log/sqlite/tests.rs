//! The log and its folder: reopening, upgrading, refusing folders that can't be used, and recovering.

use std::fs;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::super::conformance::{Subject, at, conformance_tests, post, room, trim_all};
use super::super::{Appended, Appender, Log, LogError, Page, RoomState};
use super::connection::open_beside;
use super::key::{ROOM_MAX, SEQ_MAX};
use super::rows::Rows;
use super::*;
use crate::limits::{WAL_BYTES_LAID_OUT, WAL_BYTES_MAX};
use crate::names::{RoomId, Seq};

fn subject(retention: Retention) -> Subject {
    let folder = tempfile::tempdir().unwrap();
    let open_again = move || {
        let (appender, log) = open(folder.path(), SyncMode::Os, false, retention).unwrap();
        (Box::new(appender) as Box<dyn Appender>, log as Arc<dyn Log>)
    };
    let (appender, log) = open_again();
    Subject { appender, log, open_again: Some(Box::new(open_again)) }
}

conformance_tests!(subject);

fn open_full(folder: &Path) -> (SqliteAppender, Arc<SqliteLog>) {
    open(folder, SyncMode::Full, false, Retention::default()).unwrap()
}

fn refused(folder: &Path) -> OpenError {
    open(folder, SyncMode::Full, false, Retention::default()).map(|_| ()).expect_err("the folder can't be used")
}

fn bodies(log: &dyn Log, state: &RoomState) -> Vec<(u64, String)> {
    let mut from = state.oldest;
    let mut bodies = Vec::new();
    while let Page::Segments(segments) = log.read(state.id, from, 1000).unwrap() {
        let Some(last) = segments.last() else { break };
        from = last.last().next();
        for segment in &segments {
            for entry in crate::wire::event::entries(segment.frame().as_slice()) {
                let entry = entry.unwrap().0;
                let content = crate::wire::event::read_content(entry.content).unwrap();
                // Neither the first version nor these tests' posts have a client's number.
                assert_eq!(content.client, None);
                bodies.push((entry.seq.0, content.body.to_owned()));
            }
        }
    }
    bodies
}

/// The fixture's README describes its contents.
#[test]
fn a_folder_of_the_first_version_is_upgraded() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/data-v1").join(DATABASE);
    fs::copy(fixture, folder.path().join(DATABASE)).unwrap();
    let version = |folder: &Path| -> i64 {
        let connection = Connection::open(folder.join(DATABASE)).unwrap();
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
    };
    assert_eq!(version(folder.path()), 1);
    let mut epochs = Vec::new();
    for _ in 0..2 {
        let (mut appender, log) = open_full(folder.path());
        for (index, name) in ["lobby", "garden", "cellar"].into_iter().enumerate() {
            let state = log.find(&room(name)).unwrap().unwrap();
            assert_eq!((state.head, state.epoch_first), (Seq(150), Seq(1)));
            assert!(
                (50..=51).contains(&state.oldest.0),
                "segments are deleted whole, so at most one message more is kept: {state:?}"
            );
            epochs.push(state.epoch);
            let posted =
                (0..300).filter(|n| n % 3 == index).flat_map(|n| (0..=n % 2).map(move |k| format!("message {n}.{k}")));
            let expected: Vec<_> = (1..).zip(posted).skip(state.oldest.0 as usize - 1).collect();
            assert_eq!(bodies(&*log, &state), expected);
            // The ids of its messages are known.
            let n = 297 + index as u64;
            let again = appender.append(&[post(&room(name), "ann", n * 2, &format!("message {n}.0"))], at(1)).unwrap();
            assert!(
                matches!(again[..], [Ok(Appended::Before(id, seq))] if id == state.id && seq > Seq(140)),
                "{again:?}"
            );
        }
    }
    assert_eq!(version(folder.path()), schema::VERSION);
    assert_eq!(epochs[..3], epochs[3..]);
}

/// The story: a room whose name an earlier version had stored in decomposed form, with a combining diaeresis, could not
/// be reached after names were normalized. Two rooms whose names look the same keep their messages under two names.
#[test]
fn rooms_whose_names_were_not_normalized_can_be_reached() {
    let decomposed = "ku\u{308}che";
    for (cellar, other_name) in [("r\u{e9}sum\u{e9}", "k\u{fc}che"), ("k\u{fc}che", "k\u{fc}che-2")] {
        let folder = tempfile::tempdir().unwrap();
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/data-v1").join(DATABASE);
        fs::copy(fixture, folder.path().join(DATABASE)).unwrap();
        let rename = |from: &str, to: &str| {
            let connection = Connection::open(folder.path().join(DATABASE)).unwrap();
            assert_eq!(connection.execute("UPDATE rooms SET name = ?2 WHERE name = ?1", (from, to)).unwrap(), 1);
        };
        rename("garden", decomposed);
        rename("cellar", cellar);
        let (_appender, log) = open_full(folder.path());
        let first = |name: &str| {
            let state = log.find(&room(name)).unwrap().unwrap_or_else(|| panic!("{name} can't be reached"));
            bodies(&*log, &state)[0].1.clone()
        };
        let number = |body: &str| body["message ".len()..].split('.').next().unwrap().parse::<u64>().unwrap();
        assert_eq!(number(&first("lobby")) % 3, 0);
        assert_eq!(number(&first(other_name)) % 3, 1);
        assert_eq!(number(&first(cellar)) % 3, 2);
    }
}

/// Commits overwrite the zeros, and a start finds all commits, whether zeros follow them or not.
#[test]
fn the_write_ahead_log_is_laid_out_before_it_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let attic = room("attic");
    let length = || fs::metadata(folder.path().join(DATABASE).with_extension("db-wal")).unwrap().len();
    for round in 0..2 {
        let (mut appender, log) = open_full(folder.path());
        assert_eq!(length(), WAL_BYTES_LAID_OUT as u64);
        appender.append(&[post(&attic, "ann", round, "hello")], at(1)).unwrap();
        assert_eq!(length(), WAL_BYTES_LAID_OUT as u64);
        assert_eq!(log.find(&attic).unwrap().unwrap().head, Seq(round + 1));
        // The files that a killed server leaves.
        let killed = tempfile::tempdir().unwrap();
        for file in fs::read_dir(folder.path()).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), killed.path().join(file.file_name())).unwrap();
        }
        assert_eq!(open_full(killed.path()).1.find(&attic).unwrap().unwrap().head, Seq(round + 1));
    }
}

/// A writer that never pauses leaves SQLite's lock free for only microseconds.
#[test]
fn the_write_ahead_log_keeps_its_bound_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let (mut appender, log) = open_full(folder.path());
    let attic = room("attic");
    let body = "x".repeat(15_000);
    let batches = 6 * WAL_BYTES_MAX / (3 * body.len() as u64);
    for batch in 0..batches {
        let posts = [0, 1, 2].map(|n| post(&attic, "ann", 3 * batch + n, &body));
        appender.append(&posts, at(1)).unwrap();
        let bytes = fs::metadata(folder.path().join(DATABASE).with_extension("db-wal")).unwrap().len();
        assert!(bytes < 2 * WAL_BYTES_MAX, "the write-ahead log has {bytes} bytes");
    }
    assert_eq!(log.find(&attic).unwrap().unwrap().head, Seq(3 * batches));
}

#[test]
fn a_folder_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let open = open_full(folder.path());
    let error = refused(folder.path());
    assert!(matches!(error, OpenError::Locked { .. }) && error.to_string().contains("stop that one"), "{error}");
    drop(open);
    open_full(folder.path());
}

#[test]
fn a_folder_of_a_newer_version_is_refused_and_left_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    drop(open_full(folder.path()));
    let connection = Connection::open(folder.path().join(DATABASE)).unwrap();
    connection.pragma_update(None, "user_version", schema::VERSION + 1).unwrap();
    drop(connection);
    let before = fs::read(folder.path().join(DATABASE)).unwrap();
    let error = refused(folder.path());
    assert!(matches!(error, OpenError::Newer { .. }) && error.to_string().contains("newer"), "{error}");
    assert_eq!(fs::read(folder.path().join(DATABASE)).unwrap(), before);
}

#[test]
fn a_file_that_is_not_a_log_is_refused_and_left_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(DATABASE);
    fs::write(&file, "this is a shopping list\n".repeat(1000)).unwrap();
    let error = refused(folder.path());
    assert!(matches!(error, OpenError::Damaged { .. }) && error.to_string().contains("backup"), "{error}");
    fs::remove_file(&file).unwrap();
    let other = Connection::open(&file).unwrap();
    other.execute_batch("CREATE TABLE birds (name TEXT); PRAGMA user_version = 1").unwrap();
    drop(other);
    let error = refused(folder.path());
    assert!(error.to_string().contains("another program's"), "{error}");

    let file_in_the_way = folder.path().join("file");
    fs::write(&file_in_the_way, "").unwrap();
    let error = refused(&file_in_the_way);
    assert!(matches!(error, OpenError::Folder { .. }) && error.to_string().contains("--data"), "{error}");
}

/// SQLite's own limit on the file simulates a full disk: it fails at the same places with the same code.
#[test]
fn a_full_disk_loses_nothing_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let (mut appender, log) = open_full(folder.path());
    let attic = room("attic");
    let large = "x".repeat(16_000);
    appender.append(&[post(&attic, "ann", 1, &large)], at(1)).unwrap();
    let pages: i64 = appender.transactions.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    appender.transactions.connection.pragma_update(None, "max_page_count", pages + 1).unwrap();
    for id in 2..5 {
        let batch = [post(&attic, "ann", id, &large), post(&room("cellar"), "ann", id, "small")];
        let error = appender.append(&batch, at(1)).unwrap_err();
        assert_eq!(error, LogError::Full);
        assert_eq!(log.find(&attic).unwrap().unwrap().head, Seq(1));
        assert_eq!(log.find(&room("cellar")), Ok(None));
    }
    appender.transactions.connection.pragma_update(None, "max_page_count", 1_000_000).unwrap();
    let batch =
        [post(&attic, "ann", 2, &large), post(&room("cellar"), "ann", 2, "small"), post(&attic, "ann", 1, &large)];
    let outcomes = appender.append(&batch, at(1)).unwrap();
    let stored =
        [Appended::New(RoomId(1), Seq(2)), Appended::New(RoomId(2), Seq(1)), Appended::Before(RoomId(1), Seq(1))];
    assert_eq!(outcomes, stored.map(Ok));
    assert_eq!(log.find(&room("cellar")).unwrap().unwrap().head, Seq(1));
}

/// Joining a room under a mistyped name wrote a row and waited for the disk.
#[test]
fn looking_for_rooms_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (mut appender, log) = open_full(folder.path());
    appender.append(&[post(&room("attic"), "ann", 1, "hello")], at(1)).unwrap();
    let content = || [DATABASE, "hubbub.db-wal"].map(|name| fs::read(folder.path().join(name)).unwrap());
    let before = content();
    for n in 0..1_000 {
        assert_eq!(appender.find(&room(&format!("typo-{n}"))), Ok(None));
    }
    assert!(content() == before, "the log's files changed");
    assert_eq!(log.rooms(None, 10).unwrap().len(), 1);
}

/// The epoch changes only if a power cut may have lost messages.
#[test]
fn an_epoch_changes_only_where_messages_may_be_lost() {
    let folder = tempfile::tempdir().unwrap();
    let attic = room("attic");
    let run = |sync, restored| {
        let (mut appender, log) = open(folder.path(), sync, restored, Retention::default()).unwrap();
        appender.append(&[super::super::conformance::post_without_id(&attic, "ann", "hello")], at(1)).unwrap();
        let state = log.find(&attic).unwrap().unwrap();
        (appender, (state.epoch, state.epoch_first, state.head))
    };
    let pretend = |sql: &str| {
        let database = folder.path().join(DATABASE);
        Connection::open(&database).unwrap().execute(sql, ()).unwrap();
        // A life that did not end cleanly leaves its write-ahead log.
        write_ahead::lay_out(&database);
    };
    let (appender, (epoch, ..)) = run(SyncMode::Os, false);
    drop(appender);
    // The life ended cleanly, so a restart of the machine does not matter.
    pretend("UPDATE life SET boot = 'another'");
    assert_eq!(run(SyncMode::Os, false).1, (epoch, Seq(1), Seq(2)));
    // The server was killed, but the machine kept running.
    pretend("UPDATE life SET ended = 0");
    assert_eq!(run(SyncMode::Os, false).1, (epoch, Seq(1), Seq(3)));
    // The machine went down, but everything was on the disk.
    drop(run(SyncMode::Full, false));
    pretend("UPDATE life SET ended = 0, boot = 'another'");
    assert_eq!(run(SyncMode::Os, false).1, (epoch, Seq(1), Seq(5)));
    // The machine went down, and some messages may not have been on the disk.
    pretend("UPDATE life SET ended = 0, boot = 'another'");
    let (appender, (another, first, head)) = run(SyncMode::Os, false);
    assert!(another != epoch && (first, head) == (Seq(6), Seq(6)));
    drop(appender);
    // An older copy replaced the log. A client from the first epoch must learn of both losses.
    let (_, (third, first, head)) = run(SyncMode::Full, true);
    assert!(third != another && third != epoch && (first, head) == (Seq(6), Seq(7)));
}

/// The number of ids of trimmed messages is bounded, regardless of the number of messages a day.
#[test]
fn ids_of_trimmed_messages_are_bounded_in_number() {
    let folder = tempfile::tempdir().unwrap();
    let retention = Retention { messages: Some(1), ..Retention::default() };
    let (mut appender, log) = open(folder.path(), SyncMode::Os, false, retention).unwrap();
    let attic = room("attic");
    appender.trimmer.ids_max = 10;
    for id in 1..=100 {
        appender.append(&[post(&attic, "ann", id, "x")], at(id)).unwrap();
        trim_all(&mut appender, at(id));
    }
    let count = |table| -> i64 {
        appender
            .transactions
            .connection
            .query_row(&format!("SELECT count(*) FROM {table}"), (), |row| row.get(0))
            .unwrap()
    };
    assert_eq!((count("ids"), count("expiring")), (11, 10));
    drop((appender, log));
    let (mut appender, _log) = open(folder.path(), SyncMode::Os, false, retention).unwrap();
    let outcomes = appender.append(&[post(&attic, "ann", 90, "x"), post(&attic, "ann", 89, "x")], at(101)).unwrap();
    let expected = [Appended::Before(RoomId(1), Seq(90)), Appended::New(RoomId(1), Seq(101))];
    assert_eq!(outcomes, expected.map(Ok));
}

/// Reading a page of 4 messages backwards from the middle of a log of long messages read 9 MB: SQLite read the entries
/// of each row that its search compared.
#[test]
fn finding_a_segment_reads_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (mut appender, log) = open(folder.path(), SyncMode::Os, false, Retention::default()).unwrap();
    let attic = room("attic");
    let body = "x".repeat(16_000);
    for id in 1..=300 {
        appender.append(&[post(&attic, "ann", id, &body)], at(1)).unwrap();
    }
    drop((appender, log));
    let pages_read = |read: &dyn Fn(&Rows<'_>)| {
        let connection = open_beside(&folder.path().join(DATABASE), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let before = misses(&connection);
        read(&Rows { connection: &connection, room: RoomId(1) });
        misses(&connection) - before
    };
    // A segment has 4 pages.
    let one =
        pages_read(&|rows| assert!(matches!(rows.read(Seq(150), 1), Ok(Page::Segments(page)) if page.len() == 1)));
    assert!(one <= 4 + 4, "{one} pages were read");
    let before = pages_read(&|rows| {
        let (first, _) = read_side::first_before(rows, Seq(150), Seq(1), 60_000).unwrap();
        assert_eq!(first, Seq(146));
    });
    assert!(before <= 4 + 4, "{before} pages were read");
}

/// How many pages a connection has read so far.
fn misses(connection: &Connection) -> i32 {
    let (mut now, mut most) = (0, 0);
    // SAFETY: the connection is open, and SQLite writes only to the two variables that are passed.
    let code = unsafe {
        let status = rusqlite::ffi::SQLITE_DBSTATUS_CACHE_MISS;
        rusqlite::ffi::sqlite3_db_status(connection.handle(), status, &raw mut now, &raw mut most, 0)
    };
    assert_eq!(code, rusqlite::ffi::SQLITE_OK);
    now
}

/// The keys of rooms with large numbers are negative, and work like others. Beyond the maximum, posts are rejected.
#[test]
fn rooms_and_messages_are_numbered_up_to_the_bounds_of_the_key() {
    let folder = tempfile::tempdir().unwrap();
    drop(open_full(folder.path()));
    let other = Connection::open(folder.path().join(DATABASE)).unwrap();
    let first = ROOM_MAX.0 - 1;
    other.execute("INSERT INTO rooms (id, name, epoch) VALUES (?1, 'attic', 1)", [first as i64]).unwrap();
    drop(other);
    let retention = Retention { messages: Some(50), ..Retention::default() };
    let (mut appender, log) = open(folder.path(), SyncMode::Os, false, retention).unwrap();
    for (index, name) in ["attic", "cellar"].into_iter().enumerate() {
        for id in 1..=100 {
            appender.append(&[post(&room(name), "ann", id, &format!("{name} {id}"))], at(1)).unwrap();
        }
        trim_all(&mut appender, at(2));
        let state = log.find(&room(name)).unwrap().unwrap();
        assert_eq!((state.id, state.oldest, state.head), (RoomId(first + index as u64), Seq(51), Seq(100)));
        assert_eq!(bodies(&*log, &state), (51..=100).map(|id| (id, format!("{name} {id}"))).collect::<Vec<_>>());
    }
    let refused = appender.append(&[post(&room("loft"), "ann", 1, "x")], at(1)).unwrap();
    assert!(matches!(refused[..], [Err(LogError::TooManyRooms(_))]), "{refused:?}");
    drop((appender, log));

    let other = Connection::open(folder.path().join(DATABASE)).unwrap();
    let trimmed = SEQ_MAX.0 - 2_000;
    other.execute("DELETE FROM segments WHERE room = ?1", [first as i64]).unwrap();
    other.execute("UPDATE rooms SET trimmed = ?2 WHERE id = ?1", [first, trimmed].map(|number| number as i64)).unwrap();
    drop(other);
    let (mut appender, log) = open_full(folder.path());
    let mut append = |id| {
        let posts = ["attic", "cellar"].map(|name| post(&room(name), "ann", id, "hello"));
        appender.append(&posts, at(3)).unwrap().swap_remove(0)
    };
    for id in 1..=977 {
        assert_eq!(append(200 + id), Ok(Appended::New(RoomId(first), Seq(trimmed + id))));
    }
    let refused = append(2_000);
    assert!(matches!(&refused, Err(LogError::Damaged(text)) if text.contains("room attic is full")), "{refused:?}");
    assert_eq!(bodies(&*log, &log.find(&room("attic")).unwrap().unwrap()).len(), 977);
    assert_eq!(log.find(&room("cellar")).unwrap().unwrap().head, Seq(100 + 978));
}
