//! A run over the tutorial's contract, which neither acknowledges nor resumes: a client that loses its connection
//! fails.

mod verifier;

use std::ops::ControlFlow;
use std::time::Duration;

use self::verifier::{Reference, Verifier};
use super::listener::Listener;
use super::numbers::Counts;
use super::payload::Kind;
use super::plan::Plan;
use super::protocol::Protocol;
use super::report::V1Report;
use super::run::{Checks, Run};
use crate::client::tutorial::{Event, Inlet, Session};
use crate::client::{Connector, LINES_MAX, Patience, Policy, SessionError};

/// How long the server may take to end the streams. A server that does not support that is not at fault.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// The contract, and the order in which the first client that only listens receives the messages.
pub struct Tutorial(Reference);

impl Checks for Tutorial {
    const ECHOES: bool = false;

    type Findings = Verifier;

    fn new(plan: &Plan) -> Self {
        if Self::clients(plan) > plan.clients {
            log::info!("all clients send: one more, that only listens, shows the order");
        }
        Self(Reference::new(plan.senders, plan.messages))
    }

    fn clients(plan: &Plan) -> usize {
        plan.clients + usize::from(plan.clients == usize::from(plan.senders))
    }

    fn findings(run: &Run<Self>, client: usize) -> Verifier {
        let Plan { senders, messages, in_flight, .. } = run.plan;
        Verifier::new(run.sender(client), senders, messages, client == usize::from(senders), in_flight as usize)
    }

    fn delivered(verifier: &Verifier) -> u64 {
        verifier.delivered()
    }
}

impl Protocol for Tutorial {
    type Session = Session;
    type Inlet = Inlet;

    fn connect(mut listener: Listener<Self>, connector: Connector) -> Result<Session, SessionError> {
        let Plan { server, in_flight, .. } = &listener.run.plan;
        let (server, lines_max) = (server.clone(), (*in_flight as usize).max(LINES_MAX));
        let patience = Patience { policy: Policy::Fail, finish_timeout: END_TIMEOUT, ..Patience::default() };
        Session::start(connector, server, patience, lines_max, move |event| {
            if let Event::Message { body, .. } = event {
                listener.take(body);
            }
            ControlFlow::Continue(())
        })
    }

    fn inlet(session: &Session) -> Inlet {
        session.inlet()
    }

    /// Sends probes. A client has joined when it has received one from another client.
    ///
    /// The contract offers no other way. A server sends nothing when a client joins: the C core even holds back the
    /// headers of a response until the first message. Without probes, a message sent to a client that has not joined
    /// yet would count as lost, or a lost one would have to be excused. Probes are not counted, neither as sent nor as
    /// delivered.
    fn help_to_join(run: &Run<Self>, inlets: &[Inlet]) {
        // One client's probe reaches all others; the first one needs another's, unless it receives nothing anyway.
        let probing = if run.expected(0) > 0 { 2 } else { 1 };
        for (index, inlet) in (0..probing).zip(inlets) {
            // A session that has ended reports its error itself.
            let _ = inlet.send(run.plan.names[usize::from(index)].clone(), run.body(Kind::Probe, index, 1));
        }
    }

    fn post(run: &Run<Self>, inlet: &Inlet, sender: u16, number: u32) -> Result<(), SessionError> {
        inlet.send(run.plan.names[usize::from(sender)].clone(), run.body(Kind::Message, sender, number))
    }

    /// A complete run ends the streams cleanly, so that late duplicates still arrive.
    fn is_complete(_run: &Run<Self>, watched: bool) -> bool {
        watched
    }

    fn finish(inlet: &Inlet) {
        inlet.finish();
    }

    fn stop(inlet: &Inlet) {
        inlet.stop();
    }

    fn wait(session: Session) -> Result<(), SessionError> {
        match session.wait() {
            // After the half-close, the end of a stream is not a failure.
            Err(SessionError::Unconfirmed(_)) => Ok(()),
            outcome => outcome,
        }
    }

    fn judge(run: &Run<Self>, findings: Vec<(usize, Verifier)>) -> (Counts, Option<V1Report>) {
        let sent: Vec<u32> = run.sent.iter().map(|sent| sent.load(std::sync::atomic::Ordering::SeqCst)).collect();
        let mut all = Counts::default();
        for (_, verifier) in findings {
            all += verifier.finish(&sent, &run.checks.0);
        }
        (all, None)
    }
}

impl Listener<Tutorial> {
    fn take(&mut self, body: &str) {
        let Some(payload) = self.decode(body) else { return };
        match payload.kind {
            // A client's own probe would not show that it has joined.
            Kind::Probe if Some(payload.sender) == self.run.sender(self.client) => {}
            Kind::Probe => self.joined(),
            Kind::Message => {
                let run = std::sync::Arc::clone(&self.run);
                let verifier = self.findings();
                let before = verifier.delivered();
                let further = verifier.deliver(payload.sender, payload.number, &run.checks.0);
                let new = verifier.delivered() > before;
                self.record(payload.sent_ns, new, further);
                self.settle();
            }
        }
    }
}
