//! A client of `hubbub.v1`, bare: no reconnecting, no checking.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use grpcio::{
    CallOption, ChannelBuilder, Client, ClientDuplexReceiver, ClientDuplexSender, Environment, Error, MetadataBuilder,
    RpcStatusCode, WriteFlags,
};
use hubbub::threads::park::{block_on, block_on_until};
use hubbub::wire::v1::event::Event as Kind;
use hubbub::wire::v1::{self, command, join};
use hubbub::wire::{self, CHAT_CLIENT};

use super::DEADLINE;

/// One client on a connection of its own.
pub struct Talker {
    name: String,
    sender: Option<ClientDuplexSender<v1::ChatRequest>>,
    receiver: ClientDuplexReceiver<v1::ChatResponse>,
    events: VecDeque<v1::Event>,
    /// The number of each joined room.
    rooms: HashMap<String, u64>,
    /// The rooms that have got another number, with their first messages.
    pub numbered: VecDeque<v1::Joined>,
    pub client: Client,
}

/// How a stream ended.
#[derive(Debug, PartialEq, Eq)]
pub struct End {
    pub code: RpcStatusCode,
    pub message: String,
}

impl Talker {
    /// A client that has not sent `Hello`.
    pub fn connect(environment: &Arc<Environment>, target: &str, name: &str) -> Self {
        let channel = ChannelBuilder::new(Arc::clone(environment)).use_local_subchannel_pool(true).connect(target);
        Self::over(Client::new(channel), name, None)
    }

    /// The same over this connection, with this token.
    pub fn over(client: Client, name: &str, token: Option<&str>) -> Self {
        let (sender, receiver) = client.duplex_streaming(&CHAT_CLIENT, with_token(token)).expect("a call begins");
        let (events, rooms, numbered) = Default::default();
        Self { name: name.to_owned(), sender: Some(sender), receiver, events, rooms, numbered, client }
    }

    /// A client that has received `Welcome`.
    pub fn hello(environment: &Arc<Environment>, target: &str, name: &str) -> Self {
        Self::try_hello(environment, target, name).unwrap_or_else(|end| panic!("{name} expected a welcome: {end:?}"))
    }

    /// A client that has received `Welcome`, or how its stream ended.
    pub fn try_hello(environment: &Arc<Environment>, target: &str, name: &str) -> Result<Self, End> {
        let mut talker = Self::connect(environment, target, name);
        talker.send(vec![hello(name)]);
        match talker.next_within(DEADLINE).unwrap_or_else(|| panic!("{name} timed out waiting for a welcome"))?.event {
            Some(Kind::Welcome(_)) => Ok(talker),
            other => panic!("{name} expected a welcome: {other:?}"),
        }
    }

    /// A client that has joined a room at its head, and caught up.
    pub fn join(environment: &Arc<Environment>, target: &str, name: &str, room: &str) -> Self {
        let mut talker = Self::hello(environment, target, name);
        talker.join_room(room, None);
        talker
    }

    /// Joins, and waits for `Joined` and `CaughtUp`. Returns `Joined`, and the events in between.
    pub fn join_room(&mut self, room: &str, from: Option<join::From>) -> (v1::Joined, Vec<v1::Event>) {
        self.send(vec![join(room, from)]);
        let joined = match self.next().event {
            Some(Kind::Joined(joined)) => joined,
            other => panic!("{} expected to join {room}: {other:?}", self.name),
        };
        let mut history = Vec::new();
        loop {
            let event = self.next();
            match event.event {
                Some(Kind::CaughtUp(_)) => return (joined, history),
                // Other clients may join and leave.
                Some(Kind::Presence(_)) => {}
                _ => history.push(event),
            }
        }
    }

    pub fn send(&mut self, commands: Vec<v1::Command>) {
        let request = v1::ChatRequest { commands, ..Default::default() };
        let Some(sender) = &mut self.sender else { return };
        if block_on(sender.send((request, WriteFlags::default()))).is_err() {
            // The server has ended the stream; the receiving side gets the status.
            self.sender = None;
        }
    }

    pub fn post(&mut self, room: &str, id: u128, body: &str) {
        self.send(vec![post(room, id, body)]);
    }

    pub fn half_close(&mut self) {
        let mut sender = self.sender.take().expect("half-closed once");
        block_on(sender.close()).expect("the half-close is sent");
    }

    /// The next event.
    pub fn next(&mut self) -> v1::Event {
        match self.next_within(DEADLINE) {
            Some(Ok(event)) => event,
            Some(Err(end)) => panic!("{} expected an event: {end:?}", self.name),
            None => panic!("{} timed out waiting for an event", self.name),
        }
    }

    /// The next event or the end; `None` if nothing arrives in time. The number that a room gets with its first message
    /// is noted, and no event here.
    pub fn next_within(&mut self, time: Duration) -> Option<Result<v1::Event, End>> {
        let deadline = Instant::now() + time;
        loop {
            match self.received_within(deadline)? {
                Ok(event) if self.is_number(&event) => {}
                next => return Some(next),
            }
        }
    }

    /// The joined room of this number.
    pub fn room(&self, number: u64) -> Option<&str> {
        self.rooms.iter().find(|(_, known)| **known == number).map(|(room, _)| room.as_str())
    }

