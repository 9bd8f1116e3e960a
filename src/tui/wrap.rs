//! Styled text, and breaking it into rows. Pure text, no terminal.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

use super::color::Role;
use super::width::{cluster_columns, columns};

/// A drawn text whose parts have roles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Styled {
    text: String,
    /// Where each part ends, in bytes, and its role.
    parts: Vec<(usize, Role)>,
}

impl Styled {
    pub fn new(text: &str, role: Role) -> Self {
        let mut styled = Self::default();
        styled.push(text, role);
        styled
    }

    /// Appends drawn text.
    pub fn push(&mut self, text: &str, role: Role) {
        if text.is_empty() {
            return;
        }
        self.text.push_str(text);
        match self.parts.last_mut() {
            Some((end, last)) if *last == role => *end = self.text.len(),
            _ => self.parts.push((self.text.len(), role)),
        }
    }

    pub fn append(&mut self, other: &Self) {
        other.parts().for_each(|(text, role)| self.push(text, role));
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    pub fn columns(&self) -> usize {
        columns(&self.text)
    }

    pub fn parts(&self) -> impl Iterator<Item = (&str, Role)> {
        let mut start = 0;
        self.parts.iter().map(move |&(end, role)| {
            let part = &self.text[start..end];
            start = end;
            (part, role)
        })
    }

    /// Gives a range of the text another role.
    pub fn set_role(&mut self, range: Range<usize>, role: Role) {
        let mut changed = Self::default();
        let mut start = 0;
        for (part, old) in self.parts() {
            let end = start + part.len();
            // The three pieces of the part: before the range, in it, and after it.
            let (from, to) = (range.start.clamp(start, end) - start, range.end.clamp(start, end) - start);
            let to = to.max(from);
            changed.push(&part[..from], old);
            changed.push(&part[from..to], role);
            changed.push(&part[to..], old);
            start = end;
        }
        *self = changed;
    }

    /// The grapheme clusters, with the role of their first character.
    pub fn clusters(&self) -> impl Iterator<Item = (&str, Role)> {
        let mut parts = self.parts.iter().peekable();
        self.text.grapheme_indices(true).map(move |(at, cluster)| {
            while parts.peek().is_some_and(|(end, _)| *end <= at) {
                parts.next();
            }
            (cluster, parts.peek().map_or(Role::Text, |(_, role)| *role))
        })
    }
}

/// A wrapped text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wrapped {
    pub rows: Vec<Styled>,
    /// How many bytes of the text are not in the rows, because there are enough of them.
    pub left: usize,
}

/// The text in rows of at most `columns_max` columns, and at most `rows_max` rows. It is broken at line breaks, and where
/// it must be: at blanks if that does not leave a row short. The blanks at such a break are left out, and nothing else.
pub fn wrap(text: &Styled, columns_max: usize, rows_max: usize) -> Wrapped {
    let columns_max = columns_max.max(1);
    let mut rows = Vec::new();
    let mut row = Row::default();
    let mut consumed = 0;
    for (cluster, role) in text.clusters() {
        if rows.len() >= rows_max {
            return Wrapped { rows, left: text.text().len() - consumed };
        }
        let is_blank = cluster.chars().all(char::is_whitespace);
        let width = cluster_columns(cluster);
        if cluster == "\n" {
            consumed += row.bytes + cluster.len();
            rows.push(std::mem::take(&mut row).into_styled());
            continue;
        }
        if row.columns + width > columns_max && is_blank {
            // Left out; what follows starts a row.
            row.is_full = true;
            row.bytes += cluster.len();
            continue;
        }
        while (row.columns + width > columns_max || row.is_full) && !row.clusters.is_empty() {
            let rest = row.split(columns_max);
            consumed += row.bytes;
            rows.push(std::mem::replace(&mut row, rest).into_styled());
            if rows.len() >= rows_max {
                return Wrapped { rows, left: text.text().len() - consumed };
            }
        }
        // A character that is wider than a row.
        let (cluster, width) = if width > columns_max { ("?", 1) } else { (cluster, width) };
        row.push(cluster, role, width, is_blank);
    }
    match rows.len() < rows_max {
        true => rows.push(row.into_styled()),
        false => return Wrapped { rows, left: text.text().len() - consumed },
    }
    Wrapped { rows, left: 0 }
}

/// A row that is being filled.
#[derive(Default)]
struct Row<'a> {
    clusters: Vec<(&'a str, Role, usize)>,
    columns: usize,
    /// Of the text, with the blanks that are left out.
    bytes: usize,
    /// The preferred break: after the last blank, in clusters and in columns.
    blank: Option<(usize, usize)>,
    /// Blanks after it were left out.
    is_full: bool,
}

