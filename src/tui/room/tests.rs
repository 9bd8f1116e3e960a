use std::ops::RangeInclusive;

use super::super::message::{RowStyle, Zone};
use super::*;
use crate::client::{Extras, HistoryPage, Person};
use crate::names::Kind;

pub fn new_room(me: Me, limits: Limits, mark: Option<u64>) -> Room {
    Room::new(RoomName::new("tea").unwrap(), me, limits, mark)
}

/// The room is joined, with that head and oldest seq.
pub fn joined(room: &mut Room, head_seq: u64, oldest_seq: u64) {
    let name = room.name().clone();
    room.joined(&RoomJoined {
        room: &name,
        time_ms: 0,
        epoch: Epoch::new(7).unwrap(),
        head_seq,
        oldest_seq,
        members: 2,
        topic: "",
        pinned_seqs: &[],
    });
}

/// A message, at a time of its own.
pub fn message(seq: u64, sender: &str, body: &str) -> StoredMessage {
    StoredMessage {
        seq,
        // 26 November 2026, 20:00 UTC, and a minute for each message.
        time_ms: 1_795_723_200_000 + seq * 60_000,
        id: MessageId::from_bytes([u8::try_from(seq % 250).unwrap() + 1; 16]),
        sender: sender.to_owned(),
        body: body.to_owned(),
        kind: Kind::Text,
        client_id: None,
        authenticated: false,
        extras: Extras::default(),
    }
}

fn me() -> Me {
    Me { name: "ann".to_owned(), authenticated: false, marks_claims: false }
}

fn room(mark: Option<u64>) -> Room {
    new_room(me(), Limits::default(), mark)
}

/// A joined room with the messages 1 to `count`.
fn filled(mark: Option<u64>, count: u64) -> Room {
    let mut room = room(mark);
    joined(&mut room, count, 1);
    (1..=count).for_each(|seq| room.message(message(seq, "bob", &format!("text {seq}")), false));
    room.caught_up(count);
    room
}

fn style(columns: u16) -> RowStyle {
    RowStyle { zone: Zone::Utc, ..RowStyle::new(columns, "ann") }
}

/// The texts of the rows, without what precedes them.
fn texts(room: &mut Room, height: usize) -> Vec<String> {
    let rows = room.shown(&style(60), height).rows;
    rows.iter().map(|row| row.row.text().rsplit("│ ").next().unwrap_or_default().to_owned()).collect()
}

fn page(seqs: RangeInclusive<u64>, head_seq: u64) -> HistoryPage {
    HistoryPage {
        last_seq: (!seqs.is_empty()).then_some(*seqs.end()),
        messages: seqs.map(|seq| message(seq, "bob", &format!("text {seq}"))).collect(),
        gaps: Vec::new(),
        epoch: Epoch::new(7),
        head_seq,
        oldest_seq: 1,
    }
}

fn person(name: &str) -> Person {
    Person { name: name.to_owned(), authenticated: false }
}

#[test]
fn the_newest_messages_are_shown_and_scrolling_keeps_its_place() {
    let mut room = filled(None, 100);
    assert_eq!(texts(&mut room, 3), ["text 98", "text 99", "text 100"]);
    room.scroll(Scroll::Rows(-10));
    assert_eq!(texts(&mut room, 3), ["text 88", "text 89", "text 90"]);
    // What arrives, and another width, change nothing of that.
    room.message(message(101, "bob", "text 101"), false);
    assert_eq!(texts(&mut room, 3), ["text 88", "text 89", "text 90"]);
    let narrow = room.shown(&style(30), 3);
    assert_eq!((narrow.rows.last().unwrap().seq, narrow.below, narrow.at_end), (Some(90), 11, false));
    room.scroll(Scroll::Rows(1000));
    let end = room.shown(&style(60), 3);
    assert_eq!((end.rows.last().unwrap().seq, end.below, end.at_end), (Some(101), 0, true));
    room.message(message(102, "bob", "text 102"), false);
    assert_eq!(texts(&mut room, 1), ["text 102"]);
    room.scroll(Scroll::Start);
    assert!(texts(&mut room, 4)[0].starts_with("── the beginning of the room"));
    room.scroll(Scroll::Pages(-5));
    assert_eq!(texts(&mut room, 4)[2..], ["text 1", "text 2"]);
}

