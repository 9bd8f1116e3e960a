//! One conversation over the tutorial's contract, split for two threads.

use std::time::Instant;

use crate::client::connection::Connection;
use crate::client::contract::Contract;
use crate::client::stream::{self, Canceller, StreamError};
use crate::names::{Body, UserName};
use crate::wire::tutorial::{FromClient, FromServer};
use crate::wire::{END_AFTER_HALF_CLOSE, TUTORIAL_CHAT_CLIENT};

/// What somebody else said, as the server passed it on. Nothing about the text is checked: whoever shows it on a
/// terminal escapes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    pub name: String,
    pub body: String,
}

/// The half that sends. Dropping it unfinished cancels the conversation, which ends the other half too.
pub struct Sender(stream::Sender<FromClient>);

/// The half that receives. Dropping it cancels a conversation that has not ended.
pub struct Receiver(stream::Receiver<FromServer>);

impl Connection {
    /// Starts a conversation. It asks the server to end the stream with `OK` after this side's half-close, once all that
    /// was sent is committed; so only one who is about to go should [`finish`](Sender::finish).
    pub fn converse(&self) -> Result<(Sender, Receiver), StreamError> {
        let header = Some((END_AFTER_HALF_CLOSE, "1"));
        let (sender, receiver) = stream::open(self, Contract::Tutorial, &TUTORIAL_CHAT_CLIENT, header)?;
        Ok((Sender(sender), Receiver(receiver)))
    }
}

impl Sender {
    /// Sends, and waits until the message has left for the network or been taken into the connection's bounded
    /// buffers. That it arrived, the contract can't say before the [`finish`](Self::finish).
    pub fn send(&mut self, name: &UserName, body: &Body) -> Result<(), StreamError> {
        self.0.send(message(name, body))
    }

    /// Sends, and waits only for the message before: for one who has much to send. Its error may thus be that of the
    /// message before.
    pub fn send_on(&mut self, name: &UserName, body: &Body) -> Result<(), StreamError> {
        self.0.send_on(message(name, body))
    }

    /// Half-closes: nothing more will be sent. The receiver then gets what is still on its way, and the end.
    pub fn finish(&mut self, deadline: Instant) -> Result<(), StreamError> {
        self.0.finish(deadline)
    }
}

impl Receiver {
    /// Waits for the next message. `None` says that the server ended the conversation in good order: after a
    /// [`Sender::finish`], that everything sent is committed.
    pub fn receive(&mut self) -> Result<Option<Incoming>, StreamError> {
        Ok(self.0.receive()?.map(|FromServer { name, body, .. }| Incoming { name, body }))
    }

    /// What ends the conversation from another thread.
    pub fn canceller(&self) -> Canceller {
        self.0.canceller()
    }
}

fn message(name: &UserName, body: &Body) -> FromClient {
    FromClient { name: name.as_str().to_owned(), body: body.as_str().to_owned(), ..Default::default() }
}
