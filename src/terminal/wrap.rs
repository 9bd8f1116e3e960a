//! Breaks a line into the rows of a terminal.
//!
//! A terminal breaks a long line and starts the next row in the first column, where names are: after enough blanks, the
//! text looks like a message of another user. So lines are broken here, and every row after the first is indented.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthChar;

/// The minimum indentation of a continuation row. No shown name starts with a blank.
pub const INDENT: usize = 2;

/// The line in rows of at most this many columns, broken at blanks if that does not leave a row short. Nothing is left
/// out. The only control characters of the line are its line breaks, each of which starts a row.
pub fn wrap(line: &str, columns: usize) -> String {
    wrap_under(line, columns, INDENT)
}

/// The same with another indentation, in columns, of all rows but the first.
pub fn wrap_under(line: &str, columns: usize, indent: usize) -> String {
    let blanks = " ".repeat(indent);
    let mut rows = String::with_capacity(line.len() + line.len() / 16);
    let mut row = String::new();
    let mut used = 0;
    // The preferred break of the row: after its last blank, in bytes and in columns.
    let mut blank = None;
    let mut room = columns;
    for cluster in line.graphemes(true) {
        if cluster == "\n" {
            rows.push_str(&row);
            rows.push('\n');
            rows.push_str(&blanks);
            row.clear();
            (used, blank, room) = (0, None, columns.saturating_sub(indent));
            continue;
        }
        let width = cluster.chars().map(columns_of).sum::<usize>();
        while used + width > room && used > 0 {
            let (bytes, left) = blank.take().filter(|&(_, left)| left >= room / 2).unwrap_or((row.len(), used));
            rows.push_str(&row[..bytes]);
            rows.push('\n');
            rows.push_str(&blanks);
            row.drain(..bytes);
            used -= left;
            room = columns.saturating_sub(indent);
        }
        row.push_str(cluster);
        used += width;
        if cluster.chars().all(char::is_whitespace) {
            blank = Some((row.len(), used));
        }
    }
    rows + &row
}

/// The maximum number of columns of a text without control characters.
pub fn columns_of_text(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

/// The start of a text without control characters, in at most this many columns; an ellipsis shows that more follows.
pub fn cut(text: &str, columns: usize) -> String {
    let mut used = 0;
    let mut end = None;
    for (at, cluster) in text.grapheme_indices(true) {
        let width = cluster.chars().map(columns_of).sum::<usize>();
        // The position of the ellipsis, if one is needed.
        if end.is_none() && used + width > columns.saturating_sub(1) {
            end = Some(at);
        }
        used += width;
        if used > columns {
            let ellipsis = if columns == 0 { "" } else { "…" };
            return format!("{}{ellipsis}", &text[..end.unwrap_or(at)]);
        }
    }
    text.to_owned()
}

/// How many columns a terminal may take for the character. Terminals disagree about characters that join their
/// neighbours, such as emoji and marks; each is counted separately, since a row that is broken too early is harmless.
fn columns_of(c: char) -> usize {
    c.width().unwrap_or(0).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BLANKS: &str = "  ";

    #[test]
    fn a_short_line_is_unchanged() {
        for line in ["", "ann: hi", "ten wide  "] {
            assert_eq!(wrap(line, 10), line);
        }
    }

    #[test]
    fn a_long_line_is_broken_at_blanks_if_possible() {
        assert_eq!(wrap("ann: one two three", 10), "ann: one \n  two \n  three");
        assert_eq!(wrap("bo: abcdefghijklmnop", 10), "bo: abcdef\n  ghijklmn\n  op");
        assert_eq!(wrap("世世世世世世世", 7), "世世世\n  世世\n  世世");
        assert_eq!(wrap("世世", 1), "世\n  世");
        assert_eq!(wrap_under("22:13 ann: one two", 14, 6), "22:13 ann: \n      one two");
    }

    #[test]
    fn a_long_text_is_cut_off() {
        for (text, columns, cut_off) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("世世", 4, "世世"),
            ("世世", 3, "世…"),
            ("世", 1, "…"),
            ("a", 0, ""),
        ] {
            assert_eq!(cut(text, columns), cut_off);
        }
    }

    #[test]
    fn a_line_break_starts_an_indented_row() {
        assert_eq!(wrap("ann: one\nbob: two\n\n* three", 80), "ann: one\n  bob: two\n  \n  * three");
        assert_eq!(wrap("a: bcd\nefgh", 5), "a: \n  bcd\n  efg\n  h");
    }

    /// A regression: the terminal itself broke the line after the blanks, so the rest began in the column of names.
    #[test]
    fn no_row_after_the_first_begins_in_the_first_column() {
        for columns in 1..40 {
            for blanks in 0..40 {
                for blank in [" ", "\u{a0}", "\u{3000}"] {
                    let line = format!("bob: hello{}ann: I agree", blank.repeat(blanks));
                    assert!(wrap(&line, columns).lines().skip(1).all(|row| row.starts_with(BLANKS)));
                }
            }
        }
    }

    proptest! {
        #[test]
        fn every_row_fits_and_nothing_is_lost(line in "[ -~é世👍\u{301}\u{200d}]{0,60}", columns in 4..30usize) {
            let rows = wrap(&line, columns);
            let joined: String = rows.split(&format!("\n{BLANKS}")).collect();
            prop_assert_eq!(joined, line);
            for row in rows.lines() {
                let clusters: Vec<_> = row.graphemes(true).map(|c| c.chars().map(columns_of).sum::<usize>()).collect();
                // A grapheme is never broken, even if it is wider than a row.
                let wide = clusters.iter().any(|&width| width > columns - INDENT);
                prop_assert!(wide || clusters.iter().sum::<usize>() <= columns, "{:?}", row);
            }
        }
    }
}
