//! The state of the model, and its answers to commands.

use std::collections::{BTreeMap, HashMap};
use std::sync::mpsc::Sender;

use grpcio::{RpcStatus, RpcStatusCode};
use hubbub::wire::Frame;
use hubbub::wire::event::control;
use hubbub::wire::v1::{self, event::Event as Kind};

/// The model's reaction to a post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Store,
    /// Stores it twice.
    StoreTwice,
    /// Stores it, and ends all streams before the message is sent.
    StoreAndBreak,
    /// Ends all streams, and does not store it.
    Break,
    Reject {
        reason: &'static str,
        retry_after_ms: u32,
    },
}

/// How often, and when, an event is sent on a stream.
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

/// The rooms and the streams, and the reactions that a test sets.
pub struct World {
    pub(super) rooms: BTreeMap<String, Room>,
    pub(super) streams: BTreeMap<u64, Stream>,
    next_stream: u64,
    pub judge: Judge,
    pub deliver: Deliver,
    /// The time of stored messages; `None` for the default.
    pub message_ms: Option<u64>,
    /// The time of all other events.
    pub now_ms: u64,
    /// Every new stream is ended before its `Welcome`, as behind a proxy whose server is down.
    pub is_down: bool,
    /// The pause in the `Goodbye` that precedes the end of a stream, if one is sent.
    pub goodbye_ms: Option<u32>,
    /// The number of commands of each request.
    pub requests: Vec<usize>,
    /// The joins so far: the room's name, and the requested position.
    pub joins: Vec<(String, Option<v1::join::From>)>,
}

pub(super) struct Room {
    pub id: u64,
    pub epoch: u64,
    pub oldest: u64,
    pub events: Vec<v1::Event>,
    pub ids: HashMap<(String, Vec<u8>), u64>,
    /// The first seq of the current epoch.
    pub epoch_first: u64,
}

pub(super) struct Stream {
    pub name: String,
    pub rooms: Vec<String>,
    outlet: Sender<Outgoing>,
    late: Option<Frame>,
}

pub(super) enum Outgoing {
    Frame(Frame),
    End(RpcStatus),
}

impl World {
    pub fn new() -> Self {
        Self {
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
        }
    }

    pub(super) fn open(&mut self, outlet: Sender<Outgoing>) -> u64 {
        let id = self.next_stream;
        self.next_stream += 1;
        if self.is_down {
            let _ = outlet.send(Outgoing::End(RpcStatus::with_message(RpcStatusCode::UNAVAILABLE, "no".to_owned())));
            return id;
        }
        self.streams.insert(id, Stream { name: String::new(), rooms: Vec::new(), outlet, late: None });
        id
    }

    pub(super) fn room(&mut self, name: &str) -> &mut Room {
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

    pub fn take(&mut self, stream: u64, request: v1::ChatRequest) {
        self.requests.push(request.commands.len());
        for command in request.commands {
            // A stream may have sent more requests before its end.
            let Some(joined) = self.streams.get_mut(&stream) else { return };
            match command.command.expect("a client sends known commands") {
                v1::command::Command::Hello(hello) => {
                    joined.name = hello.name;
                    let welcome = v1::Welcome { client_id: stream, ..Default::default() };
                    self.send(stream, 0, Kind::Welcome(welcome));
                }
                v1::command::Command::Join(join) => self.join(stream, join),
                v1::command::Command::Post(post) => self.post(stream, &post),
                command => panic!("unexpected command: {command:?}"),
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
            Some(other) => panic!("unexpected position: {other:?}"),
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
        self.send(stream, id, Kind::Joined(joined));
        for (from_seq, to_seq, reason) in gaps {
            let gap = v1::Gap { from_seq, to_seq, reason: reason.into(), ..Default::default() };
            self.send(stream, id, Kind::Gap(gap));
        }
        for event in &history {
            self.deliver(stream, event);
        }
        self.send(stream, id, Kind::CaughtUp(v1::CaughtUp { head_seq: head, ..Default::default() }));
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
            self.send(stream, id, Kind::Posted(posted));
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
                self.send(stream, 0, Kind::Rejected(rejected));
            }
        }
    }

    pub fn store(&mut self, name: &str, sender: &str, id: &[u8], body: &str, kind: v1::Kind) {
        let message = v1::Message {
            message_id: id.to_vec(),
            sender: sender.to_owned(),
            body: body.to_owned(),
            kind: kind.into(),
            ..Default::default()
        };
        let seq = self.append(name, Kind::Message(message));
        self.room(name).ids.insert((sender.to_owned(), id.to_vec()), seq);
    }

    /// Appends an event to a room's log, and sends it. Returns its seq.
    pub fn append(&mut self, name: &str, event: Kind) -> u64 {
        let stored_ms = self.message_ms.unwrap_or(1_700_000_000_000);
        let room = self.room(name);
        let seq = room.events.len() as u64 + 1;
        let event = v1::Event {
            room_id: room.id,
            seq,
            time_ms: stored_ms.saturating_add(seq),
            event: Some(event),
            ..Default::default()
        };
        room.events.push(event.clone());
        let members = self.streams.iter().filter(|(_, stream)| stream.rooms.iter().any(|joined| joined == name));
        for stream in members.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.deliver(stream, &event);
        }
        seq
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

    pub fn send(&mut self, stream: u64, room_id: u64, event: Kind) {
        let event = v1::Event { room_id, time_ms: self.now_ms, event: Some(event), ..Default::default() };
        if let Some(stream) = self.streams.get(&stream) {
            let _ = stream.outlet.send(Outgoing::Frame(Frame::new(control(&event))));
        }
    }

    pub fn break_streams(&mut self) {
        if let Some(reconnect_after_ms) = self.goodbye_ms {
            for stream in self.streams.keys().copied().collect::<Vec<_>>() {
                let goodbye = v1::Goodbye { reconnect_after_ms, ..Default::default() };
                self.send(stream, 0, Kind::Goodbye(goodbye));
            }
        }
        for stream in std::mem::take(&mut self.streams).into_values() {
            let status = RpcStatus::with_message(RpcStatusCode::UNAVAILABLE, "the model breaks".to_owned());
            let _ = stream.outlet.send(Outgoing::End(status));
        }
    }
}
