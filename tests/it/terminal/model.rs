//! A model of a server of `hubbub.v1`, naive and in memory: for the clients' tests, which need servers that break, lose
//! history, refuse, and break the contract at a moment that the test chooses.

use std::collections::{BTreeMap, HashMap};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use grpcio::{DuplexSink, RpcStatus, RpcStatusCode, ServiceBuilder, WriteFlags};
use hubbub::threads::park::block_on;
use hubbub::wire::event::control;
use hubbub::wire::v1::{self, event::Event as Kind};
use hubbub::wire::{CHAT_SERVER, Frame, LIST_MEMBERS, LIST_MESSAGES, LIST_ROOMS, POST_MESSAGE};

use super::serve;

/// What the model does with a post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Store,
    /// Stores it, and then again.
    StoreTwice,
    /// Stores it, and loses every connection before anybody hears of it.
    StoreAndBreak,
    /// Loses every connection without having stored it.
    Break,
    Reject {
        reason: &'static str,
        retry_after_ms: u32,
    },
}

/// What the model does with an event for a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    Once,
    Never,
    Twice,
    /// After the next one.
    Late,
}

type Judge = Box<dyn FnMut(&v1::Post) -> Verdict + Send>;
type Deliver = Box<dyn FnMut(u64, &v1::Event) -> Delivery + Send>;

pub struct Model {
    pub target: String,
    world: Arc<Mutex<World>>,
    _server: grpcio::Server,
}

pub struct World {
    rooms: BTreeMap<String, Room>,
    streams: BTreeMap<u64, Stream>,
    next_stream: u64,
    pub judge: Judge,
    pub deliver: Deliver,
    /// When messages are stored, if not at the usual time.
    pub message_ms: Option<u64>,
    /// What the server's clock says when it speaks of anything but messages.
    pub now_ms: u64,
    /// Every stream that opens is broken before it is welcomed, as behind a proxy whose server is down.
    pub is_down: bool,
    /// What a stream is told at its end, when it is broken.
    pub goodbye_ms: Option<u32>,
    /// How many commands each request had.
    pub requests: Vec<usize>,
    /// What was asked for, join by join: the room's name, a seq, and an epoch.
    pub joins: Vec<(String, Option<v1::join::From>)>,
}

struct Room {
    id: u64,
    epoch: u64,
    oldest: u64,
    events: Vec<v1::Event>,
    ids: HashMap<(String, Vec<u8>), u64>,
    /// Where the last loss of history left off.
    epoch_first: u64,
}

struct Stream {
    name: String,
    rooms: Vec<String>,
    outlet: Sender<Outgoing>,
    late: Option<Frame>,
}

enum Outgoing {
    Frame(Frame),
    End(RpcStatus),
}

impl Model {
    pub fn start() -> Self {
        Self::start_at("127.0.0.1:0")
    }

