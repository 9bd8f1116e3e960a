//! The line that is being typed: pure state, no terminal.
//!
//! The line is always shown in one row, scrolled sideways where it is longer. So erasing it, to let somebody else's
//! line in above, is exact whatever the terminal thinks of a character's width.

use std::collections::VecDeque;

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use super::keys::Key;
use crate::escape::escape;
use crate::limits::BODY_BYTES_MAX;

/// How many lines can be called back.
const HISTORY_LINES_MAX: usize = 100;

/// The longest line that is held, in bytes. More than a body may have, so that one who pastes too much is told the rule
/// instead of losing the end in silence.
pub const LINE_BYTES_MAX: usize = 4 * BODY_BYTES_MAX;

/// The line, the cursor in it, and the lines before.
#[derive(Debug, Default)]
pub struct Editor {
    line: String,
    /// Where the cursor stands, in bytes; at the start of a character as the eye sees it, or at the end.
    cursor: usize,
    history: VecDeque<String>,
    /// Which line of the history is shown, and the line that was left for it.
    recalled: Option<(usize, String)>,
}

/// What a key led to, beyond the line itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Line(String),
    EndOfInput,
    Interrupt,
    Suspend,
    Clear,
}

/// How the line looks in one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    pub text: String,
    /// How many columns of the text stand before the cursor.
    pub cursor: usize,
}

impl Editor {
    pub fn press(&mut self, key: Key) -> Option<Action> {
        match key {
            Key::Char(c) => self.insert(c),
            Key::Enter => return Some(Action::Line(self.accept())),
            Key::Backspace => self.remove(self.before(), self.cursor),
            Key::Delete => self.remove(self.cursor, self.after()),
            Key::Left => self.cursor = self.before(),
            Key::Right => self.cursor = self.after(),
            Key::WordLeft => self.cursor = self.word_before(),
            Key::WordRight => self.cursor = self.word_after(),
            Key::Home => self.cursor = 0,
            Key::End => self.cursor = self.line.len(),
            Key::Up => self.recall(-1),
            Key::Down => self.recall(1),
            Key::KillToEnd => self.remove(self.cursor, self.line.len()),
            Key::KillToStart => self.remove(0, self.cursor),
            Key::KillWord => self.remove(self.word_before(), self.cursor),
            Key::Redraw => return Some(Action::Clear),
            Key::Interrupt => return Some(Action::Interrupt),
            Key::Suspend => return Some(Action::Suspend),
            Key::EndOfInput if self.line.is_empty() => return Some(Action::EndOfInput),
            Key::EndOfInput => self.remove(self.cursor, self.after()),
        }
        None
    }

    /// The line as it looks in a row of so many columns, with the cursor in sight.
    pub fn view(&self, columns: usize) -> View {
        let room = columns.max(2) - 1;
        let shown = |text: &str| escape(text).into_owned();
        let width = |text: &str| shown(text).width();
        // At the end of the line the cursor may stand at the right edge; elsewhere some of what follows is in sight.
        let room_before = if self.cursor == self.line.len() { room } else { room * 2 / 3 };
        let mut start = self.cursor;
        let mut cursor = 0;
        for (at, cluster) in self.line[..self.cursor].grapheme_indices(true).rev() {
            let wider = cursor + width(cluster);
            if wider > room_before {
                break;
            }
            (start, cursor) = (at, wider);
        }
        let mut text = shown(&self.line[start..self.cursor]);
        let mut used = cursor;
        for cluster in self.line[self.cursor..].graphemes(true) {
            used += width(cluster);
            if used > room {
                break;
            }
            text.push_str(&shown(cluster));
        }
        View { text, cursor }
    }

    fn insert(&mut self, c: char) {
        if self.line.len() + c.len_utf8() <= LINE_BYTES_MAX {
            self.line.insert(self.cursor, c);
            self.cursor += c.len_utf8();
        }
    }

    fn remove(&mut self, from: usize, to: usize) {
        self.line.replace_range(from..to, "");
        self.cursor = from;
    }

    /// Takes the line away, and remembers it unless it is blank or was the last one already.
    fn accept(&mut self) -> String {
        self.cursor = 0;
        self.recalled = None;
        let line = std::mem::take(&mut self.line);
        if !line.trim().is_empty() && self.history.back() != Some(&line) {
            if self.history.len() == HISTORY_LINES_MAX {
                self.history.pop_front();
            }
            self.history.push_back(line.clone());
        }
        line
    }

