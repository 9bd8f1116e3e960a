//! Tells text from commands. A line that begins with `/` is a command of a client, and is never sent, unless it begins
//! with `//`.

use super::nearest::nearest;
use crate::names::RoomName;

/// A line as it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slashed<'a> {
    /// The line is blank.
    Blank,
    /// Text to send.
    Text(&'a str),
    /// A command: its name in small letters without the slash, and the text after it.
    Command { name: String, argument: &'a str },
}

/// Reads a line. Blanks before a command are ignored; before any other text they are kept.
pub fn slashed(line: &str) -> Slashed<'_> {
    let text = line.trim_end();
    if text.is_empty() {
        return Slashed::Blank;
    }
    let command = text.trim_start();
    let Some(rest) = command.strip_prefix('/') else { return Slashed::Text(text) };
    if text.starts_with("//") {
        return Slashed::Text(&text[1..]);
    }
    // Indented text that begins with two slashes, or has several lines, is code, not a command.
    if text.len() > command.len() && (rest.starts_with('/') || text.contains('\n')) {
        return Slashed::Text(text);
    }
    let (name, argument) = match rest.find(char::is_whitespace) {
        // One separator is not part of the text.
        Some(at) => (&rest[..at], rest[at..].trim_start_matches([' ', '\t'])),
        None => (rest, ""),
    };
    Slashed::Command { name: name.to_lowercase(), argument }
}

/// A room's name. Elsewhere it begins with a hash, which no name has here.
pub fn room(name: &str) -> Result<RoomName, String> {
    let name = name.strip_prefix('#').unwrap_or(name);
    RoomName::new(name).map_err(|fault| fault.to_string())
}

/// Why an unknown command is not executed, with the nearest name.
pub fn refuse_unknown<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let hint = nearest(name, names).map_or_else(|| "see /help".to_owned(), |known| format!("did you mean /{known}?"));
    let name: String = name.chars().take(20).collect();
    format!("unknown command /{name}: {hint} To send the line, put another / before it")
}
