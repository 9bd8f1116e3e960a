//! A room's tail: its newest segments, kept in memory for the cursors that follow live.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::names::Seq;
use crate::server::log::Segment;

/// The newest segments of a room, bounded in bytes.
pub struct Tail {
    all: Arc<Tails>,
    // Invariant: each segment's first seq follows its predecessor's last; the newest ends at `head`.
    segments: VecDeque<Arc<Segment>>,
    bytes: usize,
    bytes_max: usize,
    head: Seq,
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
    /// An empty tail at the end of a log whose newest event is `head`.
    pub fn new(head: Seq, bytes_max: usize, all: Arc<Tails>) -> Self {
        Self { all, segments: VecDeque::new(), bytes: 0, bytes_max, head }
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
        let before = self.bytes;
        self.bytes += segment.bytes();
        self.segments.push_back(segment);
        let mut dropped = Vec::new();
        // Each tail may use its full size while all together are within bounds.
        let bytes_max = if self.all.is_full() { 0 } else { self.bytes_max };
        while self.bytes > bytes_max && self.segments.len() > 1 {
            if let Some(oldest) = self.segments.pop_front() {
                self.bytes -= oldest.bytes();
                dropped.push(oldest);
            }
        }
        self.all.change(before, self.bytes);
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
    use crate::server::log::Appender as _;
    use crate::server::log::conformance::{at, post_without_id, published, room};
    use crate::server::log::{Retention, memory};

    /// Each room had a tail of a megabyte, regardless of the number of rooms.
    #[test]
    fn all_tails_together_are_bounded() {
        let (mut appender, _log) = memory::open(usize::MAX, Retention::default());
        let published = published(&mut appender);
        let all = Arc::new(Tails::new(10_000));
        let mut tails: Vec<_> = (0..20).map(|_| Tail::new(Seq::ZERO, 2_000, Arc::clone(&all))).collect();
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
