//! The unary calls of `hubbub.v1`: for scripts, bots, and other programs that need an answer but no stream.
//!
//! Each call has a deadline within which it is retried if the server can't be reached or is temporarily unavailable.
//! All calls are safe to repeat: reads change nothing, and a post has an id.

use std::thread;
use std::time::{Duration, Instant};

use grpcio::{CallOption, Error as GrpcError, Method};
use humantime::format_duration;
use protobuf::Message;
use thiserror::Error;

use super::backoff::Backoff;
use super::connect_error::ConnectError;
use super::connection::{Connection, Connector};
use super::contract::Contract;
use super::stream::{StreamError, stream_error, unless_outdated};
use super::v1::wire::{client, kind, message_id};
use super::v1::{Gap, GapReason};
use crate::address::Address;
use crate::names::{Body, Kind, MessageId, RoomName, UserName};
use crate::wire::{LIST_MEMBERS, LIST_MESSAGES, LIST_ROOMS, POST_MESSAGE, v1};

/// Why a call failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CallError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("{0}")]
    Refused(String),
    #[error("no answer within {}: {last}", format_duration(*.timeout))]
    TimedOut { timeout: Duration, last: String },
    #[error(transparent)]
    Unreadable(StreamError),
}

/// A page of a listing, and the token of the next page; the token is empty if there is none.
pub type Page<T> = (Vec<T>, String);

/// Calls one server.
pub struct Caller {
    connector: Connector,
    address: Address,
    connection: Option<Connection>,
    timeout: Duration,
}

/// The stored message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posted {
    pub seq: u64,
    /// An earlier attempt had stored it.
    pub was_stored: bool,
}

/// The position in a room's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PagePlace {
    Newest,
    After(u64),
    Before(u64),
}

/// A message of a room's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    pub seq: u64,
    pub time_ms: u64,
    pub id: MessageId,
    pub sender: String,
    pub body: String,
    pub kind: Kind,
    /// The client that posted it, if known.
    pub client_id: Option<u64>,
    /// Whether the sender had logged in. Otherwise the name is a claim.
    pub authenticated: bool,
}

/// A page of a room's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryPage {
    /// In the order of seq. A missing seq is in a gap, or belongs to an event of an unknown kind.
    pub messages: Vec<StoredMessage>,
    /// The gaps that the server can't read, in the order of seq.
    pub gaps: Vec<Gap>,
    /// The seq of the last event of the page, or the end of a gap; `None` if there are no more messages in that
    /// direction.
    pub last_seq: Option<u64>,
    pub head_seq: u64,
    pub oldest_seq: u64,
}

/// A room of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomInfo {
    pub name: String,
    pub head_seq: u64,
    pub oldest_seq: u64,
    pub members: u32,
}

/// A client in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub client_id: u64,
    pub name: String,
    /// Whether it has logged in. Otherwise the name is a claim.
    pub authenticated: bool,
}

impl Caller {
    /// Connects, or fails at once. `timeout` is how long each call may take in all.
    pub fn connect(connector: Connector, address: Address, timeout: Duration) -> Result<Self, CallError> {
        Self::connect_within(connector, address, timeout, Duration::ZERO, |_| {})
    }

    /// Connects, and retries for `within` if no server can be reached: see [`Connector::open_within`].
    pub fn connect_within(
        connector: Connector,
        address: Address,
        timeout: Duration,
        within: Duration,
        on_retry: impl FnOnce(&ConnectError),
    ) -> Result<Self, CallError> {
        let connection = Some(connector.open_within(&address, within, on_retry)?);
        Ok(Self { connector, address, connection, timeout })
    }

    /// Posts one message, which is stored once when this returns. After a failure it may or may not be stored;
    /// repeating the call with the same id is safe.
    pub fn post(
        &mut self,
        room: &RoomName,
        sender: &UserName,
        id: &MessageId,
        body: &Body,
        kind: Kind,
    ) -> Result<Posted, CallError> {
        let kind = if kind == Kind::Action { v1::Kind::KIND_ACTION } else { v1::Kind::KIND_TEXT };
        let request = v1::PostMessageRequest {
            room: room.as_str().to_owned(),
            sender: sender.as_str().to_owned(),
            message_id: id.as_bytes().to_vec(),
            body: body.as_str().to_owned(),
            kind: kind.into(),
            ..Default::default()
        };
        let v1::PostMessageResponse { seq, was_stored, .. } = self.call(&POST_MESSAGE, &request)?;
        Ok(Posted { seq, was_stored })
    }

    /// Reads a part of a room's history: at most 1,000 messages, possibly fewer than available.
    pub fn messages(&mut self, room: &RoomName, place: PagePlace, max: u32) -> Result<HistoryPage, CallError> {
        let place = match place {
            PagePlace::Newest => None,
            PagePlace::After(seq) => Some(v1::list_messages_request::Place::AfterSeq(seq)),
            PagePlace::Before(seq) => Some(v1::list_messages_request::Place::BeforeSeq(seq)),
        };
        let request =
            v1::ListMessagesRequest { room: room.as_str().to_owned(), place, page_size: max, ..Default::default() };
        let response = self.call(&LIST_MESSAGES, &request)?;
        let gaps: Vec<_> = response.events.iter().filter_map(gap).collect();
        let last_seq = response.events.last().map(|event| gap(event).map_or(event.seq, |gap| gap.to_seq));
        let messages = response.events.into_iter().filter_map(|event| stored(event).transpose());
        Ok(HistoryPage {
            messages: messages.collect::<Result<_, _>>()?,
            gaps,
            last_seq,
            head_seq: response.head_seq,
            oldest_seq: response.oldest_seq,
        })
    }

