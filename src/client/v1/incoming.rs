//! The receive side of a session over `hubbub.v1`: verifies each room's place, and reports events to the owner.

use std::iter;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use grpcio::GrpcSlice;

use super::change::LoggedChange;
use super::events::{Event, Message, RoomJoined};
use super::joined::{JoinedRooms, fault, verified};
use super::outbox::Rejection;
use super::outgoing::{Outgoing, RoomRefused};
use super::place::{Fault, GapReason};
use super::stored::{Extras, message_id};
use super::wire::{self, Item, read_events};
use crate::client::connection::Connection;
use crate::client::error::SessionError;
use crate::client::incoming::{self, Change, End, Outage, Progress, Step, over};
use crate::client::limits::{GREETING_COMMANDS_MAX, REQUESTED_PAUSE_MAX, WELCOME_TIMEOUT};
use crate::client::shared::Shared;
use crate::client::stream::{Receiver, Sender, StreamError};
use crate::names::{Epoch, RoomName, UserName};
use crate::wire::event::Content;
use crate::wire::v1::{self, event::Event as Wire};

/// The state of the current stream, and the owner's handler.
pub struct Incoming<F> {
    name: UserName,
    rooms: JoinedRooms,
    /// This client's number on this connection, after `Welcome`.
    client_id: Option<u64>,
    pub on_event: F,
}

impl<F: FnMut(Event<'_>) -> ControlFlow<()> + Send + 'static> incoming::Incoming for Incoming<F> {
    type Outgoing = Outgoing;

    fn open(connection: &Connection) -> Result<(Sender, Receiver), StreamError> {
        wire::open(connection)
    }

    fn greet(&self, outgoing: &mut Outgoing) {
        let joins = outgoing.rooms.connect();
        let joins = joins.iter().map(|to_join| wire::join(&to_join.name, self.rooms.place(to_join).join()));
        let commands: Vec<_> = iter::once(wire::hello(Some(&self.name))).chain(joins).collect();
        // Concatenated requests are one request.
        outgoing.connect(commands.chunks(GREETING_COMMANDS_MAX).map(|chunk| GrpcSlice::from(chunk.concat())).collect());
    }

    fn receive(&self, receiver: &mut Receiver, since: Instant) -> Result<Option<Vec<u8>>, StreamError> {
        receiver.receive(self.client_id.is_none().then(|| since + WELCOME_TIMEOUT))
    }

    fn take(&mut self, response: &[u8], session: &Shared<Outgoing>, outage: &mut Outage) -> (Step, Progress) {
        let mut reading = Reading { incoming: self, session, outage, progress: Progress::default() };
        let step = match read_events(response, |item| reading.take(item)) {
            Ok(step) => step,
            Err(error) => Step::Break(End::Broken(error)),
        };
        let progress = reading.progress;
        match step {
            Step::Continue(()) => (over((self.on_event)(Event::Pause)), progress),
            end => (end, progress),
        }
    }

    fn disconnected(&mut self) {
        self.rooms.disconnect();
        self.client_id = None;
    }

    fn report(&mut self, change: Change<'_>, _outage: &mut Outage) -> ControlFlow<()> {
        match change {
            Change::Lost { error, lines } => {
                let fault = matches!(error, StreamError::Fault(_));
                (self.on_event)(Event::Disconnected { reason: error.to_string(), fault, kept: lines })
            }
            Change::Retrying { reason, pause } => (self.on_event)(Event::Retrying { reason, pause }),
            // Reported after the server's `Welcome`.
            Change::Made { .. } => ControlFlow::Continue(()),
        }
    }

    fn report_local_events(&mut self, session: &Shared<Outgoing>) -> ControlFlow<()> {
        let left = session.lock().outgoing.take_left();
        left.iter().try_for_each(|room| (self.on_event)(Event::Left { room }))
    }
}

impl<F> Incoming<F> {
    pub fn new(name: UserName, on_event: F) -> Self {
        Self { name, rooms: JoinedRooms::default(), client_id: None, on_event }
    }
}

/// The reading of one response.
struct Reading<'a, F> {
    incoming: &'a mut Incoming<F>,
    session: &'a Shared<Outgoing>,
    outage: &'a mut Outage,
    progress: Progress,
}

