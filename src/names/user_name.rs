//! The names of users.

use std::borrow::Cow;
use std::fmt;

use super::characters::{has_many_marks, is_format, is_invisible, is_private};
use super::form::composed;
use super::invalid::InvalidText;
use super::joiners::{is_joiner, shows as joiner_shows};
use crate::limits::NAME_CHARS_MAX;

/// The name of a user: 1 to [`NAME_CHARS_MAX`] visible characters in normalization form C, and blanks between them. No
/// control, format or private-use character and no other invisible one, except the joiners that some scripts need; at
/// most [`COMBINING_MARKS_MAX`] combining marks in a row.
///
/// [`COMBINING_MARKS_MAX`]: crate::limits::COMBINING_MARKS_MAX
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UserName(String);

/// What marks a name as a claim. The name of a user never begins with it.
pub const CLAIM_MARK: char = '~';

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
        if let Some(c) = name.chars().find(|c| c.is_control()) {
            return Err(InvalidText::NameControl(c as u32));
        }
        if name.starts_with(char::is_whitespace) || name.ends_with(char::is_whitespace) {
            return Err(InvalidText::NameBlank);
        }
        if !name.is_ascii() {
            let all: Vec<char> = name.chars().collect();
            let is_hidden = |at: &usize| match all[*at] {
                c if is_joiner(c) => !joiner_shows(&all, *at),
                c => is_format(c) || is_private(c) || is_invisible(c),
            };
            if let Some(at) = (0..all.len()).find(is_hidden) {
                return Err(InvalidText::NameInvisible(all[at] as u32));
            }
        }
        if has_many_marks(&name) { Err(InvalidText::NameMarks) } else { Ok(Self(name)) }
    }

    /// The name with the mark of a claim in front, cut to the maximum length.
    pub fn marked(&self) -> Self {
        let mut marked = String::from(CLAIM_MARK);
        marked.extend(self.0.chars().take(NAME_CHARS_MAX - 1));
        // A cut name may end in a blank, or in half of a character.
        Self::new(marked.trim_end()).unwrap_or_else(|_| Self(String::from(CLAIM_MARK)))
    }

    /// Whether it has the mark of a claim, which the name of a user never has.
    pub fn is_marked(&self) -> bool {
        self.0.starts_with(CLAIM_MARK)
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
        // The length is that of the normalized name.
        assert_eq!(UserName::new("Zoe\u{308}").unwrap().as_str(), "Zoë");
        assert!(UserName::new("e\u{301}".repeat(NAME_CHARS_MAX)).is_ok());
    }

    /// The story: `ann` with a zero-width space, ` ann`, an empty Braille pattern, and a name of 63 accents were all
    /// users.
    #[test]
    fn a_name_hides_nothing() {
        for good in ["Zoë", "O'Neil 3rd", "Влад", "علی", "می\u{200c}خواهم", "山田 太郎", "🙂", "~ann", "กิ่ง"]
        {
            assert_eq!(UserName::new(good).map(String::from), Ok(good.to_owned()));
        }
        for blank in [" ann", "ann ", "ann\u{a0}", "\u{3000}ann"] {
            assert_eq!(UserName::new(blank), Err(InvalidText::NameBlank), "{blank:?}");
        }
        for c in
            "\u{ad}\u{200b}\u{200d}\u{200e}\u{202e}\u{2066}\u{2800}\u{3164}\u{fe0f}\u{feff}\u{e000}\u{e0041}\u{ffff}"
                .chars()
        {
            for name in [format!("an{c}n"), format!("ann{c}")] {
                assert_eq!(UserName::new(name), Err(InvalidText::NameInvisible(c as u32)), "{c:?}");
            }
        }
        assert_eq!(UserName::new("an\u{2028}n"), Err(InvalidText::NameInvisible(0x2028)));
        assert_eq!(UserName::new("\u{85}ann"), Err(InvalidText::NameControl(0x85)));
        let marks = |count| UserName::new(format!("x{}", "\u{35f}".repeat(count)));
        assert!(marks(4).is_ok());
        assert_eq!(marks(5), Err(InvalidText::NameMarks));
    }
}
