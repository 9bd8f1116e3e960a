//! A key that verifies tokens, and the algorithms that it is for.

use jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER;
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::limits::{JWT_RSA_BITS_MAX, JWT_RSA_BITS_MIN, JWT_SECRET_BYTES_MIN};
use crate::server::auth::principal::KeyPrint;

/// Why a file's content is not a key. No text contains any of it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyFault {
    #[error("it is empty: it needs a public key in PEM, a JWK, a JWKS, or a secret")]
    Empty,
    #[error("it is too long for a key: it needs a public key in PEM, a JWK, a JWKS, or a secret")]
    TooLong,
    #[error("it is not a regular file: copy the key to one")]
    NotFile,
    #[error(
        "it holds a private key, which belongs to the issuer alone: give the public key, which openssl pkey -pubout \
         writes"
    )]
    Private,
    #[error("it holds several keys or certificates: give each its own file; of a chain, only the first certificate")]
    Several,
    #[error("its PEM is damaged: copy the key again, with the lines BEGIN and END and with its line breaks")]
    Pem,
    #[error("it has PEM of another kind: it needs PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE")]
    PemKind,
    #[error(
        "it holds a public key that is not in PEM: convert it (openssl pkey -pubin -inform DER, or ssh-keygen -e -m \
         PKCS8); base64 alone needs the lines BEGIN PUBLIC KEY and END PUBLIC KEY"
    )]
    NotPem,
    #[error("its JSON is not valid at line {line}, column {column}: it needs a JWK or a JWKS")]
    Json { line: usize, column: usize },
    #[error("it is no JWKS: it needs an object with the list \"keys\"")]
    NotJwks,
    #[error("it has no key of a supported kind: it needs Ed25519, P-256, P-384, or RSA, for signatures")]
    NoneSupported,
    #[error("its key is not valid: copy it again")]
    Damaged,
    #[error("its key is of a kind that is not supported: use Ed25519, P-256, P-384, or RSA")]
    Unsupported,
    #[error("its RSA key has {0} bits: it needs {JWT_RSA_BITS_MIN} to {JWT_RSA_BITS_MAX}")]
    RsaBits(usize),
    #[error(
        "its secret has {0} bytes: it needs at least {JWT_SECRET_BYTES_MIN} random ones, as openssl rand -base64 32 \
         writes"
    )]
    ShortSecret(usize),
    #[error("other users may read its secret, or change it (mode {0:04o}): run chmod 600")]
    Exposed(u32),
    #[error("every user may change it (mode {0:04o}), and so make tokens: run chmod o-w")]
    Writable(u32),
}

/// A key and its id.
#[derive(Debug)]
pub struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
    print: KeyPrint,
}

impl Key {
    /// An RSA key, of its modulus and exponent, without leading zeros.
    pub fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, KeyFault> {
        let bits = modulus.first().map_or(0, |first| modulus.len() * 8 - first.leading_zeros() as usize);
        if !(JWT_RSA_BITS_MIN..=JWT_RSA_BITS_MAX).contains(&bits) {
            return Err(KeyFault::RsaBits(bits));
        }
        let is_odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
        // 3 to 2³³ - 1, as the library has it. With 1, anyone could sign.
        let is_exponent =
            is_odd(exponent) && exponent != [1] && (exponent.len() < 5 || exponent < &[2, 0, 0, 0, 0][..]);
        if !is_odd(modulus) || !is_exponent || exponent.len() > 5 {
            return Err(KeyFault::Damaged);
        }
        let algorithms = [
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ];
        Ok(Self::new(&algorithms, DecodingKey::from_rsa_raw_components(modulus, exponent), &[modulus, exponent]))
    }

    /// A key on a curve, `P-256` or `P-384`, of its point in the form of SEC 1.
    pub fn elliptic(curve: &str, point: &[u8]) -> Result<Self, KeyFault> {
        let algorithm = match curve {
            "P-256" => Algorithm::ES256,
            "P-384" => Algorithm::ES384,
            _ => return Err(KeyFault::Unsupported),
        };
        Self::new(&[algorithm], DecodingKey::from_ec_der(point), &[point]).checked()
    }

    /// An Ed25519 key, of its 32 bytes.
    pub fn ed25519(point: &[u8]) -> Result<Self, KeyFault> {
        // The library panics if there are fewer.
        if point.len() != 32 {
            return Err(KeyFault::Damaged);
        }
        Self::new(&[Algorithm::EdDSA], DecodingKey::from_ed_der(point), &[point]).checked()
    }

    /// A shared secret, for the algorithms whose hash is no longer than it.
    pub fn secret(secret: &[u8]) -> Result<Self, KeyFault> {
        let algorithms: &[Algorithm] = match secret.len() {
            64.. => &[Algorithm::HS256, Algorithm::HS384, Algorithm::HS512],
            48.. => &[Algorithm::HS256, Algorithm::HS384],
            JWT_SECRET_BYTES_MIN.. => &[Algorithm::HS256],
            short => return Err(KeyFault::ShortSecret(short)),
        };
        Ok(Self::new(algorithms, DecodingKey::from_secret(secret), &[secret]))
    }

    /// A key that consists of these parts.
    fn new(algorithms: &[Algorithm], key: DecodingKey, parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let print = KeyPrint(hash.finalize().into());
        Self { id: None, algorithms: algorithms.to_vec(), key, print }
    }

    /// The library decodes a point when it verifies; a wrong one shall be found before.
    fn checked(self) -> Result<Self, KeyFault> {
        let is_valid = self.algorithms.iter().all(|alg| (DEFAULT_PROVIDER.verifier_factory)(alg, &self.key).is_ok());
        if is_valid { Ok(self) } else { Err(KeyFault::Damaged) }
    }

    /// The key with an id.
    pub fn with_id(self, id: Option<String>) -> Self {
        Self { id, ..self }
    }

    /// The key for no other algorithm than this; `None` if it can't be for it.
    pub fn only_for(self, algorithm: Algorithm) -> Option<Self> {
        self.is_for(algorithm).then(|| Self { algorithms: vec![algorithm], ..self })
    }

    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    pub fn print(&self) -> KeyPrint {
        self.print
    }

    pub fn is_secret(&self) -> bool {
        self.key.family() == AlgorithmFamily::Hmac
    }

    pub fn is_for(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Whether the signature of this message is right. Always false for an algorithm that the key is not for.
    pub fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &Vec<u8>) -> bool {
        let verifier = (DEFAULT_PROVIDER.verifier_factory)(&algorithm, &self.key);
        self.is_for(algorithm) && verifier.is_ok_and(|verifier| verifier.verify(message, signature).is_ok())
    }
}

/// The algorithm of this name.
pub fn algorithm(name: &str) -> Option<Algorithm> {
    match name {
        // RFC 9864's name for the only curve that is supported.
        "Ed25519" => Some(Algorithm::EdDSA),
        name => name.parse().ok(),
    }
}
