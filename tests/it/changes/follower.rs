//! A client that follows a room as the contract describes: what it holds of the room at the end must be the truth.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use grpcio::Environment;
use hubbub::wire::v1;
use hubbub::wire::v1::event::Event as Kind;
use hubbub::wire::v1::gap::Reason;
use hubbub::wire::v1::join;

use super::naive::Room;
use crate::support::talker::{Talker, after};

pub struct Follower {
    /// `None` while it is not connected.
    talker: Option<Talker>,
    room: String,
    epoch: u64,
    /// The next event.
    pub next: u64,
    /// The messages that it holds, folded.
    pub held: BTreeMap<u64, v1::Message>,
    /// It holds all messages from this one on that are kept.
    from: u64,
    /// State events up to this one are history.
    state_head: u64,
    pins: Vec<u64>,
    topic: String,
    /// The changes that came on the stream.
    changes: Vec<(u64, Kind)>,
    /// A page of the messages before that one, which is on its way.
    page: Option<(u64, v1::ListMessagesResponse)>,
    /// How many texts had been removed when it joined: none of those may arrive.
    clean: usize,
    /// How many gaps it got.
    pub gaps: usize,
}

/// Where it is served, and what was removed.
pub struct Scene<'a> {
    pub environment: &'a Arc<Environment>,
    pub target: &'a str,
    pub model: &'a Room,
}

impl Follower {
    /// Joins with the last messages, or at the head.
    pub fn join(scene: &Scene<'_>, name: &str, room: &str, last: Option<u32>) -> Self {
        let mut talker = Talker::hello(scene.environment, scene.target, name);
        let (joined, history) = talker.join_room(room, last.map(join::From::Last));
        let (changes, page, held) = Default::default();
        let mut follower = Self {
            talker: Some(talker),
            room: room.to_owned(),
            epoch: joined.epoch,
            next: joined.first_seq,
            held,
            from: joined.first_seq,
            state_head: 0,
            pins: Vec::new(),
            topic: String::new(),
            changes,
            page,
            clean: scene.model.removals,
            gaps: 0,
        };
        assert_eq!(joined.head_seq, scene.model.head);
        if last.is_none() {
            assert_eq!(joined.first_seq, joined.head_seq + 1);
        }
        follower.set_state(&joined);
        history.into_iter().for_each(|event| follower.take(scene.model, event));
        follower
    }

    /// Continues on another connection.
    pub fn resume(&mut self, scene: &Scene<'_>, name: &str) {
        let mut talker = Talker::hello(scene.environment, scene.target, name);
        self.clean = scene.model.removals;
        let (joined, history) = talker.join_room(&self.room, after(self.next - 1, self.epoch));
        self.talker = Some(talker);
        assert_eq!((joined.epoch, joined.head_seq, joined.first_seq), (self.epoch, scene.model.head, self.next));
        self.set_state(&joined);
        history.into_iter().for_each(|event| self.take(scene.model, event));
        assert_eq!(self.next, joined.head_seq + 1);
    }

    fn set_state(&mut self, joined: &v1::Joined) {
        self.state_head = joined.head_seq;
        self.pins.clone_from(&joined.pinned_seqs);
        self.topic.clone_from(&joined.topic);
    }

    /// Loses its connection, with everything that it has not read.
    pub fn disconnect(&mut self) {
        self.talker = None;
    }

    /// Reads one event.
    pub fn read(&mut self, model: &Room) {
        let event = self.talker.as_mut().expect("it is connected").next();
        self.take(model, event);
    }

    /// Reads everything up to the head.
    pub fn catch_up(&mut self, model: &Room) {
        while self.next <= model.head {
            self.read(model);
        }
    }

    fn take(&mut self, model: &Room, event: v1::Event) {
        let seq = event.seq;
        let kind = event.event.expect("a known event");
        match kind {
            Kind::Presence(_) => return,
            Kind::Gap(gap) => {
                assert_eq!(gap.reason.enum_value(), Ok(Reason::REASON_RETENTION));
                assert!(gap.from_seq == self.next && gap.to_seq >= gap.from_seq, "{gap:?} where {} is next", self.next);
                self.next = gap.to_seq + 1;
                self.held = self.held.split_off(&self.next);
                self.gaps += 1;
                return;
            }
            // The state after a gap that may have hidden changes of it.
            Kind::Joined(joined) => return self.set_state(&joined),
            _ => {}
        }
        assert_eq!(seq, self.next, "{kind:?}");
        self.next += 1;
        match &kind {
            Kind::Message(message) => {
                self.check_clean(&model.removed, &message.body);
                self.held.insert(seq, message.clone());
                return;
            }
            Kind::Edited(edited) => self.check_clean(&model.removed, &edited.body),
            Kind::Pinned(pinned) if seq > self.state_head => {
                self.pins.retain(|other| *other != pinned.message_seq);
                if !pinned.removed {
                    self.pins.push(pinned.message_seq);
                }
            }
            Kind::RoomChanged(changed) if seq > self.state_head => {
                changed.topic().clone_into(&mut self.topic);
            }
            Kind::Deleted(deleted) if seq > self.state_head => self.pins.retain(|other| *other != deleted.message_seq),
            _ => {}
        }
        apply(&mut self.held, seq, &kind);
        self.changes.push((seq, kind));
    }

