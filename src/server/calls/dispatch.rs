//! Executes unary calls for every face of the server: on the log writer, or on a query thread.

use std::sync::Arc;

use futures_channel::oneshot;

use super::bundle::Bundle;
use super::caller::{Caller, Stranger};
use super::error::{CallError, CallResult};
use super::login;
use super::queries::Queries;
use super::slots::{Slot, Slots};
use super::tally::{Kind, Tally};
use crate::limits::{POST_CALLS_MAX, POST_CALLS_PER_CONNECTION_MAX, READ_CALLS_MAX, READ_CALLS_PER_CONNECTION_MAX};
use crate::server::auth::credentials::Credentials;
use crate::server::hub::Hub;
use crate::server::peer::Peer;
use crate::server::refusals::Limit;
use crate::wire::v1;

/// What all calls share.
#[derive(Clone)]
pub struct Dispatcher {
    hub: Arc<Hub>,
    queries: Queries,
    posts: Arc<Slots>,
    reads: Arc<Slots>,
    tally: Arc<Tally>,
}

/// Shows how much the calls have to do. It keeps nothing of the server running.
#[derive(Clone)]
pub struct CallLoad {
    posts: Arc<Slots>,
    reads: Arc<Slots>,
    queries: Queries,
    pub tally: Arc<Tally>,
}

impl CallLoad {
    /// How many calls are in progress, by the name of their kind.
    pub fn in_progress(&self) -> [(&'static str, usize); 2] {
        [("append", self.posts.taken()), ("read", self.reads.taken())]
    }

    /// How many queries wait for a thread.
    pub fn waiting(&self) -> usize {
        self.queries.waiting()
    }
}

/// Where a call comes from.
pub struct CallOrigin {
    /// The connection, as the transport names it.
    pub connection: String,
    pub peer: Peer,
    pub credentials: Credentials,
    /// Where its posts wait for others, if [`Dispatcher::hands_over_at_once`].
    pub bundle: Option<Arc<Bundle>>,
}

/// The response to a call, once it is there, and its slot, which is to be dropped when the client has the response.
pub trait Response<P>: Future<Output = CallResult<(Slot, P)>> + Send + 'static {}

impl<P, F: Future<Output = CallResult<(Slot, P)>> + Send + 'static> Response<P> for F {}

/// A call of the log writer.
pub struct Appending<R> {
    pub response: R,
    /// Whether the log writer has it: what it is handed later by the same client is executed later.
    pub is_in_order: bool,
}

/// How a call gets to the log writer.
enum Way<F> {
    /// It was handed over.
    Begun(CallResult<(Slot, F)>),
    /// A query thread hands it over.
    Asked(CallResult<(Slot, oneshot::Receiver<CallResult<F>>)>),
}

impl Dispatcher {
    pub fn new(hub: Arc<Hub>, queries: Queries) -> Self {
        let posts = Slots::new(POST_CALLS_PER_CONNECTION_MAX, POST_CALLS_MAX);
        let reads = Slots::new(READ_CALLS_PER_CONNECTION_MAX, READ_CALLS_MAX);
        Self { hub, queries, posts, reads, tally: Arc::default() }
    }

    /// For whoever wants to see how much the calls have to do.
    pub fn load(&self) -> CallLoad {
        let Self { posts, reads, queries, tally, .. } = self.clone();
        CallLoad { posts, reads, queries, tally }
    }

    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Whether the posts of this peer go to the log writer directly, and not through a query thread.
    pub fn hands_over_at_once(&self, peer: &Peer) -> bool {
        peer.source().is_none() && !self.hub.authenticator.needs_login()
    }

