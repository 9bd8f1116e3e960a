use fastrand::Rng;

use super::*;
use crate::client::v1::kept_changes::CHANGES_MAX;
use crate::client::v1::stored::{Extras, Person};
use crate::names::{Kind, MessageId, RoomName};

fn message(seq: u64, body: &str) -> StoredMessage {
    StoredMessage {
        seq,
        time_ms: seq,
        id: MessageId::from_bytes([1; 16]),
        sender: "ann".to_owned(),
        body: body.to_owned(),
        kind: Kind::Text,
        client_id: None,
        authenticated: false,
        extras: Extras::default(),
    }
}

fn person(name: &str) -> Person {
    Person { name: name.to_owned(), authenticated: false }
}

fn edited(message_seq: u64, body: &str) -> LoggedChange {
    LoggedChange::Edited { message_seq, body: body.to_owned(), mentions: Vec::new() }
}

fn epoch() -> Option<Epoch> {
    Epoch::new(7)
}

fn join(timeline: &mut Timeline, head_seq: u64, oldest_seq: u64) {
    let room = RoomName::lobby();
    let epoch = epoch().unwrap();
    let (time_ms, members, topic, pinned_seqs) = (0, 1, "tea", &[3][..]);
    timeline.joined(&RoomJoined { room: &room, time_ms, epoch, head_seq, oldest_seq, members, topic, pinned_seqs });
}

fn page(head_seq: u64, messages: Vec<StoredMessage>) -> HistoryPage {
    let last_seq = messages.last().map(|message| message.seq);
    HistoryPage { messages, gaps: Vec::new(), last_seq, epoch: epoch(), head_seq, oldest_seq: 1 }
}

fn body(timeline: &Timeline, seq: u64) -> Option<&str> {
    timeline.get(seq).map(|message| message.body.as_str())
}

#[test]
fn a_change_applies_once_and_only_to_a_message_that_does_not_include_it() {
    let mut timeline = Timeline::default();
    join(&mut timeline, 4, 1);
    let mut included = message(1, "two");
    (included.extras.changed_seq, included.extras.edited_seq) = (4, 4);
    timeline.message(included);
    assert_eq!(timeline.change(3, 3, &edited(1, "one")), Effect::Included);
    assert_eq!(timeline.change(4, 4, &edited(1, "two")), Effect::Included);
    assert_eq!(timeline.change(5, 5, &edited(2, "other")), Effect::NotHeld);
    assert_eq!(timeline.change(6, 6, &edited(1, "three")), Effect::Applied);
    let held = timeline.get(1).unwrap();
    assert_eq!((held.body.as_str(), held.extras.edited_seq, held.extras.edited_ms), ("three", 6, 6));
    let deleted = LoggedChange::Deleted { message_seq: 1, by: person("ann") };
    assert_eq!(timeline.change(7, 7, &deleted), Effect::Applied);
    let held = timeline.get(1).unwrap();
    assert!(held.body.is_empty() && held.extras.is_deleted() && held.extras.edited_seq == 0);
}

/// The story of R2 and its page rule: a page that was read before an edit arrived after it, and undid it.
#[test]
fn changes_above_the_head_of_a_late_page_are_applied_to_it_again() {
    let mut timeline = Timeline::default();
    join(&mut timeline, 10, 1);
    timeline.change(11, 11, &edited(2, "new"));
    timeline.page(&page(10, vec![message(2, "old")])).unwrap();
    assert_eq!(body(&timeline, 2), Some("new"));
    // The changes before the join are not known, so an older page can't be merged.
    assert_eq!(timeline.page(&page(9, vec![message(3, "old")])), Err(Outdated));
    // Neither can one after more changes than are kept, nor one of another history.
    for seq in 12..12 + CHANGES_MAX as u64 {
        timeline.change(seq, seq, &edited(1, "x"));
    }
    assert_eq!(timeline.page(&page(10, vec![message(3, "old")])), Err(Outdated));
    let other = HistoryPage { epoch: Epoch::new(8), ..page(2_000, vec![message(3, "old")]) };
    assert_eq!(timeline.page(&other), Err(Outdated));
}

