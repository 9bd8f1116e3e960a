//! The identifiers of the domain. Each checks itself on construction, so code that holds one need not check again.

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

/// The name of a room. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RoomName(Arc<str>);

impl RoomName {
    /// The room that every client of the tutorial's contract is in.
    pub fn lobby() -> Self {
        Self(Arc::from("lobby"))
    }

    #[cfg(test)]
    pub(crate) fn new(name: &str) -> Self {
        Self(Arc::from(name))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A client of a server's life: one for each stream, never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub u64);

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
    fn a_body_is_checked() {
        assert_eq!(Body::new("\r\n"), Err(InvalidText::BodyEmpty));
        assert!(Body::new("two\nlines").is_ok());
        assert!(Body::new("x".repeat(BODY_BYTES_MAX)).is_ok());
        let long = "x".repeat(BODY_BYTES_MAX + 1);
        assert_eq!(Body::new(long), Err(InvalidText::BodyTooLong(BODY_BYTES_MAX + 1)));
    }
}
