//! TLS: the certificate that the server shows, and whether clients must show one. Both are replaced while it runs.
//!
//! The C core asks for the certificate at every new connection, on a poller and under a lock, and the answer can't fail
//! without a line of its own in the log. So what it gets has been read and checked before, on the thread of
//! `server/reload.rs`, and it gets it only if that has changed. Open connections keep what they were made with.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use grpcio::{CertificateRequestType, ServerCredentials, ServerCredentialsBuilder, ServerCredentialsFetcher};
use parking_lot::Mutex;

use crate::certificates::{Authorities, FileFault, Fingerprint, Identity, date};
use crate::limits::EXPIRY_WARNING_DAYS;
use crate::server::config::TlsFiles;
use crate::server::reload::Reloadable;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What a server needs for TLS.
pub struct Tls {
    files: TlsFiles,
    request: CertificateRequestType,
    current: Arc<Current>,
}

struct Current {
    /// It grows with each change of the material. The first is 1.
    generation: AtomicU64,
    // lock order: 3 (a leaf; held for one copy of a reference)
    material: Mutex<Arc<Material>>,
}

/// What was read from the files.
struct Material {
    identity: Identity,
    client_ca: Option<Vec<u8>>,
}

/// What the C core asks, for one listening address.
struct Fetcher {
    current: Arc<Current>,
    request: CertificateRequestType,
    /// The generation that the C core has.
    given: AtomicU64,
}

/// The files, as the thread that reads them again sees them.
struct Files {
    files: TlsFiles,
    current: Arc<Current>,
    /// How many of the warnings about the expiry were given.
    warnings: usize,
}

impl Tls {
    /// Reads and checks the files. `requires_certificate` says that there is no other login, so that clients without a
    /// certificate are not even connected.
    pub fn open(files: &TlsFiles, requires_certificate: bool) -> Result<Self, FileFault> {
        let request = match (&files.client_ca, requires_certificate) {
            (None, _) => CertificateRequestType::DontRequestClientCertificate,
            (Some(_), false) => CertificateRequestType::RequestClientCertificateAndVerify,
            (Some(_), true) => CertificateRequestType::RequestAndRequireClientCertificateAndVerify,
        };
        let material = Mutex::new(Arc::new(Material::read(files)?));
        let current = Arc::new(Current { generation: AtomicU64::new(1), material });
        Ok(Self { files: files.clone(), request, current })
    }

    /// The credentials for one listening address.
    pub fn credentials(&self) -> ServerCredentials {
        let (current, request) = (Arc::clone(&self.current), self.request);
        ServerCredentials::with_fetcher(Box::new(Fetcher { current, request, given: AtomicU64::new(0) }), request)
    }

    /// What the log says about the certificate.
    pub fn description(&self) -> String {
        self.current.material.lock().clone().description()
    }

    /// The first name in the certificate, and the fingerprint of its authority if that is one of the operator's own: for
    /// invitation links.
    pub fn for_links(&self) -> (Option<String>, Option<Fingerprint>) {
        let material = Arc::clone(&self.current.material.lock());
        (material.identity.facts.names.first().cloned(), material.identity.own_authority())
    }

    /// Tells until when the certificate in use is valid.
    pub fn expiry(&self) -> impl Fn() -> SystemTime + Send + Sync + 'static + use<> {
        let current = Arc::clone(&self.current);
        move || current.material.lock().identity.facts.not_after
    }

    /// For the thread that reads the files again.
    pub fn reloadable(&self) -> impl Reloadable + use<> {
        Files { files: self.files.clone(), current: Arc::clone(&self.current), warnings: 0 }
    }
}

impl Material {
    fn read(files: &TlsFiles) -> Result<Self, FileFault> {
        let now = SystemTime::now();
        let identity = Identity::read_server(&files.certificate, &files.key, now)?;
        let client_ca = files.client_ca.as_deref().map(|path| Authorities::read(path, now)).transpose()?;
        Ok(Self { identity, client_ca: client_ca.map(|authorities| authorities.pem) })
    }

    fn description(&self) -> String {
        let facts = &self.identity.facts;
        let names: Vec<_> = facts.names.iter().map(|name| name.escape_default().to_string()).collect();
        format!("for {}, valid until {}", names.join(", "), date(facts.not_after))
    }
}

