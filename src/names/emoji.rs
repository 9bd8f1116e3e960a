//! The emojis and words with which users react.

use super::characters::{has_many_marks, is_format, is_private};
use super::invalid::InvalidText;
use crate::limits::EMOJI_BYTES_MAX;

/// An emoji, or a short word: 1 to [`EMOJI_BYTES_MAX`] bytes without blanks and control characters. Joiners, variation
/// selectors and tags, which are parts of emojis, are allowed after another character.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Emoji(String);

impl Emoji {
    pub fn new(emoji: impl Into<String>) -> Result<Self, InvalidText> {
        let emoji = emoji.into();
        if emoji.is_empty() {
            return Err(InvalidText::EmojiEmpty);
        }
        if emoji.len() > EMOJI_BYTES_MAX {
            return Err(InvalidText::EmojiTooLong(emoji.len()));
        }
        let is_part = |c: char| matches!(c, '\u{200d}' | '\u{fe0e}' | '\u{fe0f}' | '\u{e0020}'..='\u{e007f}');
        for (at, c) in emoji.char_indices() {
            let is_refused = match is_part(c) {
                true => at == 0,
                false => c.is_whitespace() || c.is_control() || is_format(c) || is_private(c),
            };
            if is_refused {
                return Err(InvalidText::EmojiCharacter(c as u32));
            }
        }
        if has_many_marks(&emoji) { Err(InvalidText::NameMarks) } else { Ok(Self(emoji)) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emoji_is_checked() {
        for good in
            ["\u{1f44d}", "+1", "\u{2764}\u{fe0f}", "\u{1f3f3}\u{fe0f}\u{200d}\u{1f308}", "ok", "\u{1f1e9}\u{1f1ea}"]
        {
            assert!(Emoji::new(good).is_ok(), "{good:?}");
        }
        let kiss = "\u{1f9d1}\u{1f3fb}\u{200d}\u{2764}\u{fe0f}\u{200d}\u{1f48b}\u{200d}\u{1f9d1}\u{1f3fc}";
        assert_eq!((kiss.len(), Emoji::new(kiss).is_ok()), (35, true));
        // The flag of England ends with tags.
        assert!(Emoji::new("\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}").is_ok());
        assert_eq!(Emoji::new(""), Err(InvalidText::EmojiEmpty));
        assert_eq!(Emoji::new("x".repeat(65)), Err(InvalidText::EmojiTooLong(65)));
        for bad in ["a b", "\n", "\u{1b}[2J", "\u{200d}", "\u{fe0f}x", "a\u{202e}b", "a\u{200b}"] {
            assert!(matches!(Emoji::new(bad), Err(InvalidText::EmojiCharacter(_))), "{bad:?}");
        }
    }
}
