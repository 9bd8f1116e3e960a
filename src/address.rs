//! Where a server listens, and where a client finds it.

use std::env;
use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use thiserror::Error;

/// The port of a server that was started without further ado.
pub const DEFAULT_PORT: u16 = 5000;

/// The variable that moves that port, for servers and clients alike.
const PORT_VARIABLE: &str = "PORT";

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

/// The variable `PORT` holds no port.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the variable PORT is {0:?}: set it to a number from 1 to 65535, or unset it")]
pub struct InvalidPort(String);

impl Address {
    /// The server's default place: this machine only.
    pub fn local(port: u16) -> Self {
        Self::Tcp { host: "127.0.0.1".to_owned(), port }
    }

    /// Where a server listens, and a client looks for it, unless told otherwise: on this machine only, at port 5000 or
    /// the one that the variable `PORT` names. An empty variable is no variable, as elsewhere in a shell.
    pub fn default_local() -> Result<Self, InvalidPort> {
        let variable = env::var_os(PORT_VARIABLE).map(|value| value.to_string_lossy().into_owned());
        port(variable.as_deref()).map(Self::local)
    }

    /// The form in which the gRPC library's servers take it.
    pub fn target(&self) -> String {
        match self {
            Self::Tcp { .. } => self.to_string(),
            Self::Unix(path) => format!("unix:{}", percent_encode(path.as_os_str().as_bytes())),
        }
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

/// Escapes a path for the library, which reads targets as URIs.
fn percent_encode(path: &[u8]) -> String {
    let mut encoded = String::with_capacity(path.len());
    for &byte in path {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte as char),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

fn port(variable: Option<&str>) -> Result<u16, InvalidPort> {
    match variable {
        None | Some("") => Ok(DEFAULT_PORT),
        Some(text) => match text.parse() {
            Ok(port) if port != 0 => Ok(port),
            _ => Err(InvalidPort(text.to_owned())),
        },
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

    #[test]
    fn the_variable_moves_the_default_port() {
        assert_eq!(port(None), Ok(5000));
        assert_eq!(port(Some("")), Ok(5000));
        assert_eq!(port(Some("6000")), Ok(6000));
        for text in ["0", "65536", "x", " 1"] {
            assert_eq!(port(Some(text)), Err(InvalidPort(text.to_owned())));
        }
    }
}
