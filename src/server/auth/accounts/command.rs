//! The operator's commands on accounts, and the replies to them, as they cross the operator's socket.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::event::{Holder, StoredGrants, StoredRole};
use crate::server::auth::credentials::Bearer;
use crate::server::auth::token::TokenId;

/// A command of the operator. Times are in milliseconds; `after` is the `next` of the page before, 0 for the first one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum OperatorCommand {
    /// Adds a user, and invites it.
    AddUser {
        user: String,
        role: StoredRole,
    },
    /// Invites a user once more, for another device.
    Invite {
        user: String,
    },
    SetRole {
        user: String,
        role: StoredRole,
    },
    /// Bans a name, for good without a time.
    Ban {
        user: String,
        for_ms: Option<u64>,
    },
    Unban {
        user: String,
    },
    /// Revokes a user's device, by its id or label; without one, all its tokens and open invitations.
    Revoke {
        user: String,
        device: Option<String>,
    },
    /// Adds a token for a program to a user, who is added if missing. No rooms means all rooms, no acts all acts.
    AddToken {
        user: String,
        rooms: Vec<String>,
        acts: Vec<String>,
        expires_in_ms: Option<u64>,
        label: Option<String>,
    },
    RevokeToken {
        id: String,
    },
    ListUsers {
        after: u32,
    },
    ListDevices {
        user: String,
    },
    /// Lists the tokens of programs, of one user or of all.
    ListTokens {
        user: Option<String>,
        after: u32,
    },
}

/// The reply to a command that succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum OperatorReply {
    Invited {
        user: String,
        role: StoredRole,
        /// Whether the user is new.
        added: bool,
        code: Secret,
        until_ms: u64,
    },
    RoleSet {
        user: String,
        role: StoredRole,
        before: StoredRole,
    },
    Banned {
        user: String,
        until_ms: Option<u64>,
        has_account: bool,
    },
    Unbanned {
        user: String,
    },
    Revoked {
        user: String,
        tokens: Vec<TokenId>,
        invitations: usize,
    },
    TokenAdded {
        user: String,
        /// Whether the user is new.
        added: bool,
        id: TokenId,
        token: Secret,
        until_ms: Option<u64>,
    },
    Users {
        users: Vec<ListedUser>,
        /// Banned names without an account, on the last page.
        banned: Vec<BannedName>,
        next: Option<u32>,
    },
    Tokens {
        tokens: Vec<ListedToken>,
        next: Option<u32>,
    },
}

/// A user of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedUser {
    pub user: String,
    pub role: StoredRole,
    pub added_ms: u64,
    /// How many devices are logged in.
    pub devices: usize,
    /// How many tokens for programs are valid.
    pub tokens: usize,
    /// How many invitations can still be used.
    pub invitations: usize,
    /// The day of the last login, as a date.
    pub last_use: Option<String>,
    pub banned: bool,
    /// When the ban ends; without it, never.
    pub banned_until_ms: Option<u64>,
}

/// A banned name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BannedName {
    pub user: String,
    pub banned_until_ms: Option<u64>,
}

/// A token of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedToken {
    pub id: TokenId,
    pub user: String,
    pub holder: Holder,
    pub label: String,
    pub grants: StoredGrants,
    pub issued_ms: u64,
    pub expires_ms: Option<u64>,
    pub expired: bool,
    /// The day of the last login, as a date.
    pub last_use: Option<String>,
}

/// A secret in a reply. It is never shown by a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Bearer);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Bearer::new(text)))
    }
}
