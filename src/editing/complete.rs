//! Completion with Tab: commands at the start of the line, the rooms of a command, rooms after a hash, emojis after a
//! colon, and users' names everywhere else. Pure logic.

use super::emoji_names::EMOJI_NAMES;
use super::slash::{Slashed, slashed};

/// The candidates at the cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A command of this client, without its slash.
    Command,
    Person,
    /// A room, without its hash.
    Room,
}

/// A completion that continues while only Tab is pressed: each Tab shows the next match, and after the last one the
/// typed text.
#[derive(Debug)]
pub struct Completion {
    /// The position of the texts in the line, in bytes.
    start: usize,
    /// The length of the current text.
    len: usize,
    /// The matches, followed by the typed text.
    texts: Vec<String>,
    shown: usize,
}

/// The commands whose argument is a room.
const ROOM_COMMANDS: [&str; 14] =
    ["join", "j", "leave", "part", "l", "close", "wc", "go", "mute", "unmute", "who", "w", "names", "n"];

/// After so many letters of its name, an emoji is completed. `:p` alone is a face.
const EMOJI_LETTERS_MIN: usize = 2;

impl Completion {
    /// Finds the completions of the end of `before`, the line before the cursor. `None` if nothing matches.
    pub fn find(before: &str, after: &str, candidates: impl FnOnce(Wanted) -> Vec<String>) -> Option<Self> {
        let word = before.rfind(char::is_whitespace).map_or(0, |at| at + width_at(before, at));
        // What follows already is not repeated.
        let blank = if after.starts_with(|c: char| c.is_whitespace() || c == ':') { "" } else { " " };
        let address = match after.chars().next() {
            Some(':') => "",
            Some(c) if c.is_whitespace() => ":",
            _ => ": ",
        };
        let typed = &before[word..];
        let (start, wanted, end) = match typed.chars().next() {
            Some('/') if word == 0 => (1, Wanted::Command, blank),
            Some('#') => (word + 1, Wanted::Room, blank),
            Some(':') if is_emoji(&typed[1..]) => return Self::emoji(word, &typed[1..], blank),
            Some('@') => (word + 1, Wanted::Person, blank),
            _ if takes_room(before) => (word, Wanted::Room, blank),
            _ => (word, Wanted::Person, if word == 0 { address } else { blank }),
        };
        let key = before[start..].to_lowercase();
        let fits = |candidate: &String| starts_with(candidate, &key);
        let mut matches: Vec<_> = candidates(wanted).into_iter().filter(fits).collect();
        // Those that are written as the typed text come first.
        matches.sort_by_key(|candidate| !candidate.starts_with(&before[start..]));
        Self::new(start, &before[start..], matches.into_iter().map(|candidate| candidate + end).collect())
    }

    fn emoji(start: usize, typed: &str, end: &str) -> Option<Self> {
        let name = typed.trim_end_matches(':').to_lowercase();
        let mut named: Vec<_> = EMOJI_NAMES.iter().filter(|(known, _)| known.starts_with(&name)).collect();
        // The whole name first; otherwise in the order of the table, which has usual ones first.
        named.sort_by_key(|(known, _)| *known != name);
        let mut texts: Vec<String> = Vec::new();
        for (_, emoji) in named {
            let text = format!("{emoji}{end}");
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        Self::new(start, &format!(":{typed}"), texts)
    }

    fn new(start: usize, typed: &str, mut texts: Vec<String>) -> Option<Self> {
        texts.push(typed.to_owned());
        let shown = texts.len() - 1;
        (shown > 0).then_some(Self { start, len: typed.len(), texts, shown })
    }

    /// Inserts the next or the previous text into the line; returns the cursor's position.
    pub fn step(&mut self, line: &mut String, back: bool) -> usize {
        let count = self.texts.len();
        self.shown = (self.shown + if back { count - 1 } else { 1 }) % count;
        let text = &self.texts[self.shown];
        line.replace_range(self.start..self.start + self.len, text);
        self.len = text.len();
        self.start + self.len
    }

    /// The matches and which of them is shown, to be listed. None is, where the typed text is.
    pub fn matches(&self) -> (&[String], Option<usize>) {
        let count = self.texts.len() - 1;
        (&self.texts[..count], Some(self.shown).filter(|shown| *shown < count))
    }
}

/// Whether a name begins with the typed text in small letters. Names with brackets and other signs are completed by
/// their letters too: `fo` finds `[foo]`.
fn starts_with(name: &str, typed: &str) -> bool {
    let name = name.to_lowercase();
    let letters = name.trim_start_matches(|c: char| !c.is_alphanumeric());
    name.starts_with(typed) || !typed.is_empty() && letters.starts_with(typed)
}

/// Whether the word after a colon may be the name of an emoji.
fn is_emoji(name: &str) -> bool {
    let name = name.strip_suffix(':').unwrap_or(name);
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'+' | b'-');
    name.len() >= EMOJI_LETTERS_MIN && name.bytes().all(is_of_name)
}

/// Whether the line before the cursor is a command and the beginning of its only argument, a room.
fn takes_room(before: &str) -> bool {
    // The typed room may be empty still.
    let probe = format!("{before}x");
    match slashed(&probe) {
        Slashed::Command { name, argument } => {
            ROOM_COMMANDS.contains(&name.as_str()) && !argument.is_empty() && !argument.contains(char::is_whitespace)
        }
        _ => false,
    }
}

