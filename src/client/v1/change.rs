//! The events of the log that change a message, or the room.

use super::stored::{Person, Reaction, StoredMessage};
use crate::limits::REACTORS_NAMED_MAX;
use crate::wire::v1::{self, event::Event as Wire};

/// A change that the log reports. Its texts are not checked: they must be escaped before they are shown on a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoggedChange {
    /// A message was edited. The body is empty if a later event of the log has replaced or deleted the text.
    Edited { message_seq: u64, body: String, mentions: Vec<String> },
    /// Somebody reacted to a message, or removed a reaction.
    Reacted { message_seq: u64, emoji: String, by: Person, removed: bool },
    /// A message was deleted: its text must be forgotten.
    Deleted { message_seq: u64, by: Person },
    /// A message was pinned or unpinned.
    Pinned { message_seq: u64, by: Person, removed: bool },
    /// The topic changed, if `topic` is `Some`; an empty topic means none.
    Room { by: Person, topic: Option<String> },
}

impl LoggedChange {
    /// `None` for any other event.
    pub(in crate::client) fn read(event: &Wire) -> Option<Self> {
        let person = |by: &protobuf::MessageField<v1::Person>| by.as_ref().map(Person::read).unwrap_or_default();
        Some(match event {
            Wire::Edited(edited) => Self::Edited {
                message_seq: edited.message_seq,
                body: edited.body.clone(),
                mentions: edited.mentions.clone(),
            },
            Wire::Reacted(reacted) => Self::Reacted {
                message_seq: reacted.message_seq,
                emoji: reacted.emoji.clone(),
                by: person(&reacted.by),
                removed: reacted.removed,
            },
            Wire::Deleted(deleted) => Self::Deleted { message_seq: deleted.message_seq, by: person(&deleted.by) },
            Wire::Pinned(pinned) => {
                Self::Pinned { message_seq: pinned.message_seq, by: person(&pinned.by), removed: pinned.removed }
            }
            Wire::RoomChanged(changed) => {
                Self::Room { by: person(&changed.by), topic: changed.has_topic().then(|| changed.topic().to_owned()) }
            }
            _ => return None,
        })
    }

    /// The message that it concerns. None for a change of the room.
    pub fn message_seq(&self) -> Option<u64> {
        match self {
            Self::Edited { message_seq, .. }
            | Self::Reacted { message_seq, .. }
            | Self::Deleted { message_seq, .. }
            | Self::Pinned { message_seq, .. } => Some(*message_seq),
            Self::Room { .. } => None,
        }
    }

    /// Who made it. An edit is always made by the message's sender, whom its event does not name.
    pub fn by(&self) -> Option<&Person> {
        match self {
            Self::Edited { .. } => None,
            Self::Reacted { by, .. } | Self::Deleted { by, .. } | Self::Pinned { by, .. } | Self::Room { by, .. } => {
                Some(by)
            }
        }
    }

    /// Changes the message that it concerns. False: the message includes it already.
    pub fn apply(&self, seq: u64, time_ms: u64, message: &mut StoredMessage) -> bool {
        let extras = &mut message.extras;
        if seq <= extras.changed_seq {
            return false;
        }
        match self {
            // Pins and the topic belong to the room.
            Self::Pinned { .. } | Self::Room { .. } => return false,
            Self::Edited { body, .. } if body.is_empty() || extras.is_deleted() => {}
            Self::Edited { body, mentions, .. } => {
                message.body.clone_from(body);
                extras.mentions.clone_from(mentions);
                (extras.edited_seq, extras.edited_ms) = (seq, time_ms);
            }
            Self::Reacted { emoji, by, removed: false, .. } => react(&mut extras.reactions, emoji, by),
            Self::Reacted { emoji, by, removed: true, .. } => unreact(&mut extras.reactions, emoji, by),
            Self::Deleted { by, .. } => {
                message.body = String::new();
                (extras.mentions, extras.reactions) = (Vec::new(), Vec::new());
                (extras.edited_seq, extras.edited_ms) = (0, 0);
                extras.deleted_by = Some(by.clone());
            }
        }
        extras.changed_seq = seq;
        true
    }
}

fn react(reactions: &mut Vec<Reaction>, emoji: &str, by: &Person) {
    let at = reactions.iter().position(|reaction| reaction.emoji == emoji).unwrap_or_else(|| {
        reactions.push(Reaction { emoji: emoji.to_owned(), count: 0, people: Vec::new() });
        reactions.len() - 1
    });
    let reaction = &mut reactions[at];
    reaction.count = reaction.count.saturating_add(1);
    if reaction.people.len() < REACTORS_NAMED_MAX {
        reaction.people.push(by.clone());
    }
}

/// If more people reacted than the message names, it names one fewer afterwards: the event does not name the next one.
fn unreact(reactions: &mut Vec<Reaction>, emoji: &str, by: &Person) {
    let Some(at) = reactions.iter().position(|reaction| reaction.emoji == emoji) else { return };
    let reaction = &mut reactions[at];
    reaction.count = reaction.count.saturating_sub(1);
    reaction.people.retain(|person| person != by);
    if reaction.count == 0 {
        reactions.remove(at);
    }
}
