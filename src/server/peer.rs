//! The other end of a call, as far as its connection shows.

use std::net::{IpAddr, SocketAddr};

use super::network::{Exempt, Source};

/// How a client's stream reaches the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Grpc,
    /// gRPC with TLS.
    GrpcTls,
    Http,
}

/// Peers that the server keeps apart when it shares its work among them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// All clients of one address, which is limited.
    Address(Source),
    /// One connection from this machine or from an exempt network, as the transport names it. Users of one machine, and
    /// what a proxy forwards, have the same address.
    Exempt(String),
}

impl Peer {
    /// The peer of that name in gRPC's form: `ipv4:192.0.2.1:5000`, `ipv6:[2001:db8::1]:5000`, `unix:/run/hubbub.sock`.
    pub fn new(name: String, exempt: &Exempt) -> Self {
        match address(&name).and_then(|address| exempt.limited(address)) {
            Some(source) => Self::Address(source),
            None => Self::Exempt(name),
        }
    }

    /// The peer as people write it: an address that is limited, or one connection.
    pub fn shown(&self) -> String {
        match self {
            Self::Address(source) => source.to_string(),
            Self::Exempt(connection) => shown(connection),
        }
    }

    /// The address, if it is limited.
    pub fn source(&self) -> Option<Source> {
        match self {
            Self::Address(source) => Some(*source),
            Self::Exempt(_) => None,
        }
    }
}

impl Transport {
    /// That of a connection of gRPC. Unix sockets have no TLS.
    pub fn grpc(has_tls: bool, connection: &str) -> Self {
        if has_tls && address(connection).is_some() { Self::GrpcTls } else { Self::Grpc }
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::GrpcTls => "grpc+tls",
            Self::Http => "http",
        }
    }
}

/// A connection's name as people write it: `192.0.2.1:5000`, `[2001:db8::1]:5000`, `unix`.
pub fn shown(name: &str) -> String {
    match name.split_once(':') {
        Some(("ipv4", address)) => address.to_owned(),
        Some(("ipv6", address)) => address.replace("%5B", "[").replace("%5D", "]"),
        Some(("unix", _)) => "unix".to_owned(),
        _ => name.to_owned(),
    }
}

/// The address in a connection's name, as the library writes it. `None` for a Unix socket.
pub fn address(name: &str) -> Option<IpAddr> {
    let (scheme, address) = name.split_once(':')?;
    let address = match scheme {
        "ipv4" => address.to_owned(),
        "ipv6" => address.replace("%5B", "[").replace("%5D", "]"),
        _ => return None,
    };
    address.parse::<SocketAddr>().ok().map(|address| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: &str, exempt: &Exempt) -> Peer {
        Peer::new(name.to_owned(), exempt)
    }

    #[test]
    fn peers_of_one_network_are_one() {
        let exempt = Exempt { networks: vec!["10.0.0.0/8".parse().unwrap()], limits_loopback: false };
        let is = |name: &str, address: &str| {
            assert_eq!(peer(name, &exempt), Peer::Address(Source::of(address.parse().unwrap())));
        };
        is("ipv4:192.0.2.1:5000", "192.0.2.1");
        is("ipv6:[2001:db8:1:2:3::4]:5000", "2001:db8:1:2::");
        is("ipv6:%5B2001:db8:1:2::9%5D:70", "2001:db8:1:2::");
        is("ipv6:[::ffff:192.0.2.1]:5000", "192.0.2.1");
        let names = [
            "ipv4:127.0.0.1:5000",
            "ipv6:[::1]:5000",
            "ipv6:[::ffff:127.0.0.1]:1",
            "ipv4:10.1.2.3:4",
            "unix:",
            "vsock:3:1",
            "",
        ];
        for name in names {
            assert_eq!(peer(name, &exempt), Peer::Exempt(name.to_owned()));
        }
    }

    #[test]
    fn a_connection_is_shown_as_people_write_it() {
        for (name, as_written, transport) in [
            ("ipv4:192.0.2.1:5000", "192.0.2.1:5000", Transport::GrpcTls),
            ("ipv6:%5B2001:db8::9%5D:70", "[2001:db8::9]:70", Transport::GrpcTls),
            ("ipv6:[::1]:5000", "[::1]:5000", Transport::GrpcTls),
            ("unix:/run/hubbub.sock", "unix", Transport::Grpc),
            ("unix:", "unix", Transport::Grpc),
            ("vsock:3:1", "vsock:3:1", Transport::Grpc),
        ] {
            assert_eq!((shown(name).as_str(), Transport::grpc(true, name)), (as_written, transport));
            assert_eq!(Transport::grpc(false, name), Transport::Grpc);
        }
    }

    #[test]
    fn this_machine_is_one_address_if_it_is_limited_too() {
        let exempt = Exempt { limits_loopback: true, ..Exempt::default() };
        assert_eq!(peer("ipv4:127.0.0.1:1", &exempt), peer("ipv4:127.0.0.1:2", &exempt));
        assert_eq!(peer("unix:", &exempt), Peer::Exempt("unix:".to_owned()));
    }
}
