//! Addresses: where a server listens, and where a client connects to.

use std::env;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use thiserror::Error;

/// The default port.
pub const DEFAULT_PORT: u16 = 5000;

/// The variable that changes the default port, for servers and clients.
const PORT_VARIABLE: &str = "PORT";

/// `HOST:PORT` (an IPv6 address in brackets) or `unix:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

/// The fault of an address, with the expected form.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("invalid address {text:?}: {fault} (expected HOST:PORT, [IPV6]:PORT or unix:PATH)")]
pub struct InvalidAddress {
    text: String,
    fault: String,
}

/// The variable `PORT` does not hold a port.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the variable PORT is {0:?}: set it to a number from 1 to 65535, or unset it")]
pub struct InvalidPort(String);

impl Address {
    /// The server's default address: this machine only.
    pub fn local(port: u16) -> Self {
        Self::Tcp { host: "127.0.0.1".to_owned(), port }
    }

    /// The default address of a server: this machine only, at port 5000 or the one in the variable `PORT`. An empty
    /// variable counts as unset.
    pub fn default_local() -> Result<Self, InvalidPort> {
        let variable = env::var_os(PORT_VARIABLE).map(|value| value.to_string_lossy().into_owned());
        port(variable.as_deref()).map(Self::local)
    }

    /// The form that the gRPC library's servers expect.
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

    /// An address without a port gets the default port. `http://` and `grpc://` before it and a slash after it are
    /// ignored.
    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let variable = env::var_os(PORT_VARIABLE).map(|value| value.to_string_lossy().into_owned());
        parse(text.trim(), || port(variable.as_deref()).map_err(|error| error.to_string()))
            .map_err(|fault| InvalidAddress { text: text.to_owned(), fault })
    }
}

fn parse(text: &str, default_port: impl FnOnce() -> Result<u16, String>) -> Result<Address, String> {
    if text.contains('\0') {
        return Err("contains a NUL byte".to_owned());
    }
    if let Some(path) = text.strip_prefix("unix:") {
        // Both forms of a URI name the same path: unix:/run/x and unix:///run/x.
        let path = path.strip_prefix("//").filter(|rest| rest.starts_with('/')).unwrap_or(path);
        return match path {
            "" => Err("missing path".to_owned()),
            // The system's own limit, which leaves one byte for the NUL at the end.
            _ if path.len() > 107 => Err("the path of a socket has at most 107 bytes".to_owned()),
            _ => Ok(Address::Unix(Path::new(path).to_owned())),
        };
    }
    let authority = authority(text)?;
    if authority.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("contains a blank or a control character".to_owned());
    }
    if authority.contains('@') {
        return Err("a server address has no user name; give your name with --name".to_owned());
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or("missing ] after the IPv6 address")?;
            check_ipv6(host)?;
            (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':').ok_or("missing : after the ]")?) })
        }
        None if authority.matches(':').count() > 1 => {
            return Err(format!("write an IPv6 address in brackets, for example [::1]:{DEFAULT_PORT}"));
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    if host.is_empty() && port.is_none() {
        return Err("missing host".to_owned());
    }
    if host.is_empty() || host.bytes().all(|byte| byte.is_ascii_digit()) {
        let port = port.unwrap_or(host);
        return Err(format!(
            "missing host; for this machine write 127.0.0.1:{port}, and for a server on all interfaces 0.0.0.0:{port}"
        ));
    }
    let port = match port {
        None => default_port()?,
        Some("") => return Err("missing port after the colon".to_owned()),
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            port.parse().map_err(|_| format!("port {port} is above 65535"))?
        }
        Some(_) => return Err("the port is not a number".to_owned()),
    };
    if !host.contains(':') {
        check_host(host)?;
    }
    Ok(Address::Tcp { host: host.to_owned(), port })
}

/// The authority: between the scheme, if any, and a path.
fn authority(text: &str) -> Result<&str, String> {
    let rest = match text.split_once("://") {
        None => text,
        Some((scheme, rest)) => match scheme.to_ascii_lowercase().as_str() {
            "http" | "grpc" => rest,
            "https" | "grpcs" => {
                return Err(format!("write {rest}, and --tls to connect with TLS"));
            }
            _ => return Err(format!("{scheme}:// is not supported; write {rest}")),
        },
    };
    match rest.split_once('/') {
        None => Ok(rest),
        Some((authority, "")) => Ok(authority),
        Some((authority, _)) => Err(format!("a server address has no path; write {authority}")),
    }
}

