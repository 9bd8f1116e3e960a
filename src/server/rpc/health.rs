//! `grpc.health.v1.Health`: whether the server, and each of its services, serves. No login is needed.
//!
//! All services have the state of the server: they need the same log.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::sink::Sink as _;
use grpcio::{RpcContext, RpcStatus, ServerStreamingSink, Service, ServiceBuilder, UnarySink, WriteFlags};
use protobuf::Message as _;

use super::side_calls::{SideCall, SideCalls};
use super::status;
use super::stream::LibrarySink as _;
use crate::limits::{
    CLOSE_TIMEOUT, HEALTH_CALLS_MAX, HEALTH_CALLS_PER_PEER_MAX, RESPONSE_TIMEOUT, WATCHES_MAX, WATCHES_PER_PEER_MAX,
};
use crate::server::calls::error::Code;
use crate::server::delivery::close::CloseReason;
use crate::server::health::{Health, HealthState};
use crate::server::hub::Hub;
use crate::server::refusals::Limit;
use crate::wire::health::health_check_response::ServingStatus;
use crate::wire::health::{HealthCheckRequest, HealthCheckResponse, HealthListResponse};
use crate::wire::{self, Frame};

/// The name is not repeated: it may be anything.
const UNKNOWN_SERVICE: &str =
    "this server has no service of that name: leave it empty for the whole server, or call List";

/// What the handlers share.
#[derive(Clone)]
pub struct HealthService {
    hub: Arc<Hub>,
    /// The full names of the services.
    services: Arc<BTreeSet<String>>,
    checks: Arc<SideCalls>,
    watches: Arc<SideCalls>,
}

/// What a stream that watches does next.
enum Step {
    Say(ServingStatus),
    End,
    /// The client is gone.
    Gone,
}

impl HealthService {
    /// `services` has the full names of all services.
    pub fn new(hub: &Arc<Hub>, health: &Arc<HealthState>, services: impl IntoIterator<Item = String>) -> Self {
        let calls = |peer_max, all_max| SideCalls::new(peer_max, all_max, health, hub.deadlines());
        Self {
            hub: Arc::clone(hub),
            services: Arc::new(services.into_iter().collect()),
            checks: calls(HEALTH_CALLS_PER_PEER_MAX, HEALTH_CALLS_MAX),
            watches: calls(WATCHES_PER_PEER_MAX, WATCHES_MAX),
        }
    }

    /// Its calls in progress.
    pub fn calls(&self) -> [Arc<SideCalls>; 2] {
        [Arc::clone(&self.checks), Arc::clone(&self.watches)]
    }

    /// The service.
    pub fn build(&self) -> Service {
        let (check, list, watch) = (self.clone(), self.clone(), self.clone());
        ServiceBuilder::new()
            .add_unary_handler(&wire::HEALTH_CHECK, move |context, request, sink| {
                check.respond(&context, sink, check.check(&request));
            })
            .add_unary_handler(&wire::HEALTH_LIST, move |context, _, sink| {
                list.respond(&context, sink, Ok(list.list()));
            })
            .add_server_streaming_handler(&wire::HEALTH_WATCH_SERVER, move |context, request, sink| {
                watch.watch(&context, &request, sink);
            })
            .build()
    }

    fn knows(&self, service: &str) -> bool {
        service.is_empty() || self.services.contains(service)
    }

    fn check(&self, request: &HealthCheckRequest) -> Result<HealthCheckResponse, RpcStatus> {
        match self.knows(&request.service) {
            true => Ok(response(serving_status(&self.checks.health()))),
            false => Err(status::of(Code::NotFound, UNKNOWN_SERVICE)),
        }
    }

    fn list(&self) -> HealthListResponse {
        let now = response(serving_status(&self.checks.health()));
        let names = self.services.iter().cloned().chain([String::new()]);
        HealthListResponse { statuses: names.map(|name| (name, now.clone())).collect(), ..Default::default() }
    }

    fn respond<P: Send + 'static>(&self, context: &RpcContext<'_>, sink: UnarySink<P>, result: Result<P, RpcStatus>) {
        let call = self.begin(&self.checks, context);
        self.checks.deadlines().send(Instant::now() + RESPONSE_TIMEOUT, async move {
            // The outcome is not needed: either the client has the response, or it does not want it.
            let _ = match (&call, result) {
                (Ok(_), Ok(response)) => sink.success(response).await,
                (Ok(_), Err(status)) => sink.fail(status).await,
                (Err(refusal), _) => sink.fail(refusal.clone()).await,
            };
            drop(call);
        });
    }

    fn watch(&self, context: &RpcContext<'_>, request: &HealthCheckRequest, sink: ServerStreamingSink<Frame>) {
        let is_known = self.knows(&request.service);
        match self.begin(&self.watches, context) {
            Ok(call) => context.spawn(watch(call, is_known, sink)),
            Err(refusal) => self.watches.deadlines().send(Instant::now() + CLOSE_TIMEOUT, sink.end(refusal)),
        }
    }

    fn begin(&self, calls: &Arc<SideCalls>, context: &RpcContext<'_>) -> Result<SideCall, RpcStatus> {
        let peer = self.hub.peer(context.peer());
        calls.begin(peer.clone()).map_err(|reason| {
            self.hub.refuse(Limit::Calls, &peer);
            status::of(Code::ResourceExhausted, reason)
        })
    }
}

/// Sends each state that the client has not been told, with one write in flight: what changes meanwhile is seen
/// afterwards, and only the last of it is sent.
async fn watch(call: SideCall, is_known: bool, mut sink: ServerStreamingSink<Frame>) {
    let mut said = None;
    loop {
        match poll_fn(|context| next(&call, is_known, said, &mut sink, context)).await {
            Step::Say(status) => {
                let frame = Frame::new(encode(status));
                if Pin::new(&mut sink).start_send((frame, WriteFlags::default())).is_err() {
                    return;
                }
                said = Some(status);
            }
            Step::End => break,
            Step::Gone => return,
        }
    }
    let deadlines = call.calls().deadlines().clone();
    let until = Instant::now() + CLOSE_TIMEOUT;
    deadlines.send(until, async move {
        sink.end(status::of_stream(&CloseReason::Draining { until })).await;
        drop(call);
    });
}

fn next(
    call: &SideCall,
    is_known: bool,
    said: Option<ServingStatus>,
    sink: &mut ServerStreamingSink<Frame>,
    context: &mut Context<'_>,
) -> Poll<Step> {
    call.watch(context);
    match Pin::new(sink).poll_ready(context) {
        Poll::Ready(Ok(())) => {}
        Poll::Ready(Err(_)) => return Poll::Ready(Step::Gone),
        Poll::Pending => return Poll::Pending,
    }
    let health = call.calls().health();
    let status = if is_known { serving_status(&health) } else { ServingStatus::SERVICE_UNKNOWN };
    match health {
        _ if said != Some(status) => Poll::Ready(Step::Say(status)),
        Health::Draining => Poll::Ready(Step::End),
        _ => Poll::Pending,
    }
}

fn serving_status(health: &Health) -> ServingStatus {
    if health.is_serving() { ServingStatus::SERVING } else { ServingStatus::NOT_SERVING }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into(), ..Default::default() }
}

fn encode(status: ServingStatus) -> Vec<u8> {
    // Invariant: writing a few bytes into a vector can't fail.
    response(status).write_to_bytes().expect("encoding into memory succeeds")
}
