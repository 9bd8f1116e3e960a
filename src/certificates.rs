//! Certificates and private keys in PEM files, which are checked before they are used.
//!
//! The C core reports neither why it can't use a file nor that a certificate has expired, and its Rust bindings panic if
//! a file contains a zero byte. So everything is checked here first.

mod fault;
mod facts;
mod fingerprint;
#[cfg(fuzzing)]
pub mod fuzz;

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::SystemTime;

use rustls::SignatureAlgorithm;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

pub use self::facts::{Facts, Malformed, common_names};
pub use self::fault::{Fault, FileFault, date};
pub use self::fingerprint::{Fingerprint, InvalidFingerprint};

/// The maximum size of a file, in bytes. All public authorities together take 250 KB.
const FILE_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// Permissions that the file of a private key may not give: any to other users, and writing to the group. Its group may
/// read it, as Debian's group `ssl-cert` does.
const KEY_MODE_EXCESS: u32 = 0o027;

/// A certificate with its private key, which fit together.
#[derive(Clone)]
pub struct Identity {
    /// In PEM: the certificate first, then those between it and the authority's.
    pub chain: Vec<u8>,
    /// In PEM.
    pub key: Zeroizing<Vec<u8>>,
    pub facts: Facts,
}

/// Certificates of authorities.
#[derive(Clone)]
pub struct Authorities {
    pub pem: Vec<u8>,
    pub certificates: Vec<CertificateDer<'static>>,
}

impl Identity {
    /// Reads the certificate and the key of a server.
    pub fn read_server(certificate: &Path, key: &Path, now: SystemTime) -> Result<Self, FileFault> {
        let identity = Self::read(certificate, key, now)?;
        let fault = match &identity.facts {
            facts if !facts.is_for_servers => Fault::NotForServers,
            facts if facts.names.is_empty() => Fault::NoNames,
            _ => return Ok(identity),
        };
        Err(FileFault { path: certificate.to_owned(), fault })
    }

    /// Reads the certificate and the key of a client.
    pub fn read_client(certificate: &Path, key: &Path, now: SystemTime) -> Result<Self, FileFault> {
        let identity = Self::read(certificate, key, now)?;
        if !identity.facts.is_for_clients {
            return Err(FileFault { path: certificate.to_owned(), fault: Fault::NotForClients });
        }
        Ok(identity)
    }

    fn read(certificate_path: &Path, key_path: &Path, now: SystemTime) -> Result<Self, FileFault> {
        let in_certificate = |fault| FileFault { path: certificate_path.to_owned(), fault };
        let in_key = |fault| FileFault { path: key_path.to_owned(), fault };
        let chain = read(certificate_path, false)?;
        let certificates = certificates(&chain).map_err(in_certificate)?;
        let facts = Facts::of(&certificates[0]).map_err(|Malformed| in_certificate(Fault::Malformed))?;
        let key = Zeroizing::new(read(key_path, true)?);
        check_key(&key, certificates, certificate_path).map_err(in_key)?;
        if let Err(fault) = facts.check_time(now) {
            return Err(in_certificate(fault));
        }
        Ok(Self { chain, key, facts })
    }

    /// The authority that has signed the certificate, if it is one of its own and in the same file: a client that has its
    /// fingerprint can get it from the server.
    pub fn own_authority(&self) -> Option<Fingerprint> {
        let last = certificates(&self.chain).ok()?.pop()?;
        let facts = Facts::of(&last).ok()?;
        (facts.subject == facts.issuer).then(|| Fingerprint::of(&last))
    }

    /// The key as rustls uses it.
    pub fn certified_key(&self) -> Option<CertifiedKey> {
        let key = PrivateKeyDer::from_pem_slice(&self.key).ok()?;
        Some(CertifiedKey::new(certificates(&self.chain).ok()?, any_supported_type(&key).ok()?))
    }
}

impl Authorities {
    /// Reads the certificates of authorities, of which one at least is valid.
    pub fn read(path: &Path, now: SystemTime) -> Result<Self, FileFault> {
        Self::parse(read(path, false)?, now).map_err(|fault| FileFault { path: path.to_owned(), fault })
    }

    /// The same from a text.
    pub fn parse(pem: Vec<u8>, now: SystemTime) -> Result<Self, Fault> {
        let certificates = certificates(&pem)?;
        let mut first = None;
        for certificate in &certificates {
            match Facts::of(certificate).map_err(|Malformed| Fault::Malformed).and_then(|facts| facts.check_time(now)) {
                Ok(()) => return Ok(Self { pem, certificates }),
                Err(fault) => first = first.or(Some(fault)),
            }
        }
        Err(first.unwrap_or(Fault::NoCertificate))
    }
}

/// The certificates in a text: at least one.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(Fault::NoCertificate),
        Ok(found) => Ok(found),
        Err(_) => Err(Fault::Malformed),
    }
}

/// Checks that this is the key of the first certificate, and that both ends can use it.
fn check_key(pem: &[u8], chain: Vec<CertificateDer<'static>>, certificate: &Path) -> Result<(), Fault> {
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| Fault::NoKey)?;
    let key = any_supported_type(&key).map_err(|_| Fault::KeyKind)?;
    // BoringSSL's clients do not offer it.
    if key.algorithm() == SignatureAlgorithm::ED25519 {
        return Err(Fault::KeyKind);
    }
    CertifiedKey::new(chain, key).keys_match().map_err(|_| Fault::OtherKey(certificate.to_owned()))
}

/// Reads a file that is not longer than expected. Does not wait for the other end of a pipe.
fn read(path: &Path, is_private: bool) -> Result<Vec<u8>, FileFault> {
    let fault = |fault| FileFault { path: path.to_owned(), fault };
    let unreadable = |error: io::Error| fault(Fault::Unreadable(error.to_string()));
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(fault(Fault::NotAFile));
    }
    if is_private && metadata.mode() & KEY_MODE_EXCESS != 0 {
        return Err(fault(Fault::Exposed));
    }
    // A buffer that grows would leave copies of a key behind.
    let mut data = Vec::with_capacity(metadata.len().min(FILE_BYTES_MAX) as usize + 1);
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut data).map_err(unreadable)?;
    match data {
        data if data.len() as u64 > FILE_BYTES_MAX => Err(fault(Fault::TooLong)),
        data if data.contains(&0) => Err(fault(Fault::Malformed)),
        data => Ok(data),
    }
}

#[cfg(test)]
mod tests;