    pub fn start_at(place: &str) -> Self {
        let world = Arc::new(Mutex::new(World {
            rooms: BTreeMap::new(),
            streams: BTreeMap::new(),
            next_stream: 1,
            judge: Box::new(|_| Verdict::Store),
            deliver: Box::new(|_, _| Delivery::Once),
            message_ms: None,
            now_ms: 1_700_000_000_000,
            is_down: false,
            goodbye_ms: None,
            requests: Vec::new(),
            joins: Vec::new(),
        }));
        let (chat, post, messages, rooms, members) =
            (world.clone(), world.clone(), world.clone(), world.clone(), world.clone());
        let service = ServiceBuilder::new()
            .add_duplex_streaming_handler(&CHAT_SERVER, move |_, mut requests, sink| {
                let (outlet, outgoing) = channel();
                let id = lock(&chat).open(outlet);
                thread::spawn(move || write(sink, &outgoing));
                let world = Arc::clone(&chat);
                thread::spawn(move || {
                    while let Some(Ok(request)) = block_on(requests.next()) {
                        lock(&world).take(id, request.parse().expect("the client encodes well"));
                    }
                    lock(&world).streams.remove(&id);
                });
            })
            .add_unary_handler(&POST_MESSAGE, move |ctx, request: v1::PostMessageRequest, sink| {
                let outcome = lock(&post).post_message(request);
                match outcome {
                    Ok(response) => ctx.spawn(sink.success(response).map(drop)),
                    Err(status) => ctx.spawn(sink.fail(status).map(drop)),
                }
            })
            .add_unary_handler(&LIST_MESSAGES, move |ctx, request: v1::ListMessagesRequest, sink| {
                match lock(&messages).list_messages(&request) {
                    Some(response) => ctx.spawn(sink.success(response).map(drop)),
                    None => ctx.spawn(sink.fail(no_room(&request.room)).map(drop)),
                }
            })
            .add_unary_handler(&LIST_ROOMS, move |ctx, request: v1::ListRoomsRequest, sink| {
                let response = lock(&rooms).list_rooms(&request);
                ctx.spawn(sink.success(response).map(drop));
            })
            .add_unary_handler(&LIST_MEMBERS, move |ctx, request: v1::ListMembersRequest, sink| {
                match lock(&members).list_members(&request) {
                    Some(response) => ctx.spawn(sink.success(response).map(drop)),
                    None => ctx.spawn(sink.fail(no_room(&request.room)).map(drop)),
                }
            })
            .build();
        let (_server, target) = serve(service, place);
        Self { target, world, _server }
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    /// Somebody says something.
    pub fn say(&self, room: &str, sender: &str, body: &str) {
        self.world().store(room, sender, &fastrand::u128(..).to_be_bytes(), body, v1::Kind::KIND_TEXT);
    }

    /// Says to everybody in the room that a client came or went, whoever is there in truth.
    pub fn presence(&self, room: &str, name: &str, client_id: u64, came: bool) {
        let mut world = self.world();
        let id = world.room(room).id;
        let change = match came {
            true => v1::presence::Change::CHANGE_JOINED,
            false => v1::presence::Change::CHANGE_LEFT,
        };
        let presence = v1::Presence { client_id, name: name.to_owned(), change: change.into(), ..Default::default() };
        for stream in world.streams.keys().copied().collect::<Vec<_>>() {
            world.tell(stream, id, Kind::Presence(presence.clone()));
        }
    }

    /// Loses every connection.
    pub fn break_streams(&self) {
        self.world().break_streams();
    }

    /// Turns a message into an event of a kind that no client knows yet.
    pub fn make_unknown(&self, room: &str, seq: u64) {
        let mut world = self.world();
        let event = &mut world.room(room).events[seq as usize - 1];
        event.event = None;
        event.special_fields.mut_unknown_fields().add_length_delimited(100, b"something new".to_vec());
    }

    /// Forgets the messages up to this one.
    pub fn trim(&self, room: &str, to_seq: u64) {
        self.world().room(room).oldest = to_seq + 1;
    }

    /// Goes back to how things were after this message, as when a backup is restored; with everybody disconnected.
    pub fn lose_history(&self, room: &str, after_seq: u64) {
        let mut world = self.world();
        let room = world.room(room);
        room.events.truncate(after_seq as usize);
        room.ids.retain(|_, seq| *seq <= after_seq);
        room.epoch += 1;
        room.epoch_first = after_seq + 1;
        world.break_streams();
    }

    /// Gives a room without messages another number, and joins its members again.
    pub fn renumber(&self, name: &str) {
        let mut world = self.world();
        let room = world.room(name);
        room.id += 1000;
        let (id, epoch, oldest_seq) = (room.id, room.epoch, room.oldest);
        let joined = v1::Joined { room: name.to_owned(), epoch, oldest_seq, first_seq: 1, ..Default::default() };
        let streams: Vec<_> = world
            .streams
            .iter()
            .filter(|(_, stream)| stream.rooms.iter().any(|room| room == name))
            .map(|(id, _)| *id)
            .collect();
        streams.into_iter().for_each(|stream| world.tell(stream, id, Kind::Joined(joined.clone())));
    }

    /// What was said in the room, in order.
    pub fn bodies(&self, room: &str) -> Vec<String> {
        self.world().room(room).events.iter().map(|event| event.message().body.clone()).collect()
    }

    /// How many streams have joined a room.
    pub fn members(&self, room: &str) -> usize {
        self.world().streams.values().filter(|stream| stream.rooms.iter().any(|joined| joined == room)).count()
    }
}

impl World {
    fn open(&mut self, outlet: Sender<Outgoing>) -> u64 {
        let id = self.next_stream;
        self.next_stream += 1;
        if self.is_down {
            let _ = outlet.send(Outgoing::End(RpcStatus::with_message(RpcStatusCode::UNAVAILABLE, "no".to_owned())));
            return id;
        }
        self.streams.insert(id, Stream { name: String::new(), rooms: Vec::new(), outlet, late: None });
        id
    }

