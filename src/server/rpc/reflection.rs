//! `grpc.reflection.v1.ServerReflection`, and `v1alpha`, which has the same messages: descriptions of the served
//! contracts, for clients that have no `.proto` file. No login is needed.
//!
//! A stream has at most one response in flight, and its next request is read only then: a client that does not read is
//! not read either.

pub mod schema;
mod answer;

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use futures_util::sink::Sink as _;
use futures_util::stream::Stream as _;
use grpcio::{DuplexSink, RequestStream, RpcContext, RpcStatus, Service, ServiceBuilder, WriteFlags};

use self::schema::Schema;
use super::side_calls::{Interruption, SideCall, SideCalls};
use super::status;
use super::stream::LibrarySink as _;
use crate::limits::{
    CLOSE_TIMEOUT, REFLECTION_IDLE_MAX, REFLECTION_REQUESTS_BURST, REFLECTION_REQUESTS_RATE, REFLECTIONS_MAX,
    REFLECTIONS_PER_PEER_MAX,
};
use crate::server::bucket::{Bucket, Rate};
use crate::server::calls::error::Code;
use crate::server::delivery::close::CloseReason;
use crate::server::health::HealthState;
use crate::server::hub::Hub;
use crate::server::refusals::Limit;
use crate::wire::{self, Frame, Request};

const REQUESTS: Rate = Rate::new(REFLECTION_REQUESTS_BURST, REFLECTION_REQUESTS_RATE);

const IDLE: &str = "no request for a minute: open another stream";

/// What the handlers share.
#[derive(Clone)]
pub struct ReflectionService {
    hub: Arc<Hub>,
    schema: Arc<Schema>,
    streams: Arc<SideCalls>,
}

impl ReflectionService {
    pub fn new(hub: &Arc<Hub>, health: &Arc<HealthState>, schema: Arc<Schema>) -> Self {
        let streams = SideCalls::new(REFLECTIONS_PER_PEER_MAX, REFLECTIONS_MAX, health, hub.deadlines());
        Self { hub: Arc::clone(hub), schema, streams }
    }

    /// Its calls in progress.
    pub fn calls(&self) -> Arc<SideCalls> {
        Arc::clone(&self.streams)
    }

    /// The service, under both names.
    pub fn build(&self) -> Service {
        let mut service = ServiceBuilder::new();
        for method in [&wire::REFLECTION_SERVER, &wire::REFLECTION_V1ALPHA_SERVER] {
            let shared = self.clone();
            service = service.add_duplex_streaming_handler(method, move |context, stream, sink| {
                shared.accept(&context, stream, sink);
            });
        }
        service.build()
    }

    fn accept(&self, context: &RpcContext<'_>, stream: RequestStream<Request>, sink: DuplexSink<Frame>) {
        let peer = self.hub.peer(context.peer());
        match self.streams.begin(peer.clone()) {
            Ok(call) => context.spawn(serve(call, Arc::clone(&self.schema), stream, sink)),
            Err(reason) => {
                self.hub.refuse(Limit::Calls, &peer);
                self.streams.deadlines().send(Instant::now() + CLOSE_TIMEOUT, async move {
                    sink.end(status::of(Code::ResourceExhausted, reason)).await;
                    drop(stream);
                });
            }
        }
    }
}

async fn serve(call: SideCall, schema: Arc<Schema>, mut stream: RequestStream<Request>, mut sink: DuplexSink<Frame>) {
    // If the client is gone, or does not read, dropping both ends cancels the call.
    let Some(status) = converse(&call, &schema, &mut stream, &mut sink).await else { return };
    let deadlines = call.calls().deadlines().clone();
    deadlines.send(Instant::now() + CLOSE_TIMEOUT, async move {
        sink.end(status).await;
        // Not before: it would cancel the call.
        drop(stream);
        drop(call);
    });
}

/// Answers requests until the end. `None` if no status can be sent.
async fn converse(
    call: &SideCall,
    schema: &Schema,
    stream: &mut RequestStream<Request>,
    sink: &mut DuplexSink<Frame>,
) -> Option<RpcStatus> {
    let mut requests = Bucket::new(REQUESTS, Instant::now());
    loop {
        let until = Instant::now() + REFLECTION_IDLE_MAX;
        let request = match call.wait(until, true, |context| Pin::new(&mut *stream).poll_next(context)).await {
            Ok(Some(Ok(request))) => request,
            // The client has ended its sending side, or cancelled.
            Ok(None) => return Some(RpcStatus::ok()),
            Ok(Some(Err(_))) => return None,
            Err(Interruption::Draining) => return Some(draining()),
            Err(Interruption::Late) => return Some(status::of(Code::DeadlineExceeded, IDLE)),
        };
        let response = match answer::to(schema, request) {
            Ok(response) => response,
            Err(invalid) => return Some(status::of(Code::InvalidArgument, invalid)),
        };
        if Pin::new(&mut *sink).start_send((response, WriteFlags::default())).is_err() {
            return None;
        }
        let until = Instant::now() + REFLECTION_IDLE_MAX;
        match call.wait(until, false, |context| Pin::new(&mut *sink).poll_ready(context)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return None,
        }
        let pause = requests.spend(REQUESTS, 1.0, Instant::now());
        if !pause.is_zero() {
            let pause = call.wait(Instant::now() + pause, true, |_| Poll::<()>::Pending).await;
            if pause == Err(Interruption::Draining) {
                return Some(draining());
            }
        }
    }
}

fn draining() -> RpcStatus {
    status::of_stream(&CloseReason::Draining { until: Instant::now() })
}
