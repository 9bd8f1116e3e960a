//! Every bound of the server, in three groups: what the contract promises, what an operator may set with an option, and
//! tuning.
//!
//! Bounds that can be set are fields of [`crate::server::ServerConfig`]; their defaults are here.
//!
//! The client library's bounds are in `client/limits.rs`. Bounds of one program's own interface, such as the line
//! editor of the terminal client or the plan of the repeat client, stay beside their code, and so do the sizes that a
//! foreign format defines, such as SQLite's files.

use std::time::Duration;

// What the contract promises: clients may rely on it. `chat.proto` or docs/reference.md states each number, or an
// event carries it.

/// The maximum length of a user name, in characters. Wide enough for any real name, short enough for one line.
pub const NAME_CHARS_MAX: usize = 64;

/// How many combining marks may follow each other in a name. Vietnamese, Thai and Hebrew need up to 3; a dozen cover
/// the lines above and below.
pub const COMBINING_MARKS_MAX: usize = 4;

/// The maximum length of a message body, in bytes of UTF-8.
pub const BODY_BYTES_MAX: usize = 16 * 1024;

/// The largest gRPC message the server reads, in bytes. Four times the size of the largest valid message, so that a
/// body that is slightly too long is answered with the reason, while no client can make the server buffer more.
pub const RECEIVE_BYTES_MAX: usize = 4 * BODY_BYTES_MAX;

/// How many streams one connection may carry at once.
pub const STREAMS_PER_CONNECTION_MAX: usize = 100;

/// How many commands one request of `hubbub.v1` may hold.
pub const COMMANDS_MAX: usize = 1024;

/// How long a stream of `hubbub.v1` may take to send `Hello`.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a stream of the tutorial's contract may be silent before a newcomer may take its place, if the server is
/// full: its client may be about to say something.
pub const SILENT_TIME: Duration = Duration::from_secs(5);

/// How many rooms a stream may have joined at once.
pub const ROOMS_PER_STREAM_MAX: usize = 1000;

/// Up to how many members a room sends presence, since each change is sent to all of them.
pub const PRESENCE_MEMBERS_MAX: usize = 50;

/// How many presence events may wait for a client, besides its answers; more are dropped.
pub const PRESENCES_MAX: usize = 64;

/// How long a presence event waits for a message to be sent with.
pub const PRESENCE_TIME: Duration = Duration::from_millis(50);

/// The maximum number of entries of a page, and the default numbers.
pub const PAGE_SIZE_MAX: usize = 1000;
pub const PAGE_SIZE: usize = 100;
pub const MESSAGES_PAGE_SIZE: usize = 50;

/// The retry time that a client gets when its message could not be stored.
pub const STORE_RETRY: Duration = Duration::from_secs(1);

/// The reconnect time that a client gets when the server shuts down.
pub const RECONNECT_AFTER: Duration = Duration::from_millis(500);

/// How many ids of deleted messages are kept in all rooms together; beyond that, the oldest are deleted early. Each
/// takes about 80 bytes on the disk.
pub const IDS_KEPT_MAX: u64 = 1_000_000;

/// How long a message's id is kept after retention deleted the message: a client that lost its connection within that
/// time may post the message again, and it is not stored twice.
pub const IDS_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// How far the clock may step while the server runs, or be behind, and still date messages. A room whose newest message
/// is further ahead than that gets the right time again, although its time decreases.
pub const CLOCK_STEP_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How often a client may ping, as the contract states it. Keepalive of 10 s, which many clients use, is far within it.
pub const PING_INTERVAL_MIN: Duration = Duration::from_secs(5);

/// How much earlier than `PING_INTERVAL_MIN` a ping may arrive, since network delay varies.
pub const PING_JITTER: Duration = Duration::from_secs(1);

/// How long a connection may be silent before the server sends a keepalive ping, as the contract states it.
pub const KEEPALIVE_TIME: Duration = Duration::from_secs(30);

// What an operator may set: the default of an option, or the values that it accepts.

/// How many clients a server serves at once by default. A Linux machine with default settings (`vm.max_map_count` of
/// 65,530) can carry about 7,600. Option: `--clients-max`.
pub const CLIENTS_MAX: usize = 7_500;

