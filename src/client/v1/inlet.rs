//! The owner's interface to a session over `hubbub.v1`.

use std::ops::ControlFlow;
use std::time::Duration;

use uuid::Uuid;

use super::events::{Event, Settings};
use super::incoming::Incoming;
use super::line::Line;
use super::membership::Memberships;
use super::outbox::{Outbox, Tally};
use super::outgoing::Outgoing;
use super::place::StartAt;
use crate::address::Address;
use crate::client::connection::Connector;
use crate::client::error::SessionError;
use crate::client::session;
use crate::names::{Body, Kind, MessageId, RoomName};

/// A running session. Its owner waits for its end.
pub type Session = session::Session<Outgoing>;

/// The input of a session: posts lines, and joins and leaves rooms.
///
/// After `finish`, the session ends once the server has acknowledged all lines, and every room has
/// caught up with the requested history.
pub type Inlet = session::Inlet<Outgoing>;

impl Session {
    /// Connects and starts. Events are reported on the session's receive thread, which is blocked while one is handled;
    /// a handler that breaks ends the session cleanly.
    pub fn start(
        connector: Connector,
        address: Address,
        settings: Settings,
        on_event: impl FnMut(Event<'_>) -> ControlFlow<()> + Send + 'static,
    ) -> Result<Self, SessionError> {
        let Settings { name, rooms, patience, lines_max, bytes_max } = settings;
        let outbox = Outbox::new(rooms.iter().map(|(room, _)| room.clone()), lines_max, bytes_max);
        let outgoing = Outgoing::new(Memberships::new(&rooms), outbox);
        let within = patience.connect_within;
        Self::open(connector, address, patience, outgoing, Incoming::new(name, on_event), |incoming, error| {
            // There is nothing to cancel yet.
            let _ = (incoming.on_event)(Event::Waiting { error, within });
        })
    }
}

impl Inlet {
    /// Joins a room, and reads it from there. Without a connection, it is joined when there is one; it is resumed like
    /// every room. False: it is joined already. A room that should be left when its lines are stored stays joined, at
    /// its place. Lines are accepted from now on; if the server refuses the room, [`Event::NotJoined`] and
    /// [`Event::Rejected`] report it.
    pub fn join(&self, room: &RoomName, from: StartAt) -> Result<bool, SessionError> {
        self.shared.request(|outgoing| outgoing.join(room, from))
    }

    /// Leaves a room. It accepts no more lines; unacknowledged lines are stored first. Returns how many these are.
    /// [`Event::Left`] reports when it is left. Fails if the room is not joined.
    pub fn leave(&self, room: &RoomName) -> Result<usize, SessionError> {
        let waiting = self.shared.change(|outgoing| outgoing.leave(room));
        self.shared.end_if_done();
        waiting
    }

    /// Posts a line. Blocks while the maximum number of lines is unacknowledged. Fails if the room is not joined.
    pub fn post(&self, room: &RoomName, body: Body, kind: Kind) -> Result<MessageId, SessionError> {
        let id = new_message_id();
        self.post_as(room, id, body, kind)?;
        Ok(id)
    }

    /// The same, with an id that the owner has chosen: unique for this name and room, not beginning with four zero
    /// bytes.
    pub fn post_as(&self, room: &RoomName, id: MessageId, body: Body, kind: Kind) -> Result<(), SessionError> {
        self.post_line(room, Line::new(id, body, kind))
    }

    /// The same for a line that may be a reply, or mention others.
    pub fn post_line(&self, room: &RoomName, line: Line) -> Result<(), SessionError> {
        self.shared.push(line.body.as_str().len(), |outgoing| outgoing.push(room, line))
    }

    /// The lines that the server has not acknowledged, with their rooms.
    pub fn pending(&self) -> Vec<(RoomName, Line)> {
        self.shared.lock().outgoing.outbox.pending()
    }

    /// How many lines are unacknowledged, and how many are settled.
    pub fn tally(&self) -> Tally {
        self.shared.lock().outgoing.outbox.tally()
    }

    /// The time from a post to its acknowledgement, as it was measured last: it includes the commit.
    pub fn round_trip(&self) -> Option<Duration> {
        self.shared.lock().outgoing.outbox.round_trip()
    }
}

/// A new id for a message: a UUID of version 7, whose order in time keeps the server's index small.
pub fn new_message_id() -> MessageId {
    MessageId::from_bytes(*Uuid::now_v7().as_bytes())
}
