//! Listens on exactly the given addresses, or reports why that is impossible.
//!
//! The C core binds either wildcard address to both families and gives no reason for a failure. So a name is resolved
//! here, each address is tested here first, and `patches/channel_stack.cc` restricts the listening sockets to their
//! family.

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use grpcio::ServerCredentials;

use super::patches::channel_stack::{self, Listener};
use super::patches::inherited;
use super::patches::servers::Registration;
use super::tls::Tls;
use crate::address::Address;
use crate::server::config::StartError;
use crate::server::places;
use crate::supervisor::sockets::ListeningSocket;

/// Binds an address: all addresses of a name. Returns the bound addresses. Unix sockets do not speak TLS.
pub fn bind(
    grpc: &mut grpcio::Server,
    server: &Registration,
    address: &Address,
    socket_mode: Option<u32>,
    tls: Option<&Tls>,
) -> Result<Vec<Address>, StartError> {
    let (host, found) = match address {
        Address::Unix(path) => {
            return bind_socket(grpc, server, address, path, socket_mode).map(|()| vec![address.clone()]);
        }
        Address::Tcp { host, .. } => (host, places::of(address)?),
    };
    let (mut bound, mut chosen) = (Vec::new(), 0);
    for mut place in found.iter().copied() {
        if place.port() == 0 {
            // All addresses of a name have one port.
            place.set_port(chosen);
        }
        let listener = match place {
            SocketAddr::V6(_) => Listener::Ipv6,
            SocketAddr::V4(place) if place.ip().is_unspecified() => Listener::Ipv4Wildcard,
            SocketAddr::V4(_) => Listener::Any,
        };
        // The library decodes percent signs, and a zone contains one.
        let target = place.to_string().replace('%', "%25");
        let credentials = tls.map_or_else(ServerCredentials::insecure, Tls::credentials);
        let port = channel_stack::listening(server, listener, || grpc.add_listening_port(target, credentials));
        let fault = || StartError::Bind { address: address.clone(), fault: format!("gRPC can't bind {place}") };
        chosen = port.map_err(|_| fault())?;
        let host = if found.len() == 1 { host.clone() } else { place.ip().to_string() };
        bound.push(Address::Tcp { host, port: chosen });
    }
    Ok(bound)
}

/// Listens on a socket that this process inherited. Returns its address.
pub fn adopt(
    grpc: &mut grpcio::Server,
    server: &Registration,
    socket: &ListeningSocket,
    tls: Option<&Tls>,
) -> Result<Address, StartError> {
    // Its name within the library. That of a wildcard address could make the library use the socket twice.
    let (target, credentials) = match socket.address() {
        Address::Tcp { port, .. } => {
            (Address::local(*port), tls.map_or_else(ServerCredentials::insecure, Tls::credentials))
        }
        Address::Unix(path) => (Address::Unix(path.clone()), ServerCredentials::insecure()),
    };
    let add =
        || channel_stack::listening(server, Listener::Any, || grpc.add_listening_port(target.target(), credentials));
    match inherited::inheriting(socket.as_fd(), add) {
        Some(Ok(_)) => Ok(socket.address().clone()),
        Some(Err(_)) => Err(StartError::Adopt { address: socket.address().clone(), fault: "gRPC can't use it" }),
        None => Err(StartError::Adopt {
            address: socket.address().clone(),
            fault: "this program was built without the feature core-patches, or not for Linux",
        }),
    }
}

/// Binds a Unix socket. With a mode, only root can connect before the mode is set.
fn bind_socket(
    grpc: &mut grpcio::Server,
    server: &Registration,
    address: &Address,
    path: &Path,
    mode: Option<u32>,
) -> Result<(), StartError> {
    let listener = if mode.is_some() { Listener::ClosedSocket } else { Listener::Any };
    let target = address.target();
    let port =
        channel_stack::listening(server, listener, || grpc.add_listening_port(target, ServerCredentials::insecure()));
    let fault = |fault: String| StartError::Bind { address: address.clone(), fault };
    port.map_err(|_| fault("gRPC can't bind it".to_owned()))?;
    if let Some(mode) = mode {
        fs::set_permissions(path, Permissions::from_mode(mode))
            .map_err(|error| fault(format!("can't set its mode: {error}")))?;
    }
    Ok(())
}
