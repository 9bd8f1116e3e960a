//! The clients of `hubbub.v1`, which leave when they have received their own messages. They, and the observer, must get
//! every message of the room since their join, without a hole.

use anyhow::{Result, bail};

use super::check_due;
use crate::args::Run;
use crate::check::{Fault, MessageId};
use crate::clock::Clock;
use crate::member::{Reader, id};
use crate::pool::{JOIN_TIMEOUT_NS, Pool};

pub struct Listeners {
    start_unix_ms: u64,
    body_bytes: usize,
    /// Of the slots, then of the observer.
    readers: Vec<Reader>,
    /// By slot: the number of the observer's next message.
    next_observed: Vec<u64>,
}

impl Listeners {
    /// Waits until the observer, the only client of the pool, has joined. It has already received the `early` bytes.
    pub fn begin(run: &Run, clock: Clock, pool: &mut Pool, early: &[u8]) -> Result<Listeners> {
        let clients = run.seating.clients;
        let (start_unix_ms, body_bytes) = (clock.start_unix_ms, run.body_bytes);
        let readers = (0..=clients).map(|_| Reader::new(false, start_unix_ms, body_bytes)).collect();
        let mut listeners = Listeners { start_unix_ms, body_bytes, readers, next_observed: vec![0; clients] };
        let observer = &mut listeners.readers[clients];
        let mut observe = |bytes: &[u8]| -> Result<bool, Fault> {
            observer.take(clients, bytes, |mark| Err(Fault::NeverSent { receiver: clients, got: id(mark) }))?;
            Ok(observer.member.caught_up())
        };
        let deadline_ns = clock.now_ns() + JOIN_TIMEOUT_NS;
        let mut has_joined = observe(early)?;
        while !has_joined {
            if clock.now_ns() > deadline_ns {
                bail!("the observer has not been let into the room in 30 s");
            }
            pool.serve(|_, _, bytes| {
                has_joined = observe(bytes)?;
                Ok(())
            })?;
        }
        Ok(listeners)
    }

    /// A new client has the slot.
    pub fn renew(&mut self, slot: usize) {
        self.readers[slot] = Reader::new(false, self.start_unix_ms, self.body_bytes);
    }

    /// Whether the client of the slot is in the room.
    pub fn has_joined(&self, slot: usize) -> bool {
        self.readers[slot].member.caught_up()
    }

    /// Checks the bytes that a client or the observer got. `heard` gets the slot if they have the client's own message.
    pub fn hear(&mut self, receiver: usize, seqs: &[u64], bytes: &[u8], heard: &mut Vec<usize>) -> Result<(), Fault> {
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
