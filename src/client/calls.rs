//! The unary calls of `hubbub.v1`: for scripts, bots, and other programs that need an answer but no stream.
//!
//! Each call has a deadline within which it is retried if the server can't be reached or is temporarily unavailable.
//! All calls are safe to repeat: reads change nothing, a post has an id, and a change sets a state.

pub mod changes;
pub mod search;

use std::thread;
use std::time::{Duration, Instant};

use grpcio::{CallOption, Error as GrpcError, Method, RpcStatusCode};
use humantime::format_duration;
use protobuf::Message;
use thiserror::Error;
use zeroize::Zeroizing;

use super::backoff::Backoff;
use super::connect_error::ConnectError;
use super::connection::{Connection, Connector};
use super::contract::Contract;
use super::stream::{StreamError, stream_error, unless_outdated};
use super::v1::{Gap, GapReason, HistoryPage, Line, StoredMessage};
use crate::address::Address;
use crate::names::{Epoch, Kind, RoomName, UserName};
use crate::wire::{LIST_MEMBERS, LIST_MESSAGES, LIST_ROOMS, LOGIN, POST_MESSAGE, v1};

/// Why a call failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CallError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("{0}")]
    Refused(String),
    /// There is no such room or message.
    #[error("{0}")]
    NotFound(String),
    /// The message has another text than its author saw.
    #[error("the message was changed meanwhile: {0}")]
    Changed(String),
    /// The server does not have the method.
    #[error("the server can't do that: it is older than this client, or has that turned off")]
    Unknown,
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

/// A room of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomInfo {
    pub name: String,
    pub head_seq: u64,
    pub oldest_seq: u64,
    pub members: u32,
    /// Empty for none.
    pub topic: String,
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

    /// Exchanges the code of an invitation for a token, and the name of its user. Tried once: the code is valid once.
    pub fn log_in(&mut self, code: &str, device: &str) -> Result<(Zeroizing<String>, String), CallError> {
        let request = v1::LoginRequest { code: code.to_owned(), device: device.to_owned(), ..Default::default() };
        let timeout = self.timeout;
        match self.attempt(&LOGIN, &request, timeout) {
            Ok(v1::LoginResponse { token, name, .. }) => Ok((Zeroizing::new(token), name)),
            Err(Failure::Lasting(error)) => Err(error),
            Err(Failure::Temporary(last)) => Err(CallError::TimedOut { timeout, last }),
        }
    }

    /// Posts one message, which is stored once when this returns. After a failure it may or may not be stored;
    /// repeating the call with the same id is safe.
    pub fn post(&mut self, room: &RoomName, sender: &UserName, line: &Line) -> Result<Posted, CallError> {
        let kind = if line.kind == Kind::Action { v1::Kind::KIND_ACTION } else { v1::Kind::KIND_TEXT };
        let request = v1::PostMessageRequest {
            room: room.as_str().to_owned(),
            sender: sender.as_str().to_owned(),
            message_id: line.id.as_bytes().to_vec(),
            body: line.body.as_str().to_owned(),
            kind: kind.into(),
            reply_to_seq: line.reply_to.unwrap_or(0),
            mentions: line.mentions.clone().into(),
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
            epoch: Epoch::new(response.epoch),
            head_seq: response.head_seq,
            oldest_seq: response.oldest_seq,
        })
    }

    /// Lists the rooms after a token; the first page is after the empty one.
    pub fn rooms(&mut self, page_token: &str) -> Result<Page<RoomInfo>, CallError> {
        let request = v1::ListRoomsRequest { page_size: 1000, page_token: page_token.to_owned(), ..Default::default() };
        let response = self.call(&LIST_ROOMS, &request)?;
        let info = |v1::Room { name, head_seq, oldest_seq, member_count, topic, .. }| RoomInfo {
            name,
            head_seq,
            oldest_seq,
            members: member_count,
            topic,
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
                Err(Failure::Lasting(error)) => return Err(error),
                Err(Failure::Temporary(last)) => last,
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
    ) -> Result<P, Failure> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connector.open(&self.address).map_err(|e| Failure::Temporary(e.to_string()))?,
        };
        let headers = connection.headers().map_err(|e| Failure::from(stream_error(e, Contract::V1)))?;
        let options = CallOption::default().timeout(left).headers(headers.build());
        let outcome = connection.client().unary_call(method, request, options);
        let outcome = outcome.map_err(|error| match &error {
            GrpcError::RpcFailure(status) => {
                let (status, text) = (status.clone(), status.message().to_owned());
                match (status.code(), stream_error(error, Contract::V1)) {
                    (RpcStatusCode::NOT_FOUND, _) => Failure::Lasting(CallError::NotFound(text)),
                    (RpcStatusCode::ABORTED, _) => Failure::Lasting(CallError::Changed(text)),
                    (RpcStatusCode::UNIMPLEMENTED, _) if is_newer(method.name) => Failure::Lasting(CallError::Unknown),
                    (_, error) => unless_outdated(error, &status, connection.presented()).into(),
                }
            }
            _ => stream_error(error, Contract::V1).into(),
        });
        self.connection = Some(connection);
        outcome
    }
}

/// Why an attempt failed.
enum Failure {
    /// Another attempt would fail too.
    Lasting(CallError),
    Temporary(String),
}

impl From<StreamError> for Failure {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Refused(reason) => Self::Lasting(CallError::Refused(reason)),
            StreamError::Lost(last) | StreamError::Fault(last) => Self::Temporary(last),
            error => Self::Lasting(CallError::Unreadable(error)),
        }
    }
}

/// Whether some servers of the contract lack the method: those that are older, or have no index.
fn is_newer(method: &str) -> bool {
    [&POST_MESSAGE.name, &LIST_MESSAGES.name, &LIST_ROOMS.name, &LIST_MEMBERS.name, &LOGIN.name]
        .iter()
        .all(|old| **old != method)
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

/// The event as a message; `None` if it is of another kind.
fn stored(event: v1::Event) -> Result<Option<StoredMessage>, CallError> {
    let v1::Event { seq, time_ms, event: Some(v1::event::Event::Message(message)), .. } = event else {
        return Ok(None);
    };
    let without_id = || CallError::Unreadable(StreamError::Unreadable("a message without an id".to_owned()));
    StoredMessage::read(seq, time_ms, message).map(Some).ok_or_else(without_id)
}
