//! Every bound on what a peer may send and on what the server keeps: what the contract promises, what an operator may set, and tuning.
//!
//! What an operator may set are fields of [`crate::server::ServerConfig`], whose defaults are here. A bound that only one module needs
//! to know is beside its code.

use std::time::Duration;

// What the contract promises: clients may rely on it.

/// A user name's greatest length, in characters. Wide enough for any real name, short enough for one line.
pub const NAME_CHARS_MAX: usize = 64;

/// A message body's greatest length, in bytes of UTF-8.
pub const BODY_BYTES_MAX: usize = 16 * 1024;

/// The largest gRPC message the server reads, in bytes. Four times what the largest valid message needs, so that a
/// body that is merely too long is answered with the rule it broke, while nobody makes the server buffer more.
pub const RECEIVE_BYTES_MAX: usize = 4 * BODY_BYTES_MAX;

/// How many streams one connection may carry at once.
pub const STREAMS_PER_CONNECTION_MAX: usize = 100;

/// How many commands one request of `hubbub.v1` may hold.
pub const COMMANDS_MAX: usize = 1024;

/// How long a stream of `hubbub.v1` may take to say who is there.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// How many rooms a stream may have joined at once.
pub const ROOMS_PER_STREAM_MAX: usize = 1000;

/// How many members a room may have for their comings and goings to be told, since each is told to all.
pub const PRESENCE_MEMBERS_MAX: usize = 50;

/// The most entries of a page that a client may ask for, and how many it gets where it does not say.
pub const PAGE_SIZE_MAX: usize = 1000;
pub const PAGE_SIZE: usize = 100;
pub const MESSAGES_PAGE_SIZE: usize = 50;

/// When a client whose message could not be stored is asked to try again.
pub const STORE_RETRY: Duration = Duration::from_secs(1);

/// When a client is asked to come back after the server has shut down.
pub const RECONNECT_AFTER: Duration = Duration::from_millis(500);

/// How many bytes are joined into one frame, and one segment more.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;

/// How many rooms a log stores. A stored room is never deleted, and takes a few hundred bytes of memory once it was posted to, as
/// long as the server runs. Rooms without messages are not stored and do not count: they last as long as somebody is in them.
pub const ROOMS_MAX: usize = 1_000_000;

/// How many ids of deleted messages are remembered in all rooms together; beyond that, the oldest are forgotten before their
/// time. Each takes about 80 bytes on the disk.
pub const IDS_KEPT_MAX: u64 = 1_000_000;

// What an operator may set: defaults, and the greatest values.

/// How many clients a server serves at once by default. A Linux machine with default settings (`vm.max_map_count` of
/// 65,530) can carry about 7,600.
/// Option: `--clients-max`.
pub const CLIENTS_MAX: usize = 7_500;

/// How much the in-memory log keeps in all by default, in bytes. What is older is dropped, and a reader that still
/// wanted it is told so.
/// Option: `--log-bytes-max`.
pub const MEMORY_LOG_BYTES_MAX: usize = 256 * 1024 * 1024;

/// How long after retention deleted something it is erased from the log's files, so that it is in none of them a minute later,
/// though erasing may have to wait for readers. In between, a busy server's deletions are erased together: each time, the
/// writer is held for some milliseconds.
pub const ERASE_AFTER: Duration = Duration::from_secs(30);

/// How long a message's id is remembered after retention deleted the message: a client that lost its connection within that
/// time may post the message again, and it is not stored twice.
pub const IDS_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// How many threads poll connections at most.
/// Option: `--pollers`.
pub const POLLERS_MAX: usize = 256;

/// How long a connection may be silent before the server asks whether its peer is still there.
pub const KEEPALIVE_TIME: Duration = Duration::from_secs(30);

/// How long the answer to that question may take before the connection counts as lost.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a client may ping, as the contract states it. Keepalive of 10 s, which many clients use, is far within it.
pub const PING_INTERVAL_MIN: Duration = Duration::from_secs(5);

/// How long a drain waits for readers to receive what was accepted, before it cancels their streams.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

// Tuning: clients and operators notice these only by speed, memory, and what the log says.

/// How many messages of one stream may wait for its receive thread, and how many bytes of them, and one message more; as
/// much again may be with that thread. The library holds the next message and a window of 64 KiB; what is beyond that waits
/// at the client.
pub const INFLOW_MESSAGES_MAX: usize = 256;
pub const INFLOW_BYTES_MAX: usize = 32 * 1024;

