//! The tutorial's contract: one stream is one client in the room `lobby`, each message a gRPC message of its own.

use std::sync::Arc;

use grpcio::{DuplexSink, RequestStream, RpcContext, Service, ServiceBuilder};

use super::pollers::Pollers;
use super::stream::{self, StreamSink, StreamSource};
use crate::names::{Body, Origin, UserName};
use crate::server::hub::{Hub, Stream};
use crate::server::room::Hold;
use crate::server::room::cursor::Cursor;
use crate::server::session::close::CloseReason;
use crate::server::session::receive::{Following, Source};
use crate::server::session::tutorial::{Said, TutorialReader, TutorialTalk};
use crate::wire::tutorial::FromClient;
use crate::wire::{self, Frame, Request};

/// `chatserver.Services`, served from the hub, in this room.
pub fn service(hub: Arc<Hub>, lobby: Arc<Hold>, pollers: Pollers) -> Service {
    ServiceBuilder::new()
        .add_duplex_streaming_handler(&wire::TUTORIAL_CHAT_SERVER, move |context, stream, sink| {
            accept(&hub, &lobby, &pollers, &context, stream, sink);
        })
        .build()
}

fn accept(
    hub: &Arc<Hub>,
    lobby: &Hold,
    pollers: &Pollers,
    context: &RpcContext<'_>,
    stream: RequestStream<Request>,
    sink: DuplexSink<Frame>,
) {
    let seat = match hub.admit() {
        Ok(seat) => seat,
        Err(reason) => return stream::refuse(context, stream, sink, &reason),
    };
    let mut headers = context.request_headers().iter();
    let end_after_half_close = headers.any(|(key, _)| key == wire::END_AFTER_HALF_CLOSE);
    let source = Box::new(StreamSource::new(context, stream, end_after_half_close, said));
    let origin = Origin::random();
    let cursor = Cursor::new(Arc::clone(lobby), lobby.head().next());
    let stream = Stream {
        sink: Box::new(StreamSink::new(sink, false)),
        reader: Box::new(TutorialReader::new(cursor, origin)),
        stop_receiving: source.stopper(),
    };
    let (hold, poller) = (lobby.clone(), pollers.current());
    hub.begin(seat, stream, move |session| {
        let following = Following::new(hold, poller, Arc::clone(&session) as _);
        TutorialTalk::new(session, source, following, origin)
    });
}

fn said(message: FromClient) -> Result<Said, CloseReason> {
    Ok(Said { name: UserName::new(message.name)?, body: Body::new(message.body)? })
}
