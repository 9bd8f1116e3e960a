//! The tutorial's contract: one stream is one client in the room `lobby`, each message a separate gRPC message.

use std::sync::Arc;

use grpcio::{DuplexSink, RequestStream, RpcContext, Service, ServiceBuilder};

use super::pollers::Pollers;
use super::stream::{self, StreamSink, StreamSource};
use crate::limits::BODY_BYTES_MAX;
use crate::names::{Body, Origin, UserName, cleaned};
use crate::server::delivery::close::CloseReason;
use crate::server::hub::{Entrance, Face, Hub, Stream};
use crate::server::room::RoomHandle;
use crate::server::room::cursor::Cursor;
use crate::server::session::chat::decode::undecodable;
use crate::server::session::receive::{Following, Source};
use crate::server::session::tutorial::{Said, TutorialConversation, TutorialReader};
use crate::wire::tutorial::FromClient;
use crate::wire::{self, Frame, Request};

/// `chatserver.Services`, served from the hub, in this room.
pub fn service(hub: Arc<Hub>, lobby: Arc<RoomHandle>, pollers: Pollers) -> Service {
    ServiceBuilder::new()
        .add_duplex_streaming_handler(&wire::TUTORIAL_CHAT_SERVER, move |context, stream, sink| {
            accept(&hub, &lobby, &pollers, &context, stream, sink);
        })
        .build()
}

fn accept(
    hub: &Arc<Hub>,
    lobby: &RoomHandle,
    pollers: &Pollers,
    context: &RpcContext<'_>,
    stream: RequestStream<Request>,
    sink: DuplexSink<Frame>,
) {
    let admission = match hub.admit(context.peer(), Face::Grpc, Entrance::Guest) {
        Ok(admission) => admission,
        Err(reason) => return stream::refuse(context, stream, sink, &reason),
    };
    let mut headers = context.request_headers().iter();
    let end_after_half_close = headers.any(|(key, _)| key == wire::END_AFTER_HALF_CLOSE);
    let source = Box::new(StreamSource::new(context, stream, end_after_half_close, decode));
    let origin = Origin::random();
    let cursor = Cursor::new(Arc::clone(lobby), lobby.head().next());
    let (position, poller) = (Arc::clone(cursor.position()), pollers.current());
    let stream = Stream {
        sink: Box::new(StreamSink::new(sink, false)),
        reader: Box::new(TutorialReader::new(cursor, origin)),
        start_receiving: Box::new(source.starter()),
        stop_receiving: source.stopper(),
        may_be_displaced: true,
        login: Arc::default(),
        shard: poller,
    };
    let hold = lobby.clone();
    let is_guest = hub.authenticator.needs_login();
    hub.begin(admission, stream, move |writer, used| {
        // Its client has no name before its first message.
        writer.record().started();
        writer.show_position(position);
        let following = Following::new(hold, poller, Arc::clone(&writer) as _);
        TutorialConversation::new(writer, source, following, origin, used, is_guest)
    });
}

/// The sender's name for a message without one: a room's log has no messages without a sender.
const NAMELESS: &str = "anonymous";

fn decode(request: Request) -> Result<Said, CloseReason> {
    said(request.parse().map_err(undecodable)?)
}

/// Checks the messages of the original clients: lines of their console, which may be blank or contain anything. The
/// original server relays all of them, and its clients exit at the first error. So only a message that can't be stored
/// in any form ends the stream.
pub fn said(message: FromClient) -> Result<Said, CloseReason> {
    // A console's line end is not part of the line; a Windows console leaves half of it.
    let line_end = ['\r', '\n'];
    let name = match message.name.trim() {
        "" => UserName::new(NAMELESS)?,
        name => UserName::new(name)?,
    };
    let body = cleaned(message.body.trim_end_matches(line_end));
    // A piece may have one end of an isolate only.
    let bodies = pieces(&body).into_iter().map(|piece| Body::new(cleaned(piece)));
    Ok(Said { name, bodies: bodies.collect::<Result<_, _>>()? })
}

/// A body in pieces of valid length: none if it is blank, and several if it is too long for one.
fn pieces(mut body: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    while !body.is_empty() {
        let longest = BODY_BYTES_MAX.min(body.len());
        // Invariant: a character has at most four bytes, so a piece is never empty.
        let end = (0..=longest).rev().find(|&end| body.is_char_boundary(end)).unwrap_or(longest);
        let (piece, rest) = body.split_at(end);
        if !piece.trim().is_empty() {
            pieces.push(piece);
        }
        body = rest;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_blank_body_has_no_pieces_and_a_short_one_is_whole() {
        for blank in ["", " ", "\t \u{a0}"] {
            assert_eq!(pieces(blank), [""; 0]);
        }
        assert_eq!(pieces("  hello "), ["  hello "]);
    }

    proptest! {
        #[test]
        fn pieces_are_valid_bodies_and_lose_nothing(body in "[a-zé日]{0,30000}") {
            let pieces = pieces(&body);
            prop_assert!(pieces.iter().all(|piece| Body::new(*piece).is_ok()));
            prop_assert_eq!(pieces.concat(), body);
        }
    }
}
