//! The line editor: pure state, no terminal.
//!
//! The line is always shown in one row, scrolled sideways if it is longer. So it can be erased exactly, to insert
//! another line above, regardless of the terminal's character widths.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use super::keys::Key;
use crate::editing::{Completion, History, Motion, Recall, TextBuffer, Wanted};
use crate::escape::escape;
use crate::limits::BODY_BYTES_MAX;

/// How many lines the history keeps.
const HISTORY_LINES_MAX: usize = 100;

/// The longest line of a piped input that is held, in bytes. More than the maximum of a body, so that the error is
/// shown instead of a part of the line.
pub const LINE_BYTES_MAX: usize = 4 * BODY_BYTES_MAX;

/// The longest draft, in bytes, so that a long paste can be edited down to a body. The rest of a longer paste is
/// reported.
const DRAFT_BYTES_MAX: usize = 1024 * 1024;

/// The maximum number of bytes of a command before its text: `/say `.
const COMMAND_BYTES: usize = 5;

/// The line, its cursor, and the history.
#[derive(Debug)]
pub struct Editor {
    line: TextBuffer,
    history: History,
    recall: Recall,
    /// The last deleted text of more than a character.
    killed: String,
    /// A part of a paste did not fit into the draft.
    overflowed: bool,
    /// The current completion, until another key is pressed.
    completion: Option<Completion>,
}

impl Default for Editor {
    fn default() -> Self {
        Self {
            line: TextBuffer::default(),
            history: History::new(HISTORY_LINES_MAX),
            recall: Recall::default(),
            killed: String::new(),
            overflowed: false,
            completion: None,
        }
    }
}

/// The effect of a key beyond the line itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Line(String),
    /// The draft can't be sent, and stays where it is.
    TooLong(usize),
    EndOfInput,
    Interrupt,
    Suspend,
    Clear,
    /// The word before the cursor is to be completed, with the next match or with the one before.
    Complete {
        back: bool,
    },
}

/// The line as shown in one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    pub text: String,
    /// The columns of the text before the cursor.
    pub cursor: usize,
}

impl Editor {
    pub fn press(&mut self, key: Key) -> Option<Action> {
        if key != Key::Undo {
            self.line.before_change(matches!(key, Key::Char(_) | Key::Pasted(_) | Key::LineBreak));
        }
        if !matches!(key, Key::Complete | Key::CompleteBack) {
            self.completion = None;
        }
        match key {
            Key::Char(c) | Key::Pasted(c) => self.insert(c),
            Key::LineBreak => self.insert('\n'),
            Key::Enter if self.draft().trim().len() > BODY_BYTES_MAX + COMMAND_BYTES => {
                return Some(Action::TooLong(self.draft().trim_end().len()));
            }
            Key::Enter => return Some(Action::Line(self.accept())),
            Key::Backspace => drop(self.line.remove(Motion::Left)),
            Key::Delete => drop(self.line.remove(Motion::Right)),
            Key::Left => self.line.go(Motion::Left),
            Key::Right => self.line.go(Motion::Right),
            Key::WordLeft => self.line.go(Motion::BlankWordLeft),
            Key::WordRight => self.line.go(Motion::BlankWordRight),
            Key::Home => self.line.go(Motion::Start),
            Key::End => self.line.go(Motion::End),
            Key::Up => self.recall(true),
            Key::Down => self.recall(false),
            Key::KillToEnd => self.kill(Motion::End),
            Key::KillToStart => self.kill(Motion::Start),
            Key::KillWord => self.kill(Motion::BlankWordLeft),
            Key::KillWordRight => self.kill(Motion::BlankWordRight),
            Key::Yank => std::mem::take(&mut self.killed).chars().for_each(|c| {
                self.insert(c);
                self.killed.push(c);
            }),
            Key::Undo => self.undo(),
            Key::Complete => return Some(Action::Complete { back: false }),
            Key::CompleteBack => return Some(Action::Complete { back: true }),
            Key::Redraw => return Some(Action::Clear),
            Key::Interrupt => return Some(Action::Interrupt),
            Key::Suspend => return Some(Action::Suspend),
            Key::EndOfInput if self.line.is_empty() => return Some(Action::EndOfInput),
            Key::EndOfInput => drop(self.line.remove(Motion::Right)),
        }
        None
    }

    /// Completes the word before the cursor, or shows the next match of the current completion.
    pub fn complete(&mut self, back: bool, candidates: impl FnOnce(Wanted) -> Vec<String>) {
        let (before, after) = self.line.text().split_at(self.line.cursor());
        let found = self.completion.take().or_else(|| Completion::find(before, after, candidates));
        if let Some(mut completion) = found {
            self.line.change(|line| completion.step(line, back));
            self.completion = Some(completion);
        }
    }

    /// The line for a row of this many columns, with the cursor visible.
    pub fn view(&self, columns: usize) -> View {
        let room = columns.max(2) - 1;
        let (before, after) = self.line.text().split_at(self.line.cursor());
        // A line break is shown as one character, since the draft has one row.
        let shown = |text: &str| escape(&text.replace('\n', "↵")).into_owned();
        let width = |text: &str| shown(text).width();
        // At the end of the line the cursor may be at the right edge; elsewhere some of the following text is visible.
        let room_before = if after.is_empty() { room } else { room * 2 / 3 };
        let mut start = before.len();
        let mut cursor = 0;
        for (at, cluster) in before.grapheme_indices(true).rev() {
            let wider = cursor + width(cluster);
            if wider > room_before {
                break;
            }
            (start, cursor) = (at, wider);
        }
        let mut text = shown(&before[start..]);
        let mut used = cursor;
        for cluster in after.graphemes(true) {
            used += width(cluster);
            if used > room {
                break;
            }
            text.push_str(&shown(cluster));
        }
        View { text, cursor }
    }

