//! `hubbub-server stats`: how large the log is, how it grows, and which rooms are the largest.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use hubbub::arguments::{OUTPUT, number, switch};
use hubbub::escape::escape_name;
use hubbub::server::log::clock::date;
use hubbub::server::log::sqlite::{self, BackupError, Growth, RoomStatistics, Statistics};
use hubbub::server::search::place::FILE as INDEX;
use indicatif::{DecimalBytes, HumanCount};
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr as _;

use crate::words::{complain, counted};

/// How many rooms are printed by default.
const TOP: usize = 10;

/// The files of the data folder whose sizes are printed.
const DATABASE: &str = "hubbub.db";
const WRITE_AHEAD_LOG: &str = "hubbub.db-wal";

pub const EXAMPLES: &str = "\
Examples:
  hubbub-server stats                      the log in ./hubbub-data
  hubbub-server stats --top 3 --data /var/lib/hubbub
  hubbub-server stats --json --all | jq '.largest[].room'";

/// What to print.
#[derive(Debug, clap::Args)]
pub struct StatsOptions {
    /// Print N rooms, the largest first
    #[arg(
        long, value_name = "N", default_value_t = TOP, value_parser = number(0_usize..), help_heading = OUTPUT,
        display_order = 58
    )]
    top: usize,
    /// Print all rooms
    ///
    /// Takes about 200 bytes of memory for each.
    #[arg(long, conflicts_with = "top", help_heading = OUTPUT, display_order = 59)]
    all: bool,
    /// Print one JSON object
    #[arg(long, env = "HUBBUB_JSON", value_parser = switch, help_heading = OUTPUT, display_order = 60)]
    json: bool,
}

/// The largest rooms so far, and the sum of all.
struct Largest {
    max: usize,
    /// The smallest of them is on top.
    rooms: BinaryHeap<Reverse<Sized>>,
    count: u64,
    unreadable: u64,
    all: Statistics,
}

/// A room in the order of sizes; of rooms with the same size, the first name is the largest.
struct Sized {
    name: String,
    statistics: Statistics,
}

impl Sized {
    fn rank(&self) -> (u64, Reverse<&str>) {
        (self.statistics.bytes, Reverse(&self.name))
    }
}

impl Ord for Sized {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl PartialOrd for Sized {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Sized {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Sized {}

impl Largest {
    fn new(max: usize) -> Self {
        Self { max, rooms: BinaryHeap::new(), count: 0, unreadable: 0, all: Statistics::default() }
    }

    fn add(&mut self, RoomStatistics { name, statistics }: RoomStatistics) {
        self.count += 1;
        let Some(statistics) = statistics else {
            self.unreadable += 1;
            return;
        };
        self.all += statistics;
        self.rooms.push(Reverse(Sized { name, statistics }));
        if self.rooms.len() > self.max {
            self.rooms.pop();
        }
    }

