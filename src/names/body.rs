//! The text of a message, and its kind.

use super::invalid::InvalidText;
use crate::limits::BODY_BYTES_MAX;

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

/// The kind of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Ordinary text.
    #[default]
    Text,
    /// An action in the third person.
    Action,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_checked() {
        assert_eq!(Body::new("\r\n"), Err(InvalidText::BodyEmpty));
        assert!(Body::new("two\nlines").is_ok());
        assert!(Body::new("x".repeat(BODY_BYTES_MAX)).is_ok());
        let long = "x".repeat(BODY_BYTES_MAX + 1);
        assert_eq!(Body::new(long), Err(InvalidText::BodyTooLong(BODY_BYTES_MAX + 1)));
    }
}
