//! What a room's conversation consists of, as the screen has it.

use crate::client::{Gap, StoredMessage};
use crate::names::{Kind, MessageId};

/// The place of an entry in its room. What has no seq of its own comes after the event that it followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub seq: u64,
    /// 0 for the event with that seq.
    pub after: u32,
}

impl Key {
    pub fn event(seq: u64) -> Self {
        Self { seq, after: 0 }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub key: Key,
    pub content: Content,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    Message(Box<HeldMessage>),
    /// Missing events. In a page of history, its key is that of the first of them.
    Gap(Gap),
    Presence(Presence),
    Notice(Notice),
}

/// A message, and what it is to the user.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldMessage {
    pub message: StoredMessage,
    pub is_own: bool,
    pub mentions_me: bool,
}

/// Joins and leaves that follow each other, in one line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Presence {
    pub time_ms: u64,
    /// The last change of each name, with those who spoke recently first.
    pub changes: Vec<PresenceChange>,
    /// How many more names there are.
    pub more: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceChange {
    pub name: String,
    pub joined: bool,
    /// They spoke recently, so the user may be talking to them.
    pub spoke: bool,
}

/// A line of the client in a room.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    pub time_ms: u64,
    pub text: String,
    pub tone: Tone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Notice,
    Warning,
    Error,
}

/// An own message that is not stored yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Pending {
    pub id: MessageId,
    pub body: String,
    pub kind: Kind,
    pub reply_to: Option<u64>,
    /// Why it will never be stored.
    pub failed: Option<String>,
}

/// How many names of a presence line are kept.
const NAMES_MAX: usize = 20;

impl Presence {
    /// Records a change. Somebody who joined and left meanwhile is shown with the last of both.
    pub fn record(&mut self, change: PresenceChange) {
        let before = self.changes.iter().position(|old| old.name == change.name);
        let spoke = before.map(|at| self.changes.remove(at)).is_some_and(|old| old.spoke);
        let change = PresenceChange { spoke: spoke || change.spoke, ..change };
        let at = match change.spoke {
            true => self.changes.iter().take_while(|old| old.spoke).count(),
            false => self.changes.len(),
        };
        self.changes.insert(at, change);
        if self.changes.len() > NAMES_MAX {
            self.changes.truncate(NAMES_MAX);
            self.more += 1;
        }
    }

    /// `joined: ann, bob; left: cat, and 3 more`, with the names as they are drawn.
    pub fn text(&self, draw: impl Fn(&str) -> String) -> String {
        let names = |joined: bool| {
            let names = self.changes.iter().filter(|change| change.joined == joined).map(|change| draw(&change.name));
            names.collect::<Vec<_>>().join(", ")
        };
        let parts = [("joined", names(true)), ("left", names(false))];
        let parts = parts.iter().filter(|(_, names)| !names.is_empty()).map(|(what, names)| format!("{what}: {names}"));
        let text = parts.collect::<Vec<_>>().join("; ");
        match self.more {
            0 => text,
            more => format!("{text}, and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(name: &str, joined: bool, spoke: bool) -> PresenceChange {
        PresenceChange { name: name.to_owned(), joined, spoke }
    }

    #[test]
    fn joins_and_leaves_are_one_line() {
        let mut presence = Presence::default();
        presence.record(change("ann", true, false));
        presence.record(change("bob", false, false));
        presence.record(change("ann", false, false));
        presence.record(change("cat", false, true));
        assert_eq!(presence.text(str::to_owned), "left: cat, bob, ann");
        presence.record(change("bob", true, false));
        assert_eq!(presence.text(str::to_owned), "joined: bob; left: cat, ann");
    }

    /// A crowd that leaves must not hide the one that the user is talking to.
    #[test]
    fn those_who_spoke_come_first_and_the_line_is_bounded() {
        let mut presence = Presence::default();
        (0..100).for_each(|n| presence.record(change(&format!("user{n}"), false, false)));
        presence.record(change("bob", false, true));
        assert_eq!(presence.changes.len(), NAMES_MAX);
        assert!(presence.text(str::to_owned).starts_with("left: bob, user0, "));
        assert!(presence.text(str::to_owned).ends_with(", and 81 more"));
    }
}