    /// The largest first.
    fn sorted(&mut self) -> Vec<Sized> {
        // `Reverse` turns the order around.
        std::mem::take(&mut self.rooms).into_sorted_vec().into_iter().map(|Reverse(room)| room).collect()
    }
}

/// The sizes of files, in bytes; 0 for one that is missing.
struct Files {
    database: u64,
    write_ahead_log: u64,
    index: u64,
}

impl Files {
    fn of(data: &Path) -> Self {
        let size = |name: &str| fs::metadata(data.join(name)).map_or(0, |file| file.len());
        let index = size(INDEX) + size(&format!("{INDEX}-wal"));
        Self { database: size(DATABASE), write_ahead_log: size(WRITE_AHEAD_LOG), index }
    }
}

/// Prints the statistics of a folder.
pub fn run(options: &StatsOptions, data: &Path) -> anyhow::Result<ExitCode> {
    let mut largest = Largest::new(if options.all { usize::MAX } else { options.top });
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    sqlite::statistics(data, now_ms, |room| {
        largest.add(room);
        Ok::<_, BackupError>(())
    })?;
    let files = Files::of(data);
    let rooms = largest.sorted();
    let mut out = BufWriter::new(io::stdout().lock());
    let printed = match options.json {
        true => writeln!(out, "{}", as_json(data, &largest, &files, &rooms)),
        false => print(&mut out, &largest, &files, &rooms),
    };
    match printed.and_then(|()| out.flush()) {
        // The reader needs no more.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        printed => printed.context("can't write the statistics")?,
    }
    if largest.unreadable > 0 {
        complain(&format!("{} can't be read: run hubbub-server verify", counted(largest.unreadable, "room")));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn as_json(data: &Path, largest: &Largest, files: &Files, rooms: &[Sized]) -> Value {
    let growth = |growth: &Growth| json!({ "messages": growth.messages, "bytes": growth.bytes });
    let contents = |of: &Statistics| {
        json!({
            "messages": of.messages, "bytes": of.bytes, "ids": of.ids,
            "oldest": of.oldest_ms.map(date), "newest": of.newest_ms.map(date),
            "last_day": growth(&of.day), "last_week": growth(&of.week)
        })
    };
    let mut object =
        json!({ "data": data.to_string_lossy(), "rooms": largest.count, "unreadable_rooms": largest.unreadable });
    let merge = |object: &mut Value, more: Value| {
        if let (Value::Object(object), Value::Object(more)) = (object, more) {
            object.extend(more);
        }
    };
    merge(&mut object, contents(&largest.all));
    let list: Vec<_> = rooms
        .iter()
        .map(|room| {
            let mut object = json!({ "room": room.name });
            merge(&mut object, contents(&room.statistics));
            object
        })
        .collect();
    let files = json!({ "database": files.database, "write_ahead_log": files.write_ahead_log, "index": files.index });
    merge(&mut object, json!({ "files": files, "largest": list }));
    object
}

fn print(out: &mut impl Write, largest: &Largest, files: &Files, rooms: &[Sized]) -> io::Result<()> {
    let all = &largest.all;
    let time = |time_ms: Option<u64>| time_ms.map_or_else(|| "-".to_owned(), date);
    let added = |growth: &Growth| format!("{} messages, {}", HumanCount(growth.messages), DecimalBytes(growth.bytes));
    let a_day = Growth { messages: all.week.messages / 7, bytes: all.week.bytes / 7 };
    let (write_ahead_log, index) = (DecimalBytes(files.write_ahead_log), DecimalBytes(files.index));
    for (what, value) in [
        ("rooms", HumanCount(largest.count).to_string()),
        ("messages", HumanCount(all.messages).to_string()),
        ("bytes", format!("{} (messages as they are stored)", DecimalBytes(all.bytes))),
        ("ids", HumanCount(all.ids).to_string()),
        ("oldest", time(all.oldest_ms)),
        ("newest", time(all.newest_ms)),
        ("last day", added(&all.day)),
        ("last week", format!("{}; a day: {}", added(&all.week), added(&a_day))),
        ("database", format!("{}, and its write-ahead log {write_ahead_log}", DecimalBytes(files.database))),
        ("index", if files.index == 0 { "none".to_owned() } else { index.to_string() }),
    ] {
        writeln!(out, "{what:<10} {value}")?;
    }
    if rooms.is_empty() {
        return Ok(());
    }
    let head = ["messages", "bytes", "last day", "newest", "room"].map(str::to_owned);
    let rows = rooms.iter().map(|Sized { name, statistics }| {
        [
            HumanCount(statistics.messages).to_string(),
            DecimalBytes(statistics.bytes).to_string(),
            DecimalBytes(statistics.day.bytes).to_string(),
            time(statistics.newest_ms),
            escape_name(name).into_owned(),
        ]
    });
    writeln!(out)?;
    print_rows(out, &std::iter::once(head).chain(rows).collect::<Vec<_>>())?;
    let left_out = largest.count - largest.unreadable - rooms.len() as u64;
    if left_out > 0 {
        writeln!(out, "and {} more: --top N and --all print them", counted(left_out, "room"))?;
    }
    Ok(())
}

/// Prints rows: columns of numbers are flush right, and the last column is as wide as it is.
fn print_rows<const N: usize>(out: &mut impl Write, rows: &[[String; N]]) -> io::Result<()> {
    let mut widths = [0; N];
    for row in rows {
        widths.iter_mut().zip(row).for_each(|(width, cell)| *width = (*width).max(cell.width()));
    }
    for row in rows {
        let mut line = String::new();
        for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
            if at + 1 < N {
                line.extend(std::iter::repeat_n(' ', width - cell.width()));
            }
            line.push_str(cell);
            line.push_str(if at + 1 < N { "  " } else { "\n" });
        }
        out.write_all(line.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str, bytes: u64) -> RoomStatistics {
        let statistics = Statistics { messages: 1, bytes, oldest_ms: Some(bytes), ..Statistics::default() };
        RoomStatistics { name: name.to_owned(), statistics: Some(statistics) }
    }

    #[test]
    fn the_largest_rooms_are_kept_in_their_order() {
        let mut largest = Largest::new(3);
        for (name, bytes) in [("b", 5), ("a", 5), ("small", 1), ("big", 900), ("c", 5)] {
            largest.add(room(name, bytes));
            assert!(largest.rooms.len() <= 3);
        }
        largest.add(RoomStatistics { name: "broken".to_owned(), statistics: None });
        assert_eq!((largest.count, largest.unreadable, largest.all.bytes), (6, 1, 916));
        assert_eq!((largest.all.messages, largest.all.oldest_ms), (5, Some(1)));
        let names: Vec<_> = largest.sorted().into_iter().map(|room| room.name).collect();
        assert_eq!(names, ["big", "a", "b"]);
    }

    #[test]
    fn columns_are_aligned_by_what_is_shown() {
        let rows = [["messages", "room"], ["7", "茶室"], ["1,234", "tea"]].map(|row| row.map(str::to_owned));
        let mut out = Vec::new();
        print_rows(&mut out, &rows).unwrap();
        let expected = "messages  room\n       7  茶室\n   1,234  tea\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
