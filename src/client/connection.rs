//! A connection to a server, whatever is spoken over it.

use std::net::IpAddr;
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use grpcio::{Channel, ChannelBuilder, Client, ConnectivityState, EnvBuilder, Environment};
use thiserror::Error;

use crate::address::Address;
use crate::limits::{KEEPALIVE_TIME, KEEPALIVE_TIMEOUT};
use crate::park::block_on_until;

/// How the programs' help explains where a server is.
pub const SERVER_HELP: &str =
    "HOST:PORT, [IPV6]:PORT or unix:PATH, or HUBBUB_SERVER [default: 127.0.0.1:5000; PORT sets that port]";

/// How long a server may take to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no connection, with the remedy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConnectError {
    #[error("no server answers at {0}: start one with hubbub-server, or name another with --server")]
    NoServer(Address),
    #[error(
        "{0} gave no answer in {seconds} s: see whether a chat server listens there, or name another with --server",
        seconds = CONNECT_TIMEOUT.as_secs()
    )]
    Silent(Address),
}

/// Opens connections. It owns the threads on which the gRPC library does its work.
#[derive(Clone)]
pub struct Connector {
    environment: Arc<Environment>,
}

/// A connection: one socket of its own, shared with no other connection.
pub struct Connection {
    client: Client,
}

impl Connector {
    /// `pollers` is how many threads share the work of all connections; one is enough for one connection.
    pub fn new(pollers: usize) -> Self {
        redirect_library_log();
        let environment = EnvBuilder::new().cq_count(pollers.max(1)).name_prefix("grpc").build();
        Self { environment: Arc::new(environment) }
    }

    /// Connects, or fails as soon as it is clear that no server answers, at the latest after 5 s.
    pub fn open(&self, address: &Address) -> Result<Connection, ConnectError> {
        let channel = channel(self.environment.clone(), address).connect(&target(address));
        let deadline = Instant::now() + CONNECT_TIMEOUT;
        let mut state = channel.check_connectivity_state(true);
        loop {
            match state {
                ConnectivityState::GRPC_CHANNEL_READY => return Ok(Connection { client: Client::new(channel) }),
                // The library would go on trying by itself, behind our back and with pauses of up to two minutes.
                // The first failure ends this channel; who wants another attempt opens another connection.
                ConnectivityState::GRPC_CHANNEL_TRANSIENT_FAILURE | ConnectivityState::GRPC_CHANNEL_SHUTDOWN => {
                    return Err(ConnectError::NoServer(address.clone()));
                }
                ConnectivityState::GRPC_CHANNEL_IDLE | ConnectivityState::GRPC_CHANNEL_CONNECTING => {}
            }
            if !wait_for_change(&channel, state, deadline) {
                return Err(ConnectError::Silent(address.clone()));
            }
            state = channel.check_connectivity_state(true);
        }
    }
}

impl Connection {
    pub(super) fn client(&self) -> &Client {
        &self.client
    }
}

/// Waits until the channel leaves the state. False says that the deadline came first.
fn wait_for_change(channel: &Channel, state: ConnectivityState, deadline: Instant) -> bool {
    let left = deadline.saturating_duration_since(Instant::now());
    let mut change = Box::pin(channel.wait_for_state_change(state, left));
    block_on_until(&mut change, deadline).unwrap_or(false)
}

fn channel(environment: Arc<Environment>, address: &Address) -> ChannelBuilder {
    ChannelBuilder::new(environment)
        // Channels with equal arguments would share one socket, and with it the pause after a failed attempt.
        .use_local_subchannel_pool(true)
        // A server that vanished without a word is noticed after 40 s, in a silent room too: without the zero the
        // library would stop asking after two questions in a row.
        .keepalive_time(KEEPALIVE_TIME)
        .keepalive_timeout(KEEPALIVE_TIMEOUT)
        .keepalive_permit_without_calls(true)
        .http2_max_pings_without_data(0)
        // Its probes answer each small message with a ping and learn nothing: messages are far below a window.
        .http2_bdp_probe(false)
        // Nothing is ever sent again behind our back.
        .enable_retry(false)
        .enable_http_proxy(!is_local(address))
        .primary_user_agent(concat!("hubbub/", env!("CARGO_PKG_VERSION")))
}

/// The address as the library's client side wants it. The scheme is always written out, because the library would take
/// the host of `dns:5000` for one.
fn target(address: &Address) -> String {
    match address {
        Address::Tcp { host, port } => match host.parse() {
            Ok(IpAddr::V4(ip)) => format!("ipv4:{ip}:{port}"),
            Ok(IpAddr::V6(ip)) => format!("ipv6:%5B{ip}%5D:{port}"),
            Err(_) => format!("dns:///{host}:{port}"),
        },
        Address::Unix(_) => address.target(),
    }
}

/// Whether the address is on this machine, where a proxy has no place in between.
fn is_local(address: &Address) -> bool {
    match address {
        Address::Unix(_) => true,
        Address::Tcp { host, .. } => match host.parse::<IpAddr>() {
            Ok(ip) => ip.is_loopback(),
            Err(_) => host.eq_ignore_ascii_case("localhost"),
        },
    }
}

/// Sends what the C library has to say to `log`, in place of standard error, which may be a terminal in use.
fn redirect_library_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(grpcio::redirect_log);
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn targets_are_uris_that_the_library_reads_as_meant() {
        for (text, expected, local) in [
            ("127.1.2.3:5000", "ipv4:127.1.2.3:5000", true),
            ("[::1]:80", "ipv6:%5B::1%5D:80", true),
            ("chat.example.org:80", "dns:///chat.example.org:80", false),
            ("localhost:80", "dns:///localhost:80", true),
            ("dns:5000", "dns:///dns:5000", false),
            ("unix:/run/a b.sock", "unix:/run/a%20b.sock", true),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!((target(&address).as_str(), is_local(&address)), (expected, local));
        }
    }

    #[test]
    fn a_port_where_nobody_listens_is_told_at_once() {
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
    fn a_listener_that_never_answers_is_told_after_the_timeout() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address: Address = listener.local_addr().unwrap().to_string().parse().unwrap();
        let error = Connector::new(1).open(&address).err().unwrap();
        assert_eq!(error, ConnectError::Silent(address));
    }

    #[test]
    fn a_unix_socket_that_is_not_there_is_told_at_once() {
        let address: Address = "unix:/nonexistent/hubbub.sock".parse().unwrap();
        assert_eq!(Connector::new(1).open(&address).err(), Some(ConnectError::NoServer(address)));
    }
}
