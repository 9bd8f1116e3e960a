//! A segment: consecutive messages of one room, as the bytes that are stored and sent.

use std::any::Any;
use std::sync::OnceLock;

use crate::names::{RoomId, Seq};
use crate::wire::Frame;
use crate::wire::event::{self, Entry, EntryKind, Malformed};

/// Consecutive messages of one room. Never empty, never changed.
#[derive(Debug)]
pub struct Segment {
    room: RoomId,
    first: Seq,
    last: Seq,
    /// The entries of the messages, concatenated.
    frame: Frame,
    renderings: Renderings,
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
    pub fn new(room: RoomId, first: Seq, last: Seq, entries: Vec<u8>) -> Self {
        assert!(first <= last && !entries.is_empty(), "a segment has at least one message");
        Self { room, first, last, frame: Frame::new(entries), renderings: Renderings::default() }
    }

    /// Checks that stored bytes are the entries of messages of this room from this seq on, with readable contents.
    /// Returns the last seq.
    pub fn check(room: RoomId, first: Seq, entries: &[u8]) -> Result<Seq, Malformed> {
        let mut next = first;
        let mut at = 0;
        for entry in event::entries(entries) {
            let (entry, end) = entry?;
            if (entry.room, entry.seq) != (room, next)
                || (entry.kind == EntryKind::MESSAGE && entry.message().is_none())
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

    /// The offset in the frame at which this message begins; the frame's end if the segment does not have it. Found by
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
        let content = post_without_id(&room("attic"), "ann", "hello").content;
        let message = |bytes: &mut Vec<u8>, seq| {
            event::push(
                bytes,
                &Entry { room: RoomId(3), seq: Seq(seq), time_ms: 1, kind: EntryKind::MESSAGE, content: &content },
            );
        };
        let mut bytes = Vec::new();
        message(&mut bytes, 1);
        // Field 1 of the response: room 3, seq 2, time 1, and field 14 of the event.
        bytes.extend([0x0a, 9, 0x08, 3, 0x10, 2, 0x18, 1, 0x72, 1, b'x']);
        message(&mut bytes, 3);
        let segment = Segment::read(RoomId(3), Seq(1), bytes.clone()).unwrap();
        assert_eq!(segment.last(), Seq(3));
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
        let content = post_without_id(&room("attic"), "ann", "hello").content;
        let mut bytes = Vec::new();
        event::push(
            &mut bytes,
            &Entry { room: RoomId(3), seq: Seq(1), time_ms: 1, kind: EntryKind::MESSAGE, content: &content },
        );
        let segment = Segment::new(RoomId(3), Seq(1), Seq(1), bytes);
        let count: *const Count = segment.rendering();
        assert_eq!(segment.rendering::<Bytes>().0, segment.frame().len());
        assert_eq!(segment.rendering::<Count>().0, 1);
        assert!(std::ptr::eq(count, segment.rendering::<Count>()));
    }
}
