//! Retention: which messages are deleted, and when.

use std::sync::Arc;
use std::time::Duration;

use super::fixtures::{at, post, post_without_id, room};
use super::subject::{Open, is_later, seqs, trim_all};
use crate::names::{RoomId, RoomName, Seq};
use crate::server::log::{Appended, Appender, Page, Retention};
use crate::server::room::Rooms;

pub fn retention_by_count(open: Open<'_>) {
    let mut subject = open(Retention { messages: Some(10), ..Retention::default() });
    let attic = room("attic");
    for n in 0..10 {
        let posts: Vec<_> = (0..3).map(|k| post(&attic, "ann", n * 3 + k, "x")).collect();
        subject.appender.append(&posts, at(n)).unwrap();
        assert!(is_later(trim_all(&mut *subject.appender, at(n))));
    }
    // At least ten are kept; segments are deleted whole, so up to two more.
    assert_eq!(seqs(&*subject.log, RoomId(1), 1), (19..=30).collect::<Vec<_>>());
    assert!(matches!(subject.log.read(RoomId(1), Seq(4), 1), Ok(Page::Trimmed { oldest: Seq(19) })));
    let state = subject.log.find(&attic).unwrap().unwrap();
    assert_eq!((state.head, state.oldest), (Seq(30), Seq(19)));
}

pub fn retention_by_time(open: Open<'_>) {
    let retention = Retention { time: Some(Duration::from_secs(100)), ..Retention::default() };
    let mut subject = open(retention);
    let (attic, cellar) = (room("attic"), room("cellar"));
    subject.appender.append(&[post_without_id(&attic, "ann", "old")], at(1_000)).unwrap();
    subject.appender.append(&[post_without_id(&cellar, "ann", "old")], at(1_010)).unwrap();
    subject.appender.append(&[post_without_id(&attic, "ann", "new")], at(1_050)).unwrap();
    subject.reopen();
    // The state of an open room is read again only after the log was trimmed.
    let rooms = Arc::new(Rooms::new(Arc::clone(&subject.log), 0));
    let open_room = rooms.open(&attic, subject.appender.find(&attic).unwrap());
    let stored = |seen| open_room.stored(Seq(seen)).map(|state| (state.head.0, state.oldest.0));
    assert_eq!(trim_all(&mut *subject.appender, at(1_099)), Some(at(1_100)));
    assert_eq!(stored(0), Ok((2, 1)));
    assert_eq!(trim_all(&mut *subject.appender, at(1_100)), Some(at(1_110)));
    assert_eq!(stored(0), Ok((2, 2)));
    assert_eq!(seqs(&*subject.log, RoomId(1), 1), [2]);
    assert_eq!(seqs(&*subject.log, RoomId(2), 1), [1]);
    assert_eq!(trim_all(&mut *subject.appender, at(2_000)), None);
    assert_eq!(seqs(&*subject.log, RoomId(1), 1), [0; 0]);
    let state = subject.log.find(&attic).unwrap().unwrap();
    assert_eq!((state.head, state.oldest), (Seq(2), Seq(3)));
    let next = subject.appender.append(&[post_without_id(&attic, "ann", "newer")], at(2_000)).unwrap();
    assert_eq!(next, [Ok(Appended::New(RoomId(1), Seq(3)))]);
    // A message that a client has seen is found, although it was not published to the room.
    assert_eq!(stored(3), Ok((3, 3)));
}

/// One message that an earlier version had dated ten years ahead prevented all messages after it from being deleted by
/// age, because a room is trimmed from its oldest message on.
pub fn messages_dated_ahead_do_not_delay_retention(open: Open<'_>) {
    const DAY: u64 = 86_400;
    let time = Some(Duration::from_secs(90 * DAY));
    let mut subject = open(Retention { time, ..Retention::default() });
    let (attic, cellar) = (room("attic"), room("cellar"));
    let say = |appender: &mut dyn Appender, room: &RoomName, day: u64| {
        let posts = [post_without_id(room, "ann", "hello")];
        appender.append(&posts, at(day * DAY)).unwrap();
    };
    let appender = &mut *subject.appender;
    // The clock was wrong for the second to fourth message of one room, and for all messages of the other.
    for day in [100, 4_000, 4_001, 4_000, 110, 120] {
        say(appender, &attic, day);
    }
    say(appender, &cellar, 4_000);
    let oldest = |room| subject.log.find(room).unwrap().unwrap().oldest.0;
    let mut pass = |day: u64| {
        let dated = appender.date_back(at(day * DAY)).unwrap();
        trim_all(appender, at(day * DAY));
        (dated, oldest(&attic), oldest(&cellar))
    };
    assert_eq!(pass(121), (1, 1, 1), "a room whose messages are all dated ahead counts as stored now");
    assert_eq!(pass(195), (0, 2, 1), "the messages dated ahead have become the oldest");
    assert_eq!(pass(199), (1, 2, 1), "they count as stored on day 110, like the message after them");
    assert_eq!(pass(200), (0, 6, 1), "they are deleted with the message after them");
    assert_eq!(pass(211), (0, 7, 2));
}

/// A read of a room whose messages were all deleted returned the same as one of a room without messages yet, so a send
/// thread would have read it in an endless loop.
pub fn a_room_whose_messages_were_all_deleted_reports_it(open: Open<'_>) {
    let mut subject = open(Retention { time: Some(Duration::from_secs(1)), ..Retention::default() });
    let attic = room("attic");
    subject.appender.append(&[post_without_id(&attic, "ann", "x")], at(1)).unwrap();
    subject.appender.trim(at(10)).unwrap();
    assert!(matches!(subject.log.read(RoomId(1), Seq(1), 1), Ok(Page::Trimmed { oldest: Seq(2) })));
    assert!(matches!(subject.log.read(RoomId(1), Seq(2), 1), Ok(Page::Segments(page)) if page.is_empty()));
}
