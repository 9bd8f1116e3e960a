//! Pasted text: what arrives, what it means, and the question before a long one.
//!
//! A paste is one text, however many lines it has; Enter sends it as one message. From [`ASKED_LINES`] lines or
//! [`ASKED_BYTES`] bytes on, the user is asked first. Nothing is sent by a paste alone.

mod clean;

use std::time::{Duration, Instant};

use crossterm::event::{KeyCode, KeyEvent};

use super::keys::Key;
use crate::limits::BODY_BYTES_MAX;
use crate::names::{Body, Kind};

pub use self::clean::clean;

/// From how many lines or bytes on a paste is asked about.
pub const ASKED_LINES: usize = 6;
pub const ASKED_BYTES: usize = 4 * 1024;

/// The longest paste that is taken, in bytes. The rest is dropped.
pub const PASTE_BYTES_MAX: usize = 1024 * 1024;

/// How many messages a paste may become. More would flood the room, and the server takes them only slowly.
pub const EACH_MAX: usize = 50;

/// A letter is an answer to the question about a paste only if nothing was typed for this long: somebody who is typing a
/// word has not read the question.
const READING_TIME: Duration = Duration::from_millis(500);

/// No person presses Enter so soon after a paste, or after the key before it.
const TOO_SOON: Duration = Duration::from_millis(30);

/// A pasted text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paste {
    text: String,
    /// Its end is missing, because it was too long.
    pub is_cut: bool,
}

/// What is done with a paste.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// There was nothing in it.
    Nothing,
    /// Insert this into the input line.
    Insert(String),
    Ask(Question),
}

/// How a long paste is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Choice {
    /// Into the input line, as one message.
    AsOne,
    /// Into `$EDITOR`.
    Edit,
    /// Each line as a message of its own, at once.
    OneEach,
    Cancel,
}

/// What the answer to a question leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Insert(String),
    Edit(String),
    /// Send these, as text: a line that begins with a slash is no command here.
    Send(Vec<(Body, Kind)>),
    Nothing,
}

/// The question about a long paste.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    text: String,
    /// How long the text in the input line is.
    typed_bytes: usize,
}

impl Paste {
    /// Takes what the terminal passed on. Line ends of all systems become line feeds, what a terminal multiplexer made
    /// of them too; other control characters and escape sequences are left out.
    pub fn new(raw: &str) -> Self {
        let mut end = raw.len().min(PASTE_BYTES_MAX);
        while !raw.is_char_boundary(end) {
            end -= 1;
        }
        Self { text: clean(&raw[..end]), is_cut: end < raw.len() }
    }

    /// What is done with it, in an input line that has so many bytes already. Lists and searches take
    /// [`in_one_line`](Self::in_one_line) instead.
    pub fn plan(self, typed_bytes: usize) -> Plan {
        let Self { text, .. } = self;
        if text.trim().is_empty() {
            // Blanks may be meant, line breaks alone are not.
            let blanks = text.replace('\n', "");
            return if blanks.is_empty() { Plan::Nothing } else { Plan::Insert(blanks) };
        }
        let text = without_last_break(text);
        let is_long = text.lines().count() >= ASKED_LINES || text.len() >= ASKED_BYTES;
        let fits = typed_bytes + text.len() <= BODY_BYTES_MAX;
        match is_long || !fits {
            true => Plan::Ask(Question { text, typed_bytes }),
            false => Plan::Insert(text),
        }
    }

