//! One stream on the tutorial's contract, split for two threads.

use std::time::Instant;

use crate::client::connection::Connection;
use crate::client::contract::Contract;
use crate::client::stream::{self, Canceller, StreamError};
use crate::names::{Body, UserName};
use crate::wire::tutorial::{FromClient, FromServer};
use crate::wire::{END_AFTER_HALF_CLOSE, TUTORIAL_CHAT_CLIENT};

/// A message of another client, as received. The text is not checked: it must be escaped before it is shown on a
/// terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    pub name: String,
    pub body: String,
}

/// The sending half. Dropping it unfinished cancels the stream, which ends the other half too.
pub struct Sender(stream::Sender<FromClient>);

/// The receiving half. Dropping it cancels a stream that has not ended.
pub struct Receiver(stream::Receiver<FromServer>);

impl Connection {
    /// Starts a stream. It requests that the server end the stream with `OK` after this side's half-close, once all
    /// sent messages are committed; so [`finish`](Sender::finish) should be called only before leaving.
    pub fn converse(&self) -> Result<(Sender, Receiver), StreamError> {
        let header = Some((END_AFTER_HALF_CLOSE, "1"));
        let (sender, receiver) = stream::open(self, Contract::Tutorial, &TUTORIAL_CHAT_CLIENT, header)?;
        Ok((Sender(sender), Receiver(receiver)))
    }
}

impl Sender {
    /// Sends, and waits until the message has left for the network or is in the connection's bounded buffers. The
    /// contract can't confirm its arrival before [`finish`](Self::finish).
    pub fn send(&mut self, name: &UserName, body: &Body) -> Result<(), StreamError> {
        self.0.send(message(name, body))
    }

    /// Sends, and waits only for the previous message, for bulk sending. Its error may be that of the previous message.
    pub fn send_on(&mut self, name: &UserName, body: &Body) -> Result<(), StreamError> {
        self.0.send_on(message(name, body))
    }

    /// Half-closes: nothing more will be sent. The receiver then gets the messages that are still in flight, and the
    /// end.
    pub fn finish(&mut self, deadline: Instant) -> Result<(), StreamError> {
        self.0.finish(deadline)
    }
}

impl Receiver {
    /// Waits for the next message. `None` means that the server ended the stream with OK: after a [`Sender::finish`],
    /// everything sent is committed.
    pub fn receive(&mut self) -> Result<Option<Incoming>, StreamError> {
        Ok(self.0.receive()?.map(|FromServer { name, body, .. }| Incoming { name, body }))
    }

    /// A handle to end the stream from another thread.
    pub fn canceller(&self) -> Canceller {
        self.0.canceller()
    }
}

fn message(name: &UserName, body: &Body) -> FromClient {
    FromClient { name: name.as_str().to_owned(), body: body.as_str().to_owned(), ..Default::default() }
}
