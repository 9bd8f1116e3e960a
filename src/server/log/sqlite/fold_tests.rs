//! The log as a fold: the same posts give the same rows, whatever else happens meanwhile.

use std::path::Path;
use std::time::SystemTime;

use proptest::prelude::*;
use rusqlite::Connection;
use rusqlite::types::Value;

use super::*;
use crate::names::{Body, Emoji, Mentions, RoomId, Seq, Topic};
use crate::server::log::conformance::{at, change, post, post_without_id, room};
use crate::server::log::{Act, Appended, Appender as _, Batch, Post, Retention};

/// The tables that the posts alone determine.
const TABLES: [&str; 4] = ["rooms", "segments", "ids", "reactions"];

fn open_log(folder: &Path) -> SqliteAppender {
    open(folder, SyncMode::Os, false, Retention::default()).unwrap().0
}

/// All rows of those tables.
fn rows(connection: &Connection) -> Vec<Vec<Value>> {
    let mut rows = Vec::new();
    for table in TABLES {
        let mut statement = connection.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2, 3, 4")).unwrap();
        let columns = statement.column_count();
        let row = statement.query_map((), |row| (0..columns).map(|column| row.get(column)).collect()).unwrap();
        rows.extend(row.map(Result::unwrap));
    }
    rows
}

/// What happens on the second log before a batch.
#[derive(Clone, Copy, Debug)]
enum Before {
    /// It waits, and is appended together with the next one.
    Wait,
    Restart,
    Find(u8),
}

/// The room of each post of a batch, the id of a message, or which message is changed, and what happens.
type Posts = Vec<(u8, u64, Kind)>;

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Whether the message has a chosen id.
    Message(bool),
    Edit,
    Delete,
    React(bool),
    Pin(bool),
    Topic,
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        4 => any::<bool>().prop_map(Kind::Message),
        2 => Just(Kind::Edit),
        1 => Just(Kind::Delete),
        2 => any::<bool>().prop_map(Kind::React),
        1 => any::<bool>().prop_map(Kind::Pin),
        1 => Just(Kind::Topic),
    ]
}

/// A post of the second with this number.
fn post_of((number, id, kind): (u8, u64, Kind), second: usize) -> Post {
    let (room, message) = (name(number), Seq(id));
    let act = match kind {
        // Long enough that segments are cut.
        Kind::Message(true) => return post(&room, "ann", id, &id.to_string().repeat(100)),
        Kind::Message(false) => return post_without_id(&room, "bob", "x"),
        Kind::Edit => {
            let (body, mentions) = (Body::new(format!("{second}")).unwrap(), Mentions::default());
            Act::Edit { message, body, mentions, seen: None }
        }
        Kind::Delete => Act::Delete { message, anybodys: id % 2 == 0 },
        Kind::React(removed) => Act::React { message, emoji: Emoji::new("+1").unwrap(), removed },
        Kind::Pin(removed) => Act::Pin { message, removed },
        Kind::Topic => Act::SetTopic(Topic::new(&(second % 3).to_string()).unwrap()),
    };
    change(&room, ["ann", "bob"][id as usize % 3 % 2], act)
}

/// Batches of posts to few rooms with few ids, so that many are repeated.
fn batches() -> impl Strategy<Value = Vec<(Posts, Before)>> {
    let posts = proptest::collection::vec((0..4_u8, 0..20_u64, kind()), 1..20);
    let before = prop_oneof![
        3 => Just(Before::Wait),
        1 => Just(Before::Restart),
        2 => (0..9_u8).prop_map(Before::Find),
    ];
    proptest::collection::vec((posts, before), 1..25)
}

fn name(number: u8) -> crate::names::RoomName {
    room(&format!("room-{number}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whether it gets the batches one by one or several at once, with restarts and joins in between. The numbers of rooms
    /// were given when they were joined, and their epochs were random.
    #[test]
    fn the_same_posts_give_the_same_log(batches in batches()) {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [one, mut other] = folders.each_ref().map(|folder| open_log(folder.path()));
        let mut one = one;
        let generation: i64 = one.transactions.connection.query_row(schema::GENERATION, (), |row| row.get(0)).unwrap();
        other.transactions.connection.execute(schema::SET_GENERATION, [generation]).unwrap();
        drop(other);
        other = open_log(folders[1].path());
        let (mut waiting, mut outcomes): (Vec<(Vec<Post>, SystemTime)>, _) = (Vec::new(), [Vec::new(), Vec::new()]);
        let count = batches.len();
        for (second, (posts, before)) in batches.into_iter().enumerate() {
            let posts: Vec<Post> = posts.into_iter().map(|drawn| post_of(drawn, second)).collect();
            let now = at(1_000 + second as u64);
            outcomes[0].extend(one.append(&posts, now).unwrap());
            waiting.push((posts, now));
            match before {
                Before::Wait if second + 1 < count => continue,
                Before::Restart => {
                    drop(other);
                    other = open_log(folders[1].path());
                }
                Before::Find(wanted) => drop(other.find(&name(wanted)).unwrap()),
                Before::Wait => {}
            }
            let together: Vec<_> = waiting.iter().map(|(posts, now)| Batch { posts, now: *now }).collect();
            outcomes[1].extend(other.append_batches(&together).unwrap());
            waiting.clear();
        }
        prop_assert_eq!(&outcomes[0], &outcomes[1]);
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

/// A room that the log had to look up was created again by the next batch of the transaction, if the posts of the first
/// one were repeats.
#[test]
fn a_room_is_looked_up_once_for_several_batches() {
    let folder = tempfile::tempdir().unwrap();
    let first = [post(&name(1), "ann", 1, "hello")];
    open_log(folder.path()).append(&first, at(1)).unwrap();
    let mut appender = open_log(folder.path());
    let second = [post(&name(1), "ann", 2, "again")];
    let batches = [Batch { posts: &first, now: at(2) }, Batch { posts: &second, now: at(3) }];
    let outcomes = appender.append_batches(&batches).unwrap();
    let id = RoomId(1);
    assert_eq!(outcomes, [Ok(Appended::Before(id, Seq(1))), Ok(Appended::New(id, Seq(2)))]);
}