    fn room(&mut self, name: &str) -> &mut Room {
        let id = self.rooms.len() as u64 + 1;
        self.rooms.entry(name.to_owned()).or_insert_with(|| Room {
            id,
            epoch: 1000 + id,
            oldest: 1,
            events: Vec::new(),
            ids: HashMap::new(),
            epoch_first: 1,
        })
    }

    fn take(&mut self, stream: u64, request: v1::ChatRequest) {
        self.requests.push(request.commands.len());
        for command in request.commands {
            // A broken stream may have sent more than anybody reads.
            let Some(joined) = self.streams.get_mut(&stream) else { return };
            match command.command.expect("a client sends commands that it knows") {
                v1::command::Command::Hello(hello) => {
                    joined.name = hello.name;
                    let welcome = v1::Welcome { client_id: stream, ..Default::default() };
                    self.tell(stream, 0, Kind::Welcome(welcome));
                }
                v1::command::Command::Join(join) => self.join(stream, join),
                v1::command::Command::Post(post) => self.post(stream, &post),
                command => panic!("no client sends this: {command:?}"),
            }
        }
    }

    fn join(&mut self, stream: u64, join: v1::Join) {
        self.joins.push((join.room.clone(), join.from.clone()));
        let members = self.streams.values().filter(|other| other.rooms.contains(&join.room)).count() as u32 + 1;
        let room = self.room(&join.room);
        let (id, epoch, oldest, head) = (room.id, room.epoch, room.oldest, room.events.len() as u64);
        let mut gaps = Vec::new();
        let mut after = match join.from {
            None => head,
            Some(v1::join::From::Last(n)) => head.saturating_sub(n.into()),
            Some(v1::join::From::After(position)) => {
                let mut after = position.seq.min(head);
                if position.epoch != 0 && position.epoch != epoch {
                    let from = room.epoch_first.min(position.seq + 1);
                    gaps.push((from, position.seq, v1::gap::Reason::REASON_EPOCH_CHANGED));
                    after = from - 1;
                }
                if after + 1 < oldest {
                    gaps.push((after + 1, oldest - 1, v1::gap::Reason::REASON_RETENTION));
                }
                after
            }
            Some(other) => panic!("no client asks for this: {other:?}"),
        };
        after = after.max(oldest - 1);
        let history = room.events[after as usize..].to_vec();
        let joined = v1::Joined {
            room: join.room.clone(),
            epoch,
            head_seq: head,
            oldest_seq: oldest,
            member_count: members,
            ..Default::default()
        };
        self.tell(stream, id, Kind::Joined(joined));
        for (from_seq, to_seq, reason) in gaps {
            let gap = v1::Gap { from_seq, to_seq, reason: reason.into(), ..Default::default() };
            self.tell(stream, id, Kind::Gap(gap));
        }
        for event in &history {
            self.deliver(stream, event);
        }
        self.tell(stream, id, Kind::CaughtUp(v1::CaughtUp { head_seq: head, ..Default::default() }));
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.rooms.push(join.room);
        }
    }

