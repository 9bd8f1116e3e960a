//! Rooms: created by their first message, and listed in order.

use super::fixtures::{at, created, post, post_without_id, room};
use super::subject::{Open, seqs};
use crate::names::{RoomId, Seq};
use crate::server::log::{Appended, Page, Part, Retention};

pub fn rooms_are_listed_in_order(open: Open<'_>) {
    let mut subject = open(Retention::default());
    let mut names: Vec<_> = (0..50).map(|n| room(&format!("room-{}", (n * 7) % 50))).collect();
    names.push(room("Zimmer"));
    names.push(room("ärger"));
    for name in &names {
        subject.appender.append(&[post(name, "ann", 1, "x")], at(1)).unwrap();
    }
    names.sort();
    let mut listed = Vec::new();
    while let Some(page) = Some(subject.log.rooms(listed.last(), 7).unwrap()).filter(|page| !page.is_empty()) {
        assert!(page.len() <= 7);
        listed.extend(page.into_iter().map(|state| state.name));
    }
    assert_eq!(listed, names);
}

pub fn unknown_rooms_are_not_found(open: Open<'_>) {
    let subject = open(Retention::default());
    assert_eq!(subject.log.find(&room("attic")), Ok(None));
    assert_eq!(subject.log.rooms(None, 10), Ok(Vec::new()));
    assert!(matches!(subject.log.read(RoomId(1), Seq(1), 1), Ok(Page::Segments(page)) if page.is_empty()));
}

/// `tail typo` created the room "typo", which stayed in the list of rooms permanently.
pub fn a_room_is_created_by_its_first_message(open: Open<'_>) {
    let mut subject = open(Retention::default());
    let [attic, cellar, garden] = ["attic", "cellar", "garden"].map(room);
    for name in [&attic, &cellar] {
        assert_eq!(subject.appender.find(name), Ok(None));
        assert_eq!(subject.log.find(name), Ok(None));
        assert!(subject.log.history(name, Part::From(Seq(1)), 1, 1).unwrap().is_none());
    }
    assert_eq!(subject.log.rooms(None, 10), Ok(Vec::new()));

    // Numbers are given in the order of the posts.
    let posts = [&cellar, &garden, &attic, &cellar].map(|name| post_without_id(name, "ann", "hello"));
    let created = created(&mut *subject.appender);
    subject.appender.append(&posts, at(1)).unwrap();
    let created: Vec<_> = created.try_iter().collect();
    let numbers: Vec<_> = created.iter().map(|state| (state.name.as_str(), state.id.0)).collect();
    assert_eq!(numbers, [("cellar", 1), ("garden", 2), ("attic", 3)]);
    for state in &created {
        assert_eq!((state.head, state.oldest, state.epoch_first), (Seq::ZERO, Seq(1), Seq(1)));
    }
    assert!(!created[0].epoch.is_same_room(created[1].epoch));
    for _ in 0..2 {
        for before in &created {
            let stored = subject.log.find(&before.name).unwrap().unwrap();
            assert_eq!((stored.id, stored.epoch, stored.epoch_first), (before.id, before.epoch, Seq(1)));
            assert_eq!(subject.appender.find(&before.name), Ok(Some(stored.clone())));
            assert_eq!(seqs(&*subject.log, stored.id, 1), (1..=stored.head.0).collect::<Vec<_>>());
        }
        let rooms = subject.log.rooms(None, 10).unwrap();
        assert_eq!(rooms.iter().map(|state| state.name.as_str()).collect::<Vec<_>>(), ["attic", "cellar", "garden"]);
        subject.reopen();
    }
}

/// A client may look for a million rooms in turn. None of them may take memory, or a number, afterwards.
pub fn rooms_that_were_only_looked_for_leave_nothing(open: Open<'_>) {
    let mut subject = open(Retention::default());
    let attic = room("attic");
    for n in 0..1_000 {
        let name = if n % 2 == 0 { attic.clone() } else { room(&format!("room-{n}")) };
        assert_eq!(subject.appender.find(&name), Ok(None));
    }
    let outcomes = subject.appender.append(&[post(&attic, "ann", 1, "hello")], at(1)).unwrap();
    assert_eq!(outcomes, [Ok(Appended::New(RoomId(1), Seq(1)))]);
    let stored = subject.log.rooms(None, 10).unwrap();
    assert_eq!(stored.iter().map(|state| &state.name).collect::<Vec<_>>(), [&attic]);
    subject.reopen();
    assert_eq!(subject.log.rooms(None, 10).unwrap(), stored);
}
