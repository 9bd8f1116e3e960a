//! Keys in JSON: a JWK, or a JWKS, which is a set of them (RFC 7517).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use zeroize::Zeroizing;

use super::key::{Key, KeyFault, algorithm};

#[derive(Deserialize)]
struct JsonSet {
    keys: Option<Vec<JsonKey>>,
}

/// The fields of a key that matter.
#[derive(Default, Deserialize)]
#[serde(default)]
struct JsonKey {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: String,
    x: String,
    y: String,
    n: String,
    e: String,
    k: String,
    /// The private part of every kind of key, except of a secret.
    d: Option<IgnoredAny>,
}

/// The key of a JWK, or those of a JWKS that are for signatures and of a supported kind: a set may have others.
pub fn parse(json: &[u8]) -> Result<Vec<Key>, KeyFault> {
    match set(json)? {
        Some(keys) => supported(keys),
        None => {
            let key: JsonKey = serde_json::from_slice(json).map_err(|error| fault(&error))?;
            key.key().map(|key| vec![key])
        }
    }
}

/// The same for a JWKS only.
pub fn parse_set(json: &[u8]) -> Result<Vec<Key>, KeyFault> {
    supported(set(json)?.ok_or(KeyFault::NotJwks)?)
}

fn set(json: &[u8]) -> Result<Option<Vec<JsonKey>>, KeyFault> {
    let set: JsonSet = serde_json::from_slice(json).map_err(|error| fault(&error))?;
    Ok(set.keys)
}

/// Without serde's text, which may show a value.
fn fault(error: &serde_json::Error) -> KeyFault {
    KeyFault::Json { line: error.line(), column: error.column() }
}

fn supported(keys: Vec<JsonKey>) -> Result<Vec<Key>, KeyFault> {
    let mut supported = Vec::new();
    for key in keys {
        match key.key() {
            Ok(key) => supported.push(key),
            Err(KeyFault::Unsupported) => {}
            Err(fault) => return Err(fault),
        }
    }
    if supported.is_empty() { Err(KeyFault::NoneSupported) } else { Ok(supported) }
}

impl JsonKey {
    fn key(mut self) -> Result<Key, KeyFault> {
        let secret = Zeroizing::new(std::mem::take(&mut self.k));
        if self.d.is_some() {
            return Err(KeyFault::Private);
        }
        let is_for_signatures = self.r#use.as_ref().is_none_or(|r#use| r#use == "sig")
            && self.key_ops.as_ref().is_none_or(|acts| acts.iter().any(|act| act == "verify"));
        if !is_for_signatures {
            return Err(KeyFault::Unsupported);
        }
        let key = match self.kty.as_str() {
            "OKP" if self.crv == "Ed25519" => Key::ed25519(&decoded(&self.x)?),
            "EC" => {
                let uncompressed: &[u8] = &[4];
                Key::elliptic(&self.crv, &[uncompressed, &decoded(&self.x)?, &decoded(&self.y)?].concat())
            }
            "RSA" => Key::rsa(significant(&decoded(&self.n)?), significant(&decoded(&self.e)?)),
            "oct" => Key::secret(&decoded(&secret)?),
            _ => Err(KeyFault::Unsupported),
        };
        let key = key?.with_id(self.kid);
        match self.alg {
            Some(name) => algorithm(&name).and_then(|algorithm| key.only_for(algorithm)).ok_or(KeyFault::Unsupported),
            None => Ok(key),
        }
    }
}

fn decoded(field: &str) -> Result<Zeroizing<Vec<u8>>, KeyFault> {
    URL_SAFE_NO_PAD.decode(field).map(Zeroizing::new).map_err(|_| KeyFault::Damaged)
}

/// A number without leading zeros.
pub fn significant(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}
