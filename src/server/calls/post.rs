//! `PostMessage`: posts without a stream.

use std::sync::Arc;

use futures_channel::oneshot;
use parking_lot::Mutex;

use super::caller::Caller;
use super::error::{CallError, CallResult};
use crate::names::{InvalidText, MessageId, RoomName, Sender, Seq, UserName};
use crate::server::append_queue::{Order, Poster};
use crate::server::auth::access::Act;
use crate::server::hub::Hub;
use crate::server::log::{Appended, Outcome, Post};
use crate::server::peer::Peer;
use crate::server::posting::Author;
use crate::wire::request::CheckedPost;
use crate::wire::v1;

type Response = CallResult<v1::PostMessageResponse>;

/// Hands the post to the log writer, which answers. If a drain has begun, the call fails with [`CallError::Busy`].
///
/// If the caller's address is exempt from quotas, this does not block; otherwise it may read the log.
///
/// The post is handed over when this returns, whether or not the future is polled.
pub fn post_message(
    hub: &Hub,
    caller: Caller,
    request: v1::PostMessageRequest,
) -> impl Future<Output = Response> + Send + 'static + use<> {
    let handed_over = post(hub, &caller, request).map(|post| hand_over(hub, caller.peer, post));
    // A post that could not be handed over was dropped, and its channel with it.
    async move { handed_over?.await.unwrap_or(Err(CallError::Busy)) }
}

fn post(hub: &Hub, Caller { used, principal, .. }: &Caller, request: v1::PostMessageRequest) -> CallResult<Post> {
    let room = RoomName::new(&request.room)?;
    let asked = if request.sender.is_empty() { None } else { Some(UserName::new(request.sender)?) };
    let name = principal.acts_as(asked)?.ok_or(InvalidText::NameEmpty)?;
    principal.may(Act::Post(&room))?;
    let sender = Sender { name, authenticated: principal.is_authenticated() };
    let CheckedPost { id, body, kind } = CheckedPost::new(&request.message_id, request.body, request.kind)?;
    let creates = match used {
        Some(used) => {
            used.post_at_once(body.as_str().len())?;
            !hub.is_stored(&room)?
        }
        None => false,
    };
    Ok(Author::of_call(used.clone()).post(room, creates, sender, id, &body, kind)?)
}

fn hand_over(hub: &Hub, peer: Peer, post: Post) -> oneshot::Receiver<Response> {
    let (response, responded) = oneshot::channel();
    let poster = Arc::new(Waiting { response: Mutex::new(Some(response)) });
    if let Some(lane) = hub.open_lane(Some(peer)) {
        let _ = lane.push_unbounded(Order::Posts { posts: vec![post], poster });
    }
    responded
}

/// Reports the outcome of its post to a unary call.
struct Waiting {
    // lock order: 3 (a leaf)
    response: Mutex<Option<oneshot::Sender<Response>>>,
}

impl Poster for Waiting {
    fn settled(&self, posts: &[Post], outcomes: &[Outcome]) {
        let response = match (posts, outcomes) {
            ([post], [Ok(Appended::New(_, seq))]) => Ok(posted(*seq, &post.id, false)),
            ([post], [Ok(Appended::Before(_, seq))]) => Ok(posted(*seq, &post.id, true)),
            (_, [Err(error)]) => Err(error.clone().into()),
            // Invariant: each call has one post, and so one outcome.
            _ => unreachable!("a call posts one message"),
        };
        let waiting = self.response.lock().take();
        if let Some(waiting) = waiting {
            // The client may be gone.
            let _ = waiting.send(response);
        }
    }
}

fn posted(seq: Seq, id: &MessageId, was_stored: bool) -> v1::PostMessageResponse {
    v1::PostMessageResponse { seq: seq.0, message_id: id.as_bytes().to_vec(), was_stored, ..Default::default() }
}