#[test]
fn scrolling_up_reads_history_and_keeps_its_place() {
    let mut room = room(None);
    joined(&mut room, 1_000, 1);
    (951..=1_000).for_each(|seq| room.message(message(seq, "bob", &format!("text {seq}")), false));
    assert_eq!(room.wanted(), None, "the history of the join comes first");
    room.caught_up(1_000);
    room.scroll(Scroll::Rows(-10));
    let before = texts(&mut room, 20);
    assert_eq!(room.wanted(), Some(Wanted::Before(951)));
    assert_eq!(room.wanted(), None, "it was requested");
    room.page(Wanted::Before(951), &page(751..=950, 1_000)).unwrap();
    assert_eq!(texts(&mut room, 20), before);
    assert_eq!(room.wanted(), None, "enough is in memory");
    room.scroll(Scroll::Start);
    texts(&mut room, 20);
    assert_eq!(room.wanted(), Some(Wanted::Before(751)));
    room.page_failed(Wanted::Before(751));
    assert_eq!(room.wanted(), None, "not before the user moves");
    room.scroll(Scroll::Rows(-1));
    assert_eq!(room.wanted(), Some(Wanted::Before(751)));
    // An empty page is the start.
    room.page(Wanted::Before(751), &page(RangeInclusive::new(1, 0), 1_000)).unwrap();
    assert!(room.is_at_start());
    assert_eq!(room.wanted(), None);
}

/// A page may be older than the stream: what was deleted meanwhile must not come back.
#[test]
fn a_late_page_has_the_changes_that_arrived_before_it() {
    let mut room = filled(None, 0);
    joined(&mut room, 100, 1);
    (91..=100).for_each(|seq| room.message(message(seq, "bob", "x"), false));
    room.caught_up(100);
    texts(&mut room, 10);
    assert_eq!(room.wanted(), Some(Wanted::Before(91)));
    room.changed(101, 0, &LoggedChange::Deleted { message_seq: 50, by: person("bob") });
    room.page(Wanted::Before(91), &page(41..=90, 100)).unwrap();
    assert!(room.get(50).unwrap().extras.is_deleted() && room.get(50).unwrap().body.is_empty());
    // Another history is refused.
    room.scroll(Scroll::Start);
    texts(&mut room, 10);
    let wanted = room.wanted().unwrap();
    assert!(room.page(wanted, &HistoryPage { epoch: Epoch::new(8), ..page(1..=40, 101) }).is_err());
    assert_eq!(room.get(40), None);
}

#[test]
fn a_jump_reads_what_is_around_and_the_end_is_read_again() {
    let mut room = room(None);
    joined(&mut room, 10_000, 1);
    (9_951..=10_000).for_each(|seq| room.message(message(seq, "bob", &format!("text {seq}")), false));
    room.caught_up(10_000);
    texts(&mut room, 9);
    room.jump(5_000);
    assert_eq!(room.wanted(), Some(Wanted::Around(5_000)));
    room.page(Wanted::Around(5_000), &page(4_900..=5_099, 10_000)).unwrap();
    assert_eq!(texts(&mut room, 9)[3], "text 5000");
    // Live messages stay on the server meanwhile, and are counted.
    room.message(message(10_001, "bob", "text 10001"), false);
    let screen = room.shown(&style(60), 9);
    assert_eq!((screen.at_end, screen.below, room.unread()), (false, 94 + 4_902, 1));
    room.scroll(Scroll::Rows(1_000));
    texts(&mut room, 9);
    assert_eq!(room.wanted(), Some(Wanted::After(5_099)));
    room.page(Wanted::After(5_099), &page(5_100..=5_299, 10_001)).unwrap();
    room.scroll(Scroll::End);
    assert_eq!(room.wanted(), Some(Wanted::Newest));
    room.page(Wanted::Newest, &page(9_802..=10_001, 10_001)).unwrap();
    assert_eq!(texts(&mut room, 2), ["text 10000", "text 10001"]);
    assert!(room.shown(&style(60), 9).at_end);
    room.message(message(10_002, "bob", "text 10002"), false);
    assert_eq!(texts(&mut room, 1), ["text 10002"]);
}