/// How many bytes the character there takes.
fn width_at(text: &str, at: usize) -> usize {
    text[at..].chars().next().map_or(0, char::len_utf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(wanted: Wanted) -> Vec<String> {
        let all: &[&str] = match wanted {
            Wanted::Command => &["help", "me", "who"],
            Wanted::Person => &["bob", "Björn", "ann", "Bo Diddley", "[foo]", "صديقي"],
            Wanted::Room => &["tea", "dev", "test"],
        };
        all.iter().map(|name| (*name).to_owned()).collect()
    }

    /// The line after each Tab, with the cursor as a bar. The bar in `line` is the initial cursor.
    fn tabs(line: &str, count: usize) -> Vec<String> {
        let (before, after) = line.split_once('|').unwrap();
        let Some(mut completion) = Completion::find(before, after, candidates) else { return Vec::new() };
        let mut line = format!("{before}{after}");
        let mut step = || {
            let cursor = completion.step(&mut line, false);
            format!("{}|{}", &line[..cursor], &line[cursor..])
        };
        (0..count).map(|_| step()).collect()
    }

    #[test]
    fn tab_cycles_through_the_names_and_the_typed_text() {
        assert_eq!(tabs("b|", 5), ["bob: |", "Björn: |", "Bo Diddley: |", "b|", "bob: |"]);
        assert_eq!(tabs("hi @an| there", 1), ["hi @ann| there"]);
        assert_eq!(tabs("hi\u{3000}AN|", 1), ["hi\u{3000}ann |"]);
        assert_eq!(tabs("|", 1), ["bob: |"]);
        assert_eq!(tabs("x|", 1), Vec::<String>::new());
    }

    #[test]
    fn commands_are_completed_at_the_start_of_the_line() {
        assert_eq!(tabs("/w|", 1), ["/who |"]);
        assert_eq!(tabs("/|", 3), ["/help |", "/me |", "/who |"]);
        assert_eq!(tabs("/me a|", 1), ["/me ann |"]);
        assert_eq!(tabs("x /w|", 1), Vec::<String>::new());
    }

    #[test]
    fn shift_tab_steps_back() {
        let mut completion = Completion::find("b", "", candidates).unwrap();
        let mut line = "b".to_owned();
        completion.step(&mut line, true);
        assert_eq!(line, "Bo Diddley: ");
        assert_eq!(completion.matches().1, Some(2));
        completion.step(&mut line, false);
        assert_eq!((line.as_str(), completion.matches().1), ("b", None));
    }

    #[test]
    fn rooms_are_completed_after_a_hash_and_for_commands() {
        assert_eq!(tabs("see #te|", 2), ["see #tea |", "see #test |"]);
        assert_eq!(tabs("/join te|", 1), ["/join tea |"]);
        assert_eq!(tabs("/JOIN #d|", 1), ["/JOIN #dev |"]);
        assert_eq!(tabs("/go |", 1), ["/go tea |"]);
        assert_eq!(tabs("/join tea te|", 1), Vec::<String>::new());
        assert_eq!(tabs("/join|", 1), Vec::<String>::new());
    }

    #[test]
    fn emojis_are_completed_after_a_colon() {
        assert_eq!(tabs(":wav|", 1), ["👋 |"]);
        assert_eq!(tabs("hi :wave:| x", 1), ["hi 👋| x"]);
        assert_eq!(tabs("x :tea|", 1), ["x 🍵 |"]);
        // The whole name comes first.
        assert_eq!([tabs(":ok|", 1), tabs(":ok_|", 1)], [["🆗 |"], ["👌 |"]]);
        // The typed text comes back.
        assert_eq!(tabs(":wav|", 2)[1], ":wav|");
        for text in [":p|", "a:wave|", "10:30|", "::|", ":)|", ":nosuchemoji|"] {
            assert_eq!(tabs(text, 1), Vec::<String>::new(), "{text}");
        }
    }

    /// WeeChat #1925: after a line break without a blank, nothing was completed. A name is no address there.
    #[test]
    fn words_after_a_line_break_are_completed() {
        assert_eq!(tabs("hello\nan|", 1), ["hello\nann |"]);
        assert_eq!(tabs("hello\n/w|", 1), Vec::<String>::new());
    }

    /// WeeChat #981, irssi #488: `j` offered James before john.
    #[test]
    fn names_that_are_written_as_typed_come_first() {
        assert_eq!(tabs("B|", 3), ["Björn: |", "Bo Diddley: |", "bob: |"]);
        assert_eq!(tabs("bo|", 2), ["bob: |", "Bo Diddley: |"]);
    }

    /// halloy #955: the last word was completed, not the one at the cursor. Chatterino #3225: a colon after the cursor
    /// was doubled.
    #[test]
    fn the_word_at_the_cursor_is_completed_and_what_follows_stays() {
        assert_eq!(tabs("bo| there ann", 1), ["bob:| there ann"]);
        assert_eq!(tabs("hi an|, you", 1), ["hi ann |, you"]);
        assert_eq!(tabs(":tea|: x", 1), ["🍵|: x"]);
        assert_eq!(tabs("an|:", 1), ["ann|:"]);
    }

    /// WeeChat #340: a name that begins with a bracket could not be completed, and what was typed vanished. toxic #263:
    /// after a name in another direction, nothing could be typed.
    #[test]
    fn names_with_signs_and_in_any_script_are_completed() {
        assert_eq!(tabs("hi fo|", 2), ["hi [foo] |", "hi fo|"]);
        assert_eq!(tabs("hi [f|", 1), ["hi [foo] |"]);
        assert_eq!(tabs("صد|", 1), ["صديقي: |"]);
    }
}
