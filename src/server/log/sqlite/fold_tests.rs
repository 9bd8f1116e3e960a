//! The log as a fold: the same posts give the same rows, whatever else happens meanwhile.

use std::path::Path;

use proptest::prelude::*;
use rusqlite::Connection;
use rusqlite::types::Value;

use super::*;
use crate::server::log::conformance::{at, post, post_without_id, room};
use crate::server::log::{Appender as _, Post, Retention};

/// The tables that the posts alone determine.
const TABLES: [&str; 3] = ["rooms", "segments", "ids"];

fn open_log(folder: &Path) -> SqliteAppender {
    open(folder, SyncMode::Os, false, Retention::default()).unwrap().0
}

/// All rows of those tables.
fn rows(connection: &Connection) -> Vec<Vec<Value>> {
    let mut rows = Vec::new();
    for table in TABLES {
        let mut statement = connection.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2")).unwrap();
        let columns = statement.column_count();
        let row = statement.query_map((), |row| (0..columns).map(|column| row.get(column)).collect()).unwrap();
        rows.extend(row.map(Result::unwrap));
    }
    rows
}

/// Batches of posts to few rooms with few ids, so that many are repeated, and what else happens before each batch on the
/// second log: a restart, and a look for a room.
fn batches() -> impl Strategy<Value = Vec<(Vec<(u8, u64, bool)>, bool, u8)>> {
    let posts = proptest::collection::vec((0..6_u8, 0..20_u64, any::<bool>()), 1..20);
    proptest::collection::vec((posts, proptest::bool::weighted(0.2), 0..9_u8), 1..25)
}

fn name(number: u8) -> crate::names::RoomName {
    room(&format!("room-{number}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// The numbers of rooms were given when they were joined, and their epochs were random.
    #[test]
    fn the_same_posts_give_the_same_log(batches in batches()) {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [one, mut other] = folders.each_ref().map(|folder| open_log(folder.path()));
        let mut one = one;
        let generation: i64 = one.transactions.connection.query_row(schema::GENERATION, (), |row| row.get(0)).unwrap();
        other.transactions.connection.execute(schema::SET_GENERATION, [generation]).unwrap();
        drop(other);
        other = open_log(folders[1].path());
        for (second, (posts, restarts, wanted)) in batches.into_iter().enumerate() {
            let posts: Vec<Post> = posts
                .into_iter()
                .enumerate()
                .map(|(at, (number, id, chosen))| match chosen {
                    true => post(&name(number), "ann", id, &id.to_string()),
                    false => Post { id_chosen: false, ..post(&name(number), "bob", 1_000 * second as u64 + at as u64, "x") },
                })
                .collect();
            if restarts {
                drop(other);
                other = open_log(folders[1].path());
            }
            other.find(&name(wanted)).unwrap();
            let now = at(1_000 + second as u64);
            prop_assert_eq!(one.append(&posts, now).unwrap(), other.append(&posts, now).unwrap());
        }
        prop_assert_eq!(rows(&one.transactions.connection), rows(&other.transactions.connection));
    }
}

/// A room that is created after history was lost is not the one that had its number.
#[test]
fn a_restored_log_gives_other_epochs() {
    let folder = tempfile::tempdir().unwrap();
    let epoch = |restored| {
        let (mut appender, log) = open(folder.path(), SyncMode::Full, restored, Retention::default()).unwrap();
        let attic = room(if restored { "cellar" } else { "attic" });
        appender.append(&[post_without_id(&attic, "ann", "hello")], at(1)).unwrap();
        let generation: i64 =
            appender.transactions.connection.query_row(schema::GENERATION, (), |row| row.get(0)).unwrap();
        (generation, crate::server::log::Log::find(&*log, &attic).unwrap().unwrap().epoch)
    };
    let (before, after) = (epoch(false), epoch(true));
    assert!(before.0 != 0 && before.0 != after.0 && !before.1.is_same_room(after.1));
    assert_eq!(epoch(false).0, after.0);
}
