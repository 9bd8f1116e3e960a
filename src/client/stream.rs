//! One conversation over the tutorial's contract, split for two threads.
//!
//! Both halves are dead once they have reported their end, because the gRPC library may panic when a finished call is
//! touched again.

use std::pin::Pin;
use std::time::Instant;

use futures_util::stream::{AbortHandle, Abortable};
use futures_util::{SinkExt, StreamExt};
use grpcio::{
    CallOption, Client, ClientDuplexReceiver, ClientDuplexSender, Error as GrpcError, MetadataBuilder, RpcStatus,
    RpcStatusCode, WriteFlags,
};
use thiserror::Error;

use super::connection::Connection;
use crate::names::{Body, UserName};
use crate::park::{block_on, block_on_until};
use crate::wire::tutorial::{FromClient, FromServer};
use crate::wire::{END_AFTER_HALF_CLOSE, TUTORIAL_CHAT_CLIENT};

/// What somebody else said, as the server passed it on. Nothing about the text is checked: whoever shows it on a
/// terminal escapes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    pub name: String,
    pub body: String,
}

/// Why a conversation ended before it was finished.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The server won't have it, and would not have it again: there is no use in coming back.
    #[error("the server refused: {0}")]
    Refused(String),
    /// The connection or the server is gone, or the server asks to come back later.
    #[error("{0}")]
    Lost(String),
    /// What came is no message of the contract.
    #[error("the server sent what is no chat message ({0}): see whether a chat server listens there")]
    Unreadable(String),
    /// This side ended the conversation.
    #[error("the conversation was cancelled")]
    Cancelled,
}

/// The half that sends. Dropping it unfinished cancels the conversation, which ends the other half too.
pub struct Sender {
    sink: ClientDuplexSender<FromClient>,
    state: SenderState,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum SenderState {
    Open,
    /// Half-closed, or broken by an error.
    Dead,
}

/// The half that receives. Dropping it cancels a conversation that has not ended.
pub struct Receiver {
    stream: Abortable<ClientDuplexReceiver<FromServer>>,
    abort: AbortHandle,
    /// The status that the conversation ended with, while messages before it may still have to be read.
    failure: Option<StreamError>,
    ended: bool,
    /// Keeps the connection for as long as somebody listens. Dropped after the stream.
    _client: Client,
}

/// Ends a conversation from any thread: its receiver returns [`StreamError::Cancelled`].
#[derive(Clone)]
pub struct Canceller(AbortHandle);

impl Connection {
    /// Starts a conversation. It asks the server to end the stream with `OK` after this side's half-close, once all that
    /// was sent is committed; so only one who is about to go should [`finish`](Sender::finish).
    pub fn converse(&self) -> Result<(Sender, Receiver), StreamError> {
        let mut headers = MetadataBuilder::new();
        headers.add_str(END_AFTER_HALF_CLOSE, "1").map_err(lost)?;
        let options = CallOption::default().headers(headers.build());
        let (sink, stream) = self.client().duplex_streaming(&TUTORIAL_CHAT_CLIENT, options).map_err(lost)?;
        let (abort, registration) = AbortHandle::new_pair();
        let stream = Abortable::new(stream, registration);
        Ok((
            Sender { sink, state: SenderState::Open },
            Receiver { stream, abort, failure: None, ended: false, _client: self.client().clone() },
        ))
    }
}

impl Sender {
    /// Sends, and waits until the message has left for the network or been taken into the connection's bounded
    /// buffers. That it arrived, the contract can't say before the [`finish`](Self::finish).
    pub fn send(&mut self, name: &UserName, body: &Body) -> Result<(), StreamError> {
        self.attempt(|sink| block_on(sink.send(message(name, body))))
    }

    /// Sends, and waits only for the message before: for one who has much to send. Its error may thus be that of the
    /// message before.
    pub fn send_on(&mut self, name: &UserName, body: &Body) -> Result<(), StreamError> {
        self.attempt(|sink| block_on(sink.feed(message(name, body))))
    }

