//! Parses an entered line: text to send, or a command of this client.
//!
//! A line that begins with `/` is sent only as `/me`, `/say` or `//…`. Any other line that looks like a command is not
//! sent, so that a mistyped command is never shown to others.

use crate::editing::change_commands::{self, ChangeCommand};
use crate::editing::{Slashed, refuse_unknown, room, slashed};
use crate::names::{Kind, RoomName};

/// The text of `/help`.
pub const HELP: [&str; 16] = [
    "/me waves: send an action, shown as *ann* waves",
    "/say TEXT, or //text: send a text that begins with a slash",
    "/edit TEXT: replace the text of your last message; /edit alone puts it into the draft; /delete: delete it",
    "/reply #12 TEXT: reply to message 12; /react EMOJI: react to the newest message of others; /unreact EMOJI",
    "/edit #12 TEXT, /delete #12, /react EMOJI #12: the same for message 12",
    "/numbers: list the newest messages with their numbers; /numbers on shows them always",
    "/pin #12, /unpin #12; /pin alone lists the pinned messages; /topic TEXT, /topic - removes it",
    "/search WORDS: find messages of this room; \"two words\" stand together, kett* is the beginning of a word",
    "/who: list the members of this room",
    "/join ROOM: join a room and chat there, or switch to one that is joined; /leave [ROOM]: leave it",
    "/unsent: show what an earlier chat could not send; /unsent send, /unsent drop",
    "/quit, or Ctrl-D on an empty line: leave when everything is stored; Ctrl-C leaves at once",
    "Alt-Enter starts a new line; a paste waits for Enter and is one message",
    "Up and Down recall earlier lines; Ctrl-U, Ctrl-K, Ctrl-W and Alt-D delete, Ctrl-Y inserts what was deleted",
    "Tab completes a name, a command, a #room or an :emoji:; press it again for the next one",
    "Ctrl-_ undoes a change; Ctrl-L clears the screen; Ctrl-Z suspends",
];

const NAMES: [&str; 8] = ["help", "join", "leave", "me", "quit", "say", "unsent", "who"];

/// The commands, for completing.
pub fn names() -> Vec<String> {
    let mut names: Vec<String> = all_names().map(str::to_owned).collect();
    names.sort();
    names
}

fn all_names() -> impl Iterator<Item = &'static str> {
    NAMES.into_iter().chain(change_commands::NAMES)
}

/// A parsed line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Text to send.
    Text(String, Kind),
    Help,
    Quit,
    Who,
    Join(RoomName),
    /// The room that is named, or the current one.
    Leave(Option<RoomName>),
    /// Show what an earlier chat left, send it, or delete it.
    Unsent(Option<Fate>),
    /// It concerns messages that were sent already.
    Change(ChangeCommand),
    /// Nothing to do: the line is blank.
    Blank,
    /// The line is not sent, for this reason.
    Mistake(String),
}

/// The action on text that an earlier chat left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Send,
    Drop,
}