impl<'a> Row<'a> {
    fn push(&mut self, cluster: &'a str, role: Role, width: usize, is_blank: bool) {
        self.clusters.push((cluster, role, width));
        self.columns += width;
        self.bytes += cluster.len();
        if is_blank {
            self.blank = Some((self.clusters.len(), self.columns));
        }
    }

    /// Removes what belongs into the next row, and returns it.
    fn split(&mut self, columns_max: usize) -> Self {
        let mut rest = Self::default();
        let Some((at, _)) = self.blank.filter(|&(_, left)| !self.is_full && left >= columns_max / 2) else {
            return rest;
        };
        for (cluster, role, width) in self.clusters.drain(at..) {
            rest.push(cluster, role, width, false);
        }
        self.bytes -= rest.bytes;
        self.columns -= rest.columns;
        rest
    }

    fn into_styled(self) -> Styled {
        let mut styled = Styled::default();
        self.clusters.iter().for_each(|(cluster, role, _)| styled.push(cluster, *role));
        styled
    }
}

/// A text that is being typed, in rows, and where its cursor is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Typed {
    pub rows: Vec<String>,
    /// The row and the column of the cursor. The column is less than the width of a row.
    pub cursor: (usize, usize),
}

/// Breaks a text that is being typed into rows of at most `columns_max` columns. `cursor` is in bytes. Nothing is left
/// out, so that the cursor can be everywhere; the cursor after a full row is in the next one.
pub fn typed(text: &str, cursor: usize, columns_max: usize, draw: impl Fn(&str) -> String) -> Typed {
    let columns_max = columns_max.max(1);
    let mut rows = vec![String::new()];
    let (mut used, mut place) = (0, None);
    for (at, cluster) in text.grapheme_indices(true) {
        let is_break = matches!(cluster, "\n" | "\r\n" | "\r");
        let shown = if is_break { String::new() } else { draw(cluster) };
        let mut next = shown.graphemes(true).peekable();
        // Before the cluster: if it does not fit, at the start of the next row.
        let first = next.peek().map_or(0, |first| cluster_columns(first).min(columns_max));
        if (used + first > columns_max || used == columns_max) && !is_break {
            rows.push(String::new());
            used = 0;
        }
        if place.is_none() && cursor < at + cluster.len() {
            if used == columns_max {
                rows.push(String::new());
                used = 0;
            }
            place = Some((rows.len() - 1, used));
        }
        if is_break {
            rows.push(String::new());
            used = 0;
        }
        for part in next {
            let (part, width) = match cluster_columns(part) {
                width if width > columns_max => ("?", 1),
                width => (part, width),
            };
            if used + width > columns_max {
                rows.push(String::new());
                used = 0;
            }
            if let Some(row) = rows.last_mut() {
                row.push_str(part);
            }
            used += width;
        }
    }
    let cursor = place.unwrap_or_else(|| {
        if used == columns_max {
            rows.push(String::new());
            used = 0;
        }
        (rows.len() - 1, used)
    });
    Typed { rows, cursor }
}

