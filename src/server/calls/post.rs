//! `PostMessage`: posts without a stream.

use futures_channel::oneshot;

use super::bundle::Bundle;
use super::caller::Caller;
use super::error::{CallError, CallResult};
use crate::names::{InvalidText, RoomName, Sender, Seq, UserName};
use crate::server::auth::access::Act;
use crate::server::hub::Hub;
use crate::server::log::{Appended, Outcome, Post};
use crate::server::posting::Author;
use crate::wire::request::CheckedPost;
use crate::wire::v1;

/// Hands the post to the log writer, which answers. If a drain has begun, the call fails with [`CallError::Busy`].
///
/// If the caller's address is exempt from quotas, this does not block; otherwise it may read the log.
///
/// The post is handed over when this returns, or is in the caller's bundle, whether or not the future is polled.
pub fn post_message(
    hub: &Hub,
    caller: Caller,
    request: v1::PostMessageRequest,
) -> impl Future<Output = CallResult<v1::PostMessageResponse>> + Send + 'static + use<> {
    let post = post(hub, &caller, request);
    let id = post.as_ref().ok().and_then(Post::message).map_or(Vec::new(), |message| message.id.as_bytes().to_vec());
    let handed_over = post.map(|post| hand_over(hub, caller, post));
    async move {
        let (seq, was_stored) = outcome(handed_over?).await?;
        Ok(v1::PostMessageResponse { seq: seq.0, message_id: id, was_stored, ..Default::default() })
    }
}

fn post(hub: &Hub, caller: &Caller, mut request: v1::PostMessageRequest) -> CallResult<Post> {
    let Caller { used, principal, .. } = caller;
    let room = RoomName::new(&request.room)?;
    let sender = sender(caller, std::mem::take(&mut request.sender))?;
    principal.may(Act::Post(&room))?;
    let v1::PostMessageRequest { message_id, body, kind, reply_to_seq, mentions, .. } = request;
    let post = CheckedPost::new(&message_id, body, kind, reply_to_seq, mentions)?;
    let creates = match used {
        Some(used) => {
            used.post_at_once(post.body.as_str().len())?;
            !hub.is_stored(&room)?
        }
        None => false,
    };
    Ok(Author::of_call(used.clone()).post(room, creates, sender, post)?)
}

/// Who posts, if it may use the requested name.
pub fn sender(Caller { principal, .. }: &Caller, asked: String) -> CallResult<Sender> {
    let asked = if asked.is_empty() { None } else { Some(UserName::new(asked)?) };
    let name = principal.acts_as(asked)?.ok_or(InvalidText::NameEmpty)?;
    Ok(Sender { name, authenticated: principal.is_authenticated() })
}

/// Hands a post to the log writer, or adds it to what the caller's connection hands over.
pub fn hand_over(hub: &Hub, caller: Caller, post: Post) -> oneshot::Receiver<Outcome> {
    let Caller { peer, bundle, .. } = caller;
    if let Some(bundle) = bundle {
        return bundle.add(post);
    }
    let bundle = Bundle::default();
    let outcome = bundle.add(post);
    bundle.hand_over(hub, peer);
    outcome
}

/// The event of a post, and whether it had been stored before. A post that could not be handed over was dropped, and its
/// channel with it.
pub async fn outcome(handed_over: oneshot::Receiver<Outcome>) -> CallResult<(Seq, bool)> {
    match handed_over.await {
        Ok(Ok(Appended::New(_, seq))) => Ok((seq, false)),
        Ok(Ok(Appended::Before(_, seq))) => Ok((seq, true)),
        Ok(Err(error)) => Err(error.into()),
        Err(oneshot::Canceled) => Err(CallError::Busy),
    }
}
