//! A text that is being written, with its cursor and its undo. Pure state.

use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation};

use super::undo::UndoStates;

/// A text with a cursor. The cursor is always at the start of a grapheme, or at the end.
#[derive(Debug, Default)]
pub struct TextBuffer {
    text: String,
    /// In bytes.
    cursor: usize,
    undo: UndoStates,
    /// The last change inserted text, so the next inserted text belongs to the same change.
    inserting: bool,
}

/// Where the cursor goes, or up to where text is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Motion {
    Left,
    Right,
    /// Over a word of letters and digits.
    WordLeft,
    WordRight,
    /// Over everything up to a blank.
    BlankWordLeft,
    BlankWordRight,
    /// To the start of the row; from there, to the start of the text.
    RowStart,
    RowEnd,
    Start,
    End,
}

impl TextBuffer {
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The position of the cursor, in bytes.
    pub fn cursor(&self) -> usize {
        self.cursor
    }

    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Records the text for undo. Call it before a change. Text that is inserted piece by piece is one change.
    pub fn before_change(&mut self, inserts: bool) {
        if !(inserts && self.inserting) {
            self.undo.push(&self.text, self.cursor);
        }
        self.inserting = inserts;
    }

    pub fn undo(&mut self) -> bool {
        self.inserting = false;
        let Some((text, cursor)) = self.undo.pop(&self.text) else { return false };
        (self.text, self.cursor) = (text, cursor);
        true
    }

    pub fn insert(&mut self, c: char) {
        self.insert_text(c.encode_utf8(&mut [0; 4]));
    }

    pub fn insert_text(&mut self, text: &str) {
        self.text.insert_str(self.cursor, text);
        self.cursor += text.len();
        self.settle();
    }

    /// Replaces the text.
    pub fn set(&mut self, text: String, cursor: usize) {
        (self.text, self.cursor) = (text, cursor);
        self.settle();
    }

    /// Replaces the text, with the cursor at its end.
    pub fn set_at_end(&mut self, text: String) {
        let end = text.len();
        self.set(text, end);
    }

    /// Changes the text with a function that returns the new cursor.
    pub fn change(&mut self, change: impl FnOnce(&mut String) -> usize) {
        self.cursor = change(&mut self.text);
        self.settle();
    }

    /// Takes the text. Its earlier states are forgotten.
    pub fn take(&mut self) -> String {
        std::mem::take(self).text
    }

    pub fn go(&mut self, motion: Motion) {
        self.cursor = self.at(motion);
        self.inserting = false;
    }

    /// Removes the text up to there, and returns it.
    pub fn remove(&mut self, motion: Motion) -> String {
        let at = self.at(motion);
        let (from, to) = (at.min(self.cursor), at.max(self.cursor));
        let removed = self.text[from..to].to_owned();
        self.text.replace_range(from..to, "");
        self.cursor = from;
        self.settle();
        removed
    }

    /// Moves to the row above or below, if there is one.
    pub fn go_row(&mut self, down: bool) -> bool {
        let start = self.at_row_start();
        let row = match down {
            true => match self.text[self.cursor..].find('\n') {
                Some(end) => self.cursor + end + 1,
                None => return false,
            },
            false => match start.checked_sub(1) {
                Some(end) => self.text[..end].rfind('\n').map_or(0, |at| at + 1),
                None => return false,
            },
        };
        let column = self.text[start..self.cursor].graphemes(true).count();
        let rest = self.text[row..].split('\n').next().unwrap_or_default();
        let within = rest.grapheme_indices(true).nth(column).map_or(rest.len(), |(at, _)| at);
        self.cursor = self.boundary(row + within);
        self.inserting = false;
        true
    }

