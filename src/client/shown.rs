//! The certificates that a server shows.

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;

use super::connect_error::ConnectError;
use super::limits::CONNECT_TIMEOUT;
use super::{diagnosis, probe};
use crate::address::Address;
use crate::certificates::Fingerprint;

/// The certificates that a server shows, its own first. They are not verified.
pub fn chain(address: &Address) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    let deadline = Instant::now() + CONNECT_TIMEOUT;
    let stream = diagnosis::open(address, deadline)?;
    probe::chain(&stream, address, deadline).ok_or_else(|| ConnectError::WithoutTls(address.clone()))
}

/// The certificate with this fingerprint among those that a server shows, in PEM. Whoever trusts it as an authority
/// trusts exactly what the fingerprint names, whoever has shown it.
pub fn chain_with_fingerprint(address: &Address, fingerprint: Fingerprint) -> Result<String, ConnectError> {
    let chain = chain(address)?;
    let found = chain.iter().find(|certificate| Fingerprint::of(certificate) == fingerprint);
    found.map(|certificate| pem(certificate)).ok_or_else(|| ConnectError::OtherFingerprint(address.clone()))
}

/// A certificate in PEM.
pub fn pem(certificate: &CertificateDer<'_>) -> String {
    let text = STANDARD.encode(certificate);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().map(|byte| char::from(*byte)));
        pem.push('\n');
    }
    pem + "-----END CERTIFICATE-----\n"
}
