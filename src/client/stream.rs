//! One stream, split for two threads, for both contracts.
//!
//! Requests and responses go through it as bytes: each contract encodes and decodes its own.
//!
//! Both halves are dead once they have reported their end, because the gRPC library may panic when a finished call is
//! touched again.

use std::io::Read as _;
use std::pin::Pin;
use std::time::Instant;

use futures_util::stream::{AbortHandle, Abortable};
use futures_util::{SinkExt, StreamExt};
use grpcio::{
    CallOption, Client, ClientDuplexReceiver, ClientDuplexSender, Error as GrpcError, GrpcSlice, Marshaller,
    MessageReader, Method, MethodType, RpcStatus, RpcStatusCode, WriteFlags,
};
use thiserror::Error;

use super::connection::Connection;
use super::contract::Contract;
use super::login::Presented;
use crate::threads::park::{block_on, block_on_until};

/// Why a stream ended before it was finished.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The server refused it permanently: another attempt is useless.
    #[error("the server refused: {0}")]
    Refused(String),
    /// The connection or the server is gone, or the server is temporarily unavailable.
    #[error("{0}")]
    Lost(String),
    /// The server violated the contract. This side can resume over another connection.
    #[error("the server violated the contract: {0}")]
    Fault(String),
    /// The received data is not a message of the contract.
    #[error("the server sent an invalid message ({0}): check whether a chat server listens there")]
    Unreadable(String),
    /// This side ended the stream.
    #[error("the conversation was cancelled")]
    Cancelled,
}

/// The half that sends. Dropping it unfinished cancels the conversation, which ends the other half too.
pub struct Sender {
    sink: ClientDuplexSender<GrpcSlice>,
    /// Half-closed, or broken by an error.
    is_dead: bool,
    contract: Contract,
}

/// The half that receives. Dropping it cancels a conversation that has not ended.
pub struct Receiver {
    stream: Abortable<ClientDuplexReceiver<Vec<u8>>>,
    abort: AbortHandle,
    contract: Contract,
    /// The final status of the stream, while earlier messages may still have to be read.
    failure: Option<StreamError>,
    ended: bool,
    presented: Option<Presented>,
    /// Keeps the connection while the receiver exists. Dropped after the stream.
    _client: Client,
}

/// Ends a stream from any thread: its receiver returns [`StreamError::Cancelled`].
#[derive(Clone)]
pub struct Canceller(AbortHandle);

/// Opens a stream, with an additional header if one is given.
pub(super) fn open(
    connection: &Connection,
    contract: Contract,
    method: &'static str,
    header: Option<(&str, &str)>,
) -> Result<(Sender, Receiver), StreamError> {
    let requests = Marshaller { ser: give, de: take_slice };
    let method = Method {
        ty: MethodType::Duplex,
        name: method,
        req_mar: requests,
        resp_mar: Marshaller { ser: give_bytes, de: take },
    };
    let mut headers = connection.headers().map_err(|e| stream_error(e, contract))?;
    if let Some((name, value)) = header {
        headers.add_str(name, value).map_err(|e| stream_error(e, contract))?;
    }
    let options = CallOption::default().headers(headers.build());
    let (sink, stream) =
        connection.client().duplex_streaming(&method, options).map_err(|e| stream_error(e, contract))?;
    let (abort, registration) = AbortHandle::new_pair();
    let stream = Abortable::new(stream, registration);
    Ok((
        Sender { sink, is_dead: false, contract },
        Receiver {
            stream,
            abort,
            contract,
            failure: None,
            ended: false,
            presented: connection.presented().cloned(),
            _client: connection.client().clone(),
        },
    ))
}

impl Sender {
    /// Sends, and waits only for the previous message, so that messages can be sent continuously. So its error may be
    /// that of the previous message.
    pub fn send_on(&mut self, message: GrpcSlice) -> Result<(), StreamError> {
        self.attempt(|sink| block_on(sink.feed((message, WriteFlags::default()))))
    }

    /// Half-closes: nothing more will be sent. The receiver then gets the messages that are still in flight.
    pub fn finish(&mut self, deadline: Instant) -> Result<(), StreamError> {
        let outcome = self.attempt(|sink| {
            let mut close = sink.close();
            block_on_until(&mut Pin::new(&mut close), deadline).unwrap_or(Err(GrpcError::RemoteStopped))
        });
        self.is_dead = true;
        outcome
    }

    fn attempt(
        &mut self,
        step: impl FnOnce(&mut ClientDuplexSender<GrpcSlice>) -> grpcio::Result<()>,
    ) -> Result<(), StreamError> {
        if self.is_dead {
            return Err(StreamError::Lost("the conversation has ended".to_owned()));
        }
        // The sink is kept after an error: dropping it would cancel the call, and so hide the server's status from the
        // receiver.
        step(&mut self.sink).map_err(|e| {
            self.is_dead = true;
            stream_error(e, self.contract)
        })
    }
}

impl Receiver {
    /// Waits for the next message. `None` means that the server ended the conversation cleanly. Fails at the deadline,
    /// if there is one; then the conversation should be dropped.
    pub fn receive(&mut self, deadline: Option<Instant>) -> Result<Option<Vec<u8>>, StreamError> {
        while !self.ended {
            let mut next = self.stream.next();
            let item = match deadline {
                None => block_on(next),
                Some(deadline) => block_on_until(&mut next, deadline)
                    .ok_or_else(|| StreamError::Lost("the server does not answer".to_owned()))?,
            };
            if let Some(outcome) = self.take(item) {
                return outcome;
            }
        }
        Ok(None)
    }

