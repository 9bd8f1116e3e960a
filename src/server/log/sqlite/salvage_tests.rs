//! Damaged databases of an earlier version: the readable part is upgraded to the current version.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use rusqlite::Connection;

use super::super::conformance::{at, post, room};
use super::super::{Appended, Appender as _, Log, Page, RoomState};
use super::page::PAGE_BYTES;
use super::schema::MIGRATIONS;
use super::*;
use crate::names::Seq;
use crate::wire::event;

const ROOMS: [&str; 3] = ["attic", "barn", "cellar"];
const MESSAGES: u64 = 90;
/// The version of the test's database, the last one whose segments have a key of two columns.
const OLD: i64 = 7;

/// Some bodies are longer than a page.
fn body(room: usize, seq: u64) -> String {
    format!("word-{room}-{seq}- {}", "x".repeat(if seq.is_multiple_of(9) { 6_000 } else { 400 }))
}

fn open_any(folder: &Path) -> Result<(SqliteAppender, Arc<SqliteLog>), OpenError> {
    open(folder, SyncMode::Os, false, Retention::default())
}

/// A database of an earlier version. Retention has deleted a few messages of one room.
fn make_old() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let (mut appender, log) = open_any(folder.path()).unwrap();
    for seq in 1..=MESSAGES {
        for (number, name) in ROOMS.iter().enumerate() {
            let stored = appender.append(&[post(&room(name), "ann", seq, &body(number, seq))], at(seq)).unwrap();
            assert!(stored[0].is_ok());
        }
    }
    drop((appender, log));
    let old = folder.path().join("old.db");
    let connection = Connection::open(&old).unwrap();
    MIGRATIONS[..OLD as usize].iter().for_each(|migration| connection.execute_batch(migration).unwrap());
    connection.execute("ATTACH ?1 AS now", [folder.path().join(DATABASE).to_str().unwrap()]).unwrap();
    connection
        .execute_batch(&format!(
            "DELETE FROM life;
             INSERT INTO life SELECT boot, synced, ended, time_ms, age_ms, doubted_ms, held_ms, id, restored, erasures
                 FROM now.life;
             INSERT INTO rooms SELECT id, name, epoch, trimmed, epoch_first, time_ms FROM now.rooms;
             INSERT INTO ids SELECT * FROM now.ids;
             INSERT INTO segments SELECT room, first, last, time_ms, entries, checksum FROM now.segments;
             UPDATE rooms SET trimmed = 5 WHERE name = 'attic';
             DELETE FROM segments WHERE room = (SELECT id FROM rooms WHERE name = 'attic') AND first <= 5;
             DETACH now;
             PRAGMA application_id = {};
             PRAGMA user_version = {OLD};
             PRAGMA journal_mode = WAL;",
            schema::APPLICATION_ID
        ))
        .unwrap();
    connection.close().unwrap();
    fs::read(old).unwrap()
}

/// The use of a page.
#[derive(Default)]
struct Use {
    table: String,
    /// Whether other pages can't be found without it.
    is_interior: bool,
    /// The messages on it, or that begin on it: each by its room's number and its seq.
    messages: BTreeSet<(usize, u64)>,
}

fn uses(database: &[u8]) -> Vec<Use> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("db");
    fs::write(&file, database).unwrap();
    let connection = Connection::open(&file).unwrap();
    let mut uses: Vec<_> =
        database.chunks(PAGE_BYTES).map(|page| Use { messages: messages(page), ..Use::default() }).collect();
    let mut statement = connection.prepare("SELECT pageno, name, pagetype = 'internal' FROM dbstat").unwrap();
    for row in statement.query_map((), |row| Ok((row.get::<_, u32>(0)?, row.get(1)?, row.get(2)?))).unwrap() {
        let (number, table, is_interior) = row.unwrap();
        let page = &mut uses[number as usize - 1];
        (page.table, page.is_interior) = (table, is_interior);
    }
    uses
}

/// The messages whose first words are on a page.
fn messages(page: &[u8]) -> BTreeSet<(usize, u64)> {
    let text = String::from_utf8_lossy(page).into_owned();
    let keys = text.split("word-").skip(1).filter_map(|rest| {
        let mut numbers = rest.split('-');
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    });
    keys.collect()
}

/// The seqs that are served. Asserts that each has its own body and comes once, in order.
fn served(log: &dyn Log, state: &RoomState, number: usize) -> Vec<u64> {
    let (mut next, mut seqs) = (state.oldest, Vec::new());
    while next <= state.head {
        match log.read(state.id, next, 10_000).unwrap() {
            Page::Segments(segments) => {
                assert!(!segments.is_empty(), "nothing is served from {next} on");
                for segment in segments {
                    for entry in event::entries(segment.frame().as_slice()) {
                        let entry = entry.unwrap().0;
                        let content = event::read_content(entry.content).unwrap();
                        if entry.seq >= next {
                            assert_eq!(content.body, body(number, entry.seq.0));
                            seqs.push(entry.seq.0);
                        }
                    }
                    next = segment.last().next();
                }
            }
            Page::Trimmed { oldest } => next = oldest,
            Page::Damaged { next: beyond } => {
                assert!(beyond.is_none_or(|beyond| beyond > next));
                next = beyond.unwrap_or(state.head.next());
            }
        }
    }
    assert!(seqs.is_sorted());
    seqs
}

