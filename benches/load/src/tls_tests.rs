//! Sessions over a stream in memory, which decides what each read and write transfers, and a pool over real sockets.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{HandshakeKind, ServerConfig, ServerConnection, StreamOwned};

use super::*;
use crate::clock::Clock;
use crate::endpoint::Endpoint;
use crate::http2::frames::write_settings;
use crate::pool::Pool;

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// No test of a correct program waits this long.
const TIMEOUT: Duration = Duration::from_secs(30);

/// An authority, and the certificate that it has signed.
struct Certificates {
    roots: RootCertStore,
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
}

/// Bytes on their way in one direction.
#[derive(Clone, Default)]
struct Wire(Rc<RefCell<VecDeque<u8>>>);

/// The client's stream: it transfers at most `step` bytes at a time, and none every other time if it `pauses`.
struct Narrow {
    from_server: Wire,
    to_server: Wire,
    step: usize,
    pauses: bool,
    /// The last read, and the last write, transferred nothing.
    read_paused: bool,
    write_paused: bool,
    /// Behind the last byte is the end, not a pause.
    ended: bool,
}

/// A server's session, and both directions.
struct Server {
    session: ServerConnection,
    from_client: Wire,
    to_client: Wire,
}

impl Certificates {
    /// For a server with this name.
    fn new(name: &str) -> Certificates {
        let authority_key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let mut roots = RootCertStore::empty();
        roots.add(authority.self_signed(&authority_key).unwrap().der().clone()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap();
        Certificates { roots, chain: vec![certificate.der().clone()], key }
    }

    fn client(&self) -> Arc<ClientConfig> {
        config_trusting(self.roots.clone())
    }

    /// With the key exchange of the C core's servers.
    fn server(&self, protocols: &[&[u8]]) -> Arc<ServerConfig> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let provider = CryptoProvider { kx_groups: vec![ring::kx_group::SECP256R1], ..ring::default_provider() };
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }
}

impl Read for Narrow {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(self.step);
        self.read_paused = self.pauses && !self.read_paused;
        if self.read_paused || self.step == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        match self.from_server.0.borrow_mut().read(&mut buffer[..length])? {
            0 if !self.ended => Err(io::ErrorKind::WouldBlock.into()),
            length => Ok(length),
        }
    }
}

impl Write for Narrow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_paused = self.pauses && !self.write_paused;
        if self.write_paused || self.step == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.to_server.0.borrow_mut().write(&bytes[..bytes.len().min(self.step)])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Server {
    /// Takes what has arrived, appends its plaintext, and sends what is due.
    fn step(&mut self, received: &mut Vec<u8>) -> Result<(), rustls::Error> {
        let mut incoming = self.from_client.0.borrow_mut();
        while !incoming.is_empty() {
            self.session.read_tls(&mut *incoming).unwrap();
            self.session.process_new_packets()?;
            // It ends with WouldBlock, and keeps what it has read.
            let _ = self.session.reader().read_to_end(received);
        }
        while self.session.wants_write() {
            self.session.write_tls(&mut *self.to_client.0.borrow_mut()).unwrap();
        }
        Ok(())
    }

    fn send(&mut self, bytes: &[u8]) {
        let mut sent = 0;
        while sent < bytes.len() {
            sent += self.session.writer().write(&bytes[sent..]).unwrap();
            self.session.write_tls(&mut *self.to_client.0.borrow_mut()).unwrap();
        }
        self.step(&mut Vec::new()).unwrap();
    }
}

fn pair(client: &Arc<ClientConfig>, server: Arc<ServerConfig>, step: usize) -> (TlsStream<Narrow>, Server) {
    let (from_server, to_server) = (Wire::default(), Wire::default());
    let (to_client, from_client) = (from_server.clone(), to_server.clone());
    let stream =
        Narrow { from_server, to_server, step, pauses: false, read_paused: false, write_paused: false, ended: false };
    let session = ServerConnection::new(server).unwrap();
    (TlsStream::new(stream, client, ADDRESS).unwrap(), Server { session, from_client, to_client })
}

/// A pair with a certificate for the address, after its handshake.
fn connected() -> (TlsStream<Narrow>, Server) {
    let certificates = Certificates::new("127.0.0.1");
    let (mut client, mut server) = pair(&certificates.client(), certificates.server(&[HTTP2]), usize::MAX);
    for _ in 0..3 {
        client.flush().unwrap();
        server.step(&mut Vec::new()).unwrap();
        assert!(would_block(client.read(&mut [0; 9])));
    }
    assert!(!client.session.is_handshaking());
    (client, server)
}

