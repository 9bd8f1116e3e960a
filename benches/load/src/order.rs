//! Checks every delivery over `hubbub.v1`: every member gets every message of the room once, in the order of its seq.
//!
//! The bytes of a room's messages are the same for all members, for any split into responses. So the first receiver of
//! a message decodes it, compares it with the sent one, and appends its bytes to a copy of the log; every other
//! receiver has a place in that copy and must get the bytes that follow it. Comparing long runs of bytes in the read
//! buffer is nearly the whole cost of a delivery. Different bytes are decoded: they may be an event for this receiver
//! only, another encoding of the same message, or a fault, which is then named.
//!
//! A message counts as delivered when its response is complete: before that, a client can't decode it.

use std::collections::VecDeque;
use std::mem;

use crate::answers::Answers;
use crate::chat::{Event, Message, What, room_name, take_entry};
use crate::check::{Fault, MessageId, shown, unexpected};
use crate::grpc::Splitter;
use crate::member::{Member, id};
use crate::seating::Seating;

/// How many receivers a report of missing messages names.
const REPORTED_MAX: usize = 5;
/// The copy of the log is trimmed when all members have this many bytes of it and these are most of it, or when they
/// have all of it.
const CUT_BYTES_MIN: usize = 256 << 10;

/// The numbers of a room's messages begin at its own multiple of this, so that a message of another room is recognized.
/// Ids have 40 bits for a number, enough for 131,072 rooms. A single room may have more messages than this.
const NUMBERS_PER_ROOM: u64 = 1 << 23;

/// The check of one room in which all members receive. Some of them also send, and senders and receivers are one set of
/// indices; or the senders are no members, and have indices of their own.
pub struct Order {
    seating: Seating,
    /// The room's index.
    index: usize,
    start_unix_ms: u64,
    body_bytes: usize,
    /// By their places.
    receivers: Vec<Receiver>,
    /// The encoded messages that a member still waits for, and possibly earlier ones.
    log: Vec<u8>,
    /// The position of `log[0]` since the start.
    log_start: u64,
    /// The messages in `log` that a member still waits for.
    entries: VecDeque<Entry>,
    /// The index of `entries[0]` since the start, which is the number of messages that all members have.
    base: u64,
    /// How many receivers wait for the entry with each index from `base` on; the last entry does not exist yet.
    waiting: VecDeque<u32>,
    /// The room's number, and its head before the first of our messages, once a member has joined.
    room: Option<(u64, u64)>,
    time_ms: u64,
    /// The check of the responses to outside senders, if the senders are no members.
    answers: Option<Answers>,
    /// By the sender's place, or by the outside sender's index: the number of its next message to be sent, and of its next one to enter the order.
    sent: Vec<u64>,
    ordered: Vec<u64>,
    sent_total: u64,
}

#[derive(Default)]
struct Receiver {
    member: Member,
    messages: Splitter,
    /// The position up to which it has received the log: the start of the entry `next`, or beyond it within a response.
    at: u64,
    /// The index of the next entry for it.
    next: u64,
    /// The bytes of this response beyond `at` that are not, or not yet, in the log.
    astray: Vec<u8>,
}

struct Entry {
    /// Its position since the start.
    start: u64,
    sent_ns: u64,
}

impl Order {
    /// The room with this index, below `seating.rooms`.
    pub fn new(seating: Seating, index: usize, body_bytes: usize, start_unix_ms: u64) -> Order {
        let members = seating.members(index);
        let first_number = index as u64 * NUMBERS_PER_ROOM;
        Order {
            seating,
            index,
            start_unix_ms,
            body_bytes,
            receivers: (0..members).map(|_| Receiver::default()).collect(),
            log: Vec::new(),
            log_start: 0,
            entries: VecDeque::new(),
            base: 0,
            waiting: VecDeque::from([members as u32]),
            room: None,
            time_ms: 0,
            answers: None,
            sent: vec![first_number; members],
            ordered: vec![first_number; members],
            sent_total: 0,
        }
    }

