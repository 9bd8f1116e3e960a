//! Parses the commands of the chat that concern messages which were sent already. Pure logic.
//!
//! A message is named by its number, `#12`, as `/numbers` shows it. Where a text may follow, the number needs its `#`.

use crate::names::{Emoji, Topic};

/// The commands, for completing.
pub const NAMES: [&str; 10] =
    ["delete", "edit", "numbers", "pin", "react", "reply", "search", "topic", "unpin", "unreact"];

/// A parsed command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeCommand {
    /// The message with that number, or the user's last one. Without a text, the old one is put into the draft.
    Edit {
        seq: Option<u64>,
        text: Option<String>,
    },
    /// The message with that number, or the user's last one.
    Delete {
        seq: Option<u64>,
    },
    Reply {
        seq: u64,
        text: String,
    },
    /// The message with that number, or the newest one of somebody else.
    React {
        seq: Option<u64>,
        emoji: Emoji,
        removed: bool,
    },
    Pin {
        seq: u64,
    },
    /// The message with that number, or the one that was pinned last.
    Unpin {
        seq: Option<u64>,
    },
    /// List the pinned messages.
    Pins,
    ShowTopic,
    SetTopic(Topic),
    Search(String),
    /// List the newest messages with their numbers, or show numbers from now on, or no longer.
    Numbers(Option<bool>),
}

/// Reads a command with its argument. `None`: it is another command.
pub fn read(name: &str, argument: &str) -> Option<Result<ChangeCommand, String>> {
    Some(match name {
        "edit" => edit(argument),
        "delete" => optional(argument, "/delete").map(|seq| ChangeCommand::Delete { seq }),
        "reply" => reply(argument),
        "react" => react(argument, false),
        "unreact" => react(argument, true),
        "pin" if argument.is_empty() => Ok(ChangeCommand::Pins),
        "pin" => number(argument).map(|seq| ChangeCommand::Pin { seq }),
        "unpin" => optional(argument, "/unpin").map(|seq| ChangeCommand::Unpin { seq }),
        "topic" => topic(argument),
        "search" if argument.is_empty() => Err("/search needs words, as in: /search kettle".to_owned()),
        "search" => Ok(ChangeCommand::Search(argument.to_owned())),
        "numbers" => match argument {
            "" => Ok(ChangeCommand::Numbers(None)),
            "on" => Ok(ChangeCommand::Numbers(Some(true))),
            "off" => Ok(ChangeCommand::Numbers(Some(false))),
            _ => Err("use /numbers, /numbers on or /numbers off".to_owned()),
        },
        _ => return None,
    })
}

fn edit(argument: &str) -> Result<ChangeCommand, String> {
    let (first, rest) = first_word(argument);
    let (seq, text) = match first.starts_with('#').then(|| number(first)) {
        Some(Ok(seq)) => (Some(seq), rest),
        // Text that begins with a hash, and no number.
        Some(Err(_)) if !first[1..].bytes().all(|byte| byte.is_ascii_digit()) => (None, argument),
        Some(Err(fault)) => return Err(fault),
        None => (None, argument),
    };
    // A paste that happens to begin with the command would replace a message.
    if argument.starts_with(['\n', '\r']) {
        return Err("/edit needs its text in the same line".to_owned());
    }
    Ok(ChangeCommand::Edit { seq, text: Some(text.to_owned()).filter(|text| !text.is_empty()) })
}

fn reply(argument: &str) -> Result<ChangeCommand, String> {
    let (first, text) = first_word(argument);
    let example = "as in: /reply #12 yes; /numbers shows the numbers";
    match number(first) {
        Err(_) => Err(format!("/reply needs the number of a message, {example}")),
        Ok(_) if text.is_empty() => Err(format!("/reply needs a text, {example}")),
        Ok(seq) => Ok(ChangeCommand::Reply { seq, text: text.to_owned() }),
    }
}

/// The emoji and the number, in any order.
fn react(argument: &str, removed: bool) -> Result<ChangeCommand, String> {
    let words: Vec<_> = argument.split_whitespace().collect();
    let (seqs, emojis): (Vec<&str>, Vec<&str>) = words.into_iter().partition(|word| is_number(word));
    let name = if removed { "/unreact" } else { "/react" };
    let usage = || format!("{name} needs an emoji or a word, and perhaps a number, as in: {name} +1 #12");
    let (&[emoji], seq @ ([] | [_])) = (&emojis[..], &seqs[..]) else { return Err(usage()) };
    let seq = seq.first().map(|seq| number(seq)).transpose()?;
    let emoji = Emoji::new(emoji).map_err(|fault| fault.to_string())?;
    Ok(ChangeCommand::React { seq, emoji, removed })
}

