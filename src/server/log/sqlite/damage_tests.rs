//! Damaged databases: the readable messages are served, and the others are reported exactly.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::conformance::{at, post, post_without_id, room, trim_all};
use super::super::{Appended, Appender, Log, LogError, Page, Part, Piece, Segment};
use super::*;
use crate::names::{RoomId, RoomName, Seq};
use crate::wire::event;

const PAGE: usize = 4096;

fn open_with(folder: &Path, messages: Option<u64>) -> (SqliteAppender, Arc<SqliteLog>) {
    open(folder, SyncMode::Os, false, Retention { messages, ..Retention::default() }).unwrap()
}

/// Changes the database while no server uses it.
fn change(folder: &Path, sql: &str) {
    let connection = rusqlite::Connection::open(folder.join(DATABASE)).unwrap();
    connection.execute_batch(sql).unwrap();
}

/// The result of reading: the seqs of messages, and ranges that can't be read.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    messages: Vec<u64>,
    gaps: Vec<(u64, u64)>,
}

impl Found {
    fn segment(&mut self, segment: &Segment, from: Seq) {
        for entry in event::entries(segment.frame().as_slice()) {
            let entry = entry.unwrap().0;
            if entry.seq >= from {
                let body = event::read_content(entry.content).unwrap().body;
                assert_eq!(body.split(' ').next(), Some(entry.seq.to_string().as_str()), "a wrong body is served");
                self.messages.push(entry.seq.0);
            }
        }
    }

    fn gap(&mut self, from: Seq, to: Seq) {
        match self.gaps.last_mut() {
            // Adjacent ranges are joined.
            Some(last) if last.1 + 1 == from.0 => last.1 = to.0,
            _ => self.gaps.push((from.0, to.0)),
        }
    }

    /// Whether each message was found once, or is in a gap.
    fn is_whole(&self, from: u64, to: u64) -> bool {
        let mut all: Vec<_> = self.messages.clone();
        self.gaps.iter().for_each(|(first, last)| all.extend(*first..=*last));
        all.sort_unstable();
        all.into_iter().eq(from..=to)
    }
}

/// Reads as a cursor does, up to the head.
fn walk(log: &dyn Log, room: RoomId, from: u64, head: u64, bytes_max: usize) -> Found {
    let mut found = Found::default();
    let mut next = Seq(from);
    while next.0 <= head {
        match log.read(room, next, bytes_max).unwrap() {
            Page::Segments(segments) if segments.is_empty() => {
                found.gap(next, Seq(head));
                next = Seq(head + 1);
            }
            Page::Segments(segments) => {
                for segment in segments {
                    assert!(segment.holds(next));
                    found.segment(&segment, next);
                    next = segment.last().next();
                }
            }
            Page::Trimmed { oldest } => next = oldest,
            Page::Damaged { next: beyond } => {
                let beyond = beyond.unwrap_or(Seq(head + 1));
                assert!(beyond > next);
                found.gap(next, Seq(beyond.0 - 1));
                next = beyond;
            }
        }
    }
    found
}

fn pieces(log: &dyn Log, name: &RoomName, part: Part, messages_max: u64) -> Vec<Piece> {
    log.history(name, part, messages_max, 100_000).unwrap().unwrap().pieces
}

/// Reads pages from the beginning to the end, or back.
fn pages(log: &dyn Log, name: &RoomName, head: u64, backwards: bool, messages_max: u64) -> Found {
    let mut found = Found::default();
    let mut all = Vec::new();
    let mut at = if backwards { Seq(head + 1) } else { Seq(1) };
    loop {
        let part = if backwards { Part::Before(at) } else { Part::From(at) };
        let page = pieces(log, name, part, messages_max);
        for pair in page.windows(2) {
            assert_eq!(pair[0].last().next(), pair[1].first());
        }
        let (Some(first), Some(last)) = (page.first(), page.last()) else { break };
        if backwards {
            assert!(last.last().next() >= at && first.first() < at, "{page:?} before {at}");
            at = first.first();
            all.splice(0..0, page);
        } else {
            assert!(first.first() <= at && last.last() >= at, "{page:?} from {at}");
            at = last.last().next();
            all.extend(page);
        }
    }
    let mut next = Seq(1);
    for piece in all {
        match &piece {
            _ if piece.last() < next => continue,
            Piece::Segment(segment) => found.segment(segment, next),
            Piece::Damaged { from, to } => found.gap((*from).max(next), *to),
        }
        next = piece.last().next();
    }
    found
}