impl<F: FnMut(Event<'_>) -> ControlFlow<()> + Send + 'static> Reading<'_, F> {
    fn take(&mut self, item: Item<'_>) -> Step {
        match item {
            Item::Message { room_id, seq, time_ms, content, extras } => {
                self.progress.any = true;
                self.message(room_id, seq, time_ms, content, extras)
            }
            // Another event of the log. Any kind takes a seq, also the unknown ones of later servers.
            Item::Other(v1::Event { room_id, seq: seq @ 1.., time_ms, event, .. }) => {
                self.progress.any = true;
                self.other_event(room_id, seq, time_ms, event.as_ref().and_then(LoggedChange::read).as_ref())
            }
            Item::Other(v1::Event { room_id, event: Some(Wire::Joined(joined)), time_ms, .. }) => {
                self.joined(room_id, &joined, time_ms)
            }
            Item::Other(v1::Event { room_id, event: Some(event), .. }) => self.control(room_id, event),
            // An event that is newer than this client.
            Item::Other(_) => Step::Continue(()),
        }
    }

    fn message(&mut self, room_id: u64, seq: u64, time_ms: u64, content: Content<'_>, extras: &Extras) -> Step {
        let (index, room) = self.incoming.rooms.joined(room_id)?;
        verified(&room.name, room.place.message(seq))?;
        let Content { id, sender, body, kind, client, authenticated, .. } = content;
        let mut own = false;
        if sender == self.incoming.name.as_str() {
            while room.announced.front().is_some_and(|&announced| announced < seq) {
                room.announced.pop_front();
            }
            own = room.announced.front() == Some(&seq)
                || self.session.change_quietly(|outgoing| outgoing.acknowledge(index, &id));
        }
        let client_id = client.map(|client| client.0);
        let room = &room.name;
        let message = Message { room, seq, time_ms, id, sender, body, kind, client_id, authenticated, extras, own };
        over((self.incoming.on_event)(Event::Message(message)))
    }

    fn other_event(&mut self, room_id: u64, seq: u64, time_ms: u64, change: Option<&LoggedChange>) -> Step {
        let (_, room) = self.incoming.rooms.joined(room_id)?;
        verified(&room.name, room.place.message(seq))?;
        let room = &room.name;
        over((self.incoming.on_event)(match change {
            Some(change) => Event::Changed { room, seq, time_ms, change },
            None => Event::Unknown { room, seq, time_ms },
        }))
    }

    fn control(&mut self, room_id: u64, event: Wire) -> Step {
        match event {
            Wire::Welcome(welcome) => {
                self.incoming.client_id = Some(welcome.client_id);
                let limits = welcome.limits.unwrap_or_default();
                self.session.change(|outgoing| outgoing.limit(limits.commands_max, limits.request_bytes_max));
                if self.outage.since.take().is_some() {
                    over((self.incoming.on_event)(Event::Reconnected))?;
                }
                // Rooms that were left while the connection was being made.
                over(self.report_left())
            }
            Wire::CaughtUp(caught_up) => {
                self.progress = Progress { any: true, caught_up: true };
                let (index, room) = self.incoming.rooms.joined(room_id)?;
                verified(&room.name, room.place.caught_up(caught_up.head_seq))?;
                self.session.change(|outgoing| outgoing.caught_up(index));
                over((self.incoming.on_event)(Event::CaughtUp { room: &room.name, head_seq: caught_up.head_seq }))
            }
            Wire::Gap(gap) => {
                self.progress.any = true;
                let (_, room) = self.incoming.rooms.joined(room_id)?;
                let gap = verified(&room.name, room.place.gap(&gap))?;
                // Announced messages in the range have not arrived, and never will.
                let lost = gap.reason == GapReason::EpochChanged;
                room.announced.retain(|&seq| !lost && seq > gap.to_seq);
                over((self.incoming.on_event)(Event::Gap { room: &room.name, gap }))
            }
            Wire::Presence(presence) if Some(presence.client_id) == self.incoming.client_id => Step::Continue(()),
            Wire::Presence(presence) => {
                let (_, room) = self.incoming.rooms.joined(room_id)?;
                let joined = match presence.change.enum_value() {
                    Ok(v1::presence::Change::CHANGE_JOINED) => true,
                    Ok(v1::presence::Change::CHANGE_LEFT) => false,
                    _ => return Step::Continue(()),
                };
                over((self.incoming.on_event)(Event::Presence {
                    room: &room.name,
                    name: &presence.name,
                    authenticated: presence.authenticated,
                    client_id: presence.client_id,
                    joined,
                }))
            }
            Wire::Posted(posted) => self.posted(room_id, &posted),
            Wire::Rejected(rejected) => self.rejected(&rejected),
            Wire::Goodbye(goodbye) => {
                let pause = Duration::from_millis(goodbye.reconnect_after_ms.into());
                self.outage.reconnect_after = Some(pause.min(REQUESTED_PAUSE_MAX));
                Step::Continue(())
            }
            Wire::Left(left) => {
                self.progress.any = true;
                self.left(room_id, &left)
            }
            // Events of the log, and `Joined`, are handled in `take`.
            Wire::Message(_)
            | Wire::Joined(_)
            | Wire::Edited(_)
            | Wire::Reacted(_)
            | Wire::Deleted(_)
            | Wire::Pinned(_)
            | Wire::RoomChanged(_) => Step::Continue(()),
        }
    }

    fn joined(&mut self, room_id: u64, joined: &v1::Joined, time_ms: u64) -> Step {
        let name = RoomName::new(&joined.room).ok();
        let Some(to_join) = name.and_then(|name| self.session.change(|outgoing| outgoing.joined(&name))) else {
            return fault("it joined a room that was not requested");
        };
        let name = &to_join.name;
        verified(name, self.incoming.rooms.enter(&to_join).place.joined(joined))?;
        let is_again = self.incoming.rooms.number(to_join.index, room_id);
        let epoch = verified(name, Epoch::new(joined.epoch).ok_or(Fault::NoEpoch))?;
        let room = RoomJoined {
            room: name,
            time_ms,
            epoch,
            head_seq: joined.head_seq,
            oldest_seq: joined.oldest_seq,
            members: joined.member_count,
            topic: &joined.topic,
            pinned_seqs: &joined.pinned_seqs,
        };
        over(match is_again {
            // The room gets its first message, and has got another number for it.
            true if joined.head_seq == 0 => ControlFlow::Continue(()),
            true => (self.incoming.on_event)(Event::State(room)),
            false => (self.incoming.on_event)(Event::Joined(room)),
        })
    }

    fn left(&mut self, room_id: u64, left: &v1::Left) -> Step {
        let name = RoomName::new(&left.room).ok().filter(|name| self.session.change(|outgoing| outgoing.left(name)));
        if name.is_none() {
            return fault("it left a room without a request");
        }
        self.incoming.rooms.leave(room_id);
        over(self.report_left())
    }

    /// Reports the rooms that were left to the owner.
    fn report_left(&mut self) -> ControlFlow<()> {
        incoming::Incoming::report_local_events(self.incoming, self.session)
    }

    fn posted(&mut self, room_id: u64, posted: &v1::Posted) -> Step {
        let (index, room) = self.incoming.rooms.joined(room_id)?;
        let Some(id) = message_id(&posted.message_id) else {
            return fault("it acknowledged a message without an id");
        };
        let seq = posted.message_seq;
        if !self.session.change_quietly(|outgoing| outgoing.acknowledge(index, &id)) {
            return Step::Continue(());
        }
        self.progress.any = true;
        if room.place.last().is_none_or(|last| seq > last) {
            // Nearly always the last.
            let at = room.announced.partition_point(|&announced| announced < seq);
            room.announced.insert(at, seq);
        }
        over((self.incoming.on_event)(Event::Stored { room: &room.name, id, seq }))
    }

    fn rejected(&mut self, rejected: &v1::Rejected) -> Step {
        let pause = Duration::from_millis(rejected.retry_after_ms.into()).min(REQUESTED_PAUSE_MAX);
        let retry_at = (!pause.is_zero()).then(|| Instant::now() + pause);
        let reason = rejected.reason.as_str();
        match &rejected.command {
            Some(v1::rejected::Command::MessageId(id)) => {
                let Some(id) = message_id(id) else { return fault("it rejected a message without an id") };
                match self.session.change(|outgoing| outgoing.reject(&id, retry_at, reason)) {
                    Rejection::Dropped(line) => {
                        self.progress.any = true;
                        over((self.incoming.on_event)(Event::Rejected { line, reason }))
                    }
                    Rejection::Held => over((self.incoming.on_event)(Event::Held { reason, pause })),
                    Rejection::Known => Step::Continue(()),
                }
            }
            Some(v1::rejected::Command::Room(room)) => {
                let Ok(room) = RoomName::new(room) else { return fault("it rejected a room that was not requested") };
                if retry_at.is_some() && self.session.lock().outgoing.rooms.is_to_be_resumed(&room) {
                    // The next connection requests it again.
                    self.outage.reconnect_after = Some(pause);
                    let reason = format!("can't join {room} yet: {reason}");
                    return Step::Break(End::Broken(StreamError::Lost(reason)));
                }
                self.progress.any = true;
                self.room_refused(room, reason)
            }
            _ => Step::Continue(()),
        }
    }

    fn room_refused(&mut self, room: RoomName, reason: &str) -> Step {
        match self.session.change(|outgoing| outgoing.room_refused(&room)) {
            RoomRefused::Essential => {
                Step::Break(End::Over(Err(SessionError::Room { room, reason: reason.to_owned() })))
            }
            RoomRefused::Dropped(lines) => {
                let because = format!("{room} is not joined: {reason}");
                let mut rejected = lines.into_iter().map(|line| Event::Rejected { line, reason: &because });
                over(rejected.try_for_each(&mut self.incoming.on_event))?;
                over((self.incoming.on_event)(Event::NotJoined { room: &room, reason }))
            }
            RoomRefused::Left => {
                self.incoming.rooms.forget(&room);
                over(self.report_left())
            }
            RoomRefused::Unknown => fault("it rejected a room that was not requested"),
        }
    }
}
