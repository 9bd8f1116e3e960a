//! What an operator may set: the default of an option, or the values that it accepts.

use super::contract::RECEIVE_BYTES_MAX;

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

/// How many rooms one address may create within an hour (ergo allows 15 to a user, in all). Option: `--room-rate`.
pub const ROOMS_PER_HOUR: f64 = 10.0;

/// How many rooms one address may create in all, since the server's start. Option: `--rooms-per-address`.
pub const ROOMS_PER_ADDRESS_MAX: usize = 100;

/// How many rooms the log may have by default. A room stays until an operator deletes it, and takes a few hundred bytes
/// of memory from its first post until the server exits. Rooms without messages are not stored and do not count: they
/// exist only while a client is in them. Option: `--rooms-max`.
pub const ROOMS_MAX: usize = 100_000;
