//! A room's tail: its newest segments, kept in memory for the cursors that follow live.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::limits::REPLACEMENTS_KEPT;
use crate::names::Seq;
use crate::server::log::{Profile, RoomState, Segment};

/// The newest segments of a room, bounded in bytes.
pub struct Tail {
    all: Arc<Tails>,
    // Invariant: each segment's first seq follows its predecessor's last; the newest ends at `head`.
    segments: VecDeque<Arc<Segment>>,
    bytes: usize,
    bytes_max: usize,
    head: Seq,
    /// How many events up to the head are not messages.
    changes: u64,
    profile: Arc<Profile>,
    /// How often segments were replaced, or deleted by the log, and the ranges of the last replacements.
    replacements: u64,
    replaced: VecDeque<RangeInclusive<Seq>>,
}

/// A room at one moment.
#[derive(Clone, Debug)]
pub struct Now {
    /// The newest event that is published.
    pub head: Seq,
    /// How many events up to the head are not messages.
    pub changes: u64,
    pub profile: Arc<Profile>,
}

/// The size of the tails of all rooms together.
pub struct Tails {
    bytes: AtomicUsize,
    bytes_max: usize,
}

/// The position of a seq relative to the tail.
#[derive(Debug)]
pub enum Find {
    /// It is in this segment.
    Found(Arc<Segment>),
    /// It is not committed yet.
    BeyondHead,
    /// It is older than the tail: the log has it, or has dropped it.
    BehindTail,
}

impl Tail {
    /// An empty tail at the end of a room.
    pub fn new(now: Now, bytes_max: usize, all: Arc<Tails>) -> Self {
        let Now { head, changes, profile } = now;
        let (segments, replaced) = Default::default();
        Self { all, segments, bytes: 0, bytes_max, head, changes, profile, replacements: 0, replaced }
    }

    pub fn now(&self) -> Now {
        Now { head: self.head, changes: self.changes, profile: Arc::clone(&self.profile) }
    }

    /// The seq of the newest event.
    pub fn head(&self) -> Seq {
        self.head
    }

    /// The seq of the oldest event in the tail; one above the head if there is none.
    pub fn begin(&self) -> Seq {
        self.segments.front().map_or(self.head.next(), |segment| segment.first())
    }

    /// Adds the next segment. Segments that no longer fit are returned, so that the caller frees them without the lock.
    #[must_use = "free it after the lock is released"]
    pub fn push(&mut self, segment: Arc<Segment>) -> Vec<Arc<Segment>> {
        assert_eq!(segment.first(), self.head.next(), "a segment follows its predecessor");
        self.head = segment.last();
        self.changes = segment.changes().before + segment.changes().within;
        let before = self.bytes;
        self.bytes += segment.bytes();
        self.segments.push_back(segment);
        let dropped = self.shrink();
        self.all.change(before, self.bytes);
        dropped
    }

    /// Replaces segments with pieces that have the same seqs. The pieces are in order, in runs that each begin and end
    /// where an old segment does. Segments that were removed are returned, as by [`Tail::push`].
    #[must_use = "free it after the lock is released"]
    pub fn replace(&mut self, pieces: &[Arc<Segment>]) -> Vec<Arc<Segment>> {
        let (before, mut dropped, mut at) = (self.bytes, Vec::new(), 0);
        while let Some(first) = pieces.get(at) {
            self.replacements += 1;
            self.replaced.push_back(first.first()..=first.last());
            let index = self.segments.partition_point(|segment| segment.first() < first.first());
            let old = self.segments.get(index).filter(|old| old.first() == first.first()).map(|old| old.last());
            // Otherwise it is older than the tail.
            let Some(last) = old else {
                at += 1;
                continue;
            };
            let count = pieces[at..].iter().position(|piece| piece.last() == last).map_or(1, |end| end + 1);
            if let Some(old) = self.segments.remove(index) {
                self.bytes -= old.bytes();
                dropped.push(old);
            }
            for (n, piece) in pieces[at..at + count].iter().enumerate() {
                self.bytes += piece.bytes();
                self.segments.insert(index + n, Arc::clone(piece));
            }
            if let Some(range) = self.replaced.back_mut() {
                *range = first.first()..=last;
            }
            at += count;
        }
        while self.replaced.len() > REPLACEMENTS_KEPT {
            self.replaced.pop_front();
        }
        dropped.extend(self.shrink());
        self.all.change(before, self.bytes);
        dropped
    }