    /// Exchanges the graphemes before and after the cursor; at the end of a row, the two before it.
    pub fn transpose(&mut self) {
        let at_row_end = self.text[self.cursor..].is_empty() || self.text[self.cursor..].starts_with('\n');
        let middle = if at_row_end { self.at(Motion::Left) } else { self.cursor };
        let before = self.text[..middle].grapheme_indices(true).next_back().map(|(at, _)| at);
        let Some(start) = before.filter(|start| *start >= self.at_row_start()) else { return };
        let Some(after) = self.text[middle..].graphemes(true).next() else { return };
        let end = middle + after.len();
        let exchanged = format!("{after}{}", &self.text[start..middle]);
        self.text.replace_range(start..end, &exchanged);
        self.cursor = end;
        self.settle();
    }

    /// Where a motion leads.
    pub fn at(&self, motion: Motion) -> usize {
        let (before, after) = self.text.split_at(self.cursor);
        let at = match motion {
            Motion::Left => before.grapheme_indices(true).next_back().map_or(0, |(at, _)| at),
            Motion::Right => self.cursor + after.graphemes(true).next().map_or(0, str::len),
            Motion::WordLeft => {
                let words = before.trim_end_matches(|c| !is_of_word(c));
                words.trim_end_matches(is_of_word).len()
            }
            Motion::WordRight => {
                let words = after.trim_start_matches(|c| !is_of_word(c));
                self.text.len() - words.trim_start_matches(is_of_word).len()
            }
            Motion::BlankWordLeft => before.trim_end().trim_end_matches(|c: char| !c.is_whitespace()).len(),
            Motion::BlankWordRight => {
                self.text.len() - after.trim_start().trim_start_matches(|c: char| !c.is_whitespace()).len()
            }
            Motion::RowStart if self.cursor == self.at_row_start() => 0,
            Motion::RowStart => self.at_row_start(),
            Motion::RowEnd => match after.find('\n') {
                Some(0) | None => self.text.len(),
                Some(end) => self.cursor + end,
            },
            Motion::Start => 0,
            Motion::End => self.text.len(),
        };
        self.boundary(at)
    }

    fn at_row_start(&self) -> usize {
        self.text[..self.cursor].rfind('\n').map_or(0, |at| at + 1)
    }

    /// Moves the cursor out of a grapheme: text before and after it may have become one.
    fn settle(&mut self) {
        self.cursor = self.boundary(self.cursor);
    }

    /// The end of the grapheme that has this place within it. Looks at the text nearby only: a long text may be pasted
    /// character by character.
    fn boundary(&self, at: usize) -> usize {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at += 1;
        }
        let mut cursor = GraphemeCursor::new(at, self.text.len(), true);
        match cursor.is_boundary(&self.text, 0) {
            Ok(true) => at,
            _ => cursor.next_boundary(&self.text, 0).ok().flatten().unwrap_or(self.text.len()),
        }
    }
}