/// An IPv6 address, perhaps with the zone (the interface) that a link-local one needs.
fn check_ipv6(host: &str) -> Result<(), String> {
    let (ip, zone) = host.split_once('%').map_or((host, None), |(ip, zone)| (ip, Some(zone)));
    if ip.parse::<Ipv6Addr>().is_err() {
        return Err("the text in brackets is not an IPv6 address".to_owned());
    }
    if zone == Some("") {
        return Err("missing interface after the %".to_owned());
    }
    Ok(())
}

fn check_host(host: &str) -> Result<(), String> {
    if host == "unix" {
        return Err("unix: begins the path of a socket; for a host of that name write unix. with the dot".to_owned());
    }
    if !host.is_ascii() {
        return Err("the host has non-ASCII letters; write its ASCII form, which begins with xn--".to_owned());
    }
    if let Some(odd) = host.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '.' | '_')) {
        return Err(format!("{odd:?} is not allowed in a host name"));
    }
    let is_numeric = host.split('.').all(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
    if is_numeric && host.split('.').count() == 4 && host.parse::<Ipv4Addr>().is_err() {
        return Err(format!("{host} is not an IPv4 address"));
    }
    Ok(())
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
    fn addresses_read_back() {
        for text in [
            "127.0.0.1:5000",
            "localhost:0",
            "[::1]:5000",
            "[fe80::1%eth0]:5000",
            "Chat.Example.Org:80",
            "unix:/tmp/hubbub.sock",
            "unix:relative",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    /// A regression: `--server chat.example.org` and `--server http://…` were refused, and so was an IPv6 address with
    /// a zone.
    #[test]
    fn common_forms_of_addresses_are_accepted() {
        for (text, meant) in [
            ("chat.example.org", "chat.example.org:7000"),
            ("[::1]", "[::1]:7000"),
            ("http://chat.example.org:80/", "chat.example.org:80"),
            ("GRPC://chat.example.org", "chat.example.org:7000"),
            ("127.0.0.1:5000/", "127.0.0.1:5000"),
            ("[fe80::1%eth0]:5000", "[fe80::1%eth0]:5000"),
            ("unix:///run/hubbub.sock", "unix:/run/hubbub.sock"),
        ] {
            assert_eq!(parse(text, || Ok(7000)).unwrap().to_string(), meant);
        }
        assert_eq!(" 127.0.0.1:1\n".parse::<Address>().unwrap().to_string(), "127.0.0.1:1");
    }

    #[test]
    fn an_invalid_address_is_refused_with_the_reason_and_the_remedy() {
        for (text, fault) in [
            ("", "missing host"),
            ("5000", "missing host; for this machine write 127.0.0.1:5000"),
            (":5000", "missing host; for this machine write 127.0.0.1:5000"),
            ("localhost:", "missing port after the colon"),
            ("localhost:65536", "port 65536 is above 65535"),
            ("localhost:x", "the port is not a number"),
            ("localhost:+1", "the port is not a number"),
            ("::1", "in brackets, for example [::1]:5000"),
            ("::1:5000", "in brackets"),
            ("[::x]:5000", "not an IPv6 address"),
            ("[fe80::1%]:5000", "missing interface"),
            ("[::1]5000", "missing : after the ]"),
            ("https://chat.example.org", "write chat.example.org, and --tls to connect with TLS"),
            ("ftp://chat.example.org", "ftp:// is not supported"),
            ("http://localhost:80/chat", "a server address has no path; write localhost:80"),
            ("ann@localhost:80", "give your name with --name"),
            ("a b:80", "contains a blank"),
            ("münchen.example:80", "xn--"),
            ("127.0.0.300:80", "not an IPv4 address"),
            ("what?:80", "is not allowed in a host name"),
            ("unix:", "missing path"),
            // Found by the fuzzer: it was shown as unix:5000, the path of a socket.
            ("unix", "write unix. with the dot"),
            ("grpc://unix:5000", "write unix. with the dot"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(
                error.contains(fault) && error.ends_with("(expected HOST:PORT, [IPV6]:PORT or unix:PATH)"),
                "{error}"
            );
        }
    }

    #[test]
    fn the_variable_sets_the_default_port() {
        assert_eq!(port(None), Ok(5000));
        assert_eq!(port(Some("")), Ok(5000));
        assert_eq!(port(Some("6000")), Ok(6000));
        for text in ["0", "65536", "x", " 1"] {
            assert_eq!(port(Some(text)), Err(InvalidPort(text.to_owned())));
        }
    }
}