    /// The same for a room to which this many senders post that are no members.
    pub fn of_outsiders(
        seating: Seating,
        index: usize,
        body_bytes: usize,
        start_unix_ms: u64,
        senders: usize,
    ) -> Order {
        let first_number = index as u64 * NUMBERS_PER_ROOM;
        Order {
            answers: Some(Answers::new(senders)),
            sent: vec![first_number; senders],
            ordered: vec![first_number; senders],
            ..Order::new(seating, index, body_bytes, start_unix_ms)
        }
    }

    /// The first member that is not in the room yet, if there is one.
    pub fn absent(&self) -> Option<usize> {
        let place = self.receivers.iter().position(|receiver| !receiver.member.caught_up())?;
        Some(self.seating.client(self.index, place))
    }

    /// The seq of the newest message that any member has received.
    pub fn head_seq(&self) -> u64 {
        self.seq(self.end()) - 1
    }

    /// Records that `sender`, a member or an outside sender, sends its next message. Returns the message's number.
    pub fn send(&mut self, sender: usize) -> u64 {
        let place = self.sender_place(sender).expect("only senders are asked for");
        let number = self.sent[place];
        self.sent[place] += 1;
        self.sent_total += 1;
        number
    }

    /// The call of an outside sender for its next message was answered with this seq.
    pub fn answered(&mut self, sender: usize, seq: u64) -> Result<(), Fault> {
        let answers = self.answers.as_mut().expect("only outside senders make calls");
        answers.told(sender, seq)
    }

    /// Sent messages that a member still waits for.
    pub fn in_flight(&self) -> u64 {
        self.sent_total - self.base
    }

    /// Checks the bytes that `receiver`, a member of only this room, got. `on_delivery` gets the send times of the
    /// messages that it now has, and their numbers.
    #[inline]
    pub fn take(
        &mut self,
        receiver: usize,
        mut bytes: &[u8],
        mut on_delivery: impl FnMut(u64, u64),
    ) -> Result<(), Fault> {
        let place = self.place(receiver);
        while let Some((piece, end)) = self.receivers[place].messages.next(&mut bytes)? {
            self.follow(place, piece);
            if end {
                let next = self.settle(receiver, place)?;
                self.pass(place, next, &mut on_delivery);
            }
        }
        Ok(())
    }

    /// The same for an event of a complete response, for a client that may be in other rooms too.
    pub fn take_event(
        &mut self,
        receiver: usize,
        entry: &[u8],
        event: &Event<'_>,
        mut on_delivery: impl FnMut(u64, u64),
    ) -> Result<(), Fault> {
        let place = self.seating.place(self.index, receiver).ok_or_else(|| unexpected(receiver, entry))?;
        let next = self.receivers[place].next;
        let next = self.check(receiver, next, entry, event)?;
        self.receivers[place].at = self.start(next);
        self.pass(place, next, &mut on_delivery);
        Ok(())
    }

    /// Fails if a member still waits for a message, and names some of them.
    pub fn finish(&self) -> Result<(), Fault> {
        if self.in_flight() == 0 {
            return Ok(());
        }
        let unordered = self.ordered.iter().zip(&self.sent).enumerate().filter(|(_, (ordered, sent))| ordered < sent);
        let client = |place| self.seating.client(self.index, place);
        let nobody = unordered.map(|(place, (ordered, sent))| {
            let sender = if self.answers.is_some() { place } else { client(place) };
            format!("messages {ordered} to {} of sender {sender} reached nobody", sent - 1)
        });
        let late = self.receivers.iter().enumerate().filter(|(_, receiver)| receiver.next < self.end());
        let waiting =
            late.map(|(place, receiver)| format!("client {} waits for seq {}", client(place), self.seq(receiver.next)));
        let lines: Vec<String> = nobody.take(REPORTED_MAX).chain(waiting.take(REPORTED_MAX)).collect();
        let shown = lines.join("; ");
        let room = room_name(self.index);
        Err(Fault::Missing(format!(
            "{} messages of {room} were not delivered to all members: {shown}",
            self.in_flight()
        )))
    }

