//! A session over `hubbub.v1`: a conversation that survives lost connections, without losing or repeating messages.
//!
//! Two threads serve it. `send` takes lines from the outbox, as many at once as fit into a request, and writes them to
//! the current stream. `receive` reads that stream, verifies each room's place, reports events to the owner, and when
//! the connection is lost, reconnects and resumes every room; so only one thread opens connections. Both end with the
//! session, and [`Session::wait`] joins them.
//!
//! Guarantees: the owner gets each message of each room once and in the order of seq, or an event for the gap. A line
//! that was passed in is stored once, in its order (`outbox.rs` describes the one exception), or the owner gets an
//! event that it was rejected, or that the session ended before the server had acknowledged it.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use uuid::Uuid;

use super::chat;
use super::connection::Connector;
use super::events::{Event, SessionError, Settings};
use super::outbox::{Line, Outbox, Tally};
use super::place::StartAt;
use super::reader::Reader;
use super::rooms::Rooms;
use super::state::Shared;
use crate::address::Address;
use crate::names::{Body, Kind, MessageId, RoomName};
use crate::threads::spawn;

/// A running session. Its owner waits for its end.
pub struct Session {
    shared: Arc<Shared>,
    finish_timeout: Duration,
    threads: Vec<JoinHandle<()>>,
}

/// The input of a session: posts lines, and joins and leaves rooms, from any thread.
#[derive(Clone)]
pub struct Inlet {
    shared: Arc<Shared>,
}

impl Session {
    /// Connects and starts. Events are reported on the session's receive thread, which is blocked while one is handled;
    /// a handler that breaks ends the session cleanly.
    pub fn start(
        connector: Connector,
        address: Address,
        settings: Settings,
        mut on_event: impl FnMut(Event<'_>) -> ControlFlow<()> + Send + 'static,
    ) -> Result<Self, SessionError> {
        let within = settings.connect_within;
        let connection = connector.open_within(&address, within, |error| {
            // There is nothing to cancel yet.
            let _ = on_event(Event::Waiting { error, within });
        })?;
        let (sender, receiver) = chat::open(&connection)?;
        let names = settings.rooms.iter().map(|(room, _)| room.clone());
        let outbox = Outbox::new(names, settings.lines_max, settings.bytes_max);
        let shared = Arc::new(Shared::new(outbox, Rooms::new(&settings.rooms)));
        let finish_timeout = settings.finish_timeout;
        let mut session = Self { shared: shared.clone(), finish_timeout, threads: vec![] };
        let reader = Reader::new(shared.clone(), connector, address, settings, on_event);
        reader.connect(sender, &receiver);
        let spawned = spawn("send", move || send_requests(&shared))
            .map(|thread| session.threads.push(thread))
            .and_then(|()| spawn("receive", move || reader.run(receiver)))
            .map(|thread| session.threads.push(thread));
        // If one was refused, dropping the session ends the other.
        spawned.map(|()| session).map_err(SessionError::Thread)
    }

    pub fn inlet(&self) -> Inlet {
        Inlet { shared: self.shared.clone() }
    }

    /// Waits until the session has ended: finished, failed, stopped, or ended by its event handler.
    pub fn wait(mut self) -> Result<(), SessionError> {
        let outcome = self.shared.wait(self.finish_timeout);
        self.join();
        outcome
    }

    fn join(&mut self) {
        for thread in self.threads.drain(..) {
            // A panic has been reported already; the session's outcome is kept.
            let _ = thread.join();
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.shared.end(Ok(()));
        self.join();
    }
}

impl Inlet {
    /// Joins a room, and reads it from there. Without a connection, it is joined when there is one; it is resumed like
    /// every room. False: it is joined already. A room that should be left when its lines are stored stays joined, at
    /// its place. Lines are accepted from now on; if the server refuses the room, [`Event::NotJoined`] and
    /// [`Event::Rejected`] report it.
    pub fn join(&self, room: &RoomName, from: StartAt) -> Result<bool, SessionError> {
        self.shared.join(room, from)
    }

    /// Leaves a room. It accepts no more lines; unacknowledged lines are stored first. Returns how many these are.
    /// [`Event::Left`] reports when it is left. Fails if the room is not joined.
    pub fn leave(&self, room: &RoomName) -> Result<usize, SessionError> {
        self.shared.leave(room)
    }

    /// Posts a line. Blocks while the maximum number of lines is unacknowledged. Fails if the room is not joined.
    pub fn post(&self, room: &RoomName, body: Body, kind: Kind) -> Result<MessageId, SessionError> {
        let id = new_message_id();
        self.post_as(room, id, body, kind)?;
        Ok(id)
    }

    /// The same, with an id that the owner has chosen: unique for this name and room, not beginning with four zero bytes.
    pub fn post_as(&self, room: &RoomName, id: MessageId, body: Body, kind: Kind) -> Result<(), SessionError> {
        self.shared.post(room, Line { id, body, kind })
    }

    /// Ends the input. The session ends once the server has acknowledged all lines, and every room has caught up with
    /// the requested history.
    pub fn finish(&self) {
        self.shared.finish();
    }

    /// The lines that the server has not acknowledged, with their rooms.
    pub fn pending(&self) -> Vec<(RoomName, Line)> {
        self.shared.lock().outbox.pending()
    }

    /// The bodies that the server has not acknowledged.
    pub fn unacknowledged(&self) -> Vec<String> {
        self.shared.lock().outbox.bodies()
    }

    /// How many lines are unacknowledged, and how many are settled.
    pub fn tally(&self) -> Tally {
        self.shared.lock().outbox.tally()
    }

    /// Ends the session at once. Lines that were not acknowledged may or may not be stored.
    pub fn stop(&self) {
        self.shared.end(Ok(()));
    }
}

/// A new id for a message: a UUID of version 7, whose order in time keeps the server's index small.
pub fn new_message_id() -> MessageId {
    MessageId::from_bytes(*Uuid::now_v7().as_bytes())
}

/// The send thread. Ends with the session.
fn send_requests(shared: &Shared) {
    let mut buffer = Vec::new();
    while let Some((mut sender, request)) = shared.next_request(&mut buffer) {
        // It waits for the previous request, so that while one is in flight, the next one is collected. The receiver
        // also gets a failure, with its reason.
        let success = sender.send_on(request).is_ok();
        shared.give_back(sender, success);
    }
}
