//! A client's TLS over a stream that does not block.
//!
//! Between the caller and the peer there are two buffers of the session, and both matter to an event loop that is
//! woken only by changes of the socket:
//!
//! - Received bytes may be in the session, or read ahead, when the socket has nothing left. So a read continues until
//!   the caller's buffer is full or nothing more can be decrypted, and [`TlsStream::may_have_more`] tells which.
//! - Written bytes are in the session until `flush` has passed them on, as in a `BufWriter`. `flush` fails with
//!   `WouldBlock` if the socket did not take all; call it again when the socket is writable. The session also has
//!   output of its own, so `flush` is due after each read that has emptied the socket.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::TLS13;
use rustls::{CertificateError, ClientConfig, ClientConnection, InvalidMessage, RootCertStore};

/// The protocol's name in the handshake (RFC 7301).
const HTTP2: &[u8] = b"h2";
/// How much is read from the socket at once: two records of the largest size. The session alone reads 4 KiB at a time.
const READ_AHEAD_BYTES: usize = 32 << 10;

/// A TLS session and the stream below it.
pub struct TlsStream<T> {
    /// The stream, and the bytes that were read from it and not yet decrypted.
    below: BufReader<T>,
    session: ClientConnection,
    /// The last read from the stream returned less than it could have.
    below_short: bool,
    /// The last read has left nothing behind, here or in the stream.
    drained: bool,
    /// The error that the next read without bytes returns.
    failure: Option<io::Error>,
}

/// Why a connection has no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    #[error("the server's certificate is not signed by the authority in --ca")]
    Authority,
    #[error("the server's certificate is refused: {0}")]
    Certificate(CertificateError),
    #[error("the server does not speak TLS: omit --ca")]
    NotTls,
    #[error("the server closed the connection during the TLS handshake")]
    Closed,
    #[error("the server did not choose HTTP/2 (ALPN h2) in the TLS handshake")]
    NoHttp2,
    #[error("TLS: {0}")]
    Session(rustls::Error),
}

/// Why `--ca` can't be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error("can't be read: {0}")]
    File(io::Error),
    #[error("is not PEM: {0}")]
    Pem(pem::Error),
    #[error("has no certificate")]
    Empty,
    #[error("has a certificate that can't be used: {0}")]
    Certificate(rustls::Error),
}

/// What all sessions of a run share: they trust the authorities in a PEM file only, and ask for HTTP/2.
///
/// No session resumes another, so each connection costs a full handshake, as that of a new client does.
pub fn client_config(ca: &Path) -> Result<Arc<ClientConfig>, AuthorityError> {
    let fault = |error| match error {
        pem::Error::Io(error) => AuthorityError::File(error),
        error => AuthorityError::Pem(error),
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).map_err(fault)? {
        roots.add(certificate.map_err(fault)?).map_err(AuthorityError::Certificate)?;
    }
    if roots.is_empty() {
        return Err(AuthorityError::Empty);
    }
    Ok(config_trusting(roots))
}

/// The key exchange that is offered first is P-256, as by Hubbub's own clients. The C core's servers know no other: after
/// an offer of X25519 they ask for a second hello, which costs a round trip and changes what a handshake costs.
fn config_trusting(roots: RootCertStore) -> Arc<ClientConfig> {
    let kx_groups = vec![ring::kx_group::SECP256R1, ring::kx_group::X25519];
    let provider = CryptoProvider { kx_groups, ..ring::default_provider() };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])
        .expect("ring has cipher suites of TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![HTTP2.to_vec()];
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

impl<T: Read + Write> TlsStream<T> {
    /// A session with the server at `address`, for which its certificate must be valid. The next `flush` begins the
    /// handshake.
    pub fn new(stream: T, config: &Arc<ClientConfig>, address: IpAddr) -> io::Result<TlsStream<T>> {
        let name = ServerName::IpAddress(address.into());
        let session = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        let below = BufReader::with_capacity(READ_AHEAD_BYTES, stream);
        Ok(TlsStream { below, session, below_short: false, drained: false, failure: None })
    }

    /// The stream, to register it for events.
    pub fn stream_mut(&mut self) -> &mut T {
        self.below.get_mut()
    }

    /// Whether the last read may have left something behind, or an error: the stream may report no event for it.
    pub fn may_have_more(&self) -> bool {
        !self.drained
    }

    /// Tells the server that nothing more follows, as far as the stream takes it.
    pub fn close(&mut self) -> io::Result<()> {
        self.session.send_close_notify();
        self.flush()
    }

    /// Decrypts the next bytes of the stream, or records that there are none for now.
    fn fetch(&mut self) -> io::Result<()> {
        let reads_stream = self.below.buffer().is_empty();
        let available = match self.below.fill_buf() {
            Ok(bytes) => bytes.len(),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected => {
                    self.drained = true;
                    return Ok(());
                }
                io::ErrorKind::Interrupted => return Ok(()),
                _ => return Err(error),
            },
        };
        if reads_stream {
            // The end of the stream is not short: the next read reports it.
            self.below_short = (1..READ_AHEAD_BYTES).contains(&available);
        }
        let handshaking = self.session.is_handshaking();
        self.session.read_tls(&mut self.below)?;
        if let Err(error) = self.session.process_new_packets() {
            // The session has an alert for the server. The error matters more than whether the alert can be sent.
            let _ = self.flush();
            return Err(io::Error::other(TlsFault::of(error)));
        }
        if handshaking && !self.session.is_handshaking() && self.session.alpn_protocol() != Some(HTTP2) {
            return Err(io::Error::other(TlsFault::NoHttp2));
        }
        self.drained = self.below_short && self.below.buffer().is_empty();
        Ok(())
    }
}

impl<T: Read + Write> Read for TlsStream<T> {
    /// Reads until the buffer is full or the stream is empty. The bytes before an error come first.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.drained = false;
        let mut filled = 0;
        while filled < buffer.len() {
            match self.session.reader().read(&mut buffer[filled..]) {
                // The server has closed the session.
                Ok(0) => break,
                Ok(length) => filled += length,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock if self.drained || self.failure.is_some() => break,
                    io::ErrorKind::WouldBlock => self.failure = self.fetch().err(),
                    io::ErrorKind::UnexpectedEof if self.session.is_handshaking() => {
                        return Err(io::Error::other(TlsFault::Closed));
                    }
                    // The stream has ended without a notice, as those of gRPC's servers do. Nothing is lost unseen,
                    // because every delivery is checked.
                    io::ErrorKind::UnexpectedEof => break,
                    _ => return Err(error),
                },
            }
        }
        // A full buffer may have left something in the session.
        self.drained &= filled < buffer.len();
        if filled == 0 {
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            if self.drained {
                return Err(io::ErrorKind::WouldBlock.into());
            }
        }
        Ok(filled)
    }
}

impl<T: Read + Write> Write for TlsStream<T> {
    /// Encrypts some bytes for the next `flush`. Takes none before the handshake has ended, or while the session is
    /// full and the stream takes nothing.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.session.is_handshaking() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut length = self.session.writer().write(bytes)?;
        if length == 0 && !bytes.is_empty() {
            self.flush()?;
            length = self.session.writer().write(bytes)?;
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            match self.session.write_tls(self.below.get_mut()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl TlsFault {
    fn of(error: rustls::Error) -> TlsFault {
        match error {
            rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
                TlsFault::Authority
            }
            rustls::Error::InvalidCertificate(error) => TlsFault::Certificate(error),
            rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => TlsFault::NotTls,
            error => TlsFault::Session(error),
        }
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
