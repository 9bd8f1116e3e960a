//! A client of the room, which follows the contract, or all of it but one rule.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use protobuf::Message as _;

use super::super::cursor::{Cursor, Fetched, Look};
use super::super::{Now, Room};
use super::model::{Model, Said, react_to};
use crate::limits::REACTORS_NAMED_MAX;
use crate::names::{RoomName, Seq};
use crate::server::log::{Log, Part, Piece};
use crate::wire::v1;
use crate::wire::v1::event::Event as Wire;

/// Rules of the contract that a client follows. The tests break one of them at a time, to show that they find it.
#[derive(Clone, Copy)]
pub struct Rules {
    /// A change applies only if its seq is above the message's `changed_seq`.
    pub newer_only: bool,
    /// Changes above a page's `head_seq` are applied to it again.
    pub pages_again: bool,
}

pub const CONTRACT: Rules = Rules { newer_only: true, pages_again: true };

/// A message as a client has it.
#[derive(Clone, Debug)]
pub struct Held {
    changed: u64,
    said: Said,
}

/// A client of the room, which follows the contract.
pub struct Client {
    rules: Rules,
    pub cursor: Cursor,
    held: BTreeMap<u64, Held>,
    /// The first message that it must have, if that is kept.
    from: u64,
    /// State events up to this one are history.
    state_head: u64,
    pins: Vec<u64>,
    topic: String,
    /// The changes that came on the stream.
    changes: Vec<(u64, Wire)>,
    /// A page that is on its way: the head of its moment, and its messages.
    page: Option<(u64, Vec<(u64, v1::Message)>)>,
}

impl Client {
    pub fn join(rules: Rules, room: &Arc<Room>, start: Seq, now: &Now) -> Self {
        Self {
            rules,
            cursor: Cursor::new(Arc::clone(room), start),
            held: BTreeMap::new(),
            from: start.0,
            state_head: now.head.0,
            pins: now.profile.pins.iter().map(|pin| pin.message.0).collect(),
            topic: now.profile.topic.as_str().to_owned(),
            changes: Vec::new(),
            page: None,
        }
    }

    /// Continues on another connection.
    pub fn resume(&mut self, room: &Arc<Room>) {
        self.cursor = Cursor::new(Arc::clone(room), self.cursor.next());
        self.set_state(&room.now());
    }

    /// `Joined` came again.
    pub fn set_state(&mut self, now: &Now) {
        self.state_head = now.head.0;
        self.pins = now.profile.pins.iter().map(|pin| pin.message.0).collect();
        now.profile.topic.as_str().clone_into(&mut self.topic);
    }

    /// Reads a part of a segment. Returns whether there was more.
    pub fn step(&mut self, until: u64, removed: &BTreeSet<String>) -> bool {
        match self.cursor.look() {
            Look::AtHead => return false,
            Look::Ready => {
                let until = Seq(self.cursor.next().0 + until);
                let part = self.cursor.take(until).expect("the cursor is ready");
                no_removed_text(part.entries(), removed, "a frame");
                for event in v1::ChatResponse::parse_from_bytes(part.entries()).unwrap().events {
                    self.event(event.seq, event.event.expect("an event has a kind"));
                }
            }
            Look::BehindTail => match self.cursor.fetch().unwrap() {
                Fetched::Page => {}
                Fetched::Trimmed(trimmed) => {
                    self.cursor.skip_to(trimmed.oldest);
                    // What is older than the oldest event is gone for clients too.
                    self.held = self.held.split_off(&trimmed.oldest.0);
                    // The server tells the state again if the gap may have changed it.
                    if trimmed.oldest.0 - 1 > self.state_head {
                        let room = Arc::clone(self.cursor.room());
                        self.set_state(&room.now());
                    }
                }
                Fetched::Damaged { to } => panic!("damaged up to {to}"),
            },
        }
        true
    }

    pub fn event(&mut self, seq: u64, event: Wire) {
        if let Wire::Message(message) = event {
            self.hold(seq, &message);
            return;
        }
        self.changes.push((seq, event.clone()));
        match event {
            Wire::Pinned(pinned) if seq > self.state_head => {
                self.pins.retain(|other| *other != pinned.message_seq);
                if !pinned.removed {
                    self.pins.push(pinned.message_seq);
                }
            }
            Wire::RoomChanged(changed) if seq > self.state_head => {
                changed.topic().clone_into(&mut self.topic);
            }
            Wire::Deleted(ref deleted) if seq > self.state_head => {
                self.pins.retain(|other| *other != deleted.message_seq);
                self.apply(seq, &event);
            }
            _ => self.apply(seq, &event),
        }
    }