    /// Removes everything before this event, which the log has deleted.
    #[must_use = "free it after the lock is released"]
    pub fn trim(&mut self, oldest: Seq) -> Vec<Arc<Segment>> {
        let (before, mut dropped) = (self.bytes, Vec::new());
        while self.segments.front().is_some_and(|segment| segment.last() < oldest)
            && let Some(segment) = self.segments.pop_front()
        {
            self.bytes -= segment.bytes();
            dropped.push(segment);
        }
        self.replacements += 1;
        self.replaced.push_back(Seq::ZERO..=Seq(oldest.0.saturating_sub(1)));
        if self.replaced.len() > REPLACEMENTS_KEPT {
            self.replaced.pop_front();
        }
        self.all.change(before, self.bytes);
        dropped
    }

    pub fn set_profile(&mut self, profile: Arc<Profile>) {
        self.profile = profile;
    }

    /// How often segments were replaced or removed.
    pub fn replacements(&self) -> u64 {
        self.replacements
    }

    /// Whether events with these seqs may have been replaced since there were this many replacements.
    pub fn was_replaced(&self, since: u64, seqs: &RangeInclusive<Seq>) -> bool {
        let count = usize::try_from(self.replacements.saturating_sub(since)).unwrap_or(usize::MAX);
        count > self.replaced.len()
            || self
                .replaced
                .iter()
                .rev()
                .take(count)
                .any(|range| range.start() <= seqs.end() && seqs.start() <= range.end())
    }

    /// The seq of the message with this number in the room, if it is in the tail.
    pub fn message(&self, number: u64) -> Option<Seq> {
        let at = self.segments.partition_point(|segment| segment.end().messages < number);
        let segment = self.segments.get(at)?;
        segment.message(number.checked_sub(segment.messages_before())?)
    }

    /// Removes segments that no longer fit.
    fn shrink(&mut self) -> Vec<Arc<Segment>> {
        let mut dropped = Vec::new();
        // Each tail may use its full size while all together are within bounds.
        let bytes_max = if self.all.is_full() { 0 } else { self.bytes_max };
        while self.bytes > bytes_max && self.segments.len() > 1 {
            if let Some(oldest) = self.segments.pop_front() {
                self.bytes -= oldest.bytes();
                dropped.push(oldest);
            }
        }
        dropped
    }

    pub fn find(&self, seq: Seq) -> Find {
        if seq > self.head {
            return Find::BeyondHead;
        }
        // Most cursors follow live, and need the newest segment.
        let index = match self.segments.back() {
            Some(newest) if newest.first() <= seq => self.segments.len() - 1,
            _ => self.segments.partition_point(|segment| segment.last() < seq),
        };
        match self.segments.get(index) {
            Some(segment) if segment.first() <= seq => Find::Found(Arc::clone(segment)),
            _ => Find::BehindTail,
        }
    }
}

impl From<&RoomState> for Now {
    fn from(state: &RoomState) -> Self {
        Self { head: state.head, changes: state.changes, profile: Arc::clone(&state.profile) }
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.all.change(self.bytes, 0);
    }
}

impl Tails {
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes: AtomicUsize::new(0), bytes_max }
    }

    fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > self.bytes_max
    }

    /// Records the number of bytes that a tail had before a change, and has now.
    fn change(&self, before: usize, after: usize) {
        if after >= before {
            self.bytes.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.bytes.fetch_sub(before - after, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{Epoch, RoomId};
    use crate::server::log::Appender as _;
    use crate::server::log::conformance::{at, post_without_id, published, room};
    use crate::server::log::{Retention, memory};

    /// Each room had a tail of a megabyte, regardless of the number of rooms.
    #[test]
    fn all_tails_together_are_bounded() {
        let (mut appender, _log) = memory::open(usize::MAX, Retention::default());
        let published = published(&mut appender);
        let all = Arc::new(Tails::new(10_000));
        let empty = RoomState::empty(RoomId(1), room("attic"), Epoch::random());
        let mut tails: Vec<_> = (0..20).map(|_| Tail::new(Now::from(&empty), 2_000, Arc::clone(&all))).collect();
        for _ in 0..30 {
            for (n, tail) in tails.iter_mut().enumerate() {
                let posts = [post_without_id(&room(&format!("room-{n}")), "ann", "hello")];
                appender.append(&posts, at(1)).unwrap();
                published.try_iter().for_each(|segment| drop(tail.push(segment)));
            }
        }
        let bytes: Vec<_> = tails.iter().map(|tail| tail.bytes).collect();
        assert_eq!(all.bytes.load(Ordering::Relaxed), bytes.iter().sum::<usize>());
        assert!(bytes.iter().sum::<usize>() < 10_000 + 20 * 300, "{bytes:?}");
        drop(tails);
        assert_eq!(all.bytes.load(Ordering::Relaxed), 0);
    }
}
