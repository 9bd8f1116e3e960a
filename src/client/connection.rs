//! A connection to a server, for both contracts.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use grpcio::{Channel, ChannelBuilder, Client, ConnectivityState, EnvBuilder, Environment, MetadataBuilder};

use super::backoff::Backoff;
use super::connect_error::ConnectError;
use super::diagnosis::{self, Proxy};
use super::limits::CONNECT_TIMEOUT;
use super::login::{Login, Presented};
use super::tls::ClientTls;
use crate::address::Address;
use crate::limits::{KEEPALIVE_TIME, KEEPALIVE_TIMEOUT};
use crate::startup::redirect_core_log;
use crate::threads::park::block_on_until;

/// The help texts of the programs for a server's address, short and long.
pub const SERVER_HELP: &str = "Server address [default: 127.0.0.1:5000]";
pub const SERVER_LONG_HELP: &str = "Server address: HOST, HOST:PORT, [IPV6]:PORT or unix:PATH [default: 127.0.0.1:5000; \
                                    the variable PORT sets another port]";

/// Opens connections. It owns the threads on which the gRPC library does its work.
#[derive(Clone)]
pub struct Connector {
    environment: Arc<Environment>,
    login: Option<Login>,
    tls: Option<ClientTls>,
}

/// A connection, with its own socket.
pub struct Connection {
    client: Client,
    /// What each call presents.
    presented: Option<Presented>,
}

impl Connector {
    /// `pollers` is how many threads share the work of all connections; one is enough for one connection.
    pub fn new(pollers: usize) -> Self {
        // Standard error may be a terminal in use.
        redirect_core_log();
        let environment = EnvBuilder::new().cq_count(pollers.max(1)).name_prefix("grpc").build();
        Self { environment: Arc::new(environment), login: None, tls: None }
    }

    /// The same, presenting a login with each call.
    pub fn with_login(self, login: Option<Login>) -> Self {
        Self { login, ..self }
    }

    /// The same, connecting with TLS, except to Unix sockets.
    pub fn with_tls(self, tls: Option<ClientTls>) -> Self {
        Self { tls, ..self }
    }

    /// Whether it connects with TLS.
    pub fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether nobody else can read what is sent to this server: with TLS, or on this machine.
    pub fn is_private(&self, address: &Address) -> bool {
        self.tls.is_some() || is_local(address)
    }

    /// Connects, or fails as soon as the reason is known: at the latest after 5 s, plus a few if a peer has to be
    /// probed.
    pub fn open(&self, address: &Address) -> Result<Connection, ConnectError> {
        self.open_by(address, Instant::now() + CONNECT_TIMEOUT)
    }

    /// The same with another deadline for the connection.
    pub fn open_by(&self, address: &Address, deadline: Instant) -> Result<Connection, ConnectError> {
        let tls = self.tls.as_ref().filter(|_| matches!(address, Address::Tcp { .. }));
        let is_private = self.is_private(address);
        let presented = self.login.as_ref().map(|login| login.present(is_private)).transpose()?;
        let route = find(address, deadline)?;
        let channel = channel(self.environment.clone(), address, &route, tls).connect(&route.target);
        if is_ready(&channel, deadline) {
            return Ok(Connection { client: Client::new(channel), presented });
        }
        // The library would retry on its own, with pauses of up to two minutes. The first failure ends this channel;
        // another attempt opens another connection.
        drop(channel);
        Err(diagnosis::diagnose(address, &route.found, route.proxy.as_ref(), tls))
    }

    /// Connects, and retries for `within` if another attempt may succeed. `on_retry` is called once, before the first
    /// pause, with the first failure.
    pub fn open_within(
        &self,
        address: &Address,
        within: Duration,
        on_retry: impl FnOnce(&ConnectError),
    ) -> Result<Connection, ConnectError> {
        let deadline = Instant::now() + within;
        let mut backoff = Backoff::new();
        let mut on_retry = Some(on_retry);
        loop {
            let error = match self.open(address) {
                Ok(connection) => return Ok(connection),
                Err(error) => error,
            };
            let pause = backoff.pause();
            if !error.is_transient() || Instant::now() + pause >= deadline {
                return Err(error);
            }
            if let Some(on_retry) = on_retry.take() {
                on_retry(&error);
            }
            thread::sleep(pause);
        }
    }
}

