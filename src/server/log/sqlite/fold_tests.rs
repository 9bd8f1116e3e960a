//! The log as a fold: the same commands give the same rows, whatever else happens meanwhile.

use std::path::Path;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use rusqlite::Connection;
use rusqlite::types::Value;

use super::*;
use crate::names::{Body, Emoji, Mentions, RoomId, Seq, Topic};
use crate::server::log::conformance::{at, change, post, post_without_id, room};
use crate::server::log::{Act, Appended, Appender as _, Batch, Command, Due, Post, Retention, Trim};

/// The tables that the commands alone determine.
const TABLES: [&str; 5] = ["rooms", "segments", "ids", "reactions", "expiring"];

/// Of the log that decides when to trim. The other one has no retention of its own.
const RETENTION: Retention = Retention {
    time: Some(Duration::from_secs(15)),
    messages: Some(20),
    ids: Duration::from_secs(5),
    bytes: None,
    erase_after: Duration::from_secs(60),
};

fn open_log(folder: &Path, retention: Retention) -> SqliteAppender {
    open(folder, SyncMode::Os, false, retention).unwrap().0
}

/// A command that waits.
enum Waiting {
    Posts(Vec<Post>, SystemTime),
    Trim(Trim),
    RoomsMax(usize),
}

impl Waiting {
    fn command(&self) -> Command<'_> {
        match self {
            Self::Posts(posts, now) => Command::Append(Batch { posts, now: *now }),
            Self::Trim(trim) => Command::Trim(trim),
            Self::RoomsMax(max) => Command::SetRoomsMax(*max),
        }
    }
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
    let rooms_max = connection.query_row(schema::ROOMS_MAX, (), |row| row.get(0)).unwrap();
    rows.push(vec![rooms_max]);
    rows
}

/// What happens on the second log before a batch.
#[derive(Clone, Copy, Debug)]
enum Before {
    /// It waits, and is appended together with the next one.
    Wait,
    Restart,
    Find(u8),
    /// There may be another number of rooms from then on.
    RoomsMax(usize),
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
        1 => (1..6_usize).prop_map(Before::RoomsMax),
    ];
    proptest::collection::vec((posts, before), 1..25)
}

fn name(number: u8) -> crate::names::RoomName {
    room(&format!("room-{number}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whether it gets the commands one by one or several at once, with restarts and joins in between, and whatever its own
    /// retention is. The numbers of rooms were given when they were joined, their epochs were random, and each log decided
    /// by its own clock what to trim.
    #[test]
    fn the_same_commands_give_the_same_log(batches in batches()) {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let mut one = open_log(folders[0].path(), RETENTION);
        let mut other = open_log(folders[1].path(), Retention::default());
        let generation: i64 = one.transactions.connection.query_row(schema::GENERATION, (), |row| row.get(0)).unwrap();
        other.transactions.connection.execute(schema::SET_GENERATION, [generation]).unwrap();
        drop(other);
        other = open_log(folders[1].path(), Retention::default());
        let (mut waiting, mut outcomes) = (Vec::new(), [Vec::new(), Vec::new()]);
        let count = batches.len();
        for (second, (posts, before)) in batches.into_iter().enumerate() {
            let posts: Vec<Post> = posts.into_iter().map(|drawn| post_of(drawn, second)).collect();
            let now = at(1_000 + second as u64);
            outcomes[0].extend(one.append(&posts, now).unwrap());
            waiting.push(Waiting::Posts(posts, now));
            if let Due::Now(trim) = one.due(now).unwrap() {
                one.apply(&[Command::Trim(&trim)]).unwrap();
                waiting.push(Waiting::Trim(trim));
            }
            match before {
                Before::Wait if second + 1 < count => continue,
                Before::Restart => {
                    drop(other);
                    other = open_log(folders[1].path(), Retention::default());
                }
                Before::Find(wanted) => drop(other.find(&name(wanted)).unwrap()),
                Before::RoomsMax(max) => {
                    one.apply(&[Command::SetRoomsMax(max)]).unwrap();
                    waiting.push(Waiting::RoomsMax(max));
                }
                Before::Wait => {}
            }
            let together: Vec<_> = waiting.iter().map(Waiting::command).collect();
            outcomes[1].extend(other.apply(&together).unwrap());
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
    open_log(folder.path(), Retention::default()).append(&first, at(1)).unwrap();
    let mut appender = open_log(folder.path(), Retention::default());
    let second = [post(&name(1), "ann", 2, "again")];
    let batches = [Batch { posts: &first, now: at(2) }, Batch { posts: &second, now: at(3) }];
    let outcomes = appender.apply(&batches.map(Command::Append)).unwrap();
    let id = RoomId(1);
    assert_eq!(outcomes, [Ok(Appended::Before(id, Seq(1))), Ok(Appended::New(id, Seq(2)))]);
}
