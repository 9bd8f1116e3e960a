//! Over `hubbub.v1` a client leaves when it has received its own message. It, and the observer, must get every message
//! of the room since their join, without a hole.

use std::io;

use anyhow::{Context, Result, bail};

use super::{Visits, check_due};
use crate::args::Run;
use crate::chat::{From, Post};
use crate::check::{Fault, MessageId};
use crate::clock::Clock;
use crate::connection::Connection;
use crate::contract::{self, Contract, enter_room};
use crate::member::{Reader, id};
use crate::pool::{JOIN_TIMEOUT_NS, Pool};

pub struct V1 {
    clock: Clock,
    posts: Vec<Post>,
    /// Of the slots, then of the observer.
    readers: Vec<Reader>,
    /// By slot: the number of the observer's next message.
    next_observed: Vec<u64>,
}

impl Visits for V1 {
    fn begin(run: &Run, clock: Clock) -> Result<(V1, Connection)> {
        let mut pool = Pool::open(&run.server, contract::V1::PATH, 1, clock)?;
        let mut observer = Reader::new(false, clock.start_unix_ms, run.body_bytes);
        enter_room(&mut pool.connections[0], run.seating.clients as u32, From::Head);
        pool.connections[0].flush()?;
        let deadline_ns = clock.now_ns() + JOIN_TIMEOUT_NS;
        while !observer.member.caught_up() {
            if clock.now_ns() > deadline_ns {
                bail!("the observer has not been let into the room in 30 s");
            }
            pool.serve(|_, _, bytes| {
                observer.take(run.seating.clients, bytes, |mark| {
                    Err(Fault::NeverSent { receiver: run.seating.clients, got: id(mark) })
                })
            })?;
        }
        let connection = pool.connections.pop().context("the pool has a connection")?;
        let mut readers: Vec<_> =
            (0..run.seating.clients).map(|_| Reader::new(false, clock.start_unix_ms, run.body_bytes)).collect();
        readers.push(observer);
        let visits = V1 {
            clock,
            posts: (0..run.seating.clients as u32)
                .map(|sender| Post::new(sender, run.body_bytes, clock.start_unix_ms))
                .collect(),
            readers,
            next_observed: vec![0; run.seating.clients],
        };
        Ok((visits, connection))
    }

    fn enter(&mut self, run: &Run, slot: usize, seq: u64, sent_ns: u64) -> io::Result<Connection> {
        let mut connection = Connection::open(&run.server, contract::V1::PATH)?;
        enter_room(&mut connection, slot as u32, From::Head);
        // Commands are executed in order, so it need not wait for the join.
        connection.send(self.posts[slot].fill(0, seq, sent_ns));
        self.readers[slot] = Reader::new(false, self.clock.start_unix_ms, run.body_bytes);
        Ok(connection)
    }

    fn hear(&mut self, receiver: usize, seqs: &[u64], bytes: &[u8], heard: &mut Vec<usize>) -> Result<(), Fault> {
        let next_observed = &mut self.next_observed;
        let is_observer = receiver == next_observed.len();
        self.readers[receiver].take(receiver, bytes, |mark| {
            let sender = mark.sender as usize;
            if is_observer {
                let got = id(mark);
                let next = next_observed.get_mut(sender).ok_or(Fault::NeverSent { receiver, got })?;
                let due = MessageId { sender: mark.sender, seq: *next };
                if got.seq < due.seq {
                    return Err(Fault::Duplicate { receiver, got });
                }
                if got.seq > due.seq {
                    return Err(Fault::OutOfOrder { receiver, got, due });
                }
                *next += 1;
            } else if sender == receiver {
                check_due(receiver, mark, seqs)?;
                heard.push(sender);
            }
            Ok(())
        })
    }
}
