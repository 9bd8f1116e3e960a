//! Erases once the remains of deleted rows that earlier versions or other programs left in a database file.
//!
//! Done at a start, before anything has the database open, when its write-ahead log is empty: in place, since only
//! bytes that SQLite never reads are overwritten. So if this is killed, nothing has to be undone, and the next start
//! repeats it. It reads the file once, and writes the pages that contain remains. The format of the file is documented
//! with SQLite's.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::page::{self, PAGE_BYTES};
use super::privacy;

/// From this many pages on, the number at the start of an overflow page could look like a b-tree's page.
const PAGES_MAX: usize = 1 << 25;

/// How many bytes of a row are in an overflow page, after the number of the next one.
const OVERFLOW_BYTES: usize = PAGE_BYTES - 4;

type PageBytes = [u8; PAGE_BYTES];

/// The kind of a page, if known. Each page has one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Unknown,
    Free,
    Overflow,
}

struct Database {
    file: File,
    uses: Vec<Use>,
}

/// Cleans a database file. Fails without having changed anything if the file is not consistent. Returns how many pages
/// it cleaned.
pub fn clean(path: &Path) -> io::Result<u64> {
    let file = privacy::options().read(true).write(true).open(path)?;
    let mut first = [0; PAGE_BYTES];
    file.read_exact_at(&mut first, 0)?;
    let pages = (number(&first, 28) as usize).min(file.metadata()?.len() as usize / PAGE_BYTES);
    if u16::from_be_bytes([first[16], first[17]]) as usize != PAGE_BYTES || pages >= PAGES_MAX {
        return Err(inconsistent("its pages are not of the usual size, or too many"));
    }
    // Pages are numbered from 1.
    let mut database = Database { file, uses: vec![Use::Unknown; pages + 1] };
    let trunks = database.find_free(number(&first, 32), number(&first, 36))?;
    let tails = database.find_tails()?;
    let mut cleaned = 0;
    for number in 1..=pages {
        let is_clean = match database.uses[number] {
            Use::Free if !trunks.contains(&(number as u32)) => database.rewrite(number, |page| page.fill(0))?,
            Use::Free => database.rewrite(number, |page| {
                let used = 8 + 4 * self::number(page, 4) as usize;
                page[used..].fill(0);
            })?,
            Use::Overflow => true,
            Use::Unknown => database.rewrite(number, |page| {
                page::erase_unused(page, page::header_at(number as u64 - 1));
            })?,
        };
        cleaned += u64::from(!is_clean);
    }
    for (number, used) in tails {
        cleaned += u64::from(!database.rewrite(number, |page| page[4 + used..].fill(0))?);
    }
    database.file.sync_all()?;
    Ok(cleaned)
}

impl Database {
    fn read(&self, number: usize) -> io::Result<PageBytes> {
        let mut page = [0; PAGE_BYTES];
        self.file.read_exact_at(&mut page, ((number - 1) * PAGE_BYTES) as u64)?;
        Ok(page)
    }

    /// Changes a page, and writes it if it differs. Returns whether it does not.
    fn rewrite(&self, number: usize, change: impl FnOnce(&mut PageBytes)) -> io::Result<bool> {
        let before = self.read(number)?;
        let mut page = before;
        change(&mut page);
        if page != before {
            self.file.write_all_at(&page, ((number - 1) * PAGE_BYTES) as u64)?;
        }
        Ok(page == before)
    }

    /// Records the kind of a page. It must be in the file, and have no other kind.
    fn claim(&mut self, number: u32, is: Use) -> io::Result<usize> {
        let index = number as usize;
        // The first page is never any of these.
        match self.uses.get_mut(index) {
            Some(place @ Use::Unknown) if index > 1 => *place = is,
            _ => return Err(inconsistent("a page is used twice, or is missing")),
        }
        Ok(index)
    }

