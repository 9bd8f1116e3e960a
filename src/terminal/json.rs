//! JSON for programs, an object a line. The order of the fields is that of the line.

use std::fmt::Write as _;

use serde::Serialize;

use super::format::hex;
use crate::client::{Extras, LoggedChange, Message, Person, Reaction, RoomJoined, StoredMessage};
use crate::escape::acts;
use crate::names::Kind;

/// An event of a room's log.
#[derive(Serialize)]
pub struct JsonEvent<'a> {
    room: &'a str,
    seq: u64,
    time_ms: u64,
    #[serde(flatten)]
    event: JsonKind<'a>,
}

/// The kind of an event, and its fields.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum JsonKind<'a> {
    Message(JsonMessage<'a>),
    /// Without a body: a later event has replaced it.
    Edited {
        message_seq: u64,
        #[serde(skip_serializing_if = "str::is_empty")]
        body: &'a str,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        mentions: &'a [String],
    },
    Reacted {
        message_seq: u64,
        emoji: &'a str,
        by: JsonPerson<'a>,
        removed: bool,
    },
    Deleted {
        message_seq: u64,
        by: JsonPerson<'a>,
    },
    Pinned {
        message_seq: u64,
        by: JsonPerson<'a>,
        removed: bool,
    },
    RoomChanged {
        by: JsonPerson<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        topic: Option<&'a str>,
    },
    /// An event that is newer than this client.
    Unknown,
}

/// A message as it is now. What it does not have is omitted.
#[derive(Serialize)]
struct JsonMessage<'a> {
    /// 32 hexadecimal digits.
    message_id: String,
    sender: &'a str,
    body: &'a str,
    /// `text` or `action`.
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<u64>,
    /// Whether the sender had logged in.
    authenticated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to_seq: Option<u64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    mentions: &'a [String],
    #[serde(skip_serializing_if = "is_none")]
    changed_seq: u64,
    #[serde(skip_serializing_if = "is_none")]
    edited_seq: u64,
    #[serde(skip_serializing_if = "is_none")]
    edited_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_by: Option<JsonPerson<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reactions: Vec<JsonReaction<'a>>,
}

#[derive(Serialize)]
struct JsonPerson<'a> {
    name: &'a str,
    authenticated: bool,
}

#[derive(Serialize)]
struct JsonReaction<'a> {
    emoji: &'a str,
    count: u32,
    people: Vec<JsonPerson<'a>>,
}

/// The state of a room, at the head that it names.
#[derive(Serialize)]
pub struct JsonHead<'a> {
    room: &'a str,
    event: &'static str,
    time_ms: u64,
    head_seq: u64,
    oldest_seq: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    topic: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pinned_seqs: &'a [u64],
}

/// A stored message of `send`.
#[derive(Serialize)]
pub struct JsonPosted<'a> {
    pub room: &'a str,
    pub seq: u64,
    /// 32 hexadecimal digits.
    pub id: String,
}

/// A room of the list.
#[derive(Serialize)]
pub struct JsonRoom<'a> {
    pub room: &'a str,
    pub head_seq: u64,
    pub oldest_seq: u64,
    pub members: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub topic: &'a str,
}

/// A member of a room.
#[derive(Serialize)]
pub struct JsonMember<'a> {
    pub room: &'a str,
    pub client_id: u64,
    pub name: &'a str,
    pub authenticated: bool,
}

impl<'a> JsonEvent<'a> {
    pub fn message(message: &Message<'a>) -> Self {
        let Message { room, seq, time_ms, ref id, sender, body, kind, client_id, authenticated, extras, .. } = *message;
        let event = JsonKind::Message(JsonMessage {
            message_id: hex(id),
            sender,
            body,
            kind: word(kind),
            client_id,
            authenticated,
            ..JsonMessage::with(extras)
        });
        Self { room: room.as_str(), seq, time_ms, event }
    }

    pub fn stored(room: &'a str, message: &'a StoredMessage) -> Self {
        let StoredMessage { seq, time_ms, ref id, kind, client_id, authenticated, .. } = *message;
        let event = JsonKind::Message(JsonMessage {
            message_id: hex(id),
            sender: &message.sender,
            body: &message.body,
            kind: word(kind),
            client_id,
            authenticated,
            ..JsonMessage::with(&message.extras)
        });
        Self { room, seq, time_ms, event }
    }

    pub fn change(room: &'a str, seq: u64, time_ms: u64, change: &'a LoggedChange) -> Self {
        let event = match change {
            LoggedChange::Edited { message_seq, body, mentions } => {
                JsonKind::Edited { message_seq: *message_seq, body, mentions }
            }
            LoggedChange::Reacted { message_seq, emoji, by, removed } => {
                JsonKind::Reacted { message_seq: *message_seq, emoji, by: by.into(), removed: *removed }
            }
            LoggedChange::Deleted { message_seq, by } => JsonKind::Deleted { message_seq: *message_seq, by: by.into() },
            LoggedChange::Pinned { message_seq, by, removed } => {
                JsonKind::Pinned { message_seq: *message_seq, by: by.into(), removed: *removed }
            }
            LoggedChange::Room { by, topic } => JsonKind::RoomChanged { by: by.into(), topic: topic.as_deref() },
        };
        Self { room, seq, time_ms, event }
    }

    /// An event of an unknown kind.
    pub fn unknown(room: &'a str, seq: u64, time_ms: u64) -> Self {
        Self { room, seq, time_ms, event: JsonKind::Unknown }
    }
}