/// The default size of the in-memory log, in bytes. Older messages are dropped, and a reader that still needs them gets
/// a gap. Option: `--log-bytes-max`.
pub const MEMORY_LOG_BYTES_MAX: usize = 256 * 1024 * 1024;

/// The minimum size of the in-memory log, in bytes: the largest request. Option: `--log-bytes-max`.
pub const MEMORY_LOG_BYTES_MIN: usize = RECEIVE_BYTES_MAX;

/// How many connections one address may have open. ergo allows 16; an office behind one address needs more. Option:
/// `--connections-per-address`.
pub const ADDRESS_CONNECTIONS_MAX: usize = 32;

/// How many threads poll connections at most. Option: `--pollers`.
pub const POLLERS_MAX: usize = 256;

/// How much of the disk stays free by default: posts are refused while less is. The smaller of an amount, in bytes, and
/// of a share, as the denominator of a fraction. Option: `--disk-reserve`.
pub const DISK_RESERVE_MAX: u64 = 1024 * 1024 * 1024;
pub const DISK_RESERVE_SHARE: u64 = 20;

/// The minimum of a bound on the log's size on the disk, in bytes. Option: `--log-bytes-max`.
pub const LOG_BYTES_MIN: usize = 16 * 1024 * 1024;

/// How many streams one address may have at once: several devices of a person, or a few people behind one router (as
/// ergo, 16). Option: `--clients-per-address`.
pub const CLIENTS_PER_ADDRESS_MAX: usize = 16;

/// How many messages a second one address may post, and the time whose messages it may post at once after a pause.
/// Beyond it, its streams are read later, and its calls are refused. People type slower (ergo: 2 a second); bots get a
/// higher rate. Option: `--post-rate`.
pub const POSTS_PER_SECOND: f64 = 10.0;
pub const POSTS_BURST_TIME: f64 = 5.0;

/// The same in bytes of bodies: 5.5 GB a day at most. Option: `--post-bytes-rate`.
pub const POST_BYTES_PER_SECOND: f64 = 64.0 * 1024.0;
pub const POST_BYTES_BURST_TIME: f64 = 16.0;

/// How many bytes one address may have stored within a day. Beyond it, its posts are rejected. Option:
/// `--stored-per-day`.
pub const STORED_BYTES_PER_DAY: f64 = 100.0 * 1024.0 * 1024.0;

/// How many streams must have ended before the allocator is asked to give memory back, and how long after that. It is asked
/// at most once in that time.
pub const TRIM_STREAMS_MIN: usize = 100;
pub const TRIM_DELAY: Duration = Duration::from_secs(10);

/// How many logins of one address may fail in a minute (ergo: 3, for passwords). A token can't be guessed anyway: this keeps
/// the log and the processor free.
pub const FAILED_LOGINS_PER_MINUTE: f64 = 10.0;

/// How long a stream may go on after its login has expired, for its client to renew the login (Centrifugo's
/// `expired_close_delay`).
pub const LOGIN_GRACE: Duration = Duration::from_secs(25);

/// How many rooms one address may create within an hour (ergo allows 15 to a user, in all). Option: `--room-rate`.
pub const ROOMS_PER_HOUR: f64 = 10.0;

/// How many rooms one address may create in all, since the server's start. Option: `--rooms-per-address`.
pub const ROOMS_PER_ADDRESS_MAX: usize = 100;

/// How many rooms the log may have by default. A room stays until an operator deletes it, and takes a few hundred bytes
/// of memory from its first post until the server exits. Rooms without messages are not stored and do not count: they
/// exist only while a client is in them. Option: `--rooms-max`.
pub const ROOMS_MAX: usize = 100_000;

/// The maximum length of a JSON web token, in bytes. The library bounds all headers of a call to as much.
pub const JWT_BYTES_MAX: usize = 8 * 1024;

/// How far ahead a JSON web token may expire: until then nobody can take it back.
pub const JWT_LIFE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How far the clock of a token's issuer may be ahead.
pub const JWT_LEEWAY: Duration = Duration::from_secs(30);

/// How many rooms a JSON web token may name.
pub const JWT_ROOMS_MAX: usize = 1000;

/// How many keys verify JSON web tokens: each of them may be tried for a token that does not name its key.
pub const JWT_KEYS_MAX: usize = 16;

/// The minimum length of a secret for JSON web tokens, in bytes (RFC 7518, 3.2, for HS256).
pub const JWT_SECRET_BYTES_MIN: usize = 32;

