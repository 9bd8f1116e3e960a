//! Finds a server's address, and the reason why it can't be reached. The gRPC library does neither: it waits up to 20 s
//! for each address of a name, and its failures carry no reason.

use std::env;
use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::connect_error::ConnectError;
use super::limits::{
    ADDRESS_STAGGER, ADDRESSES_MAX, DIAGNOSIS_ANSWER_WAIT, DIAGNOSIS_BANNER_WAIT, DIAGNOSIS_CONNECT_WAIT,
};
use super::probe::{self, OPENING};
use super::tls::ClientTls;
use crate::address::Address;
use crate::escape::escape;
use crate::threads::spawn;

/// What is known of a server that speaks HTTP/2, and was not connected in time.
const NOT_COMPLETED: &str = "the connection was not completed in time";

/// How much of a peer's line is shown.
const LINE_CHARS_MAX: usize = 120;

/// An HTTP proxy from the environment, with its variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    variable: &'static str,
    /// Host and port.
    place: String,
    has_credentials: bool,
}

/// Looks up a name. The thread that does so may outlast the deadline, since the system's resolver can't be interrupted.
pub fn resolve(host: &str, port: u16, deadline: Instant) -> Result<Vec<SocketAddr>, ConnectError> {
    let (found, answer) = channel();
    let name = host.to_owned();
    let look_up = move || {
        let _ =
            found.send((name.as_str(), port).to_socket_addrs().map(|all| all.take(ADDRESSES_MAX).collect::<Vec<_>>()));
    };
    let fault = |reason: &str| ConnectError::NameServers { host: host.to_owned(), reason: reason.to_owned() };
    spawn("resolve", look_up).map_err(|error| fault(&error.to_string()))?;
    match answer.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(Ok(addresses)) if !addresses.is_empty() => Ok(addresses),
        Ok(Err(error)) if error.to_string().contains("Temporary failure") => Err(fault("temporary failure")),
        Ok(_) => Err(ConnectError::NotFound(host.to_owned())),
        Err(_) => Err(fault("no answer in time")),
    }
}

