//! `hubbub.v1`: a client says who it is and which room it joins, posts go up many in a request, and a sender gets its own
//! messages back.

use anyhow::{Result, bail};

use super::Contract;
use crate::chat::{From, Post, hello_and_join};
use crate::check::Fault;
use crate::clock::Clock;
use crate::connection::Connection;
use crate::grpc::PREFIX_BYTES;
use crate::http2::frames::FRAME_BYTES_MAX;
use crate::order::Order;
use crate::pool::{JOIN_TIMEOUT_NS, Pool};

/// A request fits into one frame, which keeps it far below the contract's bounds: 65,536 bytes and 1,024 commands.
const REQUEST_BYTES_MAX: usize = FRAME_BYTES_MAX - PREFIX_BYTES;

pub struct V1 {
    posts: Vec<Post>,
    /// By sender: the commands of its next request.
    requests: Vec<Vec<u8>>,
    order: Order,
}

impl V1 {
    /// The seq of the room's newest message that somebody has received.
    pub fn head_seq(&self) -> u64 {
        self.order.head_seq()
    }
}

/// Has a client that has just connected enter the room.
pub fn enter_room(connection: &mut Connection, client: u32, from: From) {
    connection.send(&hello_and_join(client, from));
}

impl Contract for V1 {
    const PATH: &'static str = "/hubbub.v1.ChatService/Chat";

    fn new(clients: usize, body_bytes: usize, clock: &Clock) -> V1 {
        V1 {
            posts: (0..clients as u32).map(|sender| Post::new(sender, body_bytes, clock.start_unix_ms)).collect(),
            requests: vec![Vec::new(); clients],
            order: Order::new(clients, body_bytes, clock.start_unix_ms),
        }
    }

    fn receivers(clients: usize) -> usize {
        clients
    }

    fn join(&mut self, pool: &mut Pool) -> Result<()> {
        for (client, connection) in pool.connections.iter_mut().enumerate() {
            enter_room(connection, client as u32, From::Head);
            connection.flush()?;
        }
        let deadline_ns = pool.clock.now_ns() + JOIN_TIMEOUT_NS;
        while let Some(absent) = self.order.absent() {
            if pool.clock.now_ns() > deadline_ns {
                bail!("client {absent} has not been let into the room in 30 s");
            }
            pool.serve(|receiver, _, bytes| self.order.take(receiver, bytes, |_, _| ()))?;
        }
        Ok(())
    }

    fn has_room(&self, connection: &Connection, sender: usize) -> bool {
        // Also if the request so far must leave first.
        connection.has_room(self.requests[sender].len() + PREFIX_BYTES + self.posts[sender].len())
    }

    fn post(&mut self, connection: &mut Connection, sender: usize, sent_ns: u64) {
        if self.requests[sender].len() + self.posts[sender].len() > REQUEST_BYTES_MAX {
            self.send(connection, sender);
        }
        let number = self.order.send(sender);
        self.requests[sender].extend_from_slice(self.posts[sender].fill(number, sent_ns));
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
        self.order.take(receiver, bytes, on_delivery)
    }

    fn in_flight(&self) -> u64 {
        self.order.in_flight()
    }

    fn finish(&self) -> Result<(), Fault> {
        self.order.finish()
    }
}
