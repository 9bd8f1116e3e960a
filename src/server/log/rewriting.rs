//! The segments of a room whose entries a commit changes.
//!
//! A change of a message replaces its entry. A large segment is cut around that entry, so that later changes of the same
//! message replace a small one. Seqs and times stay the same: retention deletes whole segments by their times.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Segment;
use super::segment::Changes;
use crate::limits::REWRITE_BYTES_MAX;
use crate::names::Seq;
use crate::wire::event::{self, Entry, EntryKind};

/// Segments of one room, with their new contents. A segment MUST be added before it is changed.
#[derive(Debug, Default)]
pub struct Rewriting {
    /// By their first seqs.
    segments: BTreeMap<Seq, Rewritten>,
}

/// The replacement of a segment.
#[derive(Debug)]
pub struct Rewritten {
    /// Whether the segment is stored already, and whether it was changed.
    pub is_stored: bool,
    pub is_changed: bool,
    /// In order, without a gap: the first begins where the segment does, and the last ends where it does.
    pub pieces: Vec<Arc<Segment>>,
}

impl Rewritten {
    pub fn first(&self) -> Seq {
        self.pieces[0].first()
    }

    pub fn last(&self) -> Seq {
        self.pieces[self.pieces.len() - 1].last()
    }
}

impl Rewriting {
    pub fn add(&mut self, segment: Arc<Segment>, is_stored: bool) {
        self.segments.insert(segment.first(), Rewritten { is_stored, is_changed: false, pieces: vec![segment] });
    }

    /// The segment with this event, if it was added.
    pub fn find(&self, seq: Seq) -> Option<&Arc<Segment>> {
        let (_, rewritten) = self.segments.range(..=seq).next_back()?;
        rewritten.pieces.iter().find(|piece| piece.holds(seq))
    }

    /// Replaces the content of an event.
    pub fn replace(&mut self, seq: Seq, content: &[u8]) {
        let Some((_, rewritten)) = self.segments.range_mut(..=seq).next_back() else { return };
        if let Some(at) = rewritten.pieces.iter().position(|piece| piece.holds(seq)) {
            let pieces = cut(&rewritten.pieces[at], seq, content);
            rewritten.pieces.splice(at..=at, pieces);
            rewritten.is_changed = true;
        }
    }

    /// Everything that was added, in order.
    pub fn done(self) -> impl Iterator<Item = Rewritten> {
        self.segments.into_values()
    }
}

/// The segment with new content for one event, as one piece or several.
fn cut(segment: &Arc<Segment>, seq: Seq, content: &[u8]) -> Vec<Arc<Segment>> {
    let bytes = segment.frame().as_slice();
    let (start, end) = (segment.offset(seq), segment.offset(seq.next()));
    let at = (seq.0 - segment.first().0) as usize;
    // Invariant: the segment holds the event.
    let before = segment.entries().nth(at).expect("the event is in the segment");
    let mut entry = Vec::new();
    event::push(&mut entry, &Entry { content, ..before });
    if start + entry.len() + bytes.len() - end <= REWRITE_BYTES_MAX {
        let whole = [&bytes[..start], &entry, &bytes[end..]].concat();
        return vec![piece(segment, segment.first(), segment.last(), segment.changes(), whole)];
    }
    let Changes { before: changes_before, within } = segment.changes();
    let left = match within {
        0 => 0,
        _ => segment.entries().take(at).filter(|entry| entry.kind != EntryKind::MESSAGE).count() as u64,
    };
    let own = u64::from(before.kind != EntryKind::MESSAGE);
    let mut pieces = Vec::new();
    if seq > segment.first() {
        let changes = Changes { before: changes_before, within: left };
        pieces.push(piece(segment, segment.first(), Seq(seq.0 - 1), changes, bytes[..start].to_vec()));
    }
    pieces.push(piece(segment, seq, seq, Changes { before: changes_before + left, within: own }, entry));
    if seq < segment.last() {
        let changes = Changes { before: changes_before + left + own, within: within - left - own };
        pieces.push(piece(segment, seq.next(), segment.last(), changes, bytes[end..].to_vec()));
    }
    pieces
}

fn piece(of: &Segment, first: Seq, last: Seq, changes: Changes, mut entries: Vec<u8>) -> Arc<Segment> {
    entries.shrink_to_fit();
    Arc::new(Segment::new(of.room(), first, last, changes, entries))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::RoomId;
    use crate::server::log::conformance::{post_without_id, room};
    use crate::wire::change;

    const ROOM: RoomId = RoomId(3);

    /// Messages of this length; every third event is not a message.
    fn segment(count: u64, bytes: usize) -> Arc<Segment> {
        let content = post_without_id(&room("attic"), "ann", &"x".repeat(bytes)).content().to_vec();
        let stub = change::edited_before(Seq(1));
        let mut entries = Vec::new();
        for seq in 11..11 + count {
            let is_message = seq % 3 > 0;
            let kind = if is_message { EntryKind::MESSAGE } else { EntryKind::EDITED };
            let content = if is_message { &content } else { &stub };
            event::push(&mut entries, &Entry { room: ROOM, seq: Seq(seq), time_ms: 5, kind, content });
        }
        Arc::new(Segment::read(ROOM, Seq(11), 4, entries).unwrap())
    }

    /// The entries except that of `changed`.
    fn entries(pieces: &[Arc<Segment>], changed: u64) -> Vec<(u64, Vec<u8>)> {
        let all = pieces.iter().flat_map(|piece| piece.entries());
        all.filter(|entry| entry.seq.0 != changed).map(|entry| (entry.seq.0, entry.content.to_vec())).collect()
    }

    #[test]
    fn a_segment_is_cut_around_a_changed_entry() {
        let other = post_without_id(&room("attic"), "ann", "another text").content().to_vec();
        for (bytes, is_cut) in [(10, false), (400, true)] {
            for changed in 11..=25 {
                let before = segment(15, bytes);
                let mut rewriting = Rewriting::default();
                rewriting.add(Arc::clone(&before), true);
                assert!(rewriting.find(Seq(10)).is_none() && rewriting.find(Seq(26)).is_none());
                let content = if changed % 3 > 0 { other.clone() } else { change::edited_before(Seq(2)) };
                rewriting.replace(Seq(changed), &content);
                rewriting.replace(Seq(changed), &content);
                assert!(rewriting.find(Seq(changed)).unwrap().holds(Seq(changed)));
                let rewritten = rewriting.done().next().unwrap();
                assert_eq!((rewritten.first(), rewritten.last()), (Seq(11), Seq(25)));
                let pieces = rewritten.pieces;
                let count = if !is_cut {
                    1
                } else if changed == 11 || changed == 25 {
                    2
                } else {
                    3
                };
                assert_eq!(pieces.len(), count, "{changed}");
                assert_eq!(entries(&pieces, changed), entries(&[Arc::clone(&before)], changed));
                let (mut next, mut changes) = (Seq(11), 4);
                for piece in &pieces {
                    // A reader of the stored bytes finds the same segments.
                    let read = Segment::read(ROOM, next, changes, piece.frame().as_slice().to_vec()).unwrap();
                    assert_eq!(
                        (read.first(), read.last(), read.changes()),
                        (piece.first(), piece.last(), piece.changes())
                    );
                    let found = piece.entries().find(|entry| entry.seq.0 == changed);
                    assert!(found.is_none_or(|entry| entry.content == content && entry.time_ms == 5));
                    (next, changes) = (piece.last().next(), changes + piece.changes().within);
                }
            }
        }
    }
}
