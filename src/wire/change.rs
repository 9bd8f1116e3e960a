//! How changes are stored: the events that report them, and the messages that they change.
//!
//! Changes are rare beside messages, so the generated code decodes and encodes them. It writes the same canonical form
//! as [`super::event`]: fields in order, each once, none empty.

use protobuf::{Message, MessageField};

use super::event::{Entry, EntryKind, Malformed};
use super::{parse, v1};
use crate::limits::REACTORS_NAMED_MAX;
use crate::names::{Body, Emoji, Mentions, MessageId, Sender, Seq, Topic};

/// Whether the content of an entry can be read. That of a kind that is newer than this program is opaque.
pub fn is_readable(entry: &Entry<'_>) -> bool {
    fn parses<M: Message>(content: &[u8]) -> bool {
        parse::<M>(content).is_ok()
    }
    let content = entry.content;
    match entry.kind {
        EntryKind::MESSAGE => {
            entry.message().is_some_and(|message| !message.has_more || parses::<v1::Message>(content))
        }
        EntryKind::EDITED => parses::<v1::Edited>(content),
        EntryKind::REACTED => parses::<v1::Reacted>(content),
        EntryKind::DELETED => parses::<v1::Deleted>(content),
        EntryKind::PINNED => parses::<v1::Pinned>(content),
        EntryKind::ROOM_CHANGED => parses::<v1::RoomChanged>(content),
        _ => true,
    }
}

/// The content of `Edited`.
pub fn edited(message: Seq, body: &Body, mentions: &Mentions) -> Vec<u8> {
    encode(&v1::Edited {
        message_seq: message.0,
        body: body.as_str().to_owned(),
        mentions: mentions.clone().into(),
        ..Default::default()
    })
}

/// The content of `Edited` after its text was replaced.
pub fn edited_before(message: Seq) -> Vec<u8> {
    encode(&v1::Edited { message_seq: message.0, ..Default::default() })
}

/// The content of `Reacted`.
pub fn reacted(message: Seq, emoji: &Emoji, by: &Sender, removed: bool) -> Vec<u8> {
    let (emoji, by) = (emoji.as_str().to_owned(), MessageField::some(person(by)));
    encode(&v1::Reacted { message_seq: message.0, emoji, by, removed, ..Default::default() })
}

/// The content of `Deleted`.
pub fn deleted(message: Seq, by: &Sender) -> Vec<u8> {
    encode(&v1::Deleted { message_seq: message.0, by: MessageField::some(person(by)), ..Default::default() })
}

/// The content of `Pinned`.
pub fn pinned(message: Seq, by: &Sender, removed: bool) -> Vec<u8> {
    encode(&v1::Pinned { message_seq: message.0, by: MessageField::some(person(by)), removed, ..Default::default() })
}

/// The content of `RoomChanged` for another topic.
pub fn topic_changed(topic: &Topic, by: &Sender) -> Vec<u8> {
    let change = Some(v1::room_changed::Change::Topic(topic.as_str().to_owned()));
    encode(&v1::RoomChanged { by: MessageField::some(person(by)), change, ..Default::default() })
}

/// Somebody, as events name them.
pub fn person(sender: &Sender) -> v1::Person {
    v1::Person { name: sender.name.as_str().to_owned(), authenticated: sender.authenticated, ..Default::default() }
}

/// The content of a stored message, to be changed.
#[derive(Clone, Debug)]
pub struct StoredMessage(v1::Message);

/// The change of a reaction.
#[derive(Clone, Copy, Debug)]
pub struct ReactionChange<'a> {
    pub emoji: &'a Emoji,
    pub by: &'a Sender,
    /// The event of the change.
    pub seq: Seq,
}

impl StoredMessage {
    pub fn read(content: &[u8]) -> Result<Self, Malformed> {
        parse(content).map(Self).map_err(|_| Malformed(0))
    }

    pub fn content(&self) -> Vec<u8> {
        encode(&self.0)
    }

    /// `None` if the stored id is invalid.
    pub fn id(&self) -> Option<MessageId> {
        self.0.message_id.as_slice().try_into().ok().map(MessageId::from_bytes)
    }

    /// Whether this sender posted it. A sender without a login is not the user of the same name.
    pub fn is_of(&self, sender: &Sender) -> bool {
        self.0.sender == sender.name.as_str() && self.0.authenticated == sender.authenticated
    }

    pub fn is_deleted(&self) -> bool {
        self.0.deleted_by.is_some()
    }

    /// The event that set its text; [`Seq::ZERO`] for the original text.
    pub fn edited(&self) -> Seq {
        Seq(self.0.edited_seq)
    }

    /// The newest event that it includes; [`Seq::ZERO`] if it never changed.
    pub fn changed(&self) -> Seq {
        Seq(self.0.changed_seq)
    }

