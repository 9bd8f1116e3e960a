//! The identifiers of the domain. Each checks itself on construction, so code that holds one need not check again.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use crate::limits::{BODY_BYTES_MAX, NAME_CHARS_MAX};

/// A rule that a name or a body breaks. Its text names the rule, for the peer that broke it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidText {
    #[error("the name is empty: send 1 to {NAME_CHARS_MAX} characters")]
    NameEmpty,
    #[error("the name has {0} characters: send at most {NAME_CHARS_MAX}")]
    NameTooLong(usize),
    #[error("the name holds the control character U+{0:04X}: send printable characters only")]
    NameControl(u32),
    #[error("the body is empty: send 1 to {BODY_BYTES_MAX} bytes of text")]
    BodyEmpty,
    #[error("the body has {0} bytes: send at most {BODY_BYTES_MAX}")]
    BodyTooLong(usize),
    #[error("the room's name is empty: send 1 to {NAME_CHARS_MAX} characters")]
    RoomEmpty,
    #[error("the room's name has {0} characters: send at most {NAME_CHARS_MAX}")]
    RoomTooLong(usize),
    #[error("the room's name holds {0:?}: use letters, digits, '-', '_' and '.', and no '.' at the beginning")]
    RoomCharacter(char),
    #[error("the message id has {0} bytes: send 16, or none to have the server make one")]
    IdLength(usize),
    #[error("the message id begins with four zero bytes, as only the server's own do: send a UUID")]
    IdReserved,
}

/// Who says something: 1 to [`NAME_CHARS_MAX`] characters, none of them a control character, not all white space.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UserName(String);