#[test]
fn the_state_of_a_join_is_that_at_its_head() {
    let mut timeline = Timeline::default();
    join(&mut timeline, 10, 1);
    let pin = |message_seq, removed| LoggedChange::Pinned { message_seq, by: person("ann"), removed };
    let topic = |topic: &str| LoggedChange::Room { by: person("ann"), topic: Some(topic.to_owned()) };
    for history in [pin(4, false), pin(3, true), topic("milk")] {
        assert_eq!(timeline.change(10, 10, &history), Effect::Included);
    }
    assert_eq!((timeline.topic(), timeline.pinned_seqs()), ("tea", &[3][..]));
    for (seq, later) in [(11, pin(4, false)), (12, topic("milk")), (13, pin(3, false))] {
        assert_eq!(timeline.change(seq, seq, &later), Effect::Applied);
    }
    assert_eq!((timeline.topic(), timeline.pinned_seqs()), ("milk", &[4, 3][..]));
    // A deleted message is not pinned any more, whether it is held or not.
    let deleted = LoggedChange::Deleted { message_seq: 4, by: person("ann") };
    assert_eq!(timeline.change(14, 14, &deleted), Effect::NotHeld);
    assert_eq!(timeline.pinned_seqs(), [3]);
}

#[test]
fn what_retention_deleted_is_forgotten() {
    let mut timeline = Timeline::default();
    join(&mut timeline, 0, 1);
    (1..=9).for_each(|seq| timeline.message(message(seq, "x")));
    timeline.gap(&Gap { from_seq: 10, to_seq: 12, reason: GapReason::Retention });
    assert_eq!(timeline.newest().count(), 0);
    (13..=19).for_each(|seq| timeline.message(message(seq, "x")));
    join(&mut timeline, 19, 17);
    assert_eq!(timeline.newest().map(|message| message.seq).collect::<Vec<_>>(), [19, 18, 17]);
    // A page that was read before brings nothing back.
    timeline.page(&page(19, vec![message(16, "x")])).unwrap();
    assert_eq!(timeline.get(16), None);
    // Lost events could have changed anything.
    timeline.gap(&Gap { from_seq: 20, to_seq: 22, reason: GapReason::Damaged });
    assert_eq!((timeline.newest().count(), timeline.bytes), (0, 0));
}

/// A regression: after the log was restored from a backup, pages were refused until the new history was as long as the
/// lost one.
#[test]
fn a_page_of_a_shorter_history_is_merged() {
    let mut timeline = Timeline::default();
    join(&mut timeline, 100, 1);
    join(&mut timeline, 90, 1);
    timeline.gap(&Gap { from_seq: 81, to_seq: 100, reason: GapReason::EpochChanged });
    timeline.page(&page(90, vec![message(2, "x")])).unwrap();
    assert_eq!(body(&timeline, 2), Some("x"));
    assert_eq!(timeline.page(&page(79, vec![message(3, "x")])), Err(Outdated));
}

#[test]
fn a_timeline_is_bounded() {
    let mut timeline = Timeline::default();
    join(&mut timeline, 0, 1);
    (1..=1_500).for_each(|seq| timeline.message(message(seq, "x")));
    assert_eq!((timeline.newest().count(), timeline.bytes), (MESSAGES_MAX, MESSAGES_MAX));
    let long = "x".repeat(16_000);
    (1_501..=1_700).for_each(|seq| timeline.message(message(seq, &long)));
    assert!(timeline.bytes <= BYTES_MAX && timeline.newest().count() > 100);
    (1_701..=1_900).for_each(|seq| _ = timeline.change(seq, seq, &edited(1, &long)));
    assert_eq!(timeline.page(&page(1_700, Vec::new())), Err(Outdated), "not all changes are kept");
    assert_eq!(timeline.page(&page(1_900, Vec::new())), Ok(()));
}

#[test]
fn reactions_are_counted_and_the_first_are_named() {
    let mut held = message(1, "hi");
    let mut react = |seq, name: &str, removed| {
        let emoji = "+1".to_owned();
        LoggedChange::Reacted { message_seq: 1, emoji, by: person(name), removed }.apply(seq, seq, &mut held);
        held.extras.reactions.first().map_or((0, 0), |reaction| (reaction.count, reaction.people.len()))
    };
    for n in 0..25 {
        react(10 + n, &format!("user{n}"), false);
    }
    assert_eq!(react(40, "user3", true), (24, 19));
    assert_eq!(react(41, "user24", true), (23, 19));
    for n in (0..24).filter(|n| *n != 3) {
        react(50 + n, &format!("user{n}"), true);
    }
    assert_eq!(held.extras.reactions, []);
}

/// A room: its events, and the state of its messages after each of them.
#[derive(Default)]
struct Room {
    events: Vec<Logged>,
    /// The messages as they are after each event.
    states: Vec<BTreeMap<u64, StoredMessage>>,
    oldest: u64,
}

#[derive(Clone)]
enum Logged {
    Message,
    Change(LoggedChange),
}