#[test]
fn own_messages_are_shown_until_they_are_stored() {
    let mut room = filled(None, 2);
    let own = StoredMessage { id: MessageId::from_bytes([9; 16]), ..message(3, "ann", "mine") };
    let pending = Pending { id: own.id, body: "mine".to_owned(), kind: Kind::Text, reply_to: None, failed: None };
    room.post(pending.clone());
    assert_eq!(texts(&mut room, 2), ["text 2", "mine"]);
    room.message(own, true);
    assert_eq!((texts(&mut room, 2), room.pending().len()), (vec!["text 2".to_owned(), "mine".to_owned()], 0));
    assert_eq!(room.unread(), 0);
    room.post(Pending { id: MessageId::from_bytes([8; 16]), ..pending });
    room.failed(&MessageId::from_bytes([8; 16]), "too long");
    assert!(texts(&mut room, 1)[0].ends_with("not sent: too long"));
    assert!(room.settled(&MessageId::from_bytes([8; 16])).is_some() && room.pending().is_empty());
}

#[test]
fn the_line_is_above_the_first_unread_message() {
    let mut room = filled(Some(95), 100);
    room.entered();
    let rows = texts(&mut room, 7);
    assert!(rows[1].starts_with("── unread ─"), "{rows:?}");
    assert!(room.seen());
    assert_eq!((room.mark(), room.unread()), (Some((100, Epoch::new(7).unwrap())), 0));
    assert_eq!(texts(&mut room, 7), rows, "the line stays");
    room.scroll(Scroll::Rows(-50));
    room.scroll(Scroll::Unread);
    assert!(texts(&mut room, 6).iter().any(|row| row == "text 96"));
    room.read();
    assert!(!texts(&mut room, 20).iter().any(|row| row.starts_with("── unread")));
    room.mark_unread(98);
    assert_eq!((room.unread(), room.seen(), room.mark().unwrap().0), (3, false, 97));
}

#[test]
fn mentions_are_counted_and_found() {
    let mut room = filled(Some(0), 50);
    let named = Extras { mentions: vec!["ann".to_owned()], ..Extras::default() };
    room.message(StoredMessage { extras: named.clone(), ..message(51, "bob", "@ann hi") }, false);
    room.message(message(52, "bob", "ask Ann, or bannann"), false);
    room.message(message(53, "bob", "no annexe"), false);
    room.message(StoredMessage { extras: named, ..message(54, "ann", "@ann myself") }, false);
    assert_eq!(room.mentions(), 2);
    (55..=90).for_each(|seq| room.message(message(seq, "bob", "x"), false));
    texts(&mut room, 6);
    room.scroll(Scroll::MentionAbove);
    assert!(texts(&mut room, 6).iter().any(|row| row.contains("ask Ann")));
    room.scroll(Scroll::Rows(-20));
    texts(&mut room, 6);
    room.scroll(Scroll::MentionBelow);
    assert!(texts(&mut room, 6).iter().any(|row| row.contains("@ann hi")));
    room.scroll(Scroll::MentionBelow);
    room.scroll(Scroll::MentionBelow);
    assert_eq!(texts(&mut room, 1), ["x"]);
}

