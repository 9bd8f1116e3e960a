//! The login of a page: who it is, and its end.

use super::caller::Caller;
use super::error::CallResult;
use crate::names::UserName;
use crate::server::auth::principal::Role;
use crate::server::hub::Hub;

/// Who has logged in.
#[derive(Clone, Debug)]
pub struct Session {
    pub name: Option<UserName>,
    pub role: Role,
}

/// Who the caller is. May verify a signature.
pub fn session(_hub: &Hub, caller: &Caller, (): ()) -> CallResult<Session> {
    Ok(Session { name: caller.principal.name.clone(), role: caller.principal.role })
}

/// Revokes the token with which the caller has logged in. Writes to the disk.
pub fn end_session(hub: &Hub, caller: &Caller, (): ()) -> CallResult<()> {
    Ok(hub.authenticator.log_out(&caller.principal)?)
}
