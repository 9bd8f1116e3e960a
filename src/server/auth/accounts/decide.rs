//! Decides what a command changes: the events, and the reply.
//!
//! Nothing is changed here. The decision is made on the state at the time of the command, by the one thread that
//! changes it, so an event that was decided can be applied.

use super::command::{OperatorCommand, OperatorReply, Secret};
use super::error::AccountsError;
use super::event::{AccountEvent, Holder, StoredGrants, StoredRole};
use super::state::{Inconsistent, State, User};
use crate::escape;
use crate::limits::{
    BANS_MAX, DEVICES_PER_USER_MAX, INVITATION_TIME, INVITATIONS_PER_USER_MAX, LABEL_CHARS_MAX, TOKEN_ROOMS_MAX,
    TOKENS_MAX, TOKENS_PER_USER_MAX, USERS_MAX,
};
use crate::names::{RoomName, UserName, skeleton};
use crate::server::auth::login::LoginError;
use crate::server::auth::principal::{Acts, Grants, Role};
use crate::server::auth::token::{InvitationCode, NoRandomness, SecretHash, Token, TokenId};

/// Names that no user may have: they would speak for the server, or for clients without a login.
const RESERVED: [&str; 2] = ["anonymous", "server"];

/// Marks the names of clients without a login.
const CLAIM: char = '~';

/// What is to change.
#[derive(Debug)]
pub struct Decision {
    pub events: Vec<AccountEvent>,
    pub reply: OperatorReply,
    /// Whether a client that is connected may lose a right.
    pub ends_rights: bool,
}

impl Decision {
    fn new(events: Vec<AccountEvent>, reply: OperatorReply) -> Self {
        Self { events, reply, ends_rights: false }
    }

    fn ending(events: Vec<AccountEvent>, reply: OperatorReply) -> Self {
        Self { events, reply, ends_rights: true }
    }
}

/// Decides on a command that changes accounts; `None` for one that lists them.
pub fn decide(state: &State, command: OperatorCommand, now_ms: u64) -> Option<Result<Decision, AccountsError>> {
    Some(match command {
        OperatorCommand::AddUser { user, role } => add_user(state, &user, role, now_ms),
        OperatorCommand::Invite { user } => find(state, &user)
            .and_then(|user| invite(state, user, now_ms).map(|(event, reply)| Decision::new(vec![event], reply))),
        OperatorCommand::SetRole { user, role } => set_role(state, &user, role),
        OperatorCommand::Ban { user, for_ms } => ban(state, user, for_ms, now_ms),
        OperatorCommand::Unban { user } => unban(state, user, now_ms),
        OperatorCommand::Revoke { user, device } => revoke(state, &user, device.as_deref()),
        OperatorCommand::AddToken { user, rooms, acts, expires_in_ms, label } => {
            grants(&rooms, &acts).and_then(|grants| {
                let expires_ms = expires_in_ms.map(|time| now_ms.saturating_add(time));
                add_token(state, &user, &grants, expires_ms, &label.unwrap_or_default(), now_ms)
            })
        }
        OperatorCommand::RevokeToken { id } => revoke_token(state, &id),
        OperatorCommand::ListUsers { .. }
        | OperatorCommand::ListDevices { .. }
        | OperatorCommand::ListTokens { .. } => return None,
    })
}

/// Decides on the use of an invitation: the events, the token, and whose it is.
pub fn redeem(
    state: &State,
    sha256: SecretHash,
    device: &str,
    now_ms: u64,
) -> Result<(Vec<AccountEvent>, Token, UserName), LoginError> {
    let invitation = state.invitation(sha256).filter(|invitation| !invitation.is_expired(now_ms));
    let user = state.user(invitation.ok_or(LoginError::Code)?.user);
    if state.ban_of(&user.skeleton, now_ms).is_some() {
        return Err(LoginError::Banned(user.name.clone()));
    }
    let is_full = live(state, user, Holder::Device, now_ms) >= DEVICES_PER_USER_MAX;
    if is_full || live_tokens(state, now_ms) >= TOKENS_MAX {
        return Err(LoginError::TooManyDevices(user.name.clone()));
    }
    let token = new_token(state).map_err(|_| LoginError::Unavailable)?;
    let issued = AccountEvent::TokenIssued {
        id: token.id,
        sha256: token.hash(),
        user: user.name.as_str().to_owned(),
        holder: Holder::Device,
        label: label(device),
        grants: StoredGrants::default(),
        expires_ms: None,
    };
    Ok((vec![AccountEvent::InvitationUsed { sha256 }, issued], token, user.name.clone()))
}

