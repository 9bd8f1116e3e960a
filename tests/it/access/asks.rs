//! What a client asks for, and the code of the answer.

use grpcio::{Client, RpcStatusCode as Code};
use hubbub::wire::v1::event::Event as Kind;
use hubbub::wire::{self, v1};

use super::{BUILDS, TEA};
use crate::support::DEADLINE;
use crate::support::chatter::{Chatter, Next};
use crate::support::talker::{self, Talker, call_as, message_id};

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Ask {
    Hello,
    Join(&'static str),
    PostOnStream(&'static str),
    PostMessage(&'static str),
    ListMessages(&'static str),
    ListMembers(&'static str),
    ListRooms,
    /// In one room, or in all.
    Search(&'static str),
    EditMessage(&'static str),
    DeleteMessage(&'static str),
    SetReaction(&'static str),
    ListReactions(&'static str),
    SetPin(&'static str),
    ChangeRoom(&'static str),
    Tutorial,
}

pub const ASKS: [Ask; 27] = [
    Ask::Hello,
    Ask::Join(BUILDS),
    Ask::Join(TEA),
    Ask::PostOnStream(BUILDS),
    Ask::PostOnStream(TEA),
    Ask::PostMessage(BUILDS),
    Ask::PostMessage(TEA),
    Ask::ListMessages(BUILDS),
    Ask::ListMessages(TEA),
    Ask::ListMembers(TEA),
    Ask::ListRooms,
    Ask::Search(BUILDS),
    Ask::Search(TEA),
    Ask::Search(""),
    Ask::EditMessage(BUILDS),
    Ask::EditMessage(TEA),
    Ask::DeleteMessage(BUILDS),
    Ask::DeleteMessage(TEA),
    Ask::SetReaction(BUILDS),
    Ask::SetReaction(TEA),
    Ask::ListReactions(BUILDS),
    Ask::ListReactions(TEA),
    Ask::SetPin(BUILDS),
    Ask::SetPin(TEA),
    Ask::ChangeRoom(BUILDS),
    Ask::ChangeRoom(TEA),
    Ask::Tutorial,
];

/// A message that no room has: an allowed change is refused with `NOT_FOUND`, and nothing is changed.
const NO_MESSAGE: u64 = 1 << 40;

/// One client of one server.
pub struct Asking<'a> {
    pub client: Client,
    pub token: Option<&'a str>,
    pub name: &'a str,
    pub body: String,
    pub id: u128,
}

impl Asking<'_> {
    pub fn ask(&self, ask: Ask) -> Code {
        match ask {
            Ask::Hello => self.hello().err().unwrap_or(Code::OK),
            Ask::Join(room) => self.hello().and_then(|talker| join(talker, room)).err().unwrap_or(Code::OK),
            Ask::PostOnStream(room) => {
                let posted = self.hello().and_then(|talker| join(talker, room)).and_then(|mut talker| {
                    talker.post(room, self.id, &self.body);
                    settled(&mut talker)
                });
                posted.err().unwrap_or(Code::OK)
            }
            Ask::PostMessage(room) => {
                let request = v1::PostMessageRequest {
                    room: room.to_owned(),
                    sender: self.name.to_owned(),
                    message_id: message_id(self.id),
                    body: self.body.clone(),
                    ..Default::default()
                };
                self.call(&wire::POST_MESSAGE, &request)
            }
            Ask::ListMessages(room) => {
                let request = v1::ListMessagesRequest { room: room.to_owned(), ..Default::default() };
                self.call(&wire::LIST_MESSAGES, &request)
            }
            Ask::ListMembers(room) => {
                let request = v1::ListMembersRequest { room: room.to_owned(), ..Default::default() };
                self.call(&wire::LIST_MEMBERS, &request)
            }
            Ask::ListRooms => self.call(&wire::LIST_ROOMS, &v1::ListRoomsRequest::default()),
            Ask::Search(room) => {
                let (query, room) = ("message".to_owned(), room.to_owned());
                self.call(&wire::SEARCH_MESSAGES, &v1::SearchMessagesRequest { query, room, ..Default::default() })
            }
            Ask::EditMessage(room) => {
                let (room, sender, body) = (room.to_owned(), self.name.to_owned(), self.body.clone());
                let request =
                    v1::EditMessageRequest { room, sender, message_seq: NO_MESSAGE, body, ..Default::default() };
                self.call(&wire::EDIT_MESSAGE, &request)
            }
            Ask::DeleteMessage(room) => {
                let (room, sender) = (room.to_owned(), self.name.to_owned());
                let request = v1::DeleteMessageRequest { room, sender, message_seq: NO_MESSAGE, ..Default::default() };
                self.call(&wire::DELETE_MESSAGE, &request)
            }
            Ask::SetReaction(room) => {
                let (room, sender, emoji) = (room.to_owned(), self.name.to_owned(), "+1".to_owned());
                let request =
                    v1::SetReactionRequest { room, sender, message_seq: NO_MESSAGE, emoji, ..Default::default() };
                self.call(&wire::SET_REACTION, &request)
            }
            Ask::ListReactions(room) => {
                let (room, emoji) = (room.to_owned(), "+1".to_owned());
                let request = v1::ListReactionsRequest { room, message_seq: NO_MESSAGE, emoji, ..Default::default() };
                self.call(&wire::LIST_REACTIONS, &request)
            }
            Ask::SetPin(room) => {
                let (room, sender) = (room.to_owned(), self.name.to_owned());
                let request = v1::SetPinRequest { room, sender, message_seq: NO_MESSAGE, ..Default::default() };
                self.call(&wire::SET_PIN, &request)
            }
            Ask::ChangeRoom(room) => {
                let (room, sender) = (room.to_owned(), self.name.to_owned());
                let change = Some(v1::change_room_request::Change::Topic(self.body.clone()));
                self.call(&wire::CHANGE_ROOM, &v1::ChangeRoomRequest { room, sender, change, ..Default::default() })
            }
            Ask::Tutorial => {
                let mut chatter = Chatter::join_over_to_finish(self.client.clone(), self.name);
                chatter.say(&self.body);
                chatter.half_close();
                match chatter.next() {
                    Next::Ended { code, .. } => code,
                    Next::Message { .. } => Code::OK,
                }
            }
        }
    }

    fn call<Q, P: Unpin>(&self, method: &grpcio::Method<Q, P>, request: &Q) -> Code {
        call_as(&self.client, method, request, self.token).err().map_or(Code::OK, |end| end.code)
    }

    fn hello(&self) -> Result<Talker, Code> {
        let mut talker = Talker::over(self.client.clone(), self.name, self.token);
        talker.send(vec![talker::hello(self.name)]);
        settled(&mut talker).map(|()| talker)
    }
}

fn join(mut talker: Talker, room: &str) -> Result<Talker, Code> {
    talker.send(vec![talker::join(room, None)]);
    loop {
        match next(&mut talker)? {
            Kind::CaughtUp(_) => return Ok(talker),
            Kind::Joined(_) | Kind::Presence(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Waits for the answer to a command: a welcome, or the message itself.
fn settled(talker: &mut Talker) -> Result<(), Code> {
    loop {
        match next(talker)? {
            Kind::Welcome(_) | Kind::Message(_) => return Ok(()),
            Kind::Presence(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn next(talker: &mut Talker) -> Result<Kind, Code> {
    match talker.next_within(DEADLINE).expect("an answer in time") {
        Ok(event) => match event.event.expect("a known event") {
            Kind::Rejected(rejected) => {
                assert_eq!(rejected.code.enum_value(), Ok(v1::rejected::Code::CODE_DENIED), "{}", rejected.reason);
                Err(Code::PERMISSION_DENIED)
            }
            event => Ok(event),
        },
        Err(end) => Err(end.code),
    }
}