/// The first of the addresses that accepts a connection. The next one is tried as soon as one fails, or after 250 ms
/// while one is pending, as curl and ssh do.
pub fn first_that_accepts(addresses: &[SocketAddr], deadline: Instant) -> Result<SocketAddr, io::Error> {
    let (tried, outcomes) = channel();
    let mut waiting = addresses.iter().copied();
    let (mut open, mut failure) = (0, None);
    let mut next = waiting.next();
    while next.is_some() || open > 0 {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        if let Some(address) = next.take() {
            let tried = tried.clone();
            let attempt = move || {
                let _ = tried.send((address, TcpStream::connect_timeout(&address, left).map(drop)));
            };
            spawn("connect", attempt)?;
            open += 1;
        }
        let is_last = waiting.len() == 0;
        match outcomes.recv_timeout(if is_last { left } else { left.min(ADDRESS_STAGGER) }) {
            Ok((address, Ok(()))) => return Ok(address),
            Ok((_, Err(error))) => {
                open -= 1;
                // A refusal is more informative than a timeout.
                if failure.is_none() || error.kind() == io::ErrorKind::ConnectionRefused {
                    failure = Some(error);
                }
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        next = waiting.next();
    }
    Err(failure.unwrap_or_else(|| io::ErrorKind::TimedOut.into()))
}

/// Why a connection that the library could not make failed. `found` has the addresses of a server that needs no proxy.
pub fn diagnose(
    address: &Address,
    found: &[SocketAddr],
    proxy: Option<&Proxy>,
    tls: Option<&ClientTls>,
) -> ConnectError {
    match (address, proxy) {
        (Address::Unix(path), _) => match UnixStream::connect(path) {
            Ok(stream) => peer_fault(address, &stream, |wait| stream.set_read_timeout(wait)),
            Err(error) => socket_fault(path, &error),
        },
        (Address::Tcp { .. }, Some(proxy)) => proxy_fault(address, proxy, tls),
        (Address::Tcp { .. }, None) => match connect(found) {
            Ok(stream) => server_fault(address, &stream, tls, || connect(found).ok()),
            Err(error) => tcp_fault(address, &error),
        },
    }
}

/// A new connection to a server, of which nothing is known yet.
pub fn open(address: &Address, deadline: Instant) -> Result<TcpStream, ConnectError> {
    let Address::Tcp { host, port } = address else { return Err(ConnectError::WithoutTls(address.clone())) };
    connect(&resolve(host, *port, deadline)?).map_err(|error| tcp_fault(address, &error))
}

/// Determines why a server, or whatever listens there, is not connected. `again` makes another connection.
fn server_fault(
    address: &Address,
    stream: &TcpStream,
    tls: Option<&ClientTls>,
    again: impl Fn() -> Option<TcpStream>,
) -> ConnectError {
    let deadline = Instant::now() + DIAGNOSIS_CONNECT_WAIT * 3;
    if let Some(tls) = tls
        && let Some(fault) = probe::fault(stream, address, tls, refusal_of, deadline)
    {
        return fault;
    }
    let another = match tls {
        Some(_) => again(),
        None => stream.try_clone().ok(),
    };
    let plain = match &another {
        Some(stream) => peer_fault(address, stream, |wait| stream.set_read_timeout(wait)),
        None => ConnectError::HungUp(address.clone()),
    };
    match (tls, &plain) {
        // It speaks HTTP/2, and does not refuse the connection.
        (Some(_), ConnectError::Failed { reason, .. }) if reason == NOT_COMPLETED => {
            ConnectError::WithoutTls(address.clone())
        }
        // A server with TLS closes the connection without a word.
        (None, ConnectError::HungUp(_) | ConnectError::Silent(_)) => match again() {
            Some(stream) if probe::chain(&stream, address, deadline).is_some() => {
                ConnectError::NeedsTls(address.clone())
            }
            _ => plain,
        },
        _ => plain,
    }
}

/// Converts a failure to connect to a TCP address.
pub fn tcp_fault(address: &Address, error: &io::Error) -> ConnectError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ConnectError::NoServer(address.clone()),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => ConnectError::Unanswered(address.clone()),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => ConnectError::NoRoute(address.clone()),
        _ => ConnectError::Failed { address: address.clone(), reason: error.to_string() },
    }
}

fn socket_fault(path: &Path, error: &io::Error) -> ConnectError {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::NotFound => ConnectError::NoSocket(path),
        io::ErrorKind::PermissionDenied => ConnectError::SocketForbidden(path),
        io::ErrorKind::ConnectionRefused => ConnectError::SocketAbandoned(path),
        _ => ConnectError::Failed { address: Address::Unix(path), reason: error.to_string() },
    }
}

fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut failure = io::ErrorKind::TimedOut.into();
    for address in addresses {
        match TcpStream::connect_timeout(address, DIAGNOSIS_CONNECT_WAIT) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Sends the request to the proxy itself.
fn proxy_fault(address: &Address, proxy: &Proxy, tls: Option<&ClientTls>) -> ConnectError {
    let fault = |fault: String| ConnectError::Proxy { proxy: proxy.to_string(), fault };
    let opened = proxy.place.to_socket_addrs().and_then(|found| connect(&found.collect::<Vec<_>>()));
    let stream = match opened {
        Ok(stream) => stream,
        Err(error) => return fault(format!("can't be reached: {error}")),
    };
    if proxy.has_credentials {
        return fault(format!("did not connect to {address}"));
    }
    let answer = stream
        .set_read_timeout(Some(DIAGNOSIS_CONNECT_WAIT * 5))
        .and_then(|()| write!(&stream, "CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n\r\n"))
        .map(|()| head(&stream));
    let status = match answer {
        Ok(head) if !head.is_empty() => first_line(&head),
        _ => return fault(format!("did not answer the request for {address}")),
    };
    match status.split(' ').nth(1) {
        Some("407") => fault(format!(
            "requires a user name and password ({status:?}): write http://USER:PASSWORD@{} into the variable",
            proxy.place
        )),
        Some("200") => server_fault(address, &stream, tls, || None),
        _ => fault(format!("refuses to connect to {address}: {status:?}")),
    }
}

/// Reads an answer of HTTP/1 up to its empty line, or as much as arrives.
fn head(mut stream: &TcpStream) -> Vec<u8> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while head.len() < 4096 && !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        head.push(byte[0]);
    }
    head
}

