//! Bounds of the admin face.

use std::time::Duration;

/// How many threads answer requests. They are started with the server, so that they work when no thread can be started.
pub const ADMIN_THREADS: usize = 4;

/// How many descriptors are kept for connections, for when the process has no others left. One for each thread.
pub const ADMIN_SPARE_DESCRIPTORS: usize = ADMIN_THREADS;

/// How many connections may wait for a thread. More are refused.
pub const ADMIN_WAITING_MAX: usize = 16;

/// How long a connection may say nothing; then, the head of its request has [`HTTP_HEAD_TIME`](super::HTTP_HEAD_TIME) to
/// arrive.
pub const ADMIN_IDLE_MAX: Duration = Duration::from_secs(5);

/// How long a request may take to arrive while others wait for a thread, and how often that is checked.
pub const ADMIN_CROWD_TIME: Duration = Duration::from_millis(500);
pub const ADMIN_CROWD_CHECK: Duration = Duration::from_millis(100);

/// How long a client may take to read the response.
pub const ADMIN_ANSWER_TIME: Duration = Duration::from_secs(5);

/// How long the input of a connection is discarded after its response, and how many bytes of it.
pub const ADMIN_LINGER: Duration = Duration::from_millis(500);
pub const ADMIN_LINGER_BYTES_MAX: usize = 64 * 1024;

/// How many of the slowest readers the status page lists.
pub const STATUS_READERS_MAX: usize = 20;

/// Up to how many threads the status page counts them by their names: it reads a file for each.
pub const STATUS_THREADS_MAX: usize = 2_000;