/// The sizes of RSA keys for JSON web tokens, in bits: the minimum is that of RFC 7518, 3.3, the maximum that of the
/// library.
pub const JWT_RSA_BITS_MIN: usize = 2048;
pub const JWT_RSA_BITS_MAX: usize = 4096;

/// The maximum size of a file with keys for JSON web tokens, in bytes: a set of 16 keys with their certificates takes
/// less than 64 KiB.
pub const JWT_KEY_FILE_BYTES_MAX: u64 = 256 * 1024;

// Accounts. Operators are told each number when they reach it.

/// How many users may have an account. One takes about 300 bytes of memory.
pub const USERS_MAX: usize = 100_000;

/// How many tokens there may be, of all users: ten for each. One takes about 250 bytes of memory, and as much on the
/// disk for each that there ever was.
pub const TOKENS_MAX: usize = 1_000_000;

/// How many devices, and how many tokens for programs, one user may have. Lists show all of them at once.
pub const DEVICES_PER_USER_MAX: usize = 64;
pub const TOKENS_PER_USER_MAX: usize = 64;

/// How many invitations of one user may be open, and how long each is valid.
pub const INVITATIONS_PER_USER_MAX: usize = 8;
pub const INVITATION_TIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How many names may be banned: as many as there may be users, since names without an account may be banned too.
pub const BANS_MAX: usize = USERS_MAX;

/// How many rooms one token may be restricted to: it is compared with them at each join and each post.
pub const TOKEN_ROOMS_MAX: usize = 64;

/// The maximum length of the label of a token, in characters. Longer ones are cut.
pub const LABEL_CHARS_MAX: usize = 64;

/// How many changes of accounts are stored, in all: 800 MB. Each start reads them, 200,000 a second.
pub const ACCOUNT_EVENTS_MAX: u64 = 4_000_000;

// Tuning: no client may rely on these, and no documented option sets them.

/// How many bytes are joined into one frame, and one segment more.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;

/// How long the answer to a keepalive ping may take before the connection counts as lost.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a drain waits for readers to receive the accepted messages, before it cancels their streams.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// How long after a deletion by retention the messages are erased from the log's files, so that no file has them a
/// minute later; readers may delay erasing further. A busy server erases the deletions of this interval together: each
/// erasure blocks the writer for some milliseconds. Only tests change it, with the hidden option `--erase-after`.
pub const ERASE_AFTER: Duration = Duration::from_secs(30);

/// How many messages of one stream may wait for its receive thread, and how many bytes of them, plus one message; that
/// thread may hold as much again. The library holds the next message and a window of 64 KiB; further messages wait at
/// the client. Measured with 1,000 streams that post without pause: 16 KiB take 75 to 112 MB, and 32 KiB up to 238.
pub const INFLOW_MESSAGES_MAX: usize = 256;
pub const INFLOW_BYTES_MAX: usize = 16 * 1024;

/// The capacity that an empty queue of a stream keeps; the memory of a burst beyond it is released.
pub const QUEUE_KEPT: usize = 32;

/// How many memory maps a client takes: two threads, each with a stack, a signal stack, and a guard page before each.
pub const MAPS_PER_CLIENT: usize = 8;

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

/// How much memory orders (the posts of one request, or a room to open) of one stream may take while they wait for the
/// log writer, and how much all together, beyond which each stream may have one order. More than a batch takes, so that
/// one sender alone can fill batches. A full lane blocks its receive thread, so that HTTP/2 flow control slows only
/// that sender.
pub const APPEND_LANE_BYTES_MAX: u64 = 192 * 1024;
pub const APPEND_QUEUE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How many times the log writer yields its processor before it sleeps, once its queue is empty. Measured: without it,
/// the latency of scenario d is 1.3 times as long.
pub const WRITER_YIELDS: u32 = 4;

/// The memory of an order in the append queue besides its posts, and that of a post besides its content: its struct of
/// 88 bytes, the sender's name, and the allocator's overhead. A short post has less content than that.
pub const ORDER_COST: u64 = 256;
pub const POST_COST: u64 = 152;

/// How many posts one order may hold, and how many bytes of them, plus one post. A larger request becomes several
/// orders.
pub const ORDER_POSTS_MAX: usize = 256;
pub const ORDER_BYTES_MAX: usize = 16 * 1024;

