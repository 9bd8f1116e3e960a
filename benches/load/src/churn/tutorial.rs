//! Over the tutorial's contract the observer gets all messages. Other clients must not get their own messages, nor a
//! message twice or after a later one of its sender.

use std::io;

use anyhow::{Context, Result};

use super::{Visits, check_due};
use crate::args::Run;
use crate::check::{Fault, unexpected};
use crate::clock::Clock;
use crate::connection::Connection;
use crate::contract::{self, Contract};
use crate::grpc::Deframer;
use crate::member::id;
use crate::message::{ChatMessage, Mark, Purpose, Template};
use crate::pool::Pool;

pub struct Tutorial {
    templates: Vec<Template>,
    /// Of the slots, then of the observer.
    messages: Vec<Deframer>,
    /// By slot and sender: the lowest number that the slot's client may still get.
    next_heard: Vec<Vec<u64>>,
}

impl Visits for Tutorial {
    fn begin(run: &Run, clock: Clock) -> Result<(Tutorial, Connection)> {
        // The observer and another client, so that each gets the other's probes; then only the observer stays.
        let mut pool = Pool::open(&run.server, contract::Tutorial::PATH, 2, clock)?;
        contract::Tutorial::of(2, run.body_bytes).join(&mut pool)?;
        let prober = pool.connections.pop().context("the pool has two connections")?;
        prober.leave()?;
        let observer = pool.connections.pop().context("the pool has two connections")?;
        let visits = Tutorial {
            templates: (0..run.seating.clients as u32).map(|sender| Template::new(sender, run.body_bytes)).collect(),
            messages: (0..=run.seating.clients).map(|_| Deframer::default()).collect(),
            next_heard: vec![Vec::new(); run.seating.clients],
        };
        Ok((visits, observer))
    }

    fn enter(&mut self, run: &Run, slot: usize, seq: u64, sent_ns: u64) -> io::Result<Connection> {
        let mut connection = Connection::open(&run.server, contract::Tutorial::PATH)?;
        connection.send(self.templates[slot].fill(Purpose::Load, seq, sent_ns));
        self.messages[slot] = Deframer::default();
        self.next_heard[slot] = vec![0; run.seating.clients];
        Ok(connection)
    }

    fn hear(&mut self, receiver: usize, seqs: &[u64], mut bytes: &[u8], heard: &mut Vec<usize>) -> Result<(), Fault> {
        while let Some(message) = self.messages[receiver].next(&mut bytes)? {
            let mark = ChatMessage::read(message).and_then(|message| Mark::read(message.body));
            let mark = mark.ok_or_else(|| unexpected(receiver, message))?;
            if mark.purpose == Purpose::Probe {
                // It was still in flight.
                continue;
            }
            let sender = mark.sender as usize;
            let Some(next_heard) = self.next_heard.get_mut(receiver) else {
                check_due(receiver, mark, seqs)?;
                if heard.contains(&sender) {
                    return Err(Fault::Duplicate { receiver, got: id(mark) });
                }
                heard.push(sender);
                continue;
            };
            if sender == receiver {
                return Err(Fault::Own { receiver, seq: mark.seq });
            }
            let Some(next) = next_heard.get_mut(sender) else {
                return Err(Fault::NeverSent { receiver, got: id(mark) });
            };
            if mark.seq < *next {
                return Err(Fault::Duplicate { receiver, got: id(mark) });
            }
            *next = mark.seq + 1;
        }
        Ok(())
    }
}