    /// Lists the rooms after a token; the first page is after the empty one.
    pub fn rooms(&mut self, page_token: &str) -> Result<Page<RoomInfo>, CallError> {
        let request = v1::ListRoomsRequest { page_size: 1000, page_token: page_token.to_owned(), ..Default::default() };
        let response = self.call(&LIST_ROOMS, &request)?;
        let info = |v1::Room { name, head_seq, oldest_seq, member_count, .. }| RoomInfo {
            name,
            head_seq,
            oldest_seq,
            members: member_count,
        };
        Ok((response.rooms.into_iter().map(info).collect(), response.next_page_token))
    }

    /// Lists the members of a room after a token; the first page is after the empty one.
    pub fn members(&mut self, room: &RoomName, page_token: &str) -> Result<Page<Member>, CallError> {
        let request = v1::ListMembersRequest {
            room: room.as_str().to_owned(),
            page_size: 1000,
            page_token: page_token.to_owned(),
            ..Default::default()
        };
        let response = self.call(&LIST_MEMBERS, &request)?;
        let member = |v1::Member { client_id, name, authenticated, .. }| Member { client_id, name, authenticated };
        Ok((response.members.into_iter().map(member).collect(), response.next_page_token))
    }

    /// Calls, and retries until the deadline if another attempt may succeed.
    fn call<Q: Message, P: Message + Unpin>(&mut self, method: &Method<Q, P>, request: &Q) -> Result<P, CallError> {
        let timeout = self.timeout;
        let deadline = Instant::now() + timeout;
        let mut backoff = Backoff::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let last = match self.attempt(method, request, left) {
                Ok(response) => return Ok(response),
                Err(StreamError::Refused(reason)) => return Err(CallError::Refused(reason)),
                Err(StreamError::Lost(last) | StreamError::Fault(last)) => last,
                Err(error) => return Err(CallError::Unreadable(error)),
            };
            // A failed connection is not reused.
            self.connection = None;
            let pause = backoff.pause();
            if Instant::now() + pause >= deadline {
                return Err(CallError::TimedOut { timeout, last });
            }
            thread::sleep(pause);
        }
    }

    fn attempt<Q: Message, P: Message + Unpin>(
        &mut self,
        method: &Method<Q, P>,
        request: &Q,
        left: Duration,
    ) -> Result<P, StreamError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connector.open(&self.address).map_err(|e| StreamError::Lost(e.to_string()))?,
        };
        let headers = connection.headers().map_err(|e| stream_error(e, Contract::V1))?;
        let options = CallOption::default().timeout(left).headers(headers.build());
        let outcome = connection.client().unary_call(method, request, options);
        let outcome = outcome.map_err(|error| match &error {
            GrpcError::RpcFailure(status) => {
                let status = status.clone();
                unless_outdated(stream_error(error, Contract::V1), &status, connection.presented())
            }
            _ => stream_error(error, Contract::V1),
        });
        self.connection = Some(connection);
        outcome
    }
}

/// Reads a listing page by page, and passes each page to `each`. A server that repeats a token ends the listing.
pub fn each_page<T, E>(
    mut read: impl FnMut(&str) -> Result<Page<T>, E>,
    mut each: impl FnMut(Vec<T>) -> Result<(), E>,
) -> Result<(), E> {
    let mut token = String::new();
    loop {
        let (page, next) = read(&token)?;
        each(page)?;
        if next.is_empty() || next == token {
            return Ok(());
        }
        token = next;
    }
}

/// The event as a gap, if it is one.
fn gap(event: &v1::Event) -> Option<Gap> {
    let Some(v1::event::Event::Gap(gap)) = &event.event else { return None };
    let reason = GapReason::of(gap).unwrap_or(GapReason::Other);
    Some(Gap { from_seq: gap.from_seq, to_seq: gap.to_seq, reason })
}

/// The event as a message; `None` if it is of an unknown kind.
fn stored(event: v1::Event) -> Result<Option<StoredMessage>, CallError> {
    let v1::Event { seq, time_ms, event: Some(v1::event::Event::Message(message)), .. } = event else {
        return Ok(None);
    };
    let Some(id) = message_id(&message.message_id) else {
        return Err(CallError::Unreadable(StreamError::Unreadable("a message without an id".to_owned())));
    };
    Ok(Some(StoredMessage {
        seq,
        time_ms,
        id,
        kind: kind(message.kind.enum_value_or_default()),
        client_id: client(message.client_id).map(|client| client.0),
        authenticated: message.authenticated,
        sender: message.sender,
        body: message.body,
    }))
}
