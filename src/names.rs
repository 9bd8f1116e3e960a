//! The identifiers of the domain. Each is checked on construction, so other code need not check it again.

mod joiners;

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

pub use joiners::{is_joiner, shows as joiner_shows};

use crate::limits::{BODY_BYTES_MAX, NAME_CHARS_MAX};

/// Why a name or a body is invalid. The text states the rule, for the peer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidText {
    #[error("the name is empty: send 1 to {NAME_CHARS_MAX} characters")]
    NameEmpty,
    #[error("the name has {0} characters: send at most {NAME_CHARS_MAX}")]
    NameTooLong(usize),
    #[error("the name contains the control character U+{0:04X}: send printable characters only")]
    NameControl(u32),
    #[error("the body is empty: send 1 to {BODY_BYTES_MAX} bytes of text")]
    BodyEmpty,
    #[error("the body has {0} bytes: send at most {BODY_BYTES_MAX}")]
    BodyTooLong(usize),
    #[error("the room's name is empty: send 1 to {NAME_CHARS_MAX} characters")]
    RoomEmpty,
    #[error("the room's name has {0} characters: send at most {NAME_CHARS_MAX}")]
    RoomTooLong(usize),
    #[error(
        "the room's name contains {0:?}: use letters, accents and vowel signs after a letter, digits, '-', '_' and '.', and no '.' at the beginning"
    )]
    RoomCharacter(char),
    #[error("the message id has {0} bytes: send 16, or none to let the server generate one")]
    IdLength(usize),
    #[error("the message id begins with four zero bytes, which are reserved for the server: send a UUID")]
    IdReserved,
}

/// The name in Unicode's normalization form C, so that names that look equal are equal.
pub fn composed(name: &str) -> Cow<'_, str> {
    if name.is_ascii() { Cow::Borrowed(name) } else { Cow::Owned(name.nfc().collect()) }
}

/// The name of a user: 1 to [`NAME_CHARS_MAX`] characters in normalization form C, none of them a control character,
/// not all white space.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UserName(String);