    fn post(&mut self, stream: u64, post: &v1::Post) {
        let name = self.streams[&stream].name.clone();
        let known = self.room(&post.room).ids.get(&(name.clone(), post.message_id.clone())).copied();
        if let Some(message_seq) = known {
            let id = self.room(&post.room).id;
            let posted = v1::Posted { message_id: post.message_id.clone(), message_seq, ..Default::default() };
            self.tell(stream, id, Kind::Posted(posted));
            return;
        }
        let kind = post.kind.enum_value_or_default();
        match (self.judge)(post) {
            Verdict::Store => self.store(&post.room, &name, &post.message_id, &post.body, kind),
            Verdict::StoreTwice => {
                for _ in 0..2 {
                    self.store(&post.room, &name, &post.message_id, &post.body, kind);
                }
            }
            Verdict::StoreAndBreak => {
                let streams = std::mem::take(&mut self.streams);
                self.store(&post.room, &name, &post.message_id, &post.body, kind);
                self.streams = streams;
                self.break_streams();
            }
            Verdict::Break => self.break_streams(),
            Verdict::Reject { reason, retry_after_ms } => {
                let code = if retry_after_ms == 0 {
                    v1::rejected::Code::CODE_INVALID
                } else {
                    v1::rejected::Code::CODE_UNAVAILABLE
                };
                let rejected = v1::Rejected {
                    command: Some(v1::rejected::Command::MessageId(post.message_id.clone())),
                    code: code.into(),
                    reason: reason.to_owned(),
                    retry_after_ms,
                    ..Default::default()
                };
                self.tell(stream, 0, Kind::Rejected(rejected));
            }
        }
    }