fn would_block<V>(result: io::Result<V>) -> bool {
    result.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// The error of a handshake.
fn refusal(mut client: TlsStream<Narrow>, mut server: Server) -> String {
    for _ in 0..3 {
        client.flush().unwrap();
        // It may get an alert.
        let _ = server.step(&mut Vec::new());
        match client.read(&mut [0; 9]) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return error.to_string(),
            read => assert!(would_block(read)),
        }
    }
    "none".to_owned()
}

#[test]
fn all_bytes_pass_a_narrow_stream() {
    let data: Vec<u8> = (0..100_000u32).map(|number| ((number * number) >> 8) as u8).collect();
    let certificates = Certificates::new("127.0.0.1");
    for step in [1, 7, 1_000, READ_AHEAD_BYTES] {
        let data = if step == 1 { &data[..20_000] } else { &data };
        let (mut client, mut server) = pair(&certificates.client(), certificates.server(&[HTTP2]), step);
        client.stream_mut().pauses = true;
        server.session.set_buffer_limit(None);
        server.session.writer().write_all(data).unwrap();
        let (mut sent, mut received, mut received_there) = (0, Vec::new(), Vec::new());
        let mut buffer = [0; 3_000];
        // Every other turn transfers a byte at least, and records have more bytes than their content.
        let turns_max = 20 * data.len();
        for turn in 0.. {
            assert!(turn < turns_max, "step {step}: {sent} bytes sent, {} received", received.len());
            while sent < data.len() {
                match client.write(&data[sent..]) {
                    Ok(length) => sent += length,
                    error => {
                        assert!(would_block(error));
                        break;
                    }
                }
            }
            let flushed = client.flush();
            assert!(flushed.is_ok() || would_block(flushed));
            server.step(&mut received_there).unwrap();
            match client.read(&mut buffer) {
                Ok(length) => received.extend_from_slice(&buffer[..length]),
                error => assert!(would_block(error)),
            }
            if (received.len(), received_there.len()) == (data.len(), data.len()) {
                break;
            }
        }
        assert!(received == data && received_there == data, "step {step}");
    }
}

#[test]
fn a_full_session_takes_no_more_until_the_stream_does() {
    let (mut client, mut server) = connected();
    client.stream_mut().step = 0;
    let chunk = [7; 50_000];
    assert_eq!(client.write(&chunk).unwrap(), chunk.len());
    let more = client.write(&chunk).unwrap();
    assert!(more < chunk.len(), "the session's buffer has a bound");
    assert!(would_block(client.write(&chunk)));
    client.stream_mut().step = usize::MAX;
    assert_eq!(client.write(&chunk).unwrap(), chunk.len());
    client.flush().unwrap();
    let mut received = Vec::new();
    server.step(&mut received).unwrap();
    assert_eq!(received.len(), 2 * chunk.len() + more);
}

#[test]
fn what_the_session_holds_is_read_without_the_stream() {
    let (mut client, mut server) = connected();
    server.send(&[5; 20_000]);
    let mut received = client.read(&mut [0; 10]).unwrap();
    assert_eq!(received, 10);
    // All of it has left the stream.
    assert!(client.stream_mut().from_server.0.borrow().is_empty());
    assert!(client.may_have_more());
    while client.may_have_more() {
        received += client.read(&mut [0; 999]).unwrap();
    }
    assert_eq!(received, 20_000);
    assert!(would_block(client.read(&mut [0; 10])));
    // A buffer that is full exactly at the end may leave something behind.
    server.send(&[6; 10]);
    assert_eq!(client.read(&mut [0; 10]).unwrap(), 10);
    assert!(client.may_have_more());
    assert!(would_block(client.read(&mut [0; 10])) && !client.may_have_more());
}

#[test]
fn one_read_fills_a_large_buffer_from_many_records() {
    let (mut client, mut server) = connected();
    server.send(&[5; 100_000]);
    let mut buffer = vec![0; 128 << 10];
    assert_eq!(client.read(&mut buffer).unwrap(), 100_000);
    assert!(!client.may_have_more());
}

#[test]
fn the_end_follows_the_bytes_before_it() {
    for notice in [true, false] {
        let (mut client, mut server) = connected();
        server.send(b"last words");
        if notice {
            server.session.send_close_notify();
            server.step(&mut Vec::new()).unwrap();
        }
        client.stream_mut().ended = true;
        let mut received = Vec::new();
        client.read_to_end(&mut received).unwrap();
        assert_eq!(received, b"last words");
    }
}

