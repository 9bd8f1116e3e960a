//! Where a server listens, and where a client finds it.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use thiserror::Error;

/// `HOST:PORT` (an IPv6 address in brackets) or `unix:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

/// What is wrong with an address, and how one looks.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text:?} is no address ({fault}): give HOST:PORT, [IPV6]:PORT or unix:PATH, such as 127.0.0.1:5000")]
pub struct InvalidAddress {
    text: String,
    fault: &'static str,
}

impl Address {
    /// The server's default place: this machine only.
    pub fn local(port: u16) -> Self {
        Self::Tcp { host: "127.0.0.1".to_owned(), port }
    }

    /// The form in which the gRPC library takes it.
    pub fn target(&self) -> String {
        self.to_string()
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp { host: address.ip().to_string(), port: address.port() }
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let fault = |fault| InvalidAddress { text: text.to_owned(), fault };
        if text.contains('\0') {
            return Err(fault("it holds a NUL byte"));
        }
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err(fault("the path is missing")),
                // The system's own limit, which leaves one byte for the NUL at the end.
                _ if path.len() > 107 => Err(fault("a socket's path has at most 107 bytes")),
                _ => Ok(Self::Unix(Path::new(path).to_owned())),
            };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(|| fault("the port is missing"))?;
        let port = port.parse().map_err(|_| fault("the port is no number from 0 to 65535"))?;
        let host = match host.strip_prefix('[').map(|host| host.strip_suffix(']')) {
            Some(Some(host)) if host.parse::<Ipv6Addr>().is_ok() => host,
            Some(_) => return Err(fault("what stands in brackets is no IPv6 address")),
            None if host.is_empty() => return Err(fault("the host is missing")),
            None if host.contains(|c: char| c.is_whitespace() || c == '/') => {
                return Err(fault("the host holds a character that no host has"));
            }
            None if host.contains(':') => return Err(fault("an IPv6 address stands in brackets")),
            None => host,
        };
        Ok(Self::Tcp { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back_as_they_were() {
        for text in ["127.0.0.1:5000", "localhost:0", "[::1]:5000", "unix:/tmp/hubbub.sock", "unix:relative"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_its_fault() {
        for (text, fault) in [
            ("5000", "the port is missing"),
            (":5000", "the host is missing"),
            ("localhost:", "the port is no number"),
            ("localhost:65536", "the port is no number"),
            ("::1:5000", "stands in brackets"),
            ("[::x]:5000", "no IPv6 address"),
            ("http://localhost:80", "no host has"),
            ("a b:80", "no host has"),
            ("unix:", "the path is missing"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(fault), "{text}: {error}");
        }
    }
}
