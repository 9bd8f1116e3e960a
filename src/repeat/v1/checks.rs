//! The shared state of the checks over `hubbub.v1`.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use uuid::Builder;

use super::acknowledged::Acknowledged;
use super::ledger::Ledger;
use super::verifier::Verifier;
use crate::names::MessageId;
use crate::repeat::plan::Plan;
use crate::repeat::run::{Checks, Run};

/// The contract, and the checks' state that all clients share.
pub struct V1 {
    pub ledger: Ledger,
    ends: Vec<RoomEnd>,
    /// How many clients have not reached the room's end.
    pub incomplete: AtomicUsize,
    /// The last seq of the room, once all is sent and the server has reported it; before that, the maximum value.
    end_seq: AtomicU64,
}

/// The position of a client in the room.
#[derive(Default)]
struct RoomEnd {
    /// The seq of the last received message.
    last_seq: AtomicU64,
    /// All messages that the room had at the end of the run have arrived, or no more will.
    complete: AtomicBool,
}

/// The findings of a client.
pub struct Findings {
    pub verifier: Verifier,
    pub acknowledged: Acknowledged,
    pub reconnects: u64,
    pub faults: u64,
    pub rejected: u64,
}

impl Checks for V1 {
    const ECHOES: bool = true;

    type Findings = Findings;

    fn new(plan: &Plan) -> Self {
        let ends = (0..plan.clients).map(|_| RoomEnd::default()).collect();
        let (incomplete, end_seq) = (AtomicUsize::new(plan.clients), AtomicU64::new(u64::MAX));
        Self { ledger: Ledger::default(), ends, incomplete, end_seq }
    }

    fn clients(plan: &Plan) -> usize {
        plan.clients
    }

    fn findings(run: &Run<Self>, client: usize) -> Findings {
        let messages = run.plan.messages;
        Findings {
            verifier: Verifier::new(run.plan.senders, messages),
            acknowledged: Acknowledged::new(if run.sender(client).is_some() { messages } else { 0 }),
            reconnects: 0,
            faults: 0,
            rejected: 0,
        }
    }

    fn delivered(findings: &Findings) -> u64 {
        findings.verifier.delivered()
    }

    fn is_gone(run: &Run<Self>, client: usize) {
        run.mark(&run.checks.ends[client].complete, &run.checks.incomplete);
    }
}

impl Run<V1> {
    /// The room ends with this seq: records which clients have reached it already.
    pub fn end_at(&self, seq: u64) {
        self.checks.end_seq.store(seq, Ordering::SeqCst);
        for end in &self.checks.ends {
            if end.last_seq.load(Ordering::SeqCst) >= seq {
                self.mark(&end.complete, &self.checks.incomplete);
            }
        }
    }

    /// Records the position of a client in the room.
    pub fn reached(&self, client: usize, seq: u64) {
        let end = &self.checks.ends[client];
        // The pair of this store and load with those in `end_at` must be ordered the same for both: hence SeqCst.
        end.last_seq.store(seq, Ordering::SeqCst);
        if seq >= self.checks.end_seq.load(Ordering::SeqCst) {
            self.mark(&end.complete, &self.checks.incomplete);
        }
    }

    /// The id of a sender's message: a UUID of version 7, whose last bytes are the number, so that an acknowledgement
    /// can be assigned without the message. Senders may have the same name, so it has the sender too.
    pub fn message_id(&self, sender: u16, number: u32) -> MessageId {
        let time_ms = self.start_ms + self.now_ns() / 1_000_000;
        let mut rest = [0; 10];
        rest[..4].copy_from_slice(&self.id.0.to_be_bytes()[4..]);
        rest[4..6].copy_from_slice(&sender.to_be_bytes());
        rest[6..].copy_from_slice(&number.to_be_bytes());
        MessageId::from_bytes(Builder::from_unix_timestamp_millis(time_ms, &rest).into_uuid().into_bytes())
    }
}
