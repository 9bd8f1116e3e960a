//! The bounds of the client library, with the options that set them.
//!
//! The server's bounds, and what the contract promises, are in [`crate::limits`].

use std::time::Duration;

// Connecting.

/// How long a server may take to answer a connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a client waits for one address of a server's name before it tries the next in parallel, as RFC 8305
/// recommends.
pub const ADDRESS_STAGGER: Duration = Duration::from_millis(250);

/// How many addresses of a name a client tries: each pending one takes a thread for up to [`CONNECT_TIMEOUT`].
pub const ADDRESSES_MAX: usize = 8;

/// How long the diagnosis of a failed connection waits for a connection, for unsolicited data of the peer, and for its
/// answer. A proxy may take five times the first to answer.
pub const DIAGNOSIS_CONNECT_WAIT: Duration = Duration::from_secs(1);
pub const DIAGNOSIS_BANNER_WAIT: Duration = Duration::from_millis(300);
pub const DIAGNOSIS_ANSWER_WAIT: Duration = Duration::from_secs(1);

/// How long a server may take to send `Welcome`.
pub const WELCOME_TIMEOUT: Duration = Duration::from_secs(10);

/// How many rooms a client joins with one request: with the longest names, a quarter of the largest request.
pub const GREETING_COMMANDS_MAX: usize = 50;

// Reconnecting.

/// The pause before the first attempt. A restarted server is available again soon.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(200);

/// The longest pause, before jitter. A user who waits for a server should not have to wait much longer for the client.
pub const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// The longest pause that a server can request. A client whose server requests more tries again after this.
pub const REQUESTED_PAUSE_MAX: Duration = Duration::from_secs(300);

/// How long a connection must have lasted for the pauses to start small again after it. They also do after a connection
/// over which a room caught up. A connection without messages must not lengthen them: in a room where all clients wait
/// for one that is disconnected, none gets a message.
pub const STABLE_AFTER: Duration = Duration::from_secs(5);

// Posting and calling.

/// How many lines may wait for their acknowledgement by default. More than a user types during an outage; a program
/// that reads a file has to wait. `--in-flight` of `hubbub-repeat` raises it for a run.
pub const LINES_MAX: usize = 1024;

/// The default maximum of bytes of those lines: 64 of the largest. `--in-flight` and `--size` of `hubbub-repeat` raise
/// it for a run.
pub const BYTES_MAX: usize = 1024 * 1024;

/// How long a session that is finishing waits without any progress by default. Options: `--timeout` of `hubbub`, and
/// `--idle-timeout` of `hubbub-repeat`.
pub const FINISH_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a call may take in all, by default. Option: `--timeout` of `hubbub`.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);
