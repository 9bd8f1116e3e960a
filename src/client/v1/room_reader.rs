//! Reads the stream of a client that follows one room, over any transport: verifies its place, and reports the events of
//! the room.

use std::ops::ControlFlow;

use super::change::LoggedChange;
use super::events::{Event, Message, RoomJoined};
use super::place::{Fault, Place, StartAt};
use super::wire::{Item, read_events};
use crate::client::stream::StreamError;
use crate::names::{Epoch, RoomName};
use crate::wire::event::Content;
use crate::wire::v1::{self, event::Event as Wire};

/// The reader of a room, over as many streams as it takes.
pub struct RoomReader {
    room: RoomName,
    place: Place,
    /// The number of the room on the current stream.
    room_id: Option<u64>,
    /// Whether there was a stream before, which has ended.
    resumes: bool,
}

impl RoomReader {
    pub fn new(room: RoomName, from: StartAt) -> Self {
        Self { room, place: Place::new(from), room_id: None, resumes: false }
    }

    /// The request to join the room at its place.
    pub fn join(&self) -> v1::Join {
        v1::Join { room: self.room.as_str().to_owned(), from: self.place.join(), ..Default::default() }
    }

    /// The stream has ended.
    pub fn disconnected(&mut self) {
        self.resumes |= self.room_id.take().is_some();
    }

    /// Reads a response, and reports its events, and then [`Event::Pause`]. Messages are reported as not the client's own.
    pub fn read(
        &mut self,
        response: &[u8],
        on_event: &mut impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, StreamError> {
        let flow = read_events(response, |item| match self.take(item, on_event) {
            Ok(ControlFlow::Continue(())) => ControlFlow::Continue(()),
            end => ControlFlow::Break(end),
        })?;
        match flow {
            ControlFlow::Continue(()) => Ok(on_event(Event::Pause)),
            ControlFlow::Break(end) => end,
        }
    }

    fn take(
        &mut self,
        item: Item<'_>,
        on_event: &mut impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, StreamError> {
        let room = &self.room;
        Ok(match item {
            Item::Message { room_id, seq, time_ms, content, extras } => {
                check_number(self.room_id, room_id)?;
                self.place.message(seq).map_err(fault)?;
                let Content { id, sender, body, kind, client, authenticated, .. } = content;
                let client_id = client.map(|client| client.0);
                let own = false;
                on_event(Event::Message(Message {
                    room,
                    seq,
                    time_ms,
                    id,
                    sender,
                    body,
                    kind,
                    client_id,
                    authenticated,
                    extras,
                    own,
                }))
            }
            Item::Other(v1::Event { room_id, seq: seq @ 1.., time_ms, event, .. }) => {
                check_number(self.room_id, room_id)?;
                self.place.message(seq).map_err(fault)?;
                match event.as_ref().and_then(LoggedChange::read) {
                    Some(change) => on_event(Event::Changed { room, seq, time_ms, change: &change }),
                    None => on_event(Event::Unknown { room, seq, time_ms }),
                }
            }
            Item::Other(v1::Event { room_id, time_ms, event: Some(event), .. }) => match event {
                Wire::Welcome(_) if self.resumes => on_event(Event::Reconnected),
                Wire::Joined(joined) => {
                    self.place.joined(&joined).map_err(fault)?;
                    let is_again = self.room_id.replace(room_id).is_some();
                    let joined = RoomJoined {
                        room,
                        time_ms,
                        epoch: Epoch::new(joined.epoch).ok_or(Fault::NoEpoch).map_err(fault)?,
                        head_seq: joined.head_seq,
                        oldest_seq: joined.oldest_seq,
                        members: joined.member_count,
                        topic: &joined.topic,
                        pinned_seqs: &joined.pinned_seqs,
                    };
                    match is_again {
                        true if joined.head_seq == 0 => ControlFlow::Continue(()),
                        true => on_event(Event::State(joined)),
                        false => on_event(Event::Joined(joined)),
                    }
                }
                Wire::CaughtUp(caught_up) => {
                    check_number(self.room_id, room_id)?;
                    self.place.caught_up(caught_up.head_seq).map_err(fault)?;
                    on_event(Event::CaughtUp { room, head_seq: caught_up.head_seq })
                }
                Wire::Gap(gap) => {
                    check_number(self.room_id, room_id)?;
                    let gap = self.place.gap(&gap).map_err(fault)?;
                    on_event(Event::Gap { room, gap })
                }
                Wire::Rejected(rejected) => on_event(Event::NotJoined { room, reason: &rejected.reason }),
                _ => ControlFlow::Continue(()),
            },
            // An event that is newer than this client.
            Item::Other(_) => ControlFlow::Continue(()),
        })
    }
}

fn check_number(own: Option<u64>, other: u64) -> Result<(), StreamError> {
    if own == Some(other) {
        return Ok(());
    }
    Err(StreamError::Fault("it sent an event of a room that was not joined".to_owned()))
}

fn fault(fault: Fault) -> StreamError {
    StreamError::Fault(fault.to_string())
}
