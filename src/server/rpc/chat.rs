//! `hubbub.v1.ChatService/Chat`, commands up and events down, and `Follow`, events down only.

use std::sync::Arc;

use grpcio::{DuplexSink, RequestStream, RpcContext, ServerStreamingSink};

use super::credentials;
use super::pollers::Pollers;
use super::stream::{self, StreamSink, StreamSource};
use crate::server::chat_stream::{self, ChatStream, FollowStream};
use crate::server::hub::{Entrance, Face, Hub};
use crate::server::session::chat::decode;
use crate::server::session::receive::Source;
use crate::wire::{Frame, Request, v1};

pub fn accept(
    hub: &Arc<Hub>,
    pollers: &Pollers,
    context: &RpcContext<'_>,
    stream: RequestStream<Request>,
    sink: DuplexSink<Frame>,
) {
    let credentials = credentials::of(context);
    let admission = match hub.admit(context.peer(), Face::Grpc, Entrance::Login(&credentials)) {
        Ok(admission) => admission,
        Err(reason) => return stream::refuse(context, stream, sink, &reason),
    };
    let source = Box::new(StreamSource::new(context, stream, false, |request| {
        decode::commands(request.into_bytes().map_err(decode::undecodable)?)
    }));
    let stream = ChatStream {
        credentials,
        sink: Box::new(StreamSink::new(sink, true)),
        stop_receiving: source.stopper(),
        start_receiving: Box::new(source.starter()),
        source: |_: &_| source as _,
        shard: pollers.current(),
    };
    chat_stream::begin(hub, admission, stream);
}

pub fn accept_follower(
    hub: &Arc<Hub>,
    pollers: &Pollers,
    context: &RpcContext<'_>,
    request: v1::FollowRequest,
    sink: ServerStreamingSink<Frame>,
) {
    let credentials = credentials::of(context);
    let admitted = decode::follow(request).and_then(|commands| {
        let admission = hub.admit(context.peer(), Face::Grpc, Entrance::Login(&credentials))?;
        Ok((commands, admission))
    });
    let (commands, admission) = match admitted {
        Ok(admitted) => admitted,
        Err(reason) => return stream::refuse(context, (), sink, &reason),
    };
    let sink = Box::new(StreamSink::new(sink, true));
    // The library ends the call at its client's deadline.
    let stream = FollowStream { credentials, sink, commands, until: None, shard: pollers.current() };
    chat_stream::follow(hub, admission, stream);
}