    /// Has the log writer do something.
    pub fn append<Q, P, F>(
        &self,
        origin: CallOrigin,
        request: Q,
        call: fn(&Hub, Caller, Q) -> F,
    ) -> Appending<impl Response<P> + use<Q, P, F>>
    where
        Q: Send + 'static,
        P: Send + 'static,
        F: Future<Output = CallResult<P>> + Send + 'static,
    {
        let (connection, mut stranger) = self.stranger(origin);
        let slot = self.slot(&self.posts, connection, &stranger);
        let (hub, peer) = (Arc::clone(&self.hub), stranger.peer.clone());
        let way = if stranger.used.is_none() && !hub.authenticator.needs_login() {
            let begin = |slot| Ok((slot, call(&hub, stranger.identify(&hub)?, request)));
            Way::Begun(slot.and_then(begin))
        } else {
            // Whether the post creates its room is looked up in the log, and a login may have to be verified.
            stranger.bundle = None;
            let begin = move || Ok(call(&hub, stranger.identify(&hub)?, request));
            Way::Asked(slot.map(|slot| (slot, self.ask(peer, begin))))
        };
        let is_in_order = matches!(way, Way::Begun(_));
        let response = self.counted(Kind::Append, async move {
            match way {
                Way::Begun(begun) => {
                    let (slot, response) = begun?;
                    Ok((slot, response.await?))
                }
                Way::Asked(asked) => {
                    let (slot, begun) = asked?;
                    let response = begun.await.unwrap_or(Err(CallError::Busy))?;
                    Ok((slot, response.await?))
                }
            }
        });
        Appending { response, is_in_order }
    }

    /// Has a query thread read something.
    pub fn read<Q: Send + 'static, P: Send + 'static>(
        &self,
        origin: CallOrigin,
        request: Q,
        call: fn(&Hub, &Caller, Q) -> CallResult<P>,
    ) -> impl Response<P> + use<Q, P> {
        let (connection, stranger) = self.stranger(origin);
        let slot = self.slot(&self.reads, connection, &stranger);
        let (hub, peer) = (Arc::clone(&self.hub), stranger.peer.clone());
        self.counted(Kind::Read, self.query(slot, peer, move || call(&hub, &stranger.identify(&hub)?, request)))
    }

    /// Exchanges a login, which a client without one may do.
    pub fn login(&self, origin: CallOrigin, request: v1::LoginRequest) -> impl Response<v1::LoginResponse> + use<> {
        let (connection, stranger) = self.stranger(origin);
        let slot = self.place(&self.reads, connection, &stranger.peer);
        let (hub, peer) = (Arc::clone(&self.hub), stranger.peer.clone());
        self.counted(Kind::Login, self.query(slot, peer, move || login::login(&hub, &stranger, &request)))
    }

    /// Counts the outcome of a call.
    fn counted<P: Send + 'static, R: Response<P>>(&self, kind: Kind, response: R) -> impl Response<P> + use<P, R> {
        let tally = Arc::clone(&self.tally);
        async move {
            let result = response.await;
            tally.count(kind, &result);
            result
        }
    }

    fn query<P: Send + 'static, C: FnOnce() -> CallResult<P> + Send + 'static>(
        &self,
        slot: CallResult<Slot>,
        peer: Peer,
        call: C,
    ) -> impl Response<P> + use<P, C> {
        let asked = slot.map(|slot| (slot, self.ask(peer, call)));
        async move {
            let (slot, asked) = asked?;
            Ok((slot, asked.await.unwrap_or(Err(CallError::Busy))?))
        }
    }

    fn stranger(&self, CallOrigin { connection, peer, credentials, bundle }: CallOrigin) -> (String, Stranger) {
        (connection, Stranger { used: self.hub.quota(&peer), peer, credentials, bundle })
    }

    /// A place for a call of a client that presents a login.
    fn slot(&self, slots: &Arc<Slots>, connection: String, stranger: &Stranger) -> CallResult<Slot> {
        stranger.precheck(&self.hub)?;
        self.place(slots, connection, &stranger.peer)
    }

    fn place(&self, slots: &Arc<Slots>, connection: String, peer: &Peer) -> CallResult<Slot> {
        slots.take(connection).inspect_err(|_| self.hub.refuse(Limit::Calls, peer))
    }

    /// Has a query thread do this. If the server is shutting down, the channel is dropped with the query, which reports
    /// it.
    fn ask<T: Send + 'static>(&self, peer: Peer, query: impl FnOnce() -> T + Send + 'static) -> oneshot::Receiver<T> {
        let (result, returned) = oneshot::channel();
        self.queries.ask(peer, move || drop(result.send(query())));
        returned
    }
}
