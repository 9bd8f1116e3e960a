//! Who is at the other end of a call, as far as the connection shows it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The other end of a call. Everything that is shared fairly among peers, or limited for one of them, is so for each value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// Another machine: its IPv4 address, or the first 64 bits of its IPv6 address, which one customer of a provider
    /// usually has for itself.
    Address(IpAddr),
    /// A connection from this machine, as the transport names it. Users of one machine, and what a proxy on it forwards, have
    /// the same address.
    Local(String),
}

impl Peer {
    /// The peer of that name in gRPC's form: `ipv4:192.0.2.1:5000`, `ipv6:[2001:db8::1]:5000`, `unix:/run/hubbub.sock`.
    pub fn new(name: String) -> Self {
        match address(&name) {
            Some(address) if !address.is_loopback() => Self::Address(network(address)),
            _ => Self::Local(name),
        }
    }

    /// The peer, if it is another machine.
    pub fn remote(self) -> Option<Self> {
        matches!(self, Self::Address(_)).then_some(self)
    }
}

fn address(name: &str) -> Option<IpAddr> {
    let (scheme, address) = name.split_once(':')?;
    let address = match scheme {
        "ipv4" => address.to_owned(),
        "ipv6" => address.replace("%5B", "[").replace("%5D", "]"),
        _ => return None,
    };
    address.parse::<SocketAddr>().ok().map(|address| address.ip().to_canonical())
}

/// The address, or for IPv6 its network.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_of_one_network_are_one() {
        let peer = |name: &str| Peer::new(name.to_owned());
        let remote = |address: &str| Peer::Address(address.parse().unwrap());
        assert_eq!(peer("ipv4:192.0.2.1:5000"), remote("192.0.2.1"));
        assert_eq!(peer("ipv6:[2001:db8:1:2:3::4]:5000"), remote("2001:db8:1:2::"));
        assert_eq!(peer("ipv6:%5B2001:db8:1:2::9%5D:70"), remote("2001:db8:1:2::"));
        assert_eq!(peer("ipv6:[::ffff:192.0.2.1]:5000"), remote("192.0.2.1"));
        for local in [
            "ipv4:127.0.0.1:5000",
            "ipv6:[::1]:5000",
            "ipv6:[::ffff:127.0.0.1]:1",
            "unix:",
            "unix:/a:1",
            "vsock:3:1",
            "",
        ] {
            assert_eq!(peer(local), Peer::Local(local.to_owned()));
            assert_eq!(peer(local).remote(), None);
        }
    }
}
