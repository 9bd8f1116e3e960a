//! Why a file with certificates or a key can't be used.

use std::path::PathBuf;
use std::time::SystemTime;

use thiserror::Error;

/// A file that can't be used, with the reason and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}: {fault}", .path.display())]
pub struct FileFault {
    pub path: PathBuf,
    pub fault: Fault,
}

/// Why a file can't be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Fault {
    #[error("can't read the file: {0}")]
    Unreadable(String),
    #[error("not a file that can be read again: give a regular file")]
    NotAFile,
    #[error("longer than 2 MiB: expected certificates, or a private key, in PEM")]
    TooLong,
    #[error("no certificate in the file: expected PEM, with a line -----BEGIN CERTIFICATE-----")]
    NoCertificate,
    #[error("no private key in the file: expected PEM, with a line -----BEGIN PRIVATE KEY-----, not encrypted")]
    NoKey,
    #[error("malformed: expected certificates, or a private key, in PEM")]
    Malformed,
    #[error("other users may read or change this private key: run chmod 640, or 600, on it")]
    Exposed,
    #[error("not the private key of the certificate in {}: give the two files that were made together, the server's or client's own certificate first", .0.display())]
    OtherKey(PathBuf),
    #[error("this kind of private key can't be used: make an ECDSA key (P-256), or an RSA key of at least 2048 bits")]
    KeyKind,
    #[error("the certificate has expired on {}: renew it", date(*.0))]
    Expired(SystemTime),
    #[error("the certificate is not valid before {}: check the clock of this machine, or wait", date(*.0))]
    NotYetValid(SystemTime),
    #[error(
        "the certificate has no DNS name or IP address, by which clients could recognize the server: make one that has (subject alternative name)"
    )]
    NoNames,
    #[error("the certificate is not for servers: make one whose extended key usage includes server authentication")]
    NotForServers,
    #[error("the certificate is not for clients: make one whose extended key usage includes client authentication")]
    NotForClients,
}

/// A time as it is shown.
pub fn date(time: SystemTime) -> impl std::fmt::Display {
    humantime::format_rfc3339_seconds(time)
}