    /// Whether a room that was joined before gets another number. With the same number, it is told again after a gap.
    fn is_number(&mut self, event: &v1::Event) -> bool {
        match &event.event {
            Some(Kind::Joined(joined)) => {
                let before = self.rooms.insert(joined.room.clone(), event.room_id);
                if before.is_some_and(|before| before != event.room_id) {
                    assert_eq!((joined.head_seq, joined.first_seq), (0, 1), "{event:?}");
                    self.numbered.push_back(joined.clone());
                    return true;
                }
            }
            Some(Kind::Left(left)) => drop(self.rooms.remove(&left.room)),
            Some(Kind::Welcome(_) | Kind::Rejected(_) | Kind::Goodbye(_)) | None => {}
            Some(_) => assert!(self.rooms.values().any(|id| *id == event.room_id), "not joined: {event:?}"),
        }
        false
    }

    fn received_within(&mut self, deadline: Instant) -> Option<Result<v1::Event, End>> {
        while self.events.is_empty() {
            match block_on_until(&mut self.receiver.next(), deadline)? {
                Some(Ok(response)) => self.events.extend(response.events),
                Some(Err(Error::RpcFailure(status))) => {
                    return Some(Err(End { code: status.code(), message: status.message().to_owned() }));
                }
                Some(Err(error)) => panic!("{} got an error of the library: {error}", self.name),
                None => return Some(Err(End { code: RpcStatusCode::OK, message: String::new() })),
            }
        }
        self.events.pop_front().map(Ok)
    }

    /// The next message: its seq, sender and body. Presence events are skipped.
    pub fn hear(&mut self) -> (u64, String, String) {
        loop {
            let event = self.next();
            match event.event {
                Some(Kind::Message(message)) => return (event.seq, message.sender, message.body),
                Some(Kind::Presence(_)) => {}
                other => panic!("{} expected a message: {other:?}", self.name),
            }
        }
    }

    /// The end of the stream, which must come next.
    pub fn end(&mut self) -> End {
        match self.next_within(DEADLINE) {
            Some(Err(end)) => end,
            other => panic!("{} expected the end: {other:?}", self.name),
        }
    }

    /// The rejection that must come next.
    pub fn rejected(&mut self) -> v1::Rejected {
        match self.next().event {
            Some(Kind::Rejected(rejected)) => rejected,
            other => panic!("{} expected a rejection: {other:?}", self.name),
        }
    }
}

pub fn hello(name: &str) -> v1::Command {
    command(command::Command::Hello(v1::Hello { name: name.to_owned(), ..Default::default() }))
}

pub fn renew(token: &str) -> v1::Command {
    command(command::Command::Renew(v1::Renew { token: token.to_owned(), ..Default::default() }))
}

pub fn join(room: &str, from: Option<join::From>) -> v1::Command {
    command(command::Command::Join(v1::Join { room: room.to_owned(), from, ..Default::default() }))
}

pub fn leave(room: &str) -> v1::Command {
    command(command::Command::Leave(v1::Leave { room: room.to_owned(), ..Default::default() }))
}

/// A post; 0 means no id.
pub fn post(room: &str, id: u128, body: &str) -> v1::Command {
    let message_id = if id == 0 { Vec::new() } else { message_id(id) };
    let post = v1::Post { room: room.to_owned(), message_id, body: body.to_owned(), ..Default::default() };
    command(command::Command::Post(post))
}

/// An id that a client may choose.
pub fn message_id(id: u128) -> Vec<u8> {
    (id | 1 << 127).to_be_bytes().to_vec()
}

pub fn after(seq: u64, epoch: u64) -> Option<join::From> {
    Some(join::From::After(v1::Position { seq, epoch, ..Default::default() }))
}

fn command(command: command::Command) -> v1::Command {
    v1::Command { command: Some(command), ..Default::default() }
}

/// The options of a call that presents a token.
pub fn with_token(token: Option<&str>) -> CallOption {
    let mut headers = MetadataBuilder::new();
    if let Some(token) = token {
        headers.add_str("authorization", &format!("Bearer {token}")).expect("a valid header");
    }
    CallOption::default().headers(headers.build())
}

/// A unary call, which must end before the deadline.
pub fn call<Q, P: Unpin>(client: &Client, method: &grpcio::Method<Q, P>, request: &Q) -> Result<P, End> {
    call_as(client, method, request, None)
}

/// The same with a token.
pub fn call_as<Q, P: Unpin>(
    client: &Client,
    method: &grpcio::Method<Q, P>,
    request: &Q,
    token: Option<&str>,
) -> Result<P, End> {
    let option = with_token(token).timeout(DEADLINE);
    match client.unary_call(method, request, option) {
        Ok(response) => Ok(response),
        Err(Error::RpcFailure(status)) => Err(End { code: status.code(), message: status.message().to_owned() }),
        Err(error) => panic!("an error of the library: {error}"),
    }
}

/// Posts one message by a unary call.
pub fn post_message(
    client: &Client,
    room: &str,
    sender: &str,
    id: u128,
    body: &str,
) -> Result<v1::PostMessageResponse, End> {
    let message_id = if id == 0 { Vec::new() } else { message_id(id) };
    let (room, sender, body) = (room.to_owned(), sender.to_owned(), body.to_owned());
    call(client, &wire::POST_MESSAGE, &v1::PostMessageRequest { room, sender, message_id, body, ..Default::default() })
}
