//! A log with unreadable segments.

use std::sync::Arc;

use crate::names::{Emoji, RoomId, RoomName, Sender, Seq};
use crate::server::log::{History, Log, LogError, Page, Part, RoomState, Segment};

/// A log whose segments that begin with a multiple of a number can't be read.
pub struct DamagedLog(pub Arc<dyn Log>, pub u64);

impl Log for DamagedLog {
    fn read(&self, room: RoomId, from: Seq, bytes_max: usize) -> Result<Page, LogError> {
        let page = self.0.read(room, from, bytes_max)?;
        let Page::Segments(mut segments) = page else { return Ok(page) };
        let is_damaged = |segment: &Arc<Segment>| segment.first().0.is_multiple_of(self.1);
        if let Some(segment) = segments.first().filter(|segment| is_damaged(segment)) {
            let next = segment.last().next();
            let follows = self.0.read(room, next, 1)?;
            let is_end = matches!(follows, Page::Segments(segments) if segments.is_empty());
            return Ok(Page::Damaged { next: (!is_end).then_some(next) });
        }
        segments.truncate(segments.iter().take_while(|segment| !is_damaged(segment)).count());
        Ok(Page::Segments(segments))
    }

    fn history(&self, name: &RoomName, part: Part, messages: u64, bytes: usize) -> Result<Option<History>, LogError> {
        self.0.history(name, part, messages, bytes)
    }

    fn find(&self, name: &RoomName) -> Result<Option<RoomState>, LogError> {
        self.0.find(name)
    }

    fn message(&self, room: RoomId, number: u64) -> Result<Seq, LogError> {
        self.0.message(room, number)
    }

    fn reactors(
        &self,
        room: RoomId,
        message: Seq,
        emoji: &Emoji,
        after: Seq,
        max: usize,
    ) -> Result<Vec<(Seq, Sender)>, LogError> {
        self.0.reactors(room, message, emoji, after, max)
    }

    fn trims(&self) -> u64 {
        self.0.trims()
    }

    fn rooms(&self, after: Option<&RoomName>, max: usize) -> Result<Vec<RoomState>, LogError> {
        self.0.rooms(after, max)
    }
}
