//! What the contract promises: clients may rely on it. `chat.proto` or docs/reference.md states each number, or an event
//! carries it.

use std::time::Duration;

/// The maximum length of a user name, in characters. Wide enough for any real name, short enough for one line.
pub const NAME_CHARS_MAX: usize = 64;

/// How many combining marks may follow each other in a name. Vietnamese, Thai and Hebrew need up to 3; a dozen cover
/// the lines above and below.
pub const COMBINING_MARKS_MAX: usize = 4;

/// The maximum length of a message body, in bytes of UTF-8.
pub const BODY_BYTES_MAX: usize = 16 * 1024;

/// How many names a message may mention.
pub const MENTIONS_MAX: usize = 20;

/// The maximum length of an emoji or word that users react with, in bytes. The longest emoji that Unicode recommends, a
/// kiss between two people with different skin tones, has 35.
pub const EMOJI_BYTES_MAX: usize = 64;

/// How many different emojis a message may have as reactions, and how many of those who reacted it names for each.
pub const EMOJIS_MAX: usize = 20;
pub const REACTORS_NAMED_MAX: usize = 20;

/// How many messages of a room may be pinned.
pub const PINS_MAX: usize = 50;

/// The maximum length of a room's topic, in characters.
pub const TOPIC_CHARS_MAX: usize = 512;

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
