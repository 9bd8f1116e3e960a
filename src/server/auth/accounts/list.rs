//! The lists of users and tokens for the operator, page by page.

use std::collections::HashMap;

use super::command::{BannedName, ListedToken, ListedUser, OperatorReply};
use super::event::{Holder, StoredGrants, StoredRole};
use super::state::{IssuedToken, State, User};
use crate::limits::OPERATOR_PAGE;
use crate::server::auth::token::TokenId;
use crate::server::log::clock::date;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// How many bytes of a date as text are the day: `2026-11-27`.
const DAY_LENGTH: usize = 10;

/// The days on which tokens were last used, in days since 1970.
pub type Uses = HashMap<TokenId, u32>;

/// The day of a time, in days since 1970.
pub fn day(time_ms: u64) -> u32 {
    u32::try_from(time_ms / DAY_MS).unwrap_or(u32::MAX)
}

/// The next users. The users are in the order in which they were added.
pub fn users(state: &State, uses: &Uses, after: u32, now_ms: u64) -> OperatorReply {
    let from = (after as usize).min(state.users().len());
    let to = (from + OPERATOR_PAGE).min(state.users().len());
    let users = state.users()[from..to].iter().map(|user| listed_user(state, uses, user, now_ms)).collect();
    let next = (to < state.users().len()).then_some(to as u32);
    let banned = if next.is_some() { Vec::new() } else { banned_names(state, now_ms) };
    OperatorReply::Users { users, banned, next }
}

fn listed_user(state: &State, uses: &Uses, user: &User, now_ms: u64) -> ListedUser {
    let count = |holder| {
        let tokens = state.tokens_of(user);
        tokens.filter(|(_, token)| token.holder == holder && !token.is_expired(now_ms)).count()
    };
    let ban = state.ban_of(&user.skeleton, now_ms);
    ListedUser {
        user: user.name.as_str().to_owned(),
        role: StoredRole(user.role),
        added_ms: user.added_ms,
        devices: count(Holder::Device),
        tokens: count(Holder::Program),
        invitations: state.open_invitations(user, now_ms),
        last_use: user.tokens.iter().filter_map(|id| uses.get(id)).max().map(|day| shown(*day)),
        banned: ban.is_some(),
        banned_until_ms: ban.and_then(|ban| ban.until_ms),
    }
}

/// The banned names that look like no user's.
fn banned_names(state: &State, now_ms: u64) -> Vec<BannedName> {
    let bans = state.bans().filter(|(skeleton, _)| state.user_like(skeleton).is_none());
    let names = bans.filter_map(|(skeleton, _)| state.ban_of(skeleton, now_ms));
    let mut names: Vec<_> =
        names.map(|ban| BannedName { user: ban.name.as_str().to_owned(), banned_until_ms: ban.until_ms }).collect();
    names.sort_by(|one, other| one.user.cmp(&other.user));
    names
}

/// The tokens of the next users, all tokens of a user on one page.
pub fn tokens(state: &State, uses: &Uses, after: u32, now_ms: u64) -> OperatorReply {
    let mut tokens = Vec::new();
    let mut next = (after as usize).min(state.users().len());
    while next < state.users().len() && tokens.len() < OPERATOR_PAGE {
        tokens.extend(tokens_of(state, uses, &state.users()[next], Holder::Program, now_ms));
        next += 1;
    }
    OperatorReply::Tokens { tokens, next: (next < state.users().len()).then_some(next as u32) }
}

/// A user's tokens of this kind.
pub fn tokens_of(state: &State, uses: &Uses, user: &User, holder: Holder, now_ms: u64) -> Vec<ListedToken> {
    let listed = |(id, token): (TokenId, &IssuedToken)| ListedToken {
        id,
        user: user.name.as_str().to_owned(),
        holder: token.holder,
        label: (*token.label).to_owned(),
        grants: StoredGrants::of(&token.grants),
        issued_ms: token.issued_ms,
        expires_ms: token.expires_ms,
        expired: token.is_expired(now_ms),
        last_use: uses.get(&id).map(|day| shown(*day)),
    };
    state.tokens_of(user).filter(|(_, token)| token.holder == holder).map(listed).collect()
}

/// A day as text.
fn shown(day: u32) -> String {
    let mut text = date(u64::from(day) * DAY_MS);
    text.truncate(DAY_LENGTH);
    text
}
