//! The reactions to the messages of a room in the log in memory.

use std::collections::{BTreeMap, HashMap};

use crate::names::{Emoji, Sender, Seq};
use crate::server::log::stored::Reaction;

/// The reactions in a room, by message.
#[derive(Debug, Default)]
pub struct Reactions(BTreeMap<Seq, HashMap<Emoji, Reactors>>);

/// The users who reacted with one emoji, by the events of their reactions.
type Reactors = BTreeMap<Seq, Sender>;

impl Reactions {
    pub fn has(&self, reaction: &Reaction<'_>) -> bool {
        self.reactors(reaction.message, reaction.emoji).any(|(_, by)| by == reaction.by)
    }

    pub fn add(&mut self, reaction: &Reaction<'_>, seq: Seq) {
        let emojis = self.0.entry(reaction.message).or_default();
        emojis.entry(reaction.emoji.clone()).or_default().insert(seq, reaction.by.clone());
    }

    pub fn remove(&mut self, reaction: &Reaction<'_>) {
        let emojis = self.0.get_mut(&reaction.message);
        if let Some(reactors) = emojis.and_then(|emojis| emojis.get_mut(reaction.emoji)) {
            reactors.retain(|_, by| by != reaction.by);
        }
    }

    pub fn nth(&self, message: Seq, emoji: &Emoji, skip: usize) -> Option<Sender> {
        self.reactors(message, emoji).nth(skip).map(|(_, by)| by.clone())
    }

    /// The users whose reactions follow an event, at most `max`.
    pub fn after(&self, message: Seq, emoji: &Emoji, after: Seq, max: usize) -> Vec<(Seq, Sender)> {
        let later = self.reactors(message, emoji).filter(|(seq, _)| **seq > after);
        later.take(max).map(|(seq, by)| (*seq, by.clone())).collect()
    }

    /// Removes the reactions to a message. Returns how many there were.
    pub fn forget(&mut self, message: Seq) -> usize {
        self.0.remove(&message).map_or(0, |emojis| emojis.values().map(BTreeMap::len).sum())
    }

    /// Removes the reactions to all messages up to this one. Returns how many there were.
    pub fn forget_to(&mut self, last: Seq) -> usize {
        let mut count = 0;
        while let Some(&message) = self.0.keys().next().filter(|message| **message <= last) {
            count += self.forget(message);
        }
        count
    }

    fn reactors(&self, message: Seq, emoji: &Emoji) -> impl Iterator<Item = (&Seq, &Sender)> {
        self.0.get(&message).and_then(|emojis| emojis.get(emoji)).into_iter().flatten()
    }
}
