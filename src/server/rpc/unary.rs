//! The unary methods of `hubbub.v1.ChatService`, and the service as a whole.
//!
//! A handler hands the call to the [dispatcher](crate::server::calls::dispatch), and returns. A task on the poller sends
//! the response, by a deadline.

use std::sync::Arc;
use std::time::Instant;

use grpcio::{Method, RpcContext, Service, ServiceBuilder, UnarySink};

use super::pollers::Pollers;
use super::{chat, credentials, status};
use crate::limits::RESPONSE_TIMEOUT;
use crate::server::calls::caller::Caller;
use crate::server::calls::dispatch::{CallOrigin, Dispatcher, Response};
use crate::server::calls::error::CallResult;
use crate::server::calls::{change, messages, post, reactions, rooms, search};
use crate::server::deadlines::Deadlines;
use crate::server::hub::Hub;
use crate::wire;

/// What the handlers of unary calls share.
#[derive(Clone)]
pub struct Unary {
    dispatcher: Dispatcher,
    deadlines: Deadlines,
}

impl Unary {
    pub fn new(dispatcher: Dispatcher, deadlines: Deadlines) -> Self {
        Self { dispatcher, deadlines }
    }

    fn origin(&self, context: &RpcContext<'_>) -> CallOrigin {
        let connection = context.peer();
        let peer = self.dispatcher.hub().peer(connection.clone());
        CallOrigin { connection, peer, credentials: credentials::of(context), bundle: None }
    }

    /// Sends the response, or the status, when the call has returned.
    fn respond<P: Send + 'static>(&self, context: &RpcContext<'_>, sink: UnarySink<P>, call: impl Response<P>) {
        let deadlines = self.deadlines.clone();
        context.spawn(async move {
            let result = call.await;
            let until = Instant::now() + RESPONSE_TIMEOUT;
            match result {
                Ok((slot, response)) => deadlines.send(until, async move {
                    // The outcome is not needed: either the client has the response, or it does not want it.
                    let _ = sink.success(response).await;
                    drop(slot);
                }),
                Err(error) => deadlines.send(until, async move { drop(sink.fail(status::of_call(&error)).await) }),
            }
        });
    }
}

/// `hubbub.v1.ChatService`, served from the hub.
pub fn service(unary: Unary, pollers: Pollers) -> Service {
    let mut service = ServiceBuilder::new();
    let (hub, driver) = (Arc::clone(unary.dispatcher.hub()), pollers.clone());
    service = service.add_duplex_streaming_handler(&wire::CHAT_SERVER, move |context, stream, sink| {
        chat::accept(&hub, &driver, &context, stream, sink);
    });
    let hub = Arc::clone(unary.dispatcher.hub());
    service = service.add_server_streaming_handler(&wire::FOLLOW_SERVER, move |context, request, sink| {
        chat::accept_follower(&hub, &pollers, &context, request, sink);
    });
    service = add_append(service, &wire::POST_MESSAGE, &unary, post::post_message);
    service = add_append(service, &wire::EDIT_MESSAGE, &unary, change::edit_message);
    service = add_append(service, &wire::DELETE_MESSAGE, &unary, change::delete_message);
    service = add_append(service, &wire::SET_REACTION, &unary, change::set_reaction);
    service = add_append(service, &wire::SET_PIN, &unary, change::set_pin);
    service = add_append(service, &wire::CHANGE_ROOM, &unary, change::change_room);
    let logins = unary.clone();
    service = service.add_unary_handler(&wire::LOGIN, move |context, request, sink| {
        logins.respond(&context, sink, logins.dispatcher.login(logins.origin(&context), request));
    });
    service = add_read(service, &wire::LIST_MESSAGES_SERVER, &unary, messages::list_messages);
    service = add_read(service, &wire::LIST_REACTIONS, &unary, reactions::list_reactions);
    service = add_read(service, &wire::LIST_ROOMS, &unary, rooms::list_rooms);
    service = add_read(service, &wire::LIST_MEMBERS, &unary, rooms::list_members);
    add_read(service, &wire::SEARCH_MESSAGES, &unary, search::search_messages).build()
}

/// Adds a method that is executed by the log writer.
fn add_append<Q, P, F>(
    service: ServiceBuilder,
    method: &Method<Q, P>,
    unary: &Unary,
    call: fn(&Hub, Caller, Q) -> F,
) -> ServiceBuilder
where
    Q: Send + 'static,
    P: Send + 'static,
    F: Future<Output = CallResult<P>> + Send + 'static,
{
    let unary = unary.clone();
    service.add_unary_handler(method, move |context, request, sink| {
        unary.respond(&context, sink, unary.dispatcher.append(unary.origin(&context), request, call).response);
    })
}

/// Adds a method that is executed by a query thread.
fn add_read<Q: Send + 'static, P: Send + 'static>(
    service: ServiceBuilder,
    method: &Method<Q, P>,
    unary: &Unary,
    call: fn(&Hub, &Caller, Q) -> CallResult<P>,
) -> ServiceBuilder {
    let unary = unary.clone();
    service.add_unary_handler(method, move |context, request, sink| {
        unary.respond(&context, sink, unary.dispatcher.read(unary.origin(&context), request, call));
    })
}
