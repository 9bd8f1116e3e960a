//! Checks every delivery over the tutorial's contract: each receiver gets each message of each other sender once, never
//! its own, in one order for all.
//!
//! The first receiver of a message fixes its place in the order; then the message is decoded and compared with the sent
//! one. Every other receiver has a cursor into the order and must get the bytes at its cursor: comparing them is the
//! whole cost of a delivery. A message is removed when all receivers have it.
//!
//! A sender does not get its own messages, so it can't determine whether another message precedes one of its own. If it
//! is the first receiver, the message is held until a client that gets both has fixed the order. So one client must
//! never send.

use std::collections::VecDeque;
use std::fmt;

use crate::grpc::MessageError;
use crate::message::{ChatMessage, Mark, Purpose, sender_name};

/// How many receivers a report of missing messages names.
const REPORTED_MAX: usize = 5;

/// The check of one room in which all members receive and some also send. Senders and receivers are one set of indices.
pub struct Checker {
    body_bytes: usize,
    /// Messages that some receiver still waits for, in the shared order.
    order: VecDeque<Entry>,
    /// The place of `order[0]` since the start.
    base: u64,
    receivers: Vec<Receiver>,
    /// By sender: the number of its next message to be sent, and of its next one to enter the order.
    sent: Vec<u64>,
    ordered: Vec<u64>,
    /// How many messages were sent, and how many all receivers have.
    sent_total: u64,
    complete_total: u64,
    /// Messages that some receiver holds.
    held_total: usize,
    /// Buffers of removed entries, for reuse.
    spare: Vec<Vec<u8>>,
}

#[derive(Default)]
struct Receiver {
    /// The place of its next message, or an earlier place if all between are its own.
    cursor: u64,
    /// The messages that it got beyond the end of the order, and their send times.
    held: VecDeque<(MessageId, u64)>,
}

struct Entry {
    sender: u32,
    seq: u64,
    sent_ns: u64,
    /// Receivers that do not have it yet.
    left: u32,
    bytes: Vec<u8>,
}

/// One message of one sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageId {
    pub sender: u32,
    pub seq: u64,
}

/// A fault of the server.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("client {receiver} got its own message {seq}")]
    Own { receiver: usize, seq: u64 },
    #[error("client {receiver} got message {got} twice")]
    Duplicate { receiver: usize, got: MessageId },
    #[error("client {receiver} got message {got} where {due} was due: lost or out of order")]
    OutOfOrder { receiver: usize, got: MessageId, due: MessageId },
    #[error("client {receiver} got message {got}, which was never sent")]
    NeverSent { receiver: usize, got: MessageId },
    #[error("client {receiver} got a message that is not as it was sent: {text}")]
    Damaged { receiver: usize, text: String },
    #[error("lost: {0}")]
    Missing(String),
    #[error("client {receiver} got seq {got} where {due} was due")]
    Hole { receiver: usize, got: u64, due: u64 },
    #[error("sender {sender} was told seq {told} for its message, which has {seq}")]
    Answer { sender: usize, told: u64, seq: u64 },
    #[error("sender {sender} got a response that does not fit its message: {text}")]
    Unfit { sender: usize, text: String },
    #[error("client {receiver} got what a client that keeps to the rules must not: {text}")]
    Unwelcome { receiver: usize, text: String },
    #[error(transparent)]
    Framing(#[from] MessageError),
}

impl Checker {
    /// There must be one client that never sends.
    pub fn new(clients: usize, body_bytes: usize) -> Checker {
        Checker {
            body_bytes,
            order: VecDeque::new(),
            base: 0,
            receivers: (0..clients).map(|_| Receiver::default()).collect(),
            sent: vec![0; clients],
            ordered: vec![0; clients],
            sent_total: 0,
            complete_total: 0,
            held_total: 0,
            spare: Vec::new(),
        }
    }

    /// Records that `sender` sends its next message. Returns the message's number.
    pub fn send(&mut self, sender: usize) -> u64 {
        let seq = self.sent[sender];
        self.sent[sender] += 1;
        self.sent_total += 1;
        seq
    }

    /// Sent messages that a receiver still waits for.
    pub fn in_flight(&self) -> u64 {
        self.sent_total - self.complete_total
    }

