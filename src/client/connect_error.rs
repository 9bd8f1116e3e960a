//! Why a server can't be reached, with the remedy.

use std::path::PathBuf;
use std::time::SystemTime;

use thiserror::Error;

use super::limits::CONNECT_TIMEOUT;
use super::login::LoginFault;
use super::tls_fault::TlsFault;
use crate::address::Address;
use crate::certificates::{Fingerprint, date};

/// Why a connection failed, with the remedy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConnectError {
    #[error(
        "no server answers at {0}: start one with hubbub-server, or name another with --server (connection refused)"
    )]
    NoServer(Address),
    #[error(
        "{0} gave no answer in {seconds} s: check whether a chat server listens there, or name another with --server",
        seconds = CONNECT_TIMEOUT.as_secs()
    )]
    Silent(Address),
    #[error("host {0:?} not found: check the spelling, or name another server with --server")]
    NotFound(String),
    #[error("can't look up host {host:?} ({reason}): check the network and its name servers")]
    NameServers { host: String, reason: String },
    #[error("can't reach {0}: the host is down, or a firewall drops the connection (timed out)")]
    Unanswered(Address),
    #[error("can't reach {0}: the network has no route to it; check the address and the network connection")]
    NoRoute(Address),
    #[error("no socket at {}: start a server with hubbub-server --listen unix:{}, or correct the path", .0.display(), .0.display())]
    NoSocket(PathBuf),
    #[error("no permission to connect to {}: ask for write permission on the socket and access to its folder", .0.display())]
    SocketForbidden(PathBuf),
    #[error("no server listens on the socket {}: the server that created it has exited; start it again", .0.display())]
    SocketAbandoned(PathBuf),
    #[error("{address} is not a chat server but {what}: check the port")]
    NotHubbub { address: Address, what: String },
    #[error(
        "{0} accepts connections and closes them at once: it is not a chat server, or a proxy whose server is down"
    )]
    HungUp(Address),
    #[error("the proxy {proxy} {fault}; correct the variable, or list the server in no_proxy")]
    Proxy { proxy: String, fault: String },
    #[error("can't connect to port 0: give the server's port in {0}")]
    PortZero(Address),
    #[error(transparent)]
    Login(#[from] LoginFault),
    #[error(transparent)]
    Tls(#[from] TlsFault),
    #[error(
        "{0} uses TLS: connect with --tls; if its certificate is not from a public authority, with --ca FILE or \
         --trust-on-first-use"
    )]
    NeedsTls(Address),
    #[error(
        "{0} does not use TLS: leave out --tls and the like, if nobody else can read or change what is sent on the network"
    )]
    WithoutTls(Address),
    #[error(
        "the certificate of {address} is not from an authority that this client trusts (it is from {issuer}): give that \
         authority's certificate with --ca FILE, or compare its fingerprint with --trust-on-first-use"
    )]
    Untrusted { address: Address, issuer: String },
    #[error(
        "THE AUTHORITY OF {address} HAS CHANGED: somebody may be reading along, or the server has another certificate now \
         ({shown}). Ask its operator for the fingerprint. If it is this one, remove {} and connect with \
         --trust-on-first-use",
        .file.display()
    )]
    AuthorityChanged { address: Address, file: PathBuf, shown: Fingerprint },
    #[error("{0} does not show a certificate with the expected fingerprint: ask its operator for a new link")]
    OtherFingerprint(Address),
    #[error(
        "the certificate of {address} is not for {expected} but for {names}: connect with one of these names, or expect it \
         with --server-name"
    )]
    OtherName { address: Address, expected: String, names: String },
    #[error(
        "the certificate of {address} has expired on {}: tell its operator, or check the clock of this machine", date(*.at)
    )]
    Expired { address: Address, at: SystemTime },
    #[error("the certificate of {address} is not valid before {}: check the clock of this machine", date(*.from))]
    NotYetValid { address: Address, from: SystemTime },
    #[error("{0} asks for a client certificate: give one with --cert and --key")]
    CertificateNeeded(Address),
    #[error(
        "{0} refuses the certificate of --cert: its authority must be the one of the server's --client-ca, and it must not \
         have expired"
    )]
    CertificateRefused(Address),
    #[error("can't connect to {address}: {reason}")]
    Failed { address: Address, reason: String },
}

impl ConnectError {
    /// Whether another attempt with the same arguments may succeed.
    pub fn is_transient(&self) -> bool {
        !matches!(
            self,
            Self::NotFound(_)
                | Self::SocketForbidden(_)
                | Self::NotHubbub { .. }
                | Self::PortZero(_)
                | Self::Login(_)
                | Self::Tls(_)
                | Self::NeedsTls(_)
                | Self::WithoutTls(_)
                | Self::Untrusted { .. }
                | Self::AuthorityChanged { .. }
                | Self::OtherFingerprint(_)
                | Self::OtherName { .. }
                | Self::Expired { .. }
        )
    }
}
