//! The receive thread of a session: reads the current stream, verifies each room's place, reports events to the owner,
//! and reconnects when the connection is lost.

use std::collections::{HashMap, VecDeque};
use std::iter;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use grpcio::GrpcSlice;

use super::backoff::Backoff;
use super::chat::{self, Item, Receiver, Sender, read_events};
use super::connection::Connector;
use super::events::{Event, Message, Policy, SessionError, Settings};
use super::outbox::Rejection;
use super::place::{Fault, GapReason, Place};
use super::rooms::{ToJoin, Visit};
use super::state::{Paused, RoomRefused, Shared};
use super::stream::StreamError;
use crate::address::Address;
use crate::names::{Epoch, MessageId, RoomName};
use crate::wire::event::Content;
use crate::wire::v1::{self, event::Event as Wire};

/// How long a server may take to send `Welcome`.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(10);

/// After a connection that lasted this long, or over which a room caught up, the pauses start small again. A connection
/// without messages must not make them longer: in a silent room there are none.
const STABLE: Duration = Duration::from_secs(5);

/// How many rooms are joined with one request: with the longest names, a quarter of the maximum request.
const GREETING_COMMANDS: usize = 50;

/// The maximum reconnect time that is accepted from a server.
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// The state of the receive thread.
pub struct Reader<F> {
    shared: Arc<Shared>,
    connector: Connector,
    address: Address,
    settings: Settings,
    rooms: Rooms,
    /// This client's number on this connection, after `Welcome`.
    client_id: Option<u64>,
    /// Since when there is no connection.
    down_since: Option<Instant>,
    /// The reconnect time from `Goodbye`.
    reconnect_after: Option<Duration>,
    on_event: F,
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

/// Why the reading of a stream ended.
enum End {
    /// The session is over.
    Over(Result<(), SessionError>),
    Broken(StreamError),
}

/// The progress made by a response.
#[derive(Default)]
struct Progress {
    /// Something that a finishing session waits for.
    any: bool,
    /// A room caught up.
    caught_up: bool,
}

type Step = ControlFlow<End>;

impl<F: FnMut(Event<'_>) -> ControlFlow<()>> Reader<F> {
    pub fn new(shared: Arc<Shared>, connector: Connector, address: Address, settings: Settings, on_event: F) -> Self {
        Self {
            shared,
            connector,
            address,
            settings,
            rooms: Rooms::default(),
            client_id: None,
            down_since: None,
            reconnect_after: None,
            on_event,
        }
    }

    /// The receive thread. Ends with the session, which it ends itself if it can't continue.
    pub fn run(mut self, mut receiver: Receiver) {
        let mut backoff = Backoff::new();
        let outcome = loop {
            let since = Instant::now();
            let error = match self.follow(&mut receiver, &mut backoff) {
                End::Over(outcome) => break outcome,
                End::Broken(error) => error,
            };
            drop(receiver);
            if self.shared.lock().ended.is_some() {
                break Ok(());
            }
            let kept = self.shared.disconnect();
            self.rooms.disconnect();
            self.client_id = None;
            if !matches!(error, StreamError::Lost(_) | StreamError::Fault(_)) || self.settings.policy == Policy::Fail {
                break Err(SessionError::Lost { error, lines: kept as u64 });
            }
            if since.elapsed() >= STABLE {
                backoff.reset();
            }
            self.down_since.get_or_insert_with(Instant::now);
            let fault = matches!(error, StreamError::Fault(_));
            let disconnected = Event::Disconnected { reason: error.to_string(), fault, kept };
            if self.tell_apart(disconnected).is_break() || self.tell_left().is_break() {
                break Ok(());
            }
            match self.reconnect(&mut backoff, error) {
                Ok(Some(next)) => receiver = next,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.shared.end(outcome);
    }

    /// Starts using a stream. False means that the session has ended.
    pub fn connect(&self, sender: Sender, receiver: &Receiver) -> bool {
        let greet = |joins: Vec<ToJoin>| {
            let joins = joins.iter().map(|to_join| chat::join(&to_join.name, self.rooms.place(to_join).join()));
            let commands: Vec<_> = iter::once(chat::hello(&self.settings.name)).chain(joins).collect();
            // Concatenated requests are one request.
            commands.chunks(GREETING_COMMANDS).map(|chunk| GrpcSlice::from(chunk.concat())).collect()
        };
        self.shared.connect(sender, receiver.canceller(), greet)
    }

    /// Tries until there is a connection again. `None` means that the session has ended.
    fn reconnect(&mut self, backoff: &mut Backoff, mut error: StreamError) -> Result<Option<Receiver>, SessionError> {
        loop {
            let mut pause = backoff.pause();
            if let Some(asked) = self.reconnect_after.take() {
                // With jitter, so that not all clients of a restarted server reconnect at the same moment.
                pause = asked + pause;
            }
            if let Some(outage) = self.settings.outage_max {
                let left = outage.saturating_sub(self.down_since.map_or(Duration::ZERO, |since| since.elapsed()));
                if left.is_zero() {
                    let lines = self.shared.lock().outbox.len() as u64;
                    return Err(SessionError::Outage { outage, reason: error.to_string(), lines });
                }
                pause = pause.min(left);
            }
            let retrying = Event::Retrying { reason: &error.to_string(), pause };
            if self.tell_apart(retrying).is_break() || !self.pause(pause) {
                return Ok(None);
            }
            let opened = self.connector.open(&self.address).map_err(|e| StreamError::Lost(e.to_string()));
            match opened.and_then(|connection| chat::open(&connection)) {
                Ok((sender, receiver)) => return Ok(self.connect(sender, &receiver).then_some(receiver)),
                Err(e) => error = e,
            }
        }
    }

    /// Waits, and reports the rooms that were left meanwhile. False means that the session has ended.
    fn pause(&mut self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        loop {
            match self.shared.pause(until) {
                Paused::Elapsed => return true,
                Paused::News if self.tell_left().is_continue() => {}
                Paused::News | Paused::Over => return false,
            }
        }
    }

    /// Reads until the stream ends, and reports the events.
    fn follow(&mut self, receiver: &mut Receiver, backoff: &mut Backoff) -> End {
        let deadline = Instant::now() + WELCOME_TIMEOUT;
        loop {
            let response = match self.client_id {
                Some(_) => receiver.receive(),
                None => receiver.receive_until(deadline),
            };
            let response = match response {
                Ok(Some(response)) => response,
                Ok(None) => return End::Broken(StreamError::Lost("the server ended the conversation".to_owned())),
                Err(error) => return End::Broken(error),
            };
            self.shared.begin_handling();
            let mut progress = Progress::default();
            let step = match read_events(&response, |item| self.take(item, &mut progress)) {
                Ok(step) => step,
                Err(error) => ControlFlow::Break(End::Broken(error)),
            };
            let step = match step {
                ControlFlow::Continue(()) => over((self.on_event)(Event::Pause)),
                end => end,
            };
            if progress.caught_up {
                backoff.reset();
            }
            self.shared.end_handling(progress.any);
            if let ControlFlow::Break(end) = step {
                return end;
            }
        }
    }

    fn take(&mut self, item: Item<'_>, progress: &mut Progress) -> Step {
        match item {
            Item::Message { room_id, seq, time_ms, content } => {
                progress.any = true;
                self.message(room_id, seq, time_ms, content)
            }
            // An event of the log that is not a message, as later servers may have: any kind takes a seq.
            Item::Other(v1::Event { room_id, seq: seq @ 1.., .. }) => {
                progress.any = true;
                self.passed(room_id, seq)
            }
            Item::Other(v1::Event { room_id, event: Some(Wire::Joined(joined)), time_ms, .. }) => {
                self.joined(room_id, &joined, time_ms)
            }
            Item::Other(v1::Event { room_id, event: Some(event), .. }) => self.control(room_id, event, progress),
            // An event that is newer than this client.
            Item::Other(_) => Step::Continue(()),
        }
    }

    fn message(&mut self, room_id: u64, seq: u64, time_ms: u64, content: Content<'_>) -> Step {
        let (index, room) = self.rooms.joined(room_id)?;
        if let Err(fault) = room.place.message(seq) {
            return broken(&room.name, fault);
        }
        let Content { id, sender, body, kind, client } = content;
        let mut own = false;
        if sender == self.settings.name.as_str() {
            while room.announced.front().is_some_and(|&announced| announced < seq) {
                room.announced.pop_front();
            }
            own = room.announced.front() == Some(&seq) || self.shared.acknowledge(index, &id);
        }
        let client_id = client.map(|client| client.0);
        let message = Message { room: &room.name, seq, time_ms, id, sender, body, kind, client_id, own };
        over((self.on_event)(Event::Message(message)))
    }

    fn passed(&mut self, room_id: u64, seq: u64) -> Step {
        let (_, room) = self.rooms.joined(room_id)?;
        match room.place.message(seq) {
            Ok(()) => over((self.on_event)(Event::Passed { room: &room.name, seq })),
            Err(fault) => broken(&room.name, fault),
        }
    }

    fn control(&mut self, room_id: u64, event: Wire, progress: &mut Progress) -> Step {
        match event {
            Wire::Welcome(welcome) => {
                self.client_id = Some(welcome.client_id);
                let limits = welcome.limits.unwrap_or_default();
                self.shared.limit(limits.commands_max, limits.request_bytes_max);
                if self.down_since.take().is_some() {
                    over((self.on_event)(Event::Reconnected))?;
                }
                // Rooms that were left while the connection was being made.
                over(self.say_left())
            }
            Wire::CaughtUp(caught_up) => {
                (progress.any, progress.caught_up) = (true, true);
                let (index, room) = self.rooms.joined(room_id)?;
                if let Err(fault) = room.place.caught_up(caught_up.head_seq) {
                    return broken(&room.name, fault);
                }
                self.shared.caught_up(index);
                over((self.on_event)(Event::CaughtUp { room: &room.name, head_seq: caught_up.head_seq }))
            }
            Wire::Gap(gap) => {
                progress.any = true;
                let (_, room) = self.rooms.joined(room_id)?;
                match room.place.gap(&gap) {
                    Ok(gap) => {
                        // Announced messages in the range have not arrived, and never will.
                        let lost = gap.reason == GapReason::EpochChanged;
                        room.announced.retain(|&seq| !lost && seq > gap.to_seq);
                        over((self.on_event)(Event::Gap { room: &room.name, gap }))
                    }
                    Err(fault) => broken(&room.name, fault),
                }
            }
            Wire::Presence(presence) if Some(presence.client_id) == self.client_id => Step::Continue(()),
            Wire::Presence(presence) => {
                let (_, room) = self.rooms.joined(room_id)?;
                let came = match presence.change.enum_value() {
                    Ok(v1::presence::Change::CHANGE_JOINED) => true,
                    Ok(v1::presence::Change::CHANGE_LEFT) => false,
                    _ => return Step::Continue(()),
                };
                over((self.on_event)(Event::Presence {
                    room: &room.name,
                    name: &presence.name,
                    client_id: presence.client_id,
                    came,
                }))
            }
            Wire::Posted(posted) => self.posted(room_id, &posted, progress),
            Wire::Rejected(rejected) => self.rejected(&rejected, progress),
            Wire::Goodbye(goodbye) => {
                let pause = Duration::from_millis(goodbye.reconnect_after_ms.into());
                self.reconnect_after = Some(pause.min(PAUSE_MAX));
                Step::Continue(())
            }
            Wire::Left(left) => {
                progress.any = true;
                self.left(room_id, &left)
            }
            // Both come as such.
            Wire::Message(_) | Wire::Joined(_) => Step::Continue(()),
        }
    }

    fn joined(&mut self, room_id: u64, joined: &v1::Joined, time_ms: u64) -> Step {
        let asked = RoomName::new(&joined.room).ok().and_then(|name| Some((self.shared.joined(&name)?, name)));
        let Some(((index, visit, from), name)) = asked else {
            return fault("it joined a room that was not requested");
        };
        let room = self.rooms.enter(&ToJoin { index, name: name.clone(), visit, from });
        if let Err(fault) = room.place.joined(joined) {
            return broken(&name, fault);
        }
        if self.rooms.number(index, room_id) {
            return Step::Continue(());
        }
        let Some(epoch) = Epoch::new(joined.epoch) else { return broken(&name, Fault::NoEpoch) };
        over((self.on_event)(Event::Joined {
            room: &name,
            time_ms,
            epoch,
            head_seq: joined.head_seq,
            oldest_seq: joined.oldest_seq,
            members: joined.member_count,
        }))
    }

    fn left(&mut self, room_id: u64, left: &v1::Left) -> Step {
        let name = RoomName::new(&left.room).ok().filter(|name| self.shared.left(name));
        if name.is_none() {
            return fault("it left a room without a request");
        }
        self.rooms.leave(room_id);
        over(self.say_left())
    }

    /// Reports the rooms that were left to the owner.
    fn say_left(&mut self) -> ControlFlow<()> {
        self.shared.take_left().iter().try_for_each(|room| (self.on_event)(Event::Left { room }))
    }

    fn posted(&mut self, room_id: u64, posted: &v1::Posted, progress: &mut Progress) -> Step {
        let (index, room) = self.rooms.joined(room_id)?;
        let Ok(id) = <[u8; 16]>::try_from(posted.message_id.as_slice()) else {
            return fault("it acknowledged a message without an id");
        };
        let (id, seq) = (MessageId::from_bytes(id), posted.message_seq);
        if !self.shared.acknowledge(index, &id) {
            return Step::Continue(());
        }
        progress.any = true;
        if room.place.last().is_none_or(|last| seq > last) {
            // Nearly always the last.
            let at = room.announced.partition_point(|&announced| announced < seq);
            room.announced.insert(at, seq);
        }
        over((self.on_event)(Event::Stored { room: &room.name, id, seq }))
    }

    fn rejected(&mut self, rejected: &v1::Rejected, progress: &mut Progress) -> Step {
        let pause = Duration::from_millis(rejected.retry_after_ms.into()).min(PAUSE_MAX);
        let retry_at = (!pause.is_zero()).then(|| Instant::now() + pause);
        let reason = rejected.reason.as_str();
        match &rejected.command {
            Some(v1::rejected::Command::MessageId(id)) => {
                let Ok(id) = <[u8; 16]>::try_from(id.as_slice()) else {
                    return fault("it rejected a message without an id");
                };
                match self.shared.reject(&MessageId::from_bytes(id), retry_at, reason) {
                    Rejection::Dropped(line) => {
                        progress.any = true;
                        over((self.on_event)(Event::Rejected { line, reason }))
                    }
                    Rejection::Held => {
                        self.shared.look_again();
                        over((self.on_event)(Event::Held { reason, pause }))
                    }
                    Rejection::Known => Step::Continue(()),
                }
            }
            Some(v1::rejected::Command::Room(room)) => {
                let Ok(room) = RoomName::new(room) else { return fault("it rejected a room that was not requested") };
                if retry_at.is_some() && self.shared.lock().rooms.is_to_be_resumed(&room) {
                    // The next connection requests it again.
                    self.reconnect_after = Some(pause);
                    let reason = format!("can't join {room} yet: {reason}");
                    return Step::Break(End::Broken(StreamError::Lost(reason)));
                }
                progress.any = true;
                self.room_refused(room, reason)
            }
            _ => Step::Continue(()),
        }
    }

    fn room_refused(&mut self, room: RoomName, reason: &str) -> Step {
        match self.shared.room_refused(&room) {
            RoomRefused::Essential => {
                Step::Break(End::Over(Err(SessionError::Room { room, reason: reason.to_owned() })))
            }
            RoomRefused::Dropped(lines) => {
                let because = format!("{room} is not joined: {reason}");
                let mut told = lines.into_iter().map(|line| Event::Rejected { line, reason: &because });
                over(told.try_for_each(&mut self.on_event))?;
                over((self.on_event)(Event::NotJoined { room: &room, reason }))
            }
            RoomRefused::Left => {
                self.rooms.forget(&room);
                over(self.say_left())
            }
            RoomRefused::Unknown => fault("it rejected a room that was not requested"),
        }
    }

    /// The same between two connections.
    fn tell_left(&mut self) -> ControlFlow<()> {
        self.shared.begin_handling();
        let flow = self.say_left();
        self.shared.end_handling(false);
        flow
    }

    /// Reports an event to the owner between two connections.
    fn tell_apart(&mut self, event: Event<'_>) -> ControlFlow<()> {
        self.shared.begin_handling();
        let flow = (self.on_event)(event);
        self.shared.end_handling(false);
        flow
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

    /// The room that is joined; of another visit nothing is known.
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

    /// The numbers of the rooms were those of a connection.
    fn disconnect(&mut self) {
        self.by_id.clear();
        for room in self.list.iter_mut().flatten() {
            room.id = None;
        }
    }
}

/// Converts the owner's answer to an event.
fn over(flow: ControlFlow<()>) -> Step {
    match flow {
        ControlFlow::Continue(()) => Step::Continue(()),
        ControlFlow::Break(()) => Step::Break(End::Over(Ok(()))),
    }
}

fn broken(room: &RoomName, fault: Fault) -> Step {
    self::fault(&format!("in {room}, {fault}"))
}

/// The server violated the contract. The client can only resume at its place.
fn fault(what: &str) -> Step {
    Step::Break(End::Broken(StreamError::Fault(what.to_owned())))
}
