//! The receive side of a session over `hubbub.v1`: verifies each room's place, and reports events to the owner.

use std::collections::{HashMap, VecDeque};
use std::iter;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use grpcio::GrpcSlice;

use super::events::{Event, Message};
use super::outbox::Rejection;
use super::outgoing::{Outgoing, RoomRefused};
use super::place::{Fault, GapReason, Place};
use super::rooms::{ToJoin, Visit};
use super::wire::{self, Item, read_events};
use crate::client::connection::Connection;
use crate::client::error::SessionError;
use crate::client::incoming::{self, Change, End, Outage, Progress, Step, over};
use crate::client::limits::{GREETING_COMMANDS_MAX, REQUESTED_PAUSE_MAX, WELCOME_TIMEOUT};
use crate::client::shared::Shared;
use crate::client::stream::{Receiver, Sender, StreamError};
use crate::names::{Epoch, MessageId, RoomName, UserName};
use crate::wire::event::Content;
use crate::wire::v1::{self, event::Event as Wire};

/// The state of the current stream, and the owner's handler.
pub struct Incoming<F> {
    name: UserName,
    rooms: Rooms,
    /// This client's number on this connection, after `Welcome`.
    client_id: Option<u64>,
    pub on_event: F,
}

#[derive(Default)]
struct Rooms {
    /// The rooms that are joined, or were, at their indexes.
    list: Vec<Option<Room>>,
    /// By their numbers on this connection.
    by_id: HashMap<u64, usize>,
}

struct Room {
    name: RoomName,
    visit: Visit,
    place: Place,
    id: Option<u64>,
    /// The seqs of this session's messages that were acknowledged before they arrived, in order.
    announced: VecDeque<u64>,
}

