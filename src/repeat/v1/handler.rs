//! The event handler of a client's session over `hubbub.v1`.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::checks::V1;
use super::ledger::fingerprint;
use crate::client::{Event, GapReason, Message};
use crate::names::MessageId;
use crate::repeat::listener::Listener;
use crate::repeat::payload;
use crate::repeat::run::Run;

/// A client, as the handler of its session's events.
pub struct EventHandler {
    run: Arc<Run<V1>>,
    listener: Listener<V1>,
    /// The sender that the client is, if it sends.
    own: Option<u16>,
    last_seq: u64,
}

impl EventHandler {
    pub fn new(listener: Listener<V1>) -> Self {
        let (run, own) = (Arc::clone(&listener.run), listener.run.sender(listener.client));
        Self { run, listener, own, last_seq: 0 }
    }

    pub fn handle(&mut self, event: Event<'_>) -> ControlFlow<()> {
        let run = &*self.run;
        let number = self.listener.client + 1;
        let state = &run.states[self.listener.client];
        let findings = self.listener.findings();
        match event {
            Event::Message(message) => self.take(&message),
            Event::Pause => self.settle(),
            Event::Stored { id, .. } => {
                if let Some(number) = number_of(&id) {
                    findings.acknowledged.insert(number);
                }
            }
            Event::Joined(joined) => findings.verifier.start(joined.head_seq),
            Event::CaughtUp { .. } => self.listener.joined(),
            Event::Gap { gap, .. } => {
                log::error!("client {number}: messages {} to {} are gone", gap.from_seq, gap.to_seq);
                findings.verifier.gap(gap.from_seq, gap.to_seq, gap.reason == GapReason::EpochChanged);
            }
            Event::Disconnected { reason, fault, .. } => {
                if fault {
                    log::error!("client {number}: {reason}");
                } else {
                    log::info!("client {number} lost its connection: {reason}");
                }
                findings.faults += u64::from(fault);
                state.down.store(true, Ordering::SeqCst);
            }
            Event::Reconnected => {
                findings.reconnects += 1;
                state.down.store(false, Ordering::SeqCst);
            }
            Event::Rejected { line, reason } => {
                log::error!("client {number}: not stored: {}: {reason}", line.body.as_str());
                findings.rejected += 1;
                // No client will receive it.
                run.window.give_back();
            }
            Event::Held { reason, pause } => {
                log::info!("client {number}: the server asks to wait {} ms: {reason}", pause.as_millis());
            }
            // No messages, but they take seqs.
            Event::Changed { seq, .. } | Event::Unknown { seq, .. } => {
                findings.verifier.pass(seq);
                self.last_seq = seq;
            }
            Event::State(_)
            | Event::Presence { .. }
            | Event::Retrying { .. }
            | Event::Waiting { .. }
            | Event::Left { .. }
            | Event::NotJoined { .. } => {}
        }
        ControlFlow::Continue(())
    }

    fn take(&mut self, message: &Message<'_>) {
        let run = &*self.run;
        let verifier = &mut self.listener.findings().verifier;
        if message.extras.edited_seq > 0 || message.extras.is_deleted() {
            // Other receivers may have got it with another text.
            verifier.pass(message.seq);
        } else {
            let print = fingerprint(&message.id, message.sender, message.body);
            verifier.place(message.seq, print, &run.checks.ledger);
        }
        self.last_seq = message.seq;
        let Some(payload) = self.listener.decode(message.body) else { return };
        let findings = self.listener.findings();
        let name = run.plan.names.get(usize::from(payload.sender));
        let stated = (payload.kind, payload.name, payload.of);
        let expected = (payload::Kind::Message, message.sender, run.plan.messages);
        if name.is_none_or(|name| name.as_str() != message.sender)
            || stated != expected
            || number_of(&message.id) != Some(payload.number)
        {
            // A sender that does not exist: counted as unknown.
            findings.verifier.take(u16::MAX, 0);
            return;
        }
        if message.own && self.own == Some(payload.sender) {
            findings.acknowledged.insert(payload.number);
        }
        let (new, further) = findings.verifier.take(payload.sender, payload.number);
        self.listener.record(payload.sent_ns, new, further);
    }

    /// Publishes the progress of the response.
    fn settle(&mut self) {
        self.run.reached(self.listener.client, self.last_seq);
        self.listener.settle();
    }
}

/// The number of a message with that id, if it belongs to a run.
fn number_of(id: &MessageId) -> Option<u32> {
    id.as_bytes()[12..].try_into().ok().map(u32::from_be_bytes)
}
