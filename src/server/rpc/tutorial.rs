//! The tutorial's contract: one stream is one client in the room `lobby`, each message a gRPC message of its own.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::sink::Sink as _;
use futures_util::stream::{AbortHandle, Abortable, StreamExt as _};
use grpcio::{DuplexSink, Error, RequestStream, RpcContext, Service, ServiceBuilder, WriteFlags};

use super::pollers::Pollers;
use super::status;
use crate::names::{Body, InvalidText, RoomName, UserName};
use crate::park::{block_on, block_on_until};
use crate::server::hub::{Hub, Stream};
use crate::server::session::close::CloseReason;
use crate::server::session::outlet::{FrameSink, Gone};
use crate::server::session::receive::{Received, Source};
use crate::wire::tutorial::FromClient;
use crate::wire::{self, Frame};

/// `chatserver.Services`, served from the hub.
pub fn service(hub: Arc<Hub>, pollers: Pollers) -> Service {
    let lobby = RoomName::lobby();
    ServiceBuilder::new()
        .add_duplex_streaming_handler(&wire::TUTORIAL_CHAT_SERVER, move |context, stream, sink| {
            accept(&hub, &lobby, &pollers, &context, stream, sink);
        })
        .build()
}

fn accept(
    hub: &Arc<Hub>,
    lobby: &RoomName,
    pollers: &Pollers,
    context: &RpcContext<'_>,
    stream: RequestStream<FromClient>,
    sink: DuplexSink<Frame>,
) {
    match hub.admit() {
        Ok(seat) => {
            let mut headers = context.request_headers().iter();
            let end_after_half_close = headers.any(|(key, _)| key == wire::END_AFTER_HALF_CLOSE);
            let sink = Box::new(TutorialSink { sink: Some(sink) });
            let source = Box::new(TutorialSource::new(stream, end_after_half_close));
            hub.begin(seat, lobby, Stream { sink, source, poller: pollers.current() });
        }
        Err(reason) => {
            let refusal = sink.fail(status::of(&reason));
            context.spawn(async move {
                // The client may be gone already, in which case there is nobody left to tell.
                let _ = refusal.await;
                drop(stream);
            });
        }
    }
}

/// The sink of a stream. The library's own must not be touched after its first error, so this one forgets it then.
struct TutorialSink {
    sink: Option<DuplexSink<Frame>>,
}

impl TutorialSink {
    fn check(&mut self, result: Result<(), Error>) -> Result<(), Gone> {
        result.map_err(|_| {
            self.sink = None;
            Gone
        })
    }
}

impl FrameSink for TutorialSink {
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        let Some(sink) = &mut self.sink else { return Poll::Ready(Err(Gone)) };
        Pin::new(sink).poll_ready(context).map(|result| self.check(result))
    }

    fn start_write(&mut self, frame: &Frame, more_follows: bool) -> Result<(), Gone> {
        let Some(sink) = &mut self.sink else { return Err(Gone) };
        let flags = WriteFlags::default().buffer_hint(more_follows);
        let result = Pin::new(sink).start_send((frame.clone(), flags));
        self.check(result)
    }

    fn finish(self: Box<Self>, reason: &CloseReason, deadline: Instant) {
        if let Some(sink) = self.sink {
            // An error says that the peer is gone; a passed deadline, that it stopped reading. Either way it is over.
            let _ = block_on_until(&mut sink.fail(status::of(reason)), deadline);
        }
    }
}

/// The request stream, which can be stopped from outside.
struct TutorialSource {
    stream: Abortable<RequestStream<FromClient>>,
    abort: AbortHandle,
    end_after_half_close: bool,
}

impl TutorialSource {
    fn new(stream: RequestStream<FromClient>, end_after_half_close: bool) -> Self {
        let (abort, registration) = AbortHandle::new_pair();
        Self { stream: Abortable::new(stream, registration), abort, end_after_half_close }
    }
}

impl Source for TutorialSource {
    fn receive(&mut self) -> Received {
        match block_on(self.stream.next()) {
            Some(Ok(message)) => match encode(message) {
                Ok(frame) => Received::Frame(frame),
                Err(fault) => Received::Broken(CloseReason::Invalid(fault)),
            },
            Some(Err(Error::Codec(fault))) => Received::Broken(CloseReason::Undecodable(fault.to_string())),
            Some(Err(_)) => Received::Over,
            None if self.abort.is_aborted() => Received::Over,
            None => Received::HalfClosed { end_when_posted: self.end_after_half_close },
        }
    }

    fn stopper(&self) -> Arc<dyn Fn() + Send + Sync> {
        let abort = self.abort.clone();
        Arc::new(move || abort.abort())
    }
}

fn encode(message: FromClient) -> Result<Frame, InvalidText> {
    let name = UserName::new(message.name)?;
    let body = Body::new(message.body)?;
    Ok(wire::encode_from_server(name, body))
}