/// Whether a user may have this name: its fault, if not.
pub fn name_fault(state: &State, name: &UserName) -> Option<&'static str> {
    let skeleton = skeleton(name.as_str());
    if is_reserved(&skeleton) {
        return Some("is reserved");
    }
    let other = state.user_named(name.as_str()).or_else(|| state.user_like(&skeleton));
    other.filter(|other| other.name != *name).map(|_| "looks like that of another user")
}

/// The user of this name, which must exist.
pub fn find<'a>(state: &'a State, name: &str) -> Result<&'a User, AccountsError> {
    let name = checked(name)?;
    state.user_named(name.as_str()).ok_or_else(|| {
        let like = state.user_like(&skeleton(name.as_str())).map(|user| user.name.as_str().to_owned());
        AccountsError::NoUser { name: name.into(), like }
    })
}

fn checked(name: &str) -> Result<UserName, AccountsError> {
    UserName::new(name).map_err(|fault| AccountsError::Name { name: name.to_owned(), fault })
}

fn is_reserved(name: &str) -> bool {
    name.starts_with(CLAIM) || RESERVED.iter().any(|reserved| skeleton(reserved) == name)
}

/// The name of a user to add.
fn new_name(state: &State, name: &str) -> Result<UserName, AccountsError> {
    let name = checked(name)?;
    let skeleton = skeleton(name.as_str());
    if is_reserved(&skeleton) {
        return Err(AccountsError::Reserved(name.into()));
    }
    if state.user_named(name.as_str()).is_some() {
        return Err(AccountsError::UserExists(name.into()));
    }
    if let Some(other) = state.user_like(&skeleton) {
        return Err(AccountsError::LooksLike { name: name.into(), other: other.name.as_str().to_owned() });
    }
    if state.users().len() >= USERS_MAX {
        let remedy = "users can't be removed, because messages carry their names";
        return Err(AccountsError::TooMany { what: format!("{USERS_MAX} users"), remedy });
    }
    Ok(name)
}

fn add_user(state: &State, name: &str, role: StoredRole, now_ms: u64) -> Result<Decision, AccountsError> {
    let name = new_name(state, name)?;
    if state.ban_of(&skeleton(name.as_str()), now_ms).is_some() {
        return Err(AccountsError::Banned(name.into()));
    }
    let user = String::from(name);
    let added = AccountEvent::UserAdded { user: user.clone(), role };
    let (invited, code, until_ms) = invitation(&user, now_ms)?;
    Ok(Decision::new(vec![added, invited], OperatorReply::Invited { user, role, added: true, code, until_ms }))
}

fn invite(state: &State, user: &User, now_ms: u64) -> Result<(AccountEvent, OperatorReply), AccountsError> {
    let name = user.name.as_str().to_owned();
    if state.ban_of(&user.skeleton, now_ms).is_some() {
        return Err(AccountsError::Banned(name));
    }
    if state.open_invitations(user, now_ms) >= INVITATIONS_PER_USER_MAX {
        let remedy = "wait until one is used or a week old, or void them with hubbub-server user revoke";
        return Err(AccountsError::TooMany { what: format!("{INVITATIONS_PER_USER_MAX} open invitations"), remedy });
    }
    let (event, code, until_ms) = invitation(&name, now_ms)?;
    Ok((event, OperatorReply::Invited { user: name, role: StoredRole(user.role), added: false, code, until_ms }))
}

