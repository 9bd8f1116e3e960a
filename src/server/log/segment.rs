//! A segment: consecutive messages of one room, as the bytes that are stored and sent.

use std::sync::OnceLock;

use crate::names::{Kind, MessageId, RoomId, Seq};
use crate::wire::event::{self, Malformed};
use crate::wire::{self, Frame};

/// Consecutive messages of one room. Never empty, never changed.
#[derive(Debug)]
pub struct Segment {
    room: RoomId,
    first: Seq,
    last: Seq,
    /// The entries of the messages, concatenated.
    frame: Frame,
    /// The same messages for the tutorial's clients, created on first use. `None` is an event of an unknown kind, which
    /// they don't get.
    tutorial: OnceLock<Box<[Option<TutorialMessage>]>>,
}

/// A message for a client of the tutorial's contract.
#[derive(Debug)]
pub struct TutorialMessage {
    pub id: MessageId,
    /// A separate gRPC message.
    pub frame: Frame,
}

impl Segment {
    /// A segment of these entries, which the caller has encoded for this room and these seqs.
    pub fn new(room: RoomId, first: Seq, last: Seq, entries: Vec<u8>) -> Self {
        assert!(first <= last && !entries.is_empty(), "a segment has at least one message");
        Self { room, first, last, frame: Frame::new(entries), tutorial: OnceLock::new() }
    }

    /// Checks that stored bytes are the entries of messages of this room from this seq on, with readable contents.
    /// Returns the last seq.
    pub fn check(room: RoomId, first: Seq, entries: &[u8]) -> Result<Seq, Malformed> {
        let mut next = first;
        let mut at = 0;
        for entry in event::entries(entries) {
            let (entry, end) = entry?;
            if (entry.room, entry.seq) != (room, next)
                || (entry.is_message() && event::read_content(entry.content).is_err())
            {
                return Err(Malformed(at));
            }
            next = next.next();
            at = end;
        }
        if next == first { Err(Malformed(0)) } else { Ok(Seq(next.0 - 1)) }
    }

    /// Reads a segment from stored bytes, and checks them.
    pub fn read(room: RoomId, first: Seq, entries: Vec<u8>) -> Result<Self, Malformed> {
        let last = Self::check(room, first, &entries)?;
        Ok(Self::new(room, first, last, entries))
    }

    pub fn room(&self) -> RoomId {
        self.room
    }

    pub fn first(&self) -> Seq {
        self.first
    }

    pub fn last(&self) -> Seq {
        self.last
    }

    /// The memory of the segment, in bytes: its entries, plus about 128 bytes.
    pub fn bytes(&self) -> usize {
        self.frame.len() + 128
    }

    /// The whole segment, as a valid `ChatResponse`.
    pub fn frame(&self) -> &Frame {
        &self.frame
    }

    /// Whether this message is in it.
    pub fn holds(&self, seq: Seq) -> bool {
        (self.first..=self.last).contains(&seq)
    }

    /// The offset in the frame at which this message begins; the frame's end, if there is none. Found by a scan, since
    /// few readers begin within a segment.
    pub fn offset(&self, from: Seq) -> usize {
        let skipped = from.0.saturating_sub(self.first.0) as usize;
        let mut ends =
            event::entries(self.frame.as_slice()).map(|entry| entry.expect("a segment's entries are valid").1);
        match skipped.checked_sub(1) {
            None => 0,
            Some(before) => ends.nth(before).unwrap_or(self.frame.len()),
        }
    }
}

impl Segment {
    /// The message at `seq` for the tutorial's clients, if this segment has it and it is a message.
    pub fn tutorial(&self, seq: Seq) -> Option<&TutorialMessage> {
        let messages = self.tutorial.get_or_init(|| {
            event::entries(self.frame.as_slice())
                .map(|entry| entry.expect("a segment's entries are valid").0)
                .map(|entry| event::read_content(entry.content).ok().map(|content| tutorial_message(&content)))
                .collect()
        });
        messages.get(seq.0.checked_sub(self.first.0)? as usize)?.as_ref()
    }
}

fn tutorial_message(content: &event::Content<'_>) -> TutorialMessage {
    let frame = match content.kind {
        Kind::Text => wire::encode_from_server(content.sender, content.body),
        Kind::Action => wire::encode_from_server(content.sender, &format!("/me {}", content.body)),
    };
    TutorialMessage { id: content.id, frame }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::log::conformance::{post_without_id, room};
    use crate::wire::event::Entry;

    /// Events that a newer server has stored are sent unchanged, and are not damage.
    #[test]
    fn an_event_of_an_unknown_kind_is_passed_on() {
        let content = post_without_id(&room("attic"), "ann", "hello").content;
        let message = |bytes: &mut Vec<u8>, seq| {
            event::push(bytes, &Entry { room: RoomId(3), seq: Seq(seq), time_ms: 1, content: &content });
        };
        let mut bytes = Vec::new();
        message(&mut bytes, 1);
        // Field 1 of the response: room 3, seq 2, time 1, and field 14 of the event.
        bytes.extend([0x0a, 9, 0x08, 3, 0x10, 2, 0x18, 1, 0x72, 1, b'x']);
        message(&mut bytes, 3);
        let segment = Segment::read(RoomId(3), Seq(1), bytes.clone()).unwrap();
        assert_eq!(segment.last(), Seq(3));
        assert_eq!(segment.frame().as_slice(), bytes);
        let tutorial = [1, 2, 3].map(|seq| segment.tutorial(Seq(seq)).is_some());
        assert_eq!(tutorial, [true, false, true]);
    }
}