    /// A piece of a response has arrived.
    #[inline]
    fn follow(&mut self, place: usize, piece: &[u8]) {
        let Receiver { at, astray, .. } = &mut self.receivers[place];
        let from = (*at - self.log_start) as usize;
        if astray.is_empty() && self.log.get(from..from + piece.len()) == Some(piece) {
            *at += piece.len() as u64;
        } else {
            astray.extend_from_slice(piece);
        }
    }

    /// A response is complete. Returns the index of the receiver's next entry.
    #[inline]
    fn settle(&mut self, receiver: usize, place: usize) -> Result<u64, Fault> {
        let Receiver { at, next, astray, .. } = &mut self.receivers[place];
        if !astray.is_empty() {
            // Another receiver may have added it to the log since.
            if !self.log[(*at - self.log_start) as usize..].starts_with(astray) {
                return self.walk(receiver, place);
            }
            *at += astray.len() as u64;
            astray.clear();
        }
        let (at, mut next) = (*at, *next);
        while next < self.end() && self.start(next) < at {
            next += 1;
        }
        if self.start(next) != at {
            return Err(Fault::Unwelcome { receiver, text: "a response that ends within an event".into() });
        }
        Ok(next)
    }

    /// A complete response differs from the log: checks its events one by one.
    #[cold]
    #[inline(never)]
    fn walk(&mut self, receiver: usize, place: usize) -> Result<u64, Fault> {
        let Receiver { at, next, astray, .. } = &mut self.receivers[place];
        let (at, mut next, astray) = (*at, *next, mem::take(astray));
        let matched = (self.start(next) - self.log_start) as usize..(at - self.log_start) as usize;
        let response = [&self.log[matched], &astray].concat();
        let mut rest = &response[..];
        while !rest.is_empty() {
            let start = rest;
            let (entry, event) = take_entry(&mut rest).ok_or_else(|| unexpected(receiver, start))?;
            next = self.check(receiver, next, entry, &event)?;
        }
        self.receivers[place].at = self.start(next);
        Ok(next)
    }

    /// Checks an event for a member that has all entries before `next`. Returns the index of its next entry after that.
    fn check(&mut self, receiver: usize, next: u64, entry: &[u8], event: &Event<'_>) -> Result<u64, Fault> {
        let What::Message(message) = event.what else {
            self.heed(receiver, event)?;
            return Ok(next);
        };
        if next == self.end() {
            self.enter(receiver, entry, event, &message)?;
        } else if self.entry(next) != entry {
            self.compare(receiver, next, entry, event)?;
        }
        Ok(next + 1)
    }

    /// The receiver has all entries before `next`.
    fn pass(&mut self, place: usize, next: u64, on_delivery: &mut impl FnMut(u64, u64)) {
        let passed = mem::replace(&mut self.receivers[place].next, next);
        let (first, last) = ((passed - self.base) as usize, (next - self.base) as usize);
        if first == last {
            return;
        }
        // Messages that were sent together are counted together.
        let mut run = (self.entries[first].sent_ns, 0);
        for entry in self.entries.range(first..last) {
            if entry.sent_ns != run.0 {
                on_delivery(run.0, run.1);
                run = (entry.sent_ns, 0);
            }
            run.1 += 1;
        }
        on_delivery(run.0, run.1);
        self.waiting[first] -= 1;
        self.waiting[last] += 1;
        while self.waiting[0] == 0 && !self.entries.is_empty() {
            self.entries.pop_front();
            self.waiting.pop_front();
            self.base += 1;
        }
        let done = (self.start(self.base) - self.log_start) as usize;
        if done == self.log.len() || done >= CUT_BYTES_MIN && done > self.log.len() / 2 {
            self.log.drain(..done);
            self.log_start += done as u64;
        }
    }

