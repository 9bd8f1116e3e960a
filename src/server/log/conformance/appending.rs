//! Appending: seqs, ids and times.

use std::time::Duration;

use super::fixtures::{at, post, post_without_id, published, room};
use super::subject::{Open, read_all, seqs, trim_all};
use crate::names::{Body, Kind, RoomId, Seq};
use crate::server::log::{Appended, LogError, Post, Retention, What, command};
use crate::wire::event::{self, NewMessage};

pub fn seqs_are_dense_in_each_room(open: Open<'_>) {
    let mut subject = open(Retention::default());
    let published = published(&mut *subject.appender);
    let (attic, cellar) = (room("attic"), room("cellar"));
    let id = RoomId(1);
    for batch in 0..20 {
        let posts: Vec<_> = (0..5)
            .map(|n| post_without_id(if n % 2 == 0 { &attic } else { &cellar }, "ann", &format!("{batch}.{n}")))
            .collect();
        let outcomes = subject.appender.append(&posts, at(1)).unwrap();
        assert_eq!((outcomes.len(), published.try_iter().count()), (5, 2));
    }
    let state = subject.log.find(&attic).unwrap().unwrap();
    assert_eq!((state.id, state.head, state.oldest), (id, Seq(60), Seq(1)));
    assert_eq!(seqs(&*subject.log, id, 1), (1..=60).collect::<Vec<_>>());
    let cellar = subject.log.find(&cellar).unwrap().unwrap();
    assert_eq!((cellar.head, cellar.epoch == state.epoch), (Seq(40), false));
    let bodies: Vec<_> = read_all(&*subject.log, cellar.id, 1).into_iter().map(|(.., body, _)| body).collect();
    let expected: Vec<_> = (0..20).flat_map(|batch| [1, 3].map(|n| format!("{batch}.{n}"))).collect();
    assert_eq!(bodies, expected);
}

pub fn a_known_id_is_not_stored_again(open: Open<'_>) {
    let mut subject = open(Retention::default());
    let (attic, cellar) = (room("attic"), room("cellar"));
    let first = post(&attic, "ann", 1, "hello");
    let posts = [first.clone(), first.clone(), post(&attic, "bob", 1, "mine"), post(&cellar, "ann", 1, "there")];
    let outcomes = subject.appender.append(&posts, at(1)).unwrap();
    let (a, c) = (RoomId(1), RoomId(2));
    let expected =
        [Appended::New(a, Seq(1)), Appended::Before(a, Seq(1)), Appended::New(a, Seq(2)), Appended::New(c, Seq(1))];
    assert_eq!(outcomes, expected.map(Ok));
    subject.reopen();
    let again = subject.appender.append(&[post(&attic, "bob", 2, "new"), first], at(2)).unwrap();
    assert_eq!(again, [Ok(Appended::New(a, Seq(3))), Ok(Appended::Before(a, Seq(1)))]);
    let published = published(&mut *subject.appender);
    subject.appender.append(&posts[..2], at(3)).unwrap();
    assert_eq!(published.try_iter().count(), 0);
    assert_eq!(seqs(&*subject.log, a, 1), [1, 2, 3]);
}

/// Another client may use an id first, with another content. The server must not answer the id's owner then that its
/// own message is stored.
pub fn an_id_of_another_message_is_refused(open: Open<'_>) {
    let mut subject = open(Retention { messages: Some(2), ..Retention::default() });
    let attic = room("attic");
    let forged = post(&attic, "ci", 1, "all green");
    let own = post(&attic, "ci", 1, "FAILED: do not deploy");
    let taken = |seq| Err(LogError::IdTaken(Seq(seq)));
    let outcomes = subject.appender.append(&[post(&attic, "ci", 2, "x"), forged.clone(), own.clone()], at(1)).unwrap();
    assert_eq!(outcomes[2], taken(2));
    let outcomes = subject.appender.append(&[own.clone(), forged.clone(), own.clone()], at(1)).unwrap();
    assert_eq!(outcomes, [taken(2), Ok(Appended::Before(RoomId(1), Seq(2))), taken(2)]);
    subject.reopen();
    let outcomes = subject.appender.append(&[own.clone(), forged.clone()], at(2)).unwrap();
    assert_eq!(outcomes, [taken(2), Ok(Appended::Before(RoomId(1), Seq(2)))]);
    let message = forged.message().unwrap().clone();
    // An action that says the same words is another message.
    let content = event::content(&NewMessage::plain(
        &message.id,
        &forged.sender,
        None,
        &Body::new("all green").unwrap(),
        Kind::Action,
    ));
    let action = Post { what: What::Message(command::NewMessage { content, ..message }), ..forged };
    assert_eq!(subject.appender.append(&[action], at(2)).unwrap(), [taken(2)]);
    // A deleted message can't be compared.
    subject.appender.append(&[post(&attic, "ann", 3, "y"), post(&attic, "ann", 4, "z")], at(3)).unwrap();
    trim_all(&mut *subject.appender, at(4));
    assert_eq!(subject.appender.append(&[own], at(5)).unwrap(), [Ok(Appended::Before(RoomId(1), Seq(2)))]);
}

