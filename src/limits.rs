//! Every bound on what a peer may send and on what the server keeps, in one place.
//!
//! Limits that an operator may want to move are fields of [`crate::server::ServerConfig`], whose defaults stand here.

use std::time::Duration;

/// A user name's greatest length, in characters. Wide enough for any real name, short enough for one line.
pub const NAME_CHARS_MAX: usize = 64;

/// A message body's greatest length, in bytes of UTF-8.
pub const BODY_BYTES_MAX: usize = 16 * 1024;

/// The largest gRPC message the server reads, in bytes. Four times what the largest valid message needs, so that a
/// body that is merely too long is answered with the rule it broke, while nobody makes the server buffer more.
pub const RECEIVE_BYTES_MAX: usize = 4 * BODY_BYTES_MAX;

/// How many streams one connection may carry at once.
pub const STREAMS_PER_CONNECTION_MAX: usize = 100;

/// How many clients a server serves at once by default. A Linux machine with default settings (`vm.max_map_count` of
/// 65,530) can carry about 7,600.
pub const CLIENTS_MAX: usize = 7_500;

/// How many memory maps a client takes: two threads, each with a stack, a signal stack, and a guard page before each.
pub const MAPS_PER_CLIENT: usize = 8;

/// How many memory maps are left for everything else. A process that has none left can't start the thread it has
/// begun to start, and aborts.
pub const MAPS_RESERVED: usize = 4_096;

/// How many posts may wait for the log writer. A full queue blocks the receive threads that want to append, so that
/// HTTP/2 flow control holds back their senders and nobody else.
pub const APPEND_QUEUE_POSTS_MAX: usize = 4096;

/// How many posts the log writer commits at once. The next batch gathers while this one is committed.
pub const BATCH_POSTS_MAX: usize = 1024;

/// How many bytes of events the log writer commits at once, and one event more. It bounds a segment, which a reader
/// that stalls within it keeps in memory.
pub const BATCH_BYTES_MAX: usize = 64 * 1024;

/// How much of a room's end is kept ready in memory for cursors that follow it live, in bytes.
pub const TAIL_BYTES_MAX: usize = 1024 * 1024;

/// How much the in-memory log keeps in all by default, in bytes. What is older is dropped, and a reader that still
/// wanted it is told so.
pub const MEMORY_LOG_BYTES_MAX: usize = 256 * 1024 * 1024;

/// How much a send thread reads from the log at once for a cursor behind the tail, in bytes, and one segment more.
pub const READ_BYTES_MAX: usize = 64 * 1024;

/// How much memory gRPC may use for all connections, in bytes, before it refuses and sheds some. A connected client
/// costs it about 30 KB.
pub const GRPC_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// The stack of a stream's threads, in bytes. Untouched stack costs no memory; what is touched is about 8 KiB.
pub const STACK_BYTES: usize = 128 * 1024;

/// How long a connection may be silent before the server asks whether its peer is still there.
pub const KEEPALIVE_TIME: Duration = Duration::from_secs(30);

/// How long the answer to that question may take before the connection counts as lost.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a drain waits for readers to receive what was accepted, before it cancels their streams.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a stream that the server ends may take to end: for its status to reach a peer that may have stopped
/// reading.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The same for a client that asked for the end, and waits for it.
pub const FINISH_TIMEOUT: Duration = Duration::from_secs(30);
