//! Where a server can listen: a name is resolved here, and each of its addresses is tested, so that a failure has a reason.

use std::io;
use std::mem;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::config::StartError;
use crate::address::Address;

/// Checks whether the server can listen on an address, and if not, why.
pub fn check_free(address: &Address) -> Result<(), StartError> {
    match address {
        Address::Tcp { .. } => of(address).map(drop),
        Address::Unix(path) => check_socket_free(path, address),
    }
}

/// Whether other machines can reach an address.
pub fn is_exposed(address: &Address) -> Result<bool, StartError> {
    Ok(of(address)?.iter().any(|place| !place.ip().is_loopback()))
}

/// The addresses of a name that this machine has. At least one.
pub fn of(address: &Address) -> Result<Vec<SocketAddr>, StartError> {
    let Address::Tcp { host, port } = address else { return Ok(Vec::new()) };
    let bind = |error: io::Error| match error.kind() {
        io::ErrorKind::AddrInUse => StartError::Taken(address.clone()),
        _ => StartError::Bind { address: address.clone(), fault: error.to_string() },
    };
    let mut places: Vec<SocketAddr> = Vec::new();
    let mut absent = None;
    for place in (host.as_str(), *port).to_socket_addrs().map_err(bind)? {
        let place = match place {
            // An IPv4-mapped address keeps its form without a zone, others keep their zone.
            SocketAddr::V6(ip) if ip.ip().to_ipv4_mapped().is_some() => {
                SocketAddr::new(place.ip().to_canonical(), *port)
            }
            _ => place,
        };
        match try_bind(place) {
            Ok(()) if places.contains(&place) => {}
            Ok(()) => places.push(place),
            Err(error)
                if error.kind() == io::ErrorKind::AddrNotAvailable
                    || error.raw_os_error() == Some(libc::EAFNOSUPPORT) =>
            {
                absent = Some(error);
            }
            Err(error) => return Err(bind(error)),
        }
    }
    match absent {
        Some(error) if places.is_empty() => Err(bind(error)),
        Some(error) => {
            ::log::warn!("not all addresses of {host} can be listened on: {error}");
            Ok(places)
        }
        None => Ok(places),
    }
}

/// Binds a socket of exactly this family, and closes it.
fn try_bind(place: SocketAddr) -> io::Result<()> {
    let checked = |result: libc::c_int| if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    let family = if place.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // SAFETY: the descriptor is new and owned here; the options are integers; the addresses have the given size, and
    // zeros are valid for unset fields.
    unsafe {
        let fd = libc::socket(family, libc::SOCK_STREAM, 0);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let socket = OwnedFd::from_raw_fd(fd);
        let set = |level, name| {
            let one: libc::c_int = 1;
            let size = mem::size_of_val(&one) as libc::socklen_t;
            checked(libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const one).cast(), size))
        };
        set(libc::SOL_SOCKET, libc::SO_REUSEADDR)?;
        match place {
            SocketAddr::V4(place) => {
                let mut address: libc::sockaddr_in = mem::zeroed();
                address.sin_family = libc::AF_INET as libc::sa_family_t;
                address.sin_port = place.port().to_be();
                address.sin_addr.s_addr = u32::from(*place.ip()).to_be();
                let size = mem::size_of_val(&address) as libc::socklen_t;
                checked(libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size))
            }
            SocketAddr::V6(place) => {
                set(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY)?;
                let mut address: libc::sockaddr_in6 = mem::zeroed();
                address.sin6_family = libc::AF_INET6 as libc::sa_family_t;
                address.sin6_port = place.port().to_be();
                address.sin6_addr.s6_addr = place.ip().octets();
                address.sin6_scope_id = place.scope_id();
                let size = mem::size_of_val(&address) as libc::socklen_t;
                checked(libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size))
            }
        }
    }
}

/// A socket without a listener is left over from a killed server; the library replaces it. One that accepts connections
/// belongs to a running server, and the library would cut that server off.
fn check_socket_free(path: &Path, address: &Address) -> Result<(), StartError> {
    let bind = |fault: &str| StartError::Bind { address: address.clone(), fault: fault.to_owned() };
    let Ok(metadata) = path.symlink_metadata() else {
        return match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
                Err(bind("its folder does not exist"))
            }
            _ => Ok(()),
        };
    };
    if !metadata.file_type().is_socket() {
        return Err(bind("a file that is not a socket is in the way"));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(StartError::Taken(address.clone())),
        Err(_) => Ok(()),
    }
}
