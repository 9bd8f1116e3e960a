//! Parses an entered line of the full-screen client: text to send, or a command.
//!
//! The commands that the line client has too mean the same here. Only text, `/me`, `/say` and `//…` are ever sent: a
//! command that is not known, or that this server has nothing for, is refused with the remedy. The names are those of
//! irssi and WeeChat.

mod help;
mod refused;

use crate::editing::change_commands::{self, ChangeCommand};
use crate::editing::{Slashed, emoji_named, refuse_unknown, room, slashed};
use crate::names::{Body, Kind, RoomName};

pub use self::help::{COMMANDS, Usage, usage};
pub use self::refused::REFUSED;

/// A parsed line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The line is blank.
    Nothing,
    Say {
        body: Body,
        kind: Kind,
    },
    /// Concerns messages that were sent already, or the topic.
    Change(ChangeCommand),
    /// Join a room, or switch to one that is joined.
    Join(RoomName),
    /// The room that is named, or the current one.
    Leave(Option<RoomName>),
    /// List the members.
    Members(Option<RoomName>),
    /// List the server's rooms, perhaps only those with this part in their name.
    Rooms(Option<String>),
    /// Switch to the room with this number, from 1.
    Window(u16),
    /// Switch to the room that this part of a name fits best; without one, choose from a list.
    GoByName(String),
    /// Jump to a message.
    GoTo {
        room: Option<RoomName>,
        seq: u64,
    },
    /// List everything that mentions the user.
    Mentions,
    /// Everything in this room is read.
    MarkRead,
    /// This message and what follows is unread; without one, what was read last.
    MarkUnread(Option<u64>),
    /// Copy the text of a message, or of the newest one.
    Copy(Option<u64>),
    /// Scroll the text of the room away.
    Clear,
    /// No notifications of a room, or again.
    Mute {
        room: Option<RoomName>,
        muted: bool,
    },
    /// Take the mouse or not; without an answer, the other.
    Mouse(Option<bool>),
    /// Open `$EDITOR` with this text.
    EditOutside(String),
    /// Show what an earlier chat left, send it, or delete it.
    Unsent(Option<Fate>),
    /// Connect now instead of after the pause.
    Reconnect,
    /// Show where the settings are.
    Settings,
    /// Help, perhaps of one command, by its full name.
    Help(Option<&'static str>),
    Quit,
}

/// The action on text that an earlier chat left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Send,
    Drop,
}

/// Reads a line. An error is why nothing is done; the line stays where it is.
pub fn read(line: &str) -> Result<Command, String> {
    match slashed(line) {
        Slashed::Blank => Ok(Command::Nothing),
        Slashed::Text(text) => say(text, Kind::Text),
        Slashed::Command { name, argument } => command(&name, argument),
    }
}

/// The text of a line that would be sent, for counting its bytes. `None`: none would be.
pub fn sent_text(line: &str) -> Option<&str> {
    match slashed(line) {
        Slashed::Blank => None,
        Slashed::Text(text) => Some(text),
        Slashed::Command { name, argument } => match canonical(&name) {
            Some("me" | "say" | "edit" | "reply") => Some(argument),
            _ => None,
        },
    }
}

/// The names of all commands with their aliases, for completing.
pub fn names() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().flat_map(|usage| [usage.name].into_iter().chain(usage.aliases.iter().copied()))
}

/// The full name of a command or of its alias.
fn canonical(name: &str) -> Option<&'static str> {
    usage(name).map(|usage| usage.name)
}

fn command(typed: &str, argument: &str) -> Result<Command, String> {
    if !typed.is_empty() && typed.bytes().all(|byte| byte.is_ascii_digit()) {
        return takes_nothing(typed, argument).and_then(|()| window(typed));
    }
    let Some(name) = canonical(typed) else { return Err(refuse(typed)) };
    // Such as `/search`, whose text the line client's parser checks.
    let argument_for_change = match name {
        "react" | "unreact" => with_emojis(argument),
        _ => argument.to_owned(),
    };
    if let Some(change) = change_commands::read(name, &argument_for_change) {
        return change.and_then(checked);
    }
    match (name, argument) {
        ("me", "") => Err("/me needs an action, as in: /me waves".to_owned()),
        ("me", action) => say(action, Kind::Action),
        ("say", "") => Err("/say needs a text".to_owned()),
        ("say", text) => say(text, Kind::Text),
        ("join", "") => Err("/join needs a room, as in: /join tea; /list lists the rooms".to_owned()),
        ("join", name) => room(name).map(Command::Join),
        ("leave", name) => optional_room(name).map(Command::Leave),
        ("who", name) => optional_room(name).map(Command::Members),
        ("list", part) => {
            Ok(Command::Rooms(Some(part.trim_start_matches('#').to_owned()).filter(|part| !part.is_empty())))
        }
        ("lastlog", argument) => last_log(argument),
        ("window", argument) => window(argument),
        ("go", place) => go(place),
        ("mute" | "unmute", name) => optional_room(name).map(|room| Command::Mute { room, muted: typed != "unmute" }),
        ("mouse", "") => Ok(Command::Mouse(None)),
        ("mouse", "on") => Ok(Command::Mouse(Some(true))),
        ("mouse", "off") => Ok(Command::Mouse(Some(false))),
        ("mouse", _) => Err("use /mouse, /mouse on or /mouse off".to_owned()),
        ("unread", number) => seq(number, "/unread").map(Command::MarkUnread),
        ("copy", number) => seq(number, "/copy").map(Command::Copy),
        ("editor", text) => Ok(Command::EditOutside(text.to_owned())),
        ("unsent", "") => Ok(Command::Unsent(None)),
        ("unsent", "send") => Ok(Command::Unsent(Some(Fate::Send))),
        ("unsent", "drop") => Ok(Command::Unsent(Some(Fate::Drop))),
        ("unsent", _) => Err("use /unsent, /unsent send or /unsent drop".to_owned()),
        ("help", "") => Ok(Command::Help(None)),
        ("help", about) => help(about),
        ("set", "") => Ok(Command::Settings),
        ("set", _) => Err("settings are changed in the config file: /set shows where it is".to_owned()),
        (name, argument) => {
            takes_nothing(name, argument)?;
            Ok(match name {
                "mentions" => Command::Mentions,
                "read" => Command::MarkRead,
                "clear" => Command::Clear,
                "reconnect" => Command::Reconnect,
                "quit" => Command::Quit,
                other => return Err(refuse(other)),
            })
        }
    }
}