/// How many posts the log writer commits at once, plus one order. The next batch collects while this one is committed.
pub const BATCH_POSTS_MAX: usize = 1024;

/// How many rooms the log writer opens before it commits the collected posts: each is a lookup in the log.
pub const BATCH_ROOMS_MAX: usize = 8;

/// How many bytes the log writer commits at once, plus one order. It bounds a segment, which a reader that stalls
/// within it keeps in memory.
pub const BATCH_BYTES_MAX: usize = 48 * 1024;

/// How often the free space of the disk is read while messages are stored: it takes a microsecond, and other programs
/// use the disk too.
pub const DISK_RESERVE_CHECK: Duration = Duration::from_millis(10);

/// How much space deletions must have left in the log's own file, in bytes, so that posts are stored there while the
/// reserve of the disk is short: more than any batch takes, with its ids.
pub const LOG_FREE_BYTES_MIN: u64 = 1024 * 1024;

/// How long to wait after trimming failed.
pub const TRIM_RETRY: Duration = Duration::from_secs(1);

/// How often the server logs that a client has seen messages that the log never had.
pub const AHEAD_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The size of a room's tail, in bytes.
pub const TAIL_BYTES_MAX: usize = 1024 * 1024;

/// The size of the tails of all rooms together, in bytes, plus one segment for each room. Beyond that, a room keeps
/// only its newest segment, and cursors that are further behind read the log.
pub const TAILS_BYTES_MAX: usize = 256 * 1024 * 1024;

/// How many threads read the log's file at once. Each has its own connection; other threads wait for one.
pub const READ_CONNECTIONS: usize = 4;

/// The delays before the retries of a read of the log's file after an I/O error.
pub const READ_RETRIES: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(200)];

/// How long a thread waits for the log before it gives up: a reader for a connection, the writer for the restart of the
/// write-ahead log. Either takes milliseconds unless the disk has a problem.
pub const LOG_WAIT: Duration = Duration::from_secs(10);

/// How much is written, in bytes, before the write-ahead log is copied into the log's file, in parallel with the
/// writer.
pub const CHECKPOINT_BYTES: usize = 8 * 1024 * 1024;

/// The size to which the write-ahead log is laid out when the server starts, in bytes, so that commits overwrite it:
/// the amount that is written before a copy, plus half as much for the writes during a copy.
pub const WAL_BYTES_LAID_OUT: usize = CHECKPOINT_BYTES + CHECKPOINT_BYTES / 2;

/// The size of the write-ahead log, in bytes, at which the writer is blocked briefly so that the log can restart. The
/// start after a kill reads the whole write-ahead log.
pub const WAL_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How many bytes of the write-ahead log are read or overwritten at once while it is laid out or erased.
pub const WAL_CHUNK_BYTES: usize = 64 * 1024;

/// How many pages may be left to copy while the keeper blocks the writer, and how many passes it makes to get there,
/// unless the writer outruns it.
pub const COPY_PAGES_LEFT_MAX: u64 = 256;
pub const COPY_PASSES_MAX: usize = 8;

/// How long the keeper waits for readers while it blocks the writer.
pub const KEEPER_READERS_WAIT: Duration = Duration::from_millis(100);

/// How often the keeper checks whether a blocking reader has gone, and how many times in succession it is blocked
/// before it warns: the server's own reads take milliseconds.
pub const KEEPER_READERS_RETRY: Duration = Duration::from_secs(1);
pub const KEEPER_BLOCKED_WARN_COUNT: u32 = 3;

/// How long the log writer waits for a running copy when it finds the disk full, and how often it checks.
pub const DISK_FULL_COPY_WAIT: Duration = Duration::from_millis(500);
pub const DISK_FULL_COPY_RETRY: Duration = Duration::from_millis(5);

/// How much disk space is allocated to the database at once, in pages of 4,096 bytes, if there is space for it: 1 MiB.
pub const SPACE_STEP_PAGES: u64 = 256;

/// How many allocated pages of the database only deletions may use.
pub const SPACE_FOR_DELETING_PAGES: u64 = 64;

/// How many messages a step of trimming deletes at once, plus one segment: a few milliseconds. Posts wait for it.
pub const TRIM_MESSAGES_MAX: u64 = 1024;