/// Determines what listens at an address that accepts connections but does not speak gRPC.
fn peer_fault<S>(address: &Address, mut stream: &S, wait: impl Fn(Option<Duration>) -> io::Result<()>) -> ConnectError
where
    for<'a> &'a S: io::Read + io::Write,
{
    let mut data = [0; 512];
    let mut read = |stream: &mut &S, time| match wait(Some(time)).and_then(|()| stream.read(&mut data)) {
        Ok(count) => Ok(data[..count].to_vec()),
        Err(error) => Err(error),
    };
    let is_silence = |error: &io::Error| matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
    let answer = match read(&mut stream, DIAGNOSIS_BANNER_WAIT) {
        Err(error) if is_silence(&error) => {
            stream.write_all(OPENING).and_then(|()| read(&mut stream, DIAGNOSIS_ANSWER_WAIT))
        }
        banner => banner,
    };
    let address = address.clone();
    match answer {
        Ok(data) => match (protocol_of(&data), refusal_of(&data)) {
            (_, Some(reason)) => ConnectError::Failed { address, reason },
            (Some(what), None) => ConnectError::NotHubbub { address, what },
            (None, None) if data.is_empty() => ConnectError::HungUp(address),
            // The peer does speak HTTP/2: it has just started, or is busy.
            (None, None) => ConnectError::Failed { address, reason: NOT_COMPLETED.to_owned() },
        },
        Err(error) if is_silence(&error) => ConnectError::Silent(address),
        Err(_) => ConnectError::HungUp(address),
    }
}

/// The protocol of a peer, by its first data. `None` for HTTP/2, and for no data.
pub fn protocol_of(data: &[u8]) -> Option<String> {
    match data {
        [] | [0, _, _, 4, ..] => None,
        [b'S', b'S', b'H', b'-', ..] => Some("an SSH server".to_owned()),
        [b'H', b'T', b'T', b'P', b'/', ..] => Some(format!("a web server ({})", first_line(data))),
        [0x15, 3, ..] => Some("a server that expects TLS: use --tls".to_owned()),
        _ => Some(format!("a server that answers \"{}\"", first_line(data))),
    }
}

/// The reason with which an HTTP/2 server refuses a connection (GOAWAY), if it does so at once.
pub fn refusal_of(mut data: &[u8]) -> Option<String> {
    const GOAWAY: u8 = 7;
    while let [a, b, c, kind, _, _, _, _, _, rest @ ..] = data {
        let (payload, rest) = rest.split_at_checked(u32::from_be_bytes([0, *a, *b, *c]) as usize)?;
        if *kind == GOAWAY {
            // The last stream and an error code precede the text.
            return payload.get(8..).map(first_line).filter(|reason| !reason.is_empty());
        }
        data = rest;
    }
    None
}

/// The first line of a peer's data, without control characters and escaped for a terminal.
fn first_line(data: &[u8]) -> String {
    let line = String::from_utf8_lossy(data);
    let start: String =
        line.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(LINE_CHARS_MAX).collect();
    escape(&start).into_owned()
}

impl Proxy {
    /// The proxy that the library uses for a host: this reads the same variables in the same order.
    pub fn for_host(host: &str) -> Option<Self> {
        Self::choose(host, |name| env::var(name).ok())
    }