    /// Records the free pages. Returns those that list others.
    fn find_free(&mut self, mut trunk: u32, count: u32) -> io::Result<Vec<u32>> {
        let (mut trunks, mut found) = (Vec::new(), 0);
        while trunk != 0 {
            let index = self.claim(trunk, Use::Free)?;
            let page = self.read(index)?;
            let leaves = number(&page, 4) as usize;
            if leaves > PAGE_BYTES / 4 - 2 {
                return Err(inconsistent("the list of free pages"));
            }
            for leaf in 0..leaves {
                self.claim(number(&page, 8 + 4 * leaf), Use::Free)?;
            }
            found += 1 + leaves as u32;
            trunks.push(trunk);
            trunk = number(&page, 0);
        }
        if found == count { Ok(trunks) } else { Err(inconsistent("the number of free pages")) }
    }

    /// Records the overflow pages of all rows. Returns the last one of each row, and how many of its bytes the row
    /// uses.
    fn find_tails(&mut self) -> io::Result<Vec<(usize, usize)>> {
        let mut tails = Vec::new();
        for index in 1..self.uses.len() {
            if self.uses[index] == Use::Free {
                continue;
            }
            // An overflow page has no rows: its first byte is 0, as the file has fewer pages.
            for (mut next, mut bytes) in rows(&self.read(index)?, page::header_at(index as u64 - 1))? {
                loop {
                    let overflow = self.claim(next, Use::Overflow)?;
                    next = number(&self.read(overflow)?, 0);
                    if bytes <= OVERFLOW_BYTES {
                        tails.push((overflow, bytes));
                        break;
                    }
                    bytes -= OVERFLOW_BYTES;
                }
                if next != 0 {
                    return Err(inconsistent("a row continues after its end"));
                }
            }
        }
        Ok(tails)
    }
}

/// The rows of a page that continue elsewhere: the first overflow page of each, and how many bytes follow from there
/// on.
fn rows(page: &PageBytes, header: usize) -> io::Result<Vec<(u32, usize)>> {
    let kind = page[header];
    let (header_bytes, local_max) = match kind {
        2 | 10 => (if kind == 2 { 12 } else { 8 }, (PAGE_BYTES - 12) * 64 / 255 - 23),
        13 => (8, PAGE_BYTES - 35),
        _ => return Ok(Vec::new()),
    };
    let local_min = (PAGE_BYTES - 12) * 32 / 255 - 23;
    let mut rows = Vec::new();
    for cell in 0..usize::from(u16::from_be_bytes([page[header + 3], page[header + 4]])) {
        let row = || {
            let at = page.get(header + header_bytes + 2 * cell..)?.first_chunk::<2>()?;
            let mut at = usize::from(u16::from_be_bytes(*at)) + if kind == 2 { 4 } else { 0 };
            let bytes = varint(page, &mut at)? as usize;
            if kind == 13 {
                varint(page, &mut at)?;
            }
            if bytes <= local_max {
                return Some(None);
            }
            let local = local_min + (bytes - local_min) % OVERFLOW_BYTES;
            let local = if local <= local_max { local } else { local_min };
            let first = page.get(at + local..)?.first_chunk::<4>()?;
            Some(Some((u32::from_be_bytes(*first), bytes - local)))
        };
        rows.extend(row().ok_or_else(|| inconsistent("a row does not fit its page"))?);
    }
    Ok(rows)
}

/// A number of one to nine bytes, as SQLite packs them.
fn varint(page: &PageBytes, at: &mut usize) -> Option<u64> {
    let mut value = 0;
    for index in 0..9 {
        let byte = u64::from(*page.get(*at)?);
        *at += 1;
        if index == 8 {
            return Some(value << 8 | byte);
        }
        value = value << 7 | (byte & 0x7f);
        if byte < 0x80 {
            break;
        }
    }
    Some(value)
}

fn number(page: &PageBytes, at: usize) -> u32 {
    u32::from_be_bytes([page[at], page[at + 1], page[at + 2], page[at + 3]])
}

fn inconsistent(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("it is not consistent: {what}"))
}
