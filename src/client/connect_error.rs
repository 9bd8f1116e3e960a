//! Why a server can't be reached, with the remedy.

use std::path::PathBuf;

use thiserror::Error;

use super::limits::CONNECT_TIMEOUT;
use super::login::LoginFault;
use crate::address::Address;

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
        )
    }
}