    fn recall(&mut self, step: isize) {
        let shown = self.recalled.as_ref().map_or(self.history.len(), |(at, _)| *at);
        let Some(wanted) = shown.checked_add_signed(step).filter(|&at| at <= self.history.len()) else { return };
        let draft = match self.recalled.take() {
            Some((_, draft)) => draft,
            None => std::mem::take(&mut self.line),
        };
        match self.history.get(wanted) {
            Some(line) => {
                self.line = line.clone();
                self.recalled = Some((wanted, draft));
            }
            None => self.line = draft,
        }
        self.cursor = self.line.len();
    }

    fn before(&self) -> usize {
        self.line[..self.cursor].grapheme_indices(true).next_back().map_or(0, |(at, _)| at)
    }

    fn after(&self) -> usize {
        self.cursor + self.line[self.cursor..].graphemes(true).next().map_or(0, str::len)
    }

    fn word_before(&self) -> usize {
        let before = self.line[..self.cursor].trim_end();
        before.char_indices().rev().find(|(_, c)| c.is_whitespace()).map_or(0, |(at, c)| at + c.len_utf8())
    }

    fn word_after(&self) -> usize {
        let rest = &self.line[self.cursor..];
        let blank = rest.len() - rest.trim_start().len();
        let word = rest[blank..].find(char::is_whitespace).unwrap_or(rest.len() - blank);
        self.cursor + blank + word
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn typed(text: &str) -> Editor {
        let mut editor = Editor::default();
        for c in text.chars() {
            editor.press(Key::Char(c));
        }
        editor
    }

    fn press(editor: &mut Editor, keys: &[Key]) {
        for &key in keys {
            assert_eq!(editor.press(key), None);
        }
    }

    #[test]
    fn a_line_is_edited() {
        let mut editor = typed("one two");
        press(&mut editor, &[Key::WordLeft, Key::Char('x'), Key::Delete, Key::End, Key::Backspace, Key::Home]);
        press(&mut editor, &[Key::Right, Key::KillToEnd, Key::Char('!')]);
        assert_eq!(editor.press(Key::Enter), Some(Action::Line("o!".to_owned())));
        assert_eq!(editor.press(Key::EndOfInput), Some(Action::EndOfInput));
    }

    #[test]
    fn what_the_eye_sees_as_one_is_removed_as_one() {
        let mut editor = typed("a👩‍👩‍👧é");
        press(&mut editor, &[Key::Backspace, Key::Backspace]);
        assert_eq!(editor.view(80).text, "a");
    }

    #[test]
    fn end_of_input_within_a_line_deletes() {
        let mut editor = typed("ab");
        press(&mut editor, &[Key::Home, Key::EndOfInput]);
        assert_eq!(editor.press(Key::Enter), Some(Action::Line("b".to_owned())));
    }

    #[test]
    fn earlier_lines_come_back_and_the_draft_is_kept() {
        let mut editor = typed("one");
        editor.press(Key::Enter);
        press(&mut editor, &[Key::Char('d'), Key::Up, Key::Up]);
        assert_eq!(editor.view(80).text, "one");
        press(&mut editor, &[Key::Down, Key::Down]);
        assert_eq!(editor.view(80), View { text: "d".to_owned(), cursor: 1 });
    }

    #[test]
    fn a_long_line_scrolls_with_its_cursor() {
        let mut editor = typed(&"0123456789".repeat(3));
        assert_eq!(editor.view(11), View { text: "0123456789".to_owned(), cursor: 10 });
        press(&mut editor, &[Key::Left]);
        assert_eq!(editor.view(11), View { text: "3456789".to_owned(), cursor: 6 });
        press(&mut editor, &[Key::Home]);
        assert_eq!(editor.view(11), View { text: "0123456789".to_owned(), cursor: 0 });
    }

    #[test]
    fn a_wide_character_is_never_cut() {
        assert_eq!(typed("世世世").view(6), View { text: "世世".to_owned(), cursor: 4 });
    }

    #[test]
    fn pasted_controls_show_as_escapes() {
        assert_eq!(typed("a\u{202e}\tb").view(80).text, "a\\u{202e}\\tb");
    }

    proptest! {
        #[test]
        fn the_view_fits_and_holds_the_cursor(text in any::<String>(), keys in proptest::collection::vec(0..12usize, 0..40), columns in 2..40usize) {
            let mut editor = typed(&text);
            let all = [Key::Left, Key::Right, Key::WordLeft, Key::WordRight, Key::Home, Key::End, Key::Backspace, Key::Delete,
                Key::Char('x'), Key::KillWord, Key::Up, Key::Down];
            for key in keys {
                editor.press(all[key]);
                prop_assert!(editor.line.is_char_boundary(editor.cursor));
            }
            let view = editor.view(columns);
            prop_assert!(view.text.width() < columns, "{:?} in {}", view, columns);
            prop_assert!(view.cursor < columns);
        }
    }
}
