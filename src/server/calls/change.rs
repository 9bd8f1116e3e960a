//! The calls that change messages and rooms: each becomes a post of a change, which the log judges in its order.

use super::caller::Caller;
use super::error::{CallError, CallResult};
use super::post::{hand_over, outcome, sender};
use crate::names::{Body, Emoji, Epoch, Mentions, RoomName, Seq, Topic};
use crate::server::auth::access;
use crate::server::hub::Hub;
use crate::server::log::{Act, Change, Post, What};
use crate::wire::v1;

/// The response to a change, once the log has judged it.
pub trait Call<T>: Future<Output = CallResult<T>> + Send + 'static {}

impl<T, F: Future<Output = CallResult<T>> + Send + 'static> Call<T> for F {}

/// Edits a message of the caller.
pub fn edit_message(
    hub: &Hub,
    caller: Caller,
    request: v1::EditMessageRequest,
) -> impl Call<v1::EditMessageResponse> + use<> {
    let v1::EditMessageRequest { room, sender, message_seq, epoch, body, mentions, seen_seq, .. } = request;
    let act = Body::new(body).and_then(|body| {
        let (message, seen) = (Seq(message_seq), (seen_seq > 0).then_some(Seq(seen_seq)));
        Ok(Act::Edit { message, body, mentions: Mentions::new(mentions)?, seen })
    });
    let seq = change(hub, caller, Target { room, sender, epoch }, Right::Change, act.map_err(CallError::from));
    async move { Ok(v1::EditMessageResponse { seq: seq.await?.0, ..Default::default() }) }
}

/// Deletes a message: one of the caller's, or any if the caller is a moderator.
pub fn delete_message(
    hub: &Hub,
    caller: Caller,
    request: v1::DeleteMessageRequest,
) -> impl Call<v1::DeleteMessageResponse> + use<> {
    let v1::DeleteMessageRequest { room, sender, message_seq, epoch, .. } = request;
    let act = Ok(Act::Delete { message: Seq(message_seq), anybodys: caller.principal.is_moderator() });
    let seq = change(hub, caller, Target { room, sender, epoch }, Right::Change, act);
    async move { Ok(v1::DeleteMessageResponse { seq: seq.await?.0, ..Default::default() }) }
}

/// Sets or removes the caller's reaction to a message.
pub fn set_reaction(
    hub: &Hub,
    caller: Caller,
    request: v1::SetReactionRequest,
) -> impl Call<v1::SetReactionResponse> + use<> {
    let v1::SetReactionRequest { room, sender, message_seq, epoch, emoji, removed, .. } = request;
    let act = Emoji::new(emoji).map(|emoji| Act::React { message: Seq(message_seq), emoji, removed });
    let seq = change(hub, caller, Target { room, sender, epoch }, Right::Change, act.map_err(CallError::from));
    async move { Ok(v1::SetReactionResponse { seq: seq.await?.0, ..Default::default() }) }
}

/// Pins or unpins a message.
pub fn set_pin(hub: &Hub, caller: Caller, request: v1::SetPinRequest) -> impl Call<v1::SetPinResponse> + use<> {
    let v1::SetPinRequest { room, sender, message_seq, epoch, removed, .. } = request;
    let act = Ok(Act::Pin { message: Seq(message_seq), removed });
    let seq = change(hub, caller, Target { room, sender, epoch }, Right::Moderate, act);
    async move { Ok(v1::SetPinResponse { seq: seq.await?.0, ..Default::default() }) }
}

/// Changes the topic of a room.
pub fn change_room(
    hub: &Hub,
    caller: Caller,
    request: v1::ChangeRoomRequest,
) -> impl Call<v1::ChangeRoomResponse> + use<> {
    let v1::ChangeRoomRequest { room, sender, change: requested, .. } = request;
    let act = match requested {
        Some(v1::change_room_request::Change::Topic(topic)) => {
            Topic::new(&topic).map(Act::SetTopic).map_err(CallError::from)
        }
        None => Err(CallError::NothingToChange),
    };
    let seq = change(hub, caller, Target { room, sender, epoch: 0 }, Right::Moderate, act);
    async move { Ok(v1::ChangeRoomResponse { seq: seq.await?.0, ..Default::default() }) }
}

/// The fields that all requests for changes have in common.
struct Target {
    room: String,
    sender: String,
    epoch: u64,
}

/// The right that a change requires.
enum Right {
    Change,
    Moderate,
}

/// Hands a change to the log writer. Returns the event that set the state.
fn change(hub: &Hub, caller: Caller, target: Target, right: Right, act: CallResult<Act>) -> impl Call<Seq> + use<> {
    let handed_over = post(&caller, target, right, act).map(|post| hand_over(hub, caller, post));
    async move { outcome(handed_over?).await.map(|(seq, _)| seq) }
}

fn post(
    caller: &Caller,
    Target { room, sender: asked, epoch }: Target,
    right: Right,
    act: CallResult<Act>,
) -> CallResult<Post> {
    let (room, sender) = (RoomName::new(&room)?, sender(caller, asked)?);
    caller.principal.may(match right {
        Right::Change => access::Act::Change(&room),
        Right::Moderate => access::Act::Moderate(&room),
    })?;
    let change = Change { epoch: Epoch::new(epoch), act: act? };
    let post = Post { room, sender, what: What::Change(Box::new(change)) };
    if let Some(used) = &caller.used {
        used.post_at_once(post.bytes())?;
        used.store(post.bytes())?;
    }
    Ok(post)
}