/// How many places an empty queue of a stream keeps: what a burst has made it grow to is given back.
pub const QUEUE_KEPT: usize = 32;

/// How many memory maps a client takes: two threads, each with a stack, a signal stack, and a guard page before each.
pub const MAPS_PER_CLIENT: usize = 8;

/// How many memory maps are left for everything else. A process that has none left can't start the thread it has
/// begun to start, and aborts.
pub const MAPS_RESERVED: usize = 4_096;

/// How many answers to commands may wait for a client that does not read them, before its next commands wait too.
pub const ANSWERS_MAX: usize = 256;

/// How many comings and goings may wait for a client, beside its answers; more are left out.
pub const PRESENCES_MAX: usize = 64;

/// How long a coming or going waits for a message to go out with.
pub const PRESENCE_TIME: Duration = Duration::from_millis(50);

/// How many threads answer what must be read from the log and is not part of a stream, and how many calls may wait for
/// them.
pub const QUERY_THREADS: usize = 2;
pub const QUERIES_MAX: usize = 256;

/// How many orders (the posts of one request, or a room to open) may wait for the log writer. A full queue blocks the
/// receive threads that want to append, so that HTTP/2 flow control holds back their senders and nobody else.
pub const APPEND_QUEUE_ORDERS_MAX: usize = 1024;

/// How many posts one order may hold, and how many bytes of them, and one post more. A request that holds more becomes
/// several orders.
pub const ORDER_POSTS_MAX: usize = 256;
pub const ORDER_BYTES_MAX: usize = 16 * 1024;

/// How many posts the log writer commits at once, and one order more. The next batch gathers while this one is committed.
pub const BATCH_POSTS_MAX: usize = 1024;

/// How many rooms the log writer opens before it commits what it has gathered: each is a look into the log.
pub const BATCH_ROOMS_MAX: usize = 8;

/// How many bytes the log writer commits at once, and one order more. It bounds a segment, which a reader that stalls
/// within it keeps in memory.
pub const BATCH_BYTES_MAX: usize = 48 * 1024;

/// How long to wait after trimming failed.
pub const TRIM_RETRY: Duration = Duration::from_secs(1);

/// How often the log says that a client has seen messages which the log never had.
pub const AHEAD_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// How much of a room's end is kept ready in memory for cursors that follow it live, in bytes.
pub const TAIL_BYTES_MAX: usize = 1024 * 1024;

/// How much the tails of all rooms may keep together, in bytes, and one segment for each room. Beyond that, a room keeps
/// only its newest segment, and who is further behind reads the log.
pub const TAILS_BYTES_MAX: usize = 256 * 1024 * 1024;

/// How many threads read the log's file at once. Each has a connection of its own; the others wait for one.
pub const READ_CONNECTIONS: usize = 4;

/// How long a read of the log's file waits after each I/O error before it is tried again, and how often it is.
pub const READ_RETRIES: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(200)];

/// How long a thread waits for the log before it gives up: a reader for a connection, the writer for the moment in which
/// the write-ahead log begins anew. Either takes milliseconds unless the disk is in trouble.
pub const LOG_WAIT: Duration = Duration::from_secs(10);

/// How much is written, in bytes, before the write-ahead log is copied into the log's file, beside the writer.
pub const CHECKPOINT_BYTES: usize = 8 * 1024 * 1024;

/// How large the write-ahead log is made when the server starts, in bytes, so that commits overwrite it: what is written
/// before it is copied, and half as much for what is written meanwhile.
pub const WAL_BYTES_LAID_OUT: usize = CHECKPOINT_BYTES + CHECKPOINT_BYTES / 2;

/// How large the write-ahead log may grow, in bytes, before the writer is held for a moment so that it can begin anew.
/// A server that was killed reads it whole when it starts.
pub const WAL_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How many messages a step of trimming takes away at once, and one segment more: a few milliseconds. Posts wait for it.
pub const TRIM_MESSAGES_MAX: u64 = 1024;

/// How many bytes of messages a step of trimming takes away at once, and one segment more. Deleted pages are overwritten, so as
/// much is written to the write-ahead log.
pub const TRIM_BYTES_MAX: usize = 1024 * 1024;

/// Which part of an in-memory log's bytes the ids of deleted messages may take: one so-manieth.
pub const IDS_KEPT_SHARE: usize = 8;

/// The longest that the log writer waits for the time at which something is to be deleted: the clock may be set meanwhile, or
/// the machine may sleep.
pub const TRIM_WAIT_MAX: Duration = Duration::from_secs(60);

