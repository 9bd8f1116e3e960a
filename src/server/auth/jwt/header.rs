//! The header of a token.

use jsonwebtoken::Algorithm;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use super::key::algorithm;
use crate::server::auth::login::LoginError;

/// What is used of a header.
pub struct Header {
    /// What the token claims to be signed with. A key is chosen that is for it; it does not choose how a key is used.
    pub algorithm: Algorithm,
    pub key_id: Option<String>,
}

/// Fields that may not occur twice: serde refuses that.
#[derive(Deserialize)]
struct JsonHeader {
    alg: String,
    kid: Option<String>,
    #[serde(default, deserialize_with = "is_there")]
    crit: bool,
}

fn is_there<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(value).map(|_| true)
}

impl Header {
    pub fn parse(json: &[u8]) -> Result<Self, LoginError> {
        let header: JsonHeader = serde_json::from_slice(json).map_err(|_| LoginError::Invalid)?;
        if header.crit {
            return Err(LoginError::Jwt("its header has crit, which is not supported; leave it out"));
        }
        let algorithm = algorithm(&header.alg).ok_or(LoginError::Jwt(
            "its algorithm is not supported; use EdDSA, ES256, ES384, RS256, RS384, RS512, PS256, PS384 or PS512, or \
             with a secret HS256, HS384 or HS512",
        ))?;
        Ok(Self { algorithm, key_id: header.kid })
    }
}