    fn check_clean(&self, removed: &HashMap<String, usize>, text: &str) {
        let was_removed = removed.get(text).is_some_and(|at| *at < self.clean);
        assert!(!was_removed, "the text {:?} was removed before the client joined", &text[..text.len().min(20)]);
    }

    /// The message before which it needs older ones.
    pub fn from(&self) -> u64 {
        self.from
    }

    /// A page has arrived of the messages before this one, and is taken in later. A client has one at a time.
    pub fn hold_page(&mut self, before: u64, page: v1::ListMessagesResponse) {
        self.page.get_or_insert((before, page));
    }

    /// Takes the page in, which may be older than what came since.
    pub fn take_page(&mut self) {
        let Some((before, page)) = self.page.take().filter(|(before, _)| *before == self.from) else { return };
        let taken = page.events.iter().map(|event| (event.seq, event.message().clone()));
        let mut taken: BTreeMap<_, _> = taken.collect();
        assert!(taken.last_key_value().is_none_or(|(last, _)| *last < before));
        for (seq, kind) in self.changes.iter().filter(|(seq, _)| *seq > page.head_seq) {
            apply(&mut taken, *seq, kind);
        }
        self.from = taken.first_key_value().map_or(before, |(first, _)| *first);
        self.held.append(&mut taken);
    }

    /// Compares what it holds with the model.
    pub fn check(&self, model: &Room, oldest: u64) {
        assert_eq!(self.next, model.head + 1);
        let from = self.from.max(oldest);
        let held: Vec<u64> = self.held.range(from..).map(|(seq, _)| *seq).collect();
        assert_eq!(held, model.messages.range(from..).map(|(seq, _)| *seq).collect::<Vec<_>>(), "from {from}");
        for (seq, message) in self.held.range(from..) {
            model.messages[seq].check(*seq, message);
        }
        assert_eq!(self.topic, model.topic);
        let pins: Vec<_> = self.pins.iter().copied().filter(|pinned| *pinned >= oldest).collect();
        assert_eq!(pins, model.pinned());
    }
}

/// Applies a change to the message that it concerns, if that is held and does not include it.
pub fn apply(held: &mut BTreeMap<u64, v1::Message>, seq: u64, kind: &Kind) {
    let message = match kind {
        Kind::Edited(edited) => edited.message_seq,
        Kind::Reacted(reacted) => reacted.message_seq,
        Kind::Deleted(deleted) => deleted.message_seq,
        _ => return,
    };
    let Some(message) = held.get_mut(&message).filter(|message| message.changed_seq < seq) else { return };
    message.changed_seq = seq;
    match kind {
        Kind::Edited(edited) => {
            (message.body, message.mentions) = (edited.body.clone(), edited.mentions.clone());
            message.edited_seq = seq;
        }
        Kind::Deleted(deleted) => {
            (message.body, message.edited_seq) = (String::new(), 0);
            message.deleted_by = deleted.by.clone();
            message.mentions.clear();
            message.reactions.clear();
        }
        Kind::Reacted(reacted) => react(message, reacted),
        _ => {}
    }
}

fn react(message: &mut v1::Message, v1::Reacted { emoji, by, removed, .. }: &v1::Reacted) {
    let known = message.reactions.iter_mut().find(|reaction| reaction.emoji == *emoji);
    let by = by.as_ref().expect("somebody reacts").clone();
    match known {
        Some(reaction) if *removed => {
            reaction.count -= 1;
            reaction.people.retain(|person| *person != by);
        }
        Some(reaction) => {
            reaction.count += 1;
            reaction.people.push(by);
        }
        None => {
            let (emoji, people) = (emoji.clone(), vec![by]);
            message.reactions.push(v1::Reaction { emoji, count: 1, people, ..Default::default() });
        }
    }
    message.reactions.retain(|reaction| reaction.count > 0);
}