    /// Checks a message that `receiver` got. Returns its send time, or `None` for a probe.
    #[inline]
    pub fn deliver(&mut self, receiver: usize, bytes: &[u8]) -> Result<Option<u64>, Fault> {
        let Receiver { cursor, held } = &mut self.receivers[receiver];
        if !held.is_empty() {
            return self.hold(receiver, bytes);
        }
        // Removed entries were delivered to all their receivers, so those that the receiver did not get were its own.
        let mut place = self.base.max(*cursor);
        loop {
            match self.order.get_mut((place - self.base) as usize) {
                Some(entry) if entry.sender as usize == receiver => place += 1,
                Some(entry) if entry.bytes == bytes => {
                    let sent_ns = entry.sent_ns;
                    entry.left -= 1;
                    *cursor = place + 1;
                    if entry.left == 0 {
                        self.complete();
                    }
                    return Ok(Some(sent_ns));
                }
                Some(_) => return self.differs(receiver, place, bytes),
                None if self.sent[receiver] > self.ordered[receiver] => return self.hold(receiver, bytes),
                None => return self.enter(receiver, bytes),
            }
        }
    }

    /// Fails if a receiver still waits for a message, and names some of them, or if one got a message too many.
    pub fn finish(&self) -> Result<(), Fault> {
        if self.in_flight() == 0 {
            // All have all messages, and this one has more.
            let surplus = self.receivers.iter().position(|receiver| !receiver.held.is_empty());
            return surplus.map_or(Ok(()), |receiver| {
                let got = self.receivers[receiver].held[0].0;
                Err(Fault::Duplicate { receiver, got })
            });
        }
        let mut lines = Vec::new();
        for (sender, (ordered, sent)) in self.ordered.iter().zip(&self.sent).enumerate() {
            if ordered < sent && lines.len() < REPORTED_MAX {
                lines.push(format!("messages {ordered} to {} of sender {sender} reached nobody", sent - 1));
            }
        }
        for receiver in 0..self.receivers.len() {
            if let Some(due) = self.due(receiver)
                && lines.len() < REPORTED_MAX
            {
                lines.push(format!("client {receiver} waits for message {due}"));
            }
        }
        let shown = lines.join("; ");
        Err(Fault::Missing(format!("{} messages were not delivered to all receivers: {shown}", self.in_flight())))
    }

    /// The next message for `receiver` that others have.
    fn due(&self, receiver: usize) -> Option<MessageId> {
        self.place(receiver).map(|place| self.order[(place - self.base) as usize].id())
    }

    /// The place of the next message for `receiver`, if it is fixed.
    fn place(&self, receiver: usize) -> Option<u64> {
        let start = self.base.max(self.receivers[receiver].cursor);
        let mut following = self.order.iter().skip((start - self.base) as usize);
        following.position(|entry| entry.sender as usize != receiver).map(|others| start + others as u64)
    }

    /// `receiver` has the message at `place`.
    fn pass(&mut self, receiver: usize, place: u64) {
        self.receivers[receiver].cursor = place + 1;
        let entry = &mut self.order[(place - self.base) as usize];
        entry.left -= 1;
        if entry.left == 0 {
            self.complete();
        }
    }

    /// All receivers have an entry: counts it, and removes complete entries from the front of the order.
    fn complete(&mut self) {
        self.complete_total += 1;
        while self.order.front().is_some_and(|entry| entry.left == 0) {
            let entry = self.order.pop_front().expect("the front is there");
            self.spare.push(entry.bytes);
            self.base += 1;
        }
    }

    /// The receiver is the first to get this message: it enters the order if it is its sender's next.
    #[cold]
    #[inline(never)]
    fn enter(&mut self, receiver: usize, bytes: &[u8]) -> Result<Option<u64>, Fault> {
        let Some((got, sent_ns)) = self.read(receiver, bytes)? else { return Ok(None) };
        let sender = got.sender as usize;
        let due = MessageId { sender: got.sender, seq: self.ordered[sender] };
        if got.seq < due.seq {
            // The receiver is past the end of the order, so it already has this one.
            return Err(Fault::Duplicate { receiver, got });
        }
        if got.seq > due.seq {
            return Err(Fault::OutOfOrder { receiver, got, due });
        }
        self.ordered[sender] += 1;
        // All but the sender: the receiver takes it at once.
        let left = self.receivers.len() as u32 - 1;
        let mut kept = self.spare.pop().unwrap_or_default();
        kept.clear();
        kept.extend_from_slice(bytes);
        self.order.push_back(Entry { sender: got.sender, seq: got.seq, sent_ns, left, bytes: kept });
        self.pass(receiver, self.base + self.order.len() as u64 - 1);
        if self.held_total > 0 {
            for sender in 0..self.receivers.len() {
                self.place_held(sender)?;
            }
        }
        Ok(Some(sent_ns))
    }

