//! The events of accounts: each is a decision that was made, and they are all that is stored of accounts.
//!
//! An event has everything that its effect depends on, with the time beside it. So the fold (`state.rs`) needs neither
//! a clock nor random numbers, and gives the same accounts wherever the events are folded.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::names::RoomName;
use crate::server::auth::principal::{Acts, Grants, Role, UnknownWord};
use crate::server::auth::token::{SecretHash, TokenId};

/// A change of the accounts. Its encoding is stored: a released variant never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum AccountEvent {
    UserAdded {
        user: String,
        role: StoredRole,
    },
    RoleSet {
        user: String,
        role: StoredRole,
    },
    /// Of a name, whether it has an account or not. `until_ms` is in milliseconds since 1970; without it, for good.
    Banned {
        name: String,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        until_ms: Option<u64>,
    },
    Unbanned {
        name: String,
    },
    TokenIssued {
        id: TokenId,
        sha256: SecretHash,
        user: String,
        holder: Holder,
        label: String,
        #[serde(skip_serializing_if = "StoredGrants::is_all", default)]
        grants: StoredGrants,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        expires_ms: Option<u64>,
    },
    TokenRevoked {
        id: TokenId,
    },
    Invited {
        sha256: SecretHash,
        user: String,
        expires_ms: u64,
    },
    InvitationUsed {
        sha256: SecretHash,
    },
    InvitationRevoked {
        sha256: SecretHash,
    },
}

/// Who has a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// A person's device, which got it for an invitation.
    Device,
    /// A program, whose operator got it from `token add`.
    Program,
}

/// A role, as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StoredRole(pub Role);

/// What a token is restricted to, as stored. The default is no restriction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredGrants {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rooms: Option<BTreeSet<String>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub acts: Option<Vec<String>>,
}

impl StoredGrants {
    pub fn of(grants: &Grants) -> Self {
        let rooms = grants.rooms.as_ref();
        let acts = (grants.acts != Acts::default()).then(|| grants.acts.words().map(str::to_owned).collect());
        Self { rooms: rooms.map(|rooms| rooms.iter().map(|room| room.as_str().to_owned()).collect()), acts }
    }

    /// The restriction. A list that is there and empty allows nothing.
    pub fn grants(&self) -> Result<Grants, UnknownWord> {
        // A room that could be granted may be named, even if a later version refuses such names.
        let rooms = self.rooms.as_ref().map(|rooms| rooms.iter().map(|room| RoomName::stored(room)).collect());
        let acts = match &self.acts {
            None => Acts::default(),
            Some(words) if words.is_empty() => Acts { read: false, post: false },
            Some(words) => Acts::named(words.iter().map(String::as_str))?,
        };
        Ok(Grants { rooms, acts })
    }

    fn is_all(&self) -> bool {
        *self == Self::default()
    }
}

impl TryFrom<String> for StoredRole {
    type Error = UnknownWord;

    fn try_from(word: String) -> Result<Self, UnknownWord> {
        word.parse().map(Self)
    }
}

impl From<StoredRole> for String {
    fn from(role: StoredRole) -> Self {
        role.0.word().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stored form: a change of it would make files of this version unreadable.
    #[test]
    fn the_encoding_is_fixed() {
        let sha256: SecretHash = serde_json::from_str(&format!("\"{}\"", "A".repeat(43))).unwrap();
        let hash = "A".repeat(43);
        let id = TokenId::parse("0a1b2c3d").unwrap();
        let user = || "ann".to_owned();
        let rooms = Some(["builds".to_owned()].into());
        for (event, json) in [
            (
                AccountEvent::UserAdded { user: user(), role: StoredRole(Role::Admin) },
                r#"{"type":"user_added","user":"ann","role":"admin"}"#.to_owned(),
            ),
            (
                AccountEvent::RoleSet { user: user(), role: StoredRole(Role::Member) },
                r#"{"type":"role_set","user":"ann","role":"member"}"#.to_owned(),
            ),
            (AccountEvent::Banned { name: user(), until_ms: None }, r#"{"type":"banned","name":"ann"}"#.to_owned()),
            (
                AccountEvent::Banned { name: user(), until_ms: Some(7) },
                r#"{"type":"banned","name":"ann","until_ms":7}"#.to_owned(),
            ),
            (AccountEvent::Unbanned { name: user() }, r#"{"type":"unbanned","name":"ann"}"#.to_owned()),
            (
                AccountEvent::TokenIssued {
                    id,
                    sha256,
                    user: user(),
                    holder: Holder::Program,
                    label: "ci".to_owned(),
                    grants: StoredGrants { rooms, acts: Some(vec!["post".to_owned()]) },
                    expires_ms: Some(9),
                },
                format!(
                    r#"{{"type":"token_issued","id":"0a1b2c3d","sha256":"{hash}","user":"ann","holder":"program","label":"ci","grants":{{"rooms":["builds"],"acts":["post"]}},"expires_ms":9}}"#
                ),
            ),
            (
                AccountEvent::TokenIssued {
                    id,
                    sha256,
                    user: user(),
                    holder: Holder::Device,
                    label: String::new(),
                    grants: StoredGrants::default(),
                    expires_ms: None,
                },
                format!(
                    r#"{{"type":"token_issued","id":"0a1b2c3d","sha256":"{hash}","user":"ann","holder":"device","label":""}}"#
                ),
            ),
            (AccountEvent::TokenRevoked { id }, r#"{"type":"token_revoked","id":"0a1b2c3d"}"#.to_owned()),
            (
                AccountEvent::Invited { sha256, user: user(), expires_ms: 9 },
                format!(r#"{{"type":"invited","sha256":"{hash}","user":"ann","expires_ms":9}}"#),
            ),
            (AccountEvent::InvitationUsed { sha256 }, format!(r#"{{"type":"invitation_used","sha256":"{hash}"}}"#)),
            (
                AccountEvent::InvitationRevoked { sha256 },
                format!(r#"{{"type":"invitation_revoked","sha256":"{hash}"}}"#),
            ),
        ] {
            assert_eq!(serde_json::to_string(&event).unwrap(), json);
            assert_eq!(serde_json::from_str::<AccountEvent>(&json).unwrap(), event);
        }
        for bad in [
            r#"{"type":"user_removed","user":"ann"}"#,
            r#"{"type":"unbanned","name":"ann","by":"bob"}"#,
            r#"{"type":"role_set","user":"ann","role":"owner"}"#,
            r#"{"type":"token_revoked","id":"0a1b2c3D"}"#,
        ] {
            assert!(serde_json::from_str::<AccountEvent>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_empty_restriction_allows_nothing() {
        let grants = StoredGrants { rooms: Some(BTreeSet::new()), acts: Some(Vec::new()) }.grants().unwrap();
        assert_eq!(grants, Grants { rooms: Some(BTreeSet::new()), acts: Acts { read: false, post: false } });
        assert_eq!(StoredGrants::default().grants(), Ok(Grants::default()));
        assert!(StoredGrants { rooms: None, acts: Some(vec!["delete".to_owned()]) }.grants().is_err());
    }
}
