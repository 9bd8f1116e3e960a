//! The keeper and the log's files: deleted messages are erased, and a reader that keeps the log from restarting is
//! tolerated.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::super::conformance::{at, post, room, trim_all};
use super::super::{Appender, Log};
use super::*;
use crate::limits::{WAL_BYTES_LAID_OUT, WAL_BYTES_MAX};
use crate::names::Seq;

const DEADLINE: Duration = Duration::from_secs(30);

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "timed out waiting for {what}");
        thread::park_timeout(Duration::from_millis(20));
    }
}

/// The marks `<room.message>` in all files of a folder.
fn marks(folder: &Path) -> BTreeSet<(usize, u64)> {
    let mut marks = BTreeSet::new();
    for file in fs::read_dir(folder).unwrap().flatten() {
        let bytes = fs::read(file.path()).unwrap();
        for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'<') {
            let text =
                bytes[at + 1..].split(|byte| *byte == b'>').next().and_then(|text| std::str::from_utf8(text).ok());
            let mark = text.and_then(|text| text.split_once('.'));
            if let Some((Ok(room), Ok(number))) = mark.map(|(room, number)| (room.parse(), number.parse())) {
                marks.insert((room, number));
            }
        }
    }
    marks
}

/// `secure_delete` overwrites deleted rows, but not the copies that SQLite leaves in the unused bytes of a page when it
/// moves rows to a neighbour: of 20,000 messages in 300 rooms, parts of about ten remained after they were deleted.
#[test]
fn copies_of_deleted_rows_in_unused_bytes_are_erased() {
    const ROOMS: usize = 300;
    const KEPT: u64 = 5;
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let folder = tempfile::tempdir().unwrap();
    let erase_after = Duration::from_millis(20);
    let retention = Retention { messages: Some(KEPT), ids: Duration::ZERO, erase_after, ..Retention::default() };
    let (mut appender, log) = open(folder.path(), SyncMode::Os, false, retention).unwrap();
    let rooms: Vec<_> = (0..ROOMS).map(|n| room(&format!("room{n}"))).collect();
    let mut heads = [0; ROOMS];
    for n in 0..20_000 {
        // A few rooms are busy.
        let index = random.usize(..ROOMS).min(random.usize(..ROOMS)).min(random.usize(..ROOMS));
        heads[index] += 1;
        let bytes = [300, 700, 900][random.usize(..3)];
        let body = format!("<{index}.{}>", heads[index]).repeat(bytes / 8);
        appender.append(&[post(&rooms[index], "ann", n + 1, &body)], at(1)).unwrap();
        if n % 20 == 0 {
            appender.trim(at(2)).unwrap();
        }
    }
    trim_all(&mut appender, at(3));
    let gone = || marks(folder.path()).into_iter().find(|(room, number)| number + KEPT <= heads[*room]);
    wait_for("the files to be clean", || gone().is_none());
    let kept: u64 = heads.iter().map(|head| KEPT.min(*head)).sum();
    assert_eq!(marks(folder.path()).len() as u64, kept);
    // The files stay clean, regardless of the contents of the writer's cache.
    for _ in 0..3 {
        for (index, head) in heads.iter_mut().enumerate() {
            *head += 1;
            let post = post(&rooms[index], "ann", *head + 100_000, &format!("<{index}.{head}>"));
            appender.append(&[post], at(4)).unwrap();
        }
        trim_all(&mut appender, at(5));
        let gone = || marks(folder.path()).into_iter().find(|(room, number)| number + KEPT <= heads[*room]);
        wait_for("the files to be clean", || gone().is_none());
    }
    drop((appender, log));
    assert_eq!(verify(folder.path(), &mut ()).unwrap().faults, Vec::<String>::new());
}

/// The sender's name is kept with the message's id for some time after the message was deleted, and then erased.
#[test]
fn names_of_senders_are_erased_with_the_ids() {
    let folder = tempfile::tempdir().unwrap();
    let (ids, erase_after) = (Duration::from_millis(1_000), Duration::from_millis(20));
    let retention = Retention { messages: Some(1), ids, erase_after, ..Retention::default() };
    let (mut appender, _log) = open(folder.path(), SyncMode::Os, false, retention).unwrap();
    for id in 1..=300 {
        appender.append(&[post(&room("attic"), &format!("zoe{id:03}"), id, "hello")], at(1)).unwrap();
    }
    let names = || {
        let files = fs::read_dir(folder.path()).unwrap().flatten().map(|file| fs::read(file.path()).unwrap());
        let bytes: Vec<_> = files.flatten().collect();
        let names = bytes.windows(6).filter(|text| text.starts_with(b"zoe")).map(<[u8]>::to_vec);
        names.collect::<BTreeSet<_>>().len()
    };
    trim_all(&mut appender, at(2));
    assert_eq!(names(), 300);
    trim_all(&mut appender, at(5_000));
    wait_for("the names to be gone", || names() == 1);
}