    /// The receiver got a message beyond the end of the order, and its own messages may precede it.
    #[cold]
    #[inline(never)]
    fn hold(&mut self, receiver: usize, bytes: &[u8]) -> Result<Option<u64>, Fault> {
        let Some((got, sent_ns)) = self.read(receiver, bytes)? else { return Ok(None) };
        if got.seq < self.ordered[got.sender as usize] {
            // The receiver has all messages of the order.
            return Err(Fault::Duplicate { receiver, got });
        }
        self.receivers[receiver].held.push_back((got, sent_ns));
        self.held_total += 1;
        Ok(Some(sent_ns))
    }

    /// Checks the held messages of the receiver, as far as the order is fixed now.
    fn place_held(&mut self, receiver: usize) -> Result<(), Fault> {
        while let Some((got, sent_ns)) = self.receivers[receiver].held.front().copied()
            && let Some(place) = self.place(receiver)
        {
            self.compare(receiver, place, got, sent_ns)?;
            self.pass(receiver, place);
            self.receivers[receiver].held.pop_front();
            self.held_total -= 1;
        }
        Ok(())
    }

    /// The receiver got other bytes than those at `place`: a probe, another encoding of the same message, or a fault,
    /// which is named.
    #[cold]
    #[inline(never)]
    fn differs(&mut self, receiver: usize, place: u64, bytes: &[u8]) -> Result<Option<u64>, Fault> {
        let Some((got, sent_ns)) = self.read(receiver, bytes)? else { return Ok(None) };
        self.compare(receiver, place, got, sent_ns)?;
        self.pass(receiver, place);
        Ok(Some(sent_ns))
    }

    /// Fails, with the fault's name, unless the message is the one at `place`.
    fn compare(&self, receiver: usize, place: u64, got: MessageId, sent_ns: u64) -> Result<(), Fault> {
        let index = (place - self.base) as usize;
        let entry = &self.order[index];
        let due = entry.id();
        if got == due {
            if sent_ns == entry.sent_ns {
                return Ok(());
            }
            let text = format!("the time of message {got} is {sent_ns} ns in place of {}", entry.sent_ns);
            return Err(Fault::Damaged { receiver, text });
        }
        let is_later = got.seq >= self.ordered[got.sender as usize]
            || self.order.iter().skip(index).any(|entry| entry.id() == got);
        Err(if is_later { Fault::OutOfOrder { receiver, got, due } } else { Fault::Duplicate { receiver, got } })
    }

    /// Decodes a message and checks it. `None`: a probe.
    fn read(&self, receiver: usize, bytes: &[u8]) -> Result<Option<(MessageId, u64)>, Fault> {
        let message = ChatMessage::read(bytes).ok_or_else(|| damaged(receiver, bytes))?;
        let mark = Mark::read(message.body).ok_or_else(|| damaged(receiver, bytes))?;
        let named = message.name == sender_name(mark.sender).as_bytes();
        if !named || message.body.len() != self.body_bytes {
            return Err(damaged(receiver, bytes));
        }
        let got = MessageId { sender: mark.sender, seq: mark.seq };
        if mark.sender as usize == receiver {
            return Err(Fault::Own { receiver, seq: mark.seq });
        }
        if mark.purpose == Purpose::Probe {
            return Ok(None);
        }
        if self.sent.get(mark.sender as usize).is_none_or(|sent| mark.seq >= *sent) {
            return Err(Fault::NeverSent { receiver, got });
        }
        Ok(Some((got, mark.sent_ns)))
    }
}

impl Entry {
    fn id(&self) -> MessageId {
        MessageId { sender: self.sender, seq: self.seq }
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of sender {}", self.seq, self.sender)
    }
}

/// The fault of a message of an unexpected kind.
pub fn unexpected(receiver: usize, bytes: &[u8]) -> Fault {
    damaged(receiver, bytes)
}

fn damaged(receiver: usize, bytes: &[u8]) -> Fault {
    Fault::Damaged { receiver, text: shown(bytes) }
}

/// The start of received bytes, escaped for a terminal.
pub fn shown(bytes: &[u8]) -> String {
    const SHOWN_BYTES_MAX: usize = 80;
    bytes[..bytes.len().min(SHOWN_BYTES_MAX)].escape_ascii().to_string()
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
