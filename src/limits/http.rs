//! Bounds of the HTTP face.

use std::time::Duration;

/// The head of a request, in bytes, and how many fields it has.
pub const HTTP_HEAD_BYTES_MAX: usize = 16 * 1024;
pub const HTTP_FIELDS_MAX: usize = 64;

/// How long a head may take to arrive, from its first byte on, and a body.
pub const HTTP_HEAD_TIME: Duration = Duration::from_secs(10);
pub const HTTP_BODY_TIME: Duration = Duration::from_secs(10);

/// The body of a request, also inflated, in bytes: as much as a request of gRPC may have.
pub const HTTP_BODY_BYTES_MAX: usize = 64 * 1024;

/// A line of a chunked body, in bytes: the size of a chunk, with its extensions, or a trailer.
pub const HTTP_CHUNK_LINE_BYTES_MAX: usize = 64;

/// How long a connection may be idle between requests.
pub const HTTP_IDLE_MAX: Duration = Duration::from_secs(15);

/// How many connections may be open: each has a thread.
pub const HTTP_CONNECTIONS_MAX: usize = 1_024;

/// How long the input of a connection is discarded after its last response, and how many bytes of it.
pub const HTTP_LINGER: Duration = Duration::from_secs(1);
pub const HTTP_LINGER_BYTES_MAX: usize = 256 * 1024;

/// The pause after a connection could not be accepted, because descriptors have run out for example.
pub const HTTP_ACCEPT_PAUSE: Duration = Duration::from_millis(100);
