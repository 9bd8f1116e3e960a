//! What a certificate says: for whom, by whom, and from when to when.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{ASN1Time, FromDer as _, GeneralName, X509Certificate};

use super::fault::Fault;

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The DNS names and IP addresses that it is for.
    pub names: Vec<String>,
    /// Whom it is for, and who has issued it, as one line each.
    pub subject: String,
    pub issuer: String,
    pub not_before: SystemTime,
    pub not_after: SystemTime,
    pub is_for_servers: bool,
    pub is_for_clients: bool,
}

/// The bytes are not a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl Facts {
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, Malformed> {
        let (_, certificate) = X509Certificate::from_der(certificate).map_err(|_| Malformed)?;
        let names = certificate.subject_alternative_name().map_err(|_| Malformed)?;
        let names = names.iter().flat_map(|names| &names.value.general_names).filter_map(name).collect();
        let usage = certificate.extended_key_usage().map_err(|_| Malformed)?;
        // Without the extension, it is for everything.
        let is_for = |server: bool| {
            usage.as_ref().is_none_or(|usage| {
                usage.value.any || if server { usage.value.server_auth } else { usage.value.client_auth }
            })
        };
        Ok(Self {
            names,
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            not_before: time(certificate.validity().not_before),
            not_after: time(certificate.validity().not_after),
            is_for_servers: is_for(true),
            is_for_clients: is_for(false),
        })
    }

    /// Fails if it is not valid at this time.
    pub fn check_time(&self, now: SystemTime) -> Result<(), Fault> {
        if now > self.not_after {
            return Err(Fault::Expired(self.not_after));
        }
        if now < self.not_before { Err(Fault::NotYetValid(self.not_before)) } else { Ok(()) }
    }

    /// Whether it is for a server of this name: a DNS name or an IP address. A wildcard stands for one label.
    pub fn is_for(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.');
        if host.parse::<IpAddr>().is_ok() {
            return self.names.iter().any(|name| name == host);
        }
        self.names.iter().any(|name| match name.strip_prefix("*.") {
            Some(domain) => host.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(domain)),
            None => name.eq_ignore_ascii_case(host),
        })
    }
}

/// The common names of a certificate. The C core shows only one of several.
pub fn common_names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    // A name in an encoding that can't be read is one too, and no user's name.
    let text = |name: &x509_parser::x509::AttributeTypeAndValue<'_>| name.as_str().unwrap_or_default().to_owned();
    certificate.subject().iter_common_name().map(text).collect()
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            16 => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            _ => None,
        },
        _ => None,
    }
}

/// Times beyond what can be shown are cut: the year 9999 is the last one.
fn time(time: ASN1Time) -> SystemTime {
    const LAST: u64 = 253_402_300_799;
    UNIX_EPOCH + Duration::from_secs(u64::try_from(time.timestamp()).unwrap_or(0).min(LAST))
}
