//! The log lines of a program: how many may wait, how long they are, and how often the same may be repeated.

use std::time::Duration;

/// How many bytes of log lines may wait for standard error: about a thousand lines. Beyond it, lines are dropped and
/// counted.
pub const LINES_BYTES_MAX: usize = 256 * 1024;

/// How long the text of a log line, and each of its fields, may be, in bytes: it is cut beyond that.
pub const LINE_TEXT_BYTES_MAX: usize = 8 * 1024;

/// How many lines of a kind that clients can cause are written in a window of time. What is beyond is counted.
pub const REPEATS_MAX: u32 = 20;

/// The length of the first window, and the maximum: each window that follows a full one is twice as long. So a flood that
/// goes on for a day takes about 8 MB for each kind.
pub const REPEATS_WINDOW: Duration = Duration::from_secs(1);
pub const REPEATS_WINDOW_MAX: Duration = Duration::from_secs(64);

/// How long the end of a program waits until its log lines are written. Standard error may be a pipe that nobody reads.
pub const LINES_FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
