//! Tuning of streams, calls and connections: no client may rely on these, and no documented option sets them.

use std::time::Duration;

use super::contract::STREAMS_PER_CONNECTION_MAX;

/// How many streams must have ended before the allocator is asked to give memory back, and how long after that. It is asked
/// at most once in that time.
pub const TRIM_STREAMS_MIN: usize = 100;
pub const TRIM_DELAY: Duration = Duration::from_secs(10);

/// How long the answer to a keepalive ping may take before the connection counts as lost.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a drain waits for readers to receive the accepted messages, before it cancels their streams.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// How many messages of one stream may wait for its receive thread, with those that it has taken, and how many bytes of
/// them, plus one message. The library holds the next message and a window of 64 KiB; further messages wait at
/// the client. Measured with 1,000 streams that post without pause: 16 KiB take 75 to 112 MB, and 32 KiB up to 238.
pub const INFLOW_MESSAGES_MAX: usize = 256;
pub const INFLOW_BYTES_MAX: usize = 16 * 1024;

/// The capacity that an empty queue of a stream keeps; the memory of a burst beyond it is released.
pub const QUEUE_KEPT: usize = 32;

/// How many memory maps a thread takes: a stack, a signal stack, and a guard page before each.
pub const MAPS_PER_THREAD: usize = 4;

/// How many memory maps are reserved for everything else. If a process runs out of them while it starts a thread, it
/// aborts.
pub const MAPS_RESERVED: usize = 4_096;

/// How many followers of a room are notified before their poller may do other work: about 1 ms of writes.
pub const ROUND_FOLLOWERS_MAX: usize = 128;

/// How many followers are copied out at once, so that the lock is never held during a notification.
pub const FOLLOWERS_PER_CHUNK: usize = 64;

/// How many frames another thread writes to a stream before it leaves the rest to the stream's send thread.
pub const BORROWED_FRAMES_MAX: usize = 16;

/// How many answers to commands may wait for a client that does not read them, before its next commands wait too.
pub const ANSWERS_MAX: usize = 256;

/// The same in bytes.
pub const ANSWERS_BYTES_MAX: usize = 16 * 1024;

/// How many threads answer unary calls that read the log.
pub const QUERY_THREADS: usize = 2;

/// How many unary calls that read the log may be in progress, for one connection and for all: until the client has its
/// response, which takes up to 64 KiB. Others are refused.
pub const READ_CALLS_PER_CONNECTION_MAX: usize = 16;
pub const READ_CALLS_MAX: usize = 256;

/// The same for calls that post. A connection may use all its streams for them; each takes up to 16 KiB.
pub const POST_CALLS_PER_CONNECTION_MAX: usize = STREAMS_PER_CONNECTION_MAX;
pub const POST_CALLS_MAX: usize = 4_096;

/// How long a client may take to read the response of a unary call, before it is cancelled.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// How much memory gRPC may use for all connections, in bytes, before it refuses and ends some. A connected client
/// takes about 30 KB.
pub const GRPC_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// The share of the machine's memory that this is at most, as the denominator of a fraction.
pub const GRPC_SHARE: u64 = 8;

/// How long a receive thread waits before it releases the memory that its stack has grown to.
pub const STACK_TIME: Duration = Duration::from_millis(50);

/// How long a send thread waits for more blocking work before it ends: a reader that lags has some again at once.
pub const SEND_IDLE_MAX: Duration = Duration::from_secs(2);

/// How many threads of ended streams are kept for the next streams, and how long.
pub const SPARE_THREADS_MAX: usize = 64;
pub const SPARE_THREAD_TIME: Duration = Duration::from_secs(1);

/// The stack of a stream's threads, in bytes. Untouched stack costs no memory; about 8 KiB are touched.
pub const STACK_BYTES: usize = 128 * 1024;

