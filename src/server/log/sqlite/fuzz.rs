//! The decoders of files, for [`crate::fuzz`].

use std::path::PathBuf;
use std::{env, fs, process};

use rusqlite::{Connection, OpenFlags};

use super::clean::clean;
use super::expiring::{pack, unpack};
use super::page::{PAGE_BYTES, erase_unused};
use super::recovery::{Log, parse_index, parse_log};
use crate::wire::event;

/// The packed ids of deleted messages are the ids in their entries.
pub fn ids(input: &[u8]) {
    let (count, packed) = pack(input);
    assert_eq!(unpack(&packed).count() as u64, count);
    let messages = event::entries(input).map_while(Result::ok).filter_map(|(entry, _)| entry.message());
    let chosen: Vec<_> = messages.filter(|message| message.id.is_chosen()).collect();
    let ids = unpack(&packed).map(|(id, sender, _)| (id, sender));
    assert!(ids.eq(chosen.iter().map(|message| (message.id.as_bytes().as_slice(), message.sender))));
    // What a damaged row contains is read as far as possible.
    assert!(unpack(input).count() <= input.len() / 26);
}

pub fn write_ahead_log(input: &[u8]) {
    if let Log::Frames(frames) = parse_log(input) {
        assert!((frames.valid + frames.commits_beyond) as usize <= input.len() / (24 + 512));
    }
    if let Some(header) = input.first_chunk() {
        let _ = parse_index(header);
    }
}

pub fn logs() -> Vec<Vec<u8>> {
    let mut index = [0; 48];
    index[..4].copy_from_slice(&3_007_000_u32.to_ne_bytes());
    (index[12], index[16]) = (1, 2);
    vec![write_ahead(), index.repeat(2)]
}

/// Erasing the unused bytes of a page a second time changes nothing.
pub fn page(input: &[u8]) {
    let mut page = input.to_vec();
    for header in [0, 100] {
        erase_unused(&mut page, header);
        let erased = page.clone();
        erase_unused(&mut page, header);
        assert!(erased == page);
    }
}

pub fn pages() -> Vec<Vec<u8>> {
    small_database().chunks(PAGE_BYTES).map(<[u8]>::to_vec).collect()
}

/// Erasing the remains of deleted rows changes no row of a database that SQLite finds sound, and is done at once.
pub fn database(input: &[u8]) {
    let file = TemporaryFile::new(input);
    let before = file.contents();
    let is_sound = before.as_deref().is_ok_and(|rows| rows.first().is_some_and(|row| row == "ok"));
    if clean(&file.0).is_ok() && is_sound {
        assert_eq!(file.contents(), before);
        assert_eq!(clean(&file.0).expect("it was cleaned before"), 0);
    }
}

pub fn databases() -> Vec<Vec<u8>> {
    vec![small_database()]
}

/// A file that is removed on drop.
struct TemporaryFile(PathBuf);

impl TemporaryFile {
    fn new(contents: &[u8]) -> Self {
        let path = env::temp_dir().join(format!("database-{}", process::id()));
        fs::write(&path, contents).expect("the folder for temporary files can be written");
        Self(path)
    }

    /// SQLite's findings, and all that it reads.
    fn contents(&self) -> Result<Vec<String>, String> {
        let read = || {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(format!("file:{}?immutable=1", self.0.display()), flags)?;
            let mut found = Vec::new();
            for query in ["PRAGMA integrity_check(1)", "SELECT quote(sql) FROM sqlite_schema", ROWS] {
                let mut statement = connection.prepare(query)?;
                let rows = statement.query_map((), |row| row.get::<_, String>(0))?;
                found.extend(rows.collect::<rusqlite::Result<Vec<_>>>()?);
            }
            Ok(found)
        };
        read().map_err(|error: rusqlite::Error| error.to_string())
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

const ROWS: &str = "SELECT quote(key) || quote(entries) FROM segments";

/// A database with rows of one page and of several, an index, free pages, and remains of deleted rows.
fn small_database() -> Vec<u8> {
    const FILL: &str = "
        PRAGMA journal_mode = OFF;
        CREATE TABLE segments (key INTEGER PRIMARY KEY, entries BLOB NOT NULL);
        CREATE TABLE ids (id BLOB, sender TEXT, PRIMARY KEY (id, sender)) WITHOUT ROWID;
        CREATE INDEX senders ON ids (sender);
        WITH RECURSIVE n (n) AS (SELECT 1 UNION SELECT n + 1 FROM n WHERE n < 9)
            INSERT INTO segments SELECT n, zeroblob(900 * n) FROM n;
        INSERT INTO ids SELECT zeroblob(16 + key), 'ann' FROM segments;
        DELETE FROM segments WHERE key % 3 = 0;
        DELETE FROM ids WHERE length(id) % 2 = 0;";
    let file = TemporaryFile::new(&[]);
    let filled = Connection::open(&file.0).and_then(|connection| connection.execute_batch(FILL));
    filled.expect("SQLite can make a database");
    fs::read(&file.0).expect("it is there")
}

/// The write-ahead log of a small transaction.
fn write_ahead() -> Vec<u8> {
    // A log without frames: its header, with SQLite's number for little-endian checksums, and pages of 512 bytes.
    let mut header = Vec::new();
    for word in [0x377f_0682_u32, 3_007_000, 512, 1, 7, 8] {
        header.extend(word.to_be_bytes());
    }
    let (a, b) = super::recovery::checksum((0, 0), &header, false);
    let (mut log, mut sum) = (header, (a, b));
    log.extend([a.to_be_bytes(), b.to_be_bytes()].concat());
    for (page, size) in [(1_u32, 0_u32), (2, 2), (1, 2)] {
        let start = [page.to_be_bytes(), size.to_be_bytes()].concat();
        let contents = [page as u8; 512];
        sum = super::recovery::checksum(super::recovery::checksum(sum, &start, false), &contents, false);
        log.extend([&start[..], &7_u32.to_be_bytes(), &8_u32.to_be_bytes()].concat());
        log.extend([sum.0.to_be_bytes(), sum.1.to_be_bytes()].concat());
        log.extend(contents);
    }
    log
}