/// The story: because of one damaged page in one room, a server of the next version refused the whole folder, although
/// the earlier server had served all other messages.
#[test]
fn a_damaged_page_of_an_earlier_version_affects_only_its_rows() {
    let old = make_old();
    let uses = uses(&old);
    assert!(uses.iter().filter(|page| page.table == "segments").count() > 20);
    let epochs = sound_epochs(&old);
    let is_leaf = |page: &Use| page.table == "segments" && !page.is_interior;
    let other = uses.iter().position(is_leaf).unwrap();
    let mut salvaged = 0;
    for (index, Use { table, is_interior, messages }) in uses.iter().enumerate() {
        for garbage in if index % 4 == 0 { &[0xff, 0][..] } else { &[0xff] } {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(DATABASE);
            fs::write(&path, &old).unwrap();
            let file = File::options().write(true).open(&path).unwrap();
            file.write_all_at(&[*garbage; PAGE_BYTES], (index * PAGE_BYTES) as u64).unwrap();
            let mut lost = messages.clone();
            if table == "ids" {
                // A migration does not read the ids, so damage to them alone would change nothing.
                file.write_all_at(&[*garbage; PAGE_BYTES], (other * PAGE_BYTES) as u64).unwrap();
                lost = uses[other].messages.clone();
            }
            let damaged = fs::read(&path).unwrap();
            let page = format!("page {} of {table}, {garbage}", index + 1);
            let opened = open_any(folder.path());
            if !matches!(table.as_str(), "segments" | "ids" | "expiring") {
                // Without the tables of rooms and lives, the rest can't be interpreted, as in a log of the current
                // version.
                assert!(matches!(opened, Ok(_) | Err(OpenError::Damaged { .. })), "{page}: {:?}", opened.err());
                assert!(!folder.path().join("hubbub.db-salvaged").exists());
                continue;
            }
            let (mut appender, log) = opened.unwrap_or_else(|error| panic!("{page}: {error}"));
            for (number, name) in ROOMS.iter().enumerate() {
                let state = log.find(&room(name)).unwrap().unwrap();
                let found = served(&*log, &state, number);
                let first = if number == 0 { 6 } else { 1 };
                let expected: Vec<_> = (first..=MESSAGES).filter(|seq| !lost.contains(&(number, *seq))).collect();
                // The rest of a long message may be on a page without its words.
                let more = expected.iter().filter(|seq| !found.contains(seq)).count();
                assert!(
                    *is_interior || more <= 1,
                    "{page}: {name} lost {more} of {}: {found:?} {lost:?} {other}",
                    expected.len()
                );
                if more == 0 && !lost.iter().any(|(room, _)| *room == number) {
                    assert_eq!(state.head, Seq(MESSAGES), "{page}: {name}");
                }
                // Each message that was found is known by its id; a lost one can be stored again.
                for seq in [first, MESSAGES / 2, MESSAGES] {
                    let again = post(&room(name), "ann", seq, &body(number, seq));
                    let outcome = appender.append(&[again], at(200)).unwrap().remove(0).unwrap();
                    match outcome {
                        Appended::Before(_, at) => assert_eq!(at, Seq(seq), "{page}"),
                        _ => {
                            assert!(!found.contains(&seq), "{page}: {name} has message {seq} twice");
                            assert!(
                                seq <= state.head.0 || state.epoch != epochs[number],
                                "{page}: seq {seq} is assigned again"
                            );
                        }
                    }
                }
            }
            drop((appender, log));
            // A migration does not notice all damage: the end of a long row has only a checksum.
            if let Ok(kept) = fs::read(folder.path().join("hubbub.db.damaged")) {
                assert!(kept == damaged, "{page}: the damaged database was changed");
                salvaged += 1;
            }
            assert!(!folder.path().join("hubbub.db-salvaged").exists());
            drop(open_any(folder.path()).unwrap_or_else(|error| panic!("{page}: {error}")));
        }
    }
    assert!(salvaged > 60, "{salvaged}");
}

/// The rooms' epochs after an undamaged database was upgraded.
fn sound_epochs(old: &[u8]) -> Vec<crate::names::Epoch> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(DATABASE), old).unwrap();
    let (_appender, log) = open_any(folder.path()).unwrap();
    assert!(!folder.path().join("hubbub.db.damaged").exists());
    ROOMS.iter().map(|name| log.find(&room(name)).unwrap().unwrap().epoch).collect()
}