    pub fn says(&self, body: &Body, mentions: &Mentions) -> bool {
        self.0.body == body.as_str() && self.0.mentions.iter().map(String::as_str).eq(mentions.iter())
    }

    /// How many different emojis it has as reactions, and whether this is one of them.
    pub fn emojis(&self, emoji: &Emoji) -> (usize, bool) {
        (self.0.reactions.len(), self.0.reactions.iter().any(|reaction| reaction.emoji == emoji.as_str()))
    }

    /// Replaces its text, by the event with this seq.
    pub fn edit(&mut self, body: &Body, mentions: &Mentions, seq: Seq, time_ms: u64) {
        self.0.body = body.as_str().to_owned();
        self.0.mentions = mentions.clone().into();
        (self.0.changed_seq, self.0.edited_seq, self.0.edited_ms) = (seq.0, seq.0, time_ms);
    }

    /// Deletes its text, mentions and reactions, by the event with this seq.
    pub fn delete(&mut self, by: &Sender, seq: Seq) {
        self.0.body = String::new();
        self.0.mentions = Vec::new();
        self.0.reactions = Vec::new();
        (self.0.changed_seq, self.0.edited_seq, self.0.edited_ms) = (seq.0, 0, 0);
        self.0.deleted_by = MessageField::some(person(by));
    }

    /// Adds a reaction that it does not have.
    pub fn react(&mut self, ReactionChange { emoji, by, seq }: ReactionChange<'_>) {
        self.0.changed_seq = seq.0;
        let known = self.0.reactions.iter().position(|reaction| reaction.emoji == emoji.as_str());
        let at = known.unwrap_or_else(|| {
            self.0.reactions.push(v1::Reaction { emoji: emoji.as_str().to_owned(), ..Default::default() });
            self.0.reactions.len() - 1
        });
        let reaction = &mut self.0.reactions[at];
        reaction.count = reaction.count.saturating_add(1);
        if reaction.people.len() < REACTORS_NAMED_MAX {
            reaction.people.push(person(by));
        }
    }

    /// Whether it names this sender for that reaction while more users reacted than it names: the next of them takes
    /// the place that becomes free when the reaction is removed.
    pub fn has_more(&self, ReactionChange { emoji, by, .. }: ReactionChange<'_>) -> bool {
        self.0.reactions.iter().any(|reaction| {
            reaction.emoji == emoji.as_str()
                && reaction.count as usize > reaction.people.len()
                && reaction.people.contains(&person(by))
        })
    }

    /// Removes a reaction that it has. `next` is the next user to name, if [`Self::has_more`].
    pub fn unreact(&mut self, ReactionChange { emoji, by, seq }: ReactionChange<'_>, next: Option<&Sender>) {
        self.0.changed_seq = seq.0;
        let by = person(by);
        for reaction in self.0.reactions.iter_mut().filter(|reaction| reaction.emoji == emoji.as_str()) {
            reaction.count = reaction.count.saturating_sub(1);
            if let Some(at) = reaction.people.iter().position(|named| *named == by) {
                reaction.people.remove(at);
                reaction.people.extend(next.map(person));
            }
        }
        self.0.reactions.retain(|reaction| reaction.count > 0);
    }
}