impl UserName {
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidText> {
        let name = name.into();
        if name.trim().is_empty() {
            return Err(InvalidText::NameEmpty);
        }
        let chars = name.chars().count();
        if chars > NAME_CHARS_MAX {
            return Err(InvalidText::NameTooLong(chars));
        }
        match name.chars().find(|c| c.is_control()) {
            Some(c) => Err(InvalidText::NameControl(c as u32)),
            None => Ok(Self(name)),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<UserName> for String {
    fn from(text: UserName) -> String {
        text.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is said: 1 to [`BODY_BYTES_MAX`] bytes of UTF-8, not all white space. Control characters are allowed (a body
/// may have lines); whoever shows a body on a terminal escapes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body(String);

impl Body {
    pub fn new(body: impl Into<String>) -> Result<Self, InvalidText> {
        let body = body.into();
        if body.trim().is_empty() {
            return Err(InvalidText::BodyEmpty);
        }
        if body.len() > BODY_BYTES_MAX {
            return Err(InvalidText::BodyTooLong(body.len()));
        }
        Ok(Self(body))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Body> for String {
    fn from(text: Body) -> String {
        text.0
    }
}

/// The name of a room: 1 to [`NAME_CHARS_MAX`] letters, digits, `-`, `_` and `.`, not beginning with a `.`. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomName(Arc<str>);

impl RoomName {
    pub fn new(name: &str) -> Result<Self, InvalidText> {
        if name.is_empty() {
            return Err(InvalidText::RoomEmpty);
        }
        let chars = name.chars().count();
        if chars > NAME_CHARS_MAX {
            return Err(InvalidText::RoomTooLong(chars));
        }
        let allowed = |(at, c): &(usize, char)| c.is_alphanumeric() || "-_".contains(*c) || (*c == '.' && *at > 0);
        match name.char_indices().find(|place| !allowed(place)) {
            Some((_, c)) => Err(InvalidText::RoomCharacter(c)),
            None => Ok(Self(Arc::from(name))),
        }
    }

    /// The room that every client of the tutorial's contract is in.
    pub fn lobby() -> Self {
        Self(Arc::from("lobby"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for RoomName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The number of a room in a server's log, from 1: never given to another room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomId(pub u64);

/// What makes a message the same when it is posted again: unique for its sender and room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId([u8; 16]);

impl MessageId {
    /// The id that a client has chosen. Those that begin with four zero bytes are the server's own.
    pub fn chosen(bytes: &[u8]) -> Result<Self, InvalidText> {
        let bytes: [u8; 16] = bytes.try_into().map_err(|_| InvalidText::IdLength(bytes.len()))?;
        if bytes[..4] == [0; 4] { Err(InvalidText::IdReserved) } else { Ok(Self(bytes)) }
    }

    /// The ids that the server makes for posts that have none: four zero bytes, seven of their origin, five of a count.
    /// Whether a client has chosen it, and so may post its message again.
    pub fn is_chosen(&self) -> bool {
        self.0[..4] != [0; 4]
    }

    fn made(origin: Origin, count: u64) -> Self {
        let mut bytes = [0; 16];
        bytes[4..11].copy_from_slice(&origin.0);
        bytes[11..].copy_from_slice(&count.to_be_bytes()[3..]);
        Self(bytes)
    }

    /// An id as the log has it.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// Where ids that the server makes come from: 7 random bytes for each stream, by which the stream knows its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin([u8; 7]);

impl Origin {
    pub fn random() -> Self {
        let mut bytes = [0; 7];
        fastrand::fill(&mut bytes);
        Self(bytes)
    }

    /// The origin's id with that count, of which the lowest 40 bits tell.
    pub fn id(self, count: u64) -> MessageId {
        MessageId::made(self, count)
    }

    /// Whether the id is one of this origin's.
    pub fn made(self, id: &MessageId) -> bool {
        id.0[..4] == [0; 4] && id.0[4..11] == self.0
    }
}

/// Which history of a room a seq belongs to: random, never 0. It changes only when history was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(u64);

impl Epoch {
    pub fn random() -> Self {
        Self(fastrand::u64(1..))
    }

    /// `None` for 0, which stands for no epoch at all.
    pub fn new(epoch: u64) -> Option<Self> {
        (epoch != 0).then_some(Self(epoch))
    }

    pub fn get(self) -> u64 {
        self.0
    }
}

/// How a message is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Something said.
    #[default]
    Text,
    /// Something done, told in the third person.
    Action,
}

/// A client's number: one for each stream, never 0, never given twice while a server runs.
///
/// A server counts its clients from a random number below 2^48, so that messages stored before a restart are told from
/// those after it. Of a thousand runs with a million clients each, no two clients have one number, but for a chance of
/// 0.4 %. A number stays below 2^49: a varint of seven bytes, and exact as a JSON number in every language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub u64);

impl ClientId {
    /// Where a server begins to count.
    pub fn random_start() -> Self {
        Self(fastrand::u64(1..1 << 48))
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// An event's place in its room: 1 for the first, dense. 0 stands before the first event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seq(pub u64);

impl Seq {
    /// The place before the first event.
    pub const ZERO: Seq = Seq(0);

    /// The place that follows this one.
    pub fn next(self) -> Seq {
        Seq(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_checked() {
        assert_eq!(UserName::new(""), Err(InvalidText::NameEmpty));
        assert_eq!(UserName::new(" \t "), Err(InvalidText::NameEmpty));
        assert_eq!(UserName::new("a\nb"), Err(InvalidText::NameControl(10)));
        assert!(UserName::new("ü".repeat(NAME_CHARS_MAX)).is_ok());
        let long = "ü".repeat(NAME_CHARS_MAX + 1);
        assert_eq!(UserName::new(long), Err(InvalidText::NameTooLong(NAME_CHARS_MAX + 1)));
    }

    #[test]
    fn a_room_name_is_checked() {
        assert_eq!(RoomName::new(""), Err(InvalidText::RoomEmpty));
        for good in ["lobby", "go-nuts", "v1.2_x", "küche", "日本語"] {
            assert_eq!(RoomName::new(good).unwrap().as_str(), good);
        }
        for (bad, c) in [(".hidden", '.'), ("a b", ' '), ("a/b", '/'), ("a\u{200b}", '\u{200b}'), ("\u{1b}", '\u{1b}')]
        {
            assert_eq!(RoomName::new(bad), Err(InvalidText::RoomCharacter(c)));
        }
        assert_eq!(RoomName::new(&"x".repeat(65)), Err(InvalidText::RoomTooLong(65)));
    }

    #[test]
    fn an_id_is_chosen_or_made() {
        assert_eq!(MessageId::chosen(&[1; 15]), Err(InvalidText::IdLength(15)));
        assert_eq!(MessageId::chosen(&[0; 16]), Err(InvalidText::IdReserved));
        let chosen = MessageId::chosen(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap();
        let (origin, other) = (Origin([1; 7]), Origin([2; 7]));
        assert!(origin.made(&origin.id(7)) && !origin.made(&other.id(7)) && !origin.made(&chosen));
        assert_ne!(origin.id(7), origin.id(8));
        assert_eq!(MessageId::chosen(origin.id(7).as_bytes()), Err(InvalidText::IdReserved));
    }

    #[test]
    fn a_body_is_checked() {
        assert_eq!(Body::new("\r\n"), Err(InvalidText::BodyEmpty));
        assert!(Body::new("two\nlines").is_ok());
        assert!(Body::new("x".repeat(BODY_BYTES_MAX)).is_ok());
        let long = "x".repeat(BODY_BYTES_MAX + 1);
        assert_eq!(Body::new(long), Err(InvalidText::BodyTooLong(BODY_BYTES_MAX + 1)));
    }
}
