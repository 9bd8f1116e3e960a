//! What one transaction of the index takes from the log: new messages, and the texts that edits and deletions change.

use super::fault::Fault;
use super::index::{Index, Text};
use crate::limits::{INDEX_BYTES_MAX, INDEX_EVENTS_MAX};
use crate::names::{RoomId, Seq};
use crate::server::log::{Log, Page};
use crate::wire::event::{Entry, EntryKind};

/// The entries of one transaction.
pub struct Batch<'a> {
    pub log: &'a dyn Log,
    pub index: &'a mut Index,
    pub events: usize,
    pub bytes: usize,
}

impl Batch<'_> {
    /// Indexes an entry. Returns whether the batch takes more.
    pub fn take(&mut self, entry: &Entry<'_>) -> Result<bool, Fault> {
        self.events += 1;
        if let Some(text) = text_of(entry) {
            self.index.add(&text)?;
            self.bytes += text.body.len();
        } else if matches!(entry.kind, EntryKind::EDITED | EntryKind::DELETED)
            && let Some(changed) = entry.changed_message()
        {
            self.change(entry.room, changed)?;
        }
        Ok(self.events < INDEX_EVENTS_MAX && self.bytes < INDEX_BYTES_MAX)
    }

    /// A message was edited or deleted.
    fn change(&mut self, room: RoomId, seq: Seq) -> Result<(), Fault> {
        if let Page::Segments(segments) = self.log.read(room, seq, 1)?
            && let Some(segment) = segments.first().filter(|segment| segment.holds(seq))
            && let Some(entry) = segment.entries().find(|entry| entry.seq == seq)
            && let Some(text) = text_of(&entry)
        {
            return self.index.replace(&text);
        }
        self.index.remove(room, seq)
    }
}

/// The text of a message; `None` for other entries, and after its deletion.
fn text_of<'a>(entry: &Entry<'a>) -> Option<Text<'a>> {
    let message = entry.message().filter(|message| !message.is_deleted && !message.body.is_empty())?;
    Some(Text {
        room: entry.room,
        seq: entry.seq,
        time_ms: entry.time_ms,
        edited: message.edited,
        sender: message.sender,
        body: message.body,
    })
}