fn say(text: &str, kind: Kind) -> Result<Command, String> {
    Body::new(text).map(|body| Command::Say { body, kind }).map_err(|fault| fault.to_string())
}

/// A change whose text can be sent.
fn checked(change: ChangeCommand) -> Result<Command, String> {
    if let ChangeCommand::Edit { text: Some(text), .. } | ChangeCommand::Reply { text, .. } = &change {
        Body::new(text.as_str()).map_err(|fault| fault.to_string())?;
    }
    Ok(Command::Change(change))
}

/// The words with emojis in place of their names.
fn with_emojis(argument: &str) -> String {
    let word = |word| {
        let is_named = str::len(word) > 2 && word.starts_with(':') && word.ends_with(':');
        emoji_named(word).filter(|_| is_named).unwrap_or(word)
    };
    argument.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

fn optional_room(name: &str) -> Result<Option<RoomName>, String> {
    (!name.is_empty()).then(|| room(name)).transpose()
}

/// `-hilight` is irssi's name for mentions.
fn last_log(argument: &str) -> Result<Command, String> {
    let mut words = argument.split_whitespace();
    let asks_for_mentions = words.next().is_some_and(|word| ["-hilight", "-highlight", "-mentions"].contains(&word));
    match argument {
        _ if asks_for_mentions => Ok(Command::Mentions),
        "" => Err("/lastlog needs words, as in: /lastlog kettle; /mentions lists what mentions you".to_owned()),
        words => Ok(Command::Change(ChangeCommand::Search(words.to_owned()))),
    }
}

fn window(argument: &str) -> Result<Command, String> {
    let usage =
        || "/window needs the number of a room, as in: /window 3; /go NAME goes to a room by its name".to_owned();
    if let Some(name) = argument.strip_prefix("goto ").map(str::trim) {
        return if name.bytes().all(|byte| byte.is_ascii_digit()) { window(name) } else { go(name) };
    }
    // A sign before the number would be read too.
    let number = argument.parse().ok().filter(|number| *number > 0 && !argument.starts_with('+'));
    number.map(Command::Window).ok_or_else(usage)
}

/// `tea`, `#tea/12`, `tea/12`, or `#12` and `12` in this room. No name of a room contains a slash.
fn go(place: &str) -> Result<Command, String> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (name, number) = match place.rsplit_once('/') {
        Some((name, number)) if is_number(number) => (Some(name), number),
        Some(_) => return Err("a place is a room and a number, as in: /go #tea/12".to_owned()),
        None => (None, place.strip_prefix('#').unwrap_or(place)),
    };
    if name.is_none() && !is_number(number) {
        return Ok(Command::GoByName(number.to_owned()));
    }
    let room = name.map(room).transpose()?;
    match number.parse() {
        Ok(seq) if seq > 0 => Ok(Command::GoTo { room, seq }),
        _ => Err(format!("there is no message {number}: numbers begin with 1")),
    }
}

fn seq(argument: &str, name: &str) -> Result<Option<u64>, String> {
    if argument.is_empty() {
        return Ok(None);
    }
    match go(argument) {
        Ok(Command::GoTo { room: None, seq }) => Ok(Some(seq)),
        _ => Err(format!("{name} takes the number of a message only, as in: {name} #12")),
    }
}

fn help(about: &str) -> Result<Command, String> {
    let name = about.strip_prefix('/').unwrap_or(about).to_lowercase();
    match canonical(&name) {
        Some(name) => Ok(Command::Help(Some(name))),
        None => Err(refuse(&name)),
    }
}

/// Why a name is no command.
fn refuse(name: &str) -> String {
    match REFUSED.iter().find(|(known, _)| known.split(' ').any(|known| known == name)) {
        Some((_, reason)) => format!("/{name}: {reason}"),
        None => refuse_unknown(name, names()),
    }
}

fn takes_nothing(name: &str, argument: &str) -> Result<(), String> {
    match argument {
        "" => Ok(()),
        _ => Err(format!("/{name} takes no text; to send the line, put another / before it")),
    }
}

#[cfg(test)]
mod tests;
