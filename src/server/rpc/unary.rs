//! The unary methods of `hubbub.v1.ChatService`, and the service as a whole.
//!
//! A handler hands the call to the log writer or to a query thread, and returns. The result is passed through a channel
//! to a task on the poller, which sends it.

use std::sync::Arc;

use futures_channel::oneshot;
use grpcio::{Method, RpcContext, Service, ServiceBuilder, UnarySink};

use super::pollers::Pollers;
use super::queries::Queries;
use super::{chat, status};
use crate::server::calls::error::{CallError, CallResult};
use crate::server::calls::{messages, post, rooms};
use crate::server::hub::Hub;
use crate::server::peer::Peer;
use crate::wire;

/// `hubbub.v1.ChatService`, served from the hub.
pub fn service(hub: Arc<Hub>, pollers: Pollers, queries: Queries) -> Service {
    let mut service = ServiceBuilder::new();
    let for_chat = Arc::clone(&hub);
    service = service.add_duplex_streaming_handler(&wire::CHAT_SERVER, move |context, stream, sink| {
        chat::accept(&for_chat, &pollers, &context, stream, sink);
    });
    let for_posts = Arc::clone(&hub);
    service = service.add_unary_handler(&wire::POST_MESSAGE, move |context, request, sink| {
        let peer = Peer::new(context.peer());
        respond(&context, sink, post::post_message(&for_posts, peer, request));
    });
    service = add_query(service, &wire::LIST_MESSAGES_SERVER, &hub, &queries, messages::list_messages);
    service = add_query(service, &wire::LIST_ROOMS, &hub, &queries, rooms::list_rooms);
    add_query(service, &wire::LIST_MEMBERS, &hub, &queries, rooms::list_members).build()
}

/// Adds a method that is executed by a query thread.
fn add_query<Q: Send + 'static, P: Send + 'static>(
    service: ServiceBuilder,
    method: &Method<Q, P>,
    hub: &Arc<Hub>,
    queries: &Queries,
    call: fn(&Hub, Q) -> CallResult<P>,
) -> ServiceBuilder {
    let (hub, queries) = (Arc::clone(hub), queries.clone());
    service.add_unary_handler(method, move |context, request, sink| {
        let (result, returned) = oneshot::channel();
        let hub = Arc::clone(&hub);
        // If too many wait, the channel is dropped with the query, which reports it.
        queries.ask(move || drop(result.send(call(&hub, request))));
        respond(&context, sink, async { returned.await.unwrap_or(Err(CallError::Busy)) });
    })
}

/// Sends the response, or the status, when the call has returned.
fn respond<P: Send + 'static>(
    context: &RpcContext<'_>,
    sink: UnarySink<P>,
    call: impl Future<Output = CallResult<P>> + Send + 'static,
) {
    context.spawn(async move {
        // The client may be gone already; then the response is not needed.
        let _ = match call.await {
            Ok(response) => sink.success(response).await,
            Err(error) => sink.fail(status::of_call(&error)).await,
        };
    });
}
