//! The checks of a start before SQLite opens the database: whether the write-ahead log belongs to the database, and
//! whether it is complete.
//!
//! SQLite recovers a write-ahead log up to the first invalid frame, and does not report later frames, because after a
//! power cut an invalid frame is the normal end. It also applies a log to any database next to it. Both silently lose
//! acknowledged messages, so this checks first:
//!
//! - The database file alone, without its log, identifies its life. If the folder expects another
//!   ([`super::identity`]), a log with frames belongs to another database, and the start is refused.
//! - After a kill on the same boot of the machine, SQLite's index of the log (`hubbub.db-shm`) has survived and
//!   contains the number of committed frames. SQLite counts frames there after writing them, so fewer valid frames in
//!   the log mean damage.
//! - Without that index (a copied folder, or another boot), a life that did not end and left no log has lost it. Frames
//!   of the same log beyond the last valid one are damage if they include two or more commits: each commit is synced
//!   before the next is written, so a power cut tears only the last one. A log that was truncated exactly at a commit
//!   can't be distinguished from a complete one then.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::errors::OpenError;
use super::files::beside;
use super::identity::{self, Mark};

/// The system's boot id: a text that changes with each start of the machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The findings for the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The id of the last life, 0 if the database has none.
    pub last: i64,
    /// Acknowledged messages are missing, or the database is another one: epochs must change.
    pub changed: bool,
    /// The id of the life that has changed the epochs, if the database has already begun it.
    pub begun: Option<i64>,
    /// The database was replaced by hand.
    pub replaced: bool,
    /// The database was replaced by hand, or its last life did not end cleanly: it should be checked.
    pub doubtful: bool,
}

/// The system's boot id, empty if it has none.
pub fn boot_id() -> String {
    fs::read_to_string(BOOT_ID).unwrap_or_default()
}

/// Inspects a folder that is locked, before anything opens its database. Finishes a restore that was killed.
pub fn inspect(folder: &Path, database: &Path) -> Result<Findings, OpenError> {
    let mark = identity::read(folder);
    let (log, index) = (beside(database, "-wal"), beside(database, "-shm"));
    if fs::metadata(database).map_or(0, |file| file.len()) == 0 {
        return match mark {
            None | Some(Mark::Beginning { last: 0, .. } | Mark::Restoring { last: 0, .. })
                if !matches!(read_log(&log), Log::Frames(_)) =>
            {
                Ok(Findings::default())
            }
            _ => Err(OpenError::Missing { path: database.to_owned() }),
        };
    }
    // Read errors are reported when the database is opened.
    let Some(main) = read_life(database) else {
        return Ok(Findings { doubtful: true, ..Findings::default() });
    };
    let id = main.id.unwrap_or(0);
    let mut findings = Findings { last: id, ..Findings::default() };
    let own = match mark {
        None => true,
        Some(Mark::Running { id: expected }) => id == expected,
        Some(Mark::Beginning { last, next, changed }) => {
            findings.changed = changed;
            findings.begun = Some(next);
            id == last || id == next
        }
        Some(Mark::Restoring { last, next }) => {
            if id == next {
                let cleared = remove(&log).and_then(|()| remove(&index)).and_then(|()| identity::sync_folder(folder));
                cleared.map_err(|fault| OpenError::Folder { path: folder.to_owned(), fault })?;
            }
            id == last || id == next
        }
    };
    if !own {
        if matches!(read_log(&log), Log::Frames(_)) {
            return Err(OpenError::ForeignLog { path: database.to_owned(), log });
        }
        log::warn!("{} is not the database that this folder had last: it is treated as restored", database.display());
        return Ok(Findings { last: id, changed: true, replaced: true, begun: None, doubtful: true });
    }
    if !main.ended {
        findings.doubtful = true;
        let may_be_copied = matches!(mark, Some(Mark::Beginning { .. }));
        if main.id.is_some()
            && let Some(loss) = find_loss(&main.boot, &log, &index, may_be_copied)
        {
            log::error!(
                "{}: {loss}; acknowledged messages are lost, and clients learn which; a backup may have them",
                log.display()
            );
            findings.changed = true;
            findings.begun = None;
        }
    }
    Ok(findings)
}

/// Removes a file, if it exists.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The id in a database file, 0 if it has none or is missing.
pub fn life_id(database: &Path) -> i64 {
    if fs::metadata(database).map_or(0, |file| file.len()) == 0 {
        return 0;
    }
    read_life(database).and_then(|life| life.id).unwrap_or(0)
}

/// The last life in the database file.
#[derive(Debug)]
struct Life {
    id: Option<i64>,
    ended: bool,
    boot: String,
}

/// Reads the database file alone, without its write-ahead log. A part of the log may have been copied into the file
/// already, so the rest may be inconsistent; each life's row is copied before any other data of that life. `None` if it
/// can't be read.
fn read_life(database: &Path) -> Option<Life> {
    let mut uri = "file:".to_owned();
    for &byte in database.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'/' {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02x}"));
        }
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(uri, flags).ok()?;
    let life = connection.query_row("SELECT id, ended, boot FROM life", (), |row| {
        Ok(Life { id: row.get(0)?, ended: row.get(1)?, boot: row.get(2)? })
    });
    match life {
        Ok(life) => Some(life),
        // A version without ids: its write-ahead log can't be checked, so it counts as ended.
        Err(_) => {
            connection.query_row("SELECT count(*) FROM rooms", (), |row| row.get::<_, i64>(0)).ok()?;
            Some(Life { id: None, ended: true, boot: String::new() })
        }
    }
}

