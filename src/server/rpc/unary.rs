//! The unary methods of `hubbub.v1.ChatService`, and the service as a whole.
//!
//! A handler checks the request, passes it to the log writer or a query thread, and returns. The answer arrives through
//! a channel at a task on the poller, which sends it.

use std::sync::Arc;

use futures_channel::oneshot;
use grpcio::{Method, RpcContext, RpcStatus, RpcStatusCode, Service, ServiceBuilder, UnarySink};
use parking_lot::Mutex;
use protobuf::Message as _;

use super::chat;
use super::pollers::Pollers;
use super::queries::Queries;
use unicode_normalization::char::is_combining_mark;

use crate::limits::{MESSAGES_PAGE_SIZE, PAGE_SIZE, PAGE_SIZE_MAX, READ_BYTES_MAX};
use crate::names::{ClientId, InvalidText, MessageId, RoomId, RoomName, Seq, UserName};
use crate::server::hub::Hub;
use crate::server::log::{Appended, History, LogError, Part, Piece, Post, RoomState};
use crate::server::posting::Author;
use crate::server::writer::{Order, Poster};
use crate::wire::answer::{self, GapReason};
use crate::wire::event;
use crate::wire::{self, Frame, v1};

/// The result of a call.
type Answer<T> = Result<T, RpcStatus>;

/// `hubbub.v1.ChatService`, served from the hub.
pub fn service(hub: Arc<Hub>, pollers: Pollers, queries: Queries) -> Service {
    let mut service = ServiceBuilder::new();
    let for_chat = Arc::clone(&hub);
    service = service.add_duplex_streaming_handler(&wire::CHAT_SERVER, move |context, stream, sink| {
        chat::accept(&for_chat, &pollers, &context, stream, sink);
    });
    let for_posts = Arc::clone(&hub);
    service = service.add_unary_handler(&wire::POST_MESSAGE, move |context, request, sink| {
        let (answer, answered) = oneshot::channel();
        post_message(&for_posts, request, answer);
        reply(&context, sink, answered);
    });
    service = add_query(service, &wire::LIST_MESSAGES_SERVER, &hub, &queries, list_messages);
    service = add_query(service, &wire::LIST_ROOMS, &hub, &queries, list_rooms);
    add_query(service, &wire::LIST_MEMBERS, &hub, &queries, list_members).build()
}

/// Adds a method that a query thread answers.
fn add_query<Q: Send + 'static, P: Send + 'static>(
    service: ServiceBuilder,
    method: &Method<Q, P>,
    hub: &Arc<Hub>,
    queries: &Queries,
    make: fn(&Hub, Q) -> Answer<P>,
) -> ServiceBuilder {
    let (hub, queries) = (Arc::clone(hub), queries.clone());
    service.add_unary_handler(method, move |context, request, sink| {
        let (answer, answered) = oneshot::channel();
        let hub = Arc::clone(&hub);
        // If too many wait, the channel is dropped with the query, which reports it.
        queries.ask(move || drop(answer.send(make(&hub, request))));
        reply(&context, sink, answered);
    })
}

/// Sends the answer when it is available.
fn reply<T: Send + 'static>(context: &RpcContext<'_>, sink: UnarySink<T>, answer: oneshot::Receiver<Answer<T>>) {
    context.spawn(async move {
        // The client may be gone already; then the answer is not needed.
        let _ = match answer.await {
            Ok(Ok(response)) => sink.success(response).await,
            Ok(Err(status)) => sink.fail(status).await,
            Err(oneshot::Canceled) => {
                sink.fail(unavailable("the server is busy, or shutting down: try again in a moment".to_owned())).await
            }
        };
    });
}

/// Reports the outcome of its post to a unary call.
struct Waiting {
    // lock order: 3 (a leaf)
    answer: Mutex<Option<oneshot::Sender<Answer<v1::PostMessageResponse>>>>,
}

impl Poster for Waiting {
    fn settled(&self, posts: &[Post], outcomes: &[Result<Appended, LogError>]) {
        let answer = match (posts, outcomes) {
            ([post], [Ok(Appended::New(_, seq))]) => Ok(posted(*seq, &post.id, false)),
            ([post], [Ok(Appended::Before(_, seq))]) => Ok(posted(*seq, &post.id, true)),
            (_, [Err(error)]) => Err(log_failed(error)),
            // Invariant: each call has one post, and so one outcome.
            _ => unreachable!("a call posts one message"),
        };
        let waiting = self.answer.lock().take();
        if let Some(waiting) = waiting {
            // The client may be gone.
            let _ = waiting.send(answer);
        }
    }
}

fn posted(seq: Seq, id: &MessageId, was_stored: bool) -> v1::PostMessageResponse {
    v1::PostMessageResponse { seq: seq.0, message_id: id.as_bytes().to_vec(), was_stored, ..Default::default() }
}

