//! Search: bounds of its queries, and tuning of its index.

use std::time::Duration;

/// The maximum length of a query, in characters.
pub const QUERY_CHARS_MAX: usize = 256;

/// The minimum length of the beginning in `word*`, in characters. Fewer match too much of the index: in a million
/// messages, three characters take 1 ms, and two take 15 ms. Scripts without spaces are exempt, since one character is a
/// word.
pub const PREFIX_CHARS_MIN: usize = 3;

/// How many words of a query may be beginnings. Each costs as much as a search of its own.
pub const PREFIXES_MAX: usize = 4;

/// How many messages a page of `SearchMessages` has by default, and at most. A client shows a few, and asks for more.
pub const SEARCH_PAGE_SIZE: usize = 20;
pub const SEARCH_PAGE_SIZE_MAX: usize = 100;

/// How many characters of a word are in the index. Longer words are rare, and are not language.
pub const TERM_CHARS_MAX: usize = 64;

/// How many entries of the index one call looks at, and from how many of them it reads the message. A call that has
/// found less by then returns what it has, with the token for the rest.
pub const SEARCH_ENTRIES_MAX: usize = 10_000;
pub const SEARCH_READS_MAX: usize = 500;

/// Up to how many rooms of a restricted login are part of the query to the index. With more, entries of other rooms are
/// skipped one by one.
pub const SEARCH_ROOM_TERMS_MAX: usize = 500;

/// How long a call waits for the index to be opened after the server's start.
pub const SEARCH_OPEN_WAIT: Duration = Duration::from_millis(500);

/// How long new messages are collected before they are indexed together: a transaction has a fixed cost.
pub const INDEX_INTERVAL: Duration = Duration::from_millis(200);

/// How many events one transaction of the index takes, and how many bytes of text, plus one message: some 150 ms of
/// work. Larger ones make larger segments, which are merged less often.
pub const INDEX_EVENTS_MAX: usize = 16_000;
pub const INDEX_BYTES_MAX: usize = 2 * 1024 * 1024;

/// How much memory FTS5 may take for the words of one transaction before it writes them, in bytes.
pub const INDEX_HASH_BYTES: i64 = 16 * 1024 * 1024;

/// How many events are indexed while less of the disk is free than its reserve. Beyond that the index waits: to make an
/// index again would use up the rest of the disk.
pub const INDEX_EVENTS_WITHOUT_SPACE: u64 = 10_000;

/// How many announcements of new segments may wait for the index. Beyond that, the index compares the heads of all
/// rooms.
pub const INDEX_QUEUE_MAX: usize = 8_192;

/// How many bytes of rooms' logs are kept in memory while the index is made from many rooms at once, plus one page.
pub const INDEX_READ_AHEAD_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How many segments of the index, of about the same size, are merged into one. More make the index in less time, and
/// slow searches and removals. FTS5's default is 4.
pub const INDEX_MERGED_SEGMENTS: i64 = 8;

/// How many messages share one record of their times, which bounds the range of a search by time.
pub const INDEX_BLOCK_MESSAGES: i64 = 4_096;

/// How much is written to the index's write-ahead log, in bytes, before it is copied into the index. A large index
/// writes up to 20 MB in a transaction, because neighbours in time are far apart in the table of places.
pub const INDEX_CHECKPOINT_BYTES: u64 = 32 * 1024 * 1024;

/// The page cache of the thread that writes the index, in KiB.
pub const INDEX_CACHE_KIB: i64 = 32 * 1024;

/// How long after events were indexed the memory of the index is given back, at the earliest: it grows to the caches'
/// maximum in a flood. Giving it back takes some 10 ms.
pub const INDEX_RELEASE_TIME: Duration = Duration::from_secs(2);

/// How many removals one transaction of the index makes.
pub const INDEX_REMOVALS_MAX: usize = 128;

/// How many removals between two erasures overwrite each word where it stands, plus one for this many messages of the
/// index. Beyond that, merging the whole index is cheaper: it takes some 2 s for a million messages, and a removal 0.4
/// ms.
pub const INDEX_SECURE_REMOVALS: u64 = 100;
pub const INDEX_SECURE_SHARE: u64 = 200;

/// How many pages of the index one step of a merge writes.
pub const INDEX_MERGE_PAGES: i64 = 250;

/// How often the index checks whether retention has deleted messages, and the share of a processor that this may take,
/// as the denominator of a fraction, up to the maximum interval.
pub const INDEX_TRIM_CHECK: Duration = Duration::from_secs(10);
pub const INDEX_TRIM_CHECK_SHARE: u32 = 20;
pub const INDEX_TRIM_CHECK_MAX: Duration = Duration::from_secs(25);

/// How long the index rests after a transaction while messages arrive faster than it indexes them, as a multiple of the
/// transaction's time. A flood then has its processors and its disk, and the index catches up afterwards.
pub const INDEX_REST_FACTOR: u32 = 6;

/// How long the index waits after a failure before it tries again, at first and at most.
pub const INDEX_RETRY_MIN: Duration = Duration::from_secs(1);
pub const INDEX_RETRY_MAX: Duration = Duration::from_secs(30);

/// How long the index may take to finish when the server stops. An index that is further behind could contain deleted
/// text, so it is removed, and made again at the next start.
pub const INDEX_FINISH_MAX: Duration = Duration::from_secs(5);

/// How long a write of the index waits for readers of the index.
pub const INDEX_WAIT: Duration = Duration::from_secs(2);
