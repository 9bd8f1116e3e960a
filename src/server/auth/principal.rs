//! Who a client is.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use crate::names::{RoomName, UserName};

/// Who a client is: the result of a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Its name. `None`: it may choose one, which is a claim.
    pub name: Option<UserName>,
    pub role: Role,
    pub via: Via,
    /// When the login ends.
    pub until: Option<SystemTime>,
    pub grants: Grants,
}

/// How a client has logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// Not at all: the server is open.
    Open,
    /// With a token of this id.
    Token(String),
    /// With a JSON web token that this key has verified.
    Jwt(KeyPrint),
    /// With a client certificate.
    Certificate,
}

/// Identifies a key: the SHA-256 of what it consists of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyPrint(pub [u8; 32]);

/// A secret that is short could be found from its hash.
impl fmt::Debug for KeyPrint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPrint")
    }
}

/// A user's role on the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    #[default]
    Member,
    Moderator,
    Admin,
}

/// What a login is restricted to. The default is no restriction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// The only rooms that it may use; `None` for all.
    pub rooms: Option<BTreeSet<RoomName>>,
    pub acts: Acts,
}

/// Which kinds of acts a login may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acts {
    pub read: bool,
    pub post: bool,
}

/// The text is not a role, or not an act.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownWord {
    #[error("unknown role {0:?}: expected member, moderator or admin")]
    Role(String),
    #[error("unknown act {0:?}: expected read or post")]
    Act(String),
}

impl Principal {
    /// A client of an open server.
    pub fn open() -> Self {
        Self { name: None, role: Role::Member, via: Via::Open, until: None, grants: Grants::default() }
    }

    /// Whether its name is its own, and not a claim.
    pub fn is_authenticated(&self) -> bool {
        self.name.is_some()
    }
}

impl Role {
    pub fn word(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Moderator => "moderator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Role {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let role = [Self::Member, Self::Moderator, Self::Admin].into_iter().find(|role| role.word() == text);
        role.ok_or_else(|| UnknownWord::Role(text.to_owned()))
    }
}

impl Default for Acts {
    fn default() -> Self {
        Self { read: true, post: true }
    }
}

impl Acts {
    /// Only the acts with these names; all if there are none.
    pub fn named<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, UnknownWord> {
        let (mut acts, mut is_empty) = (Self { read: false, post: false }, true);
        for word in words {
            is_empty = false;
            match word {
                "read" => acts.read = true,
                "post" => acts.post = true,
                other => return Err(UnknownWord::Act(other.to_owned())),
            }
        }
        Ok(if is_empty { Self::default() } else { acts })
    }

    /// The names of the acts.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        [("read", self.read), ("post", self.post)].into_iter().filter_map(|(word, may)| may.then_some(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_and_acts_have_words() {
        for role in [Role::Member, Role::Moderator, Role::Admin] {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        assert_eq!("owner".parse::<Role>(), Err(UnknownWord::Role("owner".to_owned())));
        assert_eq!(Acts::named([]), Ok(Acts::default()));
        let post = Acts::named(["post"]).unwrap();
        assert_eq!(post, Acts { read: false, post: true });
        assert_eq!(post.words().collect::<Vec<_>>(), ["post"]);
        assert!(Acts::named(["read", "delete"]).unwrap_err().to_string().contains("\"delete\""));
    }
}
