//! What is on the screen, as plain data. [`paint`](super::paint) draws it.
//!
//! The texts are raw: they may come from other users, and are escaped when they are drawn. Only the rows of messages
//! are ready to be drawn, because they are wrapped for the width of their place: see [`Layout`](super::layout::Layout).

use std::sync::Arc;

use super::width::Emoji;
use super::wrap::Styled;

/// The screen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// Whether the user wants the lists. They need space: see [`Layout`](super::layout::Layout).
    pub shows_rooms: bool,
    pub shows_people: bool,
    pub emoji: Emoji,
    /// Only messages and the input, without frames, for copying with the terminal's own selection.
    pub bare: bool,
    pub rooms: Vec<RoomLine>,
    /// Those who are in the current room. Empty if unknown.
    pub people: Vec<PersonLine>,
    /// How many more are in the room, whose names are not known here.
    pub more_people: u64,
    pub topic: TopicLine,
    /// The rows of the current room, from top to bottom: see [`Room::shown`](super::room::Room::shown). If there are
    /// fewer than fit, they are at the bottom.
    pub messages: Vec<ShownRow>,
    /// Shown instead of the messages if there are none: the first start.
    pub welcome: Vec<String>,
    pub status: StatusLine,
    /// The answer to what the user did, until the next key.
    pub answer: Option<Answer>,
    pub input: Input,
    pub overlay: Option<Overlay>,
}

/// A room in the list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoomLine {
    /// Its number, from 1.
    pub number: usize,
    pub name: String,
    pub unread: u64,
    /// There are more unread messages than counted.
    pub at_least: bool,
    pub mentions: u64,
    pub is_current: bool,
    /// The server refused it, or it is not joined yet.
    pub is_outside: bool,
}

/// Somebody in the list of people.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PersonLine {
    /// With the mark of a claim, if needed.
    pub name: String,
    pub is_own: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct TopicLine {
    pub room: String,
    pub topic: String,
    pub members: Option<u64>,
    pub pins: usize,
}

/// A row of the messages.
#[derive(Clone, Debug, PartialEq)]
pub struct ShownRow {
    pub row: Arc<Styled>,
    /// The message that it belongs to.
    pub seq: Option<u64>,
    pub is_selected: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatusLine {
    /// `10:42`
    pub time: String,
    pub name: String,
    /// The number and the name of the current room.
    pub room: Option<(usize, String)>,
    /// Other rooms with something new, in the order of their numbers.
    pub activity: Vec<Activity>,
    /// How many messages are below the last row.
    pub below: u64,
    pub connection: Connection,
    /// How many messages the server has that have not arrived.
    pub behind: u64,
    /// How many own messages are not stored.
    pub pending: usize,
    /// The round-trip time, if it is long enough to matter.
    pub lag_ms: Option<u64>,
    /// What the keys do now, such as `select`.
    pub mode: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    pub number: usize,
    pub mention: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub enum Connection {
    #[default]
    Online,
    /// The first connection is being made.
    Connecting {
        server: String,
    },
    Offline {
        reason: String,
        retry_seconds: Option<u64>,
    },
    /// There is no connection until the user wants one.
    Ended {
        reason: String,
    },
    /// The server can't store messages at the moment.
    Held {
        reason: String,
        retry_seconds: Option<u64>,
    },
}

/// The answer to what the user did.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub text: String,
    pub is_error: bool,
}

/// The input.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Input {
    /// What the text is for: `[tea] `, `[edit #12] `.
    pub prompt: String,
    /// With line breaks.
    pub text: String,
    /// The cursor's place in the text, in bytes. Inside a character, it is drawn before it.
    pub cursor: usize,
    /// What is typed, and how much is allowed, near the limit.
    pub counter: Option<(usize, usize)>,
    /// Shown after the text: the rest of a name that Tab would complete, or what is searched.
    pub hint: String,
}

/// Something in front of the messages.
#[derive(Clone, Debug, PartialEq)]
pub enum Overlay {
    List(List),
    Help(Help),
    Question(Question),
}

/// A list to choose from: found messages, mentions, rooms by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct List {
    pub title: String,
    pub items: Vec<ListItem>,
    pub chosen: usize,
    /// Shown if there are no items: `nothing found`.
    pub empty: String,
    /// What the keys do.
    pub hint: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListItem {
    /// Where: `tea #12  21:03`
    pub place: String,
    /// Whose, if it is a message.
    pub name: String,
    pub text: String,
}

/// Texts in two columns, such as keys and what they do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Help {
    pub title: String,
    /// A line without a right column is a heading.
    pub lines: Vec<(String, String)>,
    /// The first line that is shown.
    pub scroll: usize,
}

/// A question that is answered with a key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Question {
    pub title: String,
    /// A preview of what it is about; long lines are cut off.
    pub text: Vec<String>,
    pub choices: Vec<(String, String)>,
}
