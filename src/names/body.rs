//! The text of a message, and its kind.

use std::borrow::Cow;

use super::invalid::InvalidText;
use crate::limits::BODY_BYTES_MAX;

/// The text of a message: 1 to [`BODY_BYTES_MAX`] bytes of UTF-8, not all white space. It may have several lines, and
/// tabs; other control characters are refused, and so are characters that change the direction of the text after them
/// (embeddings, overrides and isolates that do not end within their line). It is not normalized: code and poems stay as
/// they were written. Programs must escape a body nevertheless before they show it on a terminal: a log may have
/// bodies that an earlier version accepted, and a server may break this rule.
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
        check_characters(&body)?;
        Ok(Self(body))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text with U+FFFD in place of each character that a body may not have, and line feeds in place of the line ends
/// of Windows. For contracts that can't refuse a message.
pub fn cleaned(text: &str) -> Cow<'_, str> {
    if check_characters(text).is_ok() {
        return Cow::Borrowed(text);
    }
    let is_refused = |c: char| match c {
        '\n' | '\t' => false,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        c => c.is_control(),
    };
    let lines = text.replace("\r\n", "\n");
    Cow::Owned(lines.chars().map(|c| if is_refused(c) { char::REPLACEMENT_CHARACTER } else { c }).collect())
}

fn check_characters(body: &str) -> Result<(), InvalidText> {
    // Without a branch for each byte, so that the compiler checks many at a time.
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') | (byte == b'\n') | (byte == b'\t');
    if body.bytes().fold(true, |all, byte| all & is_plain(byte)) {
        return Ok(());
    }
    let mut isolates = 0_u32;
    for c in body.chars() {
        match c {
            // Both end a paragraph, and with it the isolates that are open.
            '\n' | '\u{2029}' if isolates > 0 => return Err(InvalidText::BodyIsolates),
            '\n' | '\t' => {}
            c if c.is_control() => return Err(InvalidText::BodyControl(c as u32)),
            '\u{202a}'..='\u{202e}' => return Err(InvalidText::BodyDirection(c as u32)),
            '\u{2066}'..='\u{2068}' => isolates += 1,
            '\u{2069}' => isolates = isolates.checked_sub(1).ok_or(InvalidText::BodyIsolates)?,
            _ => {}
        }
    }
    if isolates == 0 { Ok(()) } else { Err(InvalidText::BodyIsolates) }
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
    fn a_cleaned_text_is_a_body() {
        for sound in ["hello", "two\nlines\t", "\u{2066}a\u{2069}"] {
            assert_eq!(cleaned(sound), sound);
        }
        assert_eq!(cleaned("one\r\ntwo\rthree\u{1b}[2J"), "one\ntwo\u{fffd}three\u{fffd}[2J");
        assert_eq!(cleaned("\u{2066}a\u{202e}b"), "\u{fffd}a\u{fffd}b");
        for text in ["\0\r\u{85}x", "a\u{2069}", "\u{2066}a\nb\u{2069}", "\u{2067}a\u{2029}b\u{2069}"] {
            assert!(Body::new(cleaned(text)).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn a_body_is_checked() {
        assert_eq!(Body::new("\r\n"), Err(InvalidText::BodyEmpty));
        assert!(Body::new("two\nlines").is_ok());
        assert!(Body::new("fn f() {\n\tg();\n}").is_ok() && Body::new("e\u{301}🏳\u{fe0f}\u{200d}🌈").is_ok());
        for c in "\0\u{7}\r\u{b}\u{1b}\u{7f}\u{85}\u{9b}".chars() {
            assert_eq!(Body::new(format!("a{c}b")), Err(InvalidText::BodyControl(c as u32)));
        }
        for c in '\u{202a}'..='\u{202e}' {
            assert_eq!(Body::new(format!("a{c}b")), Err(InvalidText::BodyDirection(c as u32)));
        }
        for good in ["\u{2066}a\u{2069}", "\u{2067}א\u{2068}b\u{2069}\u{2069}\n\u{2066}c\u{2069}"] {
            assert!(Body::new(good).is_ok(), "{good:?}");
        }
        for bad in ["\u{2066}a", "a\u{2069}", "\u{2066}a\nb\u{2069}", "\u{2069}\u{2066}", "\u{2067}a\u{2029}b\u{2069}"]
        {
            assert_eq!(Body::new(bad), Err(InvalidText::BodyIsolates), "{bad:?}");
        }
        assert!(Body::new("x".repeat(BODY_BYTES_MAX)).is_ok());
        let long = "x".repeat(BODY_BYTES_MAX + 1);
        assert_eq!(Body::new(long), Err(InvalidText::BodyTooLong(BODY_BYTES_MAX + 1)));
    }
}