    /// Half-closes: nothing more will be sent. The receiver then gets what is still on its way, and the end.
    pub fn finish(&mut self, deadline: Instant) -> Result<(), StreamError> {
        let outcome = self.attempt(|sink| {
            let mut close = sink.close();
            block_on_until(&mut Pin::new(&mut close), deadline).unwrap_or(Err(GrpcError::RemoteStopped))
        });
        self.state = SenderState::Dead;
        outcome
    }

    fn attempt(
        &mut self,
        step: impl FnOnce(&mut ClientDuplexSender<FromClient>) -> grpcio::Result<()>,
    ) -> Result<(), StreamError> {
        if self.state == SenderState::Dead {
            return Err(StreamError::Lost("the conversation has ended".to_owned()));
        }
        // The sink is kept after an error: dropping it would cancel the call, and so hide from the receiver with which
        // status the server ended it.
        step(&mut self.sink).map_err(|e| {
            self.state = SenderState::Dead;
            lost(e)
        })
    }
}

impl Receiver {
    /// Waits for the next message. `None` says that the server ended the conversation in good order: after a
    /// [`Sender::finish`], that everything sent is committed.
    pub fn receive(&mut self) -> Result<Option<Incoming>, StreamError> {
        if self.ended {
            return Ok(None);
        }
        loop {
            match block_on(self.stream.next()) {
                Some(Ok(FromServer { name, body, .. })) => return Ok(Some(Incoming { name, body })),
                // The library reports a status as soon as it is there, before a message that came just ahead of it. It
                // then goes on to the end of the messages, so the status can wait until there.
                Some(Err(GrpcError::RpcFailure(status))) if self.failure.is_none() => {
                    self.failure = Some(judge(&status))
                }
                Some(Err(e)) => {
                    self.ended = true;
                    return Err(self.failure.take().unwrap_or_else(|| lost(e)));
                }
                None => {
                    self.ended = true;
                    return match self.failure.take() {
                        Some(failure) => Err(failure),
                        None if self.stream.is_aborted() => Err(StreamError::Cancelled),
                        None => Ok(None),
                    };
                }
            }
        }
    }

    /// What ends the conversation from another thread.
    pub fn canceller(&self) -> Canceller {
        Canceller(self.abort.clone())
    }
}

impl Canceller {
    pub fn cancel(&self) {
        self.0.abort();
    }
}

fn message(name: &UserName, body: &Body) -> (FromClient, WriteFlags) {
    let message = FromClient { name: name.as_str().to_owned(), body: body.as_str().to_owned(), ..Default::default() };
    (message, WriteFlags::default())
}

/// What the library's error means to a client.
fn lost(error: GrpcError) -> StreamError {
    match error {
        GrpcError::RpcFailure(status) | GrpcError::RpcFinished(Some(status)) => judge(&status),
        GrpcError::Codec(e) => StreamError::Unreadable(e.to_string()),
        GrpcError::RpcFinished(None) | GrpcError::RemoteStopped => {
            StreamError::Lost("the connection to the server is lost".to_owned())
        }
        other => StreamError::Lost(other.to_string()),
    }
}

/// Tells a status that another attempt would get again from one that it may not.
fn judge(status: &RpcStatus) -> StreamError {
    let text = if status.message().is_empty() { status.code().to_string() } else { status.message().to_owned() };
    match status.code() {
        RpcStatusCode::UNIMPLEMENTED => StreamError::Refused(format!("it does not speak this chat contract ({text})")),
        RpcStatusCode::INVALID_ARGUMENT | RpcStatusCode::PERMISSION_DENIED | RpcStatusCode::UNAUTHENTICATED => {
            StreamError::Refused(text)
        }
        _ => StreamError::Lost(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_would_be_refused_again_is_a_refusal() {
        let judged = |code, text: &str| judge(&RpcStatus::with_message(code, text.to_owned()));
        assert_eq!(judged(RpcStatusCode::INVALID_ARGUMENT, "too long"), StreamError::Refused("too long".to_owned()));
        assert!(matches!(judged(RpcStatusCode::UNIMPLEMENTED, ""), StreamError::Refused(_)));
        assert_eq!(judged(RpcStatusCode::UNAVAILABLE, "gone"), StreamError::Lost("gone".to_owned()));
        assert!(matches!(judged(RpcStatusCode::RESOURCE_EXHAUSTED, ""), StreamError::Lost(_)));
    }
}
