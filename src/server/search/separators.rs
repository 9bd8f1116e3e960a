//! Erases removed words from the table by which FTS5 finds the page of a word.
//!
//! For each page of a segment, `words_idx` has a separator, which sorts after all words of the previous pages and not
//! after the first word of this page: a prefix of the word that was first when the page was written. FTS5 removes a
//! word from its page, but keeps the separator. So after a removal, a separator that is a prefix of a removed word is
//! replaced by the word that is now the first of the page. The format of pages is documented in FTS5's source
//! (`fts5_index.c`).

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension as _, Row};

use super::fault::Fault;
use super::schema;

/// The byte with which FTS5 begins the words of its main index, as opposed to those of prefixes.
const MAIN: u8 = b'0';

/// How many bits of a page's id are below the number of its segment.
const PAGE_BITS: u32 = 37;

/// Erases words that were removed in this transaction. Returns whether all are: a page that is not as expected is left
/// alone.
pub fn erase(connection: &Connection, removed: &BTreeSet<String>) -> Result<bool, Fault> {
    // FTS5 buffers removals until this statement.
    connection.execute(schema::FLUSH, ())?;
    let segments: Vec<i64> = {
        let mut statement = connection.prepare_cached(schema::SEGMENTS)?;
        let segments = statement.query_map((), |row| row.get(0))?;
        segments.collect::<rusqlite::Result<_>>()?
    };
    let mut all = true;
    for word in removed {
        let mut term = vec![MAIN];
        term.extend_from_slice(word.as_bytes());
        for segment in &segments {
            all &= erase_from(connection, *segment, &term)?;
        }
    }
    Ok(all)
}

fn erase_from(connection: &Connection, segment: i64, term: &[u8]) -> Result<bool, Fault> {
    let separator = |row: &Row<'_>| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, i64>(1)?));
    let mut statement = connection.prepare_cached(schema::SEPARATOR)?;
    let Some((separator, page)) = statement.query_row((segment, term), separator).optional()? else {
        return Ok(true);
    };
    if separator.len() <= 1 || !term.starts_with(&separator) {
        return Ok(true);
    }
    // The lowest bit of the number is a flag.
    let id = (segment << PAGE_BITS) + (page >> 1);
    let page: Option<Vec<u8>> =
        connection.prepare_cached(schema::SEGMENT_PAGE)?.query_row([id], |row| row.get(0)).optional()?;
    match page.as_deref().and_then(first_word) {
        Some(first) if first.starts_with(&separator) => Ok(true),
        // The new separator is in order too.
        Some(first) if first > &separator[..] => {
            connection.prepare_cached(schema::SET_SEPARATOR)?.execute((segment, &separator, first))?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// The first word that begins on a page. It is stored in full; the others without the prefix that they share with the
/// previous one.
fn first_word(page: &[u8]) -> Option<&[u8]> {
    let end = usize::from(u16::from_be_bytes([*page.get(2)?, *page.get(3)?]));
    let (at, _) = varint(page.get(end..)?)?;
    let (length, rest) = varint(page.get(..end)?.get(at..)?)?;
    rest.get(..length)
}

/// A number as SQLite stores it: seven bits a byte, the highest first. Numbers on a page have at most three bytes.
fn varint(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(3).enumerate() {
        value = value << 7 | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_of_a_page_is_found() {
        let mut page = vec![0, 0, 0, 13, 4, b'0', b't', b'e', b'a', 1, 2, 3, 4];
        page.push(4);
        assert_eq!(first_word(&page), Some(&b"0tea"[..]));
        for (at, byte) in [(13, 0x85), (13, 12), (3, 200), (4, 100)] {
            let mut other = page.clone();
            other[at] = byte;
            assert_eq!(first_word(&other), None, "{at}");
        }
        assert_eq!((first_word(&[]), first_word(&[0, 0, 0, 4])), (None, None));
        assert_eq!(varint(&[0x81, 0x01, 9]), Some((129, &[9][..])));
    }
}
