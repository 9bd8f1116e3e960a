//! Why a login fails. The texts reach the client: they name the remedy, and do not say which part of a secret is wrong.

use std::time::Duration;

use thiserror::Error;

use crate::names::UserName;

/// Why a login fails.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LoginError {
    #[error("this server needs a login: run hubbub login with the link from its operator, or send a token")]
    Missing,
    /// Also for one that is revoked or unknown.
    #[error("the login is not valid: ask the server's operator for a new invitation or token")]
    Invalid,
    #[error("the login has expired: get a new token")]
    Expired,
    #[error("the login is not valid yet: check the clocks of the server and of the token's issuer")]
    NotYetValid,
    /// A fault of a JSON web token, which its issuer can mend.
    #[error("the JSON web token is refused: {0}")]
    Jwt(&'static str),
    /// A fault of a client certificate.
    #[error("the client certificate is refused: {0}")]
    Certificate(&'static str),
    #[error("the code is not valid: it may have been used, or be older than a week; ask for a new invitation")]
    Code,
    #[error("this server has no accounts: it accepts no codes")]
    NoAccounts,
    #[error("the name of a user can't begin with ~: choose another name")]
    MarkedName,
    #[error("user {0} is banned from this server: ask its operator")]
    Banned(UserName),
    /// A name from a certificate or a JSON web token.
    #[error("the name {name} {fault}: ask the server's operator, or whoever issued the login, for another name")]
    Name { name: UserName, fault: &'static str },
    #[error("user {0} is logged in on as many devices as allowed: ask the server's operator to revoke one")]
    TooManyDevices(UserName),
    #[error("too many failed logins from your address: try again in {} s", .0.as_secs() + 1)]
    TooManyFailures(Duration),
    #[error("the server can't read or write its accounts: contact its operator")]
    Unavailable,
}
