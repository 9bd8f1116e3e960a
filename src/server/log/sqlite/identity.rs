//! The identity of a data folder's database: which life of the log the folder expects to find in it.
//!
//! Each life of the log has a random id. It is in the database, and the file `life` in the data folder repeats it. A
//! database that was copied over `hubbub.db` by hand has another id, so the write-ahead log next to it belongs to
//! another database.
//!
//! The file also records a start or a restore in progress, so that after a kill the next start can distinguish the old
//! database from the new one. It is replaced as a whole, never changed in place.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use super::privacy;

/// The file's name in the data folder.
const NAME: &str = "life";

/// The expected identity of the folder's database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The database belongs to this life, which may have ended.
    Running { id: i64 },
    /// A start was in progress, from the life `last` to `next`. The contents of the write-ahead log may already have
    /// been copied, so it may be missing. `changed` means that the start found messages lost, so the epochs must
    /// change.
    Beginning { last: i64, next: i64, changed: bool },
    /// A restore was in progress, which replaces the database of the life `last` with one with the id `next`.
    Restoring { last: i64, next: i64 },
}

/// An id for a new life. 0 means a database without one.
pub fn random_id() -> i64 {
    fastrand::i64(1..)
}

/// The mark of a folder. `None` if it is missing or can't be read.
pub fn read(folder: &Path) -> Option<Mark> {
    parse(&fs::read_to_string(folder.join(NAME)).ok()?)
}

fn parse(text: &str) -> Option<Mark> {
    let mut words = text.split_whitespace();
    let state = words.next()?;
    let mut number = || words.next()?.parse::<i64>().ok();
    let mark = match state {
        "running" => Mark::Running { id: number()? },
        "beginning" => Mark::Beginning { last: number()?, next: number()?, changed: number()? != 0 },
        "restoring" => Mark::Restoring { last: number()?, next: number()? },
        _ => return None,
    };
    words.next().is_none().then_some(mark)
}

/// Replaces the mark. It is on the disk when this returns.
pub fn write(folder: &Path, mark: Mark) -> io::Result<()> {
    let text = match mark {
        Mark::Running { id } => format!("running {id}\n"),
        Mark::Beginning { last, next, changed } => format!("beginning {last} {next} {}\n", u8::from(changed)),
        Mark::Restoring { last, next } => format!("restoring {last} {next}\n"),
    };
    let temporary = folder.join("life.new");
    let mut file = privacy::options().write(true).create(true).truncate(true).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, folder.join(NAME))?;
    sync_folder(folder)
}

/// Makes created, renamed or removed files in a folder durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()), None);
        let marks = [
            Mark::Running { id: i64::MAX },
            Mark::Beginning { last: 0, next: 7, changed: true },
            Mark::Beginning { last: 5, next: 7, changed: false },
            Mark::Restoring { last: 1, next: 2 },
        ];
        for mark in marks {
            write(folder.path(), mark).unwrap();
            assert_eq!(read(folder.path()), Some(mark));
        }
        for text in ["", "running", "running x", "running 1 2", "beginning 1 2", "asleep 1"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
