//! The input line of the full-screen client: a text of several rows for each room, with its history. Pure state, no
//! terminal.
//!
//! Text is never lost here: what is killed or cleared can be yanked or undone, a draft stays with its room, and a text
//! that does not fit is refused as a whole, so that the caller still has it.

mod drafts;
mod recalling;
mod search;

use std::collections::HashMap;

use thiserror::Error;

use self::search::Search;
use super::commands::sent_text;
use super::keys::Edit;
use crate::editing::{Completion, History, Motion, Recall, TextBuffer, Wanted};
use crate::limits::BODY_BYTES_MAX;
use crate::names::RoomName;

pub use self::search::Searching;

/// The longest text, in bytes. More than the maximum of a body, so that a long text can be shortened; still so short
/// that each key is shown at once.
pub const TEXT_BYTES_MAX: usize = 4 * BODY_BYTES_MAX;

/// The longest text that replaces another, in bytes: as much as `$EDITOR` may give back, so that it is never lost.
pub const REPLACED_BYTES_MAX: usize = 1024 * 1024;

/// How many lines the history of a room keeps, and that of all rooms.
pub const ROOM_LINES_MAX: usize = 100;
pub const ALL_LINES_MAX: usize = 1000;

/// The counter is shown when fewer bytes are left.
pub const COUNTED_BYTES: usize = 1024;

/// A text that would be longer than [`TEXT_BYTES_MAX`], or than [`REPLACED_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the text is {bytes} bytes too long for the input: shorten it, or use /editor")]
pub struct DoesNotFit {
    /// How many bytes are too many.
    pub bytes: usize,
}

/// The input line.
#[derive(Debug)]
pub struct LineEditor {
    /// The room of the shown line; `None` before one is joined.
    room: Option<RoomName>,
    lines: HashMap<Option<RoomName>, Line>,
    all: History,
    killed: String,
    /// The last key killed text to the left or (true) to the right, so that another kill adds to it.
    killing: Option<bool>,
    /// The current completion, until another key is pressed.
    completion: Option<Completion>,
    /// A search in the history of all rooms.
    search: Option<Search>,
}

/// The line of a room.
#[derive(Debug)]
struct Line {
    text: TextBuffer,
    history: History,
    recall: Recall,
    /// The shown line is from the history of all rooms.
    recalls_all: bool,
}

impl Default for Line {
    fn default() -> Self {
        let history = History::new(ROOM_LINES_MAX);
        Self { text: TextBuffer::default(), history, recall: Recall::default(), recalls_all: false }
    }
}

/// How long the text to send is, near the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    pub bytes: usize,
    pub bytes_max: usize,
}

impl Default for LineEditor {
    fn default() -> Self {
        Self {
            room: None,
            lines: HashMap::from([(None, Line::default())]),
            all: History::new(ALL_LINES_MAX),
            killed: String::new(),
            killing: None,
            completion: None,
            search: None,
        }
    }
}

impl LineEditor {
    /// Shows the line of another room. The line of this room stays as its draft.
    pub fn switch_to(&mut self, room: Option<&RoomName>) {
        self.end_search(false);
        self.settle();
        self.room = room.cloned();
        self.lines.entry(self.room.clone()).or_default();
    }

    /// The typed text.
    pub fn text(&self) -> &str {
        self.line().text.text()
    }

    /// The position of the cursor in the text, in bytes.
    pub fn cursor(&self) -> usize {
        self.line().text.cursor()
    }

    /// Whether nothing is typed, and no search has begun.
    pub fn is_empty(&self) -> bool {
        self.line().text.is_empty() && self.search.is_none()
    }

    /// The length of the text to send, if it is near the limit or beyond.
    pub fn counter(&self) -> Option<Counter> {
        let bytes = sent_text(self.text())?.len();
        (bytes + COUNTED_BYTES > BODY_BYTES_MAX).then_some(Counter { bytes, bytes_max: BODY_BYTES_MAX })
    }

