//! The topics of rooms.

use super::body::Body;
use super::invalid::InvalidText;
use crate::limits::TOPIC_CHARS_MAX;

/// The topic of a room: one line of at most [`TOPIC_CHARS_MAX`] characters, without blanks around it; empty for none.
/// Its characters are those that a [`Body`] may have, without line feeds and tabs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topic(String);

impl Topic {
    pub fn new(topic: &str) -> Result<Self, InvalidText> {
        let topic = topic.trim();
        if topic.is_empty() {
            return Ok(Self::default());
        }
        let chars = topic.chars().count();
        if chars > TOPIC_CHARS_MAX {
            return Err(InvalidText::TopicTooLong(chars));
        }
        match topic.chars().find(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
            Some(c) => Err(InvalidText::TopicControl(c as u32)),
            None => Body::new(topic).map(|body| Self(body.into())),
        }
    }

    /// The topic that a log has.
    pub fn stored(topic: String) -> Self {
        Self(topic)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_one_line() {
        assert_eq!(Topic::new("  tea, and cake \n").unwrap().as_str(), "tea, and cake");
        assert_eq!(Topic::new(" ").unwrap(), Topic::default());
        assert_eq!(Topic::new("a\nb"), Err(InvalidText::TopicControl(0xa)));
        assert_eq!(Topic::new("a\u{2028}b"), Err(InvalidText::TopicControl(0x2028)));
        assert_eq!(Topic::new("a\u{202e}b"), Err(InvalidText::BodyDirection(0x202e)));
        assert!(Topic::new(&"\u{e4}".repeat(TOPIC_CHARS_MAX)).is_ok());
        assert_eq!(Topic::new(&"x".repeat(513)), Err(InvalidText::TopicTooLong(513)));
    }
}
