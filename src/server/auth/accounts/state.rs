//! The accounts: the fold of their events.
//!
//! The fold is a pure function: no clock, no random numbers, no I/O. It refuses an event that does not follow from the
//! earlier ones, which is the sign of a damaged file. What has expired is forgotten as events come, by their times, so
//! it does not depend on when they are folded.

use std::collections::HashMap;

use thiserror::Error;

use super::event::{AccountEvent, Holder};
use crate::limits::{BANS_MAX, TOKENS_MAX};
use crate::names::{InvalidText, UserName, skeleton};
use crate::server::auth::principal::{Grants, Role, UnknownWord};
use crate::server::auth::token::{SecretHash, TokenId};

/// All accounts.
#[derive(Debug, Default, PartialEq)]
pub struct State {
    /// In the order in which they were added. A user is never removed: stored messages carry its name.
    users: Vec<User>,
    by_name: HashMap<Box<str>, UserNumber>,
    /// The first user with each skeleton. There may be several users of one if a later version of Unicode made their
    /// names look alike.
    by_skeleton: HashMap<Box<str>, UserNumber>,
    tokens: HashMap<TokenId, IssuedToken>,
    invitations: HashMap<SecretHash, Invitation>,
    /// By the skeletons of the names, so that no other spelling escapes a ban.
    bans: HashMap<Box<str>, Ban>,
}

/// A user's place in the list of users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserNumber(pub u32);

#[derive(Debug, PartialEq)]
pub struct User {
    pub name: UserName,
    pub skeleton: Box<str>,
    pub role: Role,
    pub added_ms: u64,
    /// In the order in which they were issued.
    pub tokens: Vec<TokenId>,
    pub invitations: Vec<SecretHash>,
}

#[derive(Debug, PartialEq)]
pub struct IssuedToken {
    pub sha256: SecretHash,
    pub user: UserNumber,
    pub holder: Holder,
    pub label: Box<str>,
    pub grants: Grants,
    pub issued_ms: u64,
    pub expires_ms: Option<u64>,
}

#[derive(Debug, PartialEq)]
pub struct Invitation {
    pub user: UserNumber,
    pub expires_ms: u64,
}

#[derive(Debug, PartialEq)]
pub struct Ban {
    pub name: UserName,
    pub until_ms: Option<u64>,
}

/// An event that does not follow from the earlier ones.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Inconsistent {
    #[error("user {0:?} does not exist")]
    NoUser(String),
    #[error("user {0:?} exists already")]
    UserExists(String),
    #[error("token {0} does not exist")]
    NoToken(TokenId),
    #[error("token {0} exists already")]
    TokenExists(TokenId),
    #[error("an invitation does not exist")]
    NoInvitation,
    #[error("an invitation exists already")]
    InvitationExists,
    #[error("{0:?} is not banned")]
    NotBanned(String),
    #[error("{0:?} is not a user's name ({1})")]
    Name(String, InvalidText),
    #[error(transparent)]
    Word(#[from] UnknownWord),
    #[error("there are too many users")]
    TooManyUsers,
}

impl State {
    /// Applies an event, or leaves everything as it is.
    pub fn apply(&mut self, time_ms: u64, event: &AccountEvent) -> Result<(), Inconsistent> {
        match event {
            AccountEvent::UserAdded { user, role } => self.add_user(time_ms, user, role.0),
            AccountEvent::RoleSet { user, role } => {
                let user = self.number_of(user)?;
                self.user_mut(user).role = role.0;
                Ok(())
            }
            AccountEvent::Banned { name, until_ms } => self.ban(time_ms, name, *until_ms),
            AccountEvent::Unbanned { name } => {
                let is_banned = self.bans.remove(skeleton(name).as_str()).is_some();
                if is_banned { Ok(()) } else { Err(Inconsistent::NotBanned(name.clone())) }
            }
            AccountEvent::TokenIssued { id, sha256, user, holder, label, grants, expires_ms } => {
                let token = IssuedToken {
                    sha256: *sha256,
                    user: self.number_of(user)?,
                    holder: *holder,
                    label: label.as_str().into(),
                    grants: grants.grants()?,
                    issued_ms: time_ms,
                    expires_ms: *expires_ms,
                };
                self.issue(*id, token)
            }
            AccountEvent::TokenRevoked { id } => {
                let token = self.tokens.remove(id).ok_or(Inconsistent::NoToken(*id))?;
                self.user_mut(token.user).tokens.retain(|other| other != id);
                Ok(())
            }
            AccountEvent::Invited { sha256, user, expires_ms } => self.invite(time_ms, *sha256, user, *expires_ms),
            AccountEvent::InvitationUsed { sha256 } | AccountEvent::InvitationRevoked { sha256 } => {
                let invitation = self.invitations.remove(sha256).ok_or(Inconsistent::NoInvitation)?;
                self.user_mut(invitation.user).invitations.retain(|other| other != sha256);
                Ok(())
            }
        }
    }

    fn add_user(&mut self, time_ms: u64, name: &str, role: Role) -> Result<(), Inconsistent> {
        let name = named(name)?;
        if self.by_name.contains_key(name.as_str()) {
            return Err(Inconsistent::UserExists(name.into()));
        }
        let number = UserNumber(u32::try_from(self.users.len()).map_err(|_| Inconsistent::TooManyUsers)?);
        let skeleton: Box<str> = skeleton(name.as_str()).into();
        self.by_name.insert(name.as_str().into(), number);
        self.by_skeleton.entry(skeleton.clone()).or_insert(number);
        let (tokens, invitations) = (Vec::new(), Vec::new());
        self.users.push(User { name, skeleton, role, added_ms: time_ms, tokens, invitations });
        Ok(())
    }

