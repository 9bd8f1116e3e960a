//! Judges and applies changes: the rules of what a change does to its room's log.
//!
//! The result depends only on the log and the change, so copies of a log that get the same posts stay identical. The
//! rules:
//!
//! - An accepted change becomes an event. A change without an effect does not, and is answered with the event that set
//!   the current state.
//! - An edit, a deletion or a reaction rewrites the entry of the message: it shows the message after the change, and
//!   names the event as the newest that it includes.
//! - The text of a message is in at most two places: its entry, and the newest `Edited` event of the message. Another
//!   edit, a deletion, or retention that deletes the message empties that event.

use super::command::{Act, Change};
use super::draft::{Deletion, Draft};
use super::profile::{Pin, Profile};
use super::stored::{Found, Reaction, Stored};
use super::{Appended, LogError, Outcome, Segment};
use crate::limits::{EMOJIS_MAX, PINS_MAX, REACTORS_NAMED_MAX};
use crate::names::{Body, Emoji, Mentions, Sender, Seq, Topic};
use crate::wire::change::{self, ReactionChange, StoredMessage};
use crate::wire::event::{Entry, EntryKind};

/// Why a change is not applied.
enum Stop {
    /// It is refused. The rest of its batch is not affected.
    Refused(LogError),
    /// The batch fails.
    Failed(LogError),
}

impl From<LogError> for Stop {
    fn from(error: LogError) -> Self {
        Self::Failed(error)
    }
}

type Judged = Result<Appended, Stop>;