    pub fn hold(&mut self, seq: u64, message: &v1::Message) {
        let reactions = message.reactions.iter().map(|reaction| {
            let people: Vec<_> = reaction.people.iter().map(|person| person.name.clone()).collect();
            assert_eq!(people.len(), (reaction.count as usize).min(REACTORS_NAMED_MAX));
            (reaction.emoji.clone(), people)
        });
        let body = message.deleted_by.is_none().then(|| message.body.clone());
        let said = Said { sender: message.sender.clone(), body, reactions: reactions.collect() };
        self.held.insert(seq, Held { changed: message.changed_seq, said });
    }

    pub fn apply(&mut self, seq: u64, event: &Wire) {
        let message = match event {
            Wire::Edited(edited) => edited.message_seq,
            Wire::Reacted(reacted) => reacted.message_seq,
            Wire::Deleted(deleted) => deleted.message_seq,
            _ => return,
        };
        let Some(Held { changed, said }) = self.held.get_mut(&message) else { return };
        if seq <= *changed && self.rules.newer_only {
            return;
        }
        *changed = seq;
        match event {
            Wire::Edited(edited) => said.body = Some(edited.body.clone()),
            Wire::Deleted(_) => (said.body, said.reactions) = (None, Vec::new()),
            Wire::Reacted(reacted) => {
                react_to(&mut said.reactions, &reacted.emoji, &reacted.by.name, reacted.removed);
            }
            _ => {}
        }
    }

    /// Requests older messages.
    pub fn request_page(&mut self, log: &dyn Log, name: &RoomName, max: u64) {
        let before = self.held.keys().next().copied().unwrap_or(self.from);
        let Some(history) = log.history(name, Part::Before(Seq(before)), max, 4_000).unwrap() else { return };
        let mut messages = Vec::new();
        for piece in history.pieces {
            let Piece::Segment(segment) = piece else { panic!("nothing is damaged") };
            let response = v1::ChatResponse::parse_from_bytes(segment.frame().as_slice()).unwrap();
            for event in response.events.into_iter().filter(|event| event.seq < before && event.has_message()) {
                messages.push((event.seq, event.message().clone()));
            }
        }
        let skipped = messages.len().saturating_sub(max as usize);
        self.page = Some((history.room.head.0, messages.split_off(skipped)));
    }

    /// Takes the page in, which may be old by now.
    pub fn take_page(&mut self, oldest: u64) {
        let Some((head, messages)) = self.page.take() else { return };
        let seqs: Vec<u64> = messages.iter().map(|(seq, _)| *seq).filter(|seq| *seq >= oldest).collect();
        for (seq, message) in messages.iter().filter(|(seq, _)| *seq >= oldest) {
            if !self.held.contains_key(seq) {
                self.hold(*seq, message);
            }
        }
        if self.rules.pages_again {
            let later: Vec<_> = self.changes.iter().filter(|(seq, _)| *seq > head).cloned().collect();
            later.iter().for_each(|(seq, event)| self.apply(*seq, event));
        }
        self.from = self.from.min(seqs.first().copied().unwrap_or(self.from));
    }

    /// Compares with the model, at the head.
    pub fn check(&mut self, model: &Model, oldest: u64) -> Result<(), String> {
        let held: Vec<_> = self.held.range(oldest..).map(|(seq, held)| (*seq, held.said.clone())).collect();
        let from = self.from.max(oldest);
        let expected: Vec<_> = model.messages.range(from..).map(|(seq, said)| (*seq, said.clone())).collect();
        let first = held.iter().zip(&expected).find(|(held, expected)| held != expected);
        if held != expected {
            return Err(format!("messages from {from}: {} of {}, first: {first:?}", held.len(), expected.len()));
        }
        let pins: Vec<_> = self.pins.iter().copied().filter(|pinned| *pinned >= oldest).collect();
        if (&pins, &self.topic) != (&model.pins, &model.topic) {
            return Err(format!("pins {pins:?} and topic {:?}", self.topic));
        }
        Ok(())
    }
}

pub fn no_removed_text(bytes: &[u8], removed: &BTreeSet<String>, place: &str) {
    for (start, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'<') {
        let Some(length) = bytes[start..].iter().take(12).position(|byte| *byte == b'>') else { continue };
        let mark = String::from_utf8_lossy(&bytes[start..=start + length]);
        assert!(!removed.contains(&*mark), "the removed text {mark} is in {place}");
    }
}