impl Room {
    fn head(&self) -> u64 {
        self.events.len() as u64
    }

    fn now(&self) -> BTreeMap<u64, StoredMessage> {
        self.states.last().cloned().unwrap_or_default()
    }

    fn step(&mut self, rng: &mut Rng) {
        let (seq, mut now) = (self.head() + 1, self.now());
        let target = rng.choice(now.keys().copied().collect::<Vec<_>>()).filter(|_| rng.u8(..) < 160);
        let logged = match target.filter(|seq| !now[seq].extras.is_deleted()) {
            None => {
                now.insert(seq, message(seq, &format!("text {seq}")));
                Logged::Message
            }
            Some(target) => {
                let change = match rng.u8(..6) {
                    0 => LoggedChange::Deleted { message_seq: target, by: person("ann") },
                    1..=3 => edited(target, &format!("edit {seq}")),
                    _ => LoggedChange::Reacted {
                        message_seq: target,
                        emoji: "+1".to_owned(),
                        by: person(&format!("user{seq}")),
                        removed: false,
                    },
                };
                change.apply(seq, seq, now.get_mut(&target).expect("it was chosen"));
                // An earlier edit loses its text.
                if !matches!(change, LoggedChange::Reacted { .. }) {
                    for event in &mut self.events {
                        if let Logged::Change(LoggedChange::Edited { message_seq, body, .. }) = event
                            && *message_seq == target
                        {
                            body.clear();
                        }
                    }
                }
                Logged::Change(change)
            }
        };
        if rng.u8(..) < 20 {
            self.oldest = rng.u64(self.oldest..=seq);
            now.retain(|seq, _| *seq >= self.oldest);
        }
        self.events.push(logged);
        self.states.push(now);
    }

    /// The event as it is read now: a message includes its changes.
    fn deliver(&self, seq: u64, timeline: &mut Timeline) {
        match &self.events[seq as usize - 1] {
            Logged::Message => timeline.message(self.now()[&seq].clone()),
            Logged::Change(change) => drop(timeline.change(seq, seq, change)),
        }
    }
}

/// Random rooms and a client that lags, loses its connection, and reads pages that arrive late: whenever it has read
/// everything, it holds what the room holds.
#[test]
fn a_timeline_converges_to_the_log() {
    let schedules = std::env::var("HUBBUB_TIMELINE_SCHEDULES").map_or(2_000, |n| n.parse().expect("a number"));
    for seed in 0..schedules {
        let mut rng = Rng::with_seed(seed);
        let mut room = Room { oldest: 1, ..Room::default() };
        (0..rng.u8(..20)).for_each(|_| room.step(&mut rng));
        let mut timeline = Timeline::default();
        let mut seen = rng.u64(room.oldest - 1..=room.head());
        join(&mut timeline, room.head(), room.oldest);
        let mut late: Vec<HistoryPage> = Vec::new();
        for _ in 0..60 {
            match rng.u8(..8) {
                0..=2 => room.step(&mut rng),
                3 | 4 if seen < room.head() => {
                    if seen + 1 < room.oldest {
                        let (from_seq, to_seq) = (seen + 1, room.oldest - 1);
                        timeline.gap(&Gap { from_seq, to_seq, reason: GapReason::Retention });
                        seen = to_seq;
                    } else {
                        seen += 1;
                        room.deliver(seen, &mut timeline);
                    }
                }
                5 => late.push(page(room.head(), room.now().into_values().collect())),
                6 if !late.is_empty() => {
                    let page = late.swap_remove(rng.usize(..late.len()));
                    let _ = timeline.page(&page);
                }
                // A lost connection: the room is resumed.
                7 => join(&mut timeline, room.head(), room.oldest),
                _ => {}
            }
        }
        while seen < room.head() {
            if seen + 1 < room.oldest {
                let (from_seq, to_seq) = (seen + 1, room.oldest - 1);
                timeline.gap(&Gap { from_seq, to_seq, reason: GapReason::Retention });
                seen = to_seq;
            } else {
                seen += 1;
                room.deliver(seen, &mut timeline);
            }
        }
        join(&mut timeline, room.head(), room.oldest);
        late.into_iter().for_each(|page| _ = timeline.page(&page));
        let now = room.now();
        for held in timeline.newest() {
            assert_eq!(Some(held), now.get(&held.seq), "schedule {seed}");
        }
        timeline.page(&page(room.head(), now.values().cloned().collect())).expect("it is new");
        assert_eq!(timeline.newest().count(), now.len(), "schedule {seed}");
    }
}