fn topic(argument: &str) -> Result<ChangeCommand, String> {
    match argument {
        "" => Ok(ChangeCommand::ShowTopic),
        "-" => Ok(ChangeCommand::SetTopic(Topic::default())),
        topic => Topic::new(topic).map(ChangeCommand::SetTopic).map_err(|fault| fault.to_string()),
    }
}

fn optional(argument: &str, name: &str) -> Result<Option<u64>, String> {
    match argument {
        "" => Ok(None),
        word if word.contains(char::is_whitespace) => {
            Err(format!("{name} takes the number of a message only, as in: {name} #12"))
        }
        word => number(word).map(Some),
    }
}

/// The number of a message, with or without its hash.
fn number(word: &str) -> Result<u64, String> {
    let digits = word.strip_prefix('#').unwrap_or(word);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = digits.parse().ok().filter(|seq| is_number && *seq > 0);
    parsed.ok_or_else(|| {
        let word: String = word.chars().take(20).collect();
        format!("{word:?} is not the number of a message, such as #12; /numbers shows the numbers")
    })
}

fn is_number(word: &str) -> bool {
    word.strip_prefix('#').is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The first word, and the text after the blanks that follow it.
fn first_word(text: &str) -> (&str, &str) {
    match text.find(char::is_whitespace) {
        Some(at) => (&text[..at], text[at..].trim_start_matches([' ', '\t'])),
        None => (text, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<ChangeCommand, String> {
        let (name, argument) = first_word(line);
        read(name, argument).expect("it is a command of this module")
    }

    #[test]
    fn an_edit_has_a_number_a_text_or_both() {
        let edit = |seq, text: Option<&str>| Ok(ChangeCommand::Edit { seq, text: text.map(str::to_owned) });
        assert_eq!(parsed("edit hello world"), edit(None, Some("hello world")));
        assert_eq!(parsed("edit #12 hello\nworld"), edit(Some(12), Some("hello\nworld")));
        assert_eq!(parsed("edit #12"), edit(Some(12), None));
        assert_eq!(parsed("edit"), edit(None, None));
        // A text that begins with a number, or with a hash.
        assert_eq!(parsed("edit 12 apples"), edit(None, Some("12 apples")));
        assert_eq!(parsed("edit #1st is best"), edit(None, Some("#1st is best")));
        assert_eq!(parsed("edit #tea"), edit(None, Some("#tea")));
        for bad in ["edit #0 x", "edit #99999999999999999999 x", "edit \npasted", "edit # x"] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_reaction_is_one_word_and_perhaps_a_number() {
        let react =
            |seq, emoji: &str, removed| Ok(ChangeCommand::React { seq, emoji: Emoji::new(emoji).unwrap(), removed });
        assert_eq!(parsed("react \u{1f44d}"), react(None, "\u{1f44d}", false));
        assert_eq!(parsed("react +1 #12"), react(Some(12), "+1", false));
        assert_eq!(parsed("unreact #12 +1"), react(Some(12), "+1", true));
        for bad in ["react", "react #12", "react a b", "react +1 #1 #2", "react \u{1b}[2J", "react \u{202e}x"] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
        let long = parsed(&format!("react {}", "x".repeat(500))).unwrap_err();
        assert!(long.contains("500 bytes: send at most 64"), "{long}");
    }

    #[test]
    fn other_commands_take_a_number() {
        assert_eq!(parsed("delete"), Ok(ChangeCommand::Delete { seq: None }));
        assert_eq!(parsed("delete #7"), Ok(ChangeCommand::Delete { seq: Some(7) }));
        assert_eq!(parsed("delete 7"), Ok(ChangeCommand::Delete { seq: Some(7) }));
        assert_eq!(parsed("reply #7 yes, no"), Ok(ChangeCommand::Reply { seq: 7, text: "yes, no".to_owned() }));
        assert_eq!(parsed("pin #7"), Ok(ChangeCommand::Pin { seq: 7 }));
        assert_eq!([parsed("pin"), parsed("unpin")], [Ok(ChangeCommand::Pins), Ok(ChangeCommand::Unpin { seq: None })]);
        for bad in ["delete it", "delete #7 #8", "delete\n#7", "reply #7", "reply yes", "reply", "pin this", "unpin 0"]
        {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn topics_searches_and_numbers_are_read() {
        assert_eq!(parsed("topic"), Ok(ChangeCommand::ShowTopic));
        assert_eq!(parsed("topic -"), Ok(ChangeCommand::SetTopic(Topic::default())));
        assert_eq!(parsed("topic tea, cake"), Ok(ChangeCommand::SetTopic(Topic::new("tea, cake").unwrap())));
        assert_eq!(parsed("search \"two words\""), Ok(ChangeCommand::Search("\"two words\"".to_owned())));
        assert_eq!(parsed("numbers on"), Ok(ChangeCommand::Numbers(Some(true))));
        for bad in ["topic a\nb", "search", "numbers 7"] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
        assert_eq!(read("who", ""), None);
    }
}
