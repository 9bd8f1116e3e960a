//! The names of rooms.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use unicode_normalization::char::is_combining_mark;

use super::characters::{has_many_marks, is_invisible};
use super::form::composed;
use super::invalid::InvalidText;
use super::joiners::{is_joiner, shows as joiner_shows};
use super::skeleton::skeleton;
use crate::limits::NAME_CHARS_MAX;

/// The name of a room: 1 to [`NAME_CHARS_MAX`] letters, digits, `-`, `_` and `.`, not beginning with a `.`, in
/// normalization form C. Combining marks may follow a letter, because Hindi, Thai and many other scripts write vowels
/// with them. Invisible characters are refused (fillers, variation selectors, and joiners where they have no effect):
/// two names would look the same. A log does not create a room whose name looks like that of another, see
/// [`skeleton`](Self::skeleton). Cheap to clone.
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
        if has_many_marks(name) {
            return Err(InvalidText::RoomMarks);
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

    /// What the name looks like: names that look alike have the same skeleton.
    pub fn skeleton(&self) -> String {
        skeleton(&self.0)
    }
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

#[cfg(test)]
mod tests {
    use unicode_normalization::UnicodeNormalization as _;

    use super::*;

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

    /// The story: `küche` was accepted from one system and refused from another, because it was encoded with a
    /// combining diaeresis; `हिन्दी` was refused for its virama; and `tea` with an invisible filler at its end was
    /// another room.
    #[test]
    fn room_names_are_accepted_in_any_script_and_normalized() {
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
        let marks = |count| RoomName::new(&format!("x{}", "\u{323}".repeat(count)));
        assert!(marks(4).is_ok());
        assert_eq!(marks(5), Err(InvalidText::RoomMarks));
        // The length is that of the normalized name.
        assert!(RoomName::new(&"u\u{308}".repeat(NAME_CHARS_MAX)).is_ok());
    }
}
