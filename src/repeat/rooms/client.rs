//! One client of the pool: the handler of its session's events, and its send thread if it sends.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::Sender;

use super::shared::Run;
use super::verify::{Acknowledged, Verifier, fingerprint};
use crate::client::{Event, GapReason, Inlet, Message};
use crate::names::{Body, Kind, MessageId};
use crate::repeat::pace::pace;
use crate::repeat::payload::{self, Payload};
use crate::repeat::report::{Latencies, latencies};

/// The results of a client's session.
pub struct Received {
    pub client: usize,
    pub verifier: Verifier,
    pub acknowledged: Acknowledged,
    pub latencies: Latencies,
    pub foreign: u64,
    pub reconnects: u64,
    pub faults: u64,
    pub rejected: u64,
}

/// A session's event handler. When it is dropped, with the session's receive thread, the client is done.
pub struct Listener {
    run: Arc<Run>,
    client: usize,
    /// The sender that the client is, if it sends.
    own: Option<u16>,
    /// There until the end.
    received: Option<Received>,
    results: Sender<Received>,
    /// When the current response arrived; read once for each response.
    now_ns: Option<u64>,
    /// By how many messages this response advanced the client.
    further: u32,
    last_seq: u64,
}

impl Listener {
    pub fn new(run: Arc<Run>, client: usize, results: Sender<Received>) -> Self {
        let own = run.sender(client);
        let messages = run.plan.messages;
        let received = Received {
            client,
            verifier: Verifier::new(run.plan.senders, messages),
            acknowledged: Acknowledged::new(if own.is_some() { messages } else { 0 }),
            latencies: latencies(),
            foreign: 0,
            reconnects: 0,
            faults: 0,
            rejected: 0,
        };
        Self { run, client, own, received: Some(received), results, now_ns: None, further: 0, last_seq: 0 }
    }

    pub fn handle(&mut self, event: Event<'_>) -> ControlFlow<()> {
        let number = self.client + 1;
        let tally = &self.run.tallies[self.client];
        // Invariant: it is taken only when the listener is dropped.
        let received = self.received.as_mut().expect("a listener listens until it is dropped");
        match event {
            Event::Message(message) => self.take(&message),
            Event::Pause => self.settle(),
            Event::Stored { id, .. } => {
                if let Some(number) = number_of(&id) {
                    received.acknowledged.note(number);
                }
            }
            Event::Joined { head_seq, .. } => received.verifier.start(head_seq),
            Event::CaughtUp { .. } => self.run.note(&tally.joined, &self.run.unjoined),
            Event::Gap { gap, .. } => {
                log::error!("client {number}: messages {} to {} are gone", gap.from_seq, gap.to_seq);
                received.verifier.gap(gap.from_seq, gap.to_seq, gap.reason == GapReason::EpochChanged);
            }
            Event::Disconnected { reason, fault, .. } => {
                if fault {
                    log::error!("client {number}: {reason}");
                } else {
                    log::info!("client {number} lost its connection: {reason}");
                }
                received.faults += u64::from(fault);
                tally.down.store(true, Ordering::SeqCst);
            }
            Event::Reconnected => {
                received.reconnects += 1;
                tally.down.store(false, Ordering::SeqCst);
            }
            Event::Rejected { line, reason } => {
                log::error!("client {number}: not stored: {}: {reason}", line.body.as_str());
                received.rejected += 1;
                // No client will get it.
                self.run.window.give_back();
            }
            Event::Held { reason, pause } => {
                log::info!("client {number}: not stored yet, sending again in {} ms: {reason}", pause.as_millis());
            }
            // The same for every client.
            Event::Passed { seq, .. } => received.verifier.place(seq, 0, &self.run.ledger),
            Event::Presence { .. }
            | Event::Retrying { .. }
            | Event::Waiting { .. }
            | Event::Left { .. }
            | Event::NotJoined { .. } => {}
        }
        ControlFlow::Continue(())
    }

