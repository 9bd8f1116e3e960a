//! The unary methods of `hubbub.v1.ChatService`, and the service as a whole.
//!
//! A handler hands the call to the log writer or to a query thread, and returns. The result is passed through a channel
//! to a task on the poller, which sends it, by a deadline.

use std::sync::Arc;
use std::time::Instant;

use futures_channel::oneshot;
use grpcio::{Method, RpcContext, Service, ServiceBuilder, UnarySink};

use super::pollers::Pollers;
use super::queries::Queries;
use super::{chat, credentials, status};
use crate::limits::{
    POST_CALLS_MAX, POST_CALLS_PER_CONNECTION_MAX, READ_CALLS_MAX, READ_CALLS_PER_CONNECTION_MAX, RESPONSE_TIMEOUT,
};
use crate::server::calls::caller::{Caller, Stranger};
use crate::server::calls::error::{CallError, CallResult};
use crate::server::calls::slots::{Slot, Slots};
use crate::server::calls::{change, login, messages, post, reactions, rooms, search};
use crate::server::deadlines::Deadlines;
use crate::server::hub::Hub;
use crate::server::peer::Peer;
use crate::server::refusals::Limit;
use crate::wire::{self, v1};

/// What the handlers of unary calls share.
#[derive(Clone)]
pub struct Unary {
    hub: Arc<Hub>,
    queries: Queries,
    deadlines: Deadlines,
    posts: Arc<Slots>,
    reads: Arc<Slots>,
}

impl Unary {
    pub fn new(hub: Arc<Hub>, queries: Queries, deadlines: Deadlines) -> Self {
        Self {
            hub,
            queries,
            deadlines,
            posts: Slots::new(POST_CALLS_PER_CONNECTION_MAX, POST_CALLS_MAX),
            reads: Slots::new(READ_CALLS_PER_CONNECTION_MAX, READ_CALLS_MAX),
        }
    }

    /// Has the log writer do something, and sends the response.
    fn append<Q, P, F>(&self, context: &RpcContext<'_>, request: Q, sink: UnarySink<P>, call: fn(&Hub, Caller, Q) -> F)
    where
        Q: Send + 'static,
        P: Send + 'static,
        F: Future<Output = CallResult<P>> + Send + 'static,
    {
        let stranger = self.stranger(context);
        let slot = self.slot(&self.posts, context, &stranger);
        let (hub, peer) = (Arc::clone(&self.hub), stranger.peer.clone());
        if stranger.used.is_none() && !hub.authenticator.needs_login() {
            let response = slot.and_then(|slot| Ok((slot, call(&hub, stranger.identify(&hub)?, request))));
            return self.respond(context, sink, async move {
                let (slot, response) = response?;
                Ok((slot, response.await?))
            });
        }
        // Whether the post creates its room is looked up in the log, and a login may have to be verified.
        let post = move || Ok(call(&hub, stranger.identify(&hub)?, request));
        let posting = slot.map(|slot| (slot, self.ask(peer, post)));
        self.respond(context, sink, async move {
            let (slot, posting) = posting?;
            Ok((slot, posting.await.unwrap_or(Err(CallError::Busy))?.await?))
        });
    }

    fn read<Q: Send + 'static, P: Send + 'static>(
        &self,
        context: &RpcContext<'_>,
        request: Q,
        sink: UnarySink<P>,
        call: fn(&Hub, &Caller, Q) -> CallResult<P>,
    ) {
        let stranger = self.stranger(context);
        let slot = self.slot(&self.reads, context, &stranger);
        let (hub, peer) = (Arc::clone(&self.hub), stranger.peer.clone());
        self.answer(context, sink, slot, peer, move || call(&hub, &stranger.identify(&hub)?, request));
    }

    fn login(&self, context: &RpcContext<'_>, request: v1::LoginRequest, sink: UnarySink<v1::LoginResponse>) {
        let stranger = self.stranger(context);
        let slot = self.place(&self.reads, context, &stranger.peer);
        let (hub, peer) = (Arc::clone(&self.hub), stranger.peer.clone());
        self.answer(context, sink, slot, peer, move || login::login(&hub, &stranger, &request));
    }

    /// Has a query thread make this call, and sends its response.
    fn answer<P: Send + 'static>(
        &self,
        context: &RpcContext<'_>,
        sink: UnarySink<P>,
        slot: CallResult<Slot>,
        peer: Peer,
        call: impl FnOnce() -> CallResult<P> + Send + 'static,
    ) {
        let asked = slot.map(|slot| (slot, self.ask(peer, call)));
        self.respond(context, sink, async move {
            let (slot, asked) = asked?;
            Ok((slot, asked.await.unwrap_or(Err(CallError::Busy))?))
        });
    }

    fn stranger(&self, context: &RpcContext<'_>) -> Stranger {
        let peer = self.hub.peer(context.peer());
        Stranger { used: self.hub.quota(&peer), peer, credentials: credentials::of(context) }
    }

    /// A place for a call of a client that presents a login.
    fn slot(&self, slots: &Arc<Slots>, context: &RpcContext<'_>, stranger: &Stranger) -> CallResult<Slot> {
        stranger.precheck(&self.hub)?;
        self.place(slots, context, &stranger.peer)
    }

    fn place(&self, slots: &Arc<Slots>, context: &RpcContext<'_>, peer: &Peer) -> CallResult<Slot> {
        slots.take(context.peer()).inspect_err(|_| self.hub.refuse(Limit::Calls, peer))
    }

    /// Has a query thread do this. If the server is shutting down, the channel is dropped with the query, which reports
    /// it.
    fn ask<T: Send + 'static>(&self, peer: Peer, query: impl FnOnce() -> T + Send + 'static) -> oneshot::Receiver<T> {
        let (result, returned) = oneshot::channel();
        self.queries.ask(peer, move || drop(result.send(query())));
        returned
    }

    /// Sends the response, or the status, when the call has returned. Its slot is taken until the client has that.
    fn respond<P: Send + 'static>(
        &self,
        context: &RpcContext<'_>,
        sink: UnarySink<P>,
        call: impl Future<Output = CallResult<(Slot, P)>> + Send + 'static,
    ) {
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
    let hub = Arc::clone(&unary.hub);
    service = service.add_duplex_streaming_handler(&wire::CHAT_SERVER, move |context, stream, sink| {
        chat::accept(&hub, &pollers, &context, stream, sink);
    });
    service = add_append(service, &wire::POST_MESSAGE, &unary, post::post_message);
    service = add_append(service, &wire::EDIT_MESSAGE, &unary, change::edit_message);
    service = add_append(service, &wire::DELETE_MESSAGE, &unary, change::delete_message);
    service = add_append(service, &wire::SET_REACTION, &unary, change::set_reaction);
    service = add_append(service, &wire::SET_PIN, &unary, change::set_pin);
    service = add_append(service, &wire::CHANGE_ROOM, &unary, change::change_room);
    let logins = unary.clone();
    service = service.add_unary_handler(&wire::LOGIN, move |context, request, sink| {
        logins.login(&context, request, sink);
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
    service.add_unary_handler(method, move |context, request, sink| unary.append(&context, request, sink, call))
}

/// Adds a method that is executed by a query thread.
fn add_read<Q: Send + 'static, P: Send + 'static>(
    service: ServiceBuilder,
    method: &Method<Q, P>,
    unary: &Unary,
    call: fn(&Hub, &Caller, Q) -> CallResult<P>,
) -> ServiceBuilder {
    let unary = unary.clone();
    service.add_unary_handler(method, move |context, request, sink| unary.read(&context, request, sink, call))
}
