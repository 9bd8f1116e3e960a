//! The logins that a server accepts, and the check of what a call presents.

use std::sync::Arc;
use std::time::SystemTime;

use super::accounts::command::OperatorCommand;
use super::accounts::error::AccountsError;
use super::accounts::{Accounts, Redeemed};
use super::certificate::ClientName;
use super::credentials::{Bearer, Credentials, Presented};
use super::jwt::Jwt;
use super::login::LoginError;
use super::principal::{Principal, Via};
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

    /// Revokes the token of a device with which a user has logged in. Other logins end by themselves. Writes to the disk.
    pub fn log_out(&self, principal: &Principal) -> Result<(), LoginError> {
        let (Some(accounts), Via::Token(id), Some(name)) = (&self.accounts, &principal.via, &principal.name) else {
            return Ok(());
        };
        let device = OperatorCommand::Revoke { user: name.as_str().to_owned(), device: Some(id.clone()) };
        match accounts.execute(device, SystemTime::now()) {
            // The last three: it was revoked already, or is not that of a device.
            Ok(_)
            | Err(AccountsError::NoUser { .. } | AccountsError::NoDevice { .. } | AccountsError::NothingToRevoke(_)) => {
                Ok(())
            }
            Err(error) => {
                log::error!("a login could not be revoked at its user's wish: {error}");
                Err(LoginError::Unavailable)
            }
        }
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
    // A secret that was valid once is not a guess.
    let is_guess = matches!(outcome, Err(LoginError::Invalid | LoginError::Code | LoginError::Jwt(_)));
    if let Some(used) = used.filter(|_| is_guess) {
        used.login_failed();
    }
    outcome
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::{Duration, UNIX_EPOCH};

    use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
    use serde_json::json;
    use tempfile::TempDir;

    use super::*;
    use crate::server::auth::accounts::command::{OperatorCommand, OperatorReply, Secret};
    use crate::server::auth::credentials::Certificate;
    use crate::server::auth::jwt::JwtSettings;

    const SECRET: &[u8] = b"a secret of the tests, of at least 32 bytes";

    /// All logins, with an account of the user ann, and the token of that account.
    fn all_logins(folder: &TempDir) -> (Authenticator, Bearer) {
        let key = folder.path().join("key");
        fs::write(&key, SECRET).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let settings = JwtSettings { keys: vec![key], ..JwtSettings::new("https://shop.example", "hubbub") };
        let accounts = Accounts::open(&folder.path().join("data")).unwrap();
        let (rooms, acts, expires_in_ms, label) = (Vec::new(), Vec::new(), None, None);
        let add = OperatorCommand::AddToken { user: "ann".to_owned(), rooms, acts, expires_in_ms, label };
        let added = accounts.execute(add, SystemTime::now()).unwrap();
        let OperatorReply::TokenAdded { token: Secret(token), .. } = added else { panic!("{added:?}") };
        let authenticator = Authenticator {
            accounts: Some(Arc::new(accounts)),
            accepts_tokens: true,
            jwt: Some(Arc::new(Jwt::open(&settings).unwrap())),
            certificates: Some(ClientName::CommonName),
            allows_tutorial: false,
        };
        (authenticator, token)
    }

    fn with_token(token: Bearer) -> Credentials {
        Credentials { bearer: Presented::Token(token), certificate: None }
    }

    /// Credentials with this name: a JSON web token, and a client certificate.
    fn vouched(name: &str) -> [Credentials; 2] {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(600);
        let claims = json!({"iss": "https://shop.example", "aud": "hubbub", "sub": name, "exp": now.as_secs()});
        let token = encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(SECRET)).unwrap();
        let certificate = Certificate { common_names: vec![name.to_owned()], ..Certificate::default() };
        let by_certificate = Credentials { bearer: Presented::Nothing, certificate: Some(certificate) };
        [with_token(Bearer::new(token)), by_certificate]
    }

    #[test]
    fn names_of_guests_and_lookalikes_of_users_are_refused_whoever_vouches_for_them() {
        let folder = tempfile::tempdir().unwrap();
        let (with_accounts, _) = all_logins(&folder);
        let mut without = all_logins(&tempfile::tempdir().unwrap()).0;
        without.accounts = None;
        for credentials in vouched("ann").iter().chain(&vouched("bob")) {
            assert!(with_accounts.identify(credentials, None).is_ok() && without.identify(credentials, None).is_ok());
        }
        for credentials in &vouched("~bob") {
            assert_eq!(with_accounts.identify(credentials, None), Err(LoginError::MarkedName));
            assert_eq!(without.identify(credentials, None), Err(LoginError::MarkedName));
        }
        for credentials in vouched("Аnn").iter().chain(&vouched("Ann")).chain(&vouched("server")) {
            assert!(matches!(with_accounts.identify(credentials, None), Err(LoginError::Name { .. })));
        }
    }

    #[test]
    fn a_ban_ends_and_refuses_logins_of_every_kind() {
        let folder = tempfile::tempdir().unwrap();
        let (authenticator, token) = all_logins(&folder);
        let [by_issuer, by_authority] = vouched("ann");
        let all = [with_token(token), by_issuer, by_authority];
        let logins = all.each_ref().map(|credentials| authenticator.identify(credentials, None).unwrap());
        assert!(logins.iter().all(|login| authenticator.is_valid(login)));
        let ban = OperatorCommand::Ban { user: "ann".to_owned(), for_ms: None };
        authenticator.accounts.as_ref().unwrap().execute(ban, SystemTime::now()).unwrap();
        assert!(!logins.iter().any(|login| authenticator.is_valid(login)));
        for credentials in &all {
            assert!(matches!(authenticator.identify(credentials, None), Err(LoginError::Banned(_))));
        }
    }

    /// A server that no longer has `--auth accounts` still has the file of the accounts.
    #[test]
    fn tokens_are_refused_where_only_other_logins_are_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let (authenticator, token) = all_logins(&folder);
        let invite = OperatorCommand::Invite { user: "ann".to_owned() };
        let invited = authenticator.accounts.as_ref().unwrap().execute(invite, SystemTime::now()).unwrap();
        let OperatorReply::Invited { code: Secret(code), .. } = invited else { panic!("{invited:?}") };
        let others = Authenticator { accepts_tokens: false, ..authenticator };
        assert_eq!(others.identify(&with_token(token.clone()), None), Err(LoginError::Invalid));
        assert_eq!(others.precheck(&with_token(token.clone()), None), Err(LoginError::Invalid));
        assert_eq!(others.renew(&token, None), Err(LoginError::Invalid));
        assert!(matches!(others.redeem(code.expose(), "", None), Err(LoginError::NoAccounts)));
    }
}