    fn take(&mut self, message: &Message<'_>) {
        let run = &self.run;
        let received = self.received.as_mut().expect("a listener listens until it is dropped");
        let print = fingerprint(&message.id, message.sender, message.body);
        received.verifier.place(message.seq, print, &run.ledger);
        self.last_seq = message.seq;
        let payload = match Payload::decode(message.body) {
            Some(payload) if payload.run == run.id => payload,
            _ => {
                received.foreign += 1;
                return;
            }
        };
        let name = run.plan.names.get(usize::from(payload.sender));
        let told = (payload.kind, payload.name, payload.of);
        let expected = (payload::Kind::Message, message.sender, run.plan.messages);
        if name.is_none_or(|name| name.as_str() != message.sender)
            || told != expected
            || number_of(&message.id) != Some(payload.number)
        {
            // Unknown numbers: counted as such.
            received.verifier.take(u16::MAX, 0);
            return;
        }
        if message.own && self.own == Some(payload.sender) {
            received.acknowledged.note(payload.number);
        }
        let (new, further) = received.verifier.take(payload.sender, payload.number);
        if new {
            let now_ns = *self.now_ns.get_or_insert_with(|| run.now_ns());
            received.latencies.saturating_record(now_ns.saturating_sub(payload.sent_ns) / 1000);
        }
        self.further += further;
    }

    /// Publishes the progress of the response.
    fn settle(&mut self) {
        self.run.tallies[self.client].reached(self.last_seq, &self.run);
        let Some(now_ns) = self.now_ns.take() else { return };
        let received = self.received.as_ref().expect("a listener listens until it is dropped");
        let delivered = received.verifier.delivered();
        let tally = &self.run.tallies[self.client];
        tally.last_ns.store(now_ns, Ordering::Relaxed);
        tally.delivered.store(delivered, Ordering::Relaxed);
        let further = std::mem::take(&mut self.further);
        if further > 0 {
            self.run.window.add(self.client, further);
        }
        if delivered >= self.run.expected() {
            self.run.note(&tally.done, &self.run.undone);
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.settle();
        let run = &self.run;
        let tally = &run.tallies[self.client];
        tally.down.store(false, Ordering::SeqCst);
        run.window.leave(self.client);
        if let Some(received) = self.received.take() {
            // The receiver of the result may be gone.
            let _ = self.results.send(received);
        }
        // A client that is gone is not waited for.
        run.gone.fetch_add(1, Ordering::SeqCst);
        run.note(&tally.joined, &run.unjoined);
        run.note(&tally.done, &run.undone);
        run.note(&tally.complete, &run.incomplete);
    }
}

/// The send thread of a client. It ends when all messages are posted, with the session, or with the run.
pub fn send(run: &Run, index: u16, inlet: &Inlet) {
    let name = &run.plan.names[usize::from(index)];
    for number in 1..=run.plan.messages {
        if !pace(&run.plan, run.sending_since(), index, number, || run.is_over()) || !run.window.enter() {
            break;
        }
        if let Err(e) = inlet.post_as(&run.plan.room, run.message_id(number), run.body(index, number), Kind::Text) {
            run.window.give_back();
            if !run.is_over() {
                log::error!("{name} could not send #{number}: {e}");
            }
            break;
        }
        run.sent[usize::from(index)].store(number, Ordering::Relaxed);
        log::info!("sent {name} #{number}");
    }
}

impl Run {
    /// The body of a message that is sent now.
    fn body(&self, sender: u16, number: u32) -> Body {
        let kind = payload::Kind::Message;
        let (name, of) = (self.plan.names[usize::from(sender)].as_str(), self.plan.messages);
        let payload = Payload { kind, name, of, run: self.id, sender, number, sent_ns: self.now_ns() };
        // Invariant: the plan's size is one that a body may have.
        Body::new(payload.encode(self.plan.body_bytes)).expect("a payload is a valid body")
    }

    /// The id of a sender's message: a UUID of version 7, whose last bytes are the number, so that an acknowledgement
    /// can be assigned without the message.
    pub fn message_id(&self, number: u32) -> MessageId {
        let mut bytes = [0; 16];
        let time_ms = self.start_ms + self.now_ns() / 1_000_000;
        bytes[..6].copy_from_slice(&time_ms.to_be_bytes()[2..]);
        bytes[6..12].copy_from_slice(&self.id.0.to_be_bytes()[2..]);
        bytes[6] = 0x70 | (bytes[6] & 0x0f);
        bytes[8] = 0x80 | (bytes[8] & 0x3f);
        bytes[12..].copy_from_slice(&number.to_be_bytes());
        MessageId::from_bytes(bytes)
    }
}

/// The number of a message with that id, if it belongs to a run.
fn number_of(id: &MessageId) -> Option<u32> {
    id.as_bytes()[12..].try_into().ok().map(u32::from_be_bytes)
}