impl ServerCredentialsFetcher for Fetcher {
    // Called on a poller, by C code: it MUST NOT block or panic.
    fn fetch(&self) -> Result<Option<ServerCredentialsBuilder>, Box<dyn Error>> {
        let generation = self.current.generation.load(Ordering::Acquire);
        if self.given.swap(generation, Ordering::Relaxed) == generation {
            return Ok(None);
        }
        // It may be newer than the generation: then it is given twice.
        let material = Arc::clone(&self.current.material.lock());
        let builder = ServerCredentialsBuilder::new();
        // Invariant: the texts contain no zero byte, which would be a panic here; `certificates.rs` refuses it.
        let builder = match &material.client_ca {
            Some(client_ca) => builder.root_cert(client_ca.clone(), self.request),
            None => builder,
        };
        Ok(Some(builder.add_cert(material.identity.chain.clone(), material.identity.key.to_vec())))
    }
}

impl Reloadable for Files {
    fn name(&self) -> &'static str {
        "the certificate"
    }

    fn files(&self) -> Vec<PathBuf> {
        let TlsFiles { certificate, key, client_ca } = self.files.clone();
        [Some(certificate), Some(key), client_ca].into_iter().flatten().collect()
    }

    fn reload(&mut self) -> Result<String, String> {
        let material = Arc::new(Material::read(&self.files).map_err(|fault| fault.to_string())?);
        let said = format!("reloaded: {}", material.description());
        *self.current.material.lock() = material;
        self.current.generation.fetch_add(1, Ordering::Release);
        self.warnings = 0;
        Ok(said)
    }

    fn warning(&mut self, now: SystemTime) -> Option<String> {
        let not_after = self.current.material.lock().identity.facts.not_after;
        let (due, warning) = expiry_warning(not_after, now);
        let is_new = due > self.warnings;
        self.warnings = due;
        warning.filter(|_| is_new)
    }
}

/// How many warnings about an expiry are due, and the last of them.
fn expiry_warning(not_after: SystemTime, now: SystemTime) -> (usize, Option<String>) {
    let Ok(left) = not_after.duration_since(now) else {
        let warning = format!("it has expired on {}: clients refuse it; renew it", date(not_after));
        return (EXPIRY_WARNING_DAYS.len() + 1, Some(warning));
    };
    let due = EXPIRY_WARNING_DAYS.iter().filter(|days| left <= DAY * u32::try_from(**days).unwrap_or(u32::MAX)).count();
    let warning = || format!("it expires on {}: renew it", date(not_after));
    (due, (due > 0).then(warning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_is_warned_before_the_certificate_expires() {
        let not_after = SystemTime::UNIX_EPOCH + DAY * 100;
        let due = |day: u64| expiry_warning(not_after, SystemTime::UNIX_EPOCH + DAY * u32::try_from(day).unwrap());
        assert_eq!([0, 85, 86, 92, 93, 98, 99, 100, 101].map(|day| due(day).0), [0, 0, 1, 1, 2, 2, 3, 3, 4]);
        assert!(due(85).1.is_none());
        assert_eq!(due(86).1.unwrap(), "it expires on 1970-04-11T00:00:00Z: renew it");
        assert!(due(101).1.unwrap().starts_with("it has expired on"));
    }

    #[test]
    fn each_warning_is_given_once_and_again_after_a_reload() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let pair = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let now = SystemTime::now();
        (params.not_before, params.not_after) = ((now - DAY).into(), (now + DAY * 100).into());
        std::fs::write(path("cert"), params.self_signed(&pair).unwrap().pem()).unwrap();
        std::fs::write(path("key"), pair.serialize_pem()).unwrap();
        std::fs::set_permissions(path("key"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let files = TlsFiles { certificate: path("cert"), key: path("key"), client_ca: None };
        let mut watched = Tls::open(&files, false).unwrap().reloadable();
        let mut warns = |day| watched.warning(now + DAY * day).is_some();
        let days = [0, 85, 87, 87, 92, 94, 94, 98, 99, 99, 101, 101];
        let expected = [false, false, true, false, false, true, false, false, true, false, true, false];
        assert_eq!(days.map(&mut warns), expected);
        watched.reload().unwrap();
        assert!(watched.warning(now + DAY * 99 + DAY / 2).is_some());
    }
}
