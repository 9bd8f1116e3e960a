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
use super::contract::RunContract;
use super::http::{self, HttpInlet, HttpSession, HttpSettings};
use super::listener::Listener;
use super::numbers::Counts;
use super::payload;
use super::plan::Plan;
use super::progress::Progress;
use super::protocol::Protocol;
use super::report::V1Report;
use super::run::Run;
use crate::client::{
    BYTES_MAX, CALL_TIMEOUT, Caller, Connector, Inlet, LINES_MAX, Line, PagePlace, Patience, Session, SessionError,
    Settings, StartAt,
};
use crate::names::Kind;

/// A client's session: over gRPC, or over HTTP.
pub enum RunSession {
    Grpc(Session),
    Http(HttpSession),
}

/// The input of a session.
#[derive(Clone)]
pub enum RunInlet {
    Grpc(Inlet),
    Http(HttpInlet),
}

impl Protocol for V1 {
    type Session = RunSession;
    type Inlet = RunInlet;

    /// The first client must find its server at once; the others know that it exists, so it may be restarting.
    fn connect(listener: Listener<Self>, connector: Connector) -> Result<RunSession, SessionError> {
        let client = listener.client;
        if listener.run.plan.contract == RunContract::Http {
            return connect_over_http(listener);
        }
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
        Session::start(connector, server, settings, move |event| client.handle(event)).map(RunSession::Grpc)
    }

    fn inlet(session: &RunSession) -> RunInlet {
        match session {
            RunSession::Grpc(session) => RunInlet::Grpc(session.inlet()),
            RunSession::Http(session) => RunInlet::Http(session.inlet()),
        }
    }

    fn post(run: &Run<Self>, inlet: &RunInlet, sender: u16, number: u32) -> Result<(), SessionError> {
        let body = run.body(payload::Kind::Message, sender, number);
        let id = run.message_id(sender, number);
        match inlet {
            RunInlet::Grpc(inlet) => inlet.post_as(&run.plan.room, id, body, Kind::Text),
            RunInlet::Http(inlet) => inlet.post(Line::new(id, body, Kind::Text), run.plan.in_flight as usize),
        }
    }

    /// Posts nothing: the server reports the end of the room.
    fn reach_end(run: &Run<Self>, progress: &Progress) {
        match head_seq(&run.plan) {
            Ok(head_seq) => {
                run.end_at(head_seq);
                run.watch(&run.checks.incomplete, progress);
            }
            Err(error) => log::error!("can't read the end of the room: {error}"),
        }
    }

    fn is_complete(run: &Run<Self>, _watched: bool) -> bool {
        run.checks.incomplete.load(Ordering::SeqCst) == 0
    }

    fn finish(inlet: &RunInlet) {
        match inlet {
            RunInlet::Grpc(inlet) => inlet.finish(),
            RunInlet::Http(inlet) => inlet.finish(),
        }
    }

    fn stop(inlet: &RunInlet) {
        match inlet {
            RunInlet::Grpc(inlet) => inlet.stop(),
            RunInlet::Http(inlet) => inlet.stop(),
        }
    }

    fn wait(session: RunSession) -> Result<(), SessionError> {
        match session {
            RunSession::Grpc(session) => session.wait(),
            RunSession::Http(session) => session.wait(),
        }
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

fn connect_over_http(listener: Listener<V1>) -> Result<RunSession, SessionError> {
    let (client, plan) = (listener.client, &listener.run.plan);
    let settings = HttpSettings {
        server: plan.server.clone(),
        credentials: plan.credentials()?,
        room: plan.room.clone(),
        name: plan.names[client].clone(),
        connect_within: if client > 0 { plan.reconnect_timeout } else { Duration::ZERO },
        outage_max: plan.reconnect_timeout,
        posts: listener.run.sender(client).is_some(),
    };
    let mut client = EventHandler::new(listener);
    HttpSession::start(settings, move |event| client.handle(event)).map(RunSession::Http)
}

/// The seq of the newest event of the room.
fn head_seq(plan: &Plan) -> Result<u64, String> {
    if plan.contract == RunContract::Http {
        let credentials = plan.credentials().map_err(|error| error.to_string())?;
        return http::newest_seq(&plan.server, &credentials, &plan.room).map_err(|error| error.to_string());
    }
    let page = Caller::connect(plan.connector(1), plan.server.clone(), CALL_TIMEOUT)
        .and_then(|mut caller| caller.messages(&plan.room, PagePlace::Newest, 1));
    page.map(|page| page.head_seq).map_err(|error| error.to_string())
}
