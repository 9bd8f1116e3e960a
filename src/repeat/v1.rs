//! A run over `hubbub.v1`: it also verifies across lost connections, and that no acknowledged message is lost.

mod ledger;
mod acknowledged;
mod verifier;
mod checks;
mod handler;

use std::sync::atomic::Ordering;
use std::time::Duration;

use self::acknowledged::Acknowledged;
use self::checks::Findings;
pub use self::checks::V1;
use self::handler::EventHandler;
use self::verifier::{Verdict, Verifier, judge};
use super::listener::Listener;
use super::numbers::Counts;
use super::payload;
use super::plan::Plan;
use super::progress::Progress;
use super::protocol::Protocol;
use super::report::V1Report;
use super::run::Run;
use crate::client::{
    BYTES_MAX, CALL_TIMEOUT, Caller, Connector, Inlet, LINES_MAX, PagePlace, Patience, Session, SessionError, Settings,
    StartAt,
};
use crate::names::Kind;

impl Protocol for V1 {
    type Session = Session;
    type Inlet = Inlet;

    /// The first client must find its server at once; the others know that it exists, so it may be restarting.
    fn connect(listener: Listener<Self>, connector: Connector) -> Result<Session, SessionError> {
        let client = listener.client;
        let Plan { server, room, names, reconnect_timeout, in_flight, body_bytes, idle_timeout, .. } =
            &listener.run.plan;
        let lines_max = (*in_flight as usize).max(LINES_MAX);
        let settings = Settings {
            patience: Patience {
                connect_within: if client > 0 { *reconnect_timeout } else { Duration::ZERO },
                outage_max: Some(*reconnect_timeout),
                finish_timeout: *idle_timeout,
                ..Patience::default()
            },
            lines_max,
            bytes_max: BYTES_MAX.max(lines_max.saturating_mul(*body_bytes)),
            ..Settings::new(names[client].clone(), room.clone(), StartAt::Head)
        };
        let server = server.clone();
        let mut client = EventHandler::new(listener);
        Session::start(connector, server, settings, move |event| client.handle(event))
    }

    fn inlet(session: &Session) -> Inlet {
        session.inlet()
    }

    fn post(run: &Run<Self>, inlet: &Inlet, sender: u16, number: u32) -> Result<(), SessionError> {
        let body = run.body(payload::Kind::Message, sender, number);
        inlet.post_as(&run.plan.room, run.message_id(sender, number), body, Kind::Text)
    }

    /// Posts nothing: the server reports the end of the room.
    fn reach_end(run: &Run<Self>, progress: &Progress) {
        let page = Caller::connect(run.plan.connector(1), run.plan.server.clone(), CALL_TIMEOUT)
            .and_then(|mut caller| caller.messages(&run.plan.room, PagePlace::Newest, 1));
        match page {
            Ok(page) => {
                run.end_at(page.head_seq);
                run.watch(&run.checks.incomplete, progress);
            }
            Err(error) => log::error!("can't read the end of the room: {error}"),
        }
    }

    fn is_complete(run: &Run<Self>, _watched: bool) -> bool {
        run.checks.incomplete.load(Ordering::SeqCst) == 0
    }

    fn finish(inlet: &Inlet) {
        inlet.finish();
    }

    fn stop(inlet: &Inlet) {
        inlet.stop();
    }

    fn wait(session: Session) -> Result<(), SessionError> {
        session.wait()
    }

    fn judge(run: &Run<Self>, findings: Vec<(usize, Findings)>) -> (Counts, Option<V1Report>) {
        let mut report = V1Report::default();
        let (mut verifiers, mut acknowledged): (Vec<Verifier>, Vec<Acknowledged>) = (vec![], vec![]);
        for (client, found) in findings {
            report.reconnects += found.reconnects;
            report.faults += found.faults;
            report.rejected += found.rejected;
            verifiers.push(found.verifier);
            if client < usize::from(run.plan.senders) {
                acknowledged.resize_with(client, || Acknowledged::new(run.plan.messages));
                acknowledged.push(found.acknowledged);
            }
        }
        acknowledged.resize_with(run.plan.senders.into(), || Acknowledged::new(run.plan.messages));
        let Verdict { counts, room, acknowledged, acknowledged_lost } = judge(&verifiers, &acknowledged);
        (counts, Some(V1Report { acknowledged, acknowledged_lost, room, ..report }))
    }
}
