//! Health checks and server reflection, which need no login, and so are bounded on their own.
//!
//! A peer is an address, or one connection from this machine or an exempt network.

use std::time::Duration;

/// How many checks of one peer, and of all, may be in progress: until the client has its response. A probe makes one at a
/// time, from each of its targets' balancers.
pub const HEALTH_CALLS_PER_PEER_MAX: usize = 16;
pub const HEALTH_CALLS_MAX: usize = 1_024;

/// How many streams one peer, and all, may have to watch the health. A client has one for each connection and service;
/// each takes about 10 KiB.
pub const WATCHES_PER_PEER_MAX: usize = 16;
pub const WATCHES_MAX: usize = 256;

/// How many streams one peer, and all, may have for server reflection. A client has one, and keeps it for seconds.
pub const REFLECTIONS_PER_PEER_MAX: usize = 4;
pub const REFLECTIONS_MAX: usize = 32;

/// The maximum length of a request for reflection, in bytes. The longest name in the contracts has 60.
pub const REFLECTION_REQUEST_BYTES_MAX: usize = 4 * 1024;

/// How many requests one stream for reflection may make at once, and a second. A response has up to 10 KB, and a poller
/// makes it: beyond the rate, the stream is read later. `grpcurl describe` makes 10.
pub const REFLECTION_REQUESTS_BURST: u32 = 100;
pub const REFLECTION_REQUESTS_RATE: u32 = 20;

/// How long a stream for reflection may be without a request, and how long its client may take to read a response.
pub const REFLECTION_IDLE_MAX: Duration = Duration::from_secs(60);

/// How long a drain waits for those who watch the health, and for streams of reflection, to receive their ends.
pub const SIDE_STREAMS_DRAIN: Duration = Duration::from_millis(500);

/// How often the log writer looks whether the disk has its reserve while nothing is posted.
pub const DISK_WATCH_INTERVAL: Duration = Duration::from_secs(10);

/// How long after a failure to store messages it is tried again whether the log can be written; each time that this
/// succeeded and the next message failed, twice as long, up to a maximum.
pub const STORE_CHECK_FIRST: Duration = Duration::from_secs(1);
pub const STORE_CHECK_MAX: Duration = Duration::from_secs(64);
