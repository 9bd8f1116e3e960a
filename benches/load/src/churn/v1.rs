//! Over `hubbub.v1` a client joins and posts with one request.

use std::io;

use anyhow::{Context, Result};

use super::Visits;
use super::listeners::Listeners;
use crate::args::Run;
use crate::chat::{From, Post};
use crate::check::Fault;
use crate::clock::Clock;
use crate::connection::Connection;
use crate::contract::{self, enter_room};
use crate::pool::Pool;

pub struct V1 {
    posts: Vec<Post>,
    listeners: Listeners,
}

impl Visits for V1 {
    fn begin(run: &Run, clock: Clock) -> Result<(V1, Connection)> {
        let mut pool = Pool::open(&run.server, contract::V1::PATH, 1, clock)?;
        enter_room(&mut pool.connections[0], run.seating.clients as u32, From::Head);
        pool.connections[0].flush()?;
        let listeners = Listeners::begin(run, clock, &mut pool, &[])?;
        let connection = pool.connections.pop().context("the pool has a connection")?;
        let senders = 0..run.seating.clients as u32;
        let posts = senders.map(|sender| Post::new(sender, run.body_bytes, clock.start_unix_ms)).collect();
        Ok((V1 { posts, listeners }, connection))
    }

    fn enter(&mut self, run: &Run, slot: usize, seq: u64, sent_ns: u64) -> io::Result<Connection> {
        let mut connection = Connection::open(&run.server, contract::V1::PATH)?;
        enter_room(&mut connection, slot as u32, From::Head);
        // Commands are executed in order, so it need not wait for the join.
        connection.send(self.posts[slot].fill(0, seq, sent_ns));
        self.listeners.renew(slot);
        Ok(connection)
    }

    fn hear(&mut self, receiver: usize, seqs: &[u64], bytes: &[u8], heard: &mut Vec<usize>) -> Result<(), Fault> {
        self.listeners.hear(receiver, seqs, bytes, heard)
    }
}
