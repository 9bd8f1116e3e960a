//! Tuning of the log: no client may rely on these, and no documented option sets them.

use std::time::Duration;

/// How many bytes are joined into one frame, and one segment more.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;

/// How long after a deletion by retention the messages are erased from the log's files, so that no file has them a
/// minute later; readers may delay erasing further. A busy server erases the deletions of this interval together: each
/// erasure blocks the writer for some milliseconds. Only tests change it, with the hidden option `--erase-after`.
pub const ERASE_AFTER: Duration = Duration::from_secs(30);

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

/// How many pages must be left for messages before a log that could not store any is taken for writable again: 64 KiB,
/// more than the longest message takes.
pub const PROBE_PAGES: u64 = 16;

/// How many allocated pages of the database only deletions may use.
pub const SPACE_FOR_DELETING_PAGES: u64 = 64;

/// How many messages a step of trimming deletes at once, plus one segment: a few milliseconds. Posts wait for it.
pub const TRIM_MESSAGES_MAX: u64 = 1024;

/// How many bytes of messages a step of trimming deletes at once, plus one segment. Deleted pages are overwritten, so
/// the same amount is written to the write-ahead log.
pub const TRIM_BYTES_MAX: usize = 1024 * 1024;

/// How long the file of deletions may become before its older half is removed, in bytes: about 800,000 deletions.
pub const DELETIONS_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How many of the last replacements of segments a room remembers, for the cursors that hold such segments. A cursor that
/// missed more releases what it holds, and reads it again.
pub const REPLACEMENTS_KEPT: usize = 64;

/// How many events of a room are looked at, at least, to find messages among them. Of changes, that is about 10 KB.
pub const CHUNK_EVENTS_MIN: u64 = 256;

/// Up to how many bytes a segment is rewritten as a whole when one of its messages is changed. A larger one is cut around
/// that message. Half of a page of the database: cutting such a segment would not save the write of a page.
pub const REWRITE_BYTES_MAX: usize = 2048;

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

/// The share of the bound on the log's size that may be appended before the log is trimmed at once, as the denominator of
/// a fraction.
pub const TRIM_SHARE: u64 = 64;

/// How long after an append the log is trimmed, so that not every batch needs another fsync.
pub const TRIM_INTERVAL: Duration = Duration::from_millis(100);

/// How much a send thread reads from the log at once for a cursor behind the tail, in bytes, plus one segment.
pub const READ_BYTES_MAX: usize = 64 * 1024;

/// How many file descriptors a command such as `hubbub-server verify` needs: two logs with their write-ahead logs, and
/// temporary files of SQLite.
pub const COMMAND_DESCRIPTORS_MIN: usize = 24;

/// From how many percent of a bound on the log warns that it will be reached, below how many it may warn again, and the
/// minimum interval between such log lines about the same bound.
pub const GAUGE_HIGH_PERCENT: u128 = 80;
pub const GAUGE_LOW_PERCENT: u128 = 70;
pub const GAUGES_LOG_INTERVAL: Duration = Duration::from_secs(60);

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