/// Whether words consist of it. A mark belongs to the letter before it, an apostrophe does not.
fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || unicode_normalization::char::is_combining_mark(c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with(text: &str) -> TextBuffer {
        let (before, after) = text.split_once('|').unwrap();
        let mut buffer = TextBuffer::default();
        buffer.set(format!("{before}{after}"), before.len());
        buffer
    }

    fn shown(buffer: &TextBuffer) -> String {
        let (before, after) = buffer.text().split_at(buffer.cursor());
        format!("{before}|{after}")
    }

    fn gone(text: &str, motion: Motion) -> String {
        let mut buffer = with(text);
        buffer.go(motion);
        shown(&buffer)
    }

    #[test]
    fn motions_go_over_graphemes_and_words() {
        use Motion::*;
        for (from, motion, to) in [
            ("a👩‍👩‍👧|", Left, "a|👩‍👩‍👧"),
            ("|e\u{301}x", Right, "e\u{301}|x"),
            ("one foo.bar|", WordLeft, "one foo.|bar"),
            ("one foo.bar|", BlankWordLeft, "one |foo.bar"),
            ("one, two  |", WordLeft, "one, |two  "),
            ("|one, two", WordRight, "one|, two"),
            ("one|, two", WordRight, "one, two|"),
            ("|one, two", BlankWordRight, "one,| two"),
            ("cafe\u{301}s|", WordLeft, "|cafe\u{301}s"),
            ("हि|न्दी x", WordRight, "हिन्दी| x"),
            ("a\nbc|d", RowStart, "a\n|bcd"),
            ("a\n|bcd", RowStart, "|a\nbcd"),
            ("a|b\ncd", RowEnd, "ab|\ncd"),
            ("ab|\ncd", RowEnd, "ab\ncd|"),
            ("a\nb|", Start, "|a\nb"),
            ("|", Left, "|"),
            ("|", WordRight, "|"),
        ] {
            assert_eq!(gone(from, motion), to, "{motion:?}");
        }
    }

    #[test]
    fn rows_are_gone_through_by_columns() {
        let mut buffer = with("abc\né世👍\nx|");
        assert!(!buffer.go_row(true) && buffer.go_row(false));
        assert_eq!(shown(&buffer), "abc\né|世👍\nx");
        buffer.go(Motion::RowEnd);
        assert!(buffer.go_row(false) && !buffer.go_row(false));
        assert_eq!(shown(&buffer), "abc|\né世👍\nx");
        assert!(buffer.go_row(true) && buffer.go_row(true) && !buffer.go_row(true));
        assert_eq!(shown(&buffer), "abc\né世👍\nx|");
    }

    #[test]
    fn letters_are_exchanged() {
        for (from, to) in [
            ("ab|", "ba|"),
            ("a|b", "ba|"),
            ("a👍|x", "ax👍|"),
            ("|ab", "|ab"),
            ("a|", "a|"),
            ("a\nb|", "a\nb|"),
            ("|", "|"),
        ] {
            let mut buffer = with(from);
            buffer.transpose();
            assert_eq!(shown(&buffer), to);
        }
    }

    /// A regression: an accent or a flag's second half that was typed after a move made one grapheme with the text
    /// before it, and the cursor stood within.
    #[test]
    fn the_cursor_never_stands_within_a_grapheme() {
        let mut buffer = with("e|\u{301}x");
        assert_eq!(shown(&buffer), "e\u{301}|x");
        buffer.insert('\u{302}');
        assert_eq!(shown(&buffer), "e\u{301}\u{302}|x");
        let mut buffer = with("🇩|🇪");
        assert_eq!(shown(&buffer), "🇩🇪|");
        buffer.remove(Motion::Left);
        assert_eq!(shown(&buffer), "|");
    }

    proptest! {
        #[test]
        fn the_cursor_stays_at_a_grapheme(
            text in "[a é世👍\u{200d}\u{301}\u{fe0f}🇩\r\n]{0,20}",
            steps in proptest::collection::vec((0..16usize, any::<char>()), 0..40),
        ) {
            use Motion::*;
            let motions = [Left, Right, WordLeft, WordRight, BlankWordLeft, BlankWordRight, RowStart, RowEnd, Start, End];
            let mut buffer = TextBuffer::default();
            buffer.set_at_end(text);
            for (step, c) in steps {
                buffer.before_change(step == 10);
                match step {
                    0..10 if c.is_alphabetic() => drop(buffer.remove(motions[step])),
                    0..10 => buffer.go(motions[step]),
                    10 => buffer.insert(c),
                    11 => drop(buffer.undo()),
                    12 => buffer.transpose(),
                    13 => buffer.set(buffer.text().to_owned(), usize::try_from(u32::from(c)).unwrap() % 20),
                    step => drop(buffer.go_row(step == 14)),
                }
                let starts: Vec<_> = buffer.text().grapheme_indices(true).map(|(at, _)| at).collect();
                let cursor = buffer.cursor();
                prop_assert!(cursor == buffer.text().len() || starts.contains(&cursor), "{buffer:?}");
            }
        }
    }
}
