//! Reading: from any message, from both ends, and while others append.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::fixtures::{at, post, post_without_id, room};
use super::subject::{Open, history, seqs};
use crate::names::{RoomId, Seq};
use crate::server::log::{Appender, History, Page, Part, Piece, Retention};

pub fn a_read_begins_anywhere_and_is_bounded(open: Open<'_>) {
    let mut subject = open(Retention::default());
    let attic = room("attic");
    for batch in [1, 7, 1, 1, 30, 2] {
        let posts: Vec<_> = (0..batch).map(|_| post_without_id(&attic, "ann", &"x".repeat(50))).collect();
        subject.appender.append(&posts, at(1)).unwrap();
    }
    let id = subject.log.find(&attic).unwrap().unwrap().id;
    for from in 1..=43 {
        assert_eq!(seqs(&*subject.log, id, from), (from..=42).collect::<Vec<_>>());
        for bytes_max in [0, 1, 300, 5_000] {
            if let Page::Segments(segments) = subject.log.read(id, Seq(from), bytes_max).unwrap() {
                assert_eq!(segments.is_empty(), from == 43);
                let bytes: usize = segments.iter().map(|segment| segment.frame().len()).sum();
                let last = segments.last().map_or(0, |segment| segment.frame().len());
                assert!(bytes - last <= bytes_max, "{bytes} bytes from {from}, requested {bytes_max}");
            }
        }
    }
    assert!(seqs(&*subject.log, id, 1_000).is_empty());
    assert!(seqs(&*subject.log, id, u64::MAX).is_empty());
}

/// Threads that read while another appends see all messages up to some commit, and never fewer than before.
pub fn readers_see_whole_commits(open: Open<'_>) {
    let mut subject = open(Retention::default());
    let attic = room("attic");
    let id = RoomId(1);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut before = 0;
                while !done.load(Ordering::SeqCst) {
                    let head = subject.log.find(&attic).unwrap().map_or(0, |state| state.head.0);
                    assert!(head >= before && head.is_multiple_of(4), "a part of a batch is visible: {head}");
                    let found = seqs(&*subject.log, id, before + 1);
                    assert_eq!(found, (before + 1..=before + found.len() as u64).collect::<Vec<_>>());
                    assert!(before + found.len() as u64 >= head);
                    before = head;
                }
            });
        }
        for n in 0..200 {
            let posts: Vec<_> = (0..4).map(|k| post(&attic, "ann", n * 4 + k, "x")).collect();
            subject.appender.append(&posts, at(n)).unwrap();
        }
        done.store(true, Ordering::SeqCst);
    });
    assert_eq!(seqs(&*subject.log, id, 1).len(), 800);
}

/// A page of history was assembled from a room's state and from later reads. If retention trimmed in between, the page
/// was empty although there were more messages: 252 pages of 22,668.
pub fn a_part_of_history_is_read_from_one_state(open: Open<'_>) {
    const KEPT: u64 = 5;
    let mut subject = open(Retention { messages: Some(KEPT), ..Retention::default() });
    let attic = room("attic");
    let say = |appender: &mut dyn Appender| {
        appender.append(&[post_without_id(&attic, "ann", "x"), post_without_id(&attic, "ann", "x")], at(1)).unwrap();
    };
    (0..KEPT).for_each(|_| say(&mut *subject.appender));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for reader in 0..4 {
            let (log, attic, done) = (&subject.log, &attic, &done);
            scope.spawn(move || {
                while !done.load(Ordering::SeqCst) {
                    let backwards = reader % 2 == 0;
                    let part = if backwards { Part::Before(Seq(u64::MAX)) } else { Part::From(Seq(1)) };
                    let History { room, pieces } = history(&**log, attic, part, 1_000, usize::MAX);
                    assert_eq!(pieces.first().map(Piece::first), Some(room.oldest));
                    assert_eq!(pieces.last().map(Piece::last), Some(room.head));
                    assert!(room.head.0 - room.oldest.0 + 1 >= KEPT);
                }
            });
        }
        for _ in 0..300 {
            say(&mut *subject.appender);
            subject.appender.trim(at(1)).unwrap();
        }
        done.store(true, Ordering::SeqCst);
    });
}

pub fn history_is_read_from_both_ends(open: Open<'_>) {
    let mut subject = open(Retention::default());
    let attic = room("attic");
    assert!(subject.log.history(&attic, Part::From(Seq(1)), 1, 1).unwrap().is_none());
    let ends = |part, messages_max, bytes_max| {
        let pieces = history(&*subject.log, &attic, part, messages_max, bytes_max).pieces;
        pieces.first().zip(pieces.last()).map(|(first, last)| (first.first().0, last.last().0))
    };
    // Each segment has five messages of about 10,000 bytes.
    for _ in 0..20 {
        let posts: Vec<_> = (0..5).map(|_| post_without_id(&attic, "ann", &"x".repeat(10_000))).collect();
        subject.appender.append(&posts, at(1)).unwrap();
    }
    for (part, messages_max, bytes_max, expected) in [
        (Part::From(Seq(1)), 1, 1, Some((1, 5))),
        (Part::From(Seq(7)), 1, 1, Some((6, 10))),
        (Part::From(Seq(7)), 1_000, 1, Some((6, 10))),
        (Part::From(Seq(7)), 1_000, 60_000, Some((6, 15))),
        (Part::From(Seq(100)), 1_000, 1_000_000, Some((96, 100))),
        (Part::From(Seq(101)), 1_000, 1_000_000, None),
        (Part::From(Seq(u64::MAX)), 1_000, 1_000_000, None),
        (Part::Before(Seq(u64::MAX)), 1, 1, Some((96, 100))),
        (Part::Before(Seq(96)), 1, 1, Some((91, 95))),
        (Part::Before(Seq(97)), 1_000, 1, Some((96, 100))),
        (Part::Before(Seq(96)), 1_000, 60_000, Some((86, 95))),
        (Part::Before(Seq(7)), 1_000, 1_000_000, Some((1, 10))),
        (Part::Before(Seq(1)), 1_000, 1_000_000, None),
        (Part::Before(Seq(0)), 1_000, 1_000_000, None),
    ] {
        let found = ends(part, messages_max, bytes_max);
        // A log may join small neighbours, and so read one segment more.
        let covers =
            found.zip(expected).is_some_and(|(found, expected)| found.0 <= expected.0 && found.1 >= expected.1);
        assert!(found == expected || covers, "{part:?} of {messages_max}, {bytes_max}: {found:?}");
        let size = found.map_or(0, |(first, last)| last + 1 - first) as usize * 10_100;
        assert!(size <= bytes_max.saturating_add(100_000), "{part:?} of {bytes_max} bytes read {size}");
    }
}
