//! A segment: consecutive events of one room, as the bytes that are stored and sent.

use std::any::Any;
use std::ops::RangeInclusive;
use std::sync::OnceLock;

use crate::names::{RoomId, Seq};
use crate::wire::event::{self, Entry, EntryKind, Malformed};
use crate::wire::{Frame, change};

/// Consecutive events of one room. Never empty, and immutable: when a message in it is changed, other segments with the
/// same seqs replace it.
#[derive(Debug)]
pub struct Segment {
    room: RoomId,
    first: Seq,
    last: Seq,
    changes: Changes,
    /// The entries of the events, concatenated.
    frame: Frame,
    renderings: Renderings,
}

/// The properties of a segment by which retention decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentEnd {
    pub last: Seq,
    pub time_ms: u64,
    /// How many messages the room had up to the end of the segment.
    pub messages: u64,
}

/// How many events before and in a segment are not messages. Subtracted from seqs, they give numbers of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// How many events of the room before the segment are not messages, whether they are kept or not.
    pub before: u64,
    /// How many of its own events are not messages.
    pub within: u64,
}

/// The result of a check of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    pub last: Seq,
    /// How many of the entries are not messages.
    pub changes: u64,
}

/// An encoding of a segment for clients that can't use its entries. Created on first use, and kept with the segment.
pub trait Rendering: Any + Send + Sync {
    fn of(segment: &Segment) -> Self;
}

/// The renderings of a segment, one of each type: a list that only grows.
#[derive(Debug, Default)]
struct Renderings(OnceLock<Box<Rendered>>);

#[derive(Debug)]
struct Rendered {
    rendering: Box<dyn Any + Send + Sync>,
    next: Renderings,
}

impl Renderings {
    fn get<R: Rendering>(&self, segment: &Segment) -> &R {
        let render = || Box::new(Rendered { rendering: Box::new(R::of(segment)), next: Self::default() });
        let mut place = self;
        loop {
            let rendered = place.0.get_or_init(render);
            match rendered.rendering.downcast_ref() {
                Some(rendering) => return rendering,
                None => place = &rendered.next,
            }
        }
    }
}

impl Segment {
    /// A segment of these entries, which the caller has encoded for this room and these seqs.
    pub fn new(room: RoomId, first: Seq, last: Seq, changes: Changes, entries: Vec<u8>) -> Self {
        assert!(first <= last && !entries.is_empty(), "a segment has at least one event");
        Self { room, first, last, changes, frame: Frame::new(entries), renderings: Renderings::default() }
    }

    /// Checks that stored bytes are the entries of events of this room from this seq on, with readable messages.
    pub fn check(room: RoomId, first: Seq, entries: &[u8]) -> Result<Checked, Malformed> {
        let mut next = first;
        let mut at = 0;
        let mut changes = 0;
        for entry in event::entries(entries) {
            let (entry, end) = entry?;
            changes += u64::from(entry.kind != EntryKind::MESSAGE);
            if (entry.room, entry.seq) != (room, next) || !change::is_readable(&entry) {
                return Err(Malformed(at));
            }
            next = next.next();
            at = end;
        }
        if next == first { Err(Malformed(0)) } else { Ok(Checked { last: Seq(next.0 - 1), changes }) }
    }

