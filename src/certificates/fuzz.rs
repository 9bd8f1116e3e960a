//! The decoder of certificates, for [`crate::fuzz`].

use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, KeyPair};

use super::Authorities;
use super::facts::{Facts, common_names};

/// What is shown of a certificate is bounded, whatever is in it.
pub fn certificates(input: &[u8]) {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
    let Ok(authorities) = Authorities::parse(input.to_vec(), now) else { return };
    for certificate in &authorities.certificates {
        let Ok(facts) = Facts::of(certificate) else { continue };
        let _ = facts.check_time(now);
        let _ = facts.is_for("chat.example.org");
        let _ = common_names(certificate);
    }
}

pub fn certificate_seeds() -> Vec<Vec<u8>> {
    let key = KeyPair::generate().expect("a key");
    let names = ["chat.example.org", "127.0.0.1"].map(str::to_owned);
    let certificate = CertificateParams::new(names).and_then(|params| params.self_signed(&key));
    vec![certificate.expect("valid names").pem().into_bytes()]
}