/// How far ahead of the last time that the log saw the clock may be at a start, and still give messages their times: as long
/// as a server may well be off.
pub const CLOCK_OFF_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// How far the clock may step while the server runs, or be behind, and still give messages their times. A room whose newest
/// message is further ahead than that gets the right time again, though it falls.
pub const CLOCK_STEP_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// 2025-01-01, in milliseconds since 1970: a clock that says an earlier time is certainly wrong, because this program is not
/// that old. Machines without a battery start with such a clock.
pub const CLOCK_EARLIEST_MS: u64 = 1_735_689_600_000;

/// For how long a clock that was further off must keep to its time before messages get their times from it, and before
/// messages are deleted by their age by it. Clocks that are set wrong at a start are mostly set right within minutes.
pub const CLOCK_CONFIRM_TIMES: Duration = Duration::from_secs(60 * 60);
pub const CLOCK_CONFIRM_AGES: Duration = Duration::from_secs(24 * 60 * 60);

/// How often the log says that the clock is not believed.
pub const CLOCK_WARN_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// How often the time that the log has seen is kept on the disk, which is a commit.
pub const CLOCK_KEEP_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// How often the log says how much retention deleted.
pub const TRIM_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// How long after an append the log is asked for something to trim, so that not every batch pays for another fsync.
pub const TRIM_INTERVAL: Duration = Duration::from_millis(100);

/// How much a send thread reads from the log at once for a cursor behind the tail, in bytes, and one segment more.
pub const READ_BYTES_MAX: usize = 64 * 1024;

/// How much memory gRPC may use for all connections, in bytes, before it refuses and sheds some. A connected client
/// costs it about 30 KB.
pub const GRPC_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// How long a receive thread waits before it gives back the memory that its stack has come to take.
pub const STACK_TIME: Duration = Duration::from_millis(50);

/// How many threads whose streams have ended are kept for the next streams, and how long each.
pub const SPARE_THREADS_MAX: usize = 64;
pub const SPARE_THREAD_TIME: Duration = Duration::from_secs(1);

/// The stack of a stream's threads, in bytes. Untouched stack costs no memory; what is touched is about 8 KiB.
pub const STACK_BYTES: usize = 128 * 1024;

/// How long a client waits for one address of a server's name before it tries the next beside it: what RFC 8305 recommends.
pub const ADDRESS_STAGGER: Duration = Duration::from_millis(250);

/// How many addresses of a name a client tries: each undecided one takes a thread for up to 5 s.
pub const ADDRESSES_MAX: usize = 8;

/// How much sooner than that a ping may arrive, since the network delays one ping and not the next.
pub const PING_JITTER: Duration = Duration::from_secs(1);

/// How long after a signal that begins a drain another one is part of the same stop: `timeout` sends two, and a terminal
/// and a supervisor may each send one.
pub const SECOND_SIGNAL_AFTER: Duration = Duration::from_secs(1);

/// How many file descriptors a server takes beside those of its clients: its log, its readers, its listeners, its log file
/// and the pollers.
pub const DESCRIPTORS_RESERVED: usize = 48;

/// How many of the file descriptors that the process may have are never used for connections, so that the log can always
/// open its files anew.
pub const DESCRIPTORS_KEPT: usize = 12;

/// How long a connection may take to begin to speak HTTP/2 before it is closed. A connection that says nothing takes a file
/// descriptor.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(20);

/// For how long nobody may have been refused before a shortage counts as over.
pub const REFUSALS_QUIET: Duration = Duration::from_secs(5);

/// How often the log says at most that clients are refused, for each kind of shortage.
pub const REFUSALS_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// How long a stream that the server ends may take to end: for its status to reach a peer that may have stopped
/// reading.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The same for a client that asked for the end, and waits for it.
pub const FINISH_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the end of the server waits for threads of streams, after all streams were ended or cancelled.
pub const JOIN_TIMEOUT: Duration = Duration::from_secs(3);

/// How often a commit checks whether the log's files are still in their folder: four looks, a microsecond each. What is
/// acknowledged after they were deleted is lost, for this long.
pub const FILES_CHECK_INTERVAL: Duration = Duration::from_millis(250);
/// How large a database may be to be checked at the start after a server that was killed, in bytes. Checking that takes some
/// 0.1 s. `hubbub-server verify` checks any.
pub const QUICK_CHECK_BYTES_MAX: u64 = 64 << 20;