    fn choose(host: &str, variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let names = ["grpc_proxy", "https_proxy", "http_proxy"];
        let (name, value) = names.into_iter().find_map(|name| Some((name, variable(name)?)))?;
        let authority = value.strip_prefix("http://")?.split('/').next().filter(|authority| !authority.is_empty())?;
        let exceptions = variable("no_grpc_proxy").or_else(|| variable("no_proxy")).unwrap_or_default();
        let host = host.to_ascii_lowercase();
        let mut entries = exceptions.split(',').map(|entry| entry.trim().to_ascii_lowercase());
        if entries.any(|entry| !entry.is_empty() && host.ends_with(&entry)) {
            return None;
        }
        let (has_credentials, place) = match authority.rsplit_once('@') {
            Some((_, place)) => (true, place),
            None => (false, authority),
        };
        // The library's own default.
        let place = if place.contains(':') { place.to_owned() } else { format!("{place}:443") };
        Some(Self { variable: name, place, has_credentials })
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (from the variable {})", self.place, self.variable)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    /// A regression: a name had two addresses, the first of a dead machine. Every attempt failed after 5 s, and none
    /// reached the second. Here the first one refuses, as for `localhost` without a listener on `::1`.
    #[test]
    fn the_next_address_is_tried_after_a_refusal() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let alive = listener.local_addr().unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(first_that_accepts(&[closed, alive], soon()).unwrap(), alive);
        assert_eq!(first_that_accepts(&[alive, closed], soon()).unwrap(), alive);
        assert_eq!(first_that_accepts(&[closed], soon()).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }

    /// The same if the first address does not answer: a listener with a full queue drops connections.
    #[test]
    fn the_next_address_is_tried_after_a_silence() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let alive = listener.local_addr().unwrap();
        let full = TcpListener::bind("127.0.0.1:0").unwrap();
        // SAFETY: the descriptor is that of an open socket.
        assert_eq!(unsafe { libc::listen(std::os::fd::AsRawFd::as_raw_fd(&full), 0) }, 0);
        let swallowing = full.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&swallowing, Duration::from_millis(200)) {
            queued.push(stream);
        }
        assert_eq!(first_that_accepts(&[swallowing, alive], soon()).unwrap(), alive);
        let short = Instant::now() + Duration::from_millis(300);
        assert_eq!(first_that_accepts(&[swallowing], short).unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn the_proxy_is_chosen_as_the_library_does() {
        let proxy = |host: &str, variables: &[(&str, &str)]| {
            let variable =
                |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            Proxy::choose(host, variable).map(|proxy| proxy.place)
        };
        let one = ("http_proxy", "http://user:word@proxy.example:3128/");
        assert_eq!(proxy("chat.example", &[one]).as_deref(), Some("proxy.example:3128"));
        assert_eq!(proxy("chat.example", &[one, ("grpc_proxy", "http://other")]).as_deref(), Some("other:443"));
        assert_eq!(proxy("chat.example", &[one, ("grpc_proxy", "")]), None);
        assert_eq!(proxy("Chat.example", &[one, ("no_proxy", "x, .EXAMPLE")]), None);
        assert_eq!(proxy("chat.example", &[]), None);
    }

    #[test]
    fn a_peer_is_identified_by_its_first_data() {
        for (data, expected) in [
            (&b"SSH-2.0-OpenSSH_9.6\r\n"[..], Some("an SSH server")),
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", Some("a web server (HTTP/1.1 400 Bad Request)")),
            (b"\x15\x03\x01\0\x02\x02\x46", Some("a server that expects TLS: use --tls")),
            (b"220 \x1b[31mmail\r\n", Some("a server that answers \"220 [31mmail\"")),
            // Found by the fuzzer: characters other than control characters act on a terminal too.
            ("\u{202e}liam".as_bytes(), Some("a server that answers \"\\u{202e}liam\"")),
            (b"\0\0\0\x04\0\0\0\0\0", None),
            (b"", None),
        ] {
            assert_eq!(protocol_of(data).as_deref(), expected);
        }
    }
}
