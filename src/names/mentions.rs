//! The names that a message mentions.

use super::invalid::InvalidText;
use super::user_name::UserName;
use crate::limits::MENTIONS_MAX;

/// The names that a message mentions, each once, in the order in which they were given; at most [`MENTIONS_MAX`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mentions(Vec<String>);

/// The name that mentions everybody in the room. A user may have it too, and is mentioned with everybody.
pub const EVERYBODY: &str = "*";

impl Mentions {
    /// Nobody.
    pub const NONE: &Self = &Self(Vec::new());

    pub fn new(names: Vec<String>) -> Result<Self, InvalidText> {
        let mut mentions = Vec::new();
        for name in names {
            let name = String::from(UserName::new(name)?);
            if !mentions.contains(&name) {
                mentions.push(name);
            }
            if mentions.len() > MENTIONS_MAX {
                return Err(InvalidText::TooManyMentions);
            }
        }
        Ok(Self(mentions))
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes of all names.
    pub fn bytes(&self) -> usize {
        self.iter().map(str::len).sum()
    }
}

impl From<Mentions> for Vec<String> {
    fn from(mentions: Mentions) -> Self {
        mentions.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mentions_are_names_and_each_is_kept_once() {
        let new = |names: &[&str]| Mentions::new(names.iter().map(|name| (*name).to_owned()).collect());
        let mentions = new(&["bob", EVERYBODY, "bob", "Zoe\u{308}"]).unwrap();
        assert_eq!(mentions.iter().collect::<Vec<_>>(), ["bob", "*", "Zo\u{eb}"]);
        assert_eq!((new(&[]).unwrap().is_empty(), mentions.bytes()), (true, 8));
        assert_eq!(new(&["bob", ""]), Err(InvalidText::NameEmpty));
        let names: Vec<String> = (0..=MENTIONS_MAX).map(|n| format!("ann{n}")).collect();
        assert!(Mentions::new(names[1..].to_vec()).is_ok());
        assert_eq!(Mentions::new(names), Err(InvalidText::TooManyMentions));
    }
}
