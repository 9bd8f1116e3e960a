//! A client of the tutorial's contract, bare: no reconnecting, no checking.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use grpcio::{
    CallOption, ChannelBuilder, Client, ClientDuplexReceiver, ClientDuplexSender, Environment, Error, MetadataBuilder,
    RpcStatusCode, WriteFlags,
};
use hubbub::threads::park::{block_on, block_on_until};
use hubbub::wire::tutorial::{FromClient, FromServer};
use hubbub::wire::{END_AFTER_HALF_CLOSE, TUTORIAL_CHAT_CLIENT};

use super::DEADLINE;

/// One client on a connection of its own.
pub struct Chatter {
    name: String,
    sender: Option<ClientDuplexSender<FromClient>>,
    receiver: ClientDuplexReceiver<FromServer>,
    _client: Client,
}

/// What a chatter receives next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    Message {
        name: String,
        body: String,
    },
    /// The server ended the stream with this status.
    Ended {
        code: RpcStatusCode,
        message: String,
    },
}

impl Chatter {
    pub fn join(environment: &Arc<Environment>, target: &str, name: &str) -> Self {
        Self::open(connect(environment, target), name, CallOption::default())
    }

    /// Requests that the server end the stream when all sent messages are committed.
    pub fn join_to_finish(environment: &Arc<Environment>, target: &str, name: &str) -> Self {
        Self::join_over_to_finish(connect(environment, target), name)
    }

    /// The same over this connection.
    pub fn join_over_to_finish(client: Client, name: &str) -> Self {
        let mut headers = MetadataBuilder::new();
        headers.add_str(END_AFTER_HALF_CLOSE, "1").expect("a valid header");
        Self::open(client, name, CallOption::default().headers(headers.build()))
    }

    fn open(client: Client, name: &str, option: CallOption) -> Self {
        let (sender, receiver) = client.duplex_streaming(&TUTORIAL_CHAT_CLIENT, option).expect("a call begins");
        Self { name: name.to_owned(), sender: Some(sender), receiver, _client: client }
    }

    pub fn say(&mut self, body: &str) {
        let name = self.name.clone();
        self.say_as(&name, body);
    }

    pub fn say_as(&mut self, name: &str, body: &str) {
        let message = FromClient { name: name.to_owned(), body: body.to_owned(), ..Default::default() };
        let Some(sender) = &mut self.sender else { return };
        if block_on(sender.send((message, WriteFlags::default()))).is_err() {
            // The server has ended the stream; the receiving side gets the status.
            self.sender = None;
        }
    }

    pub fn half_close(&mut self) {
        // The server may have ended the stream; the receiving side gets the status.
        let Some(mut sender) = self.sender.take() else { return };
        match block_on(sender.close()) {
            // The server may end the call before the library reports that the half-close was sent.
            Ok(()) | Err(Error::RpcFinished(_)) => {}
            Err(error) => panic!("the half-close is not sent: {error}"),
        }
    }

    /// The next message, or how the stream ended.
    pub fn next(&mut self) -> Next {
        self.next_within(DEADLINE).unwrap_or_else(|| panic!("{} timed out waiting for a message", self.name))
    }

    /// `None` if nothing arrives in time.
    pub fn next_within(&mut self, time: Duration) -> Option<Next> {
        Some(match block_on_until(&mut self.receiver.next(), Instant::now() + time)? {
            Some(Ok(FromServer { name, body, .. })) => Next::Message { name, body },
            Some(Err(Error::RpcFailure(status))) => {
                Next::Ended { code: status.code(), message: status.message().to_owned() }
            }
            Some(Err(error)) => panic!("{} got an error of the library: {error}", self.name),
            None => Next::Ended { code: RpcStatusCode::OK, message: String::new() },
        })
    }

    /// The body of the next message.
    pub fn hear(&mut self) -> String {
        match self.next() {
            Next::Message { body, .. } => body,
            ended @ Next::Ended { .. } => panic!("{} expected a message: {ended:?}", self.name),
        }
    }

    /// The code and message of the stream's end, which must come next.
    pub fn end(&mut self) -> (RpcStatusCode, String) {
        match self.next() {
            Next::Ended { code, message } => (code, message),
            message @ Next::Message { .. } => panic!("{} expected the end: {message:?}", self.name),
        }
    }
}

fn connect(environment: &Arc<Environment>, target: &str) -> Client {
    Client::new(ChannelBuilder::new(Arc::clone(environment)).use_local_subchannel_pool(true).connect(target))
}

/// A poller for any number of chatters.
pub fn environment() -> Arc<Environment> {
    Arc::new(Environment::new(1))
}