fn invitation(user: &str, now_ms: u64) -> Result<(AccountEvent, Secret, u64), AccountsError> {
    let code = InvitationCode::generate()?;
    let expires_ms = now_ms.saturating_add(INVITATION_TIME.as_millis() as u64);
    let event = AccountEvent::Invited { sha256: code.hash(), user: user.to_owned(), expires_ms };
    Ok((event, Secret(code.text()), expires_ms))
}

fn set_role(state: &State, name: &str, role: StoredRole) -> Result<Decision, AccountsError> {
    let user = find(state, name)?;
    let name = user.name.as_str().to_owned();
    let reply = OperatorReply::RoleSet { user: name.clone(), role, before: StoredRole(user.role) };
    let events = if role.0 == user.role { Vec::new() } else { vec![AccountEvent::RoleSet { user: name, role }] };
    Ok(if role.0 < user.role { Decision::ending(events, reply) } else { Decision::new(events, reply) })
}

/// A name without an account may be banned too: it may log in with a certificate or a JSON web token.
fn ban(state: &State, name: String, for_ms: Option<u64>, now_ms: u64) -> Result<Decision, AccountsError> {
    let name = checked(&name)?;
    let has_account = state.user_like(&skeleton(name.as_str())).is_some();
    let is_full = state.bans().count() >= BANS_MAX
        && state.bans().filter(|(skeleton, _)| state.ban_of(skeleton, now_ms).is_some()).count() >= BANS_MAX;
    if is_full {
        let remedy = "end some with hubbub-server user unban";
        return Err(AccountsError::TooMany { what: format!("{BANS_MAX} bans"), remedy });
    }
    let (name, until_ms) = (String::from(name), for_ms.map(|time| now_ms.saturating_add(time)));
    let event = AccountEvent::Banned { name: name.clone(), until_ms };
    Ok(Decision::ending(vec![event], OperatorReply::Banned { user: name, until_ms, has_account }))
}

fn unban(state: &State, name: String, now_ms: u64) -> Result<Decision, AccountsError> {
    let name = String::from(checked(&name)?);
    if state.ban_of(&skeleton(&name), now_ms).is_none() {
        return Err(AccountsError::NotBanned(name));
    }
    let event = AccountEvent::Unbanned { name: name.clone() };
    Ok(Decision::new(vec![event], OperatorReply::Unbanned { user: name }))
}

fn revoke(state: &State, name: &str, device: Option<&str>) -> Result<Decision, AccountsError> {
    let user = find(state, name)?;
    let name = user.name.as_str().to_owned();
    let (tokens, invitations): (Vec<TokenId>, &[SecretHash]) = match device {
        None => (user.tokens.clone(), &user.invitations),
        Some(device) => (vec![device_of(state, user, device)?], &[]),
    };
    if tokens.is_empty() && invitations.is_empty() {
        return Err(AccountsError::NothingToRevoke(name));
    }
    let revoked = tokens.iter().map(|id| AccountEvent::TokenRevoked { id: *id });
    let void = invitations.iter().map(|sha256| AccountEvent::InvitationRevoked { sha256: *sha256 });
    let events = revoked.chain(void).collect();
    Ok(Decision::ending(events, OperatorReply::Revoked { user: name, tokens, invitations: invitations.len() }))
}

/// A user's device, by its id or its label.
fn device_of(state: &State, user: &User, device: &str) -> Result<TokenId, AccountsError> {
    if let Some(id) = TokenId::parse(device).filter(|id| user.tokens.contains(id)) {
        return Ok(id);
    }
    let text = |user: &User| (user.name.as_str().to_owned(), device.to_owned());
    let mut labelled = state.tokens_of(user).filter(|(_, token)| &*token.label == device);
    match (labelled.next(), labelled.next()) {
        (Some((id, _)), None) => Ok(id),
        (None, _) => {
            let (user, device) = text(user);
            Err(AccountsError::NoDevice { user, device })
        }
        (Some(_), Some(_)) => {
            let (user, device) = text(user);
            Err(AccountsError::Ambiguous { user, device })
        }
    }
}

