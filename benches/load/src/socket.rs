//! A connection's socket, plain or with TLS, without blocking.

use std::io::{self, Read, Write};

use mio::event::Source;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use crate::endpoint::Endpoint;
use crate::tls::TlsStream;

/// Written bytes may stay here until `flush`, which fails with `WouldBlock` if the system does not take all of them.
pub enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    /// Starts to connect.
    pub fn connect(server: &Endpoint) -> io::Result<Socket> {
        let stream = TcpStream::connect(server.address)?;
        stream.set_nodelay(true)?;
        Ok(match &server.tls {
            None => Socket::Plain(stream),
            Some(config) => Socket::Tls(Box::new(TlsStream::new(stream, config, server.address.ip())?)),
        })
    }

    /// Whether more can be read after a read of `length` bytes into a buffer of `size`, although the system may report
    /// no event for it.
    #[inline]
    pub fn may_have_more(&self, length: usize, size: usize) -> bool {
        match self {
            // A read that did not fill the buffer has emptied the socket: epoll reports later data.
            Socket::Plain(_) => length == size,
            Socket::Tls(stream) => stream.may_have_more(),
        }
    }

    /// Tells the server that nothing more follows, if TLS can.
    pub fn close(&mut self) -> io::Result<()> {
        match self {
            Socket::Plain(_) => Ok(()),
            Socket::Tls(stream) => stream.close(),
        }
    }

    fn stream_mut(&mut self) -> &mut TcpStream {
        match self {
            Socket::Plain(stream) => stream,
            Socket::Tls(stream) => stream.stream_mut(),
        }
    }
}

impl Read for Socket {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Plain(stream) => stream.read(buffer),
            Socket::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Plain(stream) => stream.write(bytes),
            Socket::Tls(stream) => stream.write(bytes),
        }
    }

    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        match self {
            // It has no buffer here.
            Socket::Plain(_) => Ok(()),
            Socket::Tls(stream) => stream.flush(),
        }
    }
}

/// The events are those of the system's socket.
impl Source for Socket {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.stream_mut().register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.stream_mut().reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.stream_mut().deregister(registry)
    }
}
