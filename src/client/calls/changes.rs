//! The calls that change messages and rooms. Each sets a state, so it is safe to repeat, and returns the seq of the
//! event that set this state.

use super::{CallError, Caller, Page};
use crate::client::v1::Person;
use crate::names::{Body, Emoji, Epoch, Mentions, RoomName, Topic, UserName};
use crate::wire::v1;
use crate::wire::{CHANGE_ROOM, DELETE_MESSAGE, EDIT_MESSAGE, LIST_REACTIONS, SET_PIN, SET_REACTION};

/// A message that the caller changes.
#[derive(Clone, Copy, Debug)]
pub struct MessagePlace<'a> {
    pub room: &'a RoomName,
    /// The name of the caller.
    pub by: &'a UserName,
    pub seq: u64,
    /// The room's epoch in which the message has that seq. `None`: not checked.
    pub epoch: Option<Epoch>,
}

/// The new text of a message.
#[derive(Clone, Copy, Debug)]
pub struct NewText<'a> {
    pub body: &'a Body,
    pub mentions: &'a Mentions,
    /// The version that the author saw, the message's `edited_seq`; the call fails with [`CallError::Changed`] if the
    /// message has another text. `None`: not checked.
    pub seen: Option<u64>,
}

impl Caller {
    /// Replaces the text of a message.
    pub fn edit(&mut self, message: MessagePlace<'_>, text: NewText<'_>) -> Result<u64, CallError> {
        let NewText { body, mentions, seen } = text;
        let request = v1::EditMessageRequest {
            room: message.room(),
            sender: message.by(),
            message_seq: message.seq,
            epoch: message.epoch(),
            body: body.as_str().to_owned(),
            mentions: mentions.clone().into(),
            // The original text is that of the message itself.
            seen_seq: seen.map_or(0, |edited| edited.max(message.seq)),
            ..Default::default()
        };
        Ok(self.call(&EDIT_MESSAGE, &request)?.seq)
    }

    /// Deletes a message.
    pub fn delete(&mut self, message: MessagePlace<'_>) -> Result<u64, CallError> {
        let request = v1::DeleteMessageRequest {
            room: message.room(),
            sender: message.by(),
            message_seq: message.seq,
            epoch: message.epoch(),
            ..Default::default()
        };
        Ok(self.call(&DELETE_MESSAGE, &request)?.seq)
    }

    /// Adds the caller's reaction to a message, or removes it.
    pub fn react(&mut self, message: MessagePlace<'_>, emoji: &Emoji, removed: bool) -> Result<u64, CallError> {
        let request = v1::SetReactionRequest {
            room: message.room(),
            sender: message.by(),
            message_seq: message.seq,
            epoch: message.epoch(),
            emoji: emoji.as_str().to_owned(),
            removed,
            ..Default::default()
        };
        Ok(self.call(&SET_REACTION, &request)?.seq)
    }

    /// Lists all who reacted to a message with an emoji, after a token; the first page is after the empty one.
    pub fn reactions(
        &mut self,
        room: &RoomName,
        seq: u64,
        emoji: &str,
        page_token: &str,
    ) -> Result<Page<Person>, CallError> {
        let request = v1::ListReactionsRequest {
            room: room.as_str().to_owned(),
            message_seq: seq,
            emoji: emoji.to_owned(),
            page_size: 1000,
            page_token: page_token.to_owned(),
            ..Default::default()
        };
        let response = self.call(&LIST_REACTIONS, &request)?;
        Ok((response.people.iter().map(Person::read).collect(), response.next_page_token))
    }

    /// Pins a message to its room, or unpins it.
    pub fn pin(&mut self, message: MessagePlace<'_>, removed: bool) -> Result<u64, CallError> {
        let request = v1::SetPinRequest {
            room: message.room(),
            sender: message.by(),
            message_seq: message.seq,
            epoch: message.epoch(),
            removed,
            ..Default::default()
        };
        Ok(self.call(&SET_PIN, &request)?.seq)
    }

    /// Changes the topic of a room.
    pub fn set_topic(&mut self, room: &RoomName, by: &UserName, topic: &Topic) -> Result<u64, CallError> {
        let request = v1::ChangeRoomRequest {
            room: room.as_str().to_owned(),
            sender: by.as_str().to_owned(),
            change: Some(v1::change_room_request::Change::Topic(topic.as_str().to_owned())),
            ..Default::default()
        };
        Ok(self.call(&CHANGE_ROOM, &request)?.seq)
    }
}

impl MessagePlace<'_> {
    fn room(&self) -> String {
        self.room.as_str().to_owned()
    }

    fn by(&self) -> String {
        self.by.as_str().to_owned()
    }

    fn epoch(&self) -> u64 {
        self.epoch.map_or(0, Epoch::get)
    }
}
