//! The state of a naive server: one room, and what each change does to it.

use std::collections::{BTreeMap, HashMap};

use grpcio::RpcStatusCode as Code;
use hubbub::limits::{EMOJIS_MAX, PINS_MAX, REACTORS_NAMED_MAX};
use hubbub::wire::v1;

use super::calls::Act;
use crate::support::talker::message_id;

/// A message as it is now.
#[derive(Clone, Debug, Default)]
pub struct Said {
    pub sender: String,
    /// 0 if it is not known.
    pub id: u128,
    /// `None` if it was deleted.
    pub body: Option<String>,
    pub reply_to: u64,
    pub changed: u64,
    pub edited: u64,
    pub deleted_by: Option<String>,
    /// Who reacted, in order.
    pub reactions: Vec<(String, Vec<String>)>,
    /// All texts that it has had.
    pub texts: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub struct Room {
    pub head: u64,
    pub messages: BTreeMap<u64, Said>,
    /// The pinned messages, each with its event.
    pub pins: Vec<(u64, u64)>,
    pub topic: String,
    topic_seq: u64,
    /// When each text was removed: it was the n-th.
    pub removed: HashMap<String, usize>,
    pub removals: usize,
    /// The messages that retention has deleted, as they were.
    pub trimmed: BTreeMap<u64, Said>,
    /// The messages by their senders and ids; ids outlive their messages.
    ids: HashMap<(String, u128), (u64, String)>,
}

impl Room {
    /// The seq of the next event.
    fn event(&mut self) -> u64 {
        self.head += 1;
        self.head
    }

    /// A message of unknown id, as the tutorial's contract posts it.
    pub fn say(&mut self, sender: &str, body: &str) -> u64 {
        let seq = self.event();
        let said = Said { sender: sender.to_owned(), body: Some(body.to_owned()), ..Said::default() };
        self.messages.insert(seq, Said { texts: vec![body.to_owned()], ..said });
        seq
    }

    /// The seq of the response to a call, or the status.
    pub fn act(&mut self, by: &str, act: &Act) -> Result<u64, Code> {
        let result = self.judge(by, act);
        if let Act::Edit { body, .. } | Act::Post { body, .. } = act {
            self.settle(body);
        }
        result
    }

    fn judge(&mut self, by: &str, act: &Act) -> Result<u64, Code> {
        match act {
            Act::Post { id, body, reply_to } => {
                if *reply_to > self.head {
                    return Err(Code::NOT_FOUND);
                }
                if let Some((seq, text)) = self.ids.get(&(by.to_owned(), *id)) {
                    return if text == body { Ok(*seq) } else { Err(Code::ALREADY_EXISTS) };
                }
                let seq = self.say(by, body);
                self.ids.insert((by.to_owned(), *id), (seq, body.clone()));
                let said = self.messages.get_mut(&seq).expect("it was said");
                (said.id, said.reply_to) = (*id, *reply_to);
                Ok(seq)
            }
            Act::Edit { message, body, seen } => {
                let said = self.kept(*message)?;
                if said.sender != by {
                    return Err(Code::PERMISSION_DENIED);
                }
                if said.body.as_deref() == Some(body) {
                    return Ok(said.edited.max(*message));
                }
                if seen.is_some_and(|seen| seen != said.edited && (said.edited != 0 || seen != *message)) {
                    return Err(Code::ABORTED);
                }
                let before = said.body.replace(body.clone());
                said.texts.push(body.clone());
                let seq = self.changed(*message);
                self.messages.get_mut(message).expect("it is kept").edited = seq;
                before.iter().for_each(|text| self.remove(text));
                Ok(seq)
            }
            Act::Delete { message } => {
                let said = self.messages.get_mut(message).ok_or(Code::NOT_FOUND)?;
                if said.body.is_none() {
                    return Ok(said.changed);
                }
                if said.sender != by {
                    return Err(Code::PERMISSION_DENIED);
                }
                let before = said.body.take();
                (said.edited, said.deleted_by) = (0, Some(by.to_owned()));
                said.reactions.clear();
                before.iter().for_each(|text| self.remove(text));
                self.pins.retain(|(pinned, _)| pinned != message);
                Ok(self.changed(*message))
            }
            Act::React { message, emoji, removed } => {
                let said = self.kept(*message)?;
                let place = said.reactions.iter().position(|(other, _)| other == emoji);
                let has = place.is_some_and(|at| said.reactions[at].1.iter().any(|name| name == by));
                if has != *removed {
                    return Ok(said.changed.max(*message));
                }
                match place {
                    Some(at) if *removed => said.reactions[at].1.retain(|name| name != by),
                    Some(at) => said.reactions[at].1.push(by.to_owned()),
                    None if said.reactions.len() >= EMOJIS_MAX => return Err(Code::FAILED_PRECONDITION),
                    None => said.reactions.push((emoji.clone(), vec![by.to_owned()])),
                }
                said.reactions.retain(|(_, names)| !names.is_empty());
                Ok(self.changed(*message))
            }
            Act::Pin { message, removed: true } => {
                let count = self.pins.len();
                self.pins.retain(|(pinned, _)| pinned != message);
                Ok(if self.pins.len() < count { self.event() } else { 0 })
            }
            Act::Pin { message, removed: false } => {
                self.kept(*message)?;
                if let Some((_, seq)) = self.pins.iter().find(|(pinned, _)| pinned == message) {
                    return Ok(*seq);
                }
                if self.pins.len() >= PINS_MAX {
                    return Err(Code::FAILED_PRECONDITION);
                }
                let seq = self.event();
                self.pins.push((*message, seq));
                Ok(seq)
            }
            Act::Topic(topic) => {
                if self.topic != *topic {
                    topic.clone_into(&mut self.topic);
                    self.topic_seq = self.event();
                }
                Ok(self.topic_seq)
            }
        }
    }

