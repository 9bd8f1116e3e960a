//! What a line of the chat means: a message, or a command that begins with a slash.
//!
//! A line that begins with a slash is never sent by accident, because a mistyped command may hold what nobody else is meant
//! to read. `/me` and `/say` send a message; `//` sends a message that begins with one slash.

use crate::names::Kind;

/// What a line of the chat means.
#[derive(Debug, PartialEq, Eq)]
pub enum Meaning<'a> {
    /// A blank line.
    Nothing,
    Message(&'a str, Kind),
    Help,
    Quit,
    Who,
    /// A command that can't be carried out, and the remedy.
    Fault(String),
}

/// What `/help` shows, a row each.
pub const HELP: [&str; 6] = [
    "/me waves     send an action: others see \"*you* waves\"",
    "/say TEXT     send TEXT as it is, even where it begins with a slash",
    "//TEXT        send /TEXT",
    "/who          list who is in the room",
    "/quit         leave once everything is stored, like Ctrl-D",
    "/help         show this list",
];

/// The commands by name, for suggestions.
const NAMES: [&str; 5] = ["help", "me", "quit", "say", "who"];

/// How many edits a mistyped name may be away from the command that is suggested.
const EDITS_MAX: usize = 2;

/// Reads a line. White space at its end is dropped, and kept everywhere else.
pub fn read(line: &str) -> Meaning<'_> {
    let line = line.trim_end();
    let Some(command) = line.strip_prefix('/') else {
        return if line.is_empty() { Meaning::Nothing } else { Meaning::Message(line, Kind::Text) };
    };
    if command.starts_with('/') {
        return Meaning::Message(command, Kind::Text);
    }
    let (name, text) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
    match (name, text.trim_start()) {
        ("me" | "say", "") => Meaning::Fault(format!("/{name} needs a text, such as /{name} hello")),
        ("me", text) => Meaning::Message(text, Kind::Action),
        // Blanks after the one that ends the name belong to the text.
        ("say", _) => Meaning::Message(text, Kind::Text),
        ("help", "") => Meaning::Help,
        ("quit", "") => Meaning::Quit,
        ("who", "") => Meaning::Who,
        ("help" | "quit" | "who", _) => Meaning::Fault(format!("/{name} takes no text{}", to_send(command))),
        _ => Meaning::Fault(match nearest(name) {
            Some(known) => format!("unknown command /{name}: did you mean /{known}?{}", to_send(command)),
            None => format!("unknown command /{name}: /help lists the commands{}", to_send(command)),
        }),
    }
}

/// How to send a line that was taken for a command.
fn to_send(command: &str) -> String {
    let word = command.split_whitespace().next().unwrap_or_default();
    format!("; to send the line, begin it with //{word}")
}

/// The command whose name is closest to what was typed, if any is close.
fn nearest(name: &str) -> Option<&'static str> {
    let lower = name.to_lowercase();
    let edits = |known: &str| strsim::osa_distance(&lower, known);
    // A name of two letters is near everything: what is suggested must share more than it lacks.
    let close = |known: &&str| edits(known) <= EDITS_MAX.min(known.len() / 2);
    NAMES.into_iter().filter(close).min_by_key(|known| edits(known))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fault(line: &str) -> String {
        match read(line) {
            Meaning::Fault(fault) => fault,
            other => panic!("{line:?} is {other:?}"),
        }
    }

    #[test]
    fn messages_and_commands() {
        for (line, body, kind) in [
            ("hello", "hello", Kind::Text),
            ("  indented, kept  ", "  indented, kept", Kind::Text),
            (" /quit", " /quit", Kind::Text),
            ("/me waves", "waves", Kind::Action),
            ("/me  waves ", "waves", Kind::Action),
            ("/say /quit", "/quit", Kind::Text),
            ("/say   three", "  three", Kind::Text),
            ("//etc/hosts", "/etc/hosts", Kind::Text),
            ("///", "//", Kind::Text),
        ] {
            assert_eq!(read(line), Meaning::Message(body, kind), "{line:?}");
        }
        for (line, meaning) in [("", Meaning::Nothing), (" \t", Meaning::Nothing), ("/help", Meaning::Help)] {
            assert_eq!(read(line), meaning, "{line:?}");
        }
        assert_eq!((read("/quit "), read("/who")), (Meaning::Quit, Meaning::Who));
    }

    /// "/mgs bob the password is …" once went to everybody in the room.
    #[test]
    fn what_is_no_command_is_not_sent() {
        assert!(fault("/hlep").starts_with("unknown command /hlep: did you mean /help?"));
        assert!(fault("/QUIT").contains("did you mean /quit?"));
        assert!(fault("/mgs bob secret").contains("/help lists the commands"));
        assert!(fault("/etc/hosts is broken").ends_with("begin it with //etc/hosts"));
        assert_eq!(fault("/quit now"), "/quit takes no text; to send the line, begin it with //quit");
        assert_eq!(fault("/me "), "/me needs a text, such as /me hello");
        assert!(fault("/ me waves").starts_with("unknown command /: /help"));
        assert!(fault("/").starts_with("unknown command /: /help"));
    }

    proptest! {
        #[test]
        fn a_slash_is_sent_only_where_it_was_asked_for(rest in "[^/].*") {
            let line = format!("/{rest}");
            if let Meaning::Message(_, _) = read(&line) {
                prop_assert!(line.starts_with("/me") || line.starts_with("/say"));
            }
            let doubled = format!("//{rest}");
            prop_assert_eq!(read(&doubled), Meaning::Message(doubled[1..].trim_end(), Kind::Text));
        }
    }
}