    fn store(&mut self, name: &str, sender: &str, id: &[u8], body: &str, kind: v1::Kind) {
        let stored_ms = self.message_ms.unwrap_or(1_700_000_000_000);
        let room = self.room(name);
        let message = v1::Message {
            message_id: id.to_vec(),
            sender: sender.to_owned(),
            body: body.to_owned(),
            kind: kind.into(),
            ..Default::default()
        };
        let seq = room.events.len() as u64 + 1;
        let event = v1::Event {
            room_id: room.id,
            seq,
            time_ms: stored_ms.saturating_add(seq),
            event: Some(Kind::Message(message)),
            ..Default::default()
        };
        room.events.push(event.clone());
        room.ids.insert((sender.to_owned(), id.to_vec()), seq);
        let members = self.streams.iter().filter(|(_, stream)| stream.rooms.iter().any(|joined| joined == name));
        for stream in members.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.deliver(stream, &event);
        }
    }

    fn deliver(&mut self, id: u64, event: &v1::Event) {
        let delivery = (self.deliver)(id, event);
        let frame = Frame::new(control(event));
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let late = stream.late.take();
        let copies = match delivery {
            Delivery::Once => 1,
            Delivery::Twice => 2,
            Delivery::Never => 0,
            Delivery::Late => {
                stream.late = Some(frame.clone());
                0
            }
        };
        for frame in std::iter::repeat_n(frame, copies).chain(late) {
            let _ = stream.outlet.send(Outgoing::Frame(frame));
        }
    }

    fn tell(&mut self, stream: u64, room_id: u64, event: Kind) {
        let event = v1::Event { room_id, time_ms: self.now_ms, event: Some(event), ..Default::default() };
        if let Some(stream) = self.streams.get(&stream) {
            let _ = stream.outlet.send(Outgoing::Frame(Frame::new(control(&event))));
        }
    }

    fn break_streams(&mut self) {
        if let Some(reconnect_after_ms) = self.goodbye_ms {
            for stream in self.streams.keys().copied().collect::<Vec<_>>() {
                let goodbye = v1::Goodbye { reconnect_after_ms, ..Default::default() };
                self.tell(stream, 0, Kind::Goodbye(goodbye));
            }
        }
        for stream in std::mem::take(&mut self.streams).into_values() {
            let status = RpcStatus::with_message(RpcStatusCode::UNAVAILABLE, "the model breaks".to_owned());
            let _ = stream.outlet.send(Outgoing::End(status));
        }
    }

    fn post_message(&mut self, request: v1::PostMessageRequest) -> Result<v1::PostMessageResponse, RpcStatus> {
        let v1::PostMessageRequest { room, sender, message_id, body, kind, .. } = request;
        let key = (sender.clone(), message_id.clone());
        let was_stored = self.room(&room).ids.contains_key(&key);
        if !was_stored {
            let post = v1::Post { room: room.clone(), message_id: message_id.clone(), ..Default::default() };
            let verdict = (self.judge)(&post);
            if verdict != Verdict::Break {
                self.store(&room, &sender, &message_id, &body, kind.enum_value_or_default());
            }
            if verdict != Verdict::Store {
                return Err(RpcStatus::with_message(RpcStatusCode::UNAVAILABLE, "not now".to_owned()));
            }
        }
        let seq = self.room(&room).ids[&key];
        Ok(v1::PostMessageResponse { seq, message_id, was_stored, ..Default::default() })
    }

    /// Pages of at most 7 messages, so that every reader has to ask again.
    fn list_messages(&mut self, request: &v1::ListMessagesRequest) -> Option<v1::ListMessagesResponse> {
        let room = self.rooms.get(&request.room)?;
        let head = room.events.len() as u64;
        let size = u64::from(if request.page_size == 0 { 50 } else { request.page_size }).min(7);
        let (from, to) = match request.place {
            Some(v1::list_messages_request::Place::AfterSeq(seq)) => {
                let from = (seq + 1).max(room.oldest);
                (from, (from + size).min(head + 1))
            }
            Some(v1::list_messages_request::Place::BeforeSeq(seq)) => {
                let to = seq.min(head + 1);
                (to.saturating_sub(size).max(room.oldest), to)
            }
            _ => ((head + 1).saturating_sub(size).max(room.oldest), head + 1),
        };
        let events = if from < to { room.events[from as usize - 1..to as usize - 1].to_vec() } else { Vec::new() };
        Some(v1::ListMessagesResponse {
            events,
            epoch: room.epoch,
            head_seq: head,
            oldest_seq: room.oldest,
            ..Default::default()
        })
    }

    /// One room a page.
    fn list_rooms(&mut self, request: &v1::ListRoomsRequest) -> v1::ListRoomsResponse {
        let after = self.rooms.iter().filter(|(name, _)| **name > request.page_token);
        let mut response = v1::ListRoomsResponse::new();
        if let Some((name, room)) = after.clone().next() {
            let members = self.streams.values().filter(|stream| stream.rooms.contains(name)).count();
            response.rooms.push(v1::Room {
                name: name.clone(),
                room_id: room.id,
                epoch: room.epoch,
                head_seq: room.events.len() as u64,
                oldest_seq: room.oldest,
                member_count: members as u32,
                ..Default::default()
            });
            if after.count() > 1 {
                response.next_page_token = name.clone();
            }
        }
        response
    }

    /// One member a page.
    fn list_members(&mut self, request: &v1::ListMembersRequest) -> Option<v1::ListMembersResponse> {
        self.rooms.get(&request.room)?;
        let token = request.page_token.parse().unwrap_or(0);
        let mut members =
            self.streams.iter().filter(|(id, stream)| stream.rooms.contains(&request.room) && **id > token);
        let mut response = v1::ListMembersResponse::new();
        if let Some((&client_id, stream)) = members.next() {
            response.members.push(v1::Member { client_id, name: stream.name.clone(), ..Default::default() });
            if members.next().is_some() {
                response.next_page_token = client_id.to_string();
            }
        }
        Some(response)
    }
}

fn no_room(name: &str) -> RpcStatus {
    RpcStatus::with_message(RpcStatusCode::NOT_FOUND, format!("there is no room {name}"))
}

fn write(mut sink: DuplexSink<Frame>, outgoing: &Receiver<Outgoing>) {
    for next in outgoing {
        match next {
            Outgoing::Frame(frame) => {
                if block_on(sink.send((frame, WriteFlags::default()))).is_err() {
                    return;
                }
            }
            Outgoing::End(status) => {
                let _ = block_on(sink.fail(status));
                return;
            }
        }
    }
}

fn lock(world: &Arc<Mutex<World>>) -> MutexGuard<'_, World> {
    world.lock().expect("nobody panics")
}
