//! TLS in the clients: which authorities they trust, and what certificate they show.
//!
//! The C core makes the connections. It does not report why a certificate is refused, so `probe.rs` finds that out
//! with a connection of its own, which is never used for anything else.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use grpcio::{ChannelCredentials, ChannelCredentialsBuilder};
use rustls::pki_types::CertificateDer;

use super::tls_fault::TlsFault;
use crate::certificates::{Authorities, Identity};

/// Where the systems keep the certificates of the authorities that they trust.
const SYSTEM_FILES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The variable that names another such file, as for OpenSSL.
const SYSTEM_VARIABLE: &str = "SSL_CERT_FILE";

/// How a client connects with TLS.
#[derive(Clone)]
pub struct ClientTls {
    authorities: Arc<Authorities>,
    origin: Origin,
    identity: Option<Arc<Identity>>,
    server_name: Option<String>,
}

/// Where the trusted authorities come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    System,
    /// The user has named them.
    Given,
    /// The user has accepted them for this server, and they are remembered in this file.
    Remembered(PathBuf),
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").field("origin", &self.origin).field("server_name", &self.server_name).finish()
    }
}

impl ClientTls {
    /// Trusts the authorities of this machine: those in the file that `SSL_CERT_FILE` names, or the system's.
    pub fn system() -> Result<Self, TlsFault> {
        let path = match env::var_os(SYSTEM_VARIABLE).filter(|path| !path.is_empty()) {
            Some(path) => PathBuf::from(path),
            None => {
                let found = SYSTEM_FILES.into_iter().map(Path::new).find(|path| path.is_file());
                found.ok_or(TlsFault::NoSystemAuthorities)?.to_owned()
            }
        };
        Ok(Self::new(Authorities::read(&path, SystemTime::now())?, Origin::System))
    }

    /// Trusts the authorities in a file only.
    pub fn trusting(path: &Path) -> Result<Self, TlsFault> {
        Ok(Self::new(Authorities::read(path, SystemTime::now())?, Origin::Given))
    }

    pub(super) fn new(authorities: Authorities, origin: Origin) -> Self {
        Self { authorities: Arc::new(authorities), origin, identity: None, server_name: None }
    }

    /// The same, showing a certificate to the server.
    pub fn with_identity(self, certificate: &Path, key: &Path) -> Result<Self, TlsFault> {
        let identity = Identity::read_client(certificate, key, SystemTime::now())?;
        Ok(Self { identity: Some(Arc::new(identity)), ..self })
    }

    /// The same, expecting this name in the server's certificate instead of that of its address.
    pub fn with_server_name(self, server_name: Option<String>) -> Self {
        Self { server_name, ..self }
    }

    /// Whether the client shows a certificate.
    pub fn has_identity(&self) -> bool {
        self.identity.is_some()
    }

    pub(super) fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    pub(super) fn authorities(&self) -> &[CertificateDer<'static>] {
        &self.authorities.certificates
    }

    pub(super) fn identity(&self) -> Option<&Identity> {
        self.identity.as_deref()
    }

    /// The form that the gRPC library expects.
    pub(super) fn credentials(&self) -> ChannelCredentials {
        // Invariant: the texts contain no zero byte, which would be a panic here; `certificates.rs` refuses it.
        let builder = ChannelCredentialsBuilder::new().root_cert(self.authorities.pem.clone());
        match &self.identity {
            Some(identity) => builder.cert(identity.chain.clone(), identity.key.to_vec()),
            None => builder,
        }
        .build()
    }
}
