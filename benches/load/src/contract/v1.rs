//! `hubbub.v1`: a client sends its name and joins rooms, a request has many posts, and a sender gets its own messages.

use anyhow::{Result, bail};

use super::Contract;
use crate::args::Run;
use crate::chat::{From, Post, hello, join};
use crate::check::Fault;
use crate::clock::Clock;
use crate::connection::Connection;
use crate::grpc::PREFIX_BYTES;
use crate::http2::frames::FRAME_BYTES_MAX;
use crate::message::sender_name;
use crate::pool::{JOIN_TIMEOUT_NS, Pool};
use crate::rooms::Rooms;
use crate::seating::Seating;

/// A request fits into one frame, which keeps it below the contract's bounds: 65,536 bytes and 1,024 commands.
const REQUEST_BYTES_MAX: usize = FRAME_BYTES_MAX - PREFIX_BYTES;

pub struct V1 {
    seating: Seating,
    posts: Vec<Post>,
    /// By sender: the commands of its next request.
    requests: Vec<Vec<u8>>,
    /// By sender: the index of its next room.
    turns: Vec<usize>,
    rooms: Rooms,
}

impl V1 {
    /// Of the chat's method.
    pub const PATH: &'static str = "/hubbub.v1.ChatService/Chat";

    /// The seq of the first room's newest message that any member has received.
    pub fn head_seq(&self) -> u64 {
        self.rooms.head_seq()
    }
}

/// Makes a new client join the first room.
pub fn enter_room(connection: &mut Connection, client: u32, from: From) {
    connection.send(&[hello_of(connection, client), join(0, from)].concat());
}

/// The hello of a client, whose name is that of its login if there is one.
fn hello_of(connection: &Connection, client: u32) -> Vec<u8> {
    if connection.logged_in { hello("") } else { hello(&sender_name(client)) }
}

impl Contract for V1 {
    fn new(run: &Run, clock: &Clock) -> V1 {
        let Run { seating, body_bytes, .. } = *run;
        V1 {
            seating,
            posts: (0..seating.clients as u32)
                .map(|sender| Post::new(sender, body_bytes, clock.start_unix_ms))
                .collect(),
            requests: vec![Vec::new(); seating.clients],
            turns: vec![0; seating.clients],
            rooms: Rooms::new(seating, body_bytes, clock.start_unix_ms),
        }
    }

    fn connect(&self, run: &Run, clock: Clock) -> Result<Pool> {
        Pool::open(&run.server, V1::PATH, run.seating.clients, clock)
    }

    fn receivers(seating: &Seating) -> f64 {
        seating.members_mean()
    }

    fn join(&mut self, pool: &mut Pool) -> Result<()> {
        for (client, connection) in pool.connections.iter_mut().enumerate() {
            let mut request = hello_of(connection, client as u32);
            for room in self.seating.rooms_of(client) {
                let join = join(room, From::Head);
                if request.len() + join.len() > REQUEST_BYTES_MAX {
                    connection.send(&request);
                    request.clear();
                }
                request.extend(join);
            }
            connection.send(&request);
            connection.flush()?;
        }
        let mut heard_ns = pool.clock.now_ns();
        while let Some((room, absent)) = self.rooms.absent() {
            if pool.clock.now_ns() > heard_ns + JOIN_TIMEOUT_NS {
                bail!("client {absent} has not joined room {room}, and no client has joined any, in 30 s");
            }
            pool.serve(|receiver, now_ns, bytes| {
                heard_ns = now_ns;
                self.rooms.take(receiver, bytes, |_, _| ())
            })?;
        }
        Ok(())
    }

    fn has_room(&self, connection: &Connection, sender: usize) -> bool {
        // Even if the request so far must be sent first.
        connection.has_room(self.requests[sender].len() + PREFIX_BYTES + self.posts[sender].len())
    }

    fn post(&mut self, connection: &mut Connection, sender: usize, sent_ns: u64) {
        if self.requests[sender].len() + self.posts[sender].len() > REQUEST_BYTES_MAX {
            self.send(connection, sender);
        }
        let room = self.seating.room(sender, self.turns[sender]);
        self.turns[sender] = (self.turns[sender] + 1) % self.seating.joined;
        let number = self.rooms.send(room, sender);
        self.requests[sender].extend_from_slice(self.posts[sender].fill(room, number, sent_ns));
    }

    fn send(&mut self, connection: &mut Connection, sender: usize) {
        let request = &mut self.requests[sender];
        if !request.is_empty() {
            connection.send(request);
            request.clear();
        }
    }

    #[inline]
    fn take(&mut self, receiver: usize, bytes: &[u8], on_delivery: impl FnMut(u64, u64)) -> Result<(), Fault> {
        self.rooms.take(receiver, bytes, on_delivery)
    }

    fn in_flight(&self) -> u64 {
        self.rooms.in_flight()
    }

    fn finish(&self) -> Result<(), Fault> {
        self.rooms.finish()
    }
}
