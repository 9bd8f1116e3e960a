//! The listening sockets that the service manager opened: sd_listen_fds(3).
//!
//! The service manager keeps them open, so clients that connect while the program restarts wait instead of being refused.

use std::env;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::process;
use std::sync::Arc;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::sockopt::{socket_acceptconn, socket_domain, socket_type};
use rustix::net::{AddressFamily, SocketType};
use thiserror::Error;

use crate::address::Address;

/// The first descriptor that is passed on.
const FIRST: RawFd = 3;

/// More than any unit has.
const COUNT_MAX: RawFd = 256;

/// The names that socket units give their sockets (`FileDescriptorName=`).
const GRPC: &str = "grpc";
const HTTP: &str = "http";

/// A listening socket that this process inherited.
#[derive(Clone, Debug)]
pub struct ListeningSocket {
    descriptor: Arc<OwnedFd>,
    address: Address,
    is_exposed: bool,
}

/// The sockets that this process inherited.
#[derive(Clone, Debug, Default)]
pub struct InheritedSockets {
    pub grpc: Vec<ListeningSocket>,
    pub http: Vec<ListeningSocket>,
}

/// Why the inherited sockets can't be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SocketsError {
    #[error("LISTEN_FDS={0}: expected a number of sockets from 0 to {COUNT_MAX}")]
    Count(String),
    #[error("LISTEN_FDS is {count}, but LISTEN_FDNAMES has {names} names: expected one for each socket")]
    Names { count: usize, names: usize },
    #[error(
        "the inherited socket {address} is named {name:?}: set FileDescriptorName=grpc or FileDescriptorName=http in its socket \
         unit"
    )]
    Name { address: Address, name: String },
    #[error(
        "the inherited descriptor {descriptor} ({name:?}) is not a listening stream socket: use ListenStream= and Accept=no in \
         its socket unit"
    )]
    NotListening { descriptor: RawFd, name: String },
    #[error("the inherited descriptor {descriptor} can't be used: {fault}")]
    Unusable { descriptor: RawFd, fault: io::Error },
}

impl ListeningSocket {
    /// Takes a socket that listens for connections.
    pub fn new(socket: OwnedFd) -> Result<Self, SocketsError> {
        Self::named(socket, "")
    }

    fn named(socket: OwnedFd, name: &str) -> Result<Self, SocketsError> {
        let descriptor = socket.as_raw_fd();
        let not_listening = || SocketsError::NotListening { descriptor, name: name.to_owned() };
        let unusable = |fault| SocketsError::Unusable { descriptor, fault };
        if socket_type(&socket).ok() != Some(SocketType::STREAM) || socket_acceptconn(&socket).ok() != Some(true) {
            return Err(not_listening());
        }
        fcntl_setfd(&socket, FdFlags::CLOEXEC).map_err(|fault| unusable(fault.into()))?;
        let copy = socket.try_clone().map_err(unusable)?;
        let (address, is_exposed) = match socket_domain(&socket).map_err(|fault| unusable(fault.into()))? {
            AddressFamily::INET | AddressFamily::INET6 => {
                let address = TcpListener::from(copy).local_addr().map_err(unusable)?;
                (Address::from(address), !address.ip().to_canonical().is_loopback())
            }
            AddressFamily::UNIX => {
                let address = UnixListener::from(copy).local_addr().map_err(unusable)?;
                (Address::Unix(address.as_pathname().unwrap_or("(without a path)".as_ref()).to_owned()), false)
            }
            _ => return Err(not_listening()),
        };
        Ok(Self { descriptor: Arc::new(socket), address, is_exposed })
    }

    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Whether other machines can reach it.
    pub fn is_exposed(&self) -> bool {
        self.is_exposed
    }
}

impl AsFd for ListeningSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl InheritedSockets {
    /// The sockets that `LISTEN_FDS` and `LISTEN_FDNAMES` describe, if `LISTEN_PID` says that they are for this process.
    ///
    /// Takes the descriptors over: call it once, in `main`.
    pub fn from_environment() -> Result<Self, SocketsError> {
        if env::var("LISTEN_PID").ok().and_then(|pid| pid.parse().ok()) != Some(process::id()) {
            return Ok(Self::default());
        }
        let count = env::var("LISTEN_FDS").unwrap_or_default();
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let names = self::names(&count, &names)?;
        let mut inherited = Self::default();
        for (descriptor, name) in (FIRST..).zip(names) {
            // SAFETY: the service manager has passed this descriptor to this process, and nothing else here uses it. One
            // that is not open fails at its first use, below.
            let socket = ListeningSocket::named(unsafe { OwnedFd::from_raw_fd(descriptor) }, &name)?;
            match name.as_str() {
                GRPC => inherited.grpc.push(socket),
                HTTP => inherited.http.push(socket),
                _ => return Err(SocketsError::Name { address: socket.address, name }),
            }
        }
        Ok(inherited)
    }
}

/// The names of the sockets, one for each. Without names, all are for gRPC.
fn names(count: &str, names: &str) -> Result<Vec<String>, SocketsError> {
    let number = count.parse().ok().filter(|number| (0..=COUNT_MAX).contains(number));
    let number = number.ok_or_else(|| SocketsError::Count(count.to_owned()))? as usize;
    if names.is_empty() {
        return Ok(vec![GRPC.to_owned(); number]);
    }
    let names: Vec<_> = names.split(':').map(str::to_owned).collect();
    match names.len() == number {
        true => Ok(names),
        false => Err(SocketsError::Names { count: number, names: names.len() }),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_socket_says_where_it_listens_and_who_can_reach_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::from(listener.local_addr().unwrap());
        let socket = ListeningSocket::new(listener.into()).unwrap();
        assert_eq!((socket.address(), socket.is_exposed()), (&address, false));
        let everywhere = TcpListener::bind("0.0.0.0:0").unwrap();
        assert!(ListeningSocket::new(everywhere.into()).unwrap().is_exposed());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let socket = ListeningSocket::new(UnixListener::bind(&path).unwrap().into()).unwrap();
        assert_eq!((socket.address(), socket.is_exposed()), (&Address::Unix(path), false));
    }

    #[test]
    fn what_does_not_listen_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connection = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let error = ListeningSocket::new(connection.into()).unwrap_err();
        assert!(error.to_string().contains("is not a listening stream socket"), "{error}");
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(ListeningSocket::new(file.into()).is_err());
    }

    #[test]
    fn there_is_a_name_for_each_socket() {
        assert_eq!(names("2", "grpc:http").unwrap(), ["grpc", "http"]);
        assert_eq!(names("2", "").unwrap(), ["grpc", "grpc"]);
        assert!(names("2", "grpc").is_err());
        assert!(names("-1", "").is_err() && names("x", "").is_err() && names("", "").is_err());
    }
}
