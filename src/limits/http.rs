//! Bounds of the HTTP face.

use std::time::Duration;

use super::transport::POST_CALLS_PER_CONNECTION_MAX;

/// The head of a request, in bytes, and how many fields it has.
pub const HTTP_HEAD_BYTES_MAX: usize = 16 * 1024;
pub const HTTP_FIELDS_MAX: usize = 64;

/// How long a head may take to arrive, from its first byte on, and a body.
pub const HTTP_HEAD_TIME: Duration = Duration::from_secs(10);
pub const HTTP_BODY_TIME: Duration = Duration::from_secs(10);

/// How many bytes are received at once: about as many short requests as are answered together.
pub const HTTP_RECEIVE_BYTES: usize = 32 * 1024;

/// The body of a request, also inflated, in bytes: as much as a request of gRPC may have.
pub const HTTP_BODY_BYTES_MAX: usize = 64 * 1024;

/// A line of a chunked body, in bytes: the size of a chunk, with its extensions, or a trailer.
pub const HTTP_CHUNK_LINE_BYTES_MAX: usize = 64;

/// How long a connection may be idle between requests.
pub const HTTP_IDLE_MAX: Duration = Duration::from_secs(15);

/// How many requests of a connection are answered together, if they came together.
pub const HTTP_PIPELINED_MAX: usize = POST_CALLS_PER_CONNECTION_MAX;

/// How many connections may be open: each has a thread.
pub const HTTP_CONNECTIONS_MAX: usize = 1_024;

/// From how many on each is closed after its response, and those that were idle for that long are closed at once.
pub const HTTP_CONNECTIONS_CROWD: usize = HTTP_CONNECTIONS_MAX / 4 * 3;
pub const HTTP_CROWD_IDLE_MAX: Duration = Duration::from_secs(1);

/// How long the input of a connection is discarded after its last response, and how many bytes of it.
pub const HTTP_LINGER: Duration = Duration::from_secs(3);
pub const HTTP_LINGER_BYTES_MAX: usize = 2 << 20;

/// How many connections may wait to be accepted: as many as for gRPC.
pub const HTTP_BACKLOG: i32 = 4_096;

/// The pause after a connection could not be accepted, because descriptors have run out for example.
pub const HTTP_ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The request of a follower, in bytes: it may name 1,000 rooms.
pub const HTTP_FOLLOW_BYTES_MAX: usize = 256 * 1024;

/// A stream that was silent for that long, or up to a second less, shows that it is alive: a client can tell it from a lost connection, and proxies
/// keep it, which commonly end a connection after 60 s of silence.
pub const HTTP_ALIVE_TIME: Duration = Duration::from_secs(20);

/// From how many bytes on, which the kernel has not sent yet, it takes no more of a stream. It holds this, one write, and
/// what it has sent and the peer has not acknowledged: without this bound 3.9 MiB for a stalled reader in a trial, 82 to
/// 162 KiB with four times as much. Live readers were as fast.
pub const HTTP_UNSENT_BYTES_MAX: i32 = 16 * 1024;

/// TCP's own probes of a silent connection: after how long, how often, and how many are lost before it is given up.
pub const HTTP_KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
pub const HTTP_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
pub const HTTP_KEEPALIVE_COUNT: u32 = 3;

/// How many events of sockets the thread takes from the system at once.
pub const HTTP_EVENTS_AT_ONCE: usize = 256;

/// How many bytes a client may send during its stream, where they have no meaning. One that sends more is not a client.
pub const HTTP_STREAM_INPUT_BYTES_MAX: usize = 64 * 1024;

/// How many texts of frames are kept for further streams. The followers of a room are written to one after another, so a
/// few are enough.
pub const HTTP_TEXTS_KEPT: usize = 8;
