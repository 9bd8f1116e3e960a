//! The room, naively: what its messages, its topic and its pins are after posts and changes.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;

use crate::limits::{EMOJIS_MAX, PINS_MAX};
use crate::names::{Body, Emoji, Mentions, RoomName, Seq, Topic};
use crate::server::log::conformance::{change, post};
use crate::server::log::{Act, LogError, Post};

const SENDERS: [&str; 4] = ["ann", "bob", "cid", "dan"];
const EMOJIS: [&str; 3] = ["+1", "\u{2764}\u{fe0f}", "tea"];

/// A message as the model has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    pub sender: String,
    /// `None` if it was deleted.
    pub body: Option<String>,
    /// Who reacted, in order.
    pub reactions: Vec<(String, Vec<String>)>,
}

/// The room, naively.
#[derive(Default)]
pub struct Model {
    pub head: u64,
    pub messages: BTreeMap<u64, Said>,
    pub pins: Vec<u64>,
    pub topic: String,
    /// The texts that must not be found any more.
    pub removed: BTreeSet<String>,
    ids: BTreeMap<u64, u64>,
    texts: u64,
}

impl Model {
    pub fn text(&mut self, rng: &mut Rng) -> String {
        self.texts += 1;
        let long = [0, 30, 300, 900][rng.usize(..4)];
        format!("<{}>{}", self.texts, "x".repeat(long))
    }

    /// The marks that texts begin with.
    pub fn remove(&mut self, body: &str) {
        let mark = &body[..=body.find('>').expect("a text begins with its mark")];
        self.removed.insert(mark.to_owned());
    }

    /// Draws a post, and returns it with what the log must say of it: the seq that it gets, or why it is refused.
    pub fn draw(&mut self, name: &RoomName, rng: &mut Rng, oldest: u64) -> (Post, Expected) {
        let sender = SENDERS[rng.usize(..SENDERS.len())];
        // Now and then one that never was.
        let message = rng.u64(oldest.saturating_sub(2)..=self.head + 1);
        let seq = Seq(message);
        match if self.messages.is_empty() { 0 } else { rng.u32(..20) } {
            0..7 => {
                let id = self.texts + 1;
                let body = self.text(rng);
                self.head += 1;
                self.ids.insert(id, self.head);
                let said = Said { sender: sender.to_owned(), body: Some(body.clone()), ..Said::default() };
                self.messages.insert(self.head, said);
                (post(name, sender, id, &body), Expected::New(self.head))
            }
            7..11 => {
                let (body, seen) = (self.text(rng), None);
                let edit = Act::Edit {
                    message: seq,
                    body: Body::new(body.clone()).unwrap(),
                    mentions: Mentions::default(),
                    seen,
                };
                let expected =
                    self.change(message, sender, true, |said| said.body.replace(body.clone()).into_iter().collect());
                if !matches!(expected, Expected::New(_)) {
                    self.remove(&body);
                }
                (change(name, sender, edit), expected)
            }
            11..13 => {
                let anybodys = rng.bool();
                let delete = Act::Delete { message: seq, anybodys };
                let expected = match self.messages.get(&message) {
                    Some(said) if said.body.is_none() => Expected::Before,
                    _ => self.change(message, sender, !anybodys, |said| {
                        said.reactions.clear();
                        said.body.take().into_iter().collect()
                    }),
                };
                if matches!(expected, Expected::New(_)) {
                    self.pins.retain(|pinned| *pinned != message);
                }
                (change(name, sender, delete), expected)
            }
            13..17 => {
                let (emoji, removed) = (EMOJIS[rng.usize(..EMOJIS.len())], rng.u32(..3) == 0);
                let react = Act::React { message: seq, emoji: Emoji::new(emoji).unwrap(), removed };
                let has = self.messages.get(&message).map(|said| {
                    said.reactions.iter().any(|(other, by)| other == emoji && by.iter().any(|by| by == sender))
                });
                let is_kept = self.messages.get(&message).is_some_and(|said| said.body.is_some());
                let expected = match has {
                    Some(has) if is_kept && has != removed => Expected::Before,
                    _ => self.change(message, sender, false, |said| {
                        react_to(&mut said.reactions, emoji, sender, removed);
                        Vec::new()
                    }),
                };
                (change(name, sender, react), expected)
            }
            17 | 18 => {
                let removed = rng.bool();
                let pin = Act::Pin { message: seq, removed };
                let is_pinned = self.pins.contains(&message);
                let expected = match removed {
                    true if is_pinned => {
                        self.pins.retain(|pinned| *pinned != message);
                        self.event()
                    }
                    true => Expected::Before,
                    false => match self.messages.get(&message) {
                        None => Expected::Refused(LogError::NoMessage(seq)),
                        Some(said) if said.body.is_none() => Expected::Refused(LogError::WasDeleted(seq)),
                        Some(_) if is_pinned => Expected::Before,
                        Some(_) if self.pins.len() >= PINS_MAX => Expected::Refused(LogError::TooManyPins),
                        Some(_) => {
                            self.pins.push(message);
                            self.event()
                        }
                    },
                };
                (change(name, sender, pin), expected)
            }
            _ => {
                let topic = ["", "tea", "cake"][rng.usize(..3)];
                let expected = if self.topic == topic { Expected::Before } else { self.event() };
                topic.clone_into(&mut self.topic);
                (change(name, sender, Act::SetTopic(Topic::new(topic).unwrap())), expected)
            }
        }
    }

    pub fn event(&mut self) -> Expected {
        self.head += 1;
        Expected::New(self.head)
    }

    /// Changes a message; `change` returns the texts that it removes.
    pub fn change(
        &mut self,
        seq: u64,
        sender: &str,
        own: bool,
        change: impl FnOnce(&mut Said) -> Vec<String>,
    ) -> Expected {
        let removed = match self.messages.get_mut(&seq) {
            None => return Expected::Refused(LogError::NoMessage(Seq(seq))),
            Some(said) if said.body.is_none() => return Expected::Refused(LogError::WasDeleted(Seq(seq))),
            Some(said) if own && said.sender != sender => return Expected::Refused(LogError::NotOwn(Seq(seq))),
            Some(said) => change(said),
        };
        removed.iter().for_each(|body| self.remove(body));
        self.event()
    }

    /// Retention took everything before this event.
    pub fn trim(&mut self, oldest: u64) {
        let kept = self.messages.split_off(&oldest);
        for said in std::mem::replace(&mut self.messages, kept).into_values() {
            said.body.iter().for_each(|body| self.remove(body));
        }
        self.pins.retain(|pinned| *pinned >= oldest);
    }
}

pub fn react_to(reactions: &mut Vec<(String, Vec<String>)>, emoji: &str, by: &str, removed: bool) {
    match reactions.iter_mut().find(|(other, _)| other == emoji) {
        Some((_, all)) if removed => all.retain(|other| other != by),
        Some((_, all)) => all.push(by.to_owned()),
        None if !removed => reactions.push((emoji.to_owned(), vec![by.to_owned()])),
        None => {}
    }
    reactions.retain(|(_, all)| !all.is_empty());
    assert!(reactions.len() <= EMOJIS_MAX);
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    New(u64),
    Before,
    Refused(LogError),
}