fn encode(message: &impl protobuf::Message) -> Vec<u8> {
    // Invariant: writing into a vector can't fail, and all fields are bounded far below protobuf's 2 GiB.
    message.write_to_bytes().expect("encoding into memory succeeds")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{ClientId, Kind, UserName};
    use crate::wire::event::{self, Content, NewMessage, read_content};

    fn claim(name: &str) -> Sender {
        Sender::claim(UserName::new(name).unwrap())
    }

    fn message() -> Vec<u8> {
        let mentions = Mentions::new(vec!["bob".to_owned(), "*".to_owned()]).unwrap();
        event::content(&NewMessage {
            id: &MessageId::from_bytes([7; 16]),
            sender: &Sender { authenticated: true, ..claim("ann") },
            client: Some(ClientId(300)),
            body: &Body::new("hello").unwrap(),
            kind: Kind::Action,
            reply_to: Seq(300),
            mentions: &mentions,
        })
    }

    fn read(content: &[u8]) -> Content<'_> {
        read_content(content).expect("the content is canonical")
    }

    /// The generated code writes the same bytes as the hand-written code, which can read them.
    #[test]
    fn a_message_stays_canonical_while_it_changes() {
        let content = message();
        let mut stored = StoredMessage::read(&content).unwrap();
        assert_eq!(stored.content(), content);
        assert!(stored.is_of(&Sender { authenticated: true, ..claim("ann") }) && !stored.is_of(&claim("ann")));
        assert_eq!((read(&content).reply_to, read(&content).changed), (Seq(300), Seq::ZERO));

        let (again, none) = (Body::new("hello again").unwrap(), Mentions::default());
        assert!(!stored.says(&again, &none));
        stored.edit(&again, &none, Seq(400), 1_700_000_000_000);
        assert!(stored.says(&again, &none));
        stored.react(ReactionChange { emoji: &Emoji::new("+1").unwrap(), by: &claim("bob"), seq: Seq(401) });
        let content = stored.content();
        let read_back = read(&content);
        assert_eq!((read_back.body, read_back.edited, read_back.changed), ("hello again", Seq(400), Seq(401)));
        assert_eq!(
            (read_back.kind, read_back.client, read_back.authenticated),
            (Kind::Action, Some(ClientId(300)), true)
        );

        stored.delete(&claim("ann"), Seq(402));
        let content = stored.content();
        let read_back = read(&content);
        assert_eq!((read_back.body, read_back.edited, read_back.changed), ("", Seq::ZERO, Seq(402)));
        assert!(read_back.is_deleted && stored.is_deleted());
        assert_eq!((read_back.id, read_back.sender), (MessageId::from_bytes([7; 16]), "ann"));
    }

    /// A message names the first twenty users who reacted, also after some of them removed their reactions.
    #[test]
    fn reactions_are_counted_and_the_first_are_named() {
        let mut stored = StoredMessage::read(&message()).unwrap();
        let thumb = Emoji::new("+1").unwrap();
        let names: Vec<Sender> = (0..25).map(|n| claim(&format!("user{n}"))).collect();
        let change = |by| ReactionChange { emoji: &thumb, by, seq: Seq(9) };
        names.iter().for_each(|by| stored.react(change(by)));
        let named = |stored: &StoredMessage| -> Vec<String> {
            stored.0.reactions[0].people.iter().map(|person| person.name.clone()).collect()
        };
        let expected: Vec<_> = (0..20).map(|n| format!("user{n}")).collect();
        assert_eq!((stored.0.reactions[0].count, named(&stored)), (25, expected));
        assert!(stored.has_more(change(&names[3])) && !stored.has_more(change(&names[22])));
        stored.unreact(change(&names[3]), Some(&names[20]));
        stored.unreact(change(&names[22]), None);
        let mut expected: Vec<_> = (0..21).map(|n| format!("user{n}")).collect();
        expected.remove(3);
        assert_eq!((stored.0.reactions[0].count, named(&stored)), (23, expected));
        assert_eq!(stored.emojis(&thumb), (1, true));
        let mut once = StoredMessage::read(&message()).unwrap();
        once.react(change(&names[0]));
        once.unreact(change(&names[0]), None);
        assert_eq!(once.emojis(&thumb), (0, false));
        read(&once.content());
    }

    /// A regression, found by the fuzzer: a field that declares more bytes than there are passed for a whole one.
    #[test]
    fn a_change_that_was_cut_off_is_not_readable() {
        let (ann, thumb) = (claim("ann"), Emoji::new("+1").unwrap());
        let content = reacted(Seq(300), &thumb, &ann, false);
        let is_readable = |content: &[u8]| {
            let kind = EntryKind::REACTED;
            is_readable(&Entry { room: crate::names::RoomId(1), seq: Seq(1), time_ms: 1, kind, content })
        };
        assert!(is_readable(&content));
        assert!(!is_readable(&content[..content.len() - 1]));
    }

    /// Events that concern a message contain its seq, also after their text was removed.
    #[test]
    fn events_of_changes_name_their_message() {
        let (ann, body, thumb) = (claim("ann"), Body::new("hi").unwrap(), Emoji::new("+1").unwrap());
        let events = [
            (event::EntryKind::EDITED, edited(Seq(300), &body, &Mentions::default())),
            (event::EntryKind::EDITED, edited_before(Seq(300))),
            (event::EntryKind::REACTED, reacted(Seq(300), &thumb, &ann, true)),
            (event::EntryKind::DELETED, deleted(Seq(300), &ann)),
            (event::EntryKind::PINNED, pinned(Seq(300), &ann, false)),
        ];
        for (kind, content) in &events {
            let entry = event::Entry { room: crate::names::RoomId(1), seq: Seq(1), time_ms: 1, kind: *kind, content };
            assert_eq!(entry.changed_message(), Some(Seq(300)));
        }
        let content = topic_changed(&Topic::new("tea").unwrap(), &ann);
        let kind = event::EntryKind::ROOM_CHANGED;
        let entry = event::Entry { room: crate::names::RoomId(1), seq: Seq(1), time_ms: 1, kind, content: &content };
        assert_eq!(entry.changed_message(), None);
    }
}