impl<'a> JsonMessage<'a> {
    fn with(extras: &'a Extras) -> Self {
        Self {
            message_id: String::new(),
            sender: "",
            body: "",
            kind: "",
            client_id: None,
            authenticated: false,
            reply_to_seq: extras.reply_to,
            mentions: &extras.mentions,
            changed_seq: extras.changed_seq,
            edited_seq: extras.edited_seq,
            edited_ms: extras.edited_ms,
            deleted_by: extras.deleted_by.as_ref().map(JsonPerson::from),
            reactions: extras.reactions.iter().map(JsonReaction::from).collect(),
        }
    }
}

impl<'a> From<&RoomJoined<'a>> for JsonHead<'a> {
    fn from(joined: &RoomJoined<'a>) -> Self {
        let RoomJoined { room, time_ms, head_seq, oldest_seq, topic, pinned_seqs, .. } = *joined;
        Self { room: room.as_str(), event: "room", time_ms, head_seq, oldest_seq, topic, pinned_seqs }
    }
}

impl<'a> From<&'a Person> for JsonPerson<'a> {
    fn from(person: &'a Person) -> Self {
        Self { name: &person.name, authenticated: person.authenticated }
    }
}

impl<'a> From<&'a Reaction> for JsonReaction<'a> {
    fn from(reaction: &'a Reaction) -> Self {
        let people = reaction.people.iter().map(JsonPerson::from).collect();
        Self { emoji: &reaction.emoji, count: reaction.count, people }
    }
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "text",
        Kind::Action => "action",
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_none(seq: &u64) -> bool {
    *seq == 0
}

/// The value as one line. JSON escapes the characters below the space; other characters that act on a terminal are
/// escaped here in JSON's form, so that a program reads the same text.
pub fn json(value: &impl Serialize) -> String {
    // Invariant: the values have string keys, and none fails to serialize.
    let line = serde_json::to_string(value).expect("plain values are JSON");
    if !line.chars().any(acts) {
        return line;
    }
    let mut escaped = String::with_capacity(line.len() + 16);
    for c in line.chars() {
        if acts(c) {
            // Outside of strings JSON is printable, so this is in a string.
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::client::NO_EXTRAS;
    use crate::names::{MessageId, RoomName};

    fn message<'a>(room: &'a RoomName, sender: &'a str, body: &'a str) -> Message<'a> {
        Message {
            room,
            seq: 7,
            time_ms: 1_700_000_000_000,
            id: MessageId::from_bytes([0xab; 16]),
            sender,
            body,
            kind: Kind::Action,
            client_id: Some(0x3f),
            authenticated: true,
            extras: &NO_EXTRAS,
            own: false,
        }
    }

    #[test]
    fn a_json_line_has_all_fields() {
        let room = RoomName::lobby();
        let expected = concat!(
            r#"{"room":"lobby","seq":7,"time_ms":1700000000000,"event":"message","#,
            r#""message_id":"abababababababababababababababab","#,
            r#""sender":"ann","body":"\"hi\"\u001b[2J\u009b\u202e\n","kind":"action","client_id":63,"authenticated":true}"#
        );
        let message = message(&room, "ann", "\"hi\"\u{1b}[2J\u{9b}\u{202e}\n");
        assert_eq!(json(&JsonEvent::message(&message)), expected);
    }

    #[test]
    fn a_changed_message_and_its_changes_say_what_changed() {
        let room = RoomName::lobby();
        let person = Person { name: "bob".to_owned(), authenticated: true };
        let extras = Extras {
            reply_to: Some(3),
            mentions: vec!["ann".to_owned()],
            changed_seq: 9,
            edited_seq: 8,
            edited_ms: 5,
            deleted_by: Some(person.clone()),
            reactions: vec![Reaction { emoji: "+1".to_owned(), count: 1, people: vec![person.clone()] }],
        };
        let line = json(&JsonEvent::message(&Message { extras: &extras, ..message(&room, "ann", "x") }));
        let expected = concat!(
            r#""reply_to_seq":3,"mentions":["ann"],"changed_seq":9,"edited_seq":8,"edited_ms":5,"#,
            r#""deleted_by":{"name":"bob","authenticated":true},"#,
            r#""reactions":[{"emoji":"+1","count":1,"people":[{"name":"bob","authenticated":true}]}]}"#
        );
        assert!(line.ends_with(expected), "{line}");
        let change = |change: &LoggedChange| json(&JsonEvent::change("lobby", 9, 5, change));
        let edited = LoggedChange::Edited { message_seq: 7, body: "y".to_owned(), mentions: Vec::new() };
        let expected = r#"{"room":"lobby","seq":9,"time_ms":5,"event":"edited","message_seq":7,"body":"y"}"#;
        assert_eq!(change(&edited), expected);
        let replaced = LoggedChange::Edited { message_seq: 7, body: String::new(), mentions: Vec::new() };
        assert!(change(&replaced).ends_with(r#""event":"edited","message_seq":7}"#));
        let topic = LoggedChange::Room { by: person, topic: Some(String::new()) };
        let expected = r#""event":"room_changed","by":{"name":"bob","authenticated":true},"topic":""}"#;
        assert!(change(&topic).ends_with(expected), "{}", change(&topic));
    }

    proptest! {
        #[test]
        fn json_reads_back_and_has_no_control_characters(sender in any::<String>(), body in any::<String>()) {
            let room = RoomName::lobby();
            let line = json(&JsonEvent::message(&message(&room, &sender, &body)));
            prop_assert!(!line.chars().any(acts));
            let read: serde_json::Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!((read["sender"].as_str(), read["body"].as_str()), (Some(&*sender), Some(&*body)));
        }
    }
}
