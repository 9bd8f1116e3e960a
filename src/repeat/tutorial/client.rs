//! One client of the pool: its receive thread, and its send thread if it sends.

use std::sync::atomic::{AtomicBool, Ordering};

use super::shared::Run;
use super::verify::Verifier;
use crate::client::StreamError;
use crate::client::tutorial::{Incoming, Receiver, Sender};
use crate::names::Body;
use crate::repeat::pace::pace;
use crate::repeat::payload::{Kind, Payload};
use crate::repeat::report::{Latencies, latencies};

/// The result of a receive thread.
pub struct Received {
    pub verifier: Verifier,
    pub latencies: Latencies,
    pub foreign: u64,
    pub failure: Option<StreamError>,
}

/// The receive thread of a client. It ends with the conversation.
pub fn receive(run: &Run, client: usize, mut receiver: Receiver) -> Received {
    let verifier = run.verifier(client);
    let mut received = Received { verifier, latencies: latencies(), foreign: 0, failure: None };
    let expected = run.expected(client);
    loop {
        match receiver.receive() {
            Ok(Some(message)) => take(run, client, &mut received, &message),
            end => {
                received.failure = failure(run, end);
                break;
            }
        }
        if received.verifier.delivered() >= expected {
            run.done(&run.tallies[client].done);
        }
    }
    if let Some(failure) = &received.failure {
        log::error!("client {} failed: {failure}", client + 1);
    }
    run.window.leave(client);
    run.probed(&run.tallies[client].probed);
    run.done(&run.tallies[client].done);
    received
}

/// Whether the end of a stream is a fault: not once the run is over.
fn failure(run: &Run, end: Result<Option<Incoming>, StreamError>) -> Option<StreamError> {
    if run.is_finished() {
        return None;
    }
    Some(end.err().unwrap_or_else(|| StreamError::Lost("the server ended the conversation".to_owned())))
}

fn take(run: &Run, client: usize, received: &mut Received, message: &Incoming) {
    let payload = match Payload::decode(&message.body) {
        Some(payload) if payload.run == run.id => payload,
        _ => {
            received.foreign += 1;
            return;
        }
    };
    let tally = &run.tallies[client];
    match payload.kind {
        // A client's own probe would not show that it has joined.
        Kind::Probe if Some(payload.sender) == run.sender(client) => {}
        Kind::Probe => run.probed(&tally.probed),
        Kind::Message => {
            let now_ns = run.now_ns();
            let before = received.verifier.delivered();
            let further = received.verifier.deliver(payload.sender, payload.number, &run.reference);
            if received.verifier.delivered() > before {
                received.latencies.saturating_record(now_ns.saturating_sub(payload.sent_ns) / 1000);
                tally.last_ns.store(now_ns, Ordering::Relaxed);
                tally.delivered.fetch_add(1, Ordering::Relaxed);
            }
            if further > 0 {
                run.window.add(client, further);
            }
        }
    }
}

/// The send thread of a client. It ends when all is sent, when sending fails, or with the run; and gives the sender
/// back, because its stream continues.
pub fn send(run: &Run, client: usize, index: u16, mut sender: Sender) -> Sender {
    let name = &run.plan.names[usize::from(index)];
    for number in 1..=run.plan.messages {
        if !pace(&run.plan, run.sending_since(), index, number, || run.is_over()) || !run.window.enter() {
            break;
        }
        let body = body(run, Kind::Message, index, number);
        if let Err(e) = sender.send_on(name, &body) {
            run.window.give_back();
            if !run.is_over() {
                log::error!("{name} could not send #{number}: {e}");
            }
            break;
        }
        run.sent[usize::from(index)].store(number, Ordering::Relaxed);
        run.window.add(client, 1);
        log::info!("sent {name} #{number}");
    }
    sender
}

/// The body of a message that is sent now.
pub fn body(run: &Run, kind: Kind, sender: u16, number: u32) -> Body {
    let (name, of) = (run.plan.names[usize::from(sender)].as_str(), run.plan.messages);
    let payload = Payload { kind, name, of, run: run.id, sender, number, sent_ns: run.now_ns() };
    // Invariant: the plan's size is one that a body may have.
    Body::new(payload.encode(run.plan.body_bytes)).expect("a payload is a valid body")
}

impl Run {
    /// Records that a client has joined, once.
    fn probed(&self, probed: &AtomicBool) {
        if !probed.swap(true, Ordering::SeqCst) {
            self.unprobed.fetch_sub(1, Ordering::SeqCst);
            self.watcher.unpark();
        }
    }

    /// Records that a client has all messages, or that no more will arrive, once.
    fn done(&self, done: &AtomicBool) {
        if !done.load(Ordering::Relaxed) && !done.swap(true, Ordering::SeqCst) {
            self.undone.fetch_sub(1, Ordering::SeqCst);
            self.watcher.unpark();
        }
    }
}