/// Reads a line. Blanks before a command are ignored; before any other text they are kept.
pub fn read(line: &str) -> Entry {
    let (name, argument) = match slashed(line) {
        Slashed::Blank => return Entry::Blank,
        Slashed::Text(text) => return Entry::Text(text.to_owned(), Kind::Text),
        Slashed::Command { name, argument } => (name, argument),
    };
    if let Some(command) = change_commands::read(&name, argument) {
        return command.map_or_else(Entry::Mistake, Entry::Change);
    }
    match (name.as_str(), argument) {
        ("me", "") => Entry::Mistake("/me needs an action, as in: /me waves".to_owned()),
        ("me", action) => Entry::Text(action.to_owned(), Kind::Action),
        ("say", "") => Entry::Mistake("/say needs a text".to_owned()),
        ("say", text) => Entry::Text(text.to_owned(), Kind::Text),
        ("help", "") => Entry::Help,
        ("quit", "") => Entry::Quit,
        ("who", "") => Entry::Who,
        ("join", "") => Entry::Mistake("/join needs a room, as in: /join tea".to_owned()),
        ("join", name) => room(name).map_or_else(Entry::Mistake, Entry::Join),
        ("leave", "") => Entry::Leave(None),
        ("leave", name) => room(name).map_or_else(Entry::Mistake, |room| Entry::Leave(Some(room))),
        ("unsent", "") => Entry::Unsent(None),
        ("unsent", "send") => Entry::Unsent(Some(Fate::Send)),
        ("unsent", "drop") => Entry::Unsent(Some(Fate::Drop)),
        ("unsent", _) => Entry::Mistake("use /unsent, /unsent send or /unsent drop".to_owned()),
        (known @ ("help" | "quit" | "who"), _) => {
            Entry::Mistake(format!("/{known} takes no text; to send the line, put another / before it"))
        }
        (unknown, _) => Entry::Mistake(refuse_unknown(unknown, all_names())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Entry {
        Entry::Text(text.to_owned(), Kind::Text)
    }

    /// A regression: `/quit`, `/msg bob secret` and every other command that a user of another client types went to the
    /// whole room as text.
    #[test]
    fn only_me_say_and_two_slashes_are_sent() {
        assert_eq!(read("/me  waves "), Entry::Text("waves".to_owned(), Kind::Action));
        assert_eq!(read("/ME waves"), Entry::Text("waves".to_owned(), Kind::Action));
        assert_eq!(read("/say /quit"), text("/quit"));
        assert_eq!(read("//etc/hosts is broken"), text("/etc/hosts is broken"));
        assert_eq!([read("/unsent"), read("/unsent  send")], [Entry::Unsent(None), Entry::Unsent(Some(Fate::Send))]);
        assert!(matches!(read("/unsent sned"), Entry::Mistake(_)));
        assert_eq!([read("/help"), read("/Quit"), read(" /who ")], [Entry::Help, Entry::Quit, Entry::Who]);
        let tea = RoomName::new("tea").unwrap();
        assert_eq!([read("/join  tea "), read("/JOIN #tea")], [Entry::Join(tea.clone()), Entry::Join(tea.clone())]);
        assert_eq!([read("/leave"), read("/leave tea")], [Entry::Leave(None), Entry::Leave(Some(tea))]);
        for line in [
            "/",
            "/join",
            "/join tea coffee",
            "/join #",
            "/join .tea",
            "/leave tea now",
            "/join\ntea",
            "/ me waves",
            "/me",
            "/say ",
            "/quit now",
            "/msg bob secret",
            "  /msg bob secret",
            "/etc/hosts is broken",
            "/* a\npasted comment */",
            "/quit\nand more",
        ] {
            assert!(matches!(read(line), Entry::Mistake(_)), "{line:?} is {:?}", read(line));
        }
    }

    #[test]
    fn an_unknown_command_names_the_nearest() {
        assert!(matches!(read("/qiut"), Entry::Mistake(reason) if reason.contains("did you mean /quit?")));
        assert!(matches!(read("/jion tea"), Entry::Mistake(reason) if reason.contains("did you mean /join?")));
        assert!(matches!(read("/leav"), Entry::Mistake(reason) if reason.contains("did you mean /leave?")));
        assert!(matches!(read("/woh"), Entry::Mistake(reason) if reason.contains("did you mean /who?")));
        assert!(matches!(read("/frobnicate"), Entry::Mistake(reason) if reason.contains("see /help")));
    }

    /// A regression: pasted code lost the indentation of its first line.
    #[test]
    fn leading_blanks_are_kept() {
        assert_eq!(read("    indented  "), text("    indented"));
        assert_eq!(read("  // a comment"), text("  // a comment"));
        assert_eq!(read("  /* a\n  comment */"), text("  /* a\n  comment */"));
        assert_eq!(read(" \t\n "), Entry::Blank);
    }
}