/// How long after a signal that starts a drain another signal belongs to the same stop: `timeout` sends two, and a
/// terminal and a supervisor may each send one.
pub const SECOND_SIGNAL_AFTER: Duration = Duration::from_secs(1);

/// How many file descriptors a server takes besides those of its clients: its log, its readers, its listeners, its log
/// file, the pollers, and those that the admin face keeps ready.
pub const DESCRIPTORS_RESERVED: usize = 48;

/// How many threads the gRPC library starts for itself at the start of a program: two executors, the timers of its old and
/// of its new engine, and one for each processor for the latter, from 2 to 16.
pub const LIBRARY_THREADS: usize = 20;

/// How many file descriptors of the process are never used for connections, so that the log can always reopen its
/// files.
pub const DESCRIPTORS_KEPT: usize = 12;

/// How long a connection may take to start HTTP/2 before it is closed. A silent connection takes a file descriptor.
/// NATS allows 2 s, which is too short for phones.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may carry no call before it is closed. Its client connects again for its next call.
pub const CONNECTION_IDLE_MAX: Duration = Duration::from_secs(60);

/// How many streams of one connection may come to nothing, at once and a second: those that the client resets, and
/// those that are refused or reset because it breaks a rule. With 100 and 20, a rapid reset costs 19 MB and 26 ms of
/// latency; with nghttp2's 1,000 and 33, it costs 48 MB and 240 ms.
pub const RESETS_BURST: u32 = 100;
pub const RESETS_RATE: u32 = 20;

/// How many control frames one connection may send, at once and a second, as `rpc/guard/budget.rs` defines them.
/// Clients at full speed send a few a minute.
pub const CONTROL_FRAMES_BURST: u32 = 1_000;
pub const CONTROL_FRAMES_RATE: u32 = 100;

/// How many GOAWAY frames one connection may send: a graceful end takes two.
pub const GOAWAYS_MAX: u32 = 4;

/// How many connections all clients may open, a second in the long run. At once they may open as many as may be open,
/// so that all can come back after a restart. Centrifugo suggests about 100 a second for each node.
pub const CONNECTIONS_RATE: u32 = 200;

/// How many connections one address may open, at once and a second. ergo allows 32 in 10 minutes, and 96 to clients
/// that come back.
pub const ADDRESS_CONNECTIONS_BURST: u32 = 32;
pub const ADDRESS_CONNECTIONS_RATE: u32 = 3;

/// How much memory a connection without a call takes, in bytes, and the share of the machine's memory that such
/// connections may take, as the denominator of a fraction: 12.5 KiB were measured.
pub const CONNECTION_BYTES: u64 = 16 * 1024;
pub const CONNECTIONS_SHARE: u64 = 8;

/// How many connections may be open for each client that is served at once: clients that only make calls take no seat.
pub const CONNECTIONS_PER_CLIENT: usize = 2;

/// How many addresses are counted between two log lines about exceeded limits, to name the one that exceeds them most
/// often.
pub const REFUSED_SOURCES_MAX: usize = 1_024;

/// How long no client must have been refused before a shortage counts as over.
pub const REFUSALS_QUIET: Duration = Duration::from_secs(5);

/// How often the server checks whether a shortage is over.
pub const REFUSALS_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The minimum interval between log lines about refused clients, for each kind of shortage.
pub const REFUSALS_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// How long the status of a stream that the server ends may take to reach the peer, which may have stopped reading.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The same for a client that requested the end and waits for it.
pub const FINISH_CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the server waits for threads of streams at its exit, after all streams were ended or cancelled.
pub const JOIN_TIMEOUT: Duration = Duration::from_secs(3);

/// How many addresses are remembered before those are forgotten that had nothing open and posted nothing for a time,
/// after which all their budgets but the daily one are full again. An address takes about 300 bytes.
pub const QUOTAS_KEPT: usize = 4_096;
pub const QUOTAS_KEPT_TIME: Duration = Duration::from_secs(60 * 60);