fn append(appender: &mut SqliteAppender, name: &RoomName, first: u64, count: u64, pad: usize) {
    let posts: Vec<_> =
        (first..first + count).map(|seq| post(name, "ann", seq, &format!("{seq} {}", "x".repeat(pad)))).collect();
    let outcomes = appender.append(&posts, at(1)).unwrap();
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
}

/// A body with a changed byte was served. After checksums were added, a stream ended with an error at that message, and
/// the messages after it could not be read.
#[test]
fn a_changed_byte_is_a_gap_of_its_segment() {
    for (needle, gap) in [("1 x", (1, 2)), ("4 x", (3, 4)), ("6 x", (5, 6))] {
        let folder = tempfile::tempdir().unwrap();
        let attic = room("attic");
        let (mut appender, log) = open_with(folder.path(), None);
        (0..3).for_each(|n| append(&mut appender, &attic, 2 * n + 1, 2, 10));
        drop((appender, log));
        let bytes = fs::read(folder.path().join(DATABASE)).unwrap();
        let hit = bytes.windows(3).position(|window| window == needle.as_bytes()).unwrap();
        let file = File::options().write(true).open(folder.path().join(DATABASE)).unwrap();
        file.write_all_at(b"y", hit as u64 + 2).unwrap();
        let (mut appender, log) = open_with(folder.path(), None);
        let found = walk(&*log, RoomId(1), 1, 6, 1);
        assert!(found.is_whole(1, 6) && found.gaps == [gap], "{found:?}");
        assert_eq!(walk(&*log, RoomId(1), 2, 6, 1_000).gaps, [(gap.0.max(2), gap.1)]);
        append(&mut appender, &attic, 7, 1, 10);
        assert_eq!(walk(&*log, RoomId(1), 1, 7, 1_000_000).gaps, [gap]);
    }
}

/// A segment that an earlier version stored has no checksum: it is served if it can be decoded.
#[test]
fn a_segment_without_a_checksum_is_served_if_it_can_be_decoded() {
    let folder = tempfile::tempdir().unwrap();
    let attic = room("attic");
    let (mut appender, log) = open_with(folder.path(), None);
    (0..3).for_each(|n| append(&mut appender, &attic, 2 * n + 1, 2, 10));
    drop((appender, log));
    change(
        folder.path(),
        "UPDATE segments SET checksum = NULL; UPDATE segments SET entries = x'0a00' WHERE first = 3;",
    );
    let (_appender, log) = open_with(folder.path(), None);
    assert_eq!(walk(&*log, RoomId(1), 1, 6, 1_000), Found { messages: vec![1, 2, 5, 6], gaps: vec![(3, 4)] });
}

/// The damage done to a segment.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Whole,
    /// Its entries are damaged.
    Entries,
    /// It is missing.
    Missing,
    /// The seq at which it ends is wrong.
    Last(i64),
    /// Both.
    EntriesAndLast(i64),
}

