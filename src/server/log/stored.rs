//! What a batch of posts reads of its log, and claims in it: both logs implement it.

use std::sync::Arc;

use super::command::NewMessage;
use super::{LogError, Profile, Segment};
use crate::names::{Emoji, Epoch, RoomId, RoomName, Sender, Seq};

/// The end of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub room: RoomId,
    pub epoch: Epoch,
    /// The newest event; [`Seq::ZERO`] before the first.
    pub seq: Seq,
    /// When it was stored. The next one is not older.
    pub time_ms: u64,
    /// How many events so far are no messages.
    pub changes: u64,
}

/// A reaction of a user to a message.
#[derive(Clone, Copy, Debug)]
pub struct Reaction<'a> {
    pub room: RoomId,
    pub message: Seq,
    pub emoji: &'a Emoji,
    pub by: &'a Sender,
}

/// The result of a search for a stored event.
#[derive(Debug)]
pub enum Found {
    /// It is in this segment.
    Segment(Arc<Segment>),
    /// Retention has deleted it.
    Gone,
    /// It can't be read, for this reason.
    Damaged(String),
}

/// What a batch needs from its log. Everything is undone if the batch is not committed.
pub trait Stored {
    /// The end of the room of that name, which is created if it is not stored. Called once for each room, before any id
    /// is claimed.
    fn head(&mut self, name: &RoomName) -> Result<Head, LogError>;

    /// The end of the room of that name, if it is stored.
    fn known_head(&mut self, name: &RoomName) -> Result<Option<Head>, LogError>;

    /// Claims the chosen id of a sender's message for this seq. If it is already stored, or was claimed before in this
    /// batch, nothing changes, and the seq of that message is returned.
    fn claim(&mut self, room: RoomId, message: &NewMessage, sender: &Sender, seq: Seq)
    -> Result<Option<Seq>, LogError>;

    /// The stored segment with this event, which is not above the head.
    fn segment(&mut self, room: RoomId, seq: Seq) -> Result<Found, LogError>;

    fn has_reacted(&mut self, reaction: &Reaction<'_>) -> Result<bool, LogError>;

    /// Records a reaction that there is not, with its event.
    fn react(&mut self, reaction: &Reaction<'_>, seq: Seq) -> Result<(), LogError>;

    /// Removes a reaction that there is.
    fn unreact(&mut self, reaction: &Reaction<'_>) -> Result<(), LogError>;

    /// Who reacted to a message with this emoji after the first `skip`.
    fn reactor(&mut self, room: RoomId, message: Seq, emoji: &Emoji, skip: usize) -> Result<Option<Sender>, LogError>;

    /// Removes all reactions to a message.
    fn forget_reactions(&mut self, room: RoomId, message: Seq) -> Result<(), LogError>;

    /// What earlier batches have made of a room's profile.
    fn profile(&mut self, room: RoomId) -> Result<Profile, LogError>;
}