    /// Inserts a typed character.
    pub fn type_char(&mut self, c: char) -> Result<(), DoesNotFit> {
        if let Some(search) = &mut self.search {
            search.extend(c.encode_utf8(&mut [0; 4]), &self.all);
            self.show_found();
            return Ok(());
        }
        self.insert_text(c.encode_utf8(&mut [0; 4]), true)
    }

    /// Inserts a pasted text. It is one change for undo.
    pub fn insert(&mut self, text: &str) -> Result<(), DoesNotFit> {
        self.end_search(true);
        self.insert_text(text, false)
    }

    fn insert_text(&mut self, text: &str, is_typed: bool) -> Result<(), DoesNotFit> {
        let bytes = (self.text().len() + text.len()).saturating_sub(TEXT_BYTES_MAX);
        if bytes > 0 {
            return Err(DoesNotFit { bytes });
        }
        self.settle();
        let line = self.line_mut();
        line.text.before_change(is_typed);
        line.text.insert_text(text);
        Ok(())
    }

    /// Makes a change. False: there was nothing to change.
    pub fn edit(&mut self, edit: Edit) -> bool {
        match (&mut self.search, edit) {
            (Some(search), Edit::SearchHistory | Edit::Backspace) => {
                let found = if edit == Edit::Backspace { search.shorten(&self.all) } else { search.next(&self.all) };
                self.show_found();
                return found;
            }
            (None, Edit::SearchHistory) => {
                self.settle();
                let line = self.line_mut();
                line.text.before_change(false);
                let (text, cursor) = (line.text.text().to_owned(), line.text.cursor());
                self.search = Some(Search::new(text, cursor));
                return true;
            }
            _ => drop(self.end_search(true)),
        }
        let killing = self.killing.take();
        self.completion = None;
        let line = self.lines.entry(self.room.clone()).or_default();
        let (before, cursor) = (line.text.text().len(), line.text.cursor());
        if edit == Edit::Undo {
            if line.text.undo() {
                line.recall.end();
                return true;
            }
            return false;
        }
        line.text.before_change(false);
        match edit {
            Edit::Left => line.text.go(Motion::Left),
            Edit::Right => line.text.go(Motion::Right),
            Edit::WordLeft => line.text.go(Motion::WordLeft),
            Edit::WordRight => line.text.go(Motion::WordRight),
            Edit::LineStart => line.text.go(Motion::RowStart),
            Edit::LineEnd => line.text.go(Motion::RowEnd),
            Edit::Up | Edit::Down => {
                return line.text.go_row(edit == Edit::Down) || self.recall(edit == Edit::Up, false);
            }
            Edit::UpInAll | Edit::DownInAll => return self.recall(edit == Edit::UpInAll, true),
            Edit::NewLine => return self.insert_text("\n", false).is_ok(),
            Edit::Backspace => drop(line.text.remove(Motion::Left)),
            Edit::Delete => drop(line.text.remove(Motion::Right)),
            Edit::KillWordLeft => self.kill(Motion::WordLeft, killing),
            Edit::KillBlankWordLeft => self.kill(Motion::BlankWordLeft, killing),
            Edit::KillWordRight => self.kill(Motion::WordRight, killing),
            Edit::KillToStart => self.kill(Motion::RowStart, killing),
            Edit::KillToEnd => self.kill(Motion::RowEnd, killing),
            Edit::Yank => {
                let killed = self.killed.clone();
                return !killed.is_empty() && self.insert_text(&killed, false).is_ok();
            }
            Edit::Transpose => line.text.transpose(),
            Edit::Undo | Edit::SearchHistory => {}
        }
        let line = self.line();
        (line.text.text().len(), line.text.cursor()) != (before, cursor)
    }

    /// Puts the cursor there, in bytes: into another row of the screen.
    pub fn move_to(&mut self, cursor: usize) {
        self.end_search(true);
        self.settle();
        let line = self.line_mut();
        line.text.before_change(false);
        line.text.change(|_| cursor);
    }