    /// The receiver is the first to get this message: it enters the order if it is its sender's next.
    fn enter(&mut self, receiver: usize, entry: &[u8], event: &Event<'_>, message: &Message<'_>) -> Result<(), Fault> {
        let damaged = || unexpected(receiver, entry);
        let (room_id, _) = self.room.ok_or_else(damaged)?;
        let mark = message.mark(self.start_unix_ms, self.body_bytes).ok_or_else(damaged)?;
        let due_seq = self.seq(self.end());
        if event.room_id != room_id || event.time_ms < self.time_ms {
            return Err(damaged());
        }
        if event.seq != due_seq {
            return Err(Fault::Hole { receiver, got: event.seq, due: due_seq });
        }
        let got = id(mark);
        let sender = self.sender_place(mark.sender as usize);
        let first_number = self.index as u64 * NUMBERS_PER_ROOM;
        let sender = sender.filter(|place| (first_number..self.sent[*place]).contains(&mark.seq));
        let sender = sender.ok_or(Fault::NeverSent { receiver, got })?;
        let due = MessageId { sender: mark.sender, seq: self.ordered[sender] };
        if got.seq < due.seq {
            return Err(Fault::Duplicate { receiver, got });
        }
        if got.seq > due.seq {
            return Err(Fault::OutOfOrder { receiver, got, due });
        }
        if let Some(answers) = &mut self.answers {
            answers.seen(sender, event.seq)?;
        }
        self.ordered[sender] += 1;
        self.time_ms = event.time_ms;
        let start = self.log_start + self.log.len() as u64;
        self.log.extend_from_slice(entry);
        self.entries.push_back(Entry { start, sent_ns: mark.sent_ns });
        self.waiting.push_back(0);
        Ok(())
    }

    /// Fails unless the message is another encoding of the one with this index.
    fn compare(&self, receiver: usize, index: u64, entry: &[u8], event: &Event<'_>) -> Result<(), Fault> {
        let due = self.seq(index);
        if event.seq != due {
            return Err(Fault::Hole { receiver, got: event.seq, due });
        }
        // Invariant: the log's entries were decoded when they were added.
        let (_, logged) = take_entry(&mut self.entry(index)).expect("the log holds events");
        if logged == *event { Ok(()) } else { Err(unexpected(receiver, entry)) }
    }

    /// The receiver got an event that is not in the room's log.
    fn heed(&mut self, receiver: usize, event: &Event<'_>) -> Result<(), Fault> {
        let place = self.place(receiver);
        let member = &mut self.receivers[place].member;
        let before = (member.room_id, member.head_seq);
        member.heed(receiver, event)?;
        if let What::Joined { room: name, .. } = event.what {
            if name != room_name(self.index).as_bytes() {
                return Err(Fault::Unwelcome {
                    receiver,
                    text: format!("a room that it did not join: {}", shown(name)),
                });
            }
            let room = (member.room_id, member.head_seq);
            // The first member that learns the room's new number.
            if before.0 != 0 && self.room == Some(before) {
                self.room = Some(room);
            }
            if *self.room.get_or_insert(room) != room {
                let text = format!("another room number or head than others: {room:?}");
                return Err(Fault::Unwelcome { receiver, text });
            }
        }
        Ok(())
    }

    /// The place of a member.
    #[inline]
    fn place(&self, member: usize) -> usize {
        self.seating.place(self.index, member).expect("only members are asked for")
    }

    /// The place of a sender in `sent` and `ordered`; `None` if it is not one.
    fn sender_place(&self, sender: usize) -> Option<usize> {
        match self.answers {
            Some(_) => (sender < self.sent.len()).then_some(sender),
            None => self.seating.place(self.index, sender),
        }
    }

    /// The index of the first entry that does not exist yet.
    #[inline]
    fn end(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    /// The position at which an entry starts, or the end of the log.
    #[inline]
    fn start(&self, index: u64) -> u64 {
        let entry = self.entries.get((index - self.base) as usize);
        entry.map_or(self.log_start + self.log.len() as u64, |entry| entry.start)
    }

    fn entry(&self, index: u64) -> &[u8] {
        let position = |index| (self.start(index) - self.log_start) as usize;
        &self.log[position(index)..position(index + 1)]
    }

    fn seq(&self, index: u64) -> u64 {
        self.room.map_or(0, |(_, head_seq)| head_seq) + 1 + index
    }
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
