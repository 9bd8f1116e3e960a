//! The write-ahead log's file: laid out before use, and erased after.
//!
//! A commit that overwrites a file is one write to the disk. A commit that makes the file longer also makes the file
//! system change the file's metadata, and wait for that: measured on ext4, a single commit took 360 µs instead of 200
//! µs.
//!
//! SQLite overwrites the file from its beginning when all of it is copied, and never reads beyond its last commit. Old
//! contents stay there until they are overwritten.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::files::beside;
use super::page::PAGE_BYTES;
use super::privacy;
use crate::limits::{WAL_BYTES_LAID_OUT, WAL_CHUNK_BYTES};

/// The size of the log's header, and of a frame, which is a page with a header: as documented with SQLite's formats.
const HEADER_BYTES: u64 = 32;
pub const FRAME_BYTES: u64 = 24 + PAGE_BYTES as u64;

static ZEROS: [u8; WAL_CHUNK_BYTES] = [0; WAL_CHUNK_BYTES];

/// Fills the file with zeros, which SQLite treats as an empty log. Does not change a log that is not empty, and leaves
/// it empty if the disk has no space: laying out is only an optimization.
pub fn lay_out(database: &Path) {
    let path = path(database);
    if path.metadata().is_ok_and(|file| file.len() > 0) {
        return;
    }
    let Ok(mut file) = privacy::options().write(true).create(true).truncate(false).open(path) else { return };
    if let Err(fault) = fill(&mut file) {
        log::warn!("commits will take longer, because there is no space to lay out the write-ahead log: {fault}");
        let _ = file.set_len(0);
    }
}

/// How long the file is, 0 if there is none.
pub fn bytes(database: &Path) -> u64 {
    path(database).metadata().map_or(0, |file| file.len())
}

/// Opens the file to erase in it.
pub fn open(database: &Path) -> io::Result<File> {
    privacy::options().read(true).write(true).open(path(database))
}

/// Overwrites everything after the first frames with zeros, and releases the space beyond the file's usual length.
/// During the call nothing may be written to the log, and no reader may use those frames.
pub fn erase_after(log: &File, frames: u64) -> io::Result<()> {
    let start = HEADER_BYTES + frames * FRAME_BYTES;
    let length_max = start.max(WAL_BYTES_LAID_OUT as u64);
    let mut length = log.metadata()?.len();
    if length > length_max {
        log.set_len(length_max)?;
        length = length_max;
    }
    // Not on the stack, which is small.
    let mut chunk = vec![0; WAL_CHUNK_BYTES];
    let mut at = start;
    while at < length {
        let bytes = WAL_CHUNK_BYTES.min((length - at) as usize);
        log.read_exact_at(&mut chunk[..bytes], at)?;
        if chunk[..bytes] != ZEROS[..bytes] {
            log.write_all_at(&ZEROS[..bytes], at)?;
        }
        at += bytes as u64;
    }
    Ok(())
}

/// The name that SQLite gives the file.
fn path(database: &Path) -> PathBuf {
    beside(database, "-wal")
}

fn fill(file: &mut File) -> io::Result<()> {
    for _ in 0..WAL_BYTES_LAID_OUT / ZEROS.len() {
        file.write_all(&ZEROS)?;
    }
    file.sync_all()
}