    /// Interprets an item of the library. `None` asks for the next.
    fn take(&mut self, item: Option<grpcio::Result<Vec<u8>>>) -> Option<Result<Option<Vec<u8>>, StreamError>> {
        match item {
            Some(Ok(message)) => Some(Ok(Some(message))),
            // The library reports a status as soon as it arrives, before a message that arrived just ahead of it. It
            // then continues to the end of the messages, so the status can wait until there.
            Some(Err(GrpcError::RpcFailure(status))) if self.failure.is_none() => {
                self.failure =
                    Some(unless_outdated(classify(&status, self.contract), &status, self.presented.as_ref()));
                None
            }
            Some(Err(e)) => {
                self.ended = true;
                Some(Err(self.failure.take().unwrap_or_else(|| stream_error(e, self.contract))))
            }
            None => {
                self.ended = true;
                Some(match self.failure.take() {
                    Some(failure) => Err(failure),
                    None if self.stream.is_aborted() => Err(StreamError::Cancelled),
                    None => Ok(None),
                })
            }
        }
    }

    /// A handle to end the stream from another thread.
    pub fn canceller(&self) -> Canceller {
        Canceller(self.abort.clone())
    }
}

impl Canceller {
    pub fn cancel(&self) {
        self.0.abort();
    }
}

fn give(request: &GrpcSlice, buffer: &mut GrpcSlice) -> grpcio::Result<()> {
    *buffer = request.clone();
    Ok(())
}

fn give_bytes(response: &Vec<u8>, buffer: &mut GrpcSlice) -> grpcio::Result<()> {
    *buffer = GrpcSlice::from(response.as_slice());
    Ok(())
}

fn take(mut reader: MessageReader) -> grpcio::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(reader.len());
    reader.read_to_end(&mut bytes).map_err(|e| grpcio::Error::Codec(Box::new(e)))?;
    Ok(bytes)
}

fn take_slice(reader: MessageReader) -> grpcio::Result<GrpcSlice> {
    take(reader).map(GrpcSlice::from)
}

/// Converts an error of the library for a client.
pub(super) fn stream_error(error: GrpcError, contract: Contract) -> StreamError {
    match error {
        GrpcError::RpcFailure(status) | GrpcError::RpcFinished(Some(status)) => classify(&status, contract),
        GrpcError::Codec(e) => StreamError::Unreadable(e.to_string()),
        GrpcError::RpcFinished(None) | GrpcError::RemoteStopped => {
            StreamError::Lost("the connection to the server is lost".to_owned())
        }
        other => StreamError::Lost(other.to_string()),
    }
}

/// A login that has ended is not a permanent refusal if there is another token.
pub(super) fn unless_outdated(error: StreamError, status: &RpcStatus, presented: Option<&Presented>) -> StreamError {
    match error {
        StreamError::Refused(text)
            if status.code() == RpcStatusCode::UNAUTHENTICATED && presented.is_some_and(Presented::is_outdated) =>
        {
            StreamError::Lost(text)
        }
        error => error,
    }
}

/// Distinguishes permanent statuses from temporary ones.
fn classify(status: &RpcStatus, contract: Contract) -> StreamError {
    let text = match status.message() {
        "" => status.code().to_string(),
        // The library's text for a server that refuses a connection, which contains the server's reason.
        text => text.split_once("; Debug Text: ").map_or(text, |(_, reason)| reason).to_owned(),
    };
    // The library's text for an HTTP/2 answer without gRPC.
    if let Some((_, http)) = text.split_once("Received http2 header with status: ")
        && !matches!(http, "429" | "502" | "503" | "504")
    {
        return StreamError::Refused(format!(
            "a web server answers there, not a chat server (HTTP {http}): check the port"
        ));
    }
    match status.code() {
        RpcStatusCode::UNIMPLEMENTED => StreamError::Refused(format!("{} ({text})", contract.remedy())),
        RpcStatusCode::INVALID_ARGUMENT
        | RpcStatusCode::FAILED_PRECONDITION
        | RpcStatusCode::NOT_FOUND
        | RpcStatusCode::ALREADY_EXISTS
        | RpcStatusCode::ABORTED
        | RpcStatusCode::PERMISSION_DENIED
        | RpcStatusCode::UNAUTHENTICATED => StreamError::Refused(text),
        _ => StreamError::Lost(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_permanent_statuses_are_refusals() {
        let classified = |code, text: &str| classify(&RpcStatus::with_message(code, text.to_owned()), Contract::V1);
        assert_eq!(
            classified(RpcStatusCode::INVALID_ARGUMENT, "too long"),
            StreamError::Refused("too long".to_owned())
        );
        assert_eq!(classified(RpcStatusCode::UNAVAILABLE, "gone"), StreamError::Lost("gone".to_owned()));
        assert!(matches!(classified(RpcStatusCode::RESOURCE_EXHAUSTED, ""), StreamError::Lost(_)));
    }

    #[test]
    fn an_unimplemented_method_names_the_other_contract() {
        let status = RpcStatus::new(RpcStatusCode::UNIMPLEMENTED);
        let StreamError::Refused(text) = classify(&status, Contract::V1) else { panic!("it is a refusal") };
        assert!(text.contains("--contract tutorial"), "{text}");
    }
}
