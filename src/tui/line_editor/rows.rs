//! The input line in rows of the screen.

use unicode_segmentation::UnicodeSegmentation;

/// The rows of a text, and where its cursor is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputRows {
    pub rows: Vec<String>,
    /// The row of the cursor, and its column.
    pub cursor: (usize, usize),
    /// How many rows are above and below these, see [`InputRows::window`].
    pub above: usize,
    pub below: usize,
}

/// Breaks a text into rows of at most this many columns. `drawn` says what is drawn of a grapheme, and its columns: the
/// same function that draws it later, or the cursor would stand elsewhere. A row is broken between graphemes, so that
/// typing never moves what stands before.
pub fn rows(text: &str, cursor: usize, columns: usize, mut drawn: impl FnMut(&str) -> (String, usize)) -> InputRows {
    let columns = columns.max(1);
    let (mut rows, mut row, mut used) = (Vec::new(), String::new(), 0);
    let mut place = None;
    for (at, grapheme) in text.grapheme_indices(true) {
        let is_break = matches!(grapheme, "\n" | "\r\n");
        let (shown, width) = if is_break { (String::new(), 0) } else { drawn(grapheme) };
        // A cursor after a full row stands at the start of the next one, as the next grapheme will.
        if used > 0 && used + width > columns || at == cursor && used >= columns {
            rows.push(std::mem::take(&mut row));
            used = 0;
        }
        if at >= cursor && place.is_none() {
            place = Some((rows.len(), used));
        }
        if is_break {
            rows.push(std::mem::take(&mut row));
            used = 0;
        } else {
            row.push_str(&shown);
            used += width;
        }
    }
    if place.is_none() && used >= columns {
        rows.push(std::mem::take(&mut row));
        used = 0;
    }
    let cursor = place.unwrap_or((rows.len(), used));
    rows.push(row);
    InputRows { rows, cursor, above: 0, below: 0 }
}

impl InputRows {
    /// At most this many rows, with that of the cursor.
    pub fn window(mut self, rows_max: usize) -> Self {
        let rows_max = rows_max.max(1);
        let count = self.rows.len();
        if count <= rows_max {
            return self;
        }
        // The last rows if the cursor is within them: usually it is at the end.
        let first = (count - rows_max).min(self.cursor.0);
        self.below += count - first - rows_max;
        self.above += first;
        self.rows.truncate(first + rows_max);
        self.rows.drain(..first);
        self.cursor.0 -= first;
        self
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use unicode_width::UnicodeWidthStr;

    use super::*;

    fn drawn(grapheme: &str) -> (String, usize) {
        match grapheme {
            "\t" => ("\\t".to_owned(), 2),
            grapheme => (grapheme.to_owned(), grapheme.width()),
        }
    }

    /// The rows, with the cursor as a bar.
    fn shown(text: &str, columns: usize) -> Vec<String> {
        let (before, after) = text.split_once('|').unwrap();
        let rows = rows(&format!("{before}{after}"), before.len(), columns, drawn);
        let mark = |(at, row): (usize, &String)| {
            let mut marked = String::new();
            let mut used = 0;
            for grapheme in row.graphemes(true) {
                if (at, used) == rows.cursor {
                    marked.push('|');
                }
                used += grapheme.width();
                marked.push_str(grapheme);
            }
            if at == rows.cursor.0 && used <= rows.cursor.1 {
                marked.push('|');
            }
            marked
        };
        rows.rows.iter().enumerate().map(mark).collect()
    }

    #[test]
    fn a_text_is_broken_into_rows_with_its_cursor() {
        assert_eq!(shown("|", 5), ["|"]);
        assert_eq!(shown("ab|c", 5), ["ab|c"]);
        assert_eq!(shown("abcde|", 5), ["abcde", "|"]);
        assert_eq!(shown("abcde|f", 5), ["abcde", "|f"]);
        assert_eq!(shown("abcd|e", 5), ["abcd|e"]);
        assert_eq!(shown("abcdefgh|", 5), ["abcde", "fgh|"]);
        assert_eq!(shown("ab|\ncd", 5), ["ab|", "cd"]);
        assert_eq!(shown("ab\n|", 5), ["ab", "|"]);
        assert_eq!(shown("世世|世", 5), ["世世", "|世"]);
        assert_eq!(shown("a\tb|", 9), ["a\\tb|"]);
        // A cursor at a line break after a full row.
        assert_eq!(shown("abcde|\nf", 5), ["abcde", "|", "f"]);
        assert_eq!(shown("世|", 1), ["世", "|"]);
    }

    #[test]
    fn only_rows_around_the_cursor_are_shown() {
        let rows = |cursor| rows("0\n1\n2\n3\n4", cursor, 9, drawn).window(2);
        assert_eq!(
            (rows(9).rows, rows(9).cursor, rows(9).above, rows(9).below),
            (vec!["3".into(), "4".into()], (1, 1), 3, 0)
        );
        assert_eq!(
            (rows(0).rows, rows(0).cursor, rows(0).above, rows(0).below),
            (vec!["0".into(), "1".into()], (0, 0), 0, 3)
        );
        assert_eq!(
            (rows(4).rows, rows(4).cursor, rows(4).above, rows(4).below),
            (vec!["2".into(), "3".into()], (0, 0), 2, 1)
        );
    }

    proptest! {
        #[test]
        fn rows_fit_and_nothing_is_lost(text in "[a-z é世👍\n\t]{0,60}", cursor in 0..60usize, columns in 2..20usize, max in 1..5usize) {
            let cursor = text.grapheme_indices(true).map(|(at, _)| at).nth(cursor).unwrap_or(text.len());
            let all = rows(&text, cursor, columns, drawn);
            prop_assert_eq!(all.rows.concat(), text.replace('\n', "").replace('\t', "\\t"));
            for row in &all.rows {
                prop_assert!(row.width() <= columns);
            }
            // The cursor's cell is on the screen, and so much text is before it.
            prop_assert!(all.cursor.1 < columns, "{:?}", all);
            let before = all.rows[..all.cursor.0].concat().width() + all.cursor.1;
            prop_assert_eq!(before, text[..cursor].replace('\n', "").replace('\t', "\\t").width());
            let window = all.clone().window(max);
            prop_assert!(window.rows.len() <= max && window.cursor.0 < window.rows.len());
            prop_assert_eq!(&window.rows[..], &all.rows[window.above..all.rows.len() - window.below]);
        }
    }
}
