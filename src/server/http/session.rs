//! `/session`: the login of a page. A page exchanges an invitation or a token for a cookie, and never sees the token.

use serde::Deserialize;

use super::answer::Answer;
use super::cookie;
use super::refuse::fail;
use crate::server::auth::credentials::{Bearer, Credentials, Presented};
use crate::server::calls::dispatch::{CallOrigin, Dispatcher};
use crate::server::calls::error::{CallResult, Code};
use crate::server::calls::session::{Session, end_session, session};
use crate::threads::park::block_on;
use crate::wire::v1;

/// The path.
pub const PATH: &str = "/session";

/// The body of a POST: one of `code` and `token`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    /// The code of an invitation.
    code: Option<String>,
    /// A token that the user has already, also one of another issuer.
    token: Option<String>,
    /// The name of the device, for the user's list.
    #[serde(default)]
    device: String,
}

/// Who a page is, by its cookie.
pub fn get(dispatcher: &Dispatcher, origin: CallOrigin) -> Answer {
    if !dispatcher.hub().authenticator.needs_login() {
        return state(false, None);
    }
    match identify(dispatcher, origin) {
        Ok(session) => state(true, Some(&session)),
        // To ask is no failure: a browser would report it as one.
        Err(error) if error.code() == Code::Unauthenticated => state(true, None),
        Err(error) => fail(&error),
    }
}

/// Logs in.
pub fn post(dispatcher: &Dispatcher, from: &CallOrigin, body: &[u8], is_secure: bool) -> Answer {
    let invalid = |message: &str| Answer::error(400, Code::InvalidArgument, message);
    let login: Login = match serde_json::from_slice(body) {
        Ok(login) => login,
        Err(error) => return invalid(&format!("the request can't be read: {error}")),
    };
    let origin = |bearer| CallOrigin {
        connection: from.connection.clone(),
        peer: from.peer.clone(),
        credentials: Credentials { bearer, certificate: None },
        bundle: None,
    };
    let token = match (login.code, login.token) {
        (Some(code), None) => {
            let request = v1::LoginRequest { code, device: login.device, ..Default::default() };
            match block_on(dispatcher.login(origin(Presented::Nothing), request)) {
                Ok((_slot, response)) => Bearer::new(response.token),
                Err(error) => return fail(&error),
            }
        }
        (None, Some(token)) if cookie::may_hold(&token) => Bearer::new(token),
        (None, Some(_)) => {
            return invalid("the token can't be kept in a cookie: it is too long, or has other characters");
        }
        _ => return invalid("give the code of an invitation, or a token: {\"code\":\"...\"}"),
    };
    match identify(dispatcher, origin(Presented::Token(token.clone()))) {
        Ok(session) => state(true, Some(&session)).with("set-cookie", cookie::set(Some(&token), is_secure)),
        Err(error) => fail(&error),
    }
}

/// Logs out: revokes the token, and removes the cookie in any case.
pub fn delete(dispatcher: &Dispatcher, origin: CallOrigin, is_secure: bool) -> Answer {
    let needs_login = dispatcher.hub().authenticator.needs_login();
    let ended = match needs_login {
        true => block_on(dispatcher.read(origin, (), end_session)).map(drop),
        false => Ok(()),
    };
    let answer = match ended {
        Err(error) if error.code() != Code::Unauthenticated => fail(&error),
        _ => state(needs_login, None),
    };
    answer.with("set-cookie", cookie::set(None, is_secure))
}

fn identify(dispatcher: &Dispatcher, origin: CallOrigin) -> CallResult<Session> {
    block_on(dispatcher.read(origin, (), session)).map(|(_slot, session)| session)
}

fn state(accounts: bool, session: Option<&Session>) -> Answer {
    let mut state = serde_json::json!({ "accounts": accounts });
    if let Some(Session { name: Some(name), role }) = session {
        state["name"] = name.as_str().into();
        state["role"] = role.word().into();
    }
    Answer::new(200, "application/json", state.to_string())
}
