//! Whose JSON web tokens are accepted, and why the settings or the keys can't be used.

use std::path::PathBuf;

use thiserror::Error;

use super::key::KeyFault;
use crate::limits::JWT_KEYS_MAX;

/// The default claim of a user's name. It identifies the user and does not change; other claims may be a text that
/// users choose.
pub const NAME_CLAIM: &str = "sub";
/// The default claims of what a token grants. They have a prefix, so that a role in another system is no role here.
pub const ROLE_CLAIM: &str = "hubbub_role";
pub const ROOMS_CLAIM: &str = "hubbub_rooms";
pub const ACTS_CLAIM: &str = "hubbub_acts";

/// Claims whose meaning is fixed (RFC 7519).
const REGISTERED: [&str; 5] = ["iss", "aud", "exp", "nbf", "iat"];

/// Whose tokens are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtSettings {
    /// Files with a key each: a public key or a certificate in PEM, a JWK or a JWKS, or a shared secret.
    pub keys: Vec<PathBuf>,
    /// A file with a JWKS, a set of keys.
    pub jwks: Option<PathBuf>,
    /// What the claim `iss` must be.
    pub issuer: String,
    /// What the claim `aud` must be, or contain.
    pub audience: String,
    /// The claim with the user's name.
    pub name_claim: String,
    /// The claim with its role.
    pub role_claim: String,
    /// The claim with the rooms that it may use.
    pub rooms_claim: String,
    /// The claim with the acts that it may do.
    pub acts_claim: String,
}

impl JwtSettings {
    /// The default names of claims, and no keys yet.
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        Self {
            keys: Vec::new(),
            jwks: None,
            issuer: issuer.into(),
            audience: audience.into(),
            name_claim: NAME_CLAIM.to_owned(),
            role_claim: ROLE_CLAIM.to_owned(),
            rooms_claim: ROOMS_CLAIM.to_owned(),
            acts_claim: ACTS_CLAIM.to_owned(),
        }
    }

    /// Each claim must have one meaning. Reads no file.
    pub fn check(&self) -> Result<(), JwtError> {
        let own = [&self.name_claim, &self.role_claim, &self.rooms_claim, &self.acts_claim];
        for (at, claim) in own.iter().enumerate() {
            if REGISTERED.contains(&claim.as_str()) || own[..at].contains(claim) {
                return Err(JwtError::Claim((*claim).clone()));
            }
        }
        Ok(())
    }
}

/// Why the keys can't be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JwtError {
    #[error("no key verifies JSON web tokens: give one with --jwt-key or --jwt-jwks")]
    NoKey,
    #[error("can't read the key file {}: {fault}; check its name and its permissions", .path.display())]
    Read { path: PathBuf, fault: std::io::Error },
    #[error("the key file {}: {fault}", .path.display())]
    Key { path: PathBuf, fault: KeyFault },
    #[error("there are {0} keys for JSON web tokens: give at most {JWT_KEYS_MAX}")]
    TooMany(usize),
    #[error(
        "a shared secret can't be used beside public keys: whoever has a public key could take it for the secret; give \
         the secret only, or public keys only"
    )]
    Mixed,
    #[error("the claim {0:?} can't have two meanings: choose another name for one of them")]
    Claim(String),
}
