//! Tokens made with the issuer's side of the same crate, and by hand.

mod keys;
mod tokens;
mod random;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey, Header as TokenHeader, encode};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SignatureAlgorithm};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

const RSA_KEY: &[u8] = include_bytes!("../../../../tests/fixtures/jwt/rsa-2048-test-key.pem");
const RSA_PUBLIC: &str = include_str!("../../../../tests/fixtures/jwt/rsa-2048-test-public.pem");
const RSA_PUBLIC_PKCS1: &str = include_str!("../../../../tests/fixtures/jwt/rsa-2048-test-public-pkcs1.pem");
const SHORT_RSA_PUBLIC: &str = include_str!("../../../../tests/fixtures/jwt/rsa-1024-test-public.pem");

/// The time of the tests, in seconds since 1970.
const NOW: u64 = 2_000_000_000;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
}

/// An issuer's key.
struct Signer {
    key: EncodingKey,
    algorithm: Algorithm,
    id: Option<String>,
    /// In PEM.
    public: String,
}

impl Signer {
    fn ed25519() -> Self {
        Self::of(&PKCS_ED25519, Algorithm::EdDSA, EncodingKey::from_ed_der)
    }

    fn p256() -> Self {
        Self::of(&PKCS_ECDSA_P256_SHA256, Algorithm::ES256, EncodingKey::from_ec_der)
    }

    fn p384() -> Self {
        Self::of(&PKCS_ECDSA_P384_SHA384, Algorithm::ES384, EncodingKey::from_ec_der)
    }

    fn of(kind: &'static SignatureAlgorithm, algorithm: Algorithm, key: fn(&[u8]) -> EncodingKey) -> Self {
        let pair = KeyPair::generate_for(kind).unwrap();
        Self { key: key(&pair.serialize_der()), algorithm, id: None, public: pair.public_key_pem() }
    }

    fn rsa(algorithm: Algorithm) -> Self {
        Self { key: EncodingKey::from_rsa_pem(RSA_KEY).unwrap(), algorithm, id: None, public: RSA_PUBLIC.to_owned() }
    }

    fn secret(secret: &[u8], algorithm: Algorithm) -> Self {
        Self { key: EncodingKey::from_secret(secret), algorithm, id: None, public: String::new() }
    }

    fn with_id(self, id: &str) -> Self {
        Self { id: Some(id.to_owned()), ..self }
    }

    fn sign(&self, claims: &Value) -> Bearer {
        let header = TokenHeader { kid: self.id.clone(), ..TokenHeader::new(self.algorithm) };
        Bearer::new(encode(&header, claims, &self.key).unwrap())
    }

    /// A token of these parts, as they are.
    fn sign_parts(&self, header: &str, claims: &str) -> Bearer {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, self.algorithm).unwrap();
        Bearer::new(format!("{message}.{signature}"))
    }

    /// The public key, or the secret, as a JWK.
    fn jwk(&self) -> Value {
        let public = self.public.as_bytes();
        let key = match self.algorithm.family() {
            AlgorithmFamily::Ed => DecodingKey::from_ed_pem(public),
            AlgorithmFamily::Ec => DecodingKey::from_ec_pem(public),
            AlgorithmFamily::Rsa => DecodingKey::from_rsa_pem(public),
            AlgorithmFamily::Hmac => Ok(DecodingKey::from_secret(self.key.as_bytes())),
        };
        let jwk = Jwk::from_decoding_key(&key.unwrap(), Some(self.algorithm)).unwrap();
        let mut jwk = serde_json::to_value(jwk).unwrap();
        if let Some(id) = &self.id {
            jwk["kid"] = json!(id);
        }
        jwk
    }
}

/// Files of keys in a folder of its own.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        set_mode(&path, 0o600);
        path
    }

    /// What verifies the tokens of these signers, whose keys are public.
    fn jwt(&self, signers: &[&Signer]) -> Jwt {
        let keys =
            signers.iter().enumerate().map(|(number, signer)| self.write(&format!("{number}.pem"), &signer.public));
        Jwt::open(&settings(keys.collect())).unwrap()
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn settings(keys: Vec<PathBuf>) -> JwtSettings {
    JwtSettings { keys, ..JwtSettings::new("https://shop.example", "hubbub") }
}

/// The claims of a token that is valid for five minutes.
fn claims() -> Value {
    json!({"iss": "https://shop.example", "aud": "hubbub", "sub": "ann", "exp": NOW + 300})
}

/// The same with other values of some claims; null leaves a claim out.
fn claims_with(changes: Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

/// What is wrong with a token.
fn reason(result: Result<Principal, LoginError>) -> &'static str {
    match result {
        Err(LoginError::Jwt(reason)) => reason,
        other => panic!("{other:?}"),
    }
}
