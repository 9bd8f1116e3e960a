//! Messages as they are stored: with the changes that they include.

use super::place::Gap;
use crate::names::{ClientId, Epoch, Kind, MessageId};
use crate::wire::v1;

/// A message of a room, as it is now. Its texts are not checked: they must be escaped before they are shown on a
/// terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    pub seq: u64,
    /// When it was stored, by the server's clock, in milliseconds since 1970.
    pub time_ms: u64,
    pub id: MessageId,
    pub sender: String,
    /// Empty if it was deleted.
    pub body: String,
    pub kind: Kind,
    /// The client that posted it, if known.
    pub client_id: Option<u64>,
    /// Whether the sender had logged in. Otherwise the name is a claim.
    pub authenticated: bool,
    pub extras: Extras,
}

/// The parts that few messages have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// The message of the same room that it replies to.
    pub reply_to: Option<u64>,
    /// The names that it mentions; `*` is everybody.
    pub mentions: Vec<String>,
    /// The newest event that it includes; 0 if it never changed.
    pub changed_seq: u64,
    /// The event that set its text, and when; 0 for the original text.
    pub edited_seq: u64,
    pub edited_ms: u64,
    /// Who deleted it.
    pub deleted_by: Option<Person>,
    /// In the order in which their emojis were first used.
    pub reactions: Vec<Reaction>,
}

/// Somebody, as others see them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    pub name: String,
    /// Whether they had logged in. Otherwise the name is a claim.
    pub authenticated: bool,
}

/// The reactions to a message with one emoji.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reaction {
    pub emoji: String,
    pub count: u32,
    /// The first of them, at most 20. `Caller::reactions` lists all.
    pub people: Vec<Person>,
}

/// A page of a room's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryPage {
    /// In the order of seq, as they are at `head_seq`. A missing seq is in a gap, or belongs to another event.
    pub messages: Vec<StoredMessage>,
    /// The gaps that the server can't read, in the order of seq.
    pub gaps: Vec<Gap>,
    /// The seq of the last event of the page, or the end of a gap; `None` if there are no more messages in that
    /// direction.
    pub last_seq: Option<u64>,
    /// `None` if the server sent none.
    pub epoch: Option<Epoch>,
    pub head_seq: u64,
    pub oldest_seq: u64,
}

/// What nearly all messages have.
pub static NO_EXTRAS: Extras = Extras {
    reply_to: None,
    mentions: Vec::new(),
    changed_seq: 0,
    edited_seq: 0,
    edited_ms: 0,
    deleted_by: None,
    reactions: Vec::new(),
};

impl Extras {
    pub fn is_deleted(&self) -> bool {
        self.deleted_by.is_some()
    }

    pub(in crate::client) fn read(message: &v1::Message) -> Self {
        Self {
            reply_to: Some(message.reply_to_seq).filter(|seq| *seq > 0),
            mentions: message.mentions.clone(),
            changed_seq: message.changed_seq,
            edited_seq: message.edited_seq,
            edited_ms: message.edited_ms,
            deleted_by: message.deleted_by.as_ref().map(Person::read),
            reactions: message.reactions.iter().map(Reaction::read).collect(),
        }
    }
}

impl Person {
    pub(in crate::client) fn read(person: &v1::Person) -> Self {
        Self { name: person.name.clone(), authenticated: person.authenticated }
    }
}

impl Reaction {
    fn read(reaction: &v1::Reaction) -> Self {
        let people = reaction.people.iter().map(Person::read).collect();
        Self { emoji: reaction.emoji.clone(), count: reaction.count, people }
    }
}

impl StoredMessage {
    /// `None` if the id is invalid.
    pub(in crate::client) fn read(seq: u64, time_ms: u64, message: v1::Message) -> Option<Self> {
        Some(Self {
            seq,
            time_ms,
            id: message_id(&message.message_id)?,
            kind: kind(message.kind.enum_value_or_default()),
            client_id: client(message.client_id).map(|client| client.0),
            authenticated: message.authenticated,
            extras: Extras::read(&message),
            sender: message.sender,
            body: message.body,
        })
    }
}

/// `None` if the server sent no valid id.
pub fn message_id(bytes: &[u8]) -> Option<MessageId> {
    bytes.try_into().ok().map(MessageId::from_bytes)
}

/// An unknown kind is shown as text.
pub fn kind(kind: v1::Kind) -> Kind {
    if kind == v1::Kind::KIND_ACTION { Kind::Action } else { Kind::Text }
}

/// 0 means that the client is unknown.
pub fn client(id: u64) -> Option<ClientId> {
    (id != 0).then_some(ClientId(id))
}
