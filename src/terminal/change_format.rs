//! How changed messages, and changes, are shown to people. Each begins with a fixed text, so that no name and no text
//! of a user can imitate another change; a name is followed by a colon, or by the end of the line.

use super::format::{line, paragraph, shown_name, start_of};
use crate::client::{Extras, LoggedChange, Person, StoredMessage};
use crate::escape::{escape, escape_name};
use crate::names::Kind;

/// How the message that another one replies to is named: `re #9 "shall we go?"`.
pub fn reply_mark(seq: u64, target: Option<&StoredMessage>) -> String {
    match target {
        None => format!("[re #{seq}] "),
        Some(message) if message.extras.is_deleted() => format!("[re #{seq}, deleted] "),
        Some(message) => format!("[re #{seq} {}] ", start_of(&message.body)),
    }
}

/// What follows the text of a message that was changed: ` [edited, 👍 3]`.
pub fn marks(extras: &Extras) -> String {
    let edited = (extras.edited_seq > 0).then(|| "edited".to_owned());
    let reactions = extras.reactions.iter().map(|reaction| format!("{} {}", escape(&reaction.emoji), reaction.count));
    let marks: Vec<_> = edited.into_iter().chain(reactions).collect();
    if marks.is_empty() { String::new() } else { format!(" [{}]", marks.join(", ")) }
}

/// A message for people. `in_rows`: for a terminal, with its line breaks.
pub struct ShownMessage<'a> {
    /// As it is shown, not escaped.
    pub sender: &'a str,
    pub seq: u64,
    pub body: &'a str,
    pub kind: Kind,
    pub extras: &'a Extras,
    /// The message that it replies to, if it is known.
    pub reply_target: Option<&'a StoredMessage>,
    pub marks_claims: bool,
}

impl ShownMessage<'_> {
    pub fn text(&self, in_rows: bool) -> String {
        let Self { sender, seq, body, kind, extras, .. } = *self;
        if let Some(by) = &extras.deleted_by {
            return self.deleted(seq, by);
        }
        let show = if in_rows { paragraph } else { line };
        if extras.reply_to.is_none() && extras.reactions.is_empty() && extras.edited_seq == 0 {
            return show(sender, body, kind);
        }
        let reply = extras.reply_to.map_or(String::new(), |seq| reply_mark(seq, self.reply_target));
        show(sender, &format!("{reply}{body}{}", marks(extras)), kind)
    }

    fn deleted(&self, seq: u64, by: &Person) -> String {
        let deleter = shown_name(&by.name, self.marks_claims && !by.authenticated);
        deleted(seq, Some(self.sender).filter(|sender| *sender != deleter), &deleter)
    }
}

/// `sender`: if it was somebody else.
fn deleted(seq: u64, sender: Option<&str>, by: &str) -> String {
    match sender {
        None => format!("* deleted #{seq}: {}", escape_name(by)),
        Some(sender) => format!("* deleted #{seq} of {}: {}", escape_name(sender), escape_name(by)),
    }
}

/// A change for people. `message`: the one that it concerns, as it is after the change, if it is known.
pub fn change(change: &LoggedChange, message: Option<&StoredMessage>, marks_claims: bool, in_rows: bool) -> String {
    let name = |by: &Person| shown_name(&by.name, marks_claims && !by.authenticated).into_owned();
    let start = message.filter(|message| !message.body.is_empty());
    let start = start.map_or(String::new(), |message| format!(" {}", start_of(&message.body)));
    match change {
        LoggedChange::Edited { message_seq, body, .. } => match message {
            Some(message) if !message.extras.is_deleted() => {
                let sender = shown_name(&message.sender, marks_claims && !message.authenticated);
                let show = if in_rows { paragraph } else { line };
                let text = if body.is_empty() { &message.body } else { body };
                format!("* edited #{message_seq}: {}", show(&sender, text, message.kind))
            }
            // The sender is not known, so the text is in quotes: it could begin with a name.
            _ if !body.is_empty() => format!("* edited #{message_seq}: {}", start_of(body)),
            _ => format!("* edited #{message_seq}, and changed again"),
        },
        LoggedChange::Reacted { message_seq, emoji, by, removed } => {
            let what = if *removed { "removed from" } else { "to" };
            format!("* reaction {} {what} #{message_seq}{start}: {}", escape(emoji), escape_name(&name(by)))
        }
        LoggedChange::Deleted { message_seq, by } => {
            let by = name(by);
            let sender = message.map(|message| shown_name(&message.sender, marks_claims && !message.authenticated));
            deleted(*message_seq, sender.as_deref().filter(|sender| *sender != by), &by)
        }
        LoggedChange::Pinned { message_seq, by, removed } => {
            let what = if *removed { "unpinned" } else { "pinned" };
            format!("* {what} #{message_seq}{start}: {}", escape_name(&name(by)))
        }
        LoggedChange::Room { by, topic } => {
            let by = name(by);
            match topic.as_deref() {
                Some("") => format!("* topic removed: {}", escape_name(&by)),
                Some(topic) => format!("* topic set by {}: {}", escape_name(&by), escape(topic)),
                None => format!("* room changed: {}", escape_name(&by)),
            }
        }
    }
}

/// A message in a list, with its number: `#12 ann: the kettle boils`.
pub fn listed(message: &StoredMessage, marks_claims: bool) -> String {
    /// How many characters of a text are listed.
    const CHARS_MAX: usize = 200;
    let is_claim = marks_claims && !message.authenticated;
    let mut body: String = message.body.chars().take(CHARS_MAX).collect();
    if body.len() < message.body.len() {
        body.push('…');
    }
    let sender = shown_name(&message.sender, is_claim);
    let text = match message.extras.is_deleted() {
        true => format!("{}, deleted", escape_name(&sender)),
        false => line(&sender, &format!("{body}{}", marks(&message.extras)), message.kind),
    };
    format!("#{} {text}", message.seq)
}

#[cfg(test)]
mod tests;