fn fates() -> impl Strategy<Value = Vec<(u64, bool, Fate)>> {
    let odd = prop_oneof![Just(-1), Just(0), Just(i64::MAX), Just(i64::MIN), Just(3), 0..100i64];
    let fate = prop_oneof![
        4 => Just(Fate::Whole),
        2 => Just(Fate::Entries),
        1 => Just(Fate::Missing),
        1 => odd.clone().prop_map(Fate::Last),
        1 => odd.prop_map(Fate::EntriesAndLast),
    ];
    // The number of a segment's messages, and whether they are long.
    vec((1..5u64, prop::bool::weighted(0.2), fate), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// After any damage, every way of reading serves each message or reports it in a gap; no intact message is in a
    /// gap; and the server starts, appends, and deletes messages for retention.
    #[test]
    fn every_message_is_served_or_in_a_gap(fates in fates()) {
        let folder = tempfile::tempdir().unwrap();
        let (attic, cellar) = (room("attic"), room("cellar"));
        let (mut appender, log) = open_with(folder.path(), None);
        let (mut head, mut expected, mut gaps) = (0, Vec::new(), Found::default());
        let mut changes = String::new();
        let last_index = fates.len() - 1;
        for (index, (count, is_long, fate)) in fates.into_iter().enumerate() {
            let (first, pad) = (head + 1, if is_long { 3_000 } else { 10 });
            append(&mut appender, &attic, first, count, pad);
            head += count;
            // If the newest segment is missing, nothing in the database shows that it existed.
            let fate = if index == last_index && !matches!(fate, Fate::Entries | Fate::Last(_)) { Fate::Whole } else { fate };
            match fate {
                Fate::Whole | Fate::Last(_) => expected.extend(first..=head),
                _ => gaps.gap(Seq(first), Seq(head)),
            }
            let row = format!("WHERE room = 1 AND first = {first}");
            changes += &match fate {
                Fate::Whole => String::new(),
                Fate::Entries => format!("UPDATE segments SET entries = zeroblob(length(entries)) {row};"),
                Fate::Missing => format!("DELETE FROM segments {row};"),
                Fate::Last(last) => {
                    // A plausible end can't be distinguished from the right one without reading the entries.
                    let last = if index == last_index { -1 } else { last };
                    format!("UPDATE segments SET last = {last} {row};")
                }
                Fate::EntriesAndLast(last) => {
                    format!("UPDATE segments SET last = {last}, entries = zeroblob(length(entries)) {row};")
                }
            };
        }
        append(&mut appender, &cellar, 1, 1, 10);
        drop((appender, log));
        change(folder.path(), &changes);
        let (mut appender, log) = open_with(folder.path(), None);
        let expected = Found { messages: expected, gaps: gaps.gaps };
        prop_assert_eq!(log.find(&attic).unwrap().unwrap().head, Seq(head));
        for bytes_max in [1, 2_000, 1_000_000] {
            prop_assert_eq!(&walk(&*log, RoomId(1), 1, head, bytes_max), &expected);
        }
        for messages_max in [1, 3, 1_000] {
            for backwards in [false, true] {
                prop_assert_eq!(&pages(&*log, &attic, head, backwards, messages_max), &expected);
            }
        }
        append(&mut appender, &attic, head + 1, 1, 10);
        append(&mut appender, &cellar, 2, 1, 10);
        drop((appender, log));
        let (mut appender, log) = open_with(folder.path(), Some(1));
        trim_all(&mut appender, at(2));
        for (name, head) in [(&attic, head + 1), (&cellar, 2)] {
            let state = log.find(name).unwrap().unwrap();
            prop_assert_eq!((state.oldest, state.head), (Seq(head), Seq(head)));
            prop_assert_eq!(walk(&*log, state.id, 1, head, 1_000), Found { messages: vec![head], gaps: vec![] });
        }
    }
}

/// Rooms with many messages, so that each has its own pages.
const ROOMS: u64 = 3;
const SEGMENTS: u64 = 120;

fn name(number: u64) -> RoomName {
    room(&format!("room-{number}"))
}

fn fill(folder: &Path) {
    let (mut appender, _log) = open_with(folder, None);
    for number in 1..=ROOMS {
        for seq in 1..=SEGMENTS {
            // A few segments share a page; each is found by its unique text.
            let body = format!("{seq} needle-{number}-{seq}-{}", "x".repeat(500));
            let posts = [post(&name(number), &format!("sender-{number}-{seq}-"), seq, &body)];
            assert!(appender.append(&posts, at(1)).unwrap()[0].is_ok());
        }
    }
}

fn is_refused(outcome: &Result<Appended, LogError>, name: &RoomName) -> bool {
    matches!(outcome, Err(LogError::Damaged(text)) if text.contains(&format!("room {name} ")))
}

/// Because of one damaged page of one room's segments or ids, 13 % of the posts to other rooms were rejected, a server
/// with retention did not start, and trimming failed permanently.
#[test]
fn a_damaged_page_affects_only_its_room() {
    for (needle, garbage) in [
        ("needle-2-60-", 0xff),
        ("needle-2-60-", 0),
        ("needle-2-1-", 0xff),
        ("needle-2-120-", 0xff),
        ("sender-2-60-", 0xff),
        ("sender-2-120-", 0),
    ] {
        for messages in [None, Some(1)] {
            let folder = tempfile::tempdir().unwrap();
            fill(folder.path());
            // The sender's name is in the ids and in the segments, where the needle follows it.
            let is_ids = needle.starts_with("sender");
            // A page may contain the end of one room and the beginning of the next.
            let hit = smash_rows(folder.path(), needle, is_ids, garbage);
            assert!(hit.contains(&2), "{needle}");
            let (mut appender, log) = open_with(folder.path(), messages);
            let posts: Vec<_> = (1..=ROOMS)
                .flat_map(|number| {
                    [post_without_id(&name(number), "bob", "121 x"), post(&name(number), "bob", 900, "122 y")]
                })
                .collect();
            let outcomes = appender.append(&posts, at(2)).unwrap();
            for (post, outcome) in posts.iter().zip(&outcomes) {
                let is_damaged = hit.iter().any(|number| post.room == name(*number));
                assert!(outcome.is_ok() || is_damaged && is_refused(outcome, &post.room), "{needle}: {outcome:?}");
            }
            // Retention continues, and comes to an end.
            let mut steps = 0;
            while appender.trim(at(3)).unwrap().is_some_and(|next| next <= at(3)) {
                steps += 1;
                assert!(steps < 100, "{needle}: retention never ends");
            }
            for number in [1, 3].into_iter().filter(|number| !hit.contains(number)) {
                let state = log.find(&name(number)).unwrap().unwrap();
                let oldest = if messages.is_some() { SEGMENTS + 1 } else { 1 };
                assert_eq!((state.oldest.0, state.head.0), (oldest, SEGMENTS + 2));
            }
            let state = log.find(&name(2)).unwrap().unwrap();
            let found = walk(&*log, state.id, state.oldest.0, state.head.0, 1_000);
            if messages.is_none() {
                assert!(is_ids == found.gaps.is_empty(), "{needle}: {found:?}");
            }
        }
    }
}

/// Overwrites the page of one table that contains a text. Returns the rooms that have rows on it, or may have: if a
/// room begins on it, the previous room may end on it.
fn smash_rows(folder: &Path, needle: &str, is_ids: bool, garbage: u8) -> Vec<u64> {
    let bytes = fs::read(folder.join(DATABASE)).unwrap();
    let file = File::options().write(true).open(folder.join(DATABASE)).unwrap();
    let has = |page: &[u8], text: &str| page.windows(text.len()).any(|window| window == text.as_bytes());
    let is_hit = |page: &[u8]| has(page, needle) && has(page, "needle-") != is_ids;
    let hits: Vec<_> = bytes.chunks(PAGE).enumerate().filter(|(_, page)| is_hit(page)).collect();
    let [(at, page)] = hits[..] else { panic!("{} pages contain {needle}", hits.len()) };
    file.write_all_at(&[garbage; PAGE], (at * PAGE) as u64).unwrap();
    let is_on =
        |number: u64| has(page, &format!("sender-{number}-")) || has(page, &format!("sender-{}-1-", number + 1));
    (1..=ROOMS).filter(|number| is_on(*number)).collect()
}