/// What is missing from the write-ahead log of a life that did not end, if known.
fn find_loss(boot: &str, log: &Path, index: &Path, may_be_copied: bool) -> Option<String> {
    let found = read_log(log);
    if may_be_copied && matches!(found, Log::Missing | Log::Empty | Log::Zeros) {
        return None;
    }
    let committed = if boot.is_empty() || boot != boot_id() { None } else { read_index(index) };
    match (committed, found) {
        (Some(Index { frames: 0, .. }), _) | (None, Log::Zeros) => None,
        (_, Log::Missing) => Some("it is missing, although the last server did not stop cleanly".to_owned()),
        (_, Log::Empty | Log::Zeros) => Some("it is empty, although the last server did not stop cleanly".to_owned()),
        (_, Log::Invalid) => Some("it is damaged at its beginning".to_owned()),
        (Some(index), Log::Frames(frames)) => {
            let valid = if frames.salts == index.salts { frames.valid } else { 0 };
            (valid < index.frames)
                .then(|| format!("it is damaged or truncated: {valid} of {} written pages can be read", index.frames))
        }
        (None, Log::Frames(frames)) => (frames.commits_beyond >= 2).then(|| {
            format!(
                "it is damaged: {} commits follow the {} pages that can be read",
                frames.commits_beyond, frames.valid
            )
        }),
    }
}

/// The contents of SQLite's index of the log.
pub struct Index {
    /// How many frames were committed since the log was restarted.
    frames: u32,
    salts: [u8; 8],
}

/// Reads the index, a file in shared memory, whose format is documented with SQLite's. `None` if it is missing or was
/// being changed: it begins with two copies of the same 48 bytes.
fn read_index(path: &Path) -> Option<Index> {
    let mut header = [0; 96];
    File::open(path).ok()?.read_exact(&mut header).ok()?;
    parse_index(&header)
}

pub fn parse_index(header: &[u8; 96]) -> Option<Index> {
    let (first, second) = header.split_at(48);
    let word = |at: usize| u32::from_ne_bytes([first[at], first[at + 1], first[at + 2], first[at + 3]]);
    let is_valid = first == second && word(0) == 3_007_000 && first[12] == 1;
    is_valid.then(|| Index { frames: word(16), salts: first[32..40].try_into().expect("eight bytes") })
}

/// The contents of the write-ahead log's file.
#[derive(Debug, PartialEq, Eq)]
pub enum Log {
    Missing,
    Empty,
    /// Laid out, and not used yet.
    Zeros,
    /// It does not begin like a log.
    Invalid,
    Frames(Frames),
}

#[derive(Debug, PartialEq, Eq)]
pub struct Frames {
    salts: [u8; 8],
    /// How many frames are valid from the beginning on, up to the last commit among them.
    pub valid: u32,
    /// How many commits of the same log follow.
    pub commits_beyond: u32,
}

fn read_log(path: &Path) -> Log {
    match File::open(path) {
        Err(_) => Log::Missing,
        Ok(_) if fs::metadata(path).is_ok_and(|file| file.len() == 0) => Log::Empty,
        Ok(file) => parse_log(BufReader::with_capacity(1 << 16, file)),
    }
}

/// Reads a log that is not empty. Its format is documented with SQLite's.
pub fn parse_log(mut file: impl Read) -> Log {
    let mut header = [0; 32];
    if file.read_exact(&mut header).is_err() {
        return Log::Invalid;
    }
    if header == [0; 32] {
        return Log::Zeros;
    }
    let word = |bytes: &[u8], at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let page = word(&header, 8) as usize;
    let big_endian = match word(&header, 0) {
        0x377f_0682 => false,
        0x377f_0683 => true,
        _ => return Log::Invalid,
    };
    let mut sum = checksum((0, 0), &header[..24], big_endian);
    if sum != (word(&header, 24), word(&header, 28)) || !(512..=65_536).contains(&page) {
        return Log::Invalid;
    }
    let salts: [u8; 8] = header[16..24].try_into().expect("eight bytes");
    let mut frames = Frames { salts, valid: 0, commits_beyond: 0 };
    let mut frame = vec![0; 24 + page];
    let (mut count, mut is_valid) = (0, true);
    while file.read_exact(&mut frame).is_ok() {
        let is_same = frame[8..16] == salts;
        let is_commit = word(&frame, 4) != 0;
        if is_valid {
            let next = checksum(checksum(sum, &frame[..8], big_endian), &frame[24..], big_endian);
            is_valid = is_same && next == (word(&frame, 16), word(&frame, 20));
            sum = next;
        }
        if is_valid {
            count += 1;
            if is_commit {
                frames.valid = count;
            }
        } else if is_same && is_commit {
            frames.commits_beyond += 1;
        }
    }
    Log::Frames(frames)
}

/// The log's checksum, which is cumulative over the frames. Its format is documented with SQLite's.
pub fn checksum((mut a, mut b): (u32, u32), bytes: &[u8], big_endian: bool) -> (u32, u32) {
    for words in bytes.chunks_exact(8) {
        let word = |at: usize| {
            let bytes = [words[at], words[at + 1], words[at + 2], words[at + 3]];
            if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
        };
        a = a.wrapping_add(word(0)).wrapping_add(b);
        b = b.wrapping_add(word(4)).wrapping_add(a);
    }
    (a, b)
}
