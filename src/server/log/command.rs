//! The posts that clients submit to a room's log: messages and changes. The log judges them in log order; each becomes
//! an event, or has no effect.

use crate::names::{Body, Emoji, Epoch, Mentions, MessageId, RoomName, Sender, Seq, Topic};

/// Something to append to a room.
#[derive(Clone, Debug)]
pub struct Post {
    pub room: RoomName,
    pub sender: Sender,
    pub what: What,
}

#[derive(Clone, Debug)]
pub enum What {
    Message(NewMessage),
    Change(Box<Change>),
}

/// A message, encoded.
#[derive(Clone, Debug)]
pub struct NewMessage {
    pub id: MessageId,
    /// Whether the sender has chosen the id, and so may post the message again. Ids that the server generates are
    /// unique.
    pub id_chosen: bool,
    /// The message that it replies to; [`Seq::ZERO`] for none.
    pub reply_to: Seq,
    /// The content, which the log stores as it is: from [`crate::wire::event::content`]. It has the id and the sender
    /// too.
    pub content: Vec<u8>,
}

/// A change to a message or to the room. Each sets a state, so it is safe to repeat.
#[derive(Clone, Debug)]
pub struct Change {
    /// The epoch of the room in which the message has its seq, if the client gave one.
    pub epoch: Option<Epoch>,
    pub act: Act,
}

#[derive(Clone, Debug)]
pub enum Act {
    /// Replaces the text of one of the sender's messages.
    Edit {
        message: Seq,
        body: Body,
        mentions: Mentions,
        /// The event that set the text that the sender saw, if known: the message itself for the original text.
        seen: Option<Seq>,
    },
    Delete {
        message: Seq,
        /// Whether the sender may delete others' messages.
        anybodys: bool,
    },
    /// Adds the sender's reaction, or removes it.
    React {
        message: Seq,
        emoji: Emoji,
        removed: bool,
    },
    Pin {
        message: Seq,
        removed: bool,
    },
    SetTopic(Topic),
}

impl Post {
    /// The message, if it is one.
    pub fn message(&self) -> Option<&NewMessage> {
        match &self.what {
            What::Message(message) => Some(message),
            What::Change(_) => None,
        }
    }

    /// The change, if it is one.
    pub fn change(&self) -> Option<&Change> {
        match &self.what {
            What::Message(_) => None,
            What::Change(change) => Some(change),
        }
    }

    /// The encoded content of a message; empty for a change.
    pub fn content(&self) -> &[u8] {
        self.message().map_or(&[], |message| &message.content)
    }

    /// About how many bytes it adds to the log.
    pub fn bytes(&self) -> usize {
        match &self.what {
            What::Message(message) => message.content.len(),
            What::Change(change) => change.act.bytes() + self.sender.name.as_str().len(),
        }
    }
}

impl Act {
    /// The message that it concerns.
    pub fn message(&self) -> Option<Seq> {
        match self {
            Self::Edit { message, .. }
            | Self::Delete { message, .. }
            | Self::React { message, .. }
            | Self::Pin { message, .. } => Some(*message),
            Self::SetTopic(_) => None,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            // The text is stored in the event and in the message.
            Self::Edit { body, mentions, .. } => 2 * (body.as_str().len() + mentions.bytes()),
            Self::React { emoji, .. } => emoji.as_str().len(),
            Self::SetTopic(topic) => topic.as_str().len(),
            Self::Delete { .. } | Self::Pin { .. } => 0,
        }
    }
}