    fn ban(&mut self, time_ms: u64, name: &str, until_ms: Option<u64>) -> Result<(), Inconsistent> {
        let name = named(name)?;
        if self.bans.len() >= BANS_MAX {
            self.bans.retain(|_, ban| ban.holds(time_ms));
        }
        self.bans.insert(skeleton(name.as_str()).into(), Ban { name, until_ms });
        Ok(())
    }

    fn issue(&mut self, id: TokenId, token: IssuedToken) -> Result<(), Inconsistent> {
        if self.tokens.contains_key(&id) {
            return Err(Inconsistent::TokenExists(id));
        }
        let (user, time_ms) = (token.user, token.issued_ms);
        if self.tokens.len() >= TOKENS_MAX {
            for number in 0..self.users.len() {
                self.forget_expired(UserNumber(number as u32), time_ms);
            }
        }
        self.forget_expired(user, time_ms);
        self.tokens.insert(id, token);
        self.user_mut(user).tokens.push(id);
        Ok(())
    }

    fn invite(&mut self, time_ms: u64, sha256: SecretHash, name: &str, expires_ms: u64) -> Result<(), Inconsistent> {
        let user = self.number_of(name)?;
        if self.invitations.contains_key(&sha256) {
            return Err(Inconsistent::InvitationExists);
        }
        self.forget_expired(user, time_ms);
        self.invitations.insert(sha256, Invitation { user, expires_ms });
        self.user_mut(user).invitations.push(sha256);
        Ok(())
    }

    /// Forgets a user's expired tokens and invitations.
    fn forget_expired(&mut self, user: UserNumber, time_ms: u64) {
        let Self { users, tokens, invitations, .. } = self;
        let user = &mut users[user.0 as usize];
        user.tokens.retain(|id| {
            let is_expired = tokens.get(id).is_none_or(|token| token.is_expired(time_ms));
            if is_expired {
                tokens.remove(id);
            }
            !is_expired
        });
        user.invitations.retain(|sha256| {
            let is_expired = invitations.get(sha256).is_none_or(|invitation| invitation.is_expired(time_ms));
            if is_expired {
                invitations.remove(sha256);
            }
            !is_expired
        });
    }

    fn number_of(&self, name: &str) -> Result<UserNumber, Inconsistent> {
        self.by_name.get(name).copied().ok_or_else(|| Inconsistent::NoUser(name.to_owned()))
    }

    fn user_mut(&mut self, number: UserNumber) -> &mut User {
        // Invariant: a number is one of a user in the list, which only grows.
        &mut self.users[number.0 as usize]
    }

    pub fn users(&self) -> &[User] {
        &self.users
    }

    pub fn user(&self, number: UserNumber) -> &User {
        &self.users[number.0 as usize]
    }

    pub fn user_named(&self, name: &str) -> Option<&User> {
        self.by_name.get(name).map(|number| self.user(*number))
    }

    /// The user whose name looks like this one.
    pub fn user_like(&self, skeleton: &str) -> Option<&User> {
        self.by_skeleton.get(skeleton).map(|number| self.user(*number))
    }

    pub fn token(&self, id: TokenId) -> Option<&IssuedToken> {
        self.tokens.get(&id)
    }

    /// A user's tokens, the oldest first.
    pub fn tokens_of<'a>(&'a self, user: &'a User) -> impl Iterator<Item = (TokenId, &'a IssuedToken)> {
        user.tokens.iter().filter_map(|id| self.tokens.get(id).map(|token| (*id, token)))
    }

    pub fn token_count(&self) -> usize {
        self.tokens.len()
    }

    pub fn tokens(&self) -> impl Iterator<Item = (TokenId, &IssuedToken)> {
        self.tokens.iter().map(|(id, token)| (*id, token))
    }

    pub fn invitation(&self, sha256: SecretHash) -> Option<&Invitation> {
        self.invitations.get(&sha256)
    }

    /// How many of a user's invitations can still be used.
    pub fn open_invitations(&self, user: &User, now_ms: u64) -> usize {
        let open = user.invitations.iter().filter_map(|sha256| self.invitations.get(sha256));
        open.filter(|invitation| !invitation.is_expired(now_ms)).count()
    }

    /// The ban of a name, by its skeleton, if it holds now.
    pub fn ban_of(&self, skeleton: &str, now_ms: u64) -> Option<&Ban> {
        self.bans.get(skeleton).filter(|ban| ban.holds(now_ms))
    }

    pub fn bans(&self) -> impl Iterator<Item = (&str, &Ban)> {
        self.bans.iter().map(|(skeleton, ban)| (&**skeleton, ban))
    }
}

impl IssuedToken {
    pub fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_ms.is_some_and(|end| now_ms >= end)
    }
}

impl Invitation {
    pub fn is_expired(&self, now_ms: u64) -> bool {
        now_ms >= self.expires_ms
    }
}

impl Ban {
    fn holds(&self, now_ms: u64) -> bool {
        self.until_ms.is_none_or(|end| now_ms < end)
    }
}

fn named(name: &str) -> Result<UserName, Inconsistent> {
    UserName::new(name).map_err(|fault| Inconsistent::Name(name.to_owned(), fault))
}