#[test]
fn a_lost_history_is_a_gap_and_the_rest_is_read_again() {
    let mut room = filled(Some(100), 100);
    joined(&mut room, 90, 1);
    room.gap(&Gap { from_seq: 81, to_seq: 100, reason: GapReason::EpochChanged });
    (81..=90).for_each(|seq| room.message(message(seq, "bob", &format!("new {seq}")), false));
    room.caught_up(90);
    let rows = texts(&mut room, 40);
    assert!(rows.iter().any(|row| row.contains("lost messages 81 to 100")), "{rows:?}");
    assert_eq!((rows.last().unwrap().as_str(), room.unread(), room.mark().unwrap().0), ("new 90", 10, 80));
    assert_eq!(room.wanted(), Some(Wanted::Before(81)));
    room.page(Wanted::Before(81), &page(1..=80, 90)).unwrap();
    assert!(texts(&mut room, 40).iter().any(|row| row == "text 80"));
    // What retention deleted at the server is not shown any more.
    room.gap(&Gap { from_seq: 91, to_seq: 95, reason: GapReason::Retention });
    room.message(message(96, "bob", "kept"), false);
    assert!(room.get(80).is_none() && room.is_at_start());
    assert_eq!(texts(&mut room, 1), ["kept"]);
}

/// A gap of the stream is in the page too.
#[test]
fn damage_is_shown_once() {
    let mut room = filled(None, 10);
    let gap = Gap { from_seq: 11, to_seq: 15, reason: GapReason::Damaged };
    room.gap(&gap);
    room.message(message(16, "bob", "x"), false);
    room.caught_up(16);
    texts(&mut room, 30);
    assert_eq!(room.wanted(), Some(Wanted::Before(16)));
    room.page(Wanted::Before(16), &HistoryPage { gaps: vec![gap], last_seq: Some(15), ..page(1..=10, 16) }).unwrap();
    let rows = room.shown(&style(100), 40).rows;
    assert_eq!(rows.iter().filter(|row| row.row.text().contains("can't be read")).count(), 1);
    assert!(rows.iter().any(|row| row.row.text().ends_with("text 10")));
}

#[test]
fn a_change_is_shown_where_the_message_is() {
    let mut room = filled(None, 3);
    texts(&mut room, 3);
    let edited = LoggedChange::Edited { message_seq: 2, body: "better".to_owned(), mentions: vec!["ann".to_owned()] };
    room.changed(4, 0, &edited);
    assert_eq!(texts(&mut room, 2)[0], "better (edited)");
    room.changed(5, 0, &LoggedChange::Room { by: person("bob"), topic: Some("milk".to_owned()) });
    assert_eq!(room.topic(), "milk");
    assert!(texts(&mut room, 1)[0].ends_with("topic set by bob: milk"));
    assert_eq!((room.get(2).unwrap().body.as_str(), room.behind()), ("better", 0));
}

#[test]
fn a_message_is_chosen_and_stays_on_the_screen() {
    let mut room = filled(None, 100);
    texts(&mut room, 5);
    for expected in (90..=100).rev() {
        assert!(room.select(Step::Older));
        assert_eq!(room.selected().unwrap().seq, expected);
        let rows = room.shown(&style(60), 5).rows;
        assert!(rows.iter().any(|row| row.is_selected && row.seq == Some(expected)));
    }
    assert!(room.select(Step::Newer) && room.selected().unwrap().seq == 91);
    assert!(room.select_seq(3) && !room.select_seq(1_000));
    assert!(room.shown(&style(60), 5).rows.iter().any(|row| row.is_selected));
    room.unselect();
    assert!(room.selected().is_none());
}

/// The rows of a message are made once; only what is on the screen has rows.
#[test]
fn a_long_room_makes_rows_for_the_screen_only() {
    let mut room = new_room(me(), Limits { entries: 200_000, bytes: usize::MAX }, None);
    joined(&mut room, 0, 1);
    (1..=100_000).for_each(|seq| room.message(message(seq, "bob", "a text of some length"), false));
    room.caught_up(100_000);
    texts(&mut room, 50);
    assert!(room.cache.made() < 60, "{}", room.cache.made());
    room.scroll(Scroll::Rows(-100));
    texts(&mut room, 50);
    assert!(room.cache.made() < 200, "{}", room.cache.made());
}