/// A sender lost its connection after its message was stored and before the echo arrived. When it reconnected,
/// retention had deleted the message and its id, so the repeated post was stored a second time.
pub fn an_id_outlives_its_message(open: Open<'_>) {
    const DAY: u64 = 24 * 60 * 60;
    let mut subject = open(Retention { messages: Some(1), ..Retention::default() });
    let (attic, room_id) = (room("attic"), RoomId(1));
    let (first, second) = (post(&attic, "ann", 1, "hello"), post(&attic, "ann", 2, "there"));
    subject.appender.append(&[first.clone(), post_without_id(&attic, "bob", "x")], at(1)).unwrap();
    subject.appender.append(std::slice::from_ref(&second), at(2)).unwrap();
    assert_eq!(trim_all(&mut *subject.appender, at(3)), Some(at(3 + DAY)));
    assert_eq!(seqs(&*subject.log, room_id, 1), [3]);
    for seconds in [4, 2 + DAY] {
        subject.reopen();
        let posts = [second.clone(), first.clone(), post(&attic, "bob", 1, "another's")];
        let outcomes = subject.appender.append(&posts[..2], at(seconds)).unwrap();
        let before = [Appended::Before(room_id, Seq(3)), Appended::Before(room_id, Seq(1))];
        assert_eq!(outcomes, before.map(Ok));
        assert_eq!(trim_all(&mut *subject.appender, at(seconds)), Some(at(3 + DAY)));
    }
    // After a day the id is deleted.
    assert_eq!(trim_all(&mut *subject.appender, at(3 + DAY)), None);
    subject.reopen();
    let outcomes = subject.appender.append(&[first, second], at(4 + DAY)).unwrap();
    assert_eq!(outcomes, [Appended::New(room_id, Seq(4)), Appended::Before(room_id, Seq(3))].map(Ok));
}

pub fn time_never_decreases(open: Open<'_>) {
    let mut subject = open(Retention::default());
    let attic = room("attic");
    for seconds in [100, 50, 200] {
        subject.appender.append(&[post_without_id(&attic, "ann", "x")], at(seconds)).unwrap();
        subject.reopen();
    }
    let times: Vec<_> = read_all(&*subject.log, RoomId(1), 1).into_iter().map(|(.., time_ms)| time_ms).collect();
    assert_eq!(times, [100_000, 100_000, 200_000]);
}

/// All messages of a room were trimmed while the clock was ahead. After a restart with the right time, the next message
/// got a time before those of messages that clients had seen.
pub fn time_does_not_decrease_after_all_messages_were_deleted(open: Open<'_>) {
    let mut subject = open(Retention { time: Some(Duration::from_secs(10)), ..Retention::default() });
    let attic = room("attic");
    subject.appender.append(&[post_without_id(&attic, "ann", "ahead")], at(1_000)).unwrap();
    subject.appender.trim(at(1_010)).unwrap();
    assert_eq!(seqs(&*subject.log, RoomId(1), 1), [0; 0]);
    subject.reopen();
    subject.appender.append(&[post_without_id(&attic, "ann", "right")], at(500)).unwrap();
    let times: Vec<_> = read_all(&*subject.log, RoomId(1), 1).into_iter().map(|(.., time_ms)| time_ms).collect();
    assert_eq!(times, [1_000_000]);
}

/// After one message that was stored while the clock was ten years ahead, all later messages of its room were dated ten
/// years ahead.
pub fn a_time_far_ahead_is_corrected(open: Open<'_>) {
    const YEAR: u64 = 365 * 24 * 60 * 60;
    let mut subject = open(Retention::default());
    let attic = room("attic");
    for seconds in [50 * YEAR, 60 * YEAR, 50 * YEAR + 1, 50 * YEAR + 2] {
        subject.appender.append(&[post_without_id(&attic, "ann", "x")], at(seconds)).unwrap();
        subject.reopen();
    }
    let times: Vec<_> = read_all(&*subject.log, RoomId(1), 1).into_iter().map(|(.., time_ms)| time_ms / 1000).collect();
    assert_eq!(times, [50 * YEAR, 60 * YEAR, 50 * YEAR + 1, 50 * YEAR + 2]);
}