    /// The text in one line, for the filter of a list or a search.
    pub fn in_one_line(&self) -> String {
        self.text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// A line that was copied as a whole has a break at its end, which is not meant.
fn without_last_break(mut text: String) -> String {
    text.truncate(text.trim_end_matches('\n').len());
    text
}

impl Question {
    /// Adds another paste, in lines of its own. False: it would be too long, and nothing has changed.
    pub fn add(&mut self, paste: Paste) -> bool {
        let text = without_last_break(paste.text);
        let fits = self.text.len() + 1 + text.len() <= PASTE_BYTES_MAX;
        if fits && !text.trim().is_empty() {
            self.text = format!("{}\n{text}", without_last_break(std::mem::take(&mut self.text)));
        }
        fits
    }

    /// Adds a key that belongs to the paste. What would make it too long is left out, as the end of a long paste is.
    pub fn add_char(&mut self, c: char) {
        if self.text.len() + c.len_utf8() <= PASTE_BYTES_MAX {
            self.text.push(c);
        }
    }

    /// The question, in a line: `paste of 12 lines (634 bytes)?`.
    pub fn prompt(&self) -> String {
        let lines = self.text().lines().count();
        let lines = if lines == 1 { "1 line".to_owned() } else { format!("{lines} lines") };
        let bytes = self.text().len();
        let limit = format!(", more than the {BODY_BYTES_MAX} bytes of a message");
        format!("paste of {lines} ({bytes} bytes{})?", if bytes > BODY_BYTES_MAX { &limit } else { "" })
    }

    /// The possible answers, each with its key and what it does.
    pub fn choices(&self) -> impl Iterator<Item = (char, Choice, String)> {
        let fits = self.typed_bytes + self.text().len() <= BODY_BYTES_MAX;
        let as_one = fits.then(|| (Choice::AsOne, "one message".to_owned()));
        let each = each(&self.text).map(|each| each.len()).filter(|count| *count > 1);
        let each = each.map(|count| (Choice::OneEach, format!("{count} messages")));
        let edit = (Choice::Edit, "edit it first".to_owned());
        let all = [as_one, Some(edit), each, Some((Choice::Cancel, "cancel".to_owned()))];
        all.into_iter().flatten().map(|(choice, text)| (choice.key(), choice, text))
    }

    pub fn text(&self) -> &str {
        self.text.trim_end_matches('\n')
    }

    /// The answer of a key. Enter is none: it may have been meant for something else.
    pub fn choice(&self, event: &KeyEvent) -> Option<Choice> {
        let key = Key::of_event(event)?;
        if key.abandons() {
            return Some(Choice::Cancel);
        }
        let typed = key.text()?.to_ascii_lowercase();
        self.choices().find(|(letter, ..)| *letter == typed).map(|(_, choice, _)| choice)
    }

    /// What the choice leads to.
    pub fn answer(self, choice: Choice) -> Answer {
        match choice {
            Choice::AsOne => Answer::Insert(without_last_break(self.text)),
            Choice::Edit => Answer::Edit(without_last_break(self.text)),
            Choice::OneEach => each(&self.text).map_or(Answer::Nothing, Answer::Send),
            Choice::Cancel => Answer::Nothing,
        }
    }
}

impl Choice {
    fn key(self) -> char {
        match self {
            Self::AsOne => 'o',
            Self::Edit => 'e',
            Self::OneEach => 'm',
            Self::Cancel => 'c',
        }
    }
}

/// The lines as messages, without blank ones. `None`: there are too many, or one can't be sent.
fn each(text: &str) -> Option<Vec<(Body, Kind)>> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let bodies = lines.take(EACH_MAX + 1).map(|line| Body::new(line).ok().map(|body| (body, Kind::Text)));
    bodies.collect::<Option<Vec<_>>>().filter(|bodies| bodies.len() <= EACH_MAX)
}

/// Notices keys that no person presses: those that follow a paste at once. A paste that contains the mark of its own
/// end would otherwise send itself, or execute commands.
#[derive(Debug, Default)]
pub struct PasteWatch {
    /// When the last paste, or the last key at once after it, came.
    last: Option<Instant>,
    /// When a question appeared, or the last key came that was no answer to it.
    asked: Option<Instant>,
}

impl PasteWatch {
    /// A paste came.
    pub fn pasted(&mut self, now: Instant) {
        self.last = Some(now);
    }

    /// A question has appeared, or a key came that is no answer to it.
    pub fn asked(&mut self, now: Instant) {
        self.asked = Some(now);
    }

    /// Whether a letter may be an answer to the question.
    pub fn may_answer(&self, now: Instant) -> bool {
        self.asked.is_none_or(|asked| now.saturating_duration_since(asked) >= READING_TIME)
    }

    /// Whether a key belongs to the paste before it: Enter is a line break then, and other keys but text do nothing.
    pub fn belongs(&mut self, event: &KeyEvent, now: Instant) -> Option<Stray> {
        let last = self.last?;
        if now.saturating_duration_since(last) >= TOO_SOON {
            self.last = None;
            return None;
        }
        self.last = Some(now);
        Some(match (event.code, Key::of_event(event).and_then(Key::text)) {
            (KeyCode::Enter, _) => Stray::LineBreak,
            (_, Some(c)) => Stray::Text(c),
            _ => Stray::Nothing,
        })
    }
}

/// A key that belongs to a paste.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stray {
    LineBreak,
    Text(char),
    Nothing,
}

#[cfg(test)]
mod tests;