/// Hands the post to the log writer, which answers. If its queue is full, the answer's channel is dropped.
fn post_message(hub: &Hub, request: v1::PostMessageRequest, answer: oneshot::Sender<Answer<v1::PostMessageResponse>>) {
    let post = match post(request) {
        Ok(post) => post,
        Err(fault) => return drop(answer.send(Err(invalid(&fault)))),
    };
    let poster = Arc::new(Waiting { answer: Mutex::new(Some(answer)) });
    if let Some(orders) = hub.orders() {
        let _ = orders.try_send(Order::Posts { posts: vec![post], poster });
    }
}

fn post(request: v1::PostMessageRequest) -> Result<Post, InvalidText> {
    let room = RoomName::new(&request.room)?;
    let sender = UserName::new(request.sender)?;
    let (id, body, kind) = chat::checked_post(&request.message_id, request.body, request.kind)?;
    Ok(Author::of_call().post(room, sender, id, &body, kind))
}

fn list_messages(hub: &Hub, request: v1::ListMessagesRequest) -> Answer<Frame> {
    use v1::list_messages_request::Place;
    let max = page_size(request.page_size, MESSAGES_PAGE_SIZE)? as u64;
    let name = RoomName::new(&request.room).map_err(|fault| invalid(&fault))?;
    let (part, keep) = match request.place {
        Some(Place::AfterSeq(seq)) => (Part::From(Seq(seq.saturating_add(1))), Keep::Oldest),
        Some(Place::BeforeSeq(seq)) => (Part::Before(Seq(seq)), Keep::Newest),
        _ => (Part::Before(Seq(u64::MAX)), Keep::Newest),
    };
    // The room and the messages are read from one state, so that a page is empty only if there are no more messages,
    // even if retention deletes some meanwhile.
    let found = hub.log.history(&name, part, max, READ_BYTES_MAX).map_err(|error| log_failed(&error))?;
    let Some(History { room, pieces }) = found else { return Err(no_room(&name)) };
    let entries = page(room.id, &pieces, part, max, keep);
    let rest = v1::ListMessagesResponse {
        epoch: room.epoch.get(),
        head_seq: room.head.0,
        oldest_seq: room.oldest.0,
        ..Default::default()
    };
    // The entries are the first field, as stored in the log, and the other fields follow.
    let mut response = entries;
    // Invariant: writing into a vector can't fail.
    rest.write_to_vec(&mut response).expect("encoding into memory succeeds");
    response.shrink_to_fit();
    Ok(Frame::new(response))
}

/// Which messages a page keeps if not all fit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Oldest,
    Newest,
}

/// The entries of this part in the pieces: at most `max` messages, and at most [`READ_BYTES_MAX`] bytes. A gap replaces
/// messages that can't be read.
fn page(room: RoomId, pieces: &[Piece], part: Part, max: u64, keep: Keep) -> Vec<u8> {
    let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else { return Vec::new() };
    let (from, to) = match part {
        Part::From(from) => {
            let from = from.max(first.first());
            (from, Seq(from.0.saturating_add(max - 1)).min(last.last()))
        }
        Part::Before(before) => {
            let to = Seq(before.0.saturating_sub(1)).min(last.last());
            (Seq((to.0 + 1).saturating_sub(max)).max(first.first()), to)
        }
    };
    // The entries of each piece, so that they can be cut.
    let mut entries: Vec<Vec<u8>> = Vec::new();
    for piece in pieces {
        let (start, end) = (piece.first().max(from), piece.last().min(to));
        match piece {
            _ if start > end => {}
            Piece::Segment(segment) => {
                entries.push(segment.frame().as_slice()[segment.offset(start)..segment.offset(end.next())].to_vec());
            }
            // The whole known range, so that the next page begins with a readable message.
            Piece::Damaged { from, to } => entries.push(match part {
                Part::From(asked) => answer::gap(room, asked.max(*from), *to, GapReason::Damaged),
                Part::Before(asked) => {
                    answer::gap(room, *from, Seq(asked.0.saturating_sub(1)).min(*to), GapReason::Damaged)
                }
            }),
        }
    }
    cut(entries, keep)
}

/// Joins entries, and cuts them down to [`READ_BYTES_MAX`] bytes, but to at least one entry.
fn cut(pieces: Vec<Vec<u8>>, keep: Keep) -> Vec<u8> {
    let mut ends: Vec<usize> = Vec::new();
    let mut entries: Vec<u8> = Vec::new();
    for piece in pieces {
        let begin = entries.len();
        let whole = event::entries(&piece).map_while(Result::ok).map(|(_, end)| begin + end);
        ends.extend(whole);
        entries.extend_from_slice(&piece);
        // A gap is not an event of the log, and is one entry.
        if ends.last().is_none_or(|end| *end <= begin) {
            ends.push(entries.len());
        }
    }
    let len = entries.len();
    if len <= READ_BYTES_MAX {
        return entries;
    }
    match keep {
        Keep::Oldest => {
            let end = ends.iter().take_while(|end| **end <= READ_BYTES_MAX).last().or(ends.first());
            entries.truncate(end.copied().unwrap_or(len));
        }
        Keep::Newest => {
            // From the first position from which the rest fits; the last entry begins at the last end but one.
            let last = ends.iter().rev().nth(1).copied().unwrap_or(0);
            let start = ends.iter().copied().find(|end| len - end <= READ_BYTES_MAX).unwrap_or(last).min(last);
            entries.drain(..start);
        }
    }
    entries
}