/// How many bytes of messages a step of trimming deletes at once, plus one segment. Deleted pages are overwritten, so
/// the same amount is written to the write-ahead log.
pub const TRIM_BYTES_MAX: usize = 1024 * 1024;

/// The same for a step of `hubbub-server room delete`, in rows of the database and in bytes. No post waits for it, and
/// each step takes a sync of the disk.
pub const DELETED_ROWS_MAX: usize = 4_096;
pub const DELETED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How many rooms `hubbub-server room list` reads at once, and how many names an error of `room delete` quotes.
pub const LISTED_ROOMS_MAX: usize = 1_000;
pub const NAMED_ROOMS_MAX: usize = 10;

/// The share of an in-memory log's bytes that the ids of deleted messages may take, as the denominator of a fraction.
pub const IDS_KEPT_SHARE: usize = 8;

/// The longest wait of the log writer for the next deletion: the clock may be set meanwhile, or the machine may sleep.
pub const TRIM_WAIT_MAX: Duration = Duration::from_secs(60);

/// How far the clock may be ahead of the log's last time at a start and still date messages: servers can be off for
/// that long.
pub const CLOCK_OFF_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// 2025-01-01, in milliseconds since 1970: a clock that shows an earlier time is certainly wrong, because this program
/// is newer. Machines without a battery start with such a clock.
pub const CLOCK_EARLIEST_MS: u64 = 1_735_689_600_000;

/// How long a clock that was further off must be stable before it dates messages, and before messages are deleted by
/// age by it. Clocks that are wrong at a start are usually corrected within minutes.
pub const CLOCK_CONFIRM_TIMES: Duration = Duration::from_secs(60 * 60);
pub const CLOCK_CONFIRM_AGES: Duration = Duration::from_secs(24 * 60 * 60);

/// How often the server logs that the clock is not trusted.
pub const CLOCK_WARN_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// How often the log's time is stored on the disk, which is a commit.
pub const CLOCK_KEEP_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// How often the server logs how much retention deleted.
pub const TRIM_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// How long after an append the log is trimmed, so that not every batch needs another fsync.
pub const TRIM_INTERVAL: Duration = Duration::from_millis(100);

/// How much a send thread reads from the log at once for a cursor behind the tail, in bytes, plus one segment.
pub const READ_BYTES_MAX: usize = 64 * 1024;

/// How much memory gRPC may use for all connections, in bytes, before it refuses and ends some. A connected client
/// takes about 30 KB.
pub const GRPC_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// The share of the machine's memory that this is at most, as the denominator of a fraction.
pub const GRPC_SHARE: u64 = 8;

/// How long a receive thread waits before it releases the memory that its stack has grown to.
pub const STACK_TIME: Duration = Duration::from_millis(50);

/// How many threads of ended streams are kept for the next streams, and how long.
pub const SPARE_THREADS_MAX: usize = 64;
pub const SPARE_THREAD_TIME: Duration = Duration::from_secs(1);

/// The stack of a stream's threads, in bytes. Untouched stack costs no memory; about 8 KiB are touched.
pub const STACK_BYTES: usize = 128 * 1024;

/// How long after a signal that starts a drain another signal belongs to the same stop: `timeout` sends two, and a
/// terminal and a supervisor may each send one.
pub const SECOND_SIGNAL_AFTER: Duration = Duration::from_secs(1);

/// How many file descriptors a server takes besides those of its clients: its log, its readers, its listeners, its log
/// file and the pollers.
pub const DESCRIPTORS_RESERVED: usize = 48;

/// How many file descriptors a command such as `hubbub-server verify` needs: two logs with their write-ahead logs, and
/// temporary files of SQLite.
pub const COMMAND_DESCRIPTORS_MIN: usize = 24;

/// How many threads the gRPC library starts for itself at the start of a program: two executors, the timers of its old and
/// of its new engine, and one for each processor for the latter, from 2 to 16.
pub const LIBRARY_THREADS: usize = 20;

/// How many file descriptors of the process are never used for connections, so that the log can always reopen its
/// files.
pub const DESCRIPTORS_KEPT: usize = 12;

