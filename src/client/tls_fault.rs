//! Why a client can't use TLS.

use std::path::PathBuf;

use thiserror::Error;

use crate::certificates::FileFault;

/// Why TLS can't be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TlsFault {
    #[error(transparent)]
    File(#[from] FileFault),
    #[error(
        "this machine has no list of public certificate authorities: install the package ca-certificates, or name a \
         file with --ca or SSL_CERT_FILE"
    )]
    NoSystemAuthorities,
    #[error("can't remember the server in {}: {reason}", .path.display())]
    Remember { path: PathBuf, reason: String },
    #[error(
        "--trust-on-first-use asks on a terminal, and there is none: use it once on a terminal, or give the server's \
         authority with --ca"
    )]
    NoTerminal,
    #[error("not trusted: ask the server's operator for the fingerprint, or for a file for --ca")]
    NotTrusted,
    #[error("HOME is not set: there is no folder for known servers; give the server's authority with --ca")]
    NoHome,
}
