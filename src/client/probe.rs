//! A connection that only finds out what a server shows, and why the C core refuses it.
//!
//! It accepts every certificate: nothing is sent over it that would matter to whoever answers. The verdict on the
//! certificate is recorded.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use super::connect_error::ConnectError;
use super::tls::{ClientTls, Origin};
use crate::address::Address;
use crate::certificates::{Facts, Fault, Fingerprint};
use crate::escape::escape;

/// HTTP/2's preface with empty settings, as a gRPC client sends it.
pub const OPENING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// What a server has shown.
struct Seen {
    /// The server's own certificate first.
    chain: Vec<CertificateDer<'static>>,
    /// Whether the authorities of the client, if any, have signed it.
    is_trusted: bool,
    asks_for_certificate: bool,
    /// What it said after the handshake; an error if it closed the connection.
    answer: io::Result<Vec<u8>>,
}

/// The certificates that the server at the other end of a new connection shows, its own first. `None` if it does not
/// speak TLS.
pub fn chain(stream: &TcpStream, address: &Address, deadline: Instant) -> Option<Vec<CertificateDer<'static>>> {
    look(stream, host(address), None, deadline).map(|seen| seen.chain)
}

/// Why the C core could not connect with TLS over a new connection; `None` if the peer does not speak it. `refusal` finds
/// the reason in what an HTTP/2 server says that refuses a connection.
pub fn fault(
    stream: &TcpStream,
    address: &Address,
    tls: &ClientTls,
    refusal: impl Fn(&[u8]) -> Option<String>,
    deadline: Instant,
) -> Option<ConnectError> {
    let name = tls.server_name().unwrap_or(host(address));
    let seen = look(stream, name, Some(tls), deadline)?;
    let address = address.clone();
    let Some(Ok(facts)) = seen.chain.first().map(Facts::of) else {
        return Some(ConnectError::Failed { address, reason: "its certificate is malformed".to_owned() });
    };
    // First what the user can't mend by trusting it.
    match facts.check_time(SystemTime::now()) {
        Err(Fault::Expired(at)) => return Some(ConnectError::Expired { address, at }),
        Err(Fault::NotYetValid(from)) => return Some(ConnectError::NotYetValid { address, from }),
        _ => {}
    }
    if !seen.is_trusted {
        let shown = seen.chain.last().map(|certificate| Fingerprint::of(certificate));
        return Some(match (tls.origin(), shown) {
            (Origin::Remembered(file), Some(shown)) => {
                ConnectError::AuthorityChanged { address, file: file.clone(), shown }
            }
            _ => ConnectError::Untrusted { address, issuer: escape(&facts.issuer).into_owned() },
        });
    }
    if !facts.is_for(name) {
        let names = escape(&facts.names.join(", ")).into_owned();
        return Some(ConnectError::OtherName { address, expected: name.to_owned(), names });
    }
    Some(match (seen.answer, tls.identity()) {
        (Ok(data), _) if !data.is_empty() => match refusal(&data) {
            Some(reason) => ConnectError::Failed { address, reason },
            None => ConnectError::Failed { address, reason: "the connection was not completed in time".to_owned() },
        },
        (_, None) if seen.asks_for_certificate => ConnectError::CertificateNeeded(address),
        (_, Some(_)) if seen.asks_for_certificate => ConnectError::CertificateRefused(address),
        _ => ConnectError::HungUp(address),
    })
}

/// The name of a server.
fn host(address: &Address) -> &str {
    match address {
        // The zone is valid on this machine only.
        Address::Tcp { host, .. } => host.split('%').next().unwrap_or_default(),
        Address::Unix(_) => "localhost",
    }
}

/// Makes a handshake, and reads what the server says next. `None` if it does not speak TLS.
fn look(stream: &TcpStream, name: &str, tls: Option<&ClientTls>, deadline: Instant) -> Option<Seen> {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(tls.map(ClientTls::authorities).unwrap_or_default().iter().cloned());
    let verifier = rustls::client::WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let recorder = Arc::new(Recorder {
        provider: Arc::clone(&provider),
        // Without roots there is none.
        verifier: verifier.build().ok(),
        pinned: tls.map(ClientTls::authorities).unwrap_or_default().to_vec(),
        seen: Mutex::default(),
    });
    let identity = tls.and_then(ClientTls::identity).and_then(|identity| identity.certified_key()).map(Arc::new);
    let asked = Arc::new(Asked { identity, is_asked: AtomicBool::new(false) });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&recorder) as _)
        .with_client_cert_resolver(Arc::clone(&asked) as _);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from(name.to_owned()).or_else(|_| ServerName::try_from("localhost")).ok()?;
    let mut connection = ClientConnection::new(Arc::new(config), name).ok()?;
    let mut timed = Timed { stream, deadline };
    let answer = converse(&mut connection, &mut timed);
    let (chain, is_trusted) = std::mem::take(&mut *recorder.seen.lock());
    let asks_for_certificate = asked.is_asked.load(Ordering::Relaxed);
    (!chain.is_empty()).then_some(Seen { chain, is_trusted, asks_for_certificate, answer })
}

/// Begins HTTP/2, and reads the first answer.
fn converse(connection: &mut ClientConnection, stream: &mut Timed<'_>) -> io::Result<Vec<u8>> {
    let mut stream = rustls::Stream::new(connection, stream);
    stream.write_all(OPENING)?;
    stream.flush()?;
    let mut data = vec![0; 512];
    let count = stream.read(&mut data)?;
    data.truncate(count);
    Ok(data)
}

/// A connection whose reads and writes all end by the deadline.
struct Timed<'a> {
    stream: &'a TcpStream,
    deadline: Instant,
}

impl Timed<'_> {
    fn left(&self) -> io::Result<Option<Duration>> {
        match self.deadline.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(Some(left)),
        }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Accepts every certificate, and records it and the verdict on it.
#[derive(Debug)]
struct Recorder {
    provider: Arc<CryptoProvider>,
    verifier: Option<Arc<rustls::client::WebPkiServerVerifier>>,
    /// Certificates that are trusted themselves, also as a server's own.
    pinned: Vec<CertificateDer<'static>>,
    // A leaf: held for one assignment.
    seen: Mutex<(Vec<CertificateDer<'static>>, bool)>,
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = self
            .verifier
            .as_ref()
            .map(|verifier| verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now));
        let is_trusted = match verdict {
            // The name is checked last, and reported by itself.
            Some(
                Ok(_)
                | Err(Error::InvalidCertificate(
                    CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
                )),
            ) => true,
            _ => self.pinned.contains(end_entity),
        };
        let chain = [end_entity].into_iter().chain(intermediates).map(|certificate| certificate.clone().into_owned());
        *self.seen.lock() = (chain.collect(), is_trusted);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Records whether the server asks for a certificate.
#[derive(Debug)]
struct Asked {
    identity: Option<Arc<CertifiedKey>>,
    is_asked: AtomicBool,
}

impl ResolvesClientCert for Asked {
    fn resolve(&self, _root_hint_subjects: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.is_asked.store(true, Ordering::Relaxed);
        self.identity.clone()
    }

    fn has_certs(&self) -> bool {
        true
    }
}
