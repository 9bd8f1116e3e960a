//! The logins that a server accepts, and the check of what a call presents.

use std::sync::Arc;
use std::time::SystemTime;

use super::accounts::{Accounts, Redeemed};
use super::certificate::ClientName;
use super::credentials::{Bearer, Credentials, Presented};
use super::jwt::Jwt;
use super::login::LoginError;
use super::principal::Principal;
use super::token;
use crate::names::UserName;
use crate::server::quotas::Use;

/// Decides who a client is. Without any kind of login, the server is open: every client is who it says.
#[derive(Default)]
pub struct Authenticator {
    /// The users, with their bans. Also an open server, and one with other logins only, has bans.
    pub accounts: Option<Arc<Accounts>>,
    /// Whether the tokens of accounts are accepted.
    pub accepts_tokens: bool,
    pub jwt: Option<Arc<Jwt>>,
    /// The field of a client certificate that has the user's name.
    pub certificates: Option<ClientName>,
    /// Whether the tutorial's contract is served although it has no login.
    pub allows_tutorial: bool,
}

impl Authenticator {
    /// Whether clients must log in.
    pub fn needs_login(&self) -> bool {
        self.accepts_tokens || self.jwt.is_some() || self.certificates.is_some()
    }

    /// Refuses a call that presents nothing or a wrong token of an account, and one from an address with too many failed
    /// logins. This takes a few microseconds, and does not block.
    pub fn precheck(&self, credentials: &Credentials, used: Option<&Use>) -> Result<(), LoginError> {
        if !self.needs_login() {
            return Ok(());
        }
        if let Some(used) = used {
            used.may_log_in().map_err(LoginError::TooManyFailures)?;
        }
        let has_certificate = self.certificates.is_some() && credentials.certificate.is_some();
        let has_token = (self.accepts_tokens || self.jwt.is_some()) && credentials.bearer != Presented::Nothing;
        match &credentials.bearer {
            _ if !has_certificate && !has_token => Err(LoginError::Missing),
            // A token of ours is only looked up.
            Presented::Token(token) if !has_certificate && is_ours(token) => {
                counted(self.bearer(token), used).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Who the client is. The first thing that is presented decides: the certificate, then the token. Verifying a
    /// signature takes up to a millisecond, so a transport MUST NOT call this on a poller.
    pub fn identify(&self, credentials: &Credentials, used: Option<&Use>) -> Result<Principal, LoginError> {
        if !self.needs_login() {
            return Ok(Principal::open());
        }
        let certificate = self.certificates.zip(credentials.certificate.as_ref());
        let identified = match (certificate, &credentials.bearer) {
            (Some((field, certificate)), _) => {
                field.principal(certificate).and_then(|principal| self.check_name(principal))
            }
            (None, Presented::Token(token)) => self.bearer(token),
            (None, Presented::Malformed) => Err(LoginError::Invalid),
            (None, Presented::Nothing) => Err(LoginError::Missing),
        };
        counted(identified, used)
    }

    /// Who presents this token, on a stream that has logged in before.
    pub fn renew(&self, token: &Bearer, used: Option<&Use>) -> Result<Principal, LoginError> {
        if !self.needs_login() {
            return Ok(Principal::open());
        }
        if let Some(used) = used {
            used.may_log_in().map_err(LoginError::TooManyFailures)?;
        }
        counted(self.bearer(token), used)
    }

    fn bearer(&self, token: &Bearer) -> Result<Principal, LoginError> {
        let now = SystemTime::now();
        let is_ours = is_ours(token);
        match (&self.accounts, &self.jwt) {
            (Some(accounts), _) if is_ours && self.accepts_tokens => accounts.identify(token, now),
            (_, Some(jwt)) if !is_ours => jwt.verify(token, now).and_then(|principal| self.check_name(principal)),
            _ => Err(LoginError::Invalid),
        }
    }

    /// Whoever vouches for a name, a banned user stays out, and no name looks like that of another user.
    fn check_name(&self, principal: Principal) -> Result<Principal, LoginError> {
        if principal.name.as_ref().is_some_and(UserName::is_marked) {
            return Err(LoginError::MarkedName);
        }
        if let (Some(accounts), Some(name)) = (&self.accounts, &principal.name) {
            accounts.check_name(name)?;
        }
        Ok(principal)
    }

    /// Exchanges the code of an invitation for a token. Writes to the disk.
    pub fn redeem(&self, code: &str, device: &str, used: Option<&Use>) -> Result<Redeemed, LoginError> {
        let accounts = self.accounts.as_ref().filter(|_| self.accepts_tokens).ok_or(LoginError::NoAccounts)?;
        if let Some(used) = used {
            used.may_log_in().map_err(LoginError::TooManyFailures)?;
        }
        counted(accounts.redeem(code, device, SystemTime::now()), used)
    }

    /// Whether a login still holds: it is not revoked, its user is not banned, and its key is still in use.
    pub fn is_valid(&self, principal: &Principal) -> bool {
        self.accounts.as_ref().is_none_or(|accounts| accounts.is_valid(principal, SystemTime::now()))
            && self.jwt.as_ref().is_none_or(|jwt| jwt.is_valid(principal))
    }
}

/// Whether this is a token of an account, and not a JSON web token.
fn is_ours(token: &Bearer) -> bool {
    token.expose().starts_with(token::PREFIX)
}

/// Counts a failed attempt for its address.
fn counted<T>(outcome: Result<T, LoginError>, used: Option<&Use>) -> Result<T, LoginError> {
    // A secret that was valid once is no guess.
    let is_guess = matches!(outcome, Err(LoginError::Invalid | LoginError::Code | LoginError::Jwt(_)));
    if let Some(used) = used.filter(|_| is_guess) {
        used.login_failed();
    }
    outcome
}