    fn insert(&mut self, c: char) {
        if self.line.text().len() + c.len_utf8() <= DRAFT_BYTES_MAX {
            self.line.insert(c);
        } else {
            self.overflowed = true;
        }
    }

    /// Whether text was dropped since the last call, because the draft was full.
    pub fn take_overflow(&mut self) -> bool {
        std::mem::take(&mut self.overflowed)
    }

    /// The typed text that was not entered.
    pub fn draft(&self) -> &str {
        self.line.text()
    }

    /// Restores a line that could not be sent as the draft, unless another text was typed meanwhile. The cursor goes to
    /// its end, or to its start.
    pub fn restore(&mut self, line: &str, at_end: bool) -> bool {
        let free = self.line.is_empty();
        if free {
            self.line.set(line.to_owned(), if at_end { line.len() } else { 0 });
        }
        free
    }

    fn kill(&mut self, motion: Motion) {
        let killed = self.line.remove(motion);
        if !killed.is_empty() {
            self.killed = killed;
        }
    }

    fn undo(&mut self) {
        if self.line.undo() {
            self.recall.end();
        }
    }

    /// Takes the line, and adds it to the history.
    fn accept(&mut self) -> String {
        self.recall.end();
        let line = self.line.take();
        self.history.push(&line);
        line
    }

    fn recall(&mut self, back: bool) {
        if let Some(line) = self.recall.step(&self.history, back, self.line.text()) {
            self.line.set_at_end(line);
        }
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
    fn a_grapheme_is_removed_as_a_whole() {
        let mut editor = typed("a👩‍👩‍👧é");
        press(&mut editor, &[Key::Backspace, Key::Backspace]);
        assert_eq!(editor.view(80).text, "a");
    }

    #[test]
    fn end_of_input_deletes_within_a_line() {
        let mut editor = typed("ab");
        press(&mut editor, &[Key::Home, Key::EndOfInput]);
        assert_eq!(editor.press(Key::Enter), Some(Action::Line("b".to_owned())));
    }

    #[test]
    fn earlier_lines_are_recalled_and_the_draft_is_kept() {
        let mut editor = typed("one");
        editor.press(Key::Enter);
        press(&mut editor, &[Key::Char('d'), Key::Up, Key::Up]);
        assert_eq!(editor.view(80).text, "one");
        press(&mut editor, &[Key::Down, Key::Down]);
        assert_eq!(editor.view(80), View { text: "d".to_owned(), cursor: 1 });
    }

    /// A regression: a word deleted by mistake was gone, and Alt-D did nothing.
    #[test]
    fn deleted_text_can_be_restored() {
        let mut editor = typed("one two");
        press(&mut editor, &[Key::KillWord, Key::Home, Key::Yank]);
        assert_eq!(editor.view(80), View { text: "twoone ".to_owned(), cursor: 3 });
        press(&mut editor, &[Key::KillWordRight]);
        assert_eq!(editor.draft(), "two ");
        press(&mut editor, &[Key::Undo, Key::Undo, Key::Undo]);
        assert_eq!(editor.draft(), "one two");
        press(&mut editor, &[Key::Undo, Key::Undo, Key::Undo]);
        assert_eq!(editor.draft(), "");
    }

    /// A regression: the part of a paste beyond 64 KiB was dropped without a notice, and a draft that was too long to
    /// send was lost.
    #[test]
    fn a_draft_that_is_too_long_stays() {
        let mut editor = typed(&"x".repeat(DRAFT_BYTES_MAX + 1));
        assert!(editor.take_overflow() && !editor.take_overflow());
        assert_eq!(editor.press(Key::Enter), Some(Action::TooLong(DRAFT_BYTES_MAX)));
        press(&mut editor, &[Key::KillToStart, Key::Char('x'), Key::LineBreak, Key::Pasted('y')]);
        assert_eq!(editor.view(80).text, "x↵y");
        assert_eq!(editor.press(Key::Enter), Some(Action::Line("x\ny".to_owned())));
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
    fn tab_completes_until_another_key_is_pressed() {
        let names = |_: Wanted| vec!["bob".to_owned(), "bo".to_owned()];
        let mut editor = typed("hi b");
        for shown in ["hi bob ", "hi bo ", "hi b", "hi bob "] {
            assert_eq!(editor.press(Key::Complete), Some(Action::Complete { back: false }));
            editor.complete(false, names);
            assert_eq!(editor.view(80), View { text: shown.to_owned(), cursor: shown.len() });
        }
        press(&mut editor, &[Key::Char('b')]);
        editor.press(Key::CompleteBack);
        editor.complete(true, names);
        assert_eq!(editor.draft(), "hi bob bo ");
        press(&mut editor, &[Key::Undo]);
        assert_eq!(editor.draft(), "hi bob b");
    }

    #[test]
    fn a_wide_character_is_not_split() {
        assert_eq!(typed("世世世").view(6), View { text: "世世".to_owned(), cursor: 4 });
    }

    #[test]
    fn pasted_control_characters_are_escaped() {
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
                prop_assert!(editor.line.text().is_char_boundary(editor.line.cursor()));
            }
            let view = editor.view(columns);
            prop_assert!(view.text.width() < columns, "{:?} in {}", view, columns);
            prop_assert!(view.cursor < columns);
        }
    }
}