fn list_rooms(hub: &Hub, request: v1::ListRoomsRequest) -> Answer<v1::ListRoomsResponse> {
    let max = page_size(request.page_size, PAGE_SIZE)?;
    let after = match request.page_token.as_str() {
        "" => None,
        token if token.chars().any(|c| !c.is_alphanumeric() && !"-_.".contains(c) && !is_combining_mark(c)) => {
            return Err(bad_token());
        }
        // A room's name as stored in the log; an earlier version may have stored it in another form.
        token => Some(RoomName::stored(token)),
    };
    // One more than requested shows whether there is another page.
    let mut states = hub.log.rooms(after.as_ref(), max + 1).map_err(|error| log_failed(&error))?;
    let more = states.len() > max;
    states.truncate(max);
    let next_page_token = states.last().filter(|_| more).map_or(String::new(), |last| last.name.as_str().to_owned());
    let rooms = states.into_iter().map(|state| room(hub, state)).collect();
    Ok(v1::ListRoomsResponse { rooms, next_page_token, ..Default::default() })
}

fn room(hub: &Hub, state: RoomState) -> v1::Room {
    v1::Room {
        member_count: hub.rooms.follower_count(&state.name) as u32,
        name: state.name.as_str().to_owned(),
        room_id: state.id.0,
        epoch: state.epoch.get(),
        head_seq: state.head.0,
        oldest_seq: state.oldest.0,
        ..Default::default()
    }
}

fn list_members(hub: &Hub, request: v1::ListMembersRequest) -> Answer<v1::ListMembersResponse> {
    let max = page_size(request.page_size, PAGE_SIZE)?;
    let name = RoomName::new(&request.room).map_err(|fault| invalid(&fault))?;
    let after = match request.page_token.as_str() {
        "" => ClientId(0),
        token => ClientId(token.parse().map_err(|_| bad_token())?),
    };
    // A room may have members before it has a message.
    let open = hub.rooms.get(&name);
    if open.is_none() && hub.log.find(&name).map_err(|error| log_failed(&error))?.is_none() {
        return Err(no_room(&name));
    }
    let followers = open.iter().flat_map(|room| room.followers().collect::<Vec<_>>());
    let mut members: Vec<_> = followers.filter_map(|follower| follower.member()).collect();
    members.retain(|member| member.client > after);
    members.sort_by_key(|member| member.client);
    let more = members.len() > max;
    members.truncate(max);
    let next_page_token = members.last().filter(|_| more).map_or(String::new(), |last| last.client.to_string());
    let member = |member: crate::server::room::followers::Member| v1::Member {
        client_id: member.client.0,
        name: member.name.into(),
        ..Default::default()
    };
    Ok(v1::ListMembersResponse {
        members: members.into_iter().map(member).collect(),
        next_page_token,
        ..Default::default()
    })
}

fn no_room(name: &RoomName) -> RpcStatus {
    let text = format!("no room named \"{name}\": a room is created by its first message");
    RpcStatus::with_message(RpcStatusCode::NOT_FOUND, text)
}

fn page_size(asked: u32, default: usize) -> Answer<usize> {
    match asked as usize {
        0 => Ok(default),
        size if size <= PAGE_SIZE_MAX => Ok(size),
        size => {
            let text = format!("the page size is {size}: ask for {PAGE_SIZE_MAX} at most");
            Err(RpcStatus::with_message(RpcStatusCode::INVALID_ARGUMENT, text))
        }
    }
}

fn bad_token() -> RpcStatus {
    let text = "invalid page token: send the token of the previous response, or none".to_owned();
    RpcStatus::with_message(RpcStatusCode::INVALID_ARGUMENT, text)
}

fn invalid(fault: &InvalidText) -> RpcStatus {
    RpcStatus::with_message(RpcStatusCode::INVALID_ARGUMENT, fault.to_string())
}

fn unavailable(text: String) -> RpcStatus {
    RpcStatus::with_message(RpcStatusCode::UNAVAILABLE, text)
}

fn log_failed(error: &LogError) -> RpcStatus {
    let code = match error {
        LogError::Unavailable(_) | LogError::Full => RpcStatusCode::UNAVAILABLE,
        LogError::Damaged(_) => RpcStatusCode::INTERNAL,
        LogError::TooManyRooms(_) => RpcStatusCode::RESOURCE_EXHAUSTED,
    };
    RpcStatus::with_message(code, error.to_string())
}
