//! The unary calls that change messages, as one user makes them in one room.

use std::future::Future;
use std::pin::Pin;

use futures_util::FutureExt as _;
use grpcio::{Client, Error, Method};
use hubbub::threads::park::block_on;
use hubbub::wire::v1::change_room_request::Change;
use hubbub::wire::v1::list_messages_request::Place;
use hubbub::wire::{
    CHANGE_ROOM, DELETE_MESSAGE, EDIT_MESSAGE, LIST_MESSAGES, LIST_REACTIONS, POST_MESSAGE, SET_PIN, SET_REACTION, v1,
};

use crate::support::DEADLINE;
use crate::support::talker::{End, call_as, message_id, with_token};

/// What a user does.
#[derive(Clone, Debug)]
pub enum Act {
    Post { id: u128, body: String, reply_to: u64 },
    Edit { message: u64, body: String, seen: Option<u64> },
    Delete { message: u64 },
    React { message: u64, emoji: String, removed: bool },
    Pin { message: u64, removed: bool },
    Topic(String),
}

/// A call in progress: the seq of its response.
pub type Pending = Pin<Box<dyn Future<Output = Result<u64, End>>>>;

/// A user in a room.
#[derive(Clone)]
pub struct Caller {
    pub client: Client,
    pub room: String,
    pub name: String,
    pub token: Option<String>,
    /// The room's epoch, as the calls give it. 0: none.
    pub epoch: u64,
}

impl Caller {
    pub fn new(client: &Client, room: &str, name: &str) -> Self {
        Self { client: client.clone(), room: room.to_owned(), name: name.to_owned(), token: None, epoch: 0 }
    }