    /// Completes the word before the cursor, or shows the next match of the current completion. False: nothing fits.
    pub fn complete(&mut self, back: bool, candidates: impl FnOnce(Wanted) -> Vec<String>) -> bool {
        self.end_search(true);
        self.killing = None;
        let line = self.lines.entry(self.room.clone()).or_default();
        let (before, after) = line.text.text().split_at(line.text.cursor());
        let found = self.completion.take().or_else(|| Completion::find(before, after, candidates));
        let Some(mut completion) = found else { return false };
        line.text.before_change(false);
        line.text.change(|text| completion.step(text, back));
        self.completion = Some(completion);
        true
    }

    /// The matches of the current completion, and which of them is shown.
    pub fn completing(&self) -> Option<(&[String], Option<usize>)> {
        self.completion.as_ref().map(Completion::matches)
    }

    /// Enter was pressed: the text, which stays until [`take`](Self::take). `None`: a search ended, with what it found
    /// as the text. It is sent with another Enter, so that nothing old is sent unread.
    pub fn enter(&mut self) -> Option<&str> {
        match self.end_search(true) {
            true => None,
            false => Some(self.text()),
        }
    }

    /// Takes the text, which is sent or executed, and adds it to the histories.
    pub fn take(&mut self) -> String {
        self.end_search(true);
        self.settle();
        let line = self.line_mut();
        line.recall.end();
        let text = line.text.take();
        line.history.push(&text);
        self.all.push(&text);
        text
    }

    /// Abandons a search or a completion. False: there was none.
    pub fn cancel(&mut self) -> bool {
        self.end_search(false) | self.completion.take().is_some()
    }

    /// Clears the line, so that undo and yank restore it. False: it was empty.
    pub fn clear(&mut self) -> bool {
        if self.cancel() {
            return true;
        }
        self.killing = None;
        let line = self.lines.entry(self.room.clone()).or_default();
        if line.text.is_empty() {
            return false;
        }
        line.text.before_change(false);
        self.killed = line.text.text().to_owned();
        line.text.set_at_end(String::new());
        line.recall.end();
        true
    }

    /// Replaces the text, which undo restores: with the one that came back from `$EDITOR`, or a message to edit. It may
    /// be longer than one that is typed, so that it can be shortened.
    pub fn replace(&mut self, text: &str) -> Result<(), DoesNotFit> {
        let bytes = text.len().saturating_sub(REPLACED_BYTES_MAX);
        if bytes > 0 {
            return Err(DoesNotFit { bytes });
        }
        self.end_search(false);
        self.settle();
        let line = self.line_mut();
        line.text.before_change(false);
        line.text.set_at_end(text.to_owned());
        Ok(())
    }

    /// Has Ctrl-Y insert this. False: it would not fit.
    pub fn keep_killed(&mut self, text: &str) -> bool {
        let fits = self.text().len() + text.len() <= TEXT_BYTES_MAX;
        if fits {
            self.killing = None;
            self.killed = text.to_owned();
        }
        fits
    }

    fn line(&self) -> &Line {
        // Invariant: the line of the shown room is there.
        &self.lines[&self.room]
    }

    fn line_mut(&mut self) -> &mut Line {
        self.lines.entry(self.room.clone()).or_default()
    }

    /// Ends what continues only with keys of its kind.
    fn settle(&mut self) {
        self.killing = None;
        self.completion = None;
    }

    fn kill(&mut self, motion: Motion, killing: Option<bool>) {
        let line = self.lines.entry(self.room.clone()).or_default();
        let to_right = line.text.at(motion) > line.text.cursor();
        let text = line.text.remove(motion);
        match killing {
            _ if text.is_empty() => {}
            Some(true) if to_right => self.killed.push_str(&text),
            Some(false) if !to_right => self.killed.insert_str(0, &text),
            _ => self.killed = text,
        }
        self.killing = Some(to_right);
    }
}

#[cfg(test)]
mod tests;