    fn kept(&mut self, message: u64) -> Result<&mut Said, Code> {
        match self.messages.get_mut(&message) {
            None => Err(Code::NOT_FOUND),
            Some(said) if said.body.is_none() => Err(Code::FAILED_PRECONDITION),
            Some(said) => Ok(said),
        }
    }

    fn changed(&mut self, message: u64) -> u64 {
        let seq = self.event();
        self.messages.get_mut(&message).expect("it is kept").changed = seq;
        seq
    }

    pub fn remove(&mut self, text: &str) {
        self.removed.insert(text.to_owned(), self.removals);
        self.removals += 1;
    }

    /// A text that was asked for is now that of a message, or must not be found.
    pub fn settle(&mut self, text: &str) {
        match self.messages.values().any(|said| said.body.as_deref() == Some(text)) {
            true => drop(self.removed.remove(text)),
            false => self.remove(text),
        }
    }

    /// Retention has deleted everything before this event.
    pub fn trim(&mut self, oldest: u64) {
        let kept = self.messages.split_off(&oldest);
        for (seq, said) in std::mem::replace(&mut self.messages, kept) {
            said.body.iter().for_each(|text| self.remove(text));
            self.trimmed.insert(seq, said);
        }
        self.pins.retain(|(pinned, _)| *pinned >= oldest);
    }

    pub fn pinned(&self) -> Vec<u64> {
        self.pins.iter().map(|(message, _)| *message).collect()
    }
}

impl Said {
    /// Compares it with a message that a client has.
    pub fn check(&self, seq: u64, message: &v1::Message) {
        let body = message.deleted_by.is_none().then_some(&message.body);
        let deleted_by = message.deleted_by.as_ref().map(|person| &person.name);
        let found = (&message.sender, body, message.reply_to_seq, message.changed_seq, message.edited_seq, deleted_by);
        let expected =
            (&self.sender, self.body.as_ref(), self.reply_to, self.changed, self.edited, self.deleted_by.as_ref());
        assert_eq!(found, expected, "message {seq}");
        assert!(message.deleted_by.is_none() || message.body.is_empty(), "message {seq}: {message:?}");
        assert!(self.id == 0 || message.message_id == message_id(self.id), "message {seq}: {message:?}");
        let found: Vec<_> = message
            .reactions
            .iter()
            .map(|reaction| {
                let names: Vec<_> = reaction.people.iter().map(|person| person.name.clone()).collect();
                (reaction.emoji.clone(), reaction.count as usize, names)
            })
            .collect();
        let named = |names: &[String]| names.iter().take(REACTORS_NAMED_MAX).cloned().collect::<Vec<_>>();
        let expected: Vec<_> =
            self.reactions.iter().map(|(emoji, names)| (emoji.clone(), names.len(), named(names))).collect();
        assert_eq!(found, expected, "message {seq}");
    }
}