/// Whether the channel is connected before the deadline, and before its first failure.
fn is_ready(channel: &Channel, deadline: Instant) -> bool {
    let mut state = channel.check_connectivity_state(true);
    let mut has_begun = false;
    loop {
        match state {
            ConnectivityState::GRPC_CHANNEL_READY => return true,
            ConnectivityState::GRPC_CHANNEL_TRANSIENT_FAILURE | ConnectivityState::GRPC_CHANNEL_SHUTDOWN => {
                return false;
            }
            // The server has sent GOAWAY already.
            ConnectivityState::GRPC_CHANNEL_IDLE if has_begun => return false,
            ConnectivityState::GRPC_CHANNEL_IDLE => {}
            ConnectivityState::GRPC_CHANNEL_CONNECTING => has_begun = true,
        }
        if !wait_for_change(channel, state, deadline) {
            return false;
        }
        state = channel.check_connectivity_state(true);
    }
}

/// How to reach a server.
struct Route {
    /// The target for the library.
    target: String,
    found: Vec<SocketAddr>,
    proxy: Option<Proxy>,
}

/// Determines the one address for the library. Behind a proxy, that is the name, which the proxy resolves.
fn find(address: &Address, deadline: Instant) -> Result<Route, ConnectError> {
    let Address::Tcp { host, port } = address else {
        return Ok(Route { target: address.target(), found: Vec::new(), proxy: None });
    };
    if *port == 0 {
        return Err(ConnectError::PortZero(address.clone()));
    }
    if !is_local(address)
        && let Some(proxy) = Proxy::for_host(host)
    {
        return Ok(Route { target: proxied_target(host, *port), found: Vec::new(), proxy: Some(proxy) });
    }
    let found = diagnosis::resolve(host, *port, deadline)?;
    let chosen = match found[..] {
        [only] => only,
        _ => diagnosis::first_that_accepts(&found, deadline).map_err(|error| diagnosis::tcp_fault(address, &error))?,
    };
    Ok(Route { target: target(chosen), found: vec![chosen], proxy: None })
}

impl Connection {
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// The headers of a call: the login.
    pub(super) fn headers(&self) -> grpcio::Result<MetadataBuilder> {
        let mut headers = MetadataBuilder::new();
        if let Some(presented) = &self.presented {
            headers.add_str("authorization", presented.header())?;
        }
        Ok(headers)
    }

    pub(super) fn presented(&self) -> Option<&Presented> {
        self.presented.as_ref()
    }
}

/// Waits until the channel leaves the state. False means that the deadline passed first.
fn wait_for_change(channel: &Channel, state: ConnectivityState, deadline: Instant) -> bool {
    let left = deadline.saturating_duration_since(Instant::now());
    let mut change = Box::pin(channel.wait_for_state_change(state, left));
    block_on_until(&mut change, deadline).unwrap_or(false)
}

fn channel(environment: Arc<Environment>, address: &Address, route: &Route, tls: Option<&ClientTls>) -> ChannelBuilder {
    let builder = ChannelBuilder::new(environment);
    let builder = match tls {
        Some(tls) => builder.set_credentials(tls.credentials()),
        None => builder,
    };
    let builder = match tls.and_then(ClientTls::server_name) {
        Some(name) => builder.override_ssl_target(name),
        None => builder,
    };
    // The server's name, for any of its addresses. The library compares it with the certificate at each call.
    let builder = match address {
        Address::Tcp { .. } => builder.default_authority(authority(address, tls.and_then(ClientTls::server_name))),
        Address::Unix(_) => builder,
    };
    builder
        // Channels with equal arguments would share one socket, and with it the pause after a failed attempt.
        .use_local_subchannel_pool(true)
        // A server that vanished is detected after 40 s, in a silent room too: without the zero the library would stop
        // pinging after two pings without data.
        .keepalive_time(KEEPALIVE_TIME)
        .keepalive_timeout(KEEPALIVE_TIMEOUT)
        .keepalive_permit_without_calls(true)
        .http2_max_pings_without_data(0)
        // Its probes answer each small message with a ping without a benefit: messages are far below a window.
        .http2_bdp_probe(false)
        // The library must not retry on its own.
        .enable_retry(false)
        .enable_http_proxy(route.proxy.is_some())
        .primary_user_agent(concat!("hubbub/", env!("CARGO_PKG_VERSION")))
}

/// A server's name and port for a header: without the zone, which is valid on this machine only. `server_name` is the
/// name that the certificate must have, if that is not the name of the address.
fn authority(address: &Address, server_name: Option<&str>) -> String {
    let text = match (address, server_name) {
        (Address::Tcp { port, .. }, Some(name)) => Address::Tcp { host: name.to_owned(), port: *port }.to_string(),
        _ => address.to_string(),
    };
    match text.split_once('%').map(|(ip, rest)| (ip, rest.split_once(']'))) {
        Some((ip, Some((_, port)))) => format!("{ip}]{port}"),
        _ => text,
    }
}