/// Where the cursor of a typed text goes by a row up or down, in bytes, so that it stays in its column if possible. The
/// rows are those of [`typed`]. `None`: there is no such row.
pub fn beside(
    text: &str,
    cursor: usize,
    columns_max: usize,
    draw: impl Fn(&str) -> String,
    down: bool,
) -> Option<usize> {
    let columns_max = columns_max.max(1);
    // Where each cluster begins, and the end of the text: in bytes, and its row and column.
    let mut places: Vec<(usize, (usize, usize))> = Vec::new();
    let (mut row, mut used) = (0, 0);
    for (at, cluster) in text.grapheme_indices(true) {
        if matches!(cluster, "\n" | "\r\n" | "\r") {
            places.push((at, (row, used)));
            (row, used) = (row + 1, 0);
            continue;
        }
        let shown = draw(cluster);
        let width = |part| match cluster_columns(part) {
            // Drawn as one column.
            width if width > columns_max => 1,
            width => width,
        };
        let widths = || shown.graphemes(true).map(width);
        if used + widths().next().unwrap_or_default() > columns_max || used == columns_max {
            (row, used) = (row + 1, 0);
        }
        places.push((at, (row, used)));
        for width in widths() {
            if used + width > columns_max {
                (row, used) = (row + 1, 0);
            }
            used += width;
        }
    }
    let end = if used == columns_max { (row + 1, 0) } else { (row, used) };
    places.push((text.len(), end));
    let (_, (row, column)) = *places.iter().rev().find(|(at, _)| *at <= cursor)?;
    // Before a break after a full row, the cursor has a row of its own.
    let (above, below, column) =
        if column == columns_max { (Some(row), row + 1, 0) } else { (row.checked_sub(1), row + 1, column) };
    // A cluster that is drawn as several characters may take whole rows, where the cursor can't be.
    let rows = places.iter().map(|(_, (row, _))| *row);
    let wanted = match down {
        true => rows.filter(|row| *row >= below).min()?,
        false => above.and_then(|above| rows.filter(|row| *row <= above).max())?,
    };
    let mut in_row = places.iter().filter(|(_, (row, _))| *row == wanted);
    let first = in_row.next()?;
    Some(in_row.take_while(|(_, (_, at))| *at <= column).last().unwrap_or(first).0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tui::width::{Emoji, drawn};

    fn rows(text: &str, columns: usize) -> Vec<String> {
        let wrapped = wrap(&Styled::new(text, Role::Text), columns, usize::MAX);
        assert_eq!(wrapped.left, 0);
        wrapped.rows.iter().map(|row| row.text().to_owned()).collect()
    }

    #[test]
    fn a_long_line_is_broken_at_blanks_if_possible() {
        assert_eq!(rows("", 10), [""]);
        assert_eq!(rows("one two three", 8), ["one two ", "three"]);
        assert_eq!(rows("one two  three", 7), ["one two", "three"]);
        assert_eq!(rows("a abcdefghijk", 10), ["a abcdefgh", "ijk"]);
        assert_eq!(rows("世世世世世世世", 7), ["世世世", "世世世", "世"]);
        assert_eq!(rows("世a", 1), ["?", "a"]);
        assert_eq!(rows("a\n\n  b", 10), ["a", "", "  b"]);
        assert_eq!(rows("abc \ndef", 3), ["abc", "def"]);
    }

    #[test]
    fn roles_are_kept_across_rows() {
        let mut text = Styled::new("see ", Role::Text);
        text.push("https://a.example/b", Role::Link);
        text.push(" now", Role::Text);
        let wrapped = wrap(&text, 10, usize::MAX);
        let parts: Vec<Vec<_>> = wrapped.rows.iter().map(|row| row.parts().collect()).collect();
        assert_eq!(parts[0], [("see ", Role::Text), ("https:", Role::Link)]);
        assert_eq!(parts[1], [("//a.exampl", Role::Link)]);
        assert_eq!(parts[2], [("e/b", Role::Link), (" now", Role::Text)]);
    }

    #[test]
    fn a_range_gets_another_role() {
        let mut text = Styled::new("hi @ann!", Role::Text);
        text.set_role(3..7, Role::Mention);
        assert_eq!(text.parts().collect::<Vec<_>>(), [("hi ", Role::Text), ("@ann", Role::Mention), ("!", Role::Text)]);
        text.set_role(0..100, Role::Faint);
        assert_eq!(text.parts().collect::<Vec<_>>(), [("hi @ann!", Role::Faint)]);
        text.set_role(5..5, Role::Link);
        assert_eq!(text.parts().count(), 1);
    }

    #[test]
    fn a_limit_ends_the_rows() {
        let text = Styled::new("one two three four", Role::Text);
        let wrapped = wrap(&text, 5, 2);
        assert_eq!(wrapped.rows.iter().map(Styled::text).collect::<Vec<_>>(), ["one ", "two "]);
        assert_eq!(wrapped.left, "three four".len());
        assert_eq!(wrap(&text, 5, 4).left, 0);
        // A character may finish two rows at once.
        assert_eq!(wrap(&Styled::new(" 世世 a 世世\n 世世", Role::Text), 3, 7).rows.len(), 7);
    }

    fn typed_in(text: &str, cursor: usize, columns: usize) -> (Vec<String>, (usize, usize)) {
        let typed = typed(text, cursor, columns, |cluster| drawn(cluster, Emoji::Simple).into_owned());
        (typed.rows, typed.cursor)
    }

    #[test]
    fn the_cursor_of_a_typed_text_is_found() {
        let owned = |rows: &[&str]| rows.iter().map(|row| (*row).to_owned()).collect::<Vec<_>>();
        assert_eq!(typed_in("", 0, 5), (owned(&[""]), (0, 0)));
        assert_eq!(typed_in("abc", 3, 5), (owned(&["abc"]), (0, 3)));
        assert_eq!(typed_in("abcde", 5, 5), (owned(&["abcde", ""]), (1, 0)));
        assert_eq!(typed_in("abcdef", 5, 5), (owned(&["abcde", "f"]), (1, 0)));
        assert_eq!(typed_in("ab\ncd", 2, 5), (owned(&["ab", "cd"]), (0, 2)));
        assert_eq!(typed_in("ab\ncd", 3, 5), (owned(&["ab", "cd"]), (1, 0)));
        assert_eq!(typed_in("ab\n", 3, 5), (owned(&["ab", ""]), (1, 0)));
        assert_eq!(typed_in("世世世", 6, 5), (owned(&["世世", "世"]), (1, 0)));
        assert_eq!(typed_in("a\u{1b}b", 1, 80), (owned(&["a\\u{1b}b"]), (0, 1)));
    }

    /// From the cursor, by a row up or down in rows of 5 columns.
    fn moved(text: &str, cursor: usize, down: bool) -> Option<usize> {
        beside(text, cursor, 5, |cluster| drawn(cluster, Emoji::Simple).into_owned(), down)
    }

    #[test]
    fn the_cursor_goes_by_rows_of_the_screen() {
        // abcde / fgh / ij
        let text = "abcdefgh\nij";
        assert_eq!((moved(text, 1, true), moved(text, 6, false)), (Some(6), Some(1)));
        assert_eq!((moved(text, 7, true), moved(text, 8, true)), (Some(11), Some(11)));
        assert_eq!((moved(text, 4, true), moved(text, 11, false)), (Some(8), Some(7)));
        assert_eq!((moved(text, 3, false), moved(text, 10, true)), (None, None));
        // A full row before a break, and the end of a full row, have a row for the cursor.
        assert_eq!((moved("abcde\nf", 5, false), moved("abcde\nf", 5, true)), (Some(0), Some(6)));
        assert_eq!((moved("abcde", 5, false), moved("abcde", 0, true)), (Some(0), Some(5)));
        // Characters of two columns.
        assert_eq!((moved("世世世a", 3, true), moved("世世世a", 9, false)), (Some(9), Some(3)));
        assert_eq!((moved("", 0, true), moved("", 0, false)), (None, None));
    }

    proptest! {
        #[test]
        fn the_cursor_moves_to_the_row_beside(text in "[ a-z\né世👍\u{1b}]{0,60}", at in any::<prop::sample::Index>(), columns in 2..20usize, down in any::<bool>()) {
            let ends: Vec<_> = text.grapheme_indices(true).map(|(at, _)| at).chain([text.len()]).collect();
            let cursor = ends[at.index(ends.len())];
            let draw = |cluster: &str| drawn(cluster, Emoji::Simple).into_owned();
            if let Some(moved) = beside(&text, cursor, columns, draw, down) {
                prop_assert!(ends.contains(&moved));
                prop_assert_eq!(moved > cursor, down);
            } else {
                let (rows, (row, _)) = typed_in(&text, cursor, columns);
                prop_assert_eq!(row, if down { rows.len() - 1 } else { 0 });
            }
        }

        #[test]
        fn every_row_fits_and_only_blanks_are_lost(text in "[ a-z\né世👍]{0,80}", columns in 1..30usize, roles in any::<bool>()) {
            let mut styled = Styled::new(&text, Role::Text);
            if roles {
                let ends: Vec<_> = text.char_indices().map(|(at, _)| at).filter(|at| at % 3 == 0).collect();
                ends.windows(2).step_by(2).for_each(|range| styled.set_role(range[0]..range[1], Role::Link));
            }
            let wrapped = wrap(&styled, columns, usize::MAX);
            for row in &wrapped.rows {
                prop_assert!(row.columns() <= columns, "{:?} in {}", row.text(), columns);
            }
            let solid = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            let joined: String = wrapped.rows.iter().map(|row| solid(row.text())).collect();
            if columns > 1 {
                prop_assert_eq!(joined, solid(&text));
            }
            prop_assert!(wrapped.rows.len() > text.matches('\n').count());
        }

        #[test]
        fn a_limit_keeps_the_first_rows(text in "[ a-z\n世]{0,80}", columns in 2..20usize, most in 1..10usize) {
            let styled = Styled::new(&text, Role::Text);
            let (all, some) = (wrap(&styled, columns, usize::MAX), wrap(&styled, columns, most));
            prop_assert_eq!(&some.rows[..], &all.rows[..most.min(all.rows.len())]);
            // A last row may be empty.
            let is_left = all.rows.iter().skip(most).any(|row| !row.is_empty());
            prop_assert_eq!(some.left > 0, all.rows.len() > most && (is_left || some.left > 0));
            prop_assert!(some.left > 0 || !is_left);
        }

        #[test]
        fn a_typed_text_fits_and_is_whole(text in "[ a-z\né世👍\u{1b}]{0,60}", at in 0..100usize, columns in 2..20usize) {
            let (rows, cursor) = typed_in(&text, at, columns);
            for row in &rows {
                prop_assert!(super::columns(row) <= columns);
            }
            let whole = text.replace('\n', "");
            prop_assert_eq!(rows.concat(), drawn(&whole, Emoji::Simple));
            prop_assert!(cursor.0 < rows.len() && cursor.1 < columns);
        }
    }
}