impl<F: FnMut(Event<'_>) -> ControlFlow<()> + Send + 'static> incoming::Incoming for Incoming<F> {
    type Outgoing = Outgoing;

    fn open(connection: &Connection) -> Result<(Sender, Receiver), StreamError> {
        wire::open(connection)
    }

    fn greet(&self, outgoing: &mut Outgoing) {
        let joins = outgoing.rooms.connect();
        let joins = joins.iter().map(|to_join| wire::join(&to_join.name, self.rooms.place(to_join).join()));
        let commands: Vec<_> = iter::once(wire::hello(&self.name)).chain(joins).collect();
        // Concatenated requests are one request.
        outgoing.connect(commands.chunks(GREETING_COMMANDS_MAX).map(|chunk| GrpcSlice::from(chunk.concat())).collect());
    }

    fn receive(&self, receiver: &mut Receiver, since: Instant) -> Result<Option<Vec<u8>>, StreamError> {
        match self.client_id {
            Some(_) => receiver.receive(),
            None => receiver.receive_until(since + WELCOME_TIMEOUT),
        }
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

    fn tell(&mut self, change: Change<'_>, _outage: &mut Outage) -> ControlFlow<()> {
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

    fn tell_news(&mut self, session: &Shared<Outgoing>) -> ControlFlow<()> {
        let left = session.lock().outgoing.take_left();
        left.iter().try_for_each(|room| (self.on_event)(Event::Left { room }))
    }
}

impl<F> Incoming<F> {
    pub fn new(name: UserName, on_event: F) -> Self {
        Self { name, rooms: Rooms::default(), client_id: None, on_event }
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
            Item::Message { room_id, seq, time_ms, content } => {
                self.progress.any = true;
                self.message(room_id, seq, time_ms, content)
            }
            // An event of the log that is not a message, as later servers may have: any kind takes a seq.
            Item::Other(v1::Event { room_id, seq: seq @ 1.., .. }) => {
                self.progress.any = true;
                self.passed(room_id, seq)
            }
            Item::Other(v1::Event { room_id, event: Some(Wire::Joined(joined)), time_ms, .. }) => {
                self.joined(room_id, &joined, time_ms)
            }
            Item::Other(v1::Event { room_id, event: Some(event), .. }) => self.control(room_id, event),
            // An event that is newer than this client.
            Item::Other(_) => Step::Continue(()),
        }
    }

    fn message(&mut self, room_id: u64, seq: u64, time_ms: u64, content: Content<'_>) -> Step {
        let (index, room) = self.incoming.rooms.joined(room_id)?;
        if let Err(fault) = room.place.message(seq) {
            return broken(&room.name, fault);
        }
        let Content { id, sender, body, kind, client } = content;
        let mut own = false;
        if sender == self.incoming.name.as_str() {
            while room.announced.front().is_some_and(|&announced| announced < seq) {
                room.announced.pop_front();
            }
            own = room.announced.front() == Some(&seq)
                || self.session.change_quietly(|outgoing| outgoing.acknowledge(index, &id));
        }
        let client_id = client.map(|client| client.0);
        let message = Message { room: &room.name, seq, time_ms, id, sender, body, kind, client_id, own };
        over((self.incoming.on_event)(Event::Message(message)))
    }

    fn passed(&mut self, room_id: u64, seq: u64) -> Step {
        let (_, room) = self.incoming.rooms.joined(room_id)?;
        match room.place.message(seq) {
            Ok(()) => over((self.incoming.on_event)(Event::Passed { room: &room.name, seq })),
            Err(fault) => broken(&room.name, fault),
        }
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
                over(self.say_left())
            }
            Wire::CaughtUp(caught_up) => {
                self.progress = Progress { any: true, caught_up: true };
                let (index, room) = self.incoming.rooms.joined(room_id)?;
                if let Err(fault) = room.place.caught_up(caught_up.head_seq) {
                    return broken(&room.name, fault);
                }
                self.session.change(|outgoing| outgoing.caught_up(index));
                over((self.incoming.on_event)(Event::CaughtUp { room: &room.name, head_seq: caught_up.head_seq }))
            }
            Wire::Gap(gap) => {
                self.progress.any = true;
                let (_, room) = self.incoming.rooms.joined(room_id)?;
                match room.place.gap(&gap) {
                    Ok(gap) => {
                        // Announced messages in the range have not arrived, and never will.
                        let lost = gap.reason == GapReason::EpochChanged;
                        room.announced.retain(|&seq| !lost && seq > gap.to_seq);
                        over((self.incoming.on_event)(Event::Gap { room: &room.name, gap }))
                    }
                    Err(fault) => broken(&room.name, fault),
                }
            }
            Wire::Presence(presence) if Some(presence.client_id) == self.incoming.client_id => Step::Continue(()),
            Wire::Presence(presence) => {
                let (_, room) = self.incoming.rooms.joined(room_id)?;
                let came = match presence.change.enum_value() {
                    Ok(v1::presence::Change::CHANGE_JOINED) => true,
                    Ok(v1::presence::Change::CHANGE_LEFT) => false,
                    _ => return Step::Continue(()),
                };
                over((self.incoming.on_event)(Event::Presence {
                    room: &room.name,
                    name: &presence.name,
                    client_id: presence.client_id,
                    came,
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
            // Both are handled in `take`.
            Wire::Message(_) | Wire::Joined(_) => Step::Continue(()),
        }
    }

    fn joined(&mut self, room_id: u64, joined: &v1::Joined, time_ms: u64) -> Step {
        let asked = RoomName::new(&joined.room)
            .ok()
            .and_then(|name| Some((self.session.change(|outgoing| outgoing.joined(&name))?, name)));
        let Some(((index, visit, from), name)) = asked else {
            return fault("it joined a room that was not asked for");
        };
        let room = self.incoming.rooms.enter(&ToJoin { index, name: name.clone(), visit, from });
        if let Err(fault) = room.place.joined(joined) {
            return broken(&name, fault);
        }
        if self.incoming.rooms.number(index, room_id) {
            return Step::Continue(());
        }
        let Some(epoch) = Epoch::new(joined.epoch) else { return broken(&name, Fault::NoEpoch) };
        over((self.incoming.on_event)(Event::Joined {
            room: &name,
            time_ms,
            epoch,
            head_seq: joined.head_seq,
            oldest_seq: joined.oldest_seq,
            members: joined.member_count,
        }))
    }

    fn left(&mut self, room_id: u64, left: &v1::Left) -> Step {
        let name = RoomName::new(&left.room).ok().filter(|name| self.session.change(|outgoing| outgoing.left(name)));
        if name.is_none() {
            return fault("it left a room without being asked to");
        }
        self.incoming.rooms.leave(room_id);
        over(self.say_left())
    }

    /// Reports the rooms that were left to the owner.
    fn say_left(&mut self) -> ControlFlow<()> {
        incoming::Incoming::tell_news(self.incoming, self.session)
    }

    fn posted(&mut self, room_id: u64, posted: &v1::Posted) -> Step {
        let (index, room) = self.incoming.rooms.joined(room_id)?;
        let Ok(id) = <[u8; 16]>::try_from(posted.message_id.as_slice()) else {
            return fault("it acknowledged a message without an id");
        };
        let (id, seq) = (MessageId::from_bytes(id), posted.message_seq);
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
                let Ok(id) = <[u8; 16]>::try_from(id.as_slice()) else {
                    return fault("it rejected a message without an id");
                };
                let id = MessageId::from_bytes(id);
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
                let Ok(room) = RoomName::new(room) else { return fault("it rejected a room that was not asked for") };
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
                let mut told = lines.into_iter().map(|line| Event::Rejected { line, reason: &because });
                over(told.try_for_each(&mut self.incoming.on_event))?;
                over((self.incoming.on_event)(Event::NotJoined { room: &room, reason }))
            }
            RoomRefused::Left => {
                self.incoming.rooms.forget(&room);
                over(self.say_left())
            }
            RoomRefused::Unknown => fault("it rejected a room that was not asked for"),
        }
    }
}

impl Rooms {
    /// The room of that number, which must be joined, and its index.
    fn joined(&mut self, room_id: u64) -> ControlFlow<End, (usize, &mut Room)> {
        // Most clients are in one room.
        let index = match self.list.as_slice() {
            [Some(room)] if room.id == Some(room_id) => Some(0),
            _ => self.by_id.get(&room_id).copied(),
        };
        match index.and_then(|index| Some((index, self.list[index].as_mut()?))) {
            Some(room) => ControlFlow::Continue(room),
            None => {
                let what = format!("it sent an event of room {room_id}, which was not joined");
                ControlFlow::Break(End::Broken(StreamError::Fault(what)))
            }
        }
    }

    /// The place of the client in a room that it joins.
    fn place(&self, to_join: &ToJoin) -> Place {
        let known = self.list.get(to_join.index).and_then(Option::as_ref);
        known
            .filter(|room| room.visit == to_join.visit)
            .map_or_else(|| Place::new(to_join.from), |room| room.place.clone())
    }

    /// The room that is joined; the state of an earlier visit is discarded.
    fn enter(&mut self, joined: &ToJoin) -> &mut Room {
        let index = joined.index;
        if self.list.len() <= index {
            self.list.resize_with(index + 1, || None);
        }
        let known = &mut self.list[index];
        if known.as_ref().is_none_or(|room| room.visit != joined.visit) {
            *known = None;
        }
        known.get_or_insert_with(|| Room {
            name: joined.name.clone(),
            visit: joined.visit,
            place: Place::new(joined.from),
            id: None,
            announced: VecDeque::new(),
        })
    }

    /// Sets a room's number. True: it had one on this connection already. It may get another one with its first
    /// message; then nothing else has changed.
    fn number(&mut self, index: usize, room_id: u64) -> bool {
        let before = self.list[index].as_mut().and_then(|room| room.id.replace(room_id));
        if let Some(before) = before {
            self.by_id.remove(&before);
        }
        self.by_id.insert(room_id, index);
        before.is_some()
    }

    /// The room of that number is left.
    fn leave(&mut self, room_id: u64) {
        if let Some(index) = self.by_id.remove(&room_id) {
            self.list[index] = None;
        }
    }

    /// The room of that name is left.
    fn forget(&mut self, name: &RoomName) {
        let room = self.list.iter().flatten().find(|room| room.name == *name);
        if let Some(id) = room.and_then(|room| room.id) {
            self.leave(id);
        }
    }

    /// Discards the rooms' numbers, which belong to a connection.
    fn disconnect(&mut self) {
        self.by_id.clear();
        for room in self.list.iter_mut().flatten() {
            room.id = None;
        }
    }
}

fn broken(room: &RoomName, fault: Fault) -> Step {
    self::fault(&format!("in {room}, {fault}"))
}

/// The server violated the contract. The client can only resume at its place.
fn fault(what: &str) -> Step {
    Step::Break(End::Broken(StreamError::Fault(what.to_owned())))
}
