//! Rooms: created by their first message, and listed in order.

use std::collections::HashSet;

use super::fixtures::{OpenRoomSet, at, post, published, room};
use super::subject::{Open, seqs};
use crate::names::Seq;
use crate::server::log::{Appended, Page, Part, Retention};

pub fn rooms_are_listed_in_order(open: Open<'_>) {
    let mut subject = open(Retention::default());
    let mut names: Vec<_> = (0..50).map(|n| room(&format!("room-{}", (n * 7) % 50))).collect();
    names.push(room("Zimmer"));
    names.push(room("ärger"));
    for name in &names {
        subject.appender.open(name).unwrap();
        subject.appender.append(&[post(name, "ann", 1, "x")], at(1)).unwrap();
    }
    // These rooms have no messages.
    for name in ["room-", "room-300", "room-a"] {
        subject.appender.open(&room(name)).unwrap();
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
    assert!(
        matches!(subject.log.read(crate::names::RoomId(1), Seq(1), 1), Ok(Page::Segments(page)) if page.is_empty())
    );
}

/// `tail typo` created the room "typo", which stayed in the list of rooms permanently.
pub fn a_room_is_created_by_its_first_message(open: Open<'_>) {
    let mut subject = open(Retention::default());
    let open_rooms = OpenRoomSet::of(&mut *subject.appender);
    let [attic, cellar, garden] = ["attic", "cellar", "garden"].map(room);
    let opened = open_rooms.open(&mut *subject.appender, &attic);
    assert_eq!((opened.head, opened.oldest, opened.epoch_first), (Seq::ZERO, Seq(1), Seq(1)));
    let second = open_rooms.open(&mut *subject.appender, &cellar);
    assert!(opened.id != second.id && opened.epoch != second.epoch);
    for name in [&attic, &cellar] {
        assert_eq!(subject.log.find(name), Ok(None));
        assert!(subject.log.history(name, Part::From(Seq(1)), 1, 1).unwrap().is_none());
    }
    assert!(matches!(subject.log.read(opened.id, Seq(1), 1), Ok(Page::Segments(page)) if page.is_empty()));
    assert_eq!(subject.log.rooms(None, 10), Ok(Vec::new()));

    // The first message of a room has the number that its members know, in any order of the rooms.
    let posts = [&cellar, &garden, &attic].map(|name| post(name, "ann", 1, "hello"));
    let published = published(&mut *subject.appender);
    subject.appender.append(&posts, at(1)).unwrap();
    let first: Vec<_> = published.try_iter().map(|segment| (segment.room(), segment.first().0)).collect();
    assert_eq!((first[0], first[2]), ((second.id, 1), (opened.id, 1)));
    assert!(first[1].0 != opened.id && first[1].0 != second.id);
    for _ in 0..2 {
        for (name, opened) in [(&attic, &opened), (&cellar, &second)] {
            let stored = subject.log.find(name).unwrap().unwrap();
            assert_eq!((stored.id, stored.epoch, stored.epoch_first), (opened.id, opened.epoch, Seq(1)));
            assert_eq!(subject.appender.open(name).unwrap(), stored);
            assert_eq!(seqs(&*subject.log, stored.id, 1), [1]);
        }
        let rooms = subject.log.rooms(None, 10).unwrap();
        assert_eq!(rooms.iter().map(|state| state.name.as_str()).collect::<Vec<_>>(), ["attic", "cellar", "garden"]);
        subject.reopen();
    }
}

/// A client may join a million rooms in turn. None of them may take memory afterwards.
pub fn rooms_that_were_only_opened_leave_nothing(open: Open<'_>) {
    let mut subject = open(Retention::default());
    let open_rooms = OpenRoomSet::of(&mut *subject.appender);
    let mut numbers = HashSet::new();
    let attic = room("attic");
    for n in 0..1_000 {
        // After all members have left, a room of the same name is another room.
        let name = if n % 2 == 0 { attic.clone() } else { room(&format!("room-{n}")) };
        assert!(numbers.insert(open_rooms.open(&mut *subject.appender, &name).id));
        open_rooms.close(&name);
    }
    let outcomes = subject.appender.append(&[post(&attic, "ann", 1, "hello")], at(1)).unwrap();
    assert!(matches!(outcomes[..], [Ok(Appended::New(id, Seq(1)))] if numbers.insert(id)), "{outcomes:?}");
    let stored = subject.log.rooms(None, 10).unwrap();
    assert_eq!(stored.iter().map(|state| &state.name).collect::<Vec<_>>(), [&attic]);
    subject.reopen();
    assert_eq!(subject.log.rooms(None, 10).unwrap(), stored);
    assert!(subject.appender.open(&room("cellar")).unwrap().id > stored[0].id);
}