    /// Reads a segment from stored bytes, and checks them.
    pub fn read(room: RoomId, first: Seq, changes_before: u64, entries: Vec<u8>) -> Result<Self, Malformed> {
        let Checked { last, changes: within } = Self::check(room, first, &entries)?;
        Ok(Self::new(room, first, last, Changes { before: changes_before, within }, entries))
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

    pub fn changes(&self) -> Changes {
        self.changes
    }

    /// How many messages the room had before it, whether they are kept or not.
    pub fn messages_before(&self) -> u64 {
        (self.first.0 - 1).saturating_sub(self.changes.before)
    }

    /// How many messages it has.
    pub fn messages(&self) -> u64 {
        (self.last.0 - self.first.0 + 1).saturating_sub(self.changes.within)
    }

    /// When its events were stored.
    pub fn time_ms(&self) -> u64 {
        self.entries().next().map_or(0, |entry| entry.time_ms)
    }

    /// How many of its events with these seqs are messages.
    pub fn messages_in(&self, seqs: RangeInclusive<Seq>) -> u64 {
        let (from, to) = (*seqs.start().max(&self.first), *seqs.end().min(&self.last));
        if from > to {
            return 0;
        }
        if self.changes.within == 0 {
            return to.0 - from.0 + 1;
        }
        let is_message = |entry: &Entry<'_>| entry.kind == EntryKind::MESSAGE && (from..=to).contains(&entry.seq);
        self.entries().filter(is_message).count() as u64
    }

    /// The properties by which retention decides.
    pub fn end(&self) -> SegmentEnd {
        let messages = self.messages_before() + self.messages();
        SegmentEnd { last: self.last, time_ms: self.time_ms(), messages }
    }

    /// The seq of its message with this number, counted from 1.
    pub fn message(&self, number: u64) -> Option<Seq> {
        let at = usize::try_from(number.checked_sub(1)?).ok()?;
        if self.changes.within == 0 {
            return Some(Seq(self.first.0 + number - 1)).filter(|seq| *seq <= self.last);
        }
        self.entries().filter(|entry| entry.kind == EntryKind::MESSAGE).nth(at).map(|entry| entry.seq)
    }

    /// The memory of the segment, in bytes: its entries, plus about 128 bytes.
    pub fn bytes(&self) -> usize {
        self.frame.len() + 128
    }

    /// The whole segment, as a valid `ChatResponse`.
    pub fn frame(&self) -> &Frame {
        &self.frame
    }

    /// Whether this event is in it.
    pub fn holds(&self, seq: Seq) -> bool {
        (self.first..=self.last).contains(&seq)
    }

    /// The offset in the frame at which this event begins; the frame's end if the segment does not have it. Found by
    /// a scan, since few readers begin within a segment.
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
    /// The entries, in order. They were checked when the segment was created.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        event::entries(self.frame.as_slice()).map(|entry| entry.expect("a segment's entries are valid").0)
    }

    /// The segment in another encoding.
    pub fn rendering<R: Rendering>(&self) -> &R {
        self.renderings.get(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::log::conformance::{post_without_id, room};

    /// Events that a newer server has stored are sent unchanged, and are not damage.
    #[test]
    fn an_event_of_an_unknown_kind_is_sent_unchanged() {
        let content = post_without_id(&room("attic"), "ann", "hello").content().to_vec();
        let message = |bytes: &mut Vec<u8>, seq| {
            event::push(
                bytes,
                &Entry { room: RoomId(3), seq: Seq(seq), time_ms: 1, kind: EntryKind::MESSAGE, content: &content },
            );
        };
        let mut bytes = Vec::new();
        message(&mut bytes, 1);
        // Field 1 of the response: room 3, seq 2, time 1, and field 30 of the event.
        bytes.extend([0x0a, 10, 0x08, 3, 0x10, 2, 0x18, 1, 0xf2, 1, 1, b'x']);
        message(&mut bytes, 3);
        let segment = Segment::read(RoomId(3), Seq(1), 0, bytes.clone()).unwrap();
        assert_eq!((segment.last(), segment.messages(), segment.message(2)), (Seq(3), 2, Some(Seq(3))));
        assert_eq!(segment.frame().as_slice(), bytes);
        assert_eq!(segment.entries().map(|entry| entry.message().is_some()).collect::<Vec<_>>(), [true, false, true]);
    }

    /// Each rendering is made once, whichever is used first.
    #[test]
    fn a_segment_keeps_one_rendering_of_each_type() {
        struct Count(u64);
        struct Bytes(usize);
        impl Rendering for Count {
            fn of(segment: &Segment) -> Self {
                Self(segment.last().0 - segment.first().0 + 1)
            }
        }
        impl Rendering for Bytes {
            fn of(segment: &Segment) -> Self {
                Self(segment.frame().len())
            }
        }
        let content = post_without_id(&room("attic"), "ann", "hello").content().to_vec();
        let mut bytes = Vec::new();
        event::push(
            &mut bytes,
            &Entry { room: RoomId(3), seq: Seq(1), time_ms: 1, kind: EntryKind::MESSAGE, content: &content },
        );
        let segment = Segment::new(RoomId(3), Seq(1), Seq(1), Changes::default(), bytes);
        let count: *const Count = segment.rendering();
        assert_eq!(segment.rendering::<Bytes>().0, segment.frame().len());
        assert_eq!(segment.rendering::<Count>().0, 1);
        assert!(std::ptr::eq(count, segment.rendering::<Count>()));
    }
}