fn grants(rooms: &[String], acts: &[String]) -> Result<Grants, AccountsError> {
    if rooms.len() > TOKEN_ROOMS_MAX {
        let remedy = "leave some out, or make another token for them";
        return Err(AccountsError::TooMany { what: format!("{TOKEN_ROOMS_MAX} rooms of one token"), remedy });
    }
    let room = |room: &String| RoomName::new(room).map_err(|fault| AccountsError::Room { room: room.clone(), fault });
    let named = rooms.iter().map(room).collect::<Result<_, _>>()?;
    let acts = Acts::named(acts.iter().map(String::as_str))?;
    Ok(Grants { rooms: (!rooms.is_empty()).then_some(named), acts })
}

fn add_token(
    state: &State,
    name: &str,
    grants: &Grants,
    expires_ms: Option<u64>,
    text: &str,
    now_ms: u64,
) -> Result<Decision, AccountsError> {
    let mut events = Vec::new();
    let (name, added) = match find(state, name) {
        Ok(user) => {
            if live(state, user, Holder::Program, now_ms) >= TOKENS_PER_USER_MAX {
                let what = format!("{TOKENS_PER_USER_MAX} tokens for programs of one user");
                return Err(AccountsError::TooMany { what, remedy: "revoke one with hubbub-server token revoke" });
            }
            (user.name.clone(), false)
        }
        Err(AccountsError::NoUser { .. }) => (new_name(state, name)?, true),
        Err(error) => return Err(error),
    };
    if state.ban_of(&skeleton(name.as_str()), now_ms).is_some() {
        return Err(AccountsError::Banned(name.into()));
    }
    if live_tokens(state, now_ms) >= TOKENS_MAX {
        let remedy = "revoke some with hubbub-server token revoke";
        return Err(AccountsError::TooMany { what: format!("{TOKENS_MAX} tokens"), remedy });
    }
    let user = String::from(name);
    if added {
        events.push(AccountEvent::UserAdded { user: user.clone(), role: StoredRole(Role::Member) });
    }
    let token = new_token(state)?;
    events.push(AccountEvent::TokenIssued {
        id: token.id,
        sha256: token.hash(),
        user: user.clone(),
        holder: Holder::Program,
        label: label(text),
        grants: StoredGrants::of(grants),
        expires_ms,
    });
    let (id, token) = (token.id, Secret(token.text()));
    Ok(Decision::new(events, OperatorReply::TokenAdded { user, added, id, token, until_ms: expires_ms }))
}

fn revoke_token(state: &State, id: &str) -> Result<Decision, AccountsError> {
    let found = TokenId::parse(id).and_then(|id| state.token(id).map(|token| (id, token)));
    let (id, token) = found.ok_or_else(|| AccountsError::NoToken(id.to_owned()))?;
    let user = state.user(token.user).name.as_str().to_owned();
    let reply = OperatorReply::Revoked { user, tokens: vec![id], invitations: 0 };
    Ok(Decision::ending(vec![AccountEvent::TokenRevoked { id }], reply))
}

/// A token whose id no other one has.
fn new_token(state: &State) -> Result<Token, NoRandomness> {
    loop {
        let id = TokenId::generate()?;
        if state.token(id).is_none() {
            return Token::generate(id);
        }
    }
}

/// How many of a user's tokens are valid.
fn live(state: &State, user: &User, holder: Holder, now_ms: u64) -> usize {
    state.tokens_of(user).filter(|(_, token)| token.holder == holder && !token.is_expired(now_ms)).count()
}

/// How many tokens are valid, as far as that matters.
fn live_tokens(state: &State, now_ms: u64) -> usize {
    match state.token_count() {
        count if count < TOKENS_MAX => count,
        _ => state.tokens().filter(|(_, token)| !token.is_expired(now_ms)).count(),
    }
}

/// A label without what acts on a terminal. Devices choose theirs.
fn label(text: &str) -> String {
    let shown = text.trim().chars().filter(|c| !escape::acts(*c)).take(LABEL_CHARS_MAX);
    shown.collect::<String>().trim().to_owned()
}

/// Applies the events of a decision.
pub fn apply(state: &mut State, time_ms: u64, events: &[AccountEvent]) -> Result<(), Inconsistent> {
    events.iter().try_for_each(|event| state.apply(time_ms, event))
}