/// The address for the library's client side, with its scheme.
fn target(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(address) => format!("ipv4:{address}"),
        SocketAddr::V6(address) if address.scope_id() != 0 => {
            format!("ipv6:%5B{}%25{}%5D:{}", address.ip(), address.scope_id(), address.port())
        }
        SocketAddr::V6(address) => format!("ipv6:%5B{}%5D:{}", address.ip(), address.port()),
    }
}

fn proxied_target(host: &str, port: u16) -> String {
    match host.parse() {
        Ok(ip) => target(SocketAddr::new(ip, port)),
        Err(_) => format!("dns:///{host}:{port}"),
    }
}

/// Whether the address is on this machine, so that no proxy is used.
pub fn is_local(address: &Address) -> bool {
    match address {
        Address::Unix(_) => true,
        Address::Tcp { host, .. } => match host.parse::<IpAddr>() {
            Ok(ip) => ip.is_loopback(),
            Err(_) => host.eq_ignore_ascii_case("localhost"),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn targets_are_valid_uris() {
        for (text, expected) in [
            ("127.1.2.3:5000", "ipv4:127.1.2.3:5000"),
            ("[::1]:80", "ipv6:%5B::1%5D:80"),
            ("[fe80::1%7]:80", "ipv6:%5Bfe80::1%257%5D:80"),
        ] {
            assert_eq!(target(text.parse().unwrap()), expected);
        }
        assert_eq!(proxied_target("dns", 5000), "dns:///dns:5000");
        for (text, local) in [("127.1.2.3:1", true), ("localhost:1", true), ("chat.example.org:1", false)] {
            assert_eq!(is_local(&text.parse().unwrap()), local);
        }
    }

    /// A regression: calls were refused if only the name of `--server-name` was in the certificate.
    #[test]
    fn the_authority_has_the_name_of_the_certificate() {
        for (address, name, expected) in [
            ("[fe80::1%eth0]:80", None, "[fe80::1]:80"),
            ("127.0.0.1:80", None, "127.0.0.1:80"),
            ("127.0.0.1:80", Some("chat.example.org"), "chat.example.org:80"),
            ("127.0.0.1:80", Some("::1"), "[::1]:80"),
        ] {
            assert_eq!(authority(&address.parse().unwrap(), name), expected);
        }
    }

    #[test]
    fn a_refused_connection_fails_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address: Address = listener.local_addr().unwrap().to_string().parse().unwrap();
        drop(listener);
        let start = Instant::now();
        let error = Connector::new(1).open(&address).err().unwrap();
        assert_eq!(error, ConnectError::NoServer(address.clone()));
        assert!(error.to_string().contains(&format!("no server answers at {address}: start one")));
        assert!(start.elapsed() < CONNECT_TIMEOUT);
    }

    #[test]
    fn a_silent_listener_fails_after_the_timeout() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address: Address = listener.local_addr().unwrap().to_string().parse().unwrap();
        let error = Connector::new(1).open(&address).err().unwrap();
        assert_eq!(error, ConnectError::Silent(address));
    }

    /// A regression: a mistyped host, a refused port and a socket without permission were all reported as "no server
    /// answers: start one".
    #[test]
    fn each_failure_has_its_reason_and_remedy() {
        let fault = |text: &str| Connector::new(1).open(&text.parse().unwrap()).err().unwrap().to_string();
        assert!(fault("unix:/nonexistent/hubbub.sock").starts_with("no socket at /nonexistent/hubbub.sock: start"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("left-over");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(fault(&format!("unix:{}", path.display())).starts_with("no server listens on the socket"));
        assert!(fault("127.0.0.1:0").starts_with("can't connect to port 0"));
        for (banner, expected) in [
            (&b"SSH-2.0-x\r\n"[..], "but an SSH server"),
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", "but a web server (HTTP/1.1 400 Bad Request)"),
            (b"\x15\x03\x01\0\x02\x02\x46", "expects TLS"),
            (b"", "closes them at once"),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            // Ends with the process: this server is never stopped.
            std::thread::spawn(move || {
                for mut stream in listener.incoming().flatten() {
                    let _ = std::io::Write::write_all(&mut stream, banner);
                }
            });
            let fault = fault(&address.to_string());
            assert!(fault.contains(expected), "{fault}");
        }
    }
}
