//! A simple model of a server of `hubbub.v1`, in memory. The clients' tests need servers that lose connections or
//! history, reject commands, or violate the contract at a moment of the test's choice.

mod world;
mod calls;

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use grpcio::{DuplexSink, RpcStatus, RpcStatusCode, ServiceBuilder, WriteFlags};
use hubbub::threads::park::block_on;
use hubbub::wire::v1::{self, event::Event as Kind};
use hubbub::wire::{CHAT_SERVER, Frame, LIST_MEMBERS, LIST_MESSAGES, LIST_ROOMS, POST_MESSAGE};

pub use self::world::{Delivery, Verdict};
use self::world::{Outgoing, World};
use super::serve;

/// The server, and its state. Its world is locked while it answers a command.
pub struct Model {
    pub target: String,
    world: Arc<Mutex<World>>,
    _server: grpcio::Server,
}

impl Model {
    pub fn start() -> Self {
        Self::start_at("127.0.0.1:0")
    }

    pub fn start_at(place: &str) -> Self {
        let world = Arc::new(Mutex::new(World::new()));
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
                        lock(&world).take(id, request.parse().expect("the request is valid"));
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

    /// Stores a message of another client.
    pub fn say(&self, room: &str, sender: &str, body: &str) {
        self.world().store(room, sender, &fastrand::u128(..).to_be_bytes(), body, v1::Kind::KIND_TEXT);
    }

    /// The same from another thread: takes the room, the sender and the body.
    pub fn speaker(&self) -> impl Fn(&str, &str, &str) + Send + 'static {
        let world = Arc::clone(&self.world);
        move |room, sender, body| {
            let id = fastrand::u128(..).to_be_bytes();
            lock(&world).store(room, sender, &id, body, v1::Kind::KIND_TEXT);
        }
    }

    /// Edits a message, as its sender does: the message is replaced, and the event is sent.
    pub fn edit(&self, room: &str, seq: u64, body: &str) {
        let mut world = self.world();
        let edited_seq = world.room(room).events.len() as u64 + 1;
        let message = world.room(room).events[seq as usize - 1].mut_message();
        body.clone_into(&mut message.body);
        (message.changed_seq, message.edited_seq, message.edited_ms) = (edited_seq, edited_seq, 1);
        let edited = v1::Edited { message_seq: seq, body: body.to_owned(), ..Default::default() };
        world.append(room, Kind::Edited(edited));
    }

    /// Reports to all clients that a client joined the room or left it, independently of the real members.
    pub fn presence(&self, room: &str, name: &str, client_id: u64, joined: bool) {
        let mut world = self.world();
        let id = world.room(room).id;
        let change = match joined {
            true => v1::presence::Change::CHANGE_JOINED,
            false => v1::presence::Change::CHANGE_LEFT,
        };
        let presence = v1::Presence { client_id, name: name.to_owned(), change: change.into(), ..Default::default() };
        for stream in world.streams.keys().copied().collect::<Vec<_>>() {
            world.send(stream, id, Kind::Presence(presence.clone()));
        }
    }

    /// Ends all streams.
    pub fn break_streams(&self) {
        self.world().break_streams();
    }

    /// Replaces a message with an event of a kind that is unknown to all clients.
    pub fn make_unknown(&self, room: &str, seq: u64) {
        let mut world = self.world();
        let event = &mut world.room(room).events[seq as usize - 1];
        event.event = None;
        event.special_fields.mut_unknown_fields().add_length_delimited(100, b"something new".to_vec());
    }

    /// Deletes the messages up to this one, as retention does.
    pub fn trim(&self, room: &str, to_seq: u64) {
        self.world().room(room).oldest = to_seq + 1;
    }

    /// Returns to the state after this message, as if a backup were restored, and ends all streams.
    pub fn lose_history(&self, room: &str, after_seq: u64) {
        let mut world = self.world();
        let room = world.room(room);
        room.events.truncate(after_seq as usize);
        room.ids.retain(|_, seq| *seq <= after_seq);
        room.epoch += 1;
        room.epoch_first = after_seq + 1;
        world.break_streams();
    }

    /// Assigns another number to a room without messages, and joins its members again.
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
        streams.into_iter().for_each(|stream| world.send(stream, id, Kind::Joined(joined.clone())));
    }

    /// Tells the members of a room again what its topic and its pins are, as after a gap.
    pub fn tell_state(&self, name: &str, topic: &str, pinned: &[u64]) {
        let mut world = self.world();
        let room = world.room(name);
        let (id, head_seq) = (room.id, room.events.len() as u64);
        let joined = v1::Joined {
            room: name.to_owned(),
            epoch: room.epoch,
            head_seq,
            oldest_seq: room.oldest,
            topic: topic.to_owned(),
            pinned_seqs: pinned.to_vec(),
            ..Default::default()
        };
        let streams: Vec<_> = world.streams.keys().copied().collect();
        streams.into_iter().for_each(|stream| world.send(stream, id, Kind::Joined(joined.clone())));
    }

    /// The bodies of the room's messages, in order.
    pub fn bodies(&self, room: &str) -> Vec<String> {
        self.world().room(room).events.iter().map(|event| event.message().body.clone()).collect()
    }

    /// How many streams have joined a room.
    pub fn members(&self, room: &str) -> usize {
        self.world().streams.values().filter(|stream| stream.rooms.iter().any(|joined| joined == room)).count()
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
    world.lock().expect("no thread panicked")
}