/// How long a connection may take to start HTTP/2 before it is closed. A silent connection takes a file descriptor.
/// NATS allows 2 s, which is too short for phones.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often the files of certificates and keys are read again, to find out whether they have changed. A file that can't
/// be used is reported once it has been found so twice: programs that renew certificates replace one file after another.
pub const RELOAD_INTERVAL: Duration = Duration::from_secs(5);

/// How many days before the server's certificate expires the operator is warned.
pub const EXPIRY_WARNING_DAYS: [u64; 3] = [14, 7, 1];

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

/// From how many percent of a bound on the log warns that it will be reached, below how many it may warn again, and the
/// minimum interval between such log lines about the same bound.
pub const GAUGE_HIGH_PERCENT: u128 = 80;
pub const GAUGE_LOW_PERCENT: u128 = 70;
pub const GAUGES_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// How long the status of a stream that the server ends may take to reach the peer, which may have stopped reading.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The same for a client that requested the end and waits for it.
pub const FINISH_CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the server waits for threads of streams at its exit, after all streams were ended or cancelled.
pub const JOIN_TIMEOUT: Duration = Duration::from_secs(3);

/// How often a commit checks whether the log's files are still in their folder: four `stat` calls, a microsecond each.
/// Messages acknowledged between a deletion of the files and the next check are lost.
pub const FILES_CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// The maximum size of a database, in bytes, that is checked at a start after a kill. Checking that size takes some 0.1
/// s. `hubbub-server verify` checks any size.
pub const QUICK_CHECK_BYTES_MAX: u64 = 64 << 20;

/// How long a start waits for a data folder that is in use, and how often it checks. A killed server releases it
/// shortly after, and so does a child process that this program has just started, which has the lock until its exec.
pub const FOLDER_LOCK_WAIT: Duration = Duration::from_millis(300);
pub const FOLDER_LOCK_RETRY: Duration = Duration::from_millis(10);

/// How many findings of damage are kept in memory, so that each is logged once. Beyond that, only
/// `hubbub-server verify` lists them.
pub const DAMAGE_FINDINGS_MAX: usize = 1_000;

/// How many damaged databases a folder keeps.
pub const DAMAGED_DATABASES_MAX: u32 = 100;

/// The maximum size of a database, in bytes, that is cleaned at a start without a log line before: cleaning takes some
/// seconds a gigabyte.
pub const CLEANED_SILENTLY_BYTES_MAX: u64 = 100_000_000;

/// How many names are tried for a stored room whose normalized name is taken, that name included.
pub const ROOM_NAME_ATTEMPTS_MAX: u32 = 100;

/// How many addresses are remembered before those are forgotten that had nothing open and posted nothing for a time,
/// after which all their budgets but the daily one are full again. An address takes about 300 bytes.
pub const QUOTAS_KEPT: usize = 4_096;
pub const QUOTAS_KEPT_TIME: Duration = Duration::from_secs(60 * 60);

/// How long a change of the accounts waits for another program that has their file open.
pub const ACCOUNTS_WAIT: Duration = Duration::from_secs(5);

/// How many changes of accounts may wait for the thread that writes them. Further callers wait until there is space.
pub const ACCOUNT_ORDERS_MAX: usize = 16;

/// How long the last uses of tokens are collected before they are written together.
pub const LAST_USE_INTERVAL: Duration = Duration::from_secs(60);

/// How many users or tokens a page of a list for the operator has, and one user's tokens more.
pub const OPERATOR_PAGE: usize = 500;

/// How many threads serve the operator's commands, so that one slow client delays no other.
pub const OPERATOR_THREADS: usize = 2;

/// The maximum length of a request and of a response on the operator's socket, in bytes: a token with all its rooms,
/// and a page of tokens with all theirs.
pub const OPERATOR_REQUEST_BYTES_MAX: usize = 64 * 1024;
pub const OPERATOR_RESPONSE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How many requests one connection of the operator's socket may make: the pages of the longest list.
pub const OPERATOR_REQUESTS_MAX: usize = 10_000;

/// How long a client of the operator's socket may take to send a request, or to read a response. The commands wait for
/// a response a little longer than a change waits for the file.
pub const OPERATOR_TIMEOUT: Duration = Duration::from_secs(5);
pub const OPERATOR_RESPONSE_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a command waits for a data folder whose server is starting or stopping, or that other commands use.
pub const OPERATOR_FOLDER_WAIT: Duration = Duration::from_secs(3);