impl UserName {
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidText> {
        let mut name = name.into();
        if let Cow::Owned(form) = composed(&name) {
            name = form;
        }
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

/// The text of a message: 1 to [`BODY_BYTES_MAX`] bytes of UTF-8, not all white space. Control characters are allowed
/// (a body may have several lines); they must be escaped before a body is shown on a terminal.
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

/// The name of a room: 1 to [`NAME_CHARS_MAX`] letters, digits, `-`, `_` and `.`, not beginning with a `.`, in
/// normalization form C. Combining marks may follow a letter, because Hindi, Thai and many other scripts write vowels
/// with them. Invisible characters are refused (fillers, variation selectors, and joiners where they have no effect):
/// two names would look the same. Names that differ in case or only resemble each other are different rooms. Cheap to
/// clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomName(Arc<str>);

impl FromStr for RoomName {
    type Err = InvalidText;

    fn from_str(name: &str) -> Result<Self, InvalidText> {
        Self::new(name)
    }
}

impl RoomName {
    pub fn new(name: &str) -> Result<Self, InvalidText> {
        let name = &*composed(name);
        if name.is_empty() {
            return Err(InvalidText::RoomEmpty);
        }
        let chars = name.chars().count();
        if chars > NAME_CHARS_MAX {
            return Err(InvalidText::RoomTooLong(chars));
        }
        let mut before = None;
        let all: Vec<char> = if name.is_ascii() { Vec::new() } else { name.chars().collect() };
        for (at, c) in name.chars().enumerate() {
            if is_joiner(c) && joiner_shows(&all, at) {
                continue;
            }
            let allowed = match c {
                '-' | '_' => true,
                '.' => before.is_some(),
                c if is_invisible(c) || is_enclosing(c) => false,
                c if is_combining_mark(c) => before.is_some_and(|b: char| b.is_alphabetic() || is_combining_mark(b)),
                c => c.is_alphanumeric(),
            };
            if !allowed {
                return Err(InvalidText::RoomCharacter(c));
            }
            before = Some(c);
        }
        Ok(Self(Arc::from(name)))
    }

    /// The name of a room as stored in a log. Earlier versions stored names that are no longer valid.
    pub fn stored(name: &str) -> Self {
        Self(Arc::from(name))
    }

    /// The room that every client of the tutorial's contract is in.
    pub fn lobby() -> Self {
        Self(Arc::from("lobby"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Invisible letters and marks, as in Unicode's `Default_Ignorable_Code_Point`.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{e0100}'..='\u{e01ef}')
}

/// Marks that enclose a character (category Me); no script spells words with them.
fn is_enclosing(c: char) -> bool {
    matches!(c, '\u{488}' | '\u{489}' | '\u{1abe}' | '\u{20dd}'..='\u{20e0}' | '\u{20e2}'..='\u{20e4}'
        | '\u{a670}'..='\u{a672}')
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

/// The number of a room in a server's log, from 1: never assigned to another room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomId(pub u64);

/// Identifies a message when it is posted again: unique for its sender and room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId([u8; 16]);

impl MessageId {
    /// The id that a client has chosen. Ids that begin with four zero bytes are reserved for the server.
    pub fn chosen(bytes: &[u8]) -> Result<Self, InvalidText> {
        let bytes: [u8; 16] = bytes.try_into().map_err(|_| InvalidText::IdLength(bytes.len()))?;
        if bytes[..4] == [0; 4] { Err(InvalidText::IdReserved) } else { Ok(Self(bytes)) }
    }

    /// The ids that the server generates for posts without one: four zero bytes, seven of their origin, five of a
    /// count. Whether a client has chosen it, and so may post its message again.
    pub fn is_chosen(&self) -> bool {
        self.0[..4] != [0; 4]
    }

    fn issued(origin: Origin, count: u64) -> Self {
        let mut bytes = [0; 16];
        bytes[4..11].copy_from_slice(&origin.0);
        bytes[11..].copy_from_slice(&count.to_be_bytes()[3..]);
        Self(bytes)
    }

    /// An id as stored in the log.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// The origin of ids that the server generates: 7 random bytes for each stream, by which the stream recognizes its own
/// ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin([u8; 7]);

impl Origin {
    pub fn random() -> Self {
        let mut bytes = [0; 7];
        fastrand::fill(&mut bytes);
        Self(bytes)
    }

    /// The origin's id with that count, of which the lowest 40 bits are used.
    pub fn id(self, count: u64) -> MessageId {
        MessageId::issued(self, count)
    }

    /// Whether the id is one of this origin's.
    pub fn has_issued(self, id: &MessageId) -> bool {
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

    /// `None` for 0, which means no epoch.
    pub fn new(epoch: u64) -> Option<Self> {
        (epoch != 0).then_some(Self(epoch))
    }

    pub fn get(self) -> u64 {
        self.0
    }
}

/// The kind of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Ordinary text.
    #[default]
    Text,
    /// An action in the third person.
    Action,
}

/// A client's number: one for each stream, never 0, never reused while a server runs.
///
/// A server counts its clients from a random number below 2^48, so that messages stored before a restart can be
/// distinguished from those after it. In a thousand runs with a million clients each, the chance that any two clients
/// share a number is 0.4 %. A number stays below 2^49: a varint of seven bytes, and exact as a JSON number in every
/// language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub u64);

impl ClientId {
    /// The first number of a server.
    pub fn random_start() -> Self {
        Self(fastrand::u64(1..1 << 48))
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// An event's sequence number in its room: 1 for the first, dense. 0 is the position before the first event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seq(pub u64);

impl Seq {
    /// The position before the first event.
    pub const ZERO: Seq = Seq(0);

    /// The next sequence number.
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

    /// The story: `küche` typed on one system was a room and on another an error, because it was spelt with a combining
    /// diaeresis; `हिन्दी` was refused for its virama; and `tea` had a twin with an invisible filler at its end.
    #[test]
    fn names_in_any_script_are_one_name_however_they_are_encoded() {
        let name = |name| RoomName::new(name).map(|name| name.as_str().to_owned());
        assert_eq!(name("ku\u{308}che"), Ok("küche".to_owned()));
        assert_eq!(name("\u{1112}\u{1161}\u{11ab}"), Ok("한".to_owned()));
        assert_eq!(name("\u{212b}"), Ok("å".to_uppercase()));
        for good in [
            "हिन्दी",
            "ภาษาไทย",
            "กิ่ง",
            "தமிழ்",
            "বাংলা",
            "ম\u{9cd}য",
            "עִבְרִית",
            "فارسی",
            "می\u{200c}خواهم",
            "ශ\u{dca}\u{200d}රී",
            "việt",
        ] {
            assert_eq!(name(good), Ok(good.nfc().collect()), "{good}");
        }
        for (bad, c) in [
            ("\u{301}tea", '\u{301}'),
            ("a-\u{301}", '\u{301}'),
            ("1\u{20e3}", '\u{20e3}'),
            ("tea\u{3164}", '\u{3164}'),
            ("tea\u{fe0f}", '\u{fe0f}'),
            ("tea\u{34f}", '\u{34f}'),
            ("क\u{94d}\u{200d}ष", '\u{200d}'),
            ("te\u{200c}a", '\u{200c}'),
        ] {
            assert_eq!(name(bad), Err(InvalidText::RoomCharacter(c)), "{bad}");
        }
        // The length is that of the normalized name.
        assert!(RoomName::new(&"u\u{308}".repeat(NAME_CHARS_MAX)).is_ok());
        assert_eq!(UserName::new("Zoe\u{308}").unwrap().as_str(), "Zoë");
        assert!(UserName::new("e\u{301}".repeat(NAME_CHARS_MAX)).is_ok());
    }

    #[test]
    fn an_id_is_chosen_or_made() {
        assert_eq!(MessageId::chosen(&[1; 15]), Err(InvalidText::IdLength(15)));
        assert_eq!(MessageId::chosen(&[0; 16]), Err(InvalidText::IdReserved));
        let chosen = MessageId::chosen(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap();
        let (origin, other) = (Origin([1; 7]), Origin([2; 7]));
        assert!(origin.has_issued(&origin.id(7)) && !origin.has_issued(&other.id(7)) && !origin.has_issued(&chosen));
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