impl Draft {
    /// Applies a change by this sender.
    pub fn change(&mut self, change: &Change, by: &Sender, stored: &mut impl Stored) -> Result<Outcome, LogError> {
        match self.judge(change, by, stored) {
            Ok(appended) => Ok(Ok(appended)),
            Err(Stop::Refused(error)) => Ok(Err(error)),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    fn judge(&mut self, Change { epoch, act }: &Change, by: &Sender, stored: &mut impl Stored) -> Judged {
        if let Some(message) = act.message()
            && epoch.is_some_and(|epoch| epoch != self.epoch)
        {
            return refuse(LogError::OtherEpoch(message));
        }
        match act {
            Act::Edit { message, body, mentions, seen } => self.edit(*message, body, mentions, *seen, by, stored),
            Act::Delete { message, anybodys } => self.delete(*message, *anybodys, by, stored),
            Act::React { message, emoji, removed: false } => self.react(*message, emoji, by, stored),
            Act::React { message, emoji, removed: true } => self.unreact(*message, emoji, by, stored),
            Act::Pin { message, removed: false } => self.pin(*message, by, stored),
            Act::Pin { message, removed: true } => self.unpin(*message, by, stored),
            Act::SetTopic(topic) => self.set_topic(topic, by, stored),
        }
    }

    fn edit(
        &mut self,
        seq: Seq,
        body: &Body,
        mentions: &Mentions,
        seen: Option<Seq>,
        by: &Sender,
        stored: &mut impl Stored,
    ) -> Judged {
        let mut message = self.kept_message(seq, stored)?;
        if !message.is_of(by) {
            return refuse(LogError::NotOwn(seq));
        }
        if message.says(body, mentions) {
            return self.before(message.edited().max(seq));
        }
        if seen.is_some_and(|seen| seen != message.edited().max(seq)) {
            return refuse(LogError::Edited { message: seq, edited: message.edited().max(seq) });
        }
        let edit = self.find_edit(&message, stored)?;
        let event = self.push(EntryKind::EDITED, &change::edited(seq, body, mentions));
        self.empty_edit(edit, seq);
        message.edit(body, mentions, event, self.time_ms);
        self.replace(seq, &message.content());
        self.erases = true;
        self.new_event(event)
    }

    fn delete(&mut self, seq: Seq, anybodys: bool, by: &Sender, stored: &mut impl Stored) -> Judged {
        let mut message = self.message(seq, stored)?;
        if message.is_deleted() {
            return self.before(message.changed());
        }
        if !anybodys && !message.is_of(by) {
            return refuse(LogError::NotOwn(seq));
        }
        let edit = self.find_edit(&message, stored)?;
        let event = self.push(EntryKind::DELETED, &change::deleted(seq, by));
        self.empty_edit(edit, seq);
        message.delete(by, event);
        self.replace(seq, &message.content());
        stored.forget_reactions(self.room, seq)?;
        if self.profile(stored)?.unpin(|pinned| pinned == seq) {
            self.profile_changed = true;
        }
        self.erases = true;
        self.deletions.extend(message.id().map(|id| Deletion { seq, id, by: by.clone() }));
        self.new_event(event)
    }

    fn react(&mut self, seq: Seq, emoji: &Emoji, by: &Sender, stored: &mut impl Stored) -> Judged {
        let mut message = self.kept_message(seq, stored)?;
        let reaction = Reaction { room: self.room, message: seq, emoji, by };
        if stored.has_reacted(&reaction)? {
            return self.before(message.changed().max(seq));
        }
        if let (EMOJIS_MAX.., false) = message.emojis(emoji) {
            return refuse(LogError::TooManyEmojis(seq));
        }
        let event = self.push(EntryKind::REACTED, &change::reacted(seq, emoji, by, false));
        stored.react(&reaction, event)?;
        message.react(ReactionChange { emoji, by, seq: event });
        self.replace(seq, &message.content());
        self.new_event(event)
    }

    fn unreact(&mut self, seq: Seq, emoji: &Emoji, by: &Sender, stored: &mut impl Stored) -> Judged {
        let mut message = self.kept_message(seq, stored)?;
        let reaction = Reaction { room: self.room, message: seq, emoji, by };
        if !stored.has_reacted(&reaction)? {
            return self.before(message.changed().max(seq));
        }
        let event = self.push(EntryKind::REACTED, &change::reacted(seq, emoji, by, true));
        let change = ReactionChange { emoji, by, seq: event };
        let next = match message.has_more(change) {
            true => stored.reactor(self.room, seq, emoji, REACTORS_NAMED_MAX)?,
            false => None,
        };
        stored.unreact(&reaction)?;
        message.unreact(change, next.as_ref());
        self.replace(seq, &message.content());
        self.new_event(event)
    }

    fn pin(&mut self, seq: Seq, by: &Sender, stored: &mut impl Stored) -> Judged {
        self.kept_message(seq, stored)?;
        let profile = self.profile(stored)?;
        if let Some(event) = profile.pinned(seq) {
            return self.before(event);
        }
        if profile.pins.len() >= PINS_MAX {
            return refuse(LogError::TooManyPins);
        }
        let event = self.push(EntryKind::PINNED, &change::pinned(seq, by, false));
        self.profile(stored)?.pins.push(Pin { message: seq, seq: event });
        self.profile_changed = true;
        self.new_event(event)
    }

    fn unpin(&mut self, seq: Seq, by: &Sender, stored: &mut impl Stored) -> Judged {
        if !self.profile(stored)?.unpin(|pinned| pinned == seq) {
            return self.before(Seq::ZERO);
        }
        self.profile_changed = true;
        let event = self.push(EntryKind::PINNED, &change::pinned(seq, by, true));
        self.new_event(event)
    }

    fn set_topic(&mut self, topic: &Topic, by: &Sender, stored: &mut impl Stored) -> Judged {
        let profile = self.profile(stored)?;
        if profile.topic == *topic {
            let event = profile.topic_seq;
            return self.before(event);
        }
        let event = self.push(EntryKind::ROOM_CHANGED, &change::topic_changed(topic, by));
        let profile = self.profile(stored)?;
        (profile.topic, profile.topic_seq) = (topic.clone(), event);
        self.profile_changed = true;
        self.new_event(event)
    }

    /// A message, which may be deleted.
    fn message(&mut self, seq: Seq, stored: &mut impl Stored) -> Result<StoredMessage, Stop> {
        if seq == Seq::ZERO || seq > self.last {
            return Err(Stop::Refused(LogError::NoMessage(seq)));
        }
        let segment = match self.segment(seq, stored)? {
            Found::Segment(segment) => segment,
            Found::Gone => return Err(Stop::Refused(LogError::NoMessage(seq))),
            Found::Damaged(fault) => return Err(Stop::Refused(LogError::Damaged(fault))),
        };
        let entry = segment.entries().nth((seq.0 - segment.first().0) as usize);
        match entry.filter(|entry| entry.kind == EntryKind::MESSAGE) {
            Some(entry) => StoredMessage::read(entry.content).map_err(|_| {
                Stop::Refused(LogError::Damaged(format!("message {seq} can't be decoded: run hubbub-server verify")))
            }),
            None => Err(Stop::Refused(LogError::NoMessage(seq))),
        }
    }

    /// A message that is not deleted.
    fn kept_message(&mut self, seq: Seq, stored: &mut impl Stored) -> Result<StoredMessage, Stop> {
        match self.message(seq, stored)? {
            message if message.is_deleted() => Err(Stop::Refused(LogError::WasDeleted(seq))),
            message => Ok(message),
        }
    }

    /// Finds the event that set the text of a message, so that it can be emptied.
    fn find_edit(&mut self, message: &StoredMessage, stored: &mut impl Stored) -> Result<Option<Seq>, Stop> {
        match message.edited() {
            Seq::ZERO => Ok(None),
            edit => match self.segment(edit, stored)? {
                Found::Segment(_) => Ok(Some(edit)),
                Found::Gone => Ok(None),
                Found::Damaged(fault) => Err(Stop::Refused(LogError::Damaged(fault))),
            },
        }
    }

    fn empty_edit(&mut self, edit: Option<Seq>, message: Seq) {
        if let Some(edit) = edit {
            self.replace(edit, &change::edited_before(message));
        }
    }

    fn profile(&mut self, stored: &mut impl Stored) -> Result<&mut Profile, LogError> {
        let profile = match self.profile.take() {
            Some(profile) => profile,
            None => stored.profile(self.room)?,
        };
        Ok(self.profile.insert(profile))
    }

    fn new_event(&self, seq: Seq) -> Judged {
        Ok(Appended::New(self.room, seq))
    }

    fn before(&self, seq: Seq) -> Judged {
        Ok(Appended::Before(self.room, seq))
    }
}

/// The `Edited` events after a segment that hold texts of its messages, each with its message. They must be emptied
/// when retention deletes the segment.
pub fn later_edits(segment: &Segment) -> Vec<(Seq, Seq)> {
    let edit = |entry: Entry<'_>| Some((entry.message()?.edited, entry.seq));
    segment.entries().filter_map(edit).filter(|(edit, _)| *edit > segment.last()).collect()
}

fn refuse(error: LogError) -> Judged {
    Err(Stop::Refused(error))
}
