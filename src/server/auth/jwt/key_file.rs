//! Reads the files with keys, and recognizes what they hold.
//!
//! A secret has no form of its own: any other content is one. Therefore a public key in a form that is not supported is
//! recognized too, and refused: taken for a secret, it would be one that everybody knows.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::public_key::{PublicKey, RSAPublicKey};
use x509_parser::x509::SubjectPublicKeyInfo;
use zeroize::Zeroizing;

use super::json_key::{self, significant};
use super::key::{Key, KeyFault};
use super::{JwtError, JwtSettings};
use crate::limits::JWT_KEY_FILE_BYTES_MAX;

/// What permissions a file with a secret may not give: none to everybody, and no writing to its group. A group may read
/// it, because a service often gets its secrets that way.
const EXPOSED: u32 = 0o027;
/// The same for a public key. Whoever may change it may make tokens.
const WRITABLE: u32 = 0o002;

/// Object identifiers: a kind of key (RFC 8410), and curves (RFC 5480).
const ED25519: &str = "1.3.101.112";
const P256: &str = "1.2.840.10045.3.1.7";
const P384: &str = "1.3.132.0.34";

/// All files, as they are now.
pub struct Files {
    pub keys: Vec<Key>,
    /// The hash of their contents.
    pub digest: [u8; 32],
}

/// Reads all files.
pub fn read(settings: &JwtSettings) -> Result<Files, JwtError> {
    let mut keys = Vec::new();
    let mut hash = Sha256::new();
    let files = settings.keys.iter().map(|path| (path, false)).chain(settings.jwks.iter().map(|path| (path, true)));
    for (path, is_set) in files {
        let fault = |fault| JwtError::Key { path: path.clone(), fault };
        let (content, mode) = content(path)?;
        let content = content.map_err(fault)?;
        let found = if is_set { json_key::parse_set(&content) } else { parse(&content) };
        let found = found.and_then(|keys| check_mode(&keys, mode).map(|()| keys));
        keys.extend(found.map_err(fault)?);
        hash.update((content.len() as u64).to_le_bytes());
        hash.update(&*content);
    }
    Ok(Files { keys, digest: hash.finalize().into() })
}

type Content = Zeroizing<Vec<u8>>;

/// The content of a file, and its mode.
fn content(path: &Path) -> Result<(Result<Content, KeyFault>, u32), JwtError> {
    let fault = |fault: io::Error| JwtError::Read { path: path.to_owned(), fault };
    // A pipe without a writer would block.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(fault)?;
    let metadata = file.metadata().map_err(fault)?;
    let mode = metadata.mode() & 0o7777;
    if !metadata.is_file() {
        return Ok((Err(KeyFault::NotFile), mode));
    }
    // Enough at once: a vector that grows would leave copies of a secret behind.
    let mut content = Zeroizing::new(Vec::with_capacity(JWT_KEY_FILE_BYTES_MAX as usize + 1));
    file.take(JWT_KEY_FILE_BYTES_MAX + 1).read_to_end(&mut content).map_err(fault)?;
    let is_long = content.len() as u64 > JWT_KEY_FILE_BYTES_MAX;
    Ok((if is_long { Err(KeyFault::TooLong) } else { Ok(content) }, mode))
}

fn check_mode(keys: &[Key], mode: u32) -> Result<(), KeyFault> {
    match keys.iter().any(Key::is_secret) {
        true if mode & EXPOSED != 0 => Err(KeyFault::Exposed(mode)),
        false if mode & WRITABLE != 0 => Err(KeyFault::Writable(mode)),
        _ => Ok(()),
    }
}

/// The keys in a file of any kind.
pub fn parse(content: &[u8]) -> Result<Vec<Key>, KeyFault> {
    let trimmed = content.trim_ascii();
    if trimmed.is_empty() {
        Err(KeyFault::Empty)
    } else if trimmed.starts_with(b"{") {
        json_key::parse(content)
    } else if contains(content, b"-----BEGIN") {
        pem(content).map(|key| vec![key])
    } else if is_public_key(content) {
        Err(KeyFault::NotPem)
    } else {
        Key::secret(without_line_break(content)).map(|key| vec![key])
    }
}

fn contains(content: &[u8], part: &[u8]) -> bool {
    content.windows(part.len()).any(|window| window == part)
}

/// Without the line break that an editor, or `openssl rand -base64`, puts behind a text. Bytes that are no text stay.
fn without_line_break(secret: &[u8]) -> &[u8] {
    if str::from_utf8(secret).is_err() {
        return secret;
    }
    let line = secret.strip_suffix(b"\n").unwrap_or(secret);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Whether the content is a public key, or a private one, in another form than PEM: DER, its base64, OpenSSH's, or XML.
fn is_public_key(content: &[u8]) -> bool {
    let compact: Vec<_> = content.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let is_der = |bytes: &[u8]| {
        SubjectPublicKeyInfo::from_der(bytes).is_ok_and(|(_, key)| key.parsed().is_ok())
            || X509Certificate::from_der(bytes).is_ok()
            || RSAPublicKey::from_der(bytes).is_ok()
    };
    let beginnings: [&[u8]; 5] = [b"ssh-", b"ecdsa-sha2-", b"sk-ssh-", b"sk-ecdsa-", b"<"];
    let is_text = beginnings.iter().any(|beginning| content.trim_ascii().starts_with(beginning));
    is_text
        || contains(content, b"PUBLIC KEY")
        || is_der(content)
        || STANDARD.decode(&compact).is_ok_and(|bytes| is_der(&bytes))
}

/// The key of the only block.
fn pem(content: &[u8]) -> Result<Key, KeyFault> {
    if contains(content, b"PRIVATE KEY-----") {
        return Err(KeyFault::Private);
    }
    let mut blocks = Pem::iter_from_buffer(content);
    let block = blocks.next().ok_or(KeyFault::Pem)?.map_err(|_| KeyFault::Pem)?;
    if blocks.next().is_some() {
        return Err(KeyFault::Several);
    }
    let der = &block.contents;
    match block.label.as_str() {
        "PUBLIC KEY" => match SubjectPublicKeyInfo::from_der(der) {
            Ok((_, key)) => public(&key),
            Err(_) => Err(KeyFault::Damaged),
        },
        "CERTIFICATE" => match X509Certificate::from_der(der) {
            Ok((_, certificate)) => public(certificate.public_key()),
            Err(_) => Err(KeyFault::Damaged),
        },
        "RSA PUBLIC KEY" => match RSAPublicKey::from_der(der) {
            Ok((_, key)) => rsa(&key),
            Err(_) => Err(KeyFault::Damaged),
        },
        _ => Err(KeyFault::PemKind),
    }
}

fn public(key: &SubjectPublicKeyInfo<'_>) -> Result<Key, KeyFault> {
    let algorithm = &key.algorithm;
    if algorithm.algorithm.to_id_string() == ED25519 {
        return Key::ed25519(&key.subject_public_key.data);
    }
    match key.parsed() {
        Ok(PublicKey::RSA(key)) => rsa(&key),
        Ok(PublicKey::EC(point)) => {
            let curve = algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
            let curve = match curve.map(|curve| curve.to_id_string()).as_deref() {
                Some(P256) => "P-256",
                Some(P384) => "P-384",
                _ => return Err(KeyFault::Unsupported),
            };
            Key::elliptic(curve, point.data())
        }
        Ok(_) => Err(KeyFault::Unsupported),
        Err(_) => Err(KeyFault::Damaged),
    }
}

fn rsa(key: &RSAPublicKey<'_>) -> Result<Key, KeyFault> {
    Key::rsa(significant(key.modulus), significant(key.exponent))
}
