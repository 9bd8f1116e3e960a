//! The names of users.

use std::borrow::Cow;
use std::fmt;

use super::form::composed;
use super::invalid::InvalidText;
use crate::limits::NAME_CHARS_MAX;

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
}