/// While another program kept a read transaction open and 300 MB were posted, the write-ahead log grew to 1.1 GB, and
/// kept that size; every 8 MB, posts waited 100 ms for the reader; and nothing was logged (`live_faults.rs` tests the
/// log line).
#[test]
fn the_writer_waits_for_a_lasting_reader_once_and_the_space_is_freed_later() {
    let folder = tempfile::tempdir().unwrap();
    let (mut appender, log) = open(folder.path(), SyncMode::Os, false, Retention::default()).unwrap();
    let attic = room("attic");
    appender.append(&[post(&attic, "ann", 1, "first")], at(1)).unwrap();
    let other = Connection::open(folder.path().join(DATABASE)).unwrap();
    other.execute_batch("BEGIN").unwrap();
    let count = || other.query_row("SELECT count(*) FROM segments", (), |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count(), 1);
    let body = "x".repeat(15_000);
    let length = || write_ahead::bytes(&folder.path().join(DATABASE));
    let mut id = 1;
    while length() <= 3 * WAL_BYTES_MAX {
        let posts = [1, 2, 3].map(|n| post(&attic, "ann", id + n, &body));
        id += 3;
        appender.append(&posts, at(1)).unwrap();
    }
    assert_eq!(log.find(&attic).unwrap().unwrap().head, Seq(id));
    wait_for("the writer to wait for the reader", || appender.transactions.keeper.waits() > 0);
    assert_eq!((appender.transactions.keeper.waits(), count()), (1, 1));
    other.execute_batch("COMMIT").unwrap();
    wait_for("the space to be freed", || length() <= WAL_BYTES_LAID_OUT as u64);
    assert_eq!(appender.transactions.keeper.waits(), 1);
    appender.append(&[post(&attic, "ann", id + 1, "last")], at(1)).unwrap();
    assert_eq!(log.find(&attic).unwrap().unwrap().head, Seq(id + 1));
}

/// Databases of earlier versions, and those that other programs have changed, contain deleted text in free pages, in
/// unused bytes, and after the ends of long rows.
#[test]
fn remains_of_earlier_versions_are_erased_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (mut appender, log) = open(folder.path(), SyncMode::Os, false, Retention::default()).unwrap();
    let sizes = [40, 400, 900, 1_500, 9_000, 300];
    let bodies: Vec<_> = (1..=600).map(|n| format!("<7.{n}>").repeat(sizes[n % 6] / 7)).collect();
    for (id, body) in (1..).zip(&bodies) {
        appender.append(&[post(&room("attic"), "ann", id, body)], at(1)).unwrap();
    }
    drop((appender, log));
    let other = Connection::open(folder.path().join(DATABASE)).unwrap();
    other.pragma_update(None, "secure_delete", false).unwrap();
    other.execute_batch("UPDATE life SET erasures = 0; DELETE FROM segments WHERE first <= 500").unwrap();
    other.execute_batch("UPDATE rooms SET trimmed = 500; DELETE FROM ids WHERE seq <= 500").unwrap();
    // Some pages are reused in part.
    let row = "INSERT INTO segments (id, last, time_ms, changes_before, changes, checksum, entries)
        SELECT room << 36 | ?1, ?1, time_ms, 0, 0, checksum, entries FROM segments WHERE first = ?2";
    for copy in 0..20 {
        other.execute(row, (1_000_000 + copy, 520 + copy)).unwrap();
    }
    other.execute_batch("DELETE FROM segments WHERE first >= 1000000").unwrap();
    for copy in 0..20 {
        other.execute(row, (1_000_000 + copy, 521 + copy)).unwrap();
    }
    drop(other);
    let gone = || marks(folder.path()).into_iter().filter(|(_, number)| *number <= 500).count();
    assert!(gone() > 100, "{}", gone());
    let remove = |folder: &Path| {
        let other = Connection::open(folder.join(DATABASE)).unwrap();
        other.execute_batch("PRAGMA secure_delete = OFF; DELETE FROM segments WHERE first >= 1000000").unwrap();
    };
    remove(folder.path());
    drop(open(folder.path(), SyncMode::Os, false, Retention::default()).unwrap());
    assert_eq!(gone(), 0);
    assert_eq!(marks(folder.path()).len(), 100);
    assert_eq!(verify(folder.path(), &mut ()).unwrap().faults, Vec::<String>::new());
    // It happens only once.
    let erasures = || -> i64 {
        let connection = Connection::open(folder.path().join(DATABASE)).unwrap();
        connection.query_row("SELECT erasures FROM life", (), |row| row.get(0)).unwrap()
    };
    assert_eq!(erasures(), 1);
    drop(open(folder.path(), SyncMode::Os, false, Retention::default()).unwrap());
    assert_eq!(erasures(), 1);
}

/// A killed restore left a copy of the backup in the data folder, with messages that retention had deleted since the
/// backup.
#[test]
fn a_start_removes_the_files_of_a_killed_restore() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["restoring.db", "restoring.db-journal"] {
        fs::write(folder.path().join(name), "<7.1>").unwrap();
    }
    let _open = open(folder.path(), SyncMode::Os, false, Retention::default()).unwrap();
    assert_eq!(marks(folder.path()).len(), 0);
}
