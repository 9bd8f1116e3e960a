//! The bounds on connections, over TLS.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hubbub::client::ClientTls;
use hubbub::server::ServerConfig;
use hubbub::server::config::TlsFiles;
use hubbub::wire::CHAT_CLIENT;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::authority::Authority;
use super::{complaint, printed, serve, text};
use crate::support::raw::{END_HEADERS, HEADERS, PREFACE, RST_STREAM, SETTINGS, frame, headers};
use crate::support::{DEADLINE, ephemeral, start_with, target, wait_for};

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A connection that has begun HTTP/2 over TLS.
fn connect(target: &str, authority: &Authority) -> Stream {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).expect("a certificate")).expect("an authority");
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("it has versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from("localhost").expect("a name");
    let connection = ClientConnection::new(Arc::new(config), name).expect("a connection");
    let stream = TcpStream::connect(target).expect("the server listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout is set");
    let mut stream = StreamOwned::new(connection, stream);
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).expect("the server reads");
    stream
}

/// The budget of a connection counts what is inside of TLS.
#[test]
fn rapid_resets_end_their_connection() {
    let authority = Authority::new();
    let mut server = serve(&authority.server("server"), &[]);
    let mut stream = connect(server.target(), &authority);
    let open = headers(CHAT_CLIENT.name, None);
    for number in 0..20_000_u32 {
        let stream_id = 2 * number + 1;
        let cancel = frame(RST_STREAM, 0, stream_id, &8_u32.to_be_bytes());
        if stream.write_all(&[frame(HEADERS, END_HEADERS, stream_id, &open), cancel].concat()).is_err() {
            break;
        }
    }
    // What the server said may be lost with the connection, to which more was sent.
    server.wait_for_log("connections closed because too many of their streams were reset");
    let ended = stream.read_to_end(&mut Vec::new());
    assert!(!ended.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)));
    printed(server.target(), &["--ca", text(&authority.file), "rooms"]);
}

#[test]
fn an_address_has_so_many_connections_and_its_clients_read_why() {
    let authority = Authority::new();
    let server = serve(&authority.server("server"), &["--limit-loopback", "--connections-per-address", "5"]);
    let mut held: Vec<_> = (0..5)
        .map(|_| {
            let mut stream = connect(server.target(), &authority);
            stream.read_exact(&mut [0]).expect("the server speaks HTTP/2");
            stream
        })
        .collect();
    let arguments = ["--ca", text(&authority.file), "rooms"];
    let said = complaint(server.target(), &arguments);
    assert!(said.contains("your address has 5 connections open"), "{said}");
    held.pop();
    wait_for("the place of a connection that ended", || super::hubbub(server.target(), &arguments).status.success());
}

/// Whatever is not TLS, and a handshake that is not completed.
#[test]
fn connections_that_do_not_become_tls_are_closed_and_take_no_seat() {
    let authority = Authority::new();
    let pair = authority.server("server");
    let files = TlsFiles { certificate: pair.certificate, key: pair.key, client_ca: None };
    let handshake_timeout = Duration::from_secs(2);
    let server = start_with(ServerConfig { tls: Some(files), handshake_timeout, ..ephemeral() });
    let half = client_hello(0x03);
    let preface = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    for (what, bytes) in [
        ("nothing", &b""[..]),
        ("HTTP/2 without TLS", &preface),
        ("HTTP/1.1", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("half a handshake", &half),
        ("half a record", &half[..9]),
        ("an endless record", &[0x16, 3, 1, 0xff, 0xff]),
    ] {
        let mut stream = TcpStream::connect(target(&server)).expect("the server listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout is set");
        let start = Instant::now();
        stream.write_all(bytes).expect("the server reads");
        let mut said = Vec::new();
        // The server may also reset the connection.
        let _ = stream.read_to_end(&mut said);
        assert!(start.elapsed() < handshake_timeout * 4, "{what} is closed after {:?}", start.elapsed());
        assert!(!said.starts_with(b"HTTP") && !said.starts_with(&[0, 0]), "{what}: {said:?}");
        assert_eq!(server.client_count(), 0, "{what}");
    }
    assert!(ClientTls::trusting(&authority.file).is_ok());
}

/// A handshake's first message, of this minor version of TLS 1.x: with what the server needs for TLS 1.2.
fn client_hello(minor: u8) -> Vec<u8> {
    let suites = [0xc0, 0x2b, 0xc0, 0x09, 0xc0, 0x0a];
    let extensions = [0, 0x0a, 0, 4, 0, 2, 0, 0x17, 0, 0x0b, 0, 2, 1, 0, 0, 0x0d, 0, 4, 0, 2, 4, 3];
    let mut body = vec![3, minor];
    body.extend([7; 32]);
    body.push(0);
    body.extend([0, suites.len() as u8]);
    body.extend(suites);
    body.extend([1, 0, 0, extensions.len() as u8]);
    body.extend(extensions);
    let mut message = vec![1, 0, 0, body.len() as u8];
    message.extend(body);
    [&[0x16, 3, 1, 0, message.len() as u8], &message[..]].concat()
}

#[test]
fn old_versions_of_tls_are_refused() {
    const HANDSHAKE: u8 = 0x16;
    let authority = Authority::new();
    let server = serve(&authority.server("server"), &[]);
    for (minor, is_served) in [(3, true), (2, false), (1, false), (0, false)] {
        let mut stream = TcpStream::connect(server.target()).expect("the server listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout is set");
        stream.write_all(&client_hello(minor)).expect("the server reads");
        let mut first = [0];
        let answers = matches!(stream.read(&mut first), Ok(1)) && first[0] == HANDSHAKE;
        assert_eq!(answers, is_served, "TLS 1.{}", i32::from(minor) - 1);
    }
}
