//! The state of a room as a whole: its topic and its pinned messages. It follows from the room's events, and is stored
//! because retention deletes events.

use crate::names::{Seq, Topic};

/// The topic of a room and its pinned messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    pub topic: Topic,
    /// The event that set the topic; [`Seq::ZERO`] if there was none.
    pub topic_seq: Seq,
    /// In the order in which they were pinned; each message once.
    pub pins: Vec<Pin>,
}

/// A pinned message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin {
    pub message: Seq,
    /// The event that pinned it.
    pub seq: Seq,
}

impl Profile {
    /// The event that pinned a message, if it is pinned.
    pub fn pinned(&self, message: Seq) -> Option<Seq> {
        self.pins.iter().find(|pin| pin.message == message).map(|pin| pin.seq)
    }

    /// The pinned messages from this seq on.
    pub fn pinned_from(&self, oldest: Seq) -> Vec<Seq> {
        self.pins.iter().map(|pin| pin.message).filter(|message| *message >= oldest).collect()
    }

    /// Removes the pins of the messages for which `is_gone` returns true. Returns whether there were any.
    pub fn unpin(&mut self, is_gone: impl Fn(Seq) -> bool) -> bool {
        let count = self.pins.len();
        self.pins.retain(|pin| !is_gone(pin.message));
        self.pins.len() < count
    }
}