#[test]
fn an_error_follows_the_bytes_before_it() {
    let (mut client, mut server) = connected();
    server.send(b"last words");
    client.stream_mut().from_server.0.borrow_mut().extend([9; 100]);
    let mut buffer = [0; 99];
    assert_eq!(client.read(&mut buffer).unwrap(), 10);
    assert!(client.may_have_more());
    assert!(client.read(&mut buffer).unwrap_err().to_string().contains("does not speak TLS"));
}

#[test]
fn a_handshake_needs_one_hello() {
    let (client, _server) = connected();
    assert_eq!(client.session.handshake_kind(), Some(HandshakeKind::Full));
}

#[test]
fn a_client_that_leaves_says_so() {
    let (mut client, mut server) = connected();
    client.write_all(b"bye").unwrap();
    client.close().unwrap();
    let mut received = Vec::new();
    server.step(&mut received).unwrap();
    assert_eq!((&received[..], server.session.reader().read(&mut [0]).unwrap()), (&b"bye"[..], 0));
}

#[test]
fn servers_that_are_not_trusted_are_named() {
    let [ours, others] = [Certificates::new("127.0.0.1"), Certificates::new("127.0.0.1")];
    let elsewhere = Certificates::new("127.0.0.2");
    let handshake = |client: &Certificates, server: &Certificates, protocols: &[&[u8]]| {
        let (client, server) = pair(&client.client(), server.server(protocols), usize::MAX);
        refusal(client, server)
    };
    assert_eq!(handshake(&ours, &ours, &[HTTP2]), "none");
    let error = handshake(&ours, &others, &[HTTP2]);
    assert!(error.contains("not signed by the authority in --ca"), "{error}");
    let error = handshake(&elsewhere, &elsewhere, &[HTTP2]);
    assert!(error.contains("is refused") && error.contains("127.0.0.2"), "{error}");
    let error = handshake(&ours, &ours, &[]);
    assert!(error.contains("HTTP/2"), "{error}");
}

#[test]
fn servers_without_tls_are_named() {
    let certificates = Certificates::new("127.0.0.1");
    let config = certificates.client();
    let (client, _server) = pair(&config, certificates.server(&[HTTP2]), usize::MAX);
    let (mut plain, mut closing) = (client, pair(&config, certificates.server(&[HTTP2]), usize::MAX).0);
    let mut settings = Vec::new();
    write_settings(&mut settings, 77);
    plain.stream_mut().from_server.0.borrow_mut().extend(settings);
    let error = plain.read(&mut [0; 9]).unwrap_err().to_string();
    assert!(error.contains("does not speak TLS"), "{error}");
    closing.stream_mut().ended = true;
    let error = closing.read(&mut [0; 9]).unwrap_err().to_string();
    assert!(error.contains("during the TLS handshake"), "{error}");
}

#[test]
fn a_pool_connects_over_tls() {
    const CLIENTS: usize = 3;
    let certificates = Certificates::new("127.0.0.1");
    let (listener, server_config) = (TcpListener::bind((ADDRESS, 0)).unwrap(), certificates.server(&[HTTP2]));
    let server = Endpoint { address: listener.local_addr().unwrap(), tls: Some(certificates.client()), login: None };
    let served = thread::spawn(move || {
        let mut streams = Vec::new();
        for _ in 0..CLIENTS {
            let (socket, _) = listener.accept().unwrap();
            socket.set_read_timeout(Some(TIMEOUT)).unwrap();
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&server_config)).unwrap(), socket);
            let mut request = Vec::new();
            while !contains(&request, b"hubbub-load") {
                let mut buffer = [0; 100];
                let length = stream.read(&mut buffer).unwrap();
                request.extend_from_slice(&buffer[..length]);
            }
            assert!(contains(&request, b"\x05https") && contains(&request, b"/a/b"));
            let mut settings = Vec::new();
            write_settings(&mut settings, 77);
            stream.write_all(&settings).unwrap();
            streams.push(stream);
        }
        for mut stream in streams {
            // It fails if the client leaves without a notice.
            stream.read_to_end(&mut Vec::new()).unwrap();
        }
    });
    let pool = Pool::open(&server, "/a/b", CLIENTS, Clock::start()).unwrap();
    for connection in pool.connections {
        connection.leave().unwrap();
    }
    served.join().unwrap();
}

#[test]
fn a_pool_explains_a_server_that_closes() {
    let listener = TcpListener::bind((ADDRESS, 0)).unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let served = thread::spawn(move || drop(listener.accept().unwrap()));
    let plain = Endpoint { address, tls: None, login: None };
    let error = Pool::open(&plain, "/a/b", 1, Clock::start()).err().unwrap();
    served.join().unwrap();
    assert!(format!("{error:#}").contains("--ca"), "{error:#}");
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