    pub fn with_token(self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self }
    }

    pub fn named(&self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self.clone() }
    }

    /// Begins a call.
    pub fn start(&self, act: &Act) -> Pending {
        let (room, sender, epoch) = (self.room.clone(), self.name.clone(), self.epoch);
        match act.clone() {
            Act::Post { id, body, reply_to: reply_to_seq } => {
                let message_id = message_id(id);
                let request =
                    v1::PostMessageRequest { room, sender, message_id, body, reply_to_seq, ..Default::default() };
                self.begin(&POST_MESSAGE, &request, |response| response.seq)
            }
            Act::Edit { message: message_seq, body, seen } => {
                // The first text is that of the message itself.
                let seen_seq = seen.map_or(0, |edited| if edited == 0 { message_seq } else { edited });
                let request =
                    v1::EditMessageRequest { room, sender, message_seq, epoch, body, seen_seq, ..Default::default() };
                self.begin(&EDIT_MESSAGE, &request, |response| response.seq)
            }
            Act::Delete { message: message_seq } => {
                let request = v1::DeleteMessageRequest { room, sender, message_seq, epoch, ..Default::default() };
                self.begin(&DELETE_MESSAGE, &request, |response| response.seq)
            }
            Act::React { message: message_seq, emoji, removed } => {
                let request =
                    v1::SetReactionRequest { room, sender, message_seq, epoch, emoji, removed, ..Default::default() };
                self.begin(&SET_REACTION, &request, |response| response.seq)
            }
            Act::Pin { message: message_seq, removed } => {
                let request = v1::SetPinRequest { room, sender, message_seq, epoch, removed, ..Default::default() };
                self.begin(&SET_PIN, &request, |response| response.seq)
            }
            Act::Topic(topic) => {
                let request =
                    v1::ChangeRoomRequest { room, sender, change: Some(Change::Topic(topic)), ..Default::default() };
                self.begin(&CHANGE_ROOM, &request, |response| response.seq)
            }
        }
    }

    fn begin<Q, P: Unpin + 'static>(&self, method: &Method<Q, P>, request: &Q, seq: fn(P) -> u64) -> Pending {
        let option = with_token(self.token.as_deref()).timeout(DEADLINE);
        let receiver = self.client.unary_call_async(method, request, option).expect("a call begins");
        receiver.map(move |response| response.map(seq).map_err(ended)).boxed_local()
    }

    /// Makes a call. Returns the seq of its response.
    pub fn act(&self, act: &Act) -> Result<u64, End> {
        block_on(self.start(act))
    }

    pub fn post(&self, id: u128, body: &str) -> Result<u64, End> {
        self.act(&Act::Post { id, body: body.to_owned(), reply_to: 0 })
    }

    pub fn edit(&self, message: u64, body: &str) -> Result<u64, End> {
        self.act(&Act::Edit { message, body: body.to_owned(), seen: None })
    }

    pub fn delete(&self, message: u64) -> Result<u64, End> {
        self.act(&Act::Delete { message })
    }

    pub fn react(&self, message: u64, emoji: &str) -> Result<u64, End> {
        self.act(&Act::React { message, emoji: emoji.to_owned(), removed: false })
    }

    pub fn unreact(&self, message: u64, emoji: &str) -> Result<u64, End> {
        self.act(&Act::React { message, emoji: emoji.to_owned(), removed: true })
    }

    pub fn pin(&self, message: u64) -> Result<u64, End> {
        self.act(&Act::Pin { message, removed: false })
    }

    pub fn unpin(&self, message: u64) -> Result<u64, End> {
        self.act(&Act::Pin { message, removed: true })
    }

    pub fn topic(&self, topic: &str) -> Result<u64, End> {
        self.act(&Act::Topic(topic.to_owned()))
    }

    /// A page of messages.
    pub fn page(&self, place: Option<Place>, page_size: u32) -> Result<v1::ListMessagesResponse, End> {
        let request = v1::ListMessagesRequest { room: self.room.clone(), place, page_size, ..Default::default() };
        call_as(&self.client, &LIST_MESSAGES, &request, self.token.as_deref())
    }

    /// All messages, page by page, and the last page.
    pub fn messages(&self) -> (Vec<v1::Event>, v1::ListMessagesResponse) {
        let (mut events, mut after) = (Vec::new(), 0);
        loop {
            let page = self.page(Some(Place::AfterSeq(after)), 1_000).expect("a page");
            let Some(last) = page.events.last() else { return (events, page) };
            // A gap has no seq of its own.
            after = if last.has_gap() { last.gap().to_seq } else { last.seq };
            events.extend(page.events);
        }
    }

    /// One message.
    pub fn message(&self, seq: u64) -> v1::Message {
        let page = self.page(Some(Place::AfterSeq(seq - 1)), 1).expect("a page");
        let event = page.events.into_iter().next().filter(|event| event.seq == seq);
        event.unwrap_or_else(|| panic!("no message {seq}")).message().clone()
    }

    /// A page of those who reacted.
    pub fn reactions(
        &self,
        message_seq: u64,
        emoji: &str,
        page_size: u32,
        page_token: &str,
    ) -> Result<v1::ListReactionsResponse, End> {
        let (room, emoji, page_token) = (self.room.clone(), emoji.to_owned(), page_token.to_owned());
        let request =
            v1::ListReactionsRequest { room, message_seq, emoji, page_size, page_token, ..Default::default() };
        call_as(&self.client, &LIST_REACTIONS, &request, self.token.as_deref())
    }

    /// The names of all who reacted, page by page.
    pub fn reactors(&self, message: u64, emoji: &str, page_size: u32) -> Result<Vec<String>, End> {
        let (mut names, mut token) = (Vec::new(), String::new());
        loop {
            let page = self.reactions(message, emoji, page_size, &token)?;
            assert!(page.people.len() <= page_size as usize);
            names.extend(page.people.into_iter().map(|person| person.name));
            token = page.next_page_token;
            if token.is_empty() {
                return Ok(names);
            }
        }
    }
}

fn ended(error: Error) -> End {
    match error {
        Error::RpcFailure(status) => End { code: status.code(), message: status.message().to_owned() },
        error => panic!("an error of the library: {error}"),
    }
}
